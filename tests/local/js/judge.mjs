// The official SDKs, unchanged, through what an app uses of them. One scenario a run: `node judge.mjs NAME`.
// JSON.* is not tried: the engine behind the local Upstash has no such module, and says so (see `errors`).
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { createRequire } from "node:module";

// The packages are not beside this file, but where the test installed them.
const require = createRequire(`${process.env.JUDGE_MODULES}/`);
const { Redis } = require("@upstash/redis");
const { Ratelimit } = require("@upstash/ratelimit");

const { UPSTASH_REDIS_REST_URL: url, UPSTASH_REDIS_REST_TOKEN: token, JUDGE_KEY: key } = process.env;
const make = (more = {}) => new Redis({ url, token, retry: false, ...more });
const redis = make();

const scenarios = {
  async strings() {
    assert.equal(await redis.set(key, "é🎈", { ex: 100 }), "OK");
    assert.equal(await redis.get(key), "é🎈");
    assert.equal(await redis.set(key, "x", { nx: true }), null);
    assert.equal(await redis.incrby(`${key}:n`, Number.MAX_SAFE_INTEGER), Number.MAX_SAFE_INTEGER);
    assert.equal(await redis.mset({ [`${key}:1`]: "a", [`${key}:2`]: { deep: [1, null] } }), "OK");
    assert.deepEqual(await redis.mget(`${key}:1`, `${key}:none`, `${key}:2`), ["a", null, { deep: [1, null] }]);
    assert.equal(await redis.getdel(key), "é🎈");
    // A value that reads OK is a value: it is encoded, and decoded again.
    await redis.set(key, "OK");
    assert.equal(await redis.get(key), "OK");
  },
  async numbers() {
    await redis.set(key, 1000000);
    assert.equal(await redis.get(key), 1000000);
    const raw = make({ automaticDeserialization: false });
    assert.equal(await raw.get(key), "1000000");
    await raw.set(key, "9007199254740993");
    assert.equal(await raw.get(key), "9007199254740993");
    assert.equal(await redis.get(key), "9007199254740993"); // the SDK leaves it a string: no number is that exact
  },
  async hashes() {
    assert.equal(await redis.hset(key, { a: 1, b: "zwei", c: { deep: true } }), 3);
    assert.deepEqual(await redis.hgetall(key), { a: 1, b: "zwei", c: { deep: true } });
    assert.deepEqual(await redis.hmget(key, "a", "none"), { a: 1, none: null });
    assert.equal(await redis.hincrby(key, "a", 41), 42);
    assert.equal(await redis.hdel(key, "a", "b", "c"), 3);
    assert.equal(await redis.hgetall(key), null);
  },
  async lists() {
    assert.equal(await redis.rpush(key, "a", "b", { c: 1 }), 3);
    assert.deepEqual(await redis.lrange(key, 0, -1), ["a", "b", { c: 1 }]);
    assert.equal(await redis.lpop(key), "a");
    assert.equal(await redis.ltrim(key, 1, -1), "OK");
    assert.equal(await redis.llen(key), 1);
  },
  async sets() {
    assert.equal(await redis.sadd(key, "a", "b"), 2);
    assert.deepEqual((await redis.smembers(key)).sort(), ["a", "b"]);
    assert.equal(await redis.sismember(key, "a"), 1);
    assert.equal(await redis.sunionstore(`${key}:u`, key, key), 2);
  },
  async sortedSets() {
    assert.equal(await redis.zadd(key, { score: 1, member: "a" }, { score: 10000000.5, member: "b" }), 2);
    assert.deepEqual(await redis.zrange(key, 0, -1, { withScores: true }), ["a", 1, "b", 10000000.5]);
    assert.equal(await redis.zscore(key, "b"), 10000000.5);
    assert.equal(await redis.zrank(key, "b"), 1);
    assert.equal(await redis.zincrby(key, 1, "a"), 2);
  },
  async streams() {
    assert.equal(await redis.xadd(key, "1-1", { payload: "é", n: 1 }), "1-1");
    assert.deepEqual(await redis.xrange(key, "-", "+"), { "1-1": { payload: "é", n: 1 } });
    assert.equal(await redis.xgroup(key, { type: "CREATE", group: "g", id: "0" }), "OK");
    assert.deepEqual(await redis.xreadgroup("g", "me", key, ">"), [[key, [["1-1", ["payload", "é", "n", 1]]]]]);
    assert.equal(await redis.xack(key, "g", "1-1"), 1);
    assert.equal(await redis.xlen(key), 1);
  },
  async scripts() {
    const script = "#!lua flags=allow-key-locking\nreturn {KEYS[1], ARGV[1], redis.call('INCR', KEYS[1])}";
    assert.deepEqual(await redis.eval(script, [key], ["a"]), [key, "a", 1]);
    const sha = await redis.scriptLoad(script);
    assert.equal(sha, createHash("sha1").update(script).digest("hex"));
    assert.deepEqual(await redis.evalsha(sha, [key], ["b"]), [key, "b", 2]);
    assert.deepEqual(await redis.scriptExists(sha, "0".repeat(40)), [1, 0]);
    const created = redis.createScript(`return redis.call('GET', KEYS[1]) -- ${key}`);
    assert.equal(await created.exec([key], []), 2);
    await assert.rejects(redis.eval(script.replace("KEYS[1])", `'${key}:x')`), [key], ["a"]), /Dynamic keys are not allowed/);
  },
  async pipeline() {
    const pipeline = redis.pipeline();
    pipeline.set(key, { a: 1 }).get(key).hset(`${key}:h`, { f: "v" }).hgetall(`${key}:h`);
    assert.deepEqual(await pipeline.exec(), ["OK", { a: 1 }, 1, { f: "v" }]);
    const failing = redis.pipeline();
    failing.set(key, "x").lpush(key, 1).get(key);
    const results = await failing.exec({ keepErrors: true });
    assert.equal(results[0].result, "OK");
    assert.match(results[1].error, /WRONGTYPE/);
    assert.equal(results[2].result, "x");
  },
  async transaction() {
    const multi = redis.multi();
    multi.set(key, 1).incr(key).eval("return redis.call('INCR', KEYS[1])", [key], []);
    assert.deepEqual(await multi.exec(), ["OK", 2, 3]);
  },
  async automaticPipelining() {
    const many = make({ enableAutoPipelining: true });
    await Promise.all(Array.from({ length: 200 }, (_, n) => many.set(`${key}:${n}`, { n })));
    const values = await Promise.all(Array.from({ length: 200 }, (_, n) => many.get(`${key}:${n}`)));
    assert.deepEqual(values, Array.from({ length: 200 }, (_, n) => ({ n })));
    assert.equal(many.pipelineCounter, 2);
  },
  async binaryAndUnicode() {
    const text = "\u0000\u0001ключ 日本語 🎈\u2028\r\n\"'\\/";
    await redis.set(key, text);
    assert.equal(await redis.get(key), text);
    assert.equal(await make({ responseEncoding: false }).get(key), text);
    const bytes = Uint8Array.from({ length: 256 }, (_, n) => n);
    const put = await fetch(`${url}/set/${key}`, { method: "POST", body: bytes, headers: { Authorization: `Bearer ${token}` } });
    assert.deepEqual(await put.json(), { result: "OK" });
    const got = await fetch(`${url}/get/${key}`, { headers: { Authorization: `Bearer ${token}`, "Upstash-Encoding": "base64" } });
    assert.deepEqual(Buffer.from((await got.json()).result, "base64"), Buffer.from(bytes));
  },
  async publishAndSubscribe() {
    const subscriber = redis.subscribe([key]);
    const heard = new Promise((resolve, reject) => {
      subscriber.on("message", (data) => resolve(data));
      subscriber.on("error", reject);
    });
    await new Promise((resolve) => subscriber.on("subscribe", resolve));
    assert.equal(await redis.publish(key, { text: "é, with a comma" }), 1);
    const { channel, message } = await heard;
    assert.deepEqual([channel, message], [key, { text: "é, with a comma" }]);
    await subscriber.unsubscribe();
  },
  async readYourWrites() {
    const one = make({ readYourWrites: true });
    await one.set(key, "v");
    const first = one.client.upstashSyncToken;
    assert.ok(first);
    await one.set(key, "w");
    assert.notEqual(one.client.upstashSyncToken, first);
    assert.equal(await one.get(key), "w");
  },
  async scanning() {
    await redis.mset(Object.fromEntries(Array.from({ length: 30 }, (_, n) => [`${key}:${n}`, n])));
    const found = new Set();
    let cursor = "0";
    do {
      const [next, keys] = await redis.scan(cursor, { match: `${key}:*`, count: 100 });
      keys.forEach((each) => found.add(each));
      cursor = String(next);
    } while (cursor !== "0");
    assert.equal(found.size, 30);
    assert.equal(await redis.ping(), "PONG");
    assert.ok((await redis.dbsize()) >= 30);
  },
  async errors() {
    await assert.rejects(make({ token: "wrong" }).get(key), /WRONGPASS/);
    await assert.rejects(redis.json.set(key, "$", {}), /Command is not available: 'JSON.SET'/);
    await redis.set(key, "v");
    await assert.rejects(redis.lpush(key, 1), /WRONGTYPE/);
  },
  async ratelimit() {
    for (const [name, limiter] of Object.entries({
      fixed: Ratelimit.fixedWindow(3, "1 d"), sliding: Ratelimit.slidingWindow(3, "1 d"), bucket: Ratelimit.tokenBucket(3, "1 d", 3),
    })) {
      const ratelimit = new Ratelimit({ redis, limiter, prefix: `${key}:${name}`, ephemeralCache: false, timeout: 0 });
      const allowed = [];
      for (let n = 0; n < 5; n += 1) allowed.push((await ratelimit.limit("me")).success);
      assert.deepEqual(allowed, [true, true, true, false, false], name);
      assert.equal((await ratelimit.limit("another")).remaining, 2, name);
    }
  },
};

const name = process.argv[2];
if (name === undefined) console.log(JSON.stringify(Object.keys(scenarios)));
else await scenarios[name]();
