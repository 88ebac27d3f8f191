"""Appending, in both colours: all or none, expected revisions, idempotency keys, what is refused before it is written.

What the log does with it is held for each backend by the conformance suite; this is the way from the face to the log.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from eventsource_upstash import (
    ANY,
    EXISTS,
    NO_STREAM,
    App,
    Appended,
    ConcurrencyError,
    IdempotencyKeyReused,
    InvalidEvent,
    Memory,
    Misuse,
    Query,
    Recorded,
    SQLite,
)
from eventsource_upstash._flow import handling
from eventsource_upstash.ports import Append, Conflict, KeyReused, Log, Page, Unmet
from eventsource_upstash.testing.wrapping import BackendWrapper, LogWrapper
from tests.faults.driving import COLOURS, Driver
from tests.priced import Till
from tests.unit.todo import TaskCompleted, TaskCreated, todo


@pytest.fixture(params=COLOURS, ids=str)
def app(request: pytest.FixtureRequest) -> Driver:
    return Driver(Memory(), todo().registry, request.param)


@pytest.fixture(params=["memory", "sqlite"])
def stored(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Driver]:
    backend = Memory() if request.param == "memory" else SQLite(tmp_path / "log.db")
    yield Driver(backend, todo().registry, "blocking")
    backend.close()


DISHES = TaskCreated("1", "Do the dishes!")
DONE = TaskCompleted("1")


def test_several_events_in_one_step(app: Driver) -> None:
    appended = app.append("task-1", DISHES, DONE, expected_revision=NO_STREAM)
    assert (appended.position, appended.revision, appended.repeated) == (2, 2, False)
    assert [(each.revision, each.event) for each in app.read()] == [(1, DISHES), (2, DONE)]


def test_one_event_that_cannot_be_stored_keeps_all_of_them_out(app: Driver) -> None:
    with pytest.raises(InvalidEvent, match="event type 'task-created' cannot be stored"):
        app.append("task-1", DISHES, TaskCreated("2", cast("str", None)), DONE)
    with pytest.raises(Misuse, match=r"str is not registered as an event type; put @registry.event"):
        app.append("task-1", DISHES, "done")
    with pytest.raises(Misuse, match="TaskCreated is not registered"):
        app.append("task-1", type("TaskCreated", (TaskCreated,), {})("1", "a subclass"))
    with pytest.raises(Misuse, match="append to stream 'task-1' without an event"):
        app.append("task-1")
    assert app.read() == []


@pytest.mark.parametrize("expected", [-1, -(2**70), True, False, 1.0, "1", None, "any", object()], ids=repr)
def test_an_expected_revision_that_cannot_be_one(app: Driver, expected: Any) -> None:
    with pytest.raises(Misuse, match="it is a revision from 1, NO_STREAM"):
        app.append("task-1", DISHES, expected_revision=expected)
    assert app.read() == []


@pytest.mark.parametrize("expected", [1, 2, 1000, 2**63 - 1, 2**63, 2**64, 2**100])
def test_an_expected_revision_from_the_future(expected: int, stored: Driver) -> None:
    app = stored
    with pytest.raises(ConcurrencyError) as caught:
        app.append("task-1", DISHES, expected_revision=expected)
    assert (caught.value.expected, caught.value.actual, caught.value.events) == (expected, 0, ())
    app.append("task-1", DISHES, expected_revision=NO_STREAM)
    with pytest.raises(ConcurrencyError) as caught:
        app.append("task-1", DONE, expected_revision=expected + 1)
    assert (caught.value.expected, caught.value.actual, caught.value.events) == (expected + 1, 1, ())
    assert len(app.read()) == 1


def test_a_conflict_carries_what_was_missed(app: Driver) -> None:
    app.append("task-1", DISHES)
    app.append("task-2", TaskCreated("2", "Rest"))
    app.append("task-1", DONE, metadata={"user": "ada"})
    with pytest.raises(ConcurrencyError) as caught:
        app.append("task-1", DONE, expected_revision=1)
    (missed,) = caught.value.events
    assert missed == app.read()[2]
    assert (missed.event, missed.metadata, caught.value.complete) == (DONE, {"user": "ada"}, True)
    with pytest.raises(ConcurrencyError) as caught:
        app.append("task-1", DISHES, expected_revision=NO_STREAM)
    assert [each.revision for each in caught.value.events] == [1, 2]
    with pytest.raises(ConcurrencyError, match="does not exist, the append expected an existing stream"):
        app.append("task-3", DONE, expected_revision=EXISTS)
    app.append("task-1", DONE, expected_revision=EXISTS)
    app.append("task-1", DONE, expected_revision=3)
    app.append("task-1", DONE, expected_revision=ANY)


# --- idempotency


def test_the_same_call_again_answers_what_the_first_one_did(app: Driver) -> None:
    first = app.append("task-1", DISHES, DONE, expected_revision=NO_STREAM, idempotency_key="k")
    app.append("task-1", DONE)
    again = app.append("task-1", DISHES, DONE, expected_revision=NO_STREAM, idempotency_key="k")
    assert (again.position, again.revision, again.repeated) == (first.position, first.revision, True)
    # After loading again the caller expects another revision, and sends other tracing; it means the same append.
    again = app.append(
        "task-1", DISHES, DONE, expected_revision=3, idempotency_key="k", metadata={"trace": "2"}, tags=("x",)
    )
    assert again.repeated
    assert len(app.read()) == 3


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        ("task-2", (DISHES, DONE)),
        ("task-1", (DISHES,)),
        ("task-1", (DISHES, DONE, DONE)),
        ("task-1", (DONE, DISHES)),
        ("task-1", (TaskCreated("1", "Do the dishes?"), DONE)),
    ],
)
def test_a_key_stands_for_one_append(app: Driver, stream: str, events: tuple[object, ...]) -> None:
    app.append("task-1", DISHES, DONE, idempotency_key="k")
    told = rf"key 'k' was used before for another append than this one to stream '{stream}'; .* Use a new key"
    with pytest.raises(IdempotencyKeyReused, match=told) as caught:
        app.append(stream, *events, idempotency_key="k")
    assert isinstance(caught.value, Misuse)
    assert len(app.read()) == 2


def test_a_conflict_uses_up_no_key(app: Driver) -> None:
    with pytest.raises(ConcurrencyError):
        app.append("task-1", DONE, expected_revision=5, idempotency_key="k")
    assert not app.append("task-1", DONE, idempotency_key="k").repeated
    assert app.append("task-1", DONE, expected_revision=5, idempotency_key="k").repeated


@pytest.mark.parametrize(
    ("events", "digest"),
    [((DISHES,), "568e0c4a0f7b6ee27c838f59ce09c19e"), ((DISHES, DONE), "71c5205916b5e746dc6f4321125875a1")],
    ids=["one event", "two"],
)
def test_a_repeat_is_known_by_the_same_digest_in_every_release(events: tuple[object, ...], digest: str) -> None:
    told: list[Append] = []

    class Told(LogWrapper):
        async def append(self, append: Append) -> Appended | Conflict | KeyReused | Unmet:
            told.append(append)
            return await super().append(append)

    class Backend(BackendWrapper):
        def wrap_log(self, log: Log) -> Log:
            return Told(log)

    store = App(Backend(Memory()), todo().registry, None).event_store
    store.append("task-1", *events, idempotency_key="k")
    store.append("task-1", *events)
    assert [append.digest.hex() for append in told] == [digest, ""], "without a key there is nothing to know it by"


def test_keys_survive_the_process(tmp_path: Path) -> None:
    for repeated in (False, True, True):
        backend = SQLite(tmp_path / "log.db")
        app = Driver(backend, todo().registry, "blocking")
        assert app.append("task-1", DISHES, idempotency_key="k").repeated is repeated
        backend.close()


# --- reading


def test_reading_is_lazy_and_bounded(app: Driver) -> None:
    for number in range(25):
        app.append(f"task-{number % 3}", TaskCreated(str(number), "x"))
    everything = app.read()
    assert [each.position for each in everything] == list(range(1, 26))
    for _ in range(50):
        after, limit = random.randrange(30), random.choice([None, 0, 1, 5, 100])
        assert app.read(after=after, limit=limit) == everything[after:][:limit]
        of_stream = [each for each in everything if each.stream == "task-1"]
        assert app.read_stream("task-1", after_revision=after, limit=limit) == of_stream[after:][:limit]
    assert app.read_stream("task-9") == []


def test_the_log_is_read_page_by_page_and_no_further_than_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handling, "MAX_PAGE_EVENTS", 2)
    till = Till()
    store = App(till, todo().registry, None).event_store
    store.append("task-1", *[TaskCreated(str(number), "x") for number in range(5)])
    for after, limit, asked in ((0, None, 3), (5, None, 1), (0, 0, 0), (0, 2, 1), (0, 3, 2), (3, 2, 1)):
        till.calls = 0
        assert [each.position for each in store.read(after=after, limit=limit)] == [1, 2, 3, 4, 5][after:][:limit]
        assert till.calls == asked, "what is enough is not asked for more"


def test_a_log_is_asked_on_behind_pages_that_hold_nothing_until_it_gets_no_further() -> None:
    asked: list[int] = []

    class Sparse(LogWrapper):
        async def read(self, after: int, limit: int, max_bytes: int, query: Query | None = None) -> Page:
            asked.append(after)
            assert len(asked) < 9, "it said that there is nothing more"
            return Page([], 99, reached=min(after + 2, 7))

    class Backend(BackendWrapper):
        def wrap_log(self, log: Log) -> Log:
            return Sparse(log)

    assert list(App(Backend(Memory()), todo().registry, None).event_store.read(after=3)) == []
    assert asked == [3, 5, 7]


@pytest.mark.parametrize("after", [-1, None, 1.5, "1", True])
def test_a_position_that_cannot_be_one(app: Driver, after: Any) -> None:
    with pytest.raises(Misuse, match=r"after=.* it is a whole number from 0"):
        app.read(after=after)
    with pytest.raises(Misuse, match=r"after_revision=.* it is a whole number from 0"):
        app.read_stream("task-1", after_revision=after)


@pytest.mark.parametrize("limit", [-1, 1.5, "1", True])
def test_a_limit_that_cannot_be_one(app: Driver, limit: Any) -> None:
    with pytest.raises(Misuse, match=r"limit=.* it is a whole number from 0, or None"):
        app.read(limit=limit)
    with pytest.raises(Misuse, match=r"limit=.* it is a whole number from 0, or None"):
        app.read_stream("task-1", limit=limit)


@pytest.mark.parametrize("beyond", [5, 2**31, 2**63 - 1, 2**63, 2**100])
def test_reading_beyond_the_end_reads_nothing(beyond: int, stored: Driver) -> None:
    app = stored
    app.append("task-1", DISHES)
    assert app.read(after=beyond) == []
    assert app.read_stream("task-1", after_revision=beyond) == []
    recorded: list[Recorded[object]] = app.read(limit=beyond)
    assert [each.event for each in recorded] == [DISHES]


def test_an_iterator_given_up_halfway_leaves_nothing_open(stored: Driver) -> None:
    stored.append("task-1", DISHES, DONE)
    reading = iter(stored.blocking.event_store.read())
    assert next(reading).event == DISHES
    del reading
    stored.append("task-1", DONE, expected_revision=2)
