"""Calling the handlers of an app one by one, and finding out whether they keep to the rules that no signature shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Generic, TypeVar, cast

from ..domain.aggregates import Aggregate
from ..domain.codec import Codec, decode_metadata, encode_metadata
from ..domain.event_types import EventTypes
from ..domain.events import Recorded, StoredEvent
from ..domain.folds import Keyed
from ..domain.projections import Folded, Projection
from .telling import difference

S = TypeVar("S")
D = TypeVar("D")


class _Untouched:
    """A value as it was, to be compared with what has become of it.

    Compared are encodings: they show what is inside, whatever the class says about equality.
    """

    def __init__(
        self, what: str, value: object, encode: Callable[[], bytes], decode: Callable[[bytes], object]
    ) -> None:
        self._what = what
        self._value = value
        self._encode = encode
        self._decode = decode
        self._before = encode()

    def check(self, handler: str) -> None:
        """Raise `AssertionError`, naming the handler, if the value is not what it was."""
        if self._encode() != self._before:
            raise AssertionError(
                f"{handler} changed the {self._what} that it was given; it must answer a new one instead:\n"
                f"{difference(self._decode(self._before), self._value)}"
            )


def _event_kept(types: EventTypes, event: object) -> _Untouched:
    known = types.of(event)
    return _Untouched("event", event, lambda: known.encode(event), known.decode)


class AggregateHandlers(Generic[S]):
    """The handlers of an aggregate.

    Attributes:
        types: The event types of its registry.
    """

    def __init__(self, aggregate: Aggregate[S]) -> None:
        self._aggregate = aggregate
        self._codec = Codec(aggregate.state, f"state of aggregate {aggregate.name!r}")
        self.types: EventTypes = aggregate.types

    def fold(self, state: S | None, rows: Sequence[StoredEvent]) -> S | None:
        """Fold rows onto a state, one by one."""
        for row in rows:
            event = self.types.decode(row)
            handler = self._aggregate.fold_handler(row[5])
            kept = [_event_kept(self.types, event), *self._state_kept(state)]
            folded = self._aggregate.fold_events(state, [event])
            if handler is not None:
                for each in kept:
                    each.check(f"aggregate {self._aggregate.name!r}, fold handler {handler}")
            state = folded
        return state

    def decide(self, state: S | None, command: object) -> tuple[object, ...]:
        """The events that a command leads to. Raises what the decide handler raises."""
        kept = self._state_kept(state)
        try:
            return self._aggregate.decide_on(state, command)
        finally:
            for each in kept:
                each.check(self.decider(command))

    def decider(self, command: object) -> str:
        """How to call the handler of a command in a message."""
        name = self._aggregate.decide_handler(command) or type(command).__name__
        return f"aggregate {self._aggregate.name!r}, decide handler {name}"

    def _state_kept(self, state: S | None) -> list[_Untouched]:
        if state is None:
            return []
        return [_Untouched("state", state, lambda: self._codec.encode(state), self._codec.decode)]


class ProjectionHandlers(Generic[D]):
    """The handlers of a projection.

    Attributes:
        types: The event types of its registry.
    """

    def __init__(self, projection: Projection[D]) -> None:
        self._projection = projection
        self.types: EventTypes = projection.types

    def fold(self, rows: Sequence[StoredEvent]) -> Folded:
        """Fold rows into an empty view, as a catch-up does. Where it stops, and why, stands in the answer."""
        by_hand = self._one_by_one(rows)
        folded = self._projection.fold(self._projection.plan(rows, 0, None), {})
        documents = {key: document for key, document in folded.documents.items() if document is not None}
        if by_hand is not None and folded.error is None and by_hand != documents:
            decode = self._projection.codec.decode
            once, again = ({k: decode(v) for k, v in each.items()} for each in (by_hand, documents))
            raise AssertionError(
                f"{self._where}: the same events, folded twice, made different documents; a fold handler must depend "
                f"on nothing but its arguments:\n{difference(once, again)}"
            )
        return folded

    @property
    def _where(self) -> str:
        return f"projection {self._projection.name!r}"

    def _one_by_one(self, rows: Sequence[StoredEvent]) -> Mapping[str, bytes] | None:
        """The documents that rows make, each handler watched; None when one of them fails."""
        codec = self._projection.codec
        documents: dict[str, bytes] = {}
        for key, handler, argument, _ in self._projection.plan(rows, 0, None).steps:
            document = codec.decode(documents[key]) if key in documents else None
            kept = [*self._argument_kept(argument), *self._document_kept(document)]
            try:
                folded = handler.fold(document, argument)
                encoded = None if folded is None else codec.encode_checked(folded)
            except Exception:  # told by the fold itself, with the event that it failed at
                encoded = folded = None
                failed = True
            else:
                failed = False
            for each in kept:
                each.check(f"{self._where}, handler {handler.name}")
            if failed:
                return None
            if encoded is None:
                documents.pop(key, None)
            else:
                documents[key] = encoded
        return documents

    def _document_kept(self, document: D | None) -> list[_Untouched]:
        if document is None:
            return []
        codec = self._projection.codec
        return [_Untouched("document", document, lambda: codec.encode(document), codec.decode)]

    def _argument_kept(self, argument: object) -> list[_Untouched]:
        if isinstance(argument, Keyed):
            argument = argument.argument
        if not isinstance(argument, Recorded):
            return [_event_kept(self.types, argument)]
        recorded = cast("Recorded[object]", argument)
        metadata = recorded.metadata
        return [
            _event_kept(self.types, recorded.event),
            _Untouched("metadata", metadata, lambda: encode_metadata(dict(metadata)), decode_metadata),
        ]
