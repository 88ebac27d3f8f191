"""A page of events and one projection: how far it comes, what it counts, what it says of an event that stops it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Literal, cast

import msgspec
import pytest

from eventsource_upstash import Projection, Recorded, Registry
from eventsource_upstash.domain.events import StoredEvent
from eventsource_upstash.domain.folding import Folded, Folding, State
from eventsource_upstash.domain.indexes import Entries
from eventsource_upstash.domain.progress import Stopped

SECOND = 1_000_000


@dataclass(frozen=True)
class Noted:
    keys: tuple[str, ...]
    text: str = ""
    ends: float | None = None


@dataclass
class Loose:
    keys: list[str]


@dataclass(frozen=True)
class Notes:
    texts: tuple[str, ...] = ()
    ends: float | None = None


class Closer(Notes):
    pass


OnError = Literal["stop", "park", "skip"]


def notes_of(on_error: OnError = "stop", *, found: bool = False) -> Projection[Notes]:
    """Texts by key. A text `bad` fails; `none` deletes; `closer` answers another class."""
    registry = Registry()
    registry.event("noted")(Noted)
    notes = registry.projection("notes", Notes, on_error=on_error)

    @notes.on(Noted, key=lambda event: event.keys)
    def noted(document: Notes | None, event: Noted) -> Notes | None:
        if event.text == "bad":
            raise ValueError("it is bad")
        if event.text == "none":
            return None
        texts = (*(document.texts if document else ()), event.text)
        return Closer(texts) if event.text == "closer" else Notes(texts, event.ends)

    if found:
        notes.index("count", lambda document: len(document.texts))
        notes.expires("ends")
    return notes


def row(position: int, text: str, *keys: str, ends: float | None = None, type: str = "noted") -> StoredEvent:
    """Recorded at that many seconds."""
    payload = msgspec.json.encode(Noted(keys or ("a",), text, ends))
    return (position, "stream", position, position * SECOND, 0, type, 1, None, None, payload)


def folded(folding: Folding[Notes], *rows: StoredEvent, **others: Any) -> Folded:
    return folding.fold(folding.plan(rows, 0, None), others.pop("stored", {}), **others)


def texts(done: Folded) -> dict[str, tuple[str, ...] | None]:
    decode = msgspec.json.Decoder(Notes).decode
    return {key: None if kept is None else decode(kept).texts for key, kept in done.documents.items()}


KINDS = pytest.mark.parametrize("found", [False, True], ids=["by key", "found and ending"])


@KINDS
def test_a_page_that_goes_well(found: bool) -> None:
    done = folded(notes_of(found=found), row(3, "x"), row(5, "y", "a", "b"), row(9, "none", "b"))
    assert (done.checkpoint, done.applied, done.error, done.stopped, done.aside) == (9, 4, None, None, [])
    assert texts(done) == {"a": ("x", "y")}
    assert set(done.entries) == ({"a"} if found else set())


@KINDS
def test_a_handler_is_called_once_for_each_event_where_all_goes_well(found: bool) -> None:
    """With the documents that there are, of which those that have ended are none."""
    registry = Registry()
    registry.event("noted")(Noted)
    notes = registry.projection("notes", Notes)
    given: list[tuple[str, Notes | None, str]] = []

    @notes.on(Noted, key=lambda event: event.keys)
    def noted(document: Notes | None, event: Noted, key: str) -> Notes | None:
        given.append((key, document, event.text))
        return None if event.text == "none" else Notes((event.text,), event.ends)

    if found:
        notes.index("count", lambda document: len(document.texts))
        notes.expires("ends")
    old = Notes(("old",), 9.0)
    stored = dict.fromkeys("ab", msgspec.json.encode(old))
    entries = {"a": Entries((), 9 * SECOND), "b": Entries((), 2 * SECOND)} if found else {}
    rows = [row(2, "x", "a", "b", "c"), row(3, "none", "a"), row(4, "y", "a")]
    done = folded(notes, *rows, stored=stored, entries=entries)
    begin = [("a", old, "x"), ("b", None if found else old, "x"), ("c", None, "x")]
    assert given == [*begin, ("a", Notes(("x",)), "none"), ("a", None, "y")]
    assert (done.checkpoint, done.applied, texts(done)) == (4, 5, {"a": ("y",), "b": ("x",), "c": ("x",)})


@KINDS
def test_a_page_with_an_event_that_nobody_knows_ends_before_it_and_says_so(found: bool) -> None:
    done = folded(notes_of(found=found), row(3, "x"), row(5, "y", type="unheard"), row(9, "z"))
    assert (done.checkpoint, done.applied) == (4, 1)
    assert done.error is not None
    assert done.stopped == Stopped(5, str(done.error))
    assert "unheard" in done.stopped.reason
    assert texts(done) == {"a": ("x",)}


@KINDS
def test_a_page_with_an_event_whose_fold_fails_ends_before_it_and_says_so(found: bool) -> None:
    done = folded(notes_of(found=found), row(3, "x", "a", "b"), row(5, "bad", "b", "a"), row(9, "z"))
    assert (done.checkpoint, done.applied, done.aside) == (4, 2, [])
    assert done.stopped is not None
    assert done.stopped.position == 5
    assert done.stopped.reason.endswith("noted: ValueError: it is bad")
    assert texts(done) == {"a": ("x",), "b": ("x",)}


@KINDS
def test_of_an_event_that_fails_for_one_key_nothing_stays(found: bool) -> None:
    registry = Registry()
    registry.event("noted")(Noted)
    notes = registry.projection("notes", Notes)

    @notes.on(Noted, key=lambda event: event.keys)
    def noted(document: Notes | None, event: Noted, key: str) -> Notes:
        if key == event.text:
            raise ValueError(key)
        return Notes((*(document.texts if document else ()), event.text))

    if found:
        notes.index("count", lambda document: len(document.texts))
    done = folded(notes, row(1, "x", "a", "b", "c"), row(2, "b", "a", "b", "c"))
    assert (done.checkpoint, done.applied) == (1, 3), "the event that failed counts for no key"
    assert texts(done) == {"a": ("x",), "b": ("x",), "c": ("x",)}


@KINDS
@pytest.mark.parametrize("on_error", ["park", "skip"])
def test_what_is_set_aside_and_what_waits_behind_it(on_error: OnError, found: bool) -> None:
    rows = [row(1, "x", "a", "b"), row(2, "bad", "b"), row(3, "y", "b"), row(4, "z", "a")]
    done = folded(notes_of(on_error, found=found), *rows)
    assert (done.checkpoint, done.error, done.stopped) == (4, None, None)
    told = [(each.row[0], each.key, each.error is None) for each in done.aside]
    if on_error == "park":
        assert told == [(2, "b", False), (3, "b", True)]
        assert (done.applied, texts(done)) == (3, {"a": ("x", "z"), "b": ("x",)})
    else:
        assert told == [(2, "b", False)]
        assert (done.applied, texts(done)) == (4, {"a": ("x", "z"), "b": ("x", "y")})


@KINDS
def test_an_event_that_does_not_decode_is_passed_over_where_events_are_skipped(found: bool) -> None:
    broken = (*row(2, "y")[:9], b"{")
    done = folded(notes_of("skip", found=found), row(1, "x"), broken, row(3, "z"))
    assert (done.checkpoint, done.applied, texts(done)) == (3, 2, {"a": ("x", "z")})
    assert [(each.row, each.key) for each in done.aside] == [(broken, None)]
    assert done.aside[0].error is not None


@KINDS
def test_a_document_of_another_class_is_named_with_its_handler_and_its_projection(found: bool) -> None:
    done = folded(notes_of(found=found), row(1, "x"), row(2, "closer"))
    assert done.stopped is not None
    assert "projection 'notes': " in done.stopped.reason
    assert "noted answered a Closer, not a Notes or None; it would be read back as a Notes" in done.stopped.reason
    assert texts(done) == {"a": ("x",)}


def one_by_one(*rows: StoredEvent) -> tuple[StoredEvent, ...]:
    """With an event behind them that fails, for which all are folded again."""
    return (*rows, row(rows[-1][0] + 1, "bad", "another"))


@pytest.mark.parametrize("again", [False, True], ids=["at once", "one by one"])
def test_a_document_that_ends_within_a_page_is_none_to_what_comes_after_its_end(again: bool) -> None:
    rows = (row(1, "x", ends=3.0), row(2, "y", ends=3.0), row(3, "z"), row(4, "zz"))
    done = folded(notes_of(found=True), *(one_by_one(*rows) if again else rows))
    assert (done.checkpoint, texts(done)) == (4, {"a": ("z", "zz")})
    assert done.entries["a"].expires_us is None


@pytest.mark.parametrize("again", [False, True], ids=["at once", "one by one"])
def test_a_document_that_had_ended_before_a_page_is_none_to_it(again: bool) -> None:
    stored = {"a": msgspec.json.encode(Notes(("old",), 2.0)), "b": msgspec.json.encode(Notes(("old",), 9.0))}
    entries = {"a": Entries((), 2 * SECOND), "b": Entries((), 9 * SECOND)}
    rows = (row(2, "x", "a", "b", ends=9.0),)
    done = folded(notes_of(found=True), *(one_by_one(*rows) if again else rows), stored=stored, entries=entries)
    assert texts(done) == {"a": ("x",), "b": ("old", "x")}
    assert {key: each.expires_us for key, each in done.entries.items()} == {"a": 9 * SECOND, "b": 9 * SECOND}


def test_waiting_events_are_folded_up_to_the_first_that_fails_again() -> None:
    notes = notes_of("park", found=True)
    document, entries = msgspec.json.encode(Notes(("old",))), Entries((("count", "n"),))
    rows = [row(2, "x", "b", "a"), row(4, "bad", "b"), row(6, "y")]
    state, done, error = notes.fold_waiting(rows, "a", document, entries)
    assert (done, error) == (3, None)
    assert msgspec.json.decode(cast("bytes", state.document), type=Notes).texts == ("old", "x", "y")
    state, done, error = notes.fold_waiting(rows, "b", document, entries)
    assert done == 1
    assert "it is bad" in str(error)
    assert msgspec.json.decode(cast("bytes", state.document), type=Notes).texts == ("old", "x")
    assert notes.fold_waiting(rows[1:], "b", document, entries)[0] == State(document, None, entries)
    ended = notes.fold_waiting(rows[2:], "a", document, Entries((), 6 * SECOND))[0]
    assert msgspec.json.decode(cast("bytes", ended.document), type=Notes).texts == ("y",)


def test_waiting_events_that_end_a_document() -> None:
    notes = notes_of("park", found=True)
    rows = [row(1, "x", ends=3.0), row(3, "y", ends=8.0)]
    state, _, _ = notes.fold_waiting(rows, "a", None, Entries())
    assert msgspec.json.decode(cast("bytes", state.document), type=Notes).texts == ("y",)
    assert (state.ends, state.entries.expires_us) == (8 * SECOND, 8 * SECOND)
    assert notes.fold_waiting([*rows, row(4, "none")], "a", None, Entries())[0] == State(None, None)


def test_a_page_is_decoded_once_for_several_projections_where_nothing_in_an_event_can_be_changed() -> None:
    registry = Registry()
    registry.event("noted")(Noted)
    registry.event("loose")(Loose)
    given: list[object] = []
    plans = []
    shared: dict[int, object] = {}
    loose = (2, "stream", 2, 2, 0, "loose", 1, None, None, b'{"keys":["a"]}')
    for name in ("one", "other"):
        projection = registry.projection(name, Notes)
        for cls in (Noted, Loose):
            projection.on(cast("Any", cls), key=lambda event: event.keys)(lambda document, event: given.append(event))
        plans.append((projection, projection.plan([row(1, "x", "a", "b"), loose], 0, shared)))
    assert set(shared) == {1}, "of what may be changed each handler is given its own"
    for projection, plan in plans:
        projection.fold(plan, {})
    noted, others = (
        [each for each in given if isinstance(each, Noted)],
        [each for each in given if isinstance(each, Loose)],
    )
    assert len(noted) == 4
    assert all(each is noted[0] for each in noted)
    assert len({id(each) for each in others}) == len(others) == 2


def test_a_handler_of_several_keys_is_given_what_was_recorded() -> None:
    registry = Registry()
    registry.event("noted")(Noted)
    notes = registry.projection("notes", Notes)
    given: list[tuple[int, datetime, str]] = []

    @notes.on_recorded(Noted, key=lambda event: event.keys)
    def noted(document: Notes | None, recorded: Recorded[Noted], key: str) -> Notes:
        given.append((recorded.position, recorded.recorded_at, key))
        return Notes((recorded.event.text,))

    done = folded(notes, row(7, "x", "a", "b"))
    moment = datetime(1970, 1, 1, 0, 0, 7, tzinfo=timezone.utc)
    assert given == [(7, moment, "a"), (7, moment, "b")]
    assert texts(done) == {"a": ("x",), "b": ("x",)}


@pytest.mark.parametrize(
    ("key", "kind"), [(1.5, "float"), (b"a", "bytes"), ({"a": 1}, "dict"), (True, "bool"), (None, "NoneType")]
)
def test_what_is_no_key_is_named(key: object, kind: str) -> None:
    registry = Registry()
    registry.event("noted")(Noted)
    notes = registry.projection("notes", Notes)
    notes.on(Noted, key=cast("Any", lambda event: key))(lambda document, event: document)
    plan = notes.plan([row(1, "x")], 0, None)
    assert plan.checkpoint == 0
    assert f"several of them, not {kind}" in str(plan.error)


@KINDS
@pytest.mark.parametrize("on_error", ["stop", "park"])
def test_a_page_in_which_one_fails_and_a_later_one_does_not_decode(on_error: OnError, found: bool) -> None:
    broken = (*row(7, "y")[:9], b"{")
    done = folded(notes_of(on_error, found=found), row(3, "x"), row(5, "bad", "b"), broken)
    assert (done.checkpoint, texts(done)) == (4 if on_error == "stop" else 6, {"a": ("x",)})
    assert done.stopped is not None
    assert done.stopped.position == (5 if on_error == "stop" else 7)
    assert [each.row[0] for each in done.aside] == ([] if on_error == "stop" else [5])


def test_waiting_events_of_a_document_that_does_not_decode_any_more_name_it() -> None:
    state, done, error = notes_of("park").fold_waiting([row(2, "x")], "a", b'{"texts":1}', Entries())
    assert (state.document, done) == (b'{"texts":1}', 0)
    assert "projection 'notes': document 'a' does not decode as its class" in str(error)


@KINDS
@pytest.mark.parametrize("on_error", ["park", "skip"])
def test_a_page_in_which_one_is_set_aside_and_a_later_one_is_not_known(on_error: OnError, found: bool) -> None:
    done = folded(notes_of(on_error, found=found), row(3, "bad", "b"), row(5, "x"), row(7, "y", type="unheard"))
    assert (done.checkpoint, done.applied, texts(done)) == (6, 1, {"a": ("x",)})
    assert [each.row[0] for each in done.aside] == [3]
    assert done.stopped == Stopped(7, str(done.error))


@KINDS
def test_a_handler_is_given_the_event_whichever_way_a_page_is_folded(found: bool) -> None:
    """One that never fails, so that nothing is folded a second time."""
    registry = Registry()
    registry.event("noted")(Noted)
    notes = registry.projection("notes", Notes)

    @notes.on(Noted)
    def noted(document: Notes | None, event: Noted) -> Notes:
        return Notes((*(document.texts if document else ()), str(event)))

    if found:
        notes.index("count", lambda document: len(document.texts))
    expected = tuple(str(Noted(("a",), text)) for text in "xy")
    rows = row(1, "x"), row(2, "y")
    assert texts(folded(notes, *rows)) == {"stream": expected}
    state, done, error = notes.fold_waiting(rows, "stream", None, Entries())
    assert state.document is not None
    assert (msgspec.json.decode(state.document, type=Notes).texts, done, error) == (expected, 2, None)


def test_a_page_without_events_leaves_the_checkpoint_where_it_is() -> None:
    notes = notes_of()
    for each in (notes, notes.part(0, lambda _: 0)):
        assert each.plan((), 7, None).checkpoint == 7
