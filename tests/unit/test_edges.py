"""What happens at the edges: nothing at all, exactly so much, one more than a page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import msgspec
import pytest

from eventsource_upstash import App, Memory, MemoryKeys, Misuse, Projector, Recorded, Registry, Schedule
from eventsource_upstash._flow import rebuilding
from eventsource_upstash._flow.noting import mark_of
from eventsource_upstash._flow.querying import cursor_of, place_of
from eventsource_upstash._flow.rebuilding import Rebuilding
from eventsource_upstash._flow.scheduling import Scheduling
from eventsource_upstash._flow.sealing import SealedLog, Sealing
from eventsource_upstash._flow.sharing import LEASE, RENEWED, Sharing
from eventsource_upstash._flow.wiring import check_backends, retired_version
from eventsource_upstash._io.blocking import PORT, run
from eventsource_upstash.domain.events import FREE
from eventsource_upstash.ports import Log, Pulled, StreamPage, Timetable


@dataclass(frozen=True)
class Noted:
    text: str


@pytest.mark.parametrize(
    ("position", "head", "fraction"), [(0, 0, 1.0), (0, 4, 0.0), (1, 4, 0.25), (4, 4, 1.0), (5, 4, 1.0)]
)
def test_how_much_of_a_rebuild_is_done(position: int, head: int, fraction: float) -> None:
    assert Rebuilding("notes", 2, position, head, 0.0, None).fraction == fraction


@pytest.mark.parametrize("version", [0, -1, True, "1", 1.0])
def test_a_version_that_cannot_be_one_is_not_deleted(version: Any) -> None:
    with pytest.raises(Misuse, match=r"version=.*: it is a whole number from 1"):
        retired_version(Registry(), "notes", version)


def test_what_is_no_backend_is_told_with_what_to_do() -> None:
    with pytest.raises(Misuse, match=r"^a URL is no backend; .*connect\(url, registry\) read the URL$"):
        check_backends(Memory(), "redis://default:secret@host")
    with pytest.raises(Misuse, match=r"^7 is no backend; .*connect\(url, registry\) read a URL$"):
        check_backends(7)


@pytest.mark.parametrize("key", ["a", "a b", " a", "ä", "x" * 100])
def test_a_cursor_names_its_place_whatever_stands_in_the_key(key: str) -> None:
    assert place_of(cursor_of("score", ("n5", key)), "score") == ("n5", key)


def test_the_mark_is_the_id_of_the_event_that_a_page_is_folded_up_to() -> None:
    registry = Registry()
    registry.event("noted")(Noted)
    app = App(Memory(), registry, None)
    for text in "abc":
        app.event_store.append("notes", Noted(text))
    ids = [each.id for each in app.event_store.read()]
    rows = run(app.event_store.flow.log.read(0, 10, 1 << 20)).events
    pulled = Pulled((), 3, 0, rows, FREE, "before")
    assert [mark_of(pulled, rows, at) for at in (0, 1, 2, 3, 9)] == ["before", *ids, ""]
    assert mark_of(pulled._replace(mark=None), rows, 2) is None


class Asked:
    """A log that notes how it is asked for a stream."""

    def __init__(self) -> None:
        self.asked: list[tuple[object, ...]] = []

    async def read_stream(self, *how: object) -> StreamPage:
        self.asked.append(how)
        return StreamPage([], 0, FREE)


def test_a_log_with_personal_data_answers_snapshots_of_aggregates_without() -> None:
    log = Asked()
    sealed = SealedLog(cast("Log", log), Sealing(cast("Any", MemoryKeys()), cast("Any", None)))
    run(sealed.read_stream("task-1", 3, 10, 1 << 20, "Task:1"))
    run(sealed.read_stream("task-1", 3, 10, 1 << 20))
    assert log.asked[0] == ("task-1", 3, 10, 1 << 20, "Task:1")
    assert log.asked[1] == ("task-1", 3, 10, 1 << 20, None)


class Table:
    """A timetable that is told of each schedule whether it rests, as QStash is."""

    def __init__(self) -> None:
        self.put_there: dict[str, Schedule] = {}

    async def put(self, schedule: Schedule) -> None:
        self.put_there[schedule.id] = schedule

    async def get(self, id: str) -> Schedule | None:
        return self.put_there.get(id)


def test_a_schedule_that_is_put_again_stays_paused_and_a_new_one_is_not() -> None:
    table = Table()
    schedules = Scheduling(cast("Timetable", table))

    def put(schedule_id: str | None) -> str:
        return run(schedules.create("0 3 * * *", "https://example.com/a", b"", schedule_id, None, None, "POST"))

    assert put("nightly") == "nightly"
    assert not table.put_there["nightly"].paused
    table.put_there["nightly"] = msgspec.structs.replace(table.put_there["nightly"], paused=True)
    put("nightly")
    assert table.put_there["nightly"].paused
    assert not table.put_there[put(None)].paused


class Moved:
    now = 1_700_000_000_000_000_000

    def __call__(self) -> int:
        return self.now


def test_a_lease_is_renewed_once_it_is_so_old_and_not_before() -> None:
    clock, backend = Moved(), Memory()
    views = backend.views(PORT, backend.log(PORT))
    one, other = Sharing(views, clock, "one"), Sharing(views, clock, "other")
    assert run(one.tend(["0", "1"])) == {"0", "1"}
    began = clock.now
    clock.now = began + round(RENEWED * 1e9) - 1_000
    run(one.tend(["0", "1"]))  # too early: it still ends when it did
    clock.now = began + round(LEASE * 1e9)
    assert run(other.tend(["0", "1"])) == {"0", "1"}
    run(other.leave())
    began = clock.now
    run(one.tend(["0", "1"]))
    clock.now = began + round(RENEWED * 1e9)
    run(one.tend(["0", "1"]))
    clock.now = began + round(LEASE * 1e9)
    assert run(other.tend(["0", "1"])) == frozenset()


@dataclass(frozen=True)
class Note:
    text: str


class Notes:
    """Views of notes over a backend in memory."""

    def __init__(self, fold: Callable[[Note | None, Recorded[Noted]], Note]) -> None:
        self.registry = Registry()
        self.registry.event("noted")(Noted)
        self.view = self.registry.projection("notes", Note, on_error="skip")

        @self.view.on_recorded(Noted)
        def noted(note: Note | None, recorded: Recorded[Noted]) -> Note:
            return fold(note, recorded)

        assert noted
        self.backend = Memory()
        self.app = App(self.backend, self.registry, None)
        self.projector: Projector = self.app.projector


def test_a_generation_is_deleted_whole_with_its_records(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rebuilding, "MAX_PAGE_EVENTS", 2)
    notes = Notes(lambda _, each: Note({"good": "well"}[each.event.text]))
    for number in range(7):
        notes.app.event_store.append(f"note-{number}", Noted("bad" if number > 4 else "good"))
    notes.projector.catch_up()
    assert len(list(notes.projector.skipped(notes.view))) == 2
    notes.projector.rebuild(notes.view)
    assert notes.projector.drop_generations(notes.view).generations == (1,)
    state = notes.backend._state
    assert {build for build, held in state.documents.items() if held.documents} == {(notes.view.id, 2)}
    assert len(list(notes.projector.skipped(notes.view))) == 2
    assert {build for build, held in state.documents.items() if held.records} == {(notes.view.id, 2)}
