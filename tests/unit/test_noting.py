"""What is written of a page beside its documents: what was known stays known, and what is new is said."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from typing import Any

import pytest

from eventsource_upstash import Projection, Registry
from eventsource_upstash._flow import noting
from eventsource_upstash._flow.noting import Directory, Noting, fits, staying, told
from eventsource_upstash._flow.wiring import any_of
from eventsource_upstash.domain.events import StoredEvent
from eventsource_upstash.domain.folding import Aside, Folded
from eventsource_upstash.domain.progress import Notes, Stopped
from eventsource_upstash.ports import Commit, Progress, Stored

NOTHING = Stored({}, {}, {})


@dataclass(frozen=True)
class Seen:
    times: int


def projections() -> tuple[Projection[object], Projection[object]]:
    """A plain one, and the outbox of a reactor."""
    registry = Registry()
    registry.event("seen")(Seen)
    reactor = registry.reactor("desk")
    reactor.on(Seen)(lambda _: [])
    return any_of(registry.projection("seen", Seen)), any_of(reactor.outbox)


def written(projection: Projection[object], notes: Notes, folded: Folded, stored: Stored = NOTHING) -> Commit:
    """What is written for a build at position 3 of 9, in its third edition there."""
    progress = Progress(projection.id, 2, 3, edition=2, notes=notes)
    commit = Noting(lambda: 7_000).commit(projection, progress, folded, stored, 9)
    assert commit is not None
    return commit


KNOWN: dict[str, Any] = {"skipped": 3, "changes": 4, "pending": 5, "failed": 2, "mark": "its own"}


@pytest.mark.parametrize("checkpoint", [3, 5])
def test_what_is_known_of_a_build_stays_known(checkpoint: int) -> None:
    plain, _ = projections()
    stopped = Stopped(4, "why", 7)
    notes = Notes(shape="as it was", stopped=Stopped(4, "another reason", 1), **KNOWN)
    commit = written(plain, notes, Folded({}, checkpoint, 0, ValueError("why"), Stopped(4, "why")))
    shape = "as it was" if checkpoint == 3 else plain.shape
    assert commit == Commit(
        plain.id, 2, 3, checkpoint, {}, Notes(shape=shape, stopped=stopped, **KNOWN), [], 2, {}, {}, {}, 9
    )


@pytest.mark.parametrize(("position", "stays"), [(2, True), (3, True), (4, False)])
def test_a_stop_at_what_is_folded_already_is_no_matter_of_the_folds(position: int, stays: bool) -> None:
    plain, _ = projections()
    stopped = Stopped(position, "a reaction that cannot be carried out", 1)
    commit = written(plain, Notes(stopped=stopped), Folded({"a": b"{}"}, 5, 1))
    assert commit.notes.stopped == (stopped if stays else None)


def test_documents_that_were_not_there_are_named_and_of_an_outbox_counted() -> None:
    folded = Folded({"a": b"{}", "b": b"{}", "c": None}, 5, 3)
    for projection, pending in zip(projections(), (1, 2), strict=True):
        commit = written(projection, Notes(pending=1), folded, Stored({"a": b"[]", "c": b"[]"}, {}, {}))
        assert (commit.created, commit.notes.pending) == (["b"], pending)


def test_a_commit_that_leaves_a_build_where_it_is_makes_no_document() -> None:
    plain, _ = projections()
    notes = Notes(pending=1)
    assert staying(Progress(plain.id, 2, 3, edition=2, notes=notes)) == Commit(plain.id, 2, 3, 3, {}, notes, (), 2)


def test_so_many_are_parked_as_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(noting, "MAX_PARKED", 5)
    row: StoredEvent = (1, "stream", 1, 0, 0, "seen", 1, None, None, b"{}")
    directory = Directory({"a": [1, 2], "b": [3]})
    assert [fits(directory, [Aside(row, "a", None)] * count) for count in range(5)] == [None, None, None, 2, 2]


def failed(depth: int = 2) -> Exception:
    """An error, raised so deep."""

    def fail(left: int) -> None:
        if not left:
            raise LookupError("not there")
        fail(left - 1)

    try:
        fail(depth)
    except LookupError as error:
        return error
    raise AssertionError


def test_an_error_is_told_in_a_line_and_where_it_or_what_caused_it_was_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    assert told(None) == ("", "")
    assert told(ValueError("never raised")) == ("never raised", "")
    error, blamed = failed(), ValueError("in a handler")
    frames = "".join(traceback.format_tb(error.__traceback__))
    assert told(error) == ("not there", frames)
    blamed.__cause__ = error
    assert told(blamed) == ("in a handler", frames)
    monkeypatch.setattr(noting, "_MAX_TRACEBACK", 40)
    assert told(error) == ("not there", frames[-40:])
