"""What becomes of a request when the store cannot count it; and that nothing counts twice."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from datetime import datetime, timezone
from pathlib import Path
from uuid import uuid4

import pytest
from upstash_redis import Redis
from upstash_redis.asyncio import Redis as AsyncRedis

from eventsource_upstash import (
    AsyncRateLimit,
    Memory,
    Misuse,
    OutcomeUnknown,
    RateLimit,
    SQLite,
    Unavailable,
    UpstashRedis,
)
from eventsource_upstash._io.loops import awaited
from eventsource_upstash._io.port import Port
from eventsource_upstash.domain.limits import Rule
from eventsource_upstash.local import LocalUpstash
from eventsource_upstash.ports import Backend, Limiter, Taken
from eventsource_upstash.testing.colours import Colour, settled
from eventsource_upstash.testing.wrapping import BackendWrapper
from eventsource_upstash.web import too_many
from tests.limits.support import Limit, MovedClock


class Failing(BackendWrapper):
    """Cannot count while `error` stands there."""

    error: Exception | None = None

    def limiter(self, port: Port) -> Limiter:
        inner, this = self.inner.limiter(port), self

        class Limits:
            async def take(self, rule: Rule, identifier: str, cost: int, now_us: int) -> Taken:
                if this.error:
                    raise this.error
                return await inner.take(rule, identifier, cost, now_us)

        return Limits()


@pytest.mark.parametrize("on_failure", ["allow", "deny"])
def test_a_store_that_cannot_be_reached(
    on_failure: str, clock: MovedClock, colour: Colour, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    backend = Failing(Memory())
    limit = Limit(colour, backend, clock, limit=2, window=10, on_failure=on_failure)
    assert limit.check()
    answer = limit.check("bob")
    for error in (Unavailable("gone"), OutcomeUnknown("lost")):
        backend.error = error
        answer = limit.check()
        assert (answer.allowed, answer.counted) == (on_failure == "allow", False)
        assert (answer.limit, answer.remaining) == (2, 2 if on_failure == "allow" else 0)
        assert answer.retry_after == (0.0 if on_failure == "allow" else 1.0)
        assert ("Retry-After" in answer.headers) is (on_failure == "deny")
    (record,) = caplog.records  # it is said once
    assert record.levelname == "WARNING"
    passes = "all may pass" if on_failure == "allow" else "none may pass"
    assert record.getMessage() == f"rate limit 'posts': requests cannot be counted, and {passes} until they can"
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], Unavailable)
    if on_failure == "deny":
        refused = too_many(answer)
        assert (refused.status, refused.headers["retry-after"]) == (503, "1")
    backend.error = None
    answer = limit.check()
    assert (answer.allowed, answer.remaining, answer.counted) == (True, 0, True)
    limit.check()
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"], "and so is that it works again"
    assert caplog.records[-1].getMessage() == "rate limit 'posts': requests are counted again"
    backend.error = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        limit.check()  # a bug is none of the store's failures


def test_it_raises_unless_something_else_is_said(clock: MovedClock, colour: Colour) -> None:
    backend = Failing(Memory())
    limit = Limit(colour, backend, clock, limit=2, window=10)
    backend.error = Unavailable("gone")
    with pytest.raises(Unavailable):
        limit.check()


def test_an_answer_that_is_lost_is_not_asked_for_again(
    upstash: LocalUpstash, clock: MovedClock, colour: Colour
) -> None:
    backend = UpstashRedis(upstash.redis_url, upstash.redis_token, namespace=uuid4().hex)
    limit = Limit(colour, backend, clock, limit=10, window=3_600, algorithm="fixed")
    assert limit.check().remaining == 9
    upstash.faults.add("lose-answer", half="redis", command="EVALSHA")
    with pytest.raises(OutcomeUnknown, match="not sent again, since it would count twice"):
        limit.check()
    assert limit.check().remaining == 7, "what was lost has been counted, once"


def test_one_limit_serves_one_event_loop_after_another(upstash: LocalUpstash) -> None:
    backend = UpstashRedis(upstash.redis_url, upstash.redis_token, namespace=uuid4().hex)
    limit = AsyncRateLimit(backend, "posts", limit=3, window=3_600, algorithm="bucket")

    async def check() -> int:
        return (await limit.check("ada")).remaining

    assert [asyncio.run(check()) for _ in range(3)] == [2, 1, 0]


@pytest.mark.parametrize("suspends", [False, True])
def test_a_client_of_the_official_package(upstash: LocalUpstash, colour: Colour, *, suspends: bool) -> None:
    address = (upstash.redis_url, upstash.redis_token)
    official = AsyncRedis(*address) if suspends else Redis(*address)
    before = set(official._headers.items())
    backend = UpstashRedis(client=official, namespace=uuid4().hex)

    async def check() -> list[bool]:
        found = []
        for algorithm in ("sliding", "fixed", "bucket"):
            limit = Limit(colour, backend, MovedClock(), algorithm, limit=2, window=3_600, algorithm=algorithm)
            found += [(await settled(limit.face.check("ada"))).allowed for _ in range(3)]
        if isinstance(official, AsyncRedis):
            await awaited(colour.port, official.close, 5.0)
        else:
            official.close()
        return found

    assert colour.run(check()) == [True, True, False] * 3
    changed = {name for name, _ in set(official._headers.items()) - before}
    assert changed <= {"Upstash-Sync-Token"}, "the client is as it was"


def test_a_redis_that_refuses_the_flag(colour: Colour) -> None:
    with LocalUpstash(key_locking=False) as plain:
        backend = UpstashRedis(plain.redis_url, plain.redis_token, namespace="plain")
        limit = Limit(colour, backend, MovedClock(), limit=2, window=3_600)
        assert [limit.check().allowed for _ in range(3)] == [True, True, False]


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "upstash_ratelimit"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "upstash_ratelimit", None)
    with pytest.raises(Misuse, match="pip install upstash-ratelimit"):
        RateLimit(UpstashRedis("https://db.upstash.io", "token"), "posts", limit=1, window=1)
    RateLimit(Memory(), "posts", limit=1, window=1)


def test_every_key_is_inside_the_namespace(upstash: LocalUpstash) -> None:
    namespace = "every-key"
    backend = UpstashRedis(upstash.redis_url, upstash.redis_token, namespace=namespace)
    for algorithm in ("sliding", "fixed", "bucket"):
        Limit(Colour.BLOCKING, backend, MovedClock(), limit=2, window=9_000, algorithm=algorithm).check(
            "ada@example.com"
        )
    with Redis(upstash.redis_url, upstash.redis_token) as client:
        keys = [key for key in client.keys("*") if namespace in key or "ada@" in key]
        assert len(keys) == 3
        assert all(client.pttl(key) > 0 for key in keys)
    assert {key.partition(":posts:")[0] for key in keys} == {
        f"{{{namespace}}}:limit-{algorithm}-9000000" for algorithm in ("sliding", "fixed", "bucket")
    }
    assert not any("@" in key for key in keys)


def checked_together(limits: list[Limit], each: int) -> int:
    passed: list[bool] = []
    begin = threading.Barrier(len(limits))

    def work(limit: Limit) -> None:
        begin.wait()
        passed.extend(limit.check().allowed for _ in range(each))

    threads = [threading.Thread(target=work, args=(limit,)) for limit in limits]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(passed) == len(limits) * each
    return sum(passed)


@pytest.mark.parametrize("algorithm", ["sliding", "fixed", "bucket"])
def test_however_many_ask_at_once_no_more_pass(
    backend: Backend, clock: MovedClock, tmp_path: Path, algorithm: str
) -> None:
    # SQLite by a connection of its own for each, as processes have it.
    own = [SQLite(tmp_path / "limits.db") if isinstance(backend, SQLite) else backend for _ in range(4)]
    limits = [Limit(Colour.BLOCKING, each, clock, limit=20, window=3_600, algorithm=algorithm) for each in own]
    assert checked_together(limits, 10) == 20
    for each in own:
        each.close()


@pytest.mark.parametrize("algorithm", ["sliding", "fixed", "bucket"])
def test_what_has_expired_is_cleared_away_in_passing(clock: MovedClock, tmp_path: Path, algorithm: str) -> None:
    import sqlite3
    from contextlib import closing

    memory, file = Memory(), SQLite(tmp_path / "limits.db")
    for _ in range(300):
        for backend in (memory, file):
            limit = Limit(Colour.BLOCKING, backend, clock, limit=2, window=1, algorithm=algorithm)
            limit.check(f"caller-{clock.now_ms}")
            limit.check("always the same")
        clock.now_ms += 250
    file.close()
    with closing(sqlite3.connect(tmp_path / "limits.db")) as connection:
        ((rows,),) = connection.execute("SELECT count(*) FROM limits").fetchall()
    assert 2 <= rows <= 30
    assert 2 <= len(memory._state.limits.counters) <= 30


@pytest.mark.parametrize("algorithm", ["sliding", "fixed", "bucket"])
def test_its_receipt_is_what_is_billed(upstash: LocalUpstash, clock: MovedClock, algorithm: str) -> None:
    caller = f"billed-{algorithm}"
    backend = UpstashRedis(upstash.redis_url, upstash.token_for(caller), namespace=caller)
    limit = Limit(Colour.BLOCKING, backend, clock, limit=3, window=3_600, algorithm=algorithm)
    limit.check("the script is there")

    def spent() -> tuple[int, int]:
        counted = upstash.metrics()["redis"][caller]
        return counted["requests"], counted["commands"]

    for _ in range(5):
        requests, commands = spent()
        receipt = limit.check().receipt
        now = spent()
        assert receipt.requests == now[0] - requests == 1
        # A sliding window does not tell whether a check was the first: then the receipt says the most that it can be.
        at_most = 1 if algorithm == "sliding" else 0
        assert 0 <= receipt.commands - (now[1] - commands) <= at_most


def test_what_counts_is_told_whole_microseconds_and_a_name_of_one_length(clock: MovedClock) -> None:
    told: list[int] = []
    names: list[str] = []

    class Told(BackendWrapper):
        def limiter(self, port: Port) -> Limiter:
            inner = self.inner.limiter(port)

            class Limits:
                async def take(self, rule: Rule, identifier: str, cost: int, now_us: int) -> Taken:
                    told.append(now_us)
                    names.append(identifier)
                    return await inner.take(rule, identifier, cost, now_us)

            return Limits()

    limit = Limit(Colour.BLOCKING, Told(Memory()), clock, limit=2, window=10)
    limit.check()
    limit.check("x" * 1_000)
    # The same in every release: what was counted before a deploy counts after it.
    assert names == ["c6ef43c47f8c23627ee5b9f8f5cb406c", "c9b2bd4ff487864c29fb41fab3e8187e"]
    assert told == 2 * [clock.now_ms * 1_000]
    assert type(told[0]) is int, "a float would lose some of it, and a store may refuse it"


def test_whoever_is_not_counted_is_told_of_a_whole_window(clock: MovedClock) -> None:
    backend = Failing(Memory())
    backend.error = Unavailable("gone")
    answer = Limit(Colour.BLOCKING, backend, clock, limit=2, window=10, on_failure="deny").check()
    assert (answer.reset.timestamp(), answer.retry_after) == (clock.now_ms / 1_000 + 10, 1.0)


def test_the_end_of_a_window_that_is_not_counted_is_told_in_milliseconds() -> None:
    backend = Failing(Memory())
    backend.error = Unavailable("gone")
    limit = RateLimit(backend, "posts", limit=2, window=10, on_failure="allow", clock=lambda: 1_800_000_000_000_999_999)
    assert limit.check("ada").reset == datetime.fromtimestamp(1_800_000_010, timezone.utc)


def test_in_the_last_millisecond_of_a_window_it_is_worth_while_to_wait_for_one() -> None:
    clock = MovedClock(1_800_000_009_999)
    limit = Limit(Colour.BLOCKING, Memory(), clock, limit=1, window=10, algorithm="fixed")
    assert limit.check()
    assert limit.check().retry_after == 0.001
