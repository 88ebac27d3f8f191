"""Where the cases are run: each backend, and how it is stepped.

Every actor of a case opens the storage for itself, as a process of its own does: what one of them knows, no other one
does. Two actors share what is stored, and nothing else.
"""

from __future__ import annotations

import itertools
import logging
import secrets
import shutil
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

from redis import Redis as Engine

from eventsource_upstash import EventStore, Memory, Refused, Registry, SQLite
from eventsource_upstash._io import blocking
from eventsource_upstash._io.port import HttpRequest, HttpResponse, Port
from eventsource_upstash.backends.kafka.backend import Kafka
from eventsource_upstash.backends.redis import UpstashRedis, commits, finding, index, log, pulling, reading, views
from eventsource_upstash.backends.redis.scripts import Script
from eventsource_upstash.local import LocalUpstash
from eventsource_upstash.ports import Backend
from eventsource_upstash.testing import pausing
from eventsource_upstash.testing.pausing import Pauses, PausingBackend
from tests.kafka.memory_topic import MemoryTopic
from tests.stepping.model import LOST_AFTER_US, OwingMemory, Watched

T = TypeVar("T")

MEMORY: Final = "memory"
MODEL: Final = "model"
SQLITE: Final = "SQLite"
KAFKA: Final = "Kafka"
TOPIC: Final = "Kafka, each request"
REDIS: Final = "Redis"
CUT: Final = "Redis, cut"
TOLD: Final = "Redis, told"

SCRIPTED: Final = (commits, finding, index, log, pulling, reading, views)


# What changes nothing: of calls, and of scripts. A pull settles the outstanding notification, where there may be one.
READING: Final = frozenset(
    (
        *("log.head", "log.read", "log.read_stream", "log.recall", "log.partitions"),
        *("views.load", "views.get_many", "views.items", "views.find", "views.count", "views.rank", "views.ended"),
        *("views.records", "views.progress"),
    )
)


def _calls_that_read(call: str, what: object) -> bool:
    return call in READING


def calls_that_read_and_pulls(call: str, what: object) -> bool:
    return call in READING or call == "views.pull"


def _transactions_that_read(call: str, what: object) -> bool:
    return isinstance(what, partial) and what.func.__name__ == "read"


def _requests_that_read(call: str, what: object) -> bool:
    return call in READING or getattr(what, "__name__", "") in {"partitions", "bounds", "fetch"}


def _scripts_that_read(*more: Script) -> Callable[[str, object], bool]:
    shas = {each.sha for each in more}
    for module in SCRIPTED:
        shas |= {each.sha for each in vars(module).values() if isinstance(each, Script) and each.reads}

    def reads(call: str, what: object) -> bool:
        if not isinstance(what, HttpRequest):
            return False
        words = what.body.split(b'"', 5)
        return words[1] in {b"GET", b"MGET"} or (words[1] == b"EVALSHA" and words[3].decode() in shas)

    return reads


class _PausingTopic(PausingBackend):
    """Stops at each wait of the log, and around each call to the views."""

    async def around(self, call: str, step: Callable[[], Awaitable[T]]) -> T:
        return await step() if call.startswith("log.") else await super().around(call, step)


def _around_calls(backend: Backend, reads: Callable[[str, object], bool] = calls_that_read_and_pulls) -> Backend:
    return pausing(backend, reads=reads)


def _at_waits(backend: Backend, reads: Callable[[str, object], bool], port: Port = blocking.PORT) -> Backend:
    return pausing(backend, inside=True, outside=False, reads=reads, port=port)


def _at_waits_of_the_log(backend: Backend) -> Backend:
    return _PausingTopic(backend, Pauses(after=True, inside=True, reads=_requests_that_read))


class Storage(NamedTuple):
    """Empty storage.

    Attributes:
        opened: Opens it, as another process does.
        stepped: Opens it, pausing at each step.
        shared: All that is stored: what two processes share.
    """

    opened: Callable[[], Backend]
    stepped: Callable[[], Backend]
    shared: Callable[[], object]


class Place(NamedTuple):
    """A backend.

    Attributes:
        name: What the table calls it.
        fresh: Makes empty storage.
    """

    name: str
    fresh: Callable[[], Storage]


@contextmanager
def memory() -> Iterator[Place]:
    def fresh() -> Storage:
        backend = Memory()
        return Storage(lambda: backend, lambda: _around_calls(backend), lambda: backend._state)

    yield Place(MEMORY, fresh)


@contextmanager
def model(lost_after_us: float = LOST_AFTER_US) -> Iterator[Place]:
    """Memory, where notifications cost something, so that one is remembered as outstanding."""

    def fresh() -> Storage:
        backend = Watched(OwingMemory(lost_after_us))
        return Storage(lambda: backend, lambda: _around_calls(backend, _calls_that_read), backend.seen)

    yield Place(MODEL, fresh)


@contextmanager
def kafka(*, waits: bool = False) -> Iterator[Place]:
    """The double: Kafka's log over a topic in memory of two partitions, with views in memory.

    Args:
        waits: Whether each request to the topic is a step, rather than each call to the log.
    """

    def fresh() -> Storage:
        topic, beside = MemoryTopic(partitions=2), Memory()

        def opened() -> Backend:
            return Kafka(topic, views=beside)

        stepped = _at_waits_of_the_log if waits else _around_calls
        return Storage(opened, lambda: stepped(opened()), lambda: (topic._partitions, beside._state))

    yield Place(TOPIC if waits else KAFKA, fresh)


@contextmanager
def sqlite(folder: Path) -> Iterator[Place]:
    """A file for each schedule: a copy of one with its tables."""
    template = folder / "template.db"
    first = SQLite(template, synchronous="NORMAL")
    EventStore(first, Registry()).head()
    first.close()
    numbers = itertools.count()
    opened: list[SQLite] = []

    def close() -> None:
        for each in opened:
            each.close()
        for name in {each.path for each in opened}:
            for file in (name, f"{name}-wal", f"{name}-shm"):
                Path(file).unlink(missing_ok=True)
        opened.clear()

    def fresh() -> Storage:
        close()
        path = folder / f"{next(numbers)}.db"
        shutil.copyfile(template, path)

        def another() -> Backend:
            opened.append(SQLite(path, synchronous="NORMAL"))
            return opened[-1]

        return Storage(another, lambda: _at_waits(another(), _transactions_that_read), lambda: rows(path))

    yield Place(SQLITE, fresh)
    close()


def rows(path: Path) -> object:
    """All that is in a file."""
    with closing(sqlite3.connect(path)) as aside:
        tables = [
            name for (name,) in aside.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
        ]
        return [(name, aside.execute(f'SELECT * FROM "{name}"').fetchall()) for name in tables]


@contextmanager
def redis(upstash: LocalUpstash, *, cut: bool = False, told: bool = False) -> Iterator[Place]:
    """A namespace for each schedule, over HTTP.

    Args:
        upstash: The server.
        told: Whether appends tell somebody, so that a notification may be outstanding.
        cut: Whether each append finds its keys full, and puts them away first.
    """
    namespace = secrets.token_hex(6)
    options = {"roll_at": 1} if cut else {}

    def opened() -> Backend:
        return UpstashRedis(upstash.redis_url, upstash.redis_token, namespace=namespace, **options)

    def fresh() -> Storage:
        empty(args=[namespace])
        return Storage(opened, lambda: _at_waits(opened(), reads, PlainPort()), lambda: told_by(args=[namespace]))

    reads = _scripts_that_read() if told else _scripts_that_read(pulling.PULL)
    send_scripts(upstash)
    with Engine.from_url(upstash.engine_url) as engine:
        empty, told_by = engine.register_script(EMPTY), engine.register_script(CONTENT)
        yield Place(CUT if cut else TOLD if told else REDIS, fresh)
        empty(args=[namespace])


EMPTY: Final = "for _, key in ipairs(redis.call('KEYS', '{' .. ARGV[1] .. '}:*')) do redis.call('DEL', key) end"

CONTENT: Final = """
local names, content = redis.call('KEYS', '{' .. ARGV[1] .. '}:*'), {}
local reads = {
    string = { 'GET' }, hash = { 'HGETALL' }, set = { 'SMEMBERS' }, list = { 'LRANGE', 0, -1 },
    zset = { 'ZRANGE', 0, -1, 'WITHSCORES' }, stream = { 'XRANGE', '-', '+' },
}
table.sort(names)
for index, key in ipairs(names) do
    local kind = redis.call('TYPE', key).ok
    local command = reads[kind]
    content[index] = {
        key, kind, redis.call('TTL', key) >= 0 and 1 or 0, redis.call(command[1], key, unpack(command, 2)),
    }
end
return content
"""


class PlainPort(blocking.BlockingPort):
    """Leaves out of an answer what follows from nothing that is stored: when it was given, and by which server."""

    async def send(self, request: HttpRequest) -> HttpResponse:
        answer = await super().send(request)
        return HttpResponse(answer.status, {}, answer.body)


def send_scripts(upstash: LocalUpstash) -> None:
    """Have the server know every script: that it has to be sent one belongs to no schedule."""
    transport = UpstashRedis(upstash.redis_url, upstash.redis_token, namespace="scripts").transport(blocking.PORT)
    for module in SCRIPTED:
        for script in vars(module).values():
            if isinstance(script, Script):
                with suppress(Refused):  # without keys it cannot go well; it is known from then on
                    blocking.run(transport.script(script, [], []))


@contextmanager
def quietly() -> Iterator[None]:
    """What goes wrong in thousands of schedules is logged as it should be, and takes most of the time."""
    logger = logging.getLogger("eventsource_upstash")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)
