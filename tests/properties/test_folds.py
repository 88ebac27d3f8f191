"""A view does not depend on how the log was cut into pages; and no two events have one id."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from eventsource_upstash import EventStore, Memory, ProjectionStopped, ProjectionStore, Projector, Recorded, Registry
from eventsource_upstash.domain.events import NUMBER_BITS, event_id
from tests.properties.app import App, Balance, Closed, Event, Noted, Paid, Withdrawn, moved

STREAMS = st.sampled_from(["a", "b", "c"])
EVENTS = st.one_of(
    st.builds(Paid, st.integers(1, 9)),
    st.builds(Withdrawn, st.integers(1, 9)),
    st.builds(Closed, st.just("")),
    st.builds(Noted, st.just("")),
)
LOGS = st.lists(st.tuples(STREAMS, EVENTS), max_size=30)


class Views(NamedTuple):
    """What a catch-up made, and where each projection stopped."""

    documents: dict[str, dict[str, Balance]]
    checkpoints: dict[str, int]
    stopped: dict[str, int]


def folded(log: list[tuple[str, Event]], page_sizes: list[int], *, broken: bool) -> Views:
    """The views of a log, folded by one projector after another, each with its own size of pages."""
    app = App()
    app.broken = broken
    backend = Memory()
    event_store = EventStore(backend, app.registry)
    projection_store = ProjectionStore(backend, app.registry)
    for stream, event in log:
        event_store.append(stream, event)
    for page_size in page_sizes[:-1]:
        _catch_up(Projector(event_store, projection_store, page_size=page_size), time_budget=0)
    _catch_up(Projector(event_store, projection_store, page_size=page_sizes[-1]))
    status = projection_store.status()
    return Views(
        {each.name: dict(projection_store.view(each).items()) for each in (app.balances, app.fragile, app.ledger)},
        {each.name: each.checkpoint for each in status},
        {each.name: each.stopped.position for each in status if each.stopped},
    )


def _catch_up(projector: Projector, time_budget: float | None = None) -> None:
    with suppress(ProjectionStopped):
        projector.catch_up(time_budget=time_budget)


@given(log=LOGS, page_sizes=st.lists(st.integers(1, 40), min_size=1, max_size=4), broken=st.booleans())
def test_pages_of_any_size_make_the_same_view_as_one_by_one(
    log: list[tuple[str, Event]],
    page_sizes: list[int],
    broken: bool,
) -> None:
    assert folded(log, page_sizes, broken=broken) == folded(log, [1], broken=broken)


@given(log=LOGS, page_size=st.integers(1, 40))
def test_the_view_is_the_fold_of_the_log(log: list[tuple[str, Event]], page_size: int) -> None:
    expected: dict[str, Balance | None] = {}
    for position, (stream, event) in enumerate(log, 1):
        expected[stream] = moved(expected.get(stream), event, position)
    views = folded(log, [page_size], broken=False)
    assert views.documents["balances"] == {key: each for key, each in expected.items() if each}
    assert set(views.checkpoints.values()) == {len(log)}


@dataclass
class Batch:
    """An event that a handler could change, if it did not keep to the rules."""

    amounts: list[int]


@dataclass
class Sums:
    values: list[int]


@given(
    batches=st.lists(st.lists(st.sampled_from([1, 9]), min_size=1, max_size=3), min_size=1, max_size=8),
    page_size=st.integers(1, 10),
)
def test_a_handler_that_changes_its_event_changes_nobody_elses(batches: list[list[int]], page_size: int) -> None:
    registry = Registry()
    registry.event("batch")(Batch)
    greedy = registry.projection("greedy", Sums)
    modest = registry.projection("modest", Sums)

    @greedy.on(Batch)
    def take(document: Sums | None, event: Batch) -> Sums:
        total = event.amounts.pop()
        if event.amounts == [9]:
            raise ArithmeticError("broken on purpose")
        return Sums([*(document.values if document else []), total])

    @modest.on(Batch)
    def look(document: Sums | None, event: Batch) -> Sums:
        return Sums([*(document.values if document else []), sum(event.amounts)])

    backend = Memory()
    event_store = EventStore(backend, registry)
    projection_store = ProjectionStore(backend, registry)
    for batch in batches:
        event_store.append("s", Batch(batch))
    _catch_up(Projector(event_store, projection_store, page_size=page_size))
    assert projection_store.view(modest).get("s") == Sums([sum(batch) for batch in batches])
    # It stops where it fails, and what it took before is what it would take from the events as they are.
    bad = next((index for index, batch in enumerate(batches) if batch[:-1] == [9]), len(batches))
    taken = [batch[-1] for batch in batches[:bad]]
    assert projection_store.view(greedy).get("s") == (Sums(taken) if taken else None)


@settings(max_examples=20)
@given(counts=st.lists(st.integers(1, 50), min_size=1, max_size=20), now=st.integers(0, 2**47 * 1000))
def test_no_two_events_have_one_id(counts: list[int], now: int) -> None:
    app = App()
    store = EventStore(Memory(), app.registry, clock=lambda: now * 1_000)  # a clock that stands still makes it hardest
    for count in counts:
        store.append("s", *[Paid(1)] * count)
    recorded: list[Recorded[object]] = list(store.read())
    ids = [each.id for each in recorded]
    assert len(set(ids)) == len(ids) == sum(counts)
    for each in recorded:
        uuid = UUID(each.id)
        assert str(uuid) == each.id
        assert (uuid.version, uuid.variant) == (7, "specified in RFC 4122")
        assert uuid.int >> 80 == now // 1000, "the first 48 bits are the time in milliseconds"
    assert ids == [each.id for each in store.read()]


@given(
    first=st.tuples(st.integers(0, 2**48 * 1000 - 1), st.integers(0, 2**NUMBER_BITS - 1)),
    second=st.tuples(st.integers(0, 2**48 * 1000 - 1), st.integers(0, 2**NUMBER_BITS - 1)),
)
def test_ids_are_ordered_by_time_and_tell_everything_apart(first: tuple[int, int], second: tuple[int, int]) -> None:
    ids = (event_id(*first), event_id(*second))
    assert (ids[0] == ids[1]) is (first == second)
    if first[0] != second[0]:
        assert (ids[0] < ids[1]) is (first[0] < second[0])
    assert UUID(ids[0]).version == 7
