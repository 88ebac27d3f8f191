"""Days on which Upstash Redis says no: each has its error and its remedy, and nothing is lost or half-written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count

import pytest
import redis

from eventsource_upstash import (
    App,
    ConcurrencyError,
    CorruptLog,
    EventStore,
    LogReplaced,
    LogRewound,
    Memory,
    OutcomeUnknown,
    ProjectionStore,
    Projector,
    Refused,
    TooLarge,
    UpstashRedis,
)
from eventsource_upstash.local import Limits, LocalUpstash
from tests.unit.todo import Task, TaskCreated, Todo, todo

_numbers = count(1)


@pytest.fixture(scope="module")
def own() -> Iterator[LocalUpstash]:
    """A local Upstash that these tests may spoil."""
    with LocalUpstash() as running:
        yield running


@pytest.fixture
def namespace(own: LocalUpstash) -> Iterator[str]:
    yield f"bad-{next(_numbers)}"
    own.faults.clear()


@pytest.fixture
def the() -> Todo:
    return todo()


@pytest.fixture
def engine(own: LocalUpstash) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(own.engine_url, decode_responses=True) as client:
        yield client


@pytest.fixture
def app(own: LocalUpstash, namespace: str, the: Todo) -> App:
    return App(UpstashRedis(own.redis_url, own.redis_token, namespace=namespace), the.registry, None)


def append(app: App, *names: str, stream: str = "tasks") -> int:
    return app.event_store.append(stream, *[TaskCreated(name, "x") for name in names]).position


def ids(app: App) -> list[str]:
    return [recorded.event.id for recorded in app.event_store.read() if isinstance(recorded.event, TaskCreated)]


def test_a_wrong_token(own: LocalUpstash, namespace: str, the: Todo) -> None:
    store = EventStore(UpstashRedis(own.redis_url, "not-the-token", namespace=namespace), the.registry)
    with pytest.raises(Refused, match="Check the token, UPSTASH_REDIS_REST_TOKEN") as caught:
        store.append("tasks", TaskCreated("1", "x"))
    assert "not-the-token" not in str(caught.value)
    assert "not-the-token" not in repr(store)


def test_a_read_only_token_reads_and_does_not_write(own: LocalUpstash, app: App, namespace: str, the: Todo) -> None:
    append(app, "1")
    app.projector.catch_up()
    reading = UpstashRedis(own.redis_url, own.read_only_token, namespace=namespace)
    assert ProjectionStore(reading, the.registry).view(the.tasks).get("1") == Task("1", "x")
    with pytest.raises(Refused, match="a read-only token cannot write"):
        EventStore(reading, the.registry).append("tasks", TaskCreated("2", "x"))
    assert ids(app) == ["1"]


def test_the_quota_is_used_up_and_is_not_asked_again(own: LocalUpstash, app: App) -> None:
    append(app, "1")
    fault = own.faults.add("quota", half="redis", count=None)
    with pytest.raises(Refused, match="quota of requests is used up"):
        append(app, "2")
    assert fault.struck == 1
    own.faults.clear()
    assert append(app, "2") == 2


def test_the_database_is_full(own: LocalUpstash, app: App, the: Todo) -> None:
    append(app, "1")
    own.faults.add("database-full", half="redis", count=None)
    with pytest.raises(Refused, match="The database is full: raise its plan"):
        append(app, "2")
    with pytest.raises(Refused, match="The database is full: raise its plan"):
        app.projector.catch_up()
    own.faults.clear()
    append(app, "2")
    app.projector.catch_up()
    assert [key for key, _ in app.projection_store.view(the.tasks).items()] == ids(app) == ["1", "2"]


@pytest.mark.parametrize("command", ["xadd", "mset", "renamenx", "zadd"])
def test_one_command_of_a_script_is_refused(
    own: LocalUpstash, app: App, engine: redis.Redis, namespace: str, the: Todo, command: str
) -> None:
    """As a database may be that gets full in the middle of a script: here the engine's rights do it."""
    append(app, "1")
    append(app, "2")
    engine.acl_setuser(
        "limited", enabled=True, reset=True, passwords=["+x"], keys=["*"], commands=["+@all", f"-{command}"]
    )
    scheme, _, place = own.engine_url.partition("://")
    with LocalUpstash(engine_url=f"{scheme}://limited:x@{place.rpartition('@')[2]}") as limited:
        backend = UpstashRedis(limited.redis_url, limited.redis_token, namespace=namespace, roll_at=1)
        other = App(backend, the.registry, None)
        refused = 0
        for work in (
            lambda: other.event_store.append("tasks", TaskCreated("3", "x"), idempotency_key="k"),
            other.projector.catch_up,
        ):
            try:
                work()
            except Refused:  # noqa: PERF203
                refused += 1
        assert refused
    app.event_store.append("tasks", TaskCreated("3", "x"), idempotency_key="k")
    append(app, "4")
    app.projector.catch_up()
    assert ids(app) == [key for key, _ in app.projection_store.view(the.tasks).items()] == ["1", "2", "3", "4"]
    assert [recorded.revision for recorded in app.event_store.read_stream("tasks")] == [1, 2, 3, 4]
    assert app.projection_store.view(the.tasks).count() == 4


def test_an_append_that_is_too_large(app: App) -> None:
    with pytest.raises(TooLarge, match=r"the append of 1 event.* to stream 'tasks' has [0-9]+ bytes") as caught:
        app.event_store.append("tasks", TaskCreated("1", "x" * 8_000_000))
    assert caught.value.size is not None
    assert caught.value.size > caught.value.limit == 8_000_000
    assert app.event_store.head() == 0


def test_a_record_that_is_too_large_for_the_plan(namespace: str, the: Todo) -> None:
    with LocalUpstash(limits=Limits(record=20_000)) as small:
        app = App(UpstashRedis(small.redis_url, small.redis_token, namespace=namespace), the.registry, None)
        append(app, "1")
        with pytest.raises(Refused, match=r"raise the plan|One key holds more"):
            app.event_store.append("tasks", TaskCreated("2", "x" * 30_000))
        assert ids(app) == ["1"]
        assert append(app, "2") == 2


@pytest.mark.parametrize("key", ["log", "stream:tasks", "once:k", "head"])
def test_a_foreign_key_in_the_way(app: App, engine: redis.Redis, namespace: str, key: str) -> None:
    engine.rpush(f"{{{namespace}}}:{key}", "somebody's")
    with pytest.raises(Refused, match="namespace") as caught:
        app.event_store.append("tasks", TaskCreated("1", "x"), idempotency_key="k")
    assert namespace in str(caught.value)
    assert engine.lrange(f"{{{namespace}}}:{key}", 0, -1) == ["somebody's"]
    left = {found for found in engine.keys("*") if found.startswith(f"{{{namespace}}}:")}
    for found in left - {f"{{{namespace}}}:{key}"}:
        assert engine.xlen(found) == 0, "something was half-written"


def test_a_foreign_key_in_the_way_of_a_view(app: App, engine: redis.Redis, namespace: str) -> None:
    append(app, "1")
    engine.set(f"{{{namespace}}}:keys:tasks@1:1", "somebody's")
    with pytest.raises(Refused, match="namespace"):
        app.projector.catch_up()
    engine.delete(f"{{{namespace}}}:keys:tasks@1:1")
    assert app.projector.catch_up().complete


def test_a_namespace_that_something_else_uses(app: App, engine: redis.Redis, namespace: str) -> None:
    engine.set(f"{{{namespace}}}:head", '{"version": 7}')
    refused: list[Callable[[], object]] = [
        lambda: append(app, "1"),
        app.event_store.head,
        lambda: list(app.event_store.read()),
        app.projector.catch_up,
        app.projection_store.status,
    ]
    for ask in refused:
        with pytest.raises(Refused, match="Choose another namespace"):
            ask()
    assert engine.get(f"{{{namespace}}}:head") == '{"version": 7}'


def test_an_event_that_was_evicted(app: App, engine: redis.Redis, namespace: str) -> None:
    for name in "123":
        append(app, name)
    engine.xdel(f"{{{namespace}}}:log", "2-0")
    with pytest.raises(CorruptLog, match=r"no event after position 1, .* switch eviction off"):
        list(app.event_store.read())
    with pytest.raises(CorruptLog, match="no event after position 1"):
        app.projector.catch_up()
    engine.xdel(f"{{{namespace}}}:stream:tasks", "2-0")
    with pytest.raises(CorruptLog, match="'tasks' has no event after revision 1"):
        list(app.event_store.read_stream("tasks"))


def test_a_log_that_was_evicted_as_a_whole(app: App, engine: redis.Redis, namespace: str) -> None:
    append(app, "1")
    engine.delete(f"{{{namespace}}}:log")
    with pytest.raises(CorruptLog):
        list(app.event_store.read())


def test_the_head_is_older_than_the_log(app: App, engine: redis.Redis, namespace: str) -> None:
    append(app, "1")
    head = engine.get(f"{{{namespace}}}:head")
    append(app, "2")
    engine.set(f"{{{namespace}}}:head", str(head))  # a fail-over that lost the last write of one key
    with pytest.raises(LogRewound, match="position"):
        append(app, "3", stream="others")
    assert engine.xlen(f"{{{namespace}}}:log") == 2, "an event that was acknowledged is gone"


def test_a_database_restored_from_a_backup(app: App, engine: redis.Redis, namespace: str, the: Todo) -> None:
    append(app, "1")
    app.projector.catch_up()
    backup = {key: engine.dump(key) for key in engine.keys("*") if key.startswith(f"{{{namespace}}}:")}
    token = append(app, "2")
    app.projector.catch_up()
    for key in engine.keys("*"):
        if key.startswith(f"{{{namespace}}}:"):
            engine.delete(key)
    for key, value in backup.items():
        engine.restore(key, 0, value)  # type: ignore[arg-type]
    view = app.projection_store.view(the.tasks)
    with pytest.raises(LogRewound, match=f"{token}"):
        view.get("2", at_least=token)
    assert view.count() == 1
    with pytest.raises(ConcurrencyError):
        app.event_store.append("tasks", TaskCreated("3", "x"), expected_revision=2)
    assert append(app, "3") == token
    app.projector.catch_up()
    assert [key for key, _ in view.items()] == ["1", "3"]


def test_a_view_kept_here_of_a_log_that_is_elsewhere_and_began_anew(app: App, the: Todo) -> None:
    def elsewhere(*names: str) -> tuple[Projector, ProjectionStore]:
        log = App(Memory(), the.registry, None)
        append(log, *names)
        store = ProjectionStore(app.backend, the.registry, log_backend=log.backend)
        return Projector(log.event_store, store), store

    projector, _ = elsewhere("1", "2")
    assert projector.catch_up().complete
    projector, store = elsewhere("5", "6", "7")
    with pytest.raises(LogReplaced, match="'tasks' is at position 2"):
        projector.catch_up()
    assert [key for key, _ in store.view(the.tasks).items()] == ["1", "2"]


def test_a_view_that_is_ahead_of_a_restored_log(app: App, engine: redis.Redis, namespace: str) -> None:
    append(app, "1")
    head = engine.get(f"{{{namespace}}}:head")
    append(app, "2")
    app.projector.catch_up()
    engine.set(f"{{{namespace}}}:head", str(head))
    with pytest.raises(LogRewound, match="'tasks'"):
        app.projector.catch_up()
    (status,) = app.projection_store.status()
    assert status.state == "rewound"


def test_a_lost_answer_is_asked_for_again(own: LocalUpstash, app: App) -> None:
    append(app, "0")
    for number, options in enumerate(({}, {"expected_revision": 2}, {"idempotency_key": "k"}), 1):
        own.faults.add("lose-answer", half="redis")
        appended = app.event_store.append("tasks", TaskCreated(str(number), "x"), **options)
        # What this call itself has written is no repeat, however often it had to ask.
        assert (appended.position, appended.repeated, appended.receipt.retries) == (number + 1, False, 1)
    assert app.event_store.append("tasks", TaskCreated("3", "x"), idempotency_key="k").repeated
    assert ids(app) == ["0", "1", "2", "3"]


def test_an_outcome_that_stays_unknown(own: LocalUpstash, namespace: str, the: Todo) -> None:
    backend = UpstashRedis(own.redis_url, own.redis_token, namespace=namespace, total_timeout=0.3)
    store = EventStore(backend, the.registry)
    store.append("tasks", TaskCreated("0", "x"))
    own.faults.add("lose-answer", half="redis", count=None)
    with pytest.raises(OutcomeUnknown, match="idempotency"):
        store.append("tasks", TaskCreated("1", "x"), idempotency_key="k")
    own.faults.clear()
    assert store.append("tasks", TaskCreated("1", "x"), idempotency_key="k").repeated
    assert store.head() == 2


def test_a_projector_by_hand(own: LocalUpstash, namespace: str, the: Todo) -> None:
    backend = UpstashRedis(own.redis_url, own.redis_token, namespace=namespace)
    store = EventStore(backend, the.registry)
    projector = Projector(store, ProjectionStore(backend, the.registry))
    store.append("tasks", TaskCreated("1", "x"))
    assert projector.catch_up().complete
