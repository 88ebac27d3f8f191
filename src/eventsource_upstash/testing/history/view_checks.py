"""What views have to hold: the fold of the log, neither more nor less, and never less than before."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from .facts import Facts
from .log_checks import reached
from .records import CatchUpCall, CheckpointCall, Entry, ViewCall
from .timeline import Floor, timeline
from .verdict import Violation

_encoder = msgspec.json.Encoder(order="deterministic")


class View(NamedTuple):
    """A view as it was found when the workload had ended, and how it comes from the log.

    Attributes:
        projection: The projection's name, as in the recorded reads.
        checkpoint: The position that it has reached.
        documents: All of its documents, by key.
        fold: What an event makes of a document, or of None; None for no document. Written anew for the check, and not
            the handler itself, it finds what is wrong with the handler too.
        keys: The keys of the documents that an event changes.
    """

    projection: str
    checkpoint: int
    documents: Mapping[str, object]
    fold: Callable[[object, Entry], object]
    keys: Callable[[Entry], Iterable[str]]

    def versions(self, log: Iterable[Entry]) -> dict[str, list[tuple[int, object]]]:
        """What each document is in the course of the log: from which position on, and what, as JSON has it."""
        versions: dict[str, list[tuple[int, object]]] = defaultdict(lambda: [(0, None)])
        documents: dict[str, object] = {}
        for entry in log:
            for key in self.keys(entry):
                documents[key] = self.fold(documents.get(key), entry)
                versions[key].append((entry.position, plain(documents[key])))
        return versions


def plain(document: object) -> object:
    """A document as JSON has it, to be compared."""
    return msgspec.json.decode(_encoder.encode(document))


def check_views(facts: Facts, views: Sequence[View]) -> Iterator[Violation]:
    """Each view equals the fold of the log up to its checkpoint."""
    check = "a view is the fold of the log up to its checkpoint"
    for view in views:
        of = f"view {view.projection!r} at position {view.checkpoint}"
        folded = {
            key: found[-1][1]
            for key, found in view.versions(each for each in facts.log if each.position <= view.checkpoint).items()
            if found[-1][1] is not None
        }
        documents = {key: plain(document) for key, document in view.documents.items() if document is not None}
        for key in sorted(folded.keys() | documents.keys()):
            if folded.get(key) != documents.get(key):
                told = f"{of}: {key!r} is {documents.get(key)!r}, and the log makes it {folded.get(key)!r}"
                yield Violation(check, told)
        last = facts.log[-1].position if facts.log else 0
        if view.checkpoint > last:
            yield Violation(check, f"{of}: the log ends at {last}")


def check_checkpoints(facts: Facts) -> Iterator[Violation]:
    """Checkpoints never go back, and a catch-up that says it is complete has met all that was appended before it."""
    check = "checkpoints never go back"
    log, every, of = Floor(), Floor(), defaultdict[str, Floor](Floor)
    begun: dict[int, tuple[Floor, Floor]] = {}
    for operation, began in timeline(facts.history.operations):
        call, answer = operation.call, operation.answer
        if answer.outcome != "ok":
            continue
        position = answer.position or 0
        if began:
            if isinstance(call, CheckpointCall):
                begun[id(operation)] = (every.copy(), of[call.projection].copy())
            elif isinstance(call, CatchUpCall):
                begun[id(operation)] = (log.copy(), every.copy())
            continue
        if isinstance(call, CheckpointCall) or (isinstance(call, CatchUpCall) and answer.complete):
            for floor in begun[id(operation)]:
                if position < floor.position:
                    yield Violation(check, f"{operation}, after this had ended: {floor.operation}")
        if isinstance(call, CheckpointCall):
            of[call.projection].raise_(position, operation)
        elif isinstance(call, ViewCall):
            of[call.projection].raise_(call.at_least or 0, operation)
        elif isinstance(call, CatchUpCall):
            every.raise_(position, operation)
        else:
            log.raise_(reached(facts, operation), operation)


def check_fresh_reads(facts: Facts, views: Sequence[View]) -> Iterator[Violation]:
    """A read with `at_least` never answers less: its document is one that the view has from that position on.

    A read without it answers a document that the view has had at some time. Neither knows what was appended later.
    """
    check = "a read of a view answers what it was asked for"
    appended = {
        each.entry.position: facts.appends[mark][0].invoked for mark, found in facts.found.items() for each in found
    }
    for view in views:
        versions = view.versions(facts.log)
        # By what was read: for each document, from where to where it was that.
        spans: dict[tuple[str, bytes], list[tuple[int, int | None]]] = defaultdict(list)
        for key, found in versions.items():
            ends = [*(position for position, _ in found[1:]), None]
            for (since, document), end in zip(found, ends, strict=True):
                spans[key, _encoder.encode(document)].append((since, end))
        for operation, call in facts.each(ViewCall):
            if call.projection != view.projection or operation.answer.outcome != "ok":
                continue
            read = _encoder.encode(operation.answer.document)
            nothing: list[tuple[int, int | None]] = [(0, None)] if call.key not in versions and read == b"null" else []
            returned = operation.returned or 0
            if not any(
                (end is None or end > (call.at_least or 0)) and appended.get(since, returned) <= returned
                for since, end in spans.get((call.key, read), nothing)
            ):
                told = f"{operation}; the log makes it {_course(versions.get(call.key, []))}"
                yield Violation(check, told)


def _course(found: Sequence[tuple[int, object]]) -> str:
    shown = ", ".join(f"{document!r} from position {since} on" for since, document in found[-6:]) or "None"
    return f"{'..., ' if len(found) > 6 else ''}{shown}"
