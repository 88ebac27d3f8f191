"""Views whose documents end, whose versions follow one another, and whose rebuilds are given up."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import pytest

from eventsource_upstash import (
    EventStore,
    Memory,
    Misuse,
    Projection,
    ProjectionStopped,
    ProjectionStore,
    Projector,
    Registry,
    connect,
)
from eventsource_upstash._flow.noting import changes_record
from eventsource_upstash._io.blocking import BlockingPort, run
from eventsource_upstash.domain.progress import ProjectionId
from eventsource_upstash.ports import Wanted

SECOND = 1_000_000_000
BEGIN = 1_800_000_000 * SECOND


@dataclass(frozen=True)
class Opened:
    id: str
    ends: float


@dataclass(frozen=True)
class Renewed:
    id: str
    ends: float


@dataclass(frozen=True)
class Session:
    id: str
    ends: float
    renewals: int = 0


class Sessions:
    """Sessions that end, by a clock that is set."""

    def __init__(self) -> None:
        self.now = BEGIN
        self.fails = False
        registry = Registry()
        registry.event("opened")(Opened)
        registry.event("renewed")(Renewed)
        self.projection = registry.projection("sessions", Session, on_error="park")
        self.projection.expires("ends")
        self.projection.on(Opened, key="id")(lambda _, event: Session(event.id, event.ends))
        self.projection.on(Renewed, key="id")(self.renewed)
        backend = Memory()
        self.events = EventStore(backend, registry, clock=self.clock)
        self.views = ProjectionStore(backend, registry, clock=self.clock)
        self.projector = Projector(self.events, self.views, clock=self.clock)

    def clock(self) -> int:
        return self.now

    def renewed(self, session: Session | None, event: Renewed) -> Session | None:
        if self.fails:
            raise RuntimeError("not now")
        return session and replace(session, ends=event.ends, renewals=session.renewals + 1)

    def after(self, seconds: float) -> float:
        return self.now / SECOND + seconds


def test_what_has_ended_stays_until_all_is_folded_that_was_recorded_before() -> None:
    sessions = Sessions()
    first = sessions.events.append("s", Opened("a", sessions.after(10)))
    sessions.events.append("s", Renewed("a", sessions.after(1_000)))
    sessions.now += 200 * SECOND
    assert sessions.projector.catch_up(until=first.position).complete
    sessions.projector.catch_up()
    found = sessions.views.view(sessions.projection).get("a")
    assert found is not None
    assert found.renewals == 1


def test_what_has_ended_stays_while_a_parked_event_waits_for_it() -> None:
    sessions = Sessions()
    sessions.events.append("s", Opened("a", sessions.after(10)), Opened("b", sessions.after(10)))
    sessions.events.append("s", Renewed("a", sessions.after(1_000)))
    sessions.fails = True
    sessions.now += 200 * SECOND
    sessions.projector.catch_up()
    sessions.fails = False
    assert sessions.projector.retry_parked(sessions.projection).done == 1
    assert [key for key, _ in sessions.views.view(sessions.projection).items()] == ["a"]


@dataclass(frozen=True)
class Written:
    id: str
    text: str


@dataclass(frozen=True)
class Page:
    text: str


def pages(version: int, *, changes: bool = False) -> tuple[Registry, Projection[Page]]:
    registry = Registry()
    registry.event("written")(Written)
    projection = registry.projection("pages", Page, version=version, changes=changes)
    projection.index("text", "text")
    projection.on(Written, key="id")(lambda _, event: Page(f"{version}: {event.text}"))
    return registry, projection


def test_all_of_a_listing_is_of_one_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eventsource_upstash._flow.querying.MAX_PAGE_EVENTS", 1)
    backend = Memory()
    old, _ = pages(1)
    store = EventStore(backend, old)
    store.append("s", Written("a", "x"))
    Projector(store, ProjectionStore(backend, old)).catch_up()
    appended = store.append("s", Written("b", "x"))
    store.append("s", Written("c", "x"))
    new, projection = pages(2)
    view = ProjectionStore(backend, new).view(projection)
    assert [page.text for _, page in view.items(at_least=appended.position)] == ["2: x", "2: x"]
    index = view.index("text")
    assert [page.text for _, page in index.range(at_least=appended.position)] == ["2: x", "2: x"]


def test_a_cursor_of_another_versions_feed_begins_anew() -> None:
    backend = Memory()
    old, before = pages(1, changes=True)
    store = EventStore(backend, old)
    store.append("s", Written("a", "x"))
    Projector(store, ProjectionStore(backend, old)).catch_up()
    cursor = ProjectionStore(backend, old).view(before).changes().cursor
    store.append("s", Written("b", "x"))

    new, projection = pages(2, changes=True)
    views = ProjectionStore(backend, new)
    # As long as reads are answered from the version before, the feed of the new one says nothing of what was read.
    attached = views.view(projection).changes()
    moved = views.view(projection).changes(after=cursor)
    assert moved.reset
    assert views.view(projection).changes(after=moved.cursor) == moved.__class__((), moved.cursor, False, False)
    Projector(EventStore(backend, new), views, page_size=1).catch_up()
    for seen in (cursor, attached.cursor, moved.cursor):
        assert views.view(projection).changes(after=seen).reset
    cursor = views.view(projection).changes(after=cursor).cursor
    store.append("s", Written("a", "y"))
    Projector(EventStore(backend, new), views).catch_up()
    found = views.view(projection).changes(after=cursor)
    assert [(change.key, change.deleted) for change in found.changes] == [("a", False)]
    for bad in ("1-1", "1-1-x", "1-1-" + "1" * 19, "1-1-1-1", "--"):
        with pytest.raises(Misuse, match="no place in a change feed"):
            views.view(projection).changes(after=bad)


def test_any_version_is_looked_for_in_one_bounded_step() -> None:
    backend = Memory()
    old, _ = pages(20_250_101)
    store = EventStore(backend, old)
    store.append("s", Written("a", "x"))
    Projector(store, ProjectionStore(backend, old)).catch_up()
    registry, projection = pages(20_260_101)
    registry.projection("pages", Page, version=20_250_101).on(Written, key="id")(lambda page, _: page)
    assert ProjectionStore(backend, registry).view(projection).get("a") == Page("20250101: x")


def test_nothing_is_left_of_a_build_that_is_dropped() -> None:
    registry, projection = pages(1, changes=True)
    backend = Memory()
    store, views = EventStore(backend, registry), ProjectionStore(backend, registry)
    projector = Projector(store, views)
    for each in "abc":
        store.append("s", Written(each, "x"))
        projector.catch_up()
    dropped: list[Sequence[str]] = []
    port = BlockingPort()
    ours = backend.views(port, backend.log(port))
    names = [changes_record(number) for number in range(5)]
    wanted = Wanted(ProjectionId("pages", 1), 1, (), names)
    assert len(run(ours.load([wanted]))[0][0].records) == 3
    projector.rebuild(projection)

    before = views.views.drop

    async def drop(*args: object, **more: object) -> object:
        dropped.append(args[2])  # type: ignore[arg-type]
        return await before(*args, **more)  # type: ignore[arg-type]

    views.views.drop = drop  # type: ignore[method-assign, assignment]
    projector.drop_generations(projection)
    assert {"changes:1", "changes:2", "changes:3"} <= set(dropped[0])


def test_a_rebuild_that_was_given_up_meanwhile_leaves_nothing_to_be_done() -> None:
    registry, projection = pages(1)
    backend = Memory()
    store, views = EventStore(backend, registry), ProjectionStore(backend, registry)
    projector = Projector(store, views, page_size=1)
    store.append("s", Written("a", "x"), Written("b", "x"))
    projector.catch_up()
    building, _ = run(views.views.begin(projection.id))
    other = Projector(store, ProjectionStore(backend, registry))
    handled: list[str] = []

    def given_up(_: Page | None, event: Written) -> Page:
        if not handled:
            other.drop_generations(projection, generation=building.generation)
        handled.append(event.id)
        return Page(event.text)

    again = Registry()
    again.event("written")(Written)
    mine = again.projection("pages", Page)
    mine.index("text", "text")
    mine.on(Written, key="id")(given_up)
    result = Projector(EventStore(backend, again), ProjectionStore(backend, again), page_size=1).catch_up()
    assert handled == ["a"]
    assert result.complete


class Untold(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


@pytest.mark.parametrize("error", [ValueError("lone \ud800 surrogate"), Untold()])
@pytest.mark.parametrize("on_error", ["stop", "park"])
def test_whatever_a_handler_raises_holds_up_nobody_else(error: Exception, on_error: str, tmp_path: object) -> None:
    registry, projection = pages(1)
    broken = registry.projection("broken", Page, on_error=on_error)  # type: ignore[arg-type]

    @broken.on(Written, key="id")
    def fail(_page: Page | None, _event: Written) -> Page | None:
        raise error

    app = connect(f"sqlite:{tmp_path}/app.db", registry)
    app.event_store.append("s", Written("a", "x"))
    with suppress(ProjectionStopped):
        app.projector.catch_up()
    assert app.projection_store.view(projection).get("a") == Page("1: x")
    status = {each.name: each for each in app.projection_store.status()}["broken"]
    assert (status.stopped is not None, status.parked) == (on_error == "stop", int(on_error == "park"))
