"""Views whose documents end, whose versions follow one another, and whose rebuilds are given up."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeVar

import pytest

from eventsource_upstash import (
    CatchUp,
    EventStore,
    Memory,
    Misuse,
    Projection,
    ProjectionStopped,
    ProjectionStore,
    Projector,
    Registry,
    Unavailable,
    connect,
)
from eventsource_upstash._flow.catching_up import CatchingUp
from eventsource_upstash._io.blocking import run
from eventsource_upstash.domain.events import Receipt
from eventsource_upstash.domain.progress import ProjectionId
from eventsource_upstash.ports import Views, Wanted
from eventsource_upstash.testing.wrapping import Around, BackendWrapper, ViewsWrapper

T = TypeVar("T")

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


@pytest.mark.parametrize("on_error", ["stop", "skip"])
def test_what_waits_for_a_parked_event_waits_on_when_nothing_is_parked_any_more(
    on_error: Literal["stop", "skip"],
) -> None:
    sessions = Sessions()
    sessions.events.append("s", Opened("a", sessions.after(10)), Renewed("a", sessions.after(20)))
    sessions.fails = True
    sessions.projector.catch_up()
    sessions.fails = False
    sessions.projection.on_error = on_error
    sessions.events.append("s", Renewed("a", sessions.after(30)))
    sessions.projector.catch_up()
    assert [each.position for each in sessions.projector.parked(sessions.projection)] == [2, 3]
    assert not sessions.projector.skipped(sessions.projection)
    assert sessions.projector.retry_parked(sessions.projection).done == 2
    assert sessions.views.view(sessions.projection).get("a") == Session("a", sessions.after(30), renewals=2)


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
    # As long as reads are answered from the version before, so is the feed.
    attached = views.view(projection).changes()
    moved = views.view(projection).changes(after=cursor)
    assert not moved.reset
    assert attached.cursor == moved.cursor == cursor
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


class DroppingViews(ViewsWrapper):
    names: list[str]

    async def drop(
        self, projection: ProjectionId, generation: int, records: Sequence[str], limit: int, *, serving: bool = False
    ) -> tuple[bool, Receipt]:
        self.names += records
        return await super().drop(projection, generation, records, limit, serving=serving)


class Dropping(BackendWrapper):
    """Remembers which records are said to go with a build: not every backend finds them by itself."""

    def __init__(self) -> None:
        super().__init__(Memory())
        self.dropped: list[str] = []

    def wrap_views(self, views: Views) -> Views:
        wrapped = DroppingViews(super().wrap_views(views))
        wrapped.names = self.dropped
        return wrapped


def test_nothing_is_left_of_a_build_that_is_dropped() -> None:
    registry, projection = pages(1, changes=True)
    backend = Dropping()
    store, views = EventStore(backend, registry), ProjectionStore(backend, registry)
    projector = Projector(store, views)
    for each in "abc":
        store.append("s", Written(each, "x"))
        projector.catch_up()
    made = [f"changes:{number}" for number in (1, 2, 3)]
    stored, _ = run(views.views.load([Wanted(projection.id, 1, (), made)]))
    assert list(stored[0].records) == made
    projector.rebuild(projection)
    projector.drop_generations(projection)
    assert {*made} <= {*backend.dropped}


def test_no_skipped_event_is_left_of_a_build_that_is_dropped() -> None:
    registry, projection = pages(1)
    projection.on_error = "skip"
    backend = Dropping()
    store, views = EventStore(backend, registry), ProjectionStore(backend, registry)
    projector = Projector(store, views)
    store.append("s", Written("a", "\x01"), Written("b", "\x01"))  # no value for an index
    projector.catch_up()
    assert len(projector.skipped(projection)) == 2
    projector.rebuild(projection)
    projector.drop_generations(projection)
    assert {"skipped:1", "skipped:2"} <= {*backend.dropped}


def test_nothing_is_left_of_a_build_that_was_dropped_in_part() -> None:
    registry, projection = pages(1, changes=True)
    projection.on_error = "park"
    backend = Dropping()
    store, views = EventStore(backend, registry), ProjectionStore(backend, registry)
    projector = Projector(store, views)
    store.append("s", Written("a", "x"), Written("b", "x"), Written("c", "\x01"))  # no value for an index
    projector.catch_up()
    assert [each.key for each in projector.parked(projection)] == ["c"]
    projector.rebuild(projection)
    assert not run(views.views.drop(projection.id, 1, (), 1))[0]  # and whoever did it is no more
    backend.dropped.clear()
    projector.drop_generations(projection)
    assert {"changes:1", "parked", "parked:3:c", "skipped:0", "skipped:99"} <= {*backend.dropped}
    assert not views.status()[0].kept


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


@dataclass(frozen=True)
class Titled:
    text: str
    title: str


@pytest.mark.parametrize("on_error", ["stop", "park", "skip"])
def test_a_document_of_another_class_stops_the_view_and_loses_no_event(
    on_error: Literal["stop", "park", "skip"],
) -> None:
    backend = Memory()
    old, _ = pages(1)
    store = EventStore(backend, old)
    store.append("s", Written("a", "x"))
    Projector(store, ProjectionStore(backend, old)).catch_up()
    new = Registry()
    new.event("written")(Written)
    projection = new.projection("pages", Titled, on_error=on_error)  # and the version was forgotten
    projection.index("text", "text")
    projection.on(Written, key="id")(lambda page, event: Titled(event.text, page.title if page else ""))
    store.append("s", Written("b", "x"), Written("a", "y"))
    views = ProjectionStore(backend, new)
    with pytest.raises(ProjectionStopped, match="give the projection a version above 1"):
        Projector(EventStore(backend, new), views).catch_up()
    status = views.status()[0]
    assert (status.checkpoint, status.parked, status.skipped) == (2, 0, 0)


class Untold(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


@pytest.mark.parametrize("error", [ValueError("lone \ud800 surrogate"), Untold()])
@pytest.mark.parametrize("on_error", ["stop", "park"])
def test_whatever_a_handler_raises_holds_up_nobody_else(
    error: Exception, on_error: Literal["stop", "park"], tmp_path: Path
) -> None:
    registry, projection = pages(1)
    broken = registry.projection("broken", Page, on_error=on_error)

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


def test_a_read_that_brings_up_a_view_does_not_look_for_what_has_ended() -> None:
    sessions = Sessions()
    sessions.events.append("s", Opened("a", sessions.after(10)))
    sessions.projector.catch_up()
    sessions.now += 200 * SECOND
    at = sessions.events.append("s", Opened("b", sessions.after(1_000))).position
    assert sessions.views.view(sessions.projection).get("b", at_least=at) is not None
    assert ended(sessions) == ["a"]


@pytest.mark.parametrize("call", ["views.ended", "views.commit"])
def test_a_deletion_of_what_has_ended_that_fails_is_no_failure_of_the_catch_up(
    call: str, caplog: pytest.LogCaptureFixture
) -> None:
    sessions = Sessions()
    sessions.events.append("s", Opened("a", sessions.after(10)))
    sessions.projector.catch_up()
    sessions.now += 200 * SECOND
    views = ViewsWrapper(sessions.views.views, refusing(call))
    with caplog.at_level(logging.WARNING):
        assert catching_up(views, sessions).complete
    assert "a later catch-up tries again: refused on purpose" in caplog.text
    assert ended(sessions) == ["a"]
    assert catching_up(sessions.views.views, sessions).complete
    assert ended(sessions) == []


def catching_up(views: Views, sessions: Sessions) -> CatchUp:
    return run(CatchingUp(views, sessions.events.registry, sessions.clock, 100).catch_up(None, None))


def ended(sessions: Sessions) -> list[str]:
    return list(run(sessions.views.views.ended(sessions.projection.id, sessions.now // 1000, 9)).documents)


def refusing(refused: str) -> Around:
    async def around(call: str, step: Callable[[], Awaitable[T]]) -> T:
        if call == refused:
            raise Unavailable("refused on purpose")
        return await step()

    return around
