"""The official `upstash-redis` and `upstash-ratelimit`, unchanged, through what an app uses of them.

JSON.* is not tried: the engine behind the local Upstash has no such module, and says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from upstash_ratelimit import FixedWindow, Ratelimit, SlidingWindow, TokenBucket
from upstash_redis import Redis
from upstash_redis.asyncio import Redis as AsyncRedis
from upstash_redis.errors import UpstashError

from eventsource_upstash.local import LocalUpstash
from tests.local.conftest import Rest


@pytest.fixture
def redis(upstash: LocalUpstash, caller: str) -> Iterator[Redis]:
    with Redis(url=upstash.redis_url, token=upstash.token_for(caller), rest_retries=0) as client:
        yield client


def test_strings(redis: Redis, key: str) -> None:
    assert bool(redis.set(key, "é🎈", ex=100))
    assert redis.get(key) == "é🎈"
    assert not redis.set(key, "x", nx=True)
    assert redis.set(key, "y", get=True) == "é🎈"
    assert redis.incrby(f"{key}:n", 9007199254740993) == 9007199254740993
    assert redis.incrbyfloat(f"{key}:f", 0.1) == pytest.approx(0.1)
    assert redis.mset({f"{key}:1": "a", f"{key}:2": "b"}) is True
    assert redis.mget(f"{key}:1", f"{key}:none", f"{key}:2") == ["a", None, "b"]
    assert redis.append(key, "z") == 2
    assert redis.getdel(key) == "yz"
    assert redis.ttl(key) == -2
    assert redis.delete(f"{key}:1", f"{key}:2") == 2


def test_hashes(redis: Redis, key: str) -> None:
    assert redis.hset(key, values={"a": "1", "b": "zwei"}) == 2
    assert redis.hget(key, "b") == "zwei"
    assert redis.hgetall(key) == {"a": "1", "b": "zwei"}
    assert redis.hmget(key, "a", "none") == ["1", None]
    assert redis.hincrby(key, "a", 41) == 42
    assert redis.hdel(key, "a", "b") == 2


def test_expiry_of_fields(redis: Redis, rest: Rest, key: str) -> None:
    redis.hset(key, "a", "1")
    # The service has it, and so has Valkey from 9.0 on. An older engine's lack of it is said in the service's words.
    if rest.result("COMMAND", "INFO", "HEXPIRE") == [None]:
        with pytest.raises(UpstashError, match="Command is not available: 'HEXPIRE'"):
            redis.hexpire(key, "a", 100)
    else:
        assert redis.hexpire(key, "a", 100) == [1]


def test_lists_sets_and_sorted_sets(redis: Redis, key: str) -> None:
    assert redis.rpush(f"{key}:l", "a", "b", "c") == 3
    assert redis.lrange(f"{key}:l", 0, -1) == ["a", "b", "c"]
    assert redis.lpop(f"{key}:l", 2) == ["a", "b"]
    assert redis.sadd(f"{key}:s", "a", "b") == 2
    assert sorted(redis.smembers(f"{key}:s")) == ["a", "b"]
    assert redis.sismember(f"{key}:s", "a")
    assert redis.zadd(f"{key}:z", {"a": 1, "b": 2.5, "c": 10_000_000}) == 3
    assert redis.zrange(f"{key}:z", 0, -1, withscores=True) == [("a", 1.0), ("b", 2.5), ("c", 10_000_000.0)]
    assert redis.zscore(f"{key}:z", "c") == 10_000_000.0
    assert redis.zrank(f"{key}:z", "b") == 1


def test_streams(redis: Redis, key: str) -> None:
    assert redis.xadd(key, "1-1", {"payload": "é"}) == "1-1"
    assert redis.xadd(key, "2-1", {"payload": "b"}) == "2-1"
    found: Any = redis.xrange(key, "-", "+")
    assert found == [["1-1", ["payload", "é"]], ["2-1", ["payload", "b"]]]
    assert redis.xlen(key) == 2
    read: Any = redis.xread({key: "1-1"})
    assert read == [[key, [["2-1", ["payload", "b"]]]]]
    with pytest.raises(UpstashError, match="equal or smaller"):
        redis.xadd(key, "1-1", {"payload": "again"})


def test_scripts(redis: Redis, key: str) -> None:
    script = "#!lua flags=allow-key-locking\nreturn {KEYS[1], ARGV[1], redis.call('INCR', KEYS[1])}"
    assert redis.eval(script, [key], ["a"]) == [key, "a", 1]
    sha = redis.script_load(script)
    assert redis.evalsha(sha, [key], ["b"]) == [key, "b", 2]
    assert redis.script_exists(sha, "0" * 40) == [True, False]
    assert redis.eval_ro("return redis.call('GET', KEYS[1])", [key]) == "2"
    with pytest.raises(UpstashError, match="NOSCRIPT"):
        redis.evalsha("0" * 40, [key])


def test_pipeline_and_transaction(redis: Redis, key: str) -> None:
    pipeline = redis.pipeline()
    pipeline.set(key, 1).incr(key).get(key)
    assert pipeline.exec() == [True, 2, "2"]
    multi = redis.multi()
    multi.set(key, "x").hset(f"{key}:h", "f", "v").hgetall(f"{key}:h")
    assert multi.exec() == [True, 1, {"f": "v"}]


def test_publish_scan_and_server(redis: Redis, key: str) -> None:
    assert redis.publish(key, "nobody listens") == 0
    redis.set(key, "v")
    found: list[str] = []
    cursor: Any = 0
    while True:
        cursor, keys = redis.scan(cursor, match=f"{key}*", count=1000)
        found += keys
        if int(cursor) == 0:
            break
    assert found == [key]
    assert redis.ping("hello") == "hello"
    assert redis.dbsize() >= 1
    assert redis.type(key) == "string"


def test_errors(upstash: LocalUpstash, redis: Redis, key: str) -> None:
    wrong = Redis(url=upstash.redis_url, token="wrong", rest_retries=0)
    with wrong, pytest.raises(UpstashError, match="WRONGPASS"):
        wrong.get(key)
    reader = Redis(url=upstash.redis_url, token=upstash.read_only_token, rest_retries=0)
    with reader, pytest.raises(UpstashError, match="NOPERM"):
        reader.set(key, "v")
    redis.set(key, "v")
    with pytest.raises(UpstashError, match="WRONGTYPE"):
        redis.lpush(key, "x")


def test_json_is_said_not_to_be_there(redis: Redis, key: str) -> None:
    with pytest.raises(UpstashError, match=r"Command is not available: 'JSON\.SET'"):
        redis.json.set(key, "$", {})


def test_what_it_does_is_counted_for_its_token(redis: Redis, rest: Rest, key: str) -> None:
    redis.set(key, "v")
    redis.eval("return redis.call('GET', KEYS[1])", [key])
    counted = rest.counted()
    assert (counted["requests"], counted["commands"]) == (2, 3)
    assert counted["sync_tokens"] >= 1  # it reads its own writes: it sends the token of the last answer


def test_asyncio_client(upstash: LocalUpstash, caller: str, key: str) -> None:
    async def work() -> None:
        async with AsyncRedis(url=upstash.redis_url, token=upstash.token_for(caller), rest_retries=0) as redis:
            assert await redis.set(key, "é")
            assert await asyncio.gather(*(redis.incr(f"{key}:n") for _ in range(30))) is not None
            assert await redis.get(f"{key}:n") == "30"
            pipeline = redis.pipeline()
            pipeline.get(key).hset(f"{key}:h", "a", "b").hgetall(f"{key}:h")
            assert await pipeline.exec() == ["é", 1, {"a": "b"}]
            multi = redis.multi()
            multi.zadd(f"{key}:z", {"m": 1}).zrange(f"{key}:z", 0, -1)
            assert await multi.exec() == [1, ["m"]]
            assert await redis.eval("return ARGV[1]", [], ["x"]) == "x"

    asyncio.run(work())


@pytest.mark.parametrize(
    "limiter",
    [
        FixedWindow(max_requests=3, window=1, unit="d"),
        SlidingWindow(max_requests=3, window=1, unit="d"),
        TokenBucket(max_tokens=3, refill_rate=1, interval=1, unit="d"),
    ],
    ids=lambda limiter: type(limiter).__name__,
)
def test_ratelimit(redis: Redis, key: str, limiter: Any) -> None:
    ratelimit = Ratelimit(redis=redis, limiter=limiter, prefix=key)
    assert [ratelimit.limit("me").allowed for _ in range(5)] == [True, True, True, False, False]
    assert ratelimit.limit("another").remaining == 2
    assert ratelimit.get_remaining("me") == 0
