"""The documents of an outbox while they are worked on: what is still to be carried out, and the commit that says so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from ..domain.folds import failure
from ..domain.outgoing import Outgoing
from ..domain.progress import Notes, Stopped
from ..domain.reactors import Outbox, OutboxProjection, ReactionFailed
from ..ports import Commit, Progress
from .noting import SkippedRecord, skipped_record, staying

FAILED: Final = "failed"
"""The record that tells which key a stopped reactor stays at."""


class Work:
    """Some documents of one outbox, while their reactions are carried out.

    Attributes:
        outbox: The outbox.
        progress: The build that they were read from, as it was then.
        stored: The documents, as they are stored.
        left: What is still to be carried out, by key.
        open: The keys at which it can go on.
        stopped: Where and why the reactor stops, if it does.
        overtaken: Whether what failed was done with meanwhile by somebody else, as the last commit found it.
        done: How many reactions were carried out.
    """

    def __init__(
        self, outbox: OutboxProjection, progress: Progress, documents: Mapping[str, Outbox], *, again: bool = False
    ) -> None:
        self.outbox = outbox
        self.progress = progress
        self.stored: dict[str, Outbox] = dict(documents)
        self.left: dict[str, list[Outgoing]] = {key: list(each.reactions) for key, each in documents.items()}
        self.open: dict[str, None] = dict.fromkeys(
            [key for key, each in documents.items() if again or each.failed is None]
        )
        self.stopped: Stopped | None = None
        self.overtaken = False
        self.done = 0
        self._again = again
        self._gone: set[str] = set()
        self._paused: dict[str, None] = {}
        self._failed: dict[str, tuple[str, ReactionFailed]] = {}  # the reaction's id with it
        self._skipped: dict[str, tuple[str, Outgoing, str, int]] = {}

    @property
    def failed(self) -> tuple[str, ...]:
        """Keys whose first reaction failed for good."""
        return tuple(self._failed)

    def first(self, key: str) -> Outgoing | None:
        """What comes next under a key, if it can go on there."""
        return self.left[key][0] if key in self.open else None

    def sends(self) -> Iterator[tuple[str, Outgoing]]:
        """The messages that come next, of each key as many as come before anything else."""
        for key in list(self.open):
            for each in list(self.left[key]):
                if each.kind != "send":
                    break
                yield key, each

    @property
    def paused(self) -> tuple[str, ...]:
        """Keys at which it can go on as soon as what was done is taken out of the outbox."""
        return tuple(self._paused)

    def pause(self, key: str) -> None:
        """Let what comes next under a key wait until it is taken out of the outbox what was done before."""
        if key in self.open:
            del self.open[key]
            self._paused[key] = None

    def resume(self, progress: Progress, documents: Mapping[str, Outbox]) -> None:
        """Go on with the keys that were paused, as they are stored now."""
        self.progress = progress
        self.stored = {key: each for key, each in documents.items() if key in self._paused}
        self.left = {key: list(each.reactions) for key, each in self.stored.items()}
        self.open = {key: None for key, each in self.stored.items() if self._again or each.failed is None}
        self._paused = {}

    def succeeded(self, key: str, outgoing: Outgoing) -> None:
        """It was carried out."""
        self.done += 1
        self.drop(key, outgoing)

    def drop(self, key: str, outgoing: Outgoing) -> None:
        """It is done with."""
        self._gone.add(outgoing.id)
        self.left[key].remove(outgoing)
        if not self.left[key]:
            self.open.pop(key, None)

    def failed_for_now(self, key: str) -> None:
        """It could not be carried out now: it stays, and what comes after it."""
        self.open.pop(key, None)

    def failed_for_good(self, key: str, outgoing: Outgoing, error: Exception, now_us: int, *, private: bool) -> str:
        """It cannot be carried out, whatever is tried: the reactor's `on_error` says what becomes of it.

        Answers what went wrong, in a line; without the words of the error where those are `private`.
        """
        line = self._told(outgoing, error, private=private)
        if self.outbox.on_error == "skip":
            self._skipped[outgoing.id] = (key, outgoing, line, now_us)
            self.drop(key, outgoing)
            if outgoing.kind != "send":
                self.pause(key)
            return line
        before = self.stored[key].failed
        if before is not None and before.error == line and not (self._again and self.outbox.on_error == "park"):
            mark = before  # the same once more is not news
        elif before is not None:
            mark = ReactionFailed(line, before.attempts + 1, before.first_us)
        else:
            mark = ReactionFailed(line, 1, now_us)
        self._failed[key] = (outgoing.id, mark)
        self.open.pop(key, None)
        if self.outbox.on_error == "stop":
            self.stopped = Stopped(outgoing.position, line, mark.first_us)
            self.open.clear()
            self._paused.clear()
        return line

    def _told(self, outgoing: Outgoing, error: Exception, *, private: bool) -> str:
        known = self.outbox.types.by_name.get(outgoing.type)
        # Kept beside the view, in clear: where there is personal data only the class, since the text may tell some.
        told = type(error).__name__ if private or (known is not None and known.personal) else failure(error)
        return f"{outgoing.kind} {outgoing.id}: {told}"

    def commit(self, head: int) -> Commit | None:
        """What is to be written, over the documents as they are stored; None where nothing has changed."""
        documents: dict[str, bytes | None] = {}
        records: dict[str, bytes | None] = {}
        notes = self.progress.notes
        pending, failed = notes.pending, notes.failed
        marked = False  # else somebody else has dealt with what failed here
        for key, before in self.stored.items():
            rest = tuple([each for each in before.reactions if each.id not in self._gone])
            mark = before.failed if rest and rest[0].id == before.reactions[0].id else None
            if key in self._failed and rest and rest[0].id == self._failed[key][0]:
                mark = self._failed[key][1]
                marked = True
            if not rest:
                documents[key] = None
                pending -= 1
                failed -= before.failed is not None
            elif (after := Outbox(rest, mark)) != before:
                documents[key] = self.outbox.codec.encode(after)
                failed += (mark is not None) - (before.failed is not None)
        notes = msgspec.structs.replace(notes, pending=max(0, pending), failed=max(0, failed))
        notes = self._skip(notes, records)
        self.overtaken = bool(self._failed) and not marked
        notes = self._stop(notes, records, marked=marked)
        if not documents and notes == self.progress.notes:
            return None
        return staying(self.progress)._replace(documents=documents, notes=notes, records=records, head=head)

    def _skip(self, notes: Notes, records: dict[str, bytes | None]) -> Notes:
        number = notes.skipped
        stored = {each.id for outbox in self.stored.values() for each in outbox.reactions}
        for id_, (key, outgoing, line, now_us) in self._skipped.items():
            if id_ in stored:  # else somebody else has noted it
                number += 1
                kept = SkippedRecord(number, outgoing.position, outgoing.source, outgoing.type, key, line, now_us)
                records[skipped_record(number)] = msgspec.json.encode(kept)
        return msgspec.structs.replace(notes, skipped=number)

    def _stop(self, notes: Notes, records: dict[str, bytes | None], *, marked: bool) -> Notes:
        """Note where the reactor stops, or that it does no longer. What stops its deciding is noted by the fold."""
        decides = notes.stopped is not None and not notes.stopped.position <= self.progress.checkpoint
        if self.stopped is not None and marked:
            records[FAILED] = next(iter(self._failed)).encode()
            return notes if decides else msgspec.structs.replace(notes, stopped=self.stopped)
        if notes.failed or not self.progress.notes.failed:
            return notes
        records[FAILED] = None
        return notes if decides else msgspec.structs.replace(notes, stopped=None)
