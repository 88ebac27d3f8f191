"""A copy that is ended at any point, or whose answers are lost, is gone on with: nothing lost, nothing doubled."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar, TypeAlias, TypeVar
from uuid import uuid4

import pytest
import upstash_redis
from msgspec.structs import replace

from eventsource_upstash import (
    Appended,
    AsyncLogCopy,
    LogCopy,
    Memory,
    OutcomeUnknown,
    Refused,
    SQLite,
    Unavailable,
    UpstashRedis,
)
from eventsource_upstash._flow import comparing
from eventsource_upstash._flow.comparing import PAUSES
from eventsource_upstash._flow.copying import LogCopying
from eventsource_upstash._io.port import HttpRequest, HttpResponse
from eventsource_upstash.local import LocalUpstash
from eventsource_upstash.ports import (
    Append,
    AppendCondition,
    AppendsMany,
    Backend,
    Capabilities,
    Conflict,
    KeyReused,
    Log,
    Query,
    Unmet,
)
from eventsource_upstash.testing import Endings, World, explore, pausing
from eventsource_upstash.testing.colours import Colour
from eventsource_upstash.testing.pausing import Pauses, SteppingPort
from eventsource_upstash.testing.wrapping import BackendWrapper, LogWrapper
from tests.copying.conftest import Make
from tests.copying.support import HISTORY, copied, fill, rows_of, written

T = TypeVar("T")
Answer: TypeAlias = "Appended | Conflict | KeyReused | Unmet"
Note = Callable[[str, object], None]
SHORT = HISTORY[:4]


def test_dropped_or_left_without_an_answer_at_any_wait(record_property: Note) -> None:
    def world() -> World:
        one, other = Memory(), Memory()
        fill(one, SHORT)

        def check(endings: Endings) -> None:
            rows = rows_of(other)
            assert rows == rows_of(one)[: len(rows)], "what is there is a beginning of the source"
            ended = endings["copier"]
            assert not ended.ok or len(rows) == 8
            LogCopy(one, other).run()
            assert rows_of(other) == rows_of(one)

        return World({"copier": AsyncLogCopy(pausing(one), pausing(other)).run()}, check)

    explored = explore(world, crashes=1, lost_answers=2)
    record_property("schedules", explored.schedules)
    assert explored.crashes >= 20
    assert explored.lost_answers >= 100


def test_two_copies_at_once(record_property: Note) -> None:
    """Somebody was impatient: both write the same, so neither is in the other's way."""

    def world() -> World:
        one, other = Memory(), Memory()
        fill(one, SHORT[1:3])

        def check(endings: Endings) -> None:
            assert rows_of(other) == rows_of(one) or all(ending.crashed for ending in endings.values())
            for ending in endings.values():
                assert ending.ok or ending.crashed
            LogCopy(one, other).run()
            assert rows_of(other) == rows_of(one)

        copier = AsyncLogCopy(one, pausing(other, after=False)).run
        return World({"left": copier(), "right": copier()}, check)

    explored = explore(world, crashes=1, switches=3)
    record_property("schedules", explored.schedules)
    assert explored.crashes >= 100


def test_a_copy_and_somebody_else(record_property: Note) -> None:
    """Whoever writes there too is either noticed, or has written after all that was copied."""
    noticed = 0

    def world() -> World:
        one, other = Memory(), Memory()
        fill(one, SHORT)
        theirs = pausing(other)

        async def write() -> None:
            log = theirs.log(Colour.BLOCKING.port)
            await log.append(written("b", b"{}", number=7))

        def check(endings: Endings) -> None:
            nonlocal noticed
            rows = rows_of(other)
            (at,) = [index for index, row in enumerate(rows) if row[4] == 7]
            assert rows[:at] == rows_of(one)[:at]
            assert at == len(rows) - 1, "nothing was copied after theirs"
            noticed += isinstance(endings["copier"].error, Refused)
            assert endings["copier"].ok == (at == 8 and endings["copier"].error is None)

        copier = AsyncLogCopy(one, pausing(other, after=False)).run(verify=False)
        return World({"copier": copier, "other": write()}, check)

    explored = explore(world)
    record_property("schedules", explored.schedules)
    assert noticed >= 5


class Away(BackendWrapper):
    """A backend that cannot be reached for some calls."""

    def __init__(self, inner: Backend, calls: int) -> None:
        super().__init__(inner)
        self._left = calls

    async def around(self, call: str, step: Callable[[], Awaitable[T]]) -> T:
        if call == "log.append" and self._left:
            self._left -= 1
            raise Unavailable("as the test says")
        return await step()


@pytest.mark.parametrize("calls", [1, len(PAUSES), len(PAUSES) + 1])
def test_what_cannot_be_reached_is_waited_for(calls: int) -> None:
    one, other, slept = Memory(), Memory(), list[float]()
    fill(one)

    class Port(SteppingPort):
        async def sleep(self, seconds: float, wake: object = None, since: int = 0) -> None:
            slept.append(seconds)

    port = Port(Pauses(after=False, inside=False, outside=False))
    flow = LogCopying(one, Away(other, calls), port)
    coroutine = flow.run(verify=True, dry_run=False, follow=None, poll_interval=1.0, progress=None)
    if calls > len(PAUSES):
        with pytest.raises(Unavailable):
            Colour.BLOCKING.run(coroutine)
        assert not rows_of(other)
        assert copied(Colour.BLOCKING, one, other).copied == 12
    else:
        assert Colour.BLOCKING.run(coroutine).copied == 12
    assert slept == list(PAUSES[:calls])
    assert rows_of(other) == rows_of(one)


def test_attempts_that_take_long_are_fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    one, slept, clock = Memory(), list[float](), [0.0]

    class Slow(BackendWrapper):
        async def around(self, call: str, step: Callable[[], Awaitable[T]]) -> T:
            if call.startswith("log."):
                clock[0] += 10.0  # as long as a client of Kafka tries
                raise Unavailable("as the test says")
            return await step()

    class Port(SteppingPort):
        async def sleep(self, seconds: float, wake: object = None, since: int = 0) -> None:
            slept.append(seconds)
            clock[0] += seconds

    monkeypatch.setattr(comparing, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    flow = LogCopying(Slow(one), Memory(), Port(Pauses(after=False, inside=False, outside=False)))
    with pytest.raises(Unavailable):
        Colour.BLOCKING.run(flow.run(verify=True, dry_run=False, follow=None, poll_interval=1.0, progress=None))
    assert slept == list(PAUSES[:2])


class LosesAnswers(LogWrapper):
    """A log whose first answer to many appends is lost."""

    def __init__(self, inner: Log, lost: list[int]) -> None:
        super().__init__(inner)
        self._lost = lost

    async def append_many(self, appends: Sequence[Append]) -> list[Answer]:
        assert isinstance(self.inner, AppendsMany)
        answers = await self.inner.append_many(appends)
        self._lost.append(len(answers))
        if len(self._lost) == 1:
            raise OutcomeUnknown("as the test says")
        return answers


@pytest.mark.parametrize("kind", ["sqlite", "upstash"])
@pytest.mark.parametrize("counts", [True, False], ids=["by revisions", "by conditions"])
def test_the_answer_to_many_appends_at_once_is_lost(make: Make, kind: str, counts: bool) -> None:
    class Uncounted(BackendWrapper):
        capabilities = Capabilities(expected_revisions=counts)

    class Losing(BackendWrapper):
        lost: ClassVar[list[int]] = []

        def wrap_log(self, log: Log) -> Log:
            return LosesAnswers(log, self.lost)

    one, other = Memory(), make(kind)
    fill(one)
    assert copied(Colour.BLOCKING, Uncounted(one), Losing(other), verify=False).copied == 12
    assert Losing.lost == [len(HISTORY) - 1] * 2, "the last append may have gone on, and was sent by itself"
    assert rows_of(other) == rows_of(one)


def heads(log: Log) -> int:
    return Colour.BLOCKING.run(log.head())[0]


@pytest.mark.parametrize("kind", ["sqlite", "upstash"])
def test_many_appends_end_with_the_first_in_the_way(make: Make, kind: str) -> None:
    log = make(kind).log(Colour.BLOCKING.port)
    assert isinstance(log, AppendsMany)
    appends = [replace(HISTORY[0], expected=0), replace(HISTORY[4], expected=7), HISTORY[1]]
    answers = Colour.BLOCKING.run(log.append_many(appends))
    assert isinstance(answers[0], Appended)
    assert all(isinstance(answer, Conflict) for answer in answers[1:])
    assert heads(log) == 1, "neither the one that is in the way, nor what comes after it"
    assert [type(answer) for answer in Colour.BLOCKING.run(log.append_many(appends[1:]))] == [Conflict]


@pytest.mark.parametrize("kind", ["sqlite", "upstash"])
def test_many_appends_are_on_condition_that_nobody_else_writes(make: Make, kind: str) -> None:
    backend = make(kind)
    log = backend.log(Colour.BLOCKING.port)
    assert isinstance(log, AppendsMany)
    others = backend.log(Colour.BLOCKING.port)
    appends = [
        replace(each, condition=AppendCondition(Query.all(), after))
        for each, after in zip(HISTORY, (0, 1, 4), strict=False)
    ]
    Colour.BLOCKING.run(others.append(written("own", b"{}", number=7)))
    (answer,) = Colour.BLOCKING.run(log.append_many(appends))
    assert isinstance(answer, Unmet)
    assert heads(log) == 1


def test_somebody_else_writes_between_two_requests_of_many(upstash: LocalUpstash) -> None:
    """The first of many is a request of its own: what comes in after it keeps the others from being written."""
    port = Intruding()
    backend = UpstashRedis(upstash.redis_url, upstash.redis_token, namespace=uuid4().hex)
    log = backend.log(port)
    assert isinstance(log, AppendsMany)
    others = backend.log(Colour.BLOCKING.port)
    port.before = lambda: Colour.BLOCKING.run(others.append(written("own", b"{}", number=7)))
    answers = Colour.BLOCKING.run(log.append_many(HISTORY[:3]))
    assert len(answers) == 1
    assert [row[1] for row in rows_of(backend)] == ["a", "own"]


class Intruding(SteppingPort):
    """A port over which something is done before a request of many is sent."""

    def __init__(self) -> None:
        super().__init__(Pauses(after=False, inside=False, outside=False))
        self.before: Callable[[], object] = lambda: None

    async def send(self, request: HttpRequest) -> HttpResponse:
        if request.url.endswith("/pipeline"):
            self.before()
        return await super().send(request)


@pytest.mark.parametrize("roll_at", [1, 500, 1_500])
def test_a_log_that_is_cut_while_it_is_filled(upstash: LocalUpstash, roll_at: int) -> None:
    one = Memory()
    fill(one, [written(f"s{n % 3}", b"x" * (n % 40), number=2 * n, tags=b'["x"]') for n in range(50)])
    name = uuid4().hex
    other = UpstashRedis(upstash.redis_url, upstash.redis_token, namespace=name, roll_at=roll_at)
    assert copied(Colour.BLOCKING, one, other).copied == 50
    assert rows_of(other) == rows_of(one)


def test_a_client_of_the_official_package(upstash: LocalUpstash) -> None:
    with upstash_redis.Redis(upstash.redis_url, upstash.redis_token) as client:
        one, other = Memory(), UpstashRedis(client=client, namespace=uuid4().hex)
        fill(one)
        assert copied(Colour.BLOCKING, one, other).copied == 12
        assert rows_of(other) == rows_of(one)


KILLED = """
import os, signal, sys
from eventsource_upstash import LogCopy, SQLite, UpstashRedis
from tests.copying.support import Counting

def kill():
    os.kill(os.getpid(), signal.SIGKILL)

words = sys.argv[2:]
other = SQLite(words[1]) if len(words) == 2 else UpstashRedis(words[1], words[2], namespace=words[3])
LogCopy(SQLite(words[0]), Counting(other, "log.append", int(sys.argv[1]), kill)).run()
"""


@pytest.mark.parametrize("kind", ["sqlite", "upstash"])
def test_killed(tmp_path: Path, make: Make, kind: str, request: pytest.FixtureRequest) -> None:
    one = make("sqlite")
    assert isinstance(one, SQLite)
    fill(one)
    other = make(kind)
    if isinstance(other, SQLite):
        words = [other.path]
    else:
        running = request.getfixturevalue("upstash")
        words = [running.redis_url, running.redis_token, other.namespace]  # type: ignore[attr-defined]
    for there in (1, 5):  # before append 2 of what is left, and before append 3
        number = 2 if there == 1 else 3
        child = subprocess.run(
            [sys.executable, "-c", KILLED, str(number), one.path, *words],
            check=False,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            timeout=60,
        )
        assert child.returncode == -signal.SIGKILL
        rows = rows_of(other)
        assert rows == rows_of(one)[: len(rows)]
        assert 0 < len(rows) < 12
    done = copied(Colour.BLOCKING, one, other)
    assert done.found > 0
    assert rows_of(other) == rows_of(one)
    assert done.found + done.copied == 12
