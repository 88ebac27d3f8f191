"""What a review found: appends that arrive late, scripts that end half-way, and what is no longer as it was left."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count

import pytest
import redis
import upstash_redis

from eventsource_upstash import App, CorruptLog, LogRewound, Refused, TooLarge, UpstashRedis
from eventsource_upstash._io import blocking
from eventsource_upstash.backends.redis.archives import Archives
from eventsource_upstash.backends.redis.keys import Keys
from eventsource_upstash.backends.redis.log import APPEND, RedisLog
from eventsource_upstash.backends.redis.scripts import Script
from eventsource_upstash.backends.redis.transport import HttpTransport, Transport
from eventsource_upstash.backends.redis.views import RedisViews
from eventsource_upstash.domain.events import ANY, EXISTS, Appended, Expectation, Receipt
from eventsource_upstash.domain.projections import ProjectionId
from eventsource_upstash.local import Limits, LocalUpstash
from eventsource_upstash.ports import MAX_PAGE_BYTES, Append, Commit, Conflict, KeyReused, Pull, Unmet
from tests.unit.todo import CompleteTask, CreateTask, TaskCreated, Todo, todo

_numbers = count(1)
NOW = 1_800_000_000_000_000


@pytest.fixture
def namespace() -> str:
    return f"review-{next(_numbers)}"


@pytest.fixture
def the() -> Todo:
    return todo()


@pytest.fixture
def engine(upstash: LocalUpstash) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(upstash.engine_url, decode_responses=True) as client:
        yield client


@pytest.fixture
def app(upstash: LocalUpstash, namespace: str, the: Todo) -> App:
    return App(UpstashRedis(upstash.redis_url, upstash.redis_token, namespace=namespace), the.registry, None)


def ids(app: App) -> list[str]:
    return [recorded.event.id for recorded in app.event_store.read() if isinstance(recorded.event, TaskCreated)]


class Recording(HttpTransport):
    """Keeps what it sent, so that it can arrive once more."""

    def __init__(self, upstash: LocalUpstash) -> None:
        super().__init__(blocking.PORT, upstash.redis_url, upstash.redis_token)
        self.scripts: list[tuple[Script, Sequence[str], Sequence[str | int]]] = []

    async def script(
        self,
        script: Script,
        keys: Sequence[str],
        args: Sequence[str | int],
        *,
        again: Sequence[str | int] | None = None,
    ) -> tuple[object, Receipt]:
        self.scripts.append((script, list(keys), list(args)))
        return await super().script(script, keys, args, again=again)


def log_of(
    transport: Transport, namespace: str, archives: Archives | None = None, *, roll_at: int = 16_000_000
) -> RedisLog:
    return RedisLog(transport, Keys(namespace), archives or Archives(), roll_at=roll_at, lost_after_us=60_000_000)


def an(number: int, *, stream: str = "s", expected: int | Expectation = ANY, at: int = NOW, events: int = 1) -> Append:
    return Append(stream, expected, [("t", 1, b"%d" % number)] * events, at, number * 1000)


def append(log: RedisLog, what: Append) -> Appended:
    answer = blocking.run(log.append(what))
    assert isinstance(answer, Appended)
    return answer


def payloads(log: RedisLog) -> list[bytes]:
    return [row[9] for row in blocking.run(log.read(0, 1000, MAX_PAGE_BYTES)).events]


# Late and doubled requests.


@pytest.mark.parametrize("expected", [ANY, EXISTS])
@pytest.mark.parametrize("roll_at", [16_000_000, 400])
def test_a_request_that_arrives_once_more_behind_newer_ones_is_not_written_twice(
    upstash: LocalUpstash, namespace: str, expected: Expectation, roll_at: int
) -> None:
    """A try that the caller gave up on, or that a proxy doubled, reaches the server after others have appended."""
    transport = Recording(upstash)
    log = log_of(transport, namespace, roll_at=roll_at)
    append(log, an(0, at=NOW - 1))
    first = append(log, an(1, expected=expected))
    late = transport.scripts[-1]
    append(log, an(2, at=NOW + 1))
    answer, _ = blocking.run(HttpTransport.script(transport, *late))
    assert isinstance(answer, list)
    assert answer[0] == "repeated"
    assert answer[2:4] == [str(first.position), str(first.revision)]
    assert payloads(log) == [b"0", b"1", b"2"]


def test_to_look_for_a_late_request_costs_nothing_where_time_goes_on(upstash: LocalUpstash, namespace: str) -> None:
    log = log_of(Recording(upstash), namespace)
    assert [append(log, an(number, at=NOW + number)).receipt.commands for number in range(4)][1:] == [6, 6, 6]
    assert append(log, an(9, at=NOW)).receipt.commands == 7, "a clock that is behind costs one more"


@pytest.mark.parametrize("roll_at", [16_000_000, 400])
def test_a_busy_stream_takes_appends_through_an_official_client(
    upstash: LocalUpstash, namespace: str, the: Todo, roll_at: int
) -> None:
    """It may send twice, so each append looks for itself; not to find itself is no failure while none is known."""
    backend = UpstashRedis(upstash.redis_url, upstash.redis_token, namespace=namespace, roll_at=roll_at)
    plain = App(backend, the.registry, None)
    for number in range(205):
        plain.event_store.append("tasks", TaskCreated(str(number), "x"))
    with upstash_redis.Redis(upstash.redis_url, upstash.redis_token, allow_telemetry=False) as client:
        busy = App(UpstashRedis(client=client, namespace=namespace, roll_at=roll_at), the.registry, None)
        assert busy.event_store.append("tasks", TaskCreated("last", "x")).revision == 206
    assert len(ids(plain)) == 206


# Scripts that end half-way.


def test_an_append_of_more_events_than_a_script_can_take_is_refused_before_it_is_sent(app: App) -> None:
    events = [TaskCreated(str(number), "x") for number in range(5_000)]
    for _ in range(2):
        with pytest.raises(TooLarge, match="5000 events"):
            app.event_store.append("tasks", *events, idempotency_key="import")
    assert app.event_store.head() == 0
    for start in range(0, 3_000, 1_000):
        app.event_store.append("tasks", *events[start : start + 1_000])
    assert len(ids(app)) == 3_000


def test_a_database_that_is_full_for_long_takes_appends_when_there_is_space_again(
    upstash: LocalUpstash, app: App, engine: redis.Redis, namespace: str, the: Todo
) -> None:
    app.event_store.append("tasks", TaskCreated("1", "x"))
    user = f"limited-{namespace}"
    engine.acl_setuser(user, enabled=True, reset=True, passwords=["+x"], keys=["*"], commands=["+@all", "-mset"])
    scheme, _, place = upstash.engine_url.partition("://")
    with LocalUpstash(engine_url=f"{scheme}://{user}:x@{place.rpartition('@')[2]}") as limited:
        other = App(UpstashRedis(limited.redis_url, limited.redis_token, namespace=namespace), the.registry, None)
        for _ in range(25):
            with pytest.raises(Refused):
                other.event_store.append("tasks", TaskCreated("2", "x"))
    engine.acl_deluser(user)
    assert app.event_store.append("tasks", TaskCreated("2", "x")).position == 2
    assert ids(app) == ["1", "2"]
    assert [recorded.revision for recorded in app.event_store.read_stream("tasks")] == [1, 2]


@pytest.mark.parametrize("damage", ["gone", "foreign"])
@pytest.mark.parametrize("events", [1, 2, 3, 5])
def test_a_log_whose_head_is_lost_is_not_written_over(
    app: App, engine: redis.Redis, namespace: str, damage: str, events: int
) -> None:
    """However many events are appended: those that are there stay, and nothing comes to stand among them."""
    app.event_store.append("tasks", TaskCreated("1", "x"))
    app.event_store.append("tasks", TaskCreated("2", "x"))
    head, log = f"{{{namespace}}}:head", f"{{{namespace}}}:log"
    engine.delete(head)
    if damage == "foreign":
        engine.rpush(head, "somebody's")
    with pytest.raises((LogRewound, Refused)):
        app.event_store.append("others", *[TaskCreated(str(number), "x") for number in range(events)])
    assert [entry for entry, _ in engine.xrange(log) or ()] == ["1-0", "2-0"]


def test_an_older_head_is_seen_in_the_stream(app: App, engine: redis.Redis, namespace: str) -> None:
    app.event_store.append("tasks", TaskCreated("1", "x"))
    head = engine.get(f"{{{namespace}}}:head")
    app.event_store.append("tasks", TaskCreated("2", "x"))
    engine.set(f"{{{namespace}}}:head", str(head))
    with pytest.raises(LogRewound):
        app.event_store.append("tasks", *[TaskCreated(str(number), "x") for number in range(4)])
    assert engine.xlen(f"{{{namespace}}}:log") == 2


def test_entries_of_the_log_that_overlap_are_told(app: App, engine: redis.Redis, namespace: str) -> None:
    app.event_store.append("one", TaskCreated("1", "x"))
    head = engine.get(f"{{{namespace}}}:head")
    app.event_store.append("two", TaskCreated("2", "x"))
    engine.set(f"{{{namespace}}}:head", str(head))  # a fail-over that lost the last write of one key
    app.event_store.append("three", TaskCreated("3", "x"), TaskCreated("4", "x"))
    with pytest.raises(CorruptLog):
        list(app.event_store.read())


@pytest.mark.parametrize("record", ["somebody's", "", "a b c d"])
def test_something_else_at_an_idempotency_key(app: App, engine: redis.Redis, namespace: str, record: str) -> None:
    engine.set(f"{{{namespace}}}:once:k", record)
    with pytest.raises(Refused, match="once:k"):
        app.event_store.append("tasks", TaskCreated("1", "x"), idempotency_key="k")
    assert app.event_store.head() == 0


# Threads.


class Restless(Archives):
    """As another thread would have it: each look finds another number, the right one every other time."""

    def __init__(self) -> None:
        self.looks = 0
        self._log = self._reading = 0
        super().__init__()

    @property
    def log(self) -> int:
        self.looks += 1
        return self._log if self.looks % 2 else self._log + 1

    @log.setter
    def log(self, value: int) -> None:
        self._log = value

    @property
    def reading(self) -> int:
        self.looks += 1
        return self._reading if self.looks % 2 else self._reading + 1

    @reading.setter
    def reading(self, value: int) -> None:
        self._reading = value


def test_threads_that_are_at_other_archives_confuse_nobody(upstash: LocalUpstash, namespace: str) -> None:
    for looks in (0, 1):
        archives = Restless()
        log = log_of(Recording(upstash), f"{namespace}-{looks}", archives, roll_at=1)
        for number in range(4):
            archives.looks = looks
            append(log, an(number, at=NOW + number))
        for after in range(4):
            archives.looks = looks
            page = blocking.run(log.read(after, 1, MAX_PAGE_BYTES))
            assert [row[9] for row in page.events] == [b"%d" % after]


def test_the_scripts_of_appends_are_what_is_recorded(upstash: LocalUpstash, namespace: str) -> None:
    transport = Recording(upstash)
    append(log_of(transport, namespace), an(1))
    assert [script for script, _, _ in transport.scripts] == [APPEND]


# What the service does otherwise than one would think.


class Lagging(Recording):
    """A copy that has seen nothing yet answers each plain command."""

    async def command(self, *command: str | int) -> tuple[object, Receipt]:
        return None, Receipt(1, 1)


def test_a_copy_that_lags_behind_neither_sets_the_head_back_nor_writes_twice(
    upstash: LocalUpstash, namespace: str
) -> None:
    """Views that are kept elsewhere, and are ahead of such a head, would take the log for rewound."""
    log = log_of(Lagging(upstash), namespace)
    keyed = Append("s", ANY, [("t", 1, b"1")], NOW, 1, key="k", digest=b"1")
    first = append(log, keyed)
    assert blocking.run(log.head())[0] == 1
    assert isinstance(blocking.run(log.recall("s", "k")), Receipt), "the copy does not know"
    again = append(log, keyed)
    assert again.repeated
    assert (again.position, blocking.run(log.head())[0]) == (first.position, 1)


def test_pages_get_smaller_where_the_server_gives_none_so_large(namespace: str, the: Todo) -> None:
    with LocalUpstash(limits=Limits(request=500_000)) as small:
        app = App(UpstashRedis(small.redis_url, small.redis_token, namespace=namespace), the.registry, None)
        for number in range(100):
            app.event_store.append("tasks", TaskCreated(str(number), "x" * 20_000))
        wanted = [str(number) for number in range(100)]
        assert ids(app) == wanted
        stream = UpstashRedis(small.redis_url, small.redis_token, namespace=namespace)  # it has learnt nothing yet
        other = App(stream, the.registry, None).event_store
        assert [recorded.revision for recorded in other.read_stream("tasks")] == list(range(1, 101))
        app.event_store.append("tasks", TaskCreated("large", "x" * 400_000))
        assert ids(app) == [*wanted, "large"]


def test_a_conflict_carries_what_was_missed_from_every_key_of_the_stream(upstash: LocalUpstash, namespace: str) -> None:
    log = log_of(Recording(upstash), namespace, Archives(), roll_at=1)
    for number in range(8):
        append(log, an(number, at=NOW + number))
    conflict = blocking.run(log.append(an(9, at=NOW + 9, expected=0)))
    assert isinstance(conflict, Conflict)
    assert [row[2] for row in conflict.missed] == list(range(1, 9))
    assert (conflict.actual, conflict.complete) == (8, True)


def test_views_look_once_where_other_threads_read(upstash: LocalUpstash, namespace: str) -> None:
    for looks in (0, 1):
        archives = Restless()
        log = log_of(Recording(upstash), f"{namespace}-{looks}", archives, roll_at=1)
        for number in range(4):
            append(log, an(number, at=NOW + number))
        views = RedisViews(log.transport, Keys(f"{namespace}-{looks}"), log, archives)
        view = ProjectionId("v", 1)
        for number in range(3):
            archives.looks = looks
            pulled = blocking.run(views.pull(Pull((view,), 1, 1000)))
            assert [row[9] for row in pulled.events] == [b"%d" % number]
            archives.looks = looks
            blocking.run(views.commit([Commit(view, 1, number, number + 1, {})], Pull((view,), 1, 1000)))


def test_a_catch_up_asks_for_less_where_the_server_gives_no_more(namespace: str, the: Todo) -> None:
    with LocalUpstash(limits=Limits(request=500_000)) as small:
        app = App(UpstashRedis(small.redis_url, small.redis_token, namespace=namespace), the.registry, None)
        app.event_store.append("tasks", *[TaskCreated(f"a{number}", "y") for number in range(1000)])
        for number in range(60):
            app.event_store.append("tasks", TaskCreated(str(number), "x" * 20_000))
        assert app.projector.catch_up().complete
        assert app.projection_store.view(the.tasks).count() == 1_060


def test_what_an_execution_costs_is_all_counted(upstash: LocalUpstash, namespace: str, the: Todo) -> None:
    def counted() -> tuple[float, float]:
        mine = upstash.metrics()["redis"].get(namespace, {})
        return mine.get("requests", 0), mine.get("commands", 0)

    app = App(UpstashRedis(upstash.redis_url, upstash.token_for(namespace), namespace=namespace), the.registry, None)
    other = App(UpstashRedis(upstash.redis_url, upstash.redis_token, namespace=namespace), the.registry, None)
    before = counted()
    done = app.event_store.execute(the.task, "tasks", CreateTask("1", "x"), idempotency_key="k")
    after = counted()
    assert (done.receipt.requests, done.receipt.commands) == (after[0] - before[0], after[1] - before[1])

    log = app.event_store.flow.log
    real, late = log.append, [True]

    async def overtaken(what: Append) -> Appended | Conflict | KeyReused | Unmet:
        if late.pop() if late else False:
            other.event_store.append("tasks", TaskCreated("2", "x"))
        return await real(what)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(log, "append", overtaken)
        before = counted()
        done = app.event_store.execute(the.task, "tasks", CompleteTask())
        after = counted()
    assert done.revision == 3
    assert (done.receipt.requests, done.receipt.commands) == (after[0] - before[0], after[1] - before[1])
