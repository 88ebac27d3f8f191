// The official TypeScript client, unchanged, against a local QStash: everything that an app uses of it.
// QSTASH_URL and QSTASH_TOKEN say where it is. Its clock stands still: `advance` moves it.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after, before, beforeEach, test } from "node:test";
import { Client, QstashDailyRatelimitError, Receiver, SignatureError } from "@upstash/qstash";

const { QSTASH_URL: baseUrl, QSTASH_TOKEN: token } = process.env;
const client = new Client({ baseUrl, token, retry: false, enableTelemetry: false });

let app, url, deliveries, statuses; // statuses: what the app answers in turn, by path; else 200

before(async () => {
  app = createServer((request, response) => {
    const chunks = [];
    request.on("data", (chunk) => chunks.push(chunk));
    request.on("end", () => {
      deliveries.push({
        path: request.url,
        method: request.method,
        headers: request.headers,
        body: Buffer.concat(chunks).toString(),
      });
      response.writeHead(statuses[request.url]?.shift() ?? 200).end("answer");
    });
  });
  await new Promise((listening) => app.listen(0, "127.0.0.1", listening));
  url = `http://127.0.0.1:${app.address().port}`;
});

after(() => app.close());

beforeEach(async () => {
  statuses = {};
  await dev("/dev/reset", {});
  deliveries = [];
});

async function dev(path, body) {
  const answer = await fetch(`${baseUrl}${path}`, { method: body ? "POST" : "GET", body: body && JSON.stringify(body) });
  assert.equal(answer.status < 300, true, await answer.clone().text());
  return answer.json();
}
const idle = () => dev("/dev/idle");
const advance = (duration) => dev("/dev/clock", { advance: duration });
const paths = () => deliveries.map((delivery) => delivery.path).sort();

test("publish, publishJSON, deduplication", async () => {
  const first = await client.publish({ url: `${url}/raw?a=b`, body: "text", headers: { "My-Header": "1" }, method: "PUT" });
  const second = await client.publishJSON({ url: `${url}/json`, body: { a: 1 }, deduplicationId: "d", label: "l" });
  const again = await client.publishJSON({ url: `${url}/json`, body: { a: 1 }, deduplicationId: "d" });
  assert.match(first.messageId, /^msg_/);
  assert.deepEqual(again, { messageId: second.messageId, deduplicated: true });
  await idle();
  assert.deepEqual(paths(), ["/json", "/raw?a=b"]);
  const raw = deliveries.find((delivery) => delivery.path === "/raw?a=b");
  assert.equal(raw.headers["my-header"], "1");
  assert.equal(raw.method, "PUT");
  await assert.rejects(client.publish({ url, deduplicationId: "a:b" }), /deduplication id/);
});

test("the receiver takes our signatures, and no others", async () => {
  const keys = await (await fetch(`${baseUrl}/v2/keys`, { headers: { Authorization: `Bearer ${token}` } })).json();
  const receiver = new Receiver({ currentSigningKey: keys.current, nextSigningKey: keys.next });
  const body = JSON.stringify({ text: "ä€𝄞" });
  await client.publish({ url: `${url}/a?b=c`, body });
  await idle();
  const [delivery] = deliveries;
  const signature = delivery.headers["upstash-signature"];
  assert.equal(await receiver.verify({ signature, body: delivery.body, url: `${url}/a?b=c` }), true);
  for (const wrong of [{ body: "other" }, { url: `${url}/a` }, { signature: `${signature}x` }]) {
    await assert.rejects(receiver.verify({ signature, body, url: `${url}/a?b=c`, ...wrong }), SignatureError);
  }
  const strangers = new Receiver({ currentSigningKey: "sig_a", nextSigningKey: "sig_b" });
  await assert.rejects(strangers.verify({ signature, body }), SignatureError);
});

test("batch and batchJSON", async () => {
  await client.urlGroups.addEndpoints({ name: "todo", endpoints: [{ url: `${url}/1`, name: "one" }, { url: `${url}/2` }] });
  const answers = await client.batchJSON([
    { url: `${url}/plain`, body: { a: 1 }, retries: 2 },
    { urlGroup: "todo", body: 2 },
    { queueName: "q", url: `${url}/queued`, body: 3 },
  ]);
  assert.deepEqual(answers[1].map((answer) => answer.url), [`${url}/1`, `${url}/2`]);
  await client.batch([{ url: `${url}/raw`, body: "x", delay: 10 }]);
  await idle();
  assert.deepEqual(paths(), ["/1", "/2", "/plain", "/queued"]);
  await advance("10s");
  assert.equal(deliveries.length, 5);
});

test("URL groups", async () => {
  await client.urlGroups.addEndpoints({ name: "groups", endpoints: [{ url: `${url}/1`, name: "one" }, { url: `${url}/2` }] });
  const answers = await client.publishJSON({ urlGroup: "groups", body: {} });
  assert.equal(answers.length, 2);
  await client.urlGroups.removeEndpoints({ name: "groups", endpoints: [{ name: "one" }] });
  assert.deepEqual((await client.urlGroups.get("groups")).endpoints, [{ url: `${url}/2` }]);
  assert.ok((await client.urlGroups.list()).some((group) => group.name === "groups"));
  await client.urlGroups.delete("groups");
  await assert.rejects(client.urlGroups.get("groups"), /not found/);
});

test("queues", async () => {
  const queue = client.queue({ queueName: "ordered" });
  await queue.upsert({ parallelism: 1, paused: true });
  await queue.enqueueJSON({ url: `${url}/1`, body: { a: 1 } });
  await queue.enqueue({ url: `${url}/2`, body: "x" });
  const shown = await queue.get();
  assert.deepEqual([shown.lag, shown.parallelism, shown.paused], [2, 1, true]);
  await queue.resume();
  await idle();
  assert.deepEqual(deliveries.map((delivery) => delivery.path), ["/1", "/2"]);
  await queue.pause();
  assert.ok((await queue.list()).some((one) => one.name === "ordered" && one.paused));
  await queue.delete();
  await assert.rejects(queue.get(), /not found/);
});

test("messages", async () => {
  const publish = (label, flow) =>
    client.publishJSON({ url: `${url}/x`, body: { a: 1 }, delay: "1h", label, flowControl: { key: flow, rate: 5, period: "1m" } });
  const published = await Promise.all([publish("a", "k"), publish("b", "k"), publish(["b", "c"], "l"), publish("d", "l")]);
  const shown = await client.messages.get(published[0].messageId);
  assert.deepEqual([shown.url, shown.body, shown.label, shown.flowControlKey, shown.period], [`${url}/x`, '{"a":1}', "a", "k", 60]);
  assert.deepEqual(await client.messages.cancel(published[0].messageId), { cancelled: 1 });
  assert.deepEqual(await client.messages.cancel({ filter: { label: "b", flowControlKey: "l" } }), { cancelled: 1 });
  assert.deepEqual(await client.messages.cancel([published[1].messageId]), { cancelled: 1 });
  assert.deepEqual(await client.messages.cancel({ all: true }), { cancelled: 1 });
  await assert.rejects(client.messages.get(published[0].messageId), /not found/);
});

test("schedules", async () => {
  const { scheduleId } = await client.schedules.create({
    destination: `${url}/sweep`,
    cron: "*/5 * * * *",
    scheduleId: "js-sweep",
    body: JSON.stringify({ a: 1 }),
    retries: 1,
    label: "l",
  });
  assert.equal(scheduleId, "js-sweep");
  await advance("10m");
  assert.equal(deliveries.length, 2);
  assert.equal(deliveries[0].headers["upstash-schedule-id"], "js-sweep");
  await client.schedules.pause({ schedule: scheduleId });
  assert.equal((await client.schedules.get(scheduleId)).isPaused, true);
  await client.schedules.resume({ schedule: scheduleId });
  assert.equal((await client.schedules.list()).find((one) => one.scheduleId === scheduleId).isPaused, false);
  await client.schedules.delete(scheduleId);
  await assert.rejects(client.schedules.get(scheduleId), /not found/);
});

test("retries, callbacks, dead letters and the log", async () => {
  statuses = { "/work": [500, 500] };
  const { messageId } = await client.publishJSON({
    url: `${url}/work`,
    body: {},
    retries: 1,
    retryDelay: "1000",
    callback: `${url}/told`,
    failureCallback: `${url}/failed`,
  });
  await advance("10s");
  assert.deepEqual(paths(), ["/failed", "/told", "/told", "/work", "/work"]);
  const failed = JSON.parse(deliveries.find((delivery) => delivery.path === "/failed").body);
  assert.equal(failed.sourceMessageId, messageId);

  const { messages } = await client.dlq.listMessages({ filter: { messageId } });
  assert.deepEqual([messages.length, messages[0].dlqId, messages[0].responseStatus], [1, failed.dlqId, 500]);
  const { responses } = await client.dlq.retry(failed.dlqId);
  await idle();
  assert.match(responses[0].messageId, /^msg_/);
  assert.equal(paths().filter((path) => path === "/work").length, 3);

  const { logs } = await client.logs({ filter: { messageId } });
  assert.deepEqual(logs.map((line) => line.state).reverse(), [
    "CREATED", "ACTIVE", "ERROR", "RETRY", "ACTIVE", "ERROR", "FAILED",
  ]);
  const page = await client.logs({ count: 2 });
  assert.equal(page.logs.length, 2);
  assert.equal((await client.logs({ count: 2, cursor: page.cursor })).logs.length, 2);
});

test("dead letters in bulk", async () => {
  statuses = { "/0": [500], "/1": [500], "/2": [500] };
  await client.batchJSON([0, 1, 2].map((number) => ({ url: `${url}/${number}`, body: {}, retries: 0, label: `l${number}` })));
  await idle();
  const { messages } = await client.dlq.listMessages();
  assert.equal(messages.length, 3);
  assert.deepEqual(await client.dlq.delete({ filter: { label: "l0" } }), { deleted: 1 });
  const { responses } = await client.dlq.retry({ filter: { label: ["l1", "l2"] } });
  assert.equal(responses.length, 2);
  assert.equal((await client.dlq.listMessages()).messages.length, 0);
  await assert.rejects(client.dlq.retry("1-1"), /not found/);
});

test("flow control", async () => {
  await client.flowControl.pin("js", { parallelism: 3, rate: 10, period: 60 });
  await client.flowControl.pause("js");
  await client.publishJSON({ url: `${url}/x`, body: {}, flowControl: { key: "js", parallelism: 1 } });
  await idle();
  const shown = await client.flowControl.get("js");
  assert.deepEqual([shown.parallelismMax, shown.rateMax, shown.waitListSize, shown.isPaused], [3, 10, 1, true]);
  await client.flowControl.unpin("js", { parallelism: true, rate: true });
  await client.flowControl.resetRate("js");
  await client.flowControl.resume("js");
  await idle();
  assert.deepEqual(paths(), ["/x"]);
  assert.equal((await client.flowControl.getGlobalParallelism()).parallelismMax, 100);
});

test("a wrong token is refused", async () => {
  const stranger = new Client({ baseUrl, token: "no", retry: false });
  await assert.rejects(stranger.publishJSON({ url, body: {} }), /authenticate/);
});

test("the used-up quota is known by its error", async () => {
  const spent = new Client({ baseUrl, token: `${token}~spent`, retry: false });
  await assert.rejects(
    spent.publishJSON({ url: `${url}/quota`, body: {} }),
    (error) => error instanceof QstashDailyRatelimitError,
  );
});
