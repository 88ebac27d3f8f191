"""The blocking faces, recording by themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final, Generic, TypeAlias, TypeVar

from ...domain.events import ANY, Appended, CatchUp, Expectation, Recorded
from ...domain.queries import AppendCondition
from .records import Entry

if TYPE_CHECKING:
    from ...blocking import EventStore
    from ...blocking.projector import Projector
    from ...blocking.views import ProjectionStore, View
    from ...domain.projections import Projection
    from .recorder import Recorder

D = TypeVar("D")

MarkOf: TypeAlias = "Callable[[Recorded[object]], str | None]"
"""Finds the mark in a recorded event; None for an event that no process of the history has appended."""

MARK: Final = "mark"
"""The key of the metadata in which a `RecordedEventStore` puts its marks."""


def mark_in_metadata(recorded: Recorded[object]) -> str | None:
    """The mark that a `RecordedEventStore` has put into an event's metadata."""
    mark = recorded.metadata.get(MARK)
    return mark if isinstance(mark, str) else None


def entries(events: Iterable[Recorded[object]], mark_of: MarkOf = mark_in_metadata) -> list[Entry]:
    """Recorded events as `check` takes them: `entries(store.read())`."""
    return [
        Entry(each.position, each.stream, each.revision, mark_of(each), each.event, each.type, each.tags)
        for each in events
    ]


class RecordedEventStore:
    """An event store that records what it is asked and what it answers. Made by `Recorder.event_store`.

    Each append has a mark, in the metadata of its events; or, with a `mark_of` of your own, wherever you put it.
    """

    def __init__(self, recorder: Recorder, store: EventStore, mark_of: MarkOf) -> None:
        self.recorder = recorder
        self.store = store
        self.mark_of = mark_of
        self._count = 0

    def append(
        self,
        stream: str,
        *events: object,
        expected_revision: int | Expectation = ANY,
        condition: AppendCondition | None = None,
        idempotency_key: str | None = None,
        metadata: Mapping[str, object] | None = None,
        tags: Sequence[str] = (),
        mark: str | None = None,
    ) -> Appended:
        """See `EventStore.append`.

        Args:
            stream: As there.
            *events: As there.
            expected_revision: As there.
            condition: As there.
            idempotency_key: As there. Where the same append is tried again, hand over the same mark too.
            metadata: As there.
            tags: As there.
            mark: The append's mark. Without it, the idempotency key; without that, one of its own.
        """
        if mark is None:
            self._count += 1
            mark = idempotency_key or f"{self.recorder.process}-{self.recorder.began}-{self._count}"
        if self.mark_of is mark_in_metadata:
            metadata = {**(metadata or {}), MARK: mark}
        if condition is not None:
            condition = AppendCondition(self.store.registry.types.resolve(condition.query), condition.after)
        with self.recorder.append(
            stream, mark, expected_revision=expected_revision, events=len(events), condition=condition
        ) as call:
            appended = self.store.append(
                stream,
                *events,
                expected_revision=expected_revision,
                condition=condition,
                idempotency_key=idempotency_key,
                metadata=metadata,
                tags=tags,
            )
            call.ok(position=appended.position, revision=appended.revision)
        return appended

    def read(self, *, after: int = 0, limit: int | None = None) -> Iterator[Recorded[object]]:
        """See `EventStore.read`. It reads to the end, or the limit, at once."""
        with self.recorder.read_log(after=after, limit=limit) as call:
            return iter(call.recorded(self.store.read(after=after, limit=limit), self.mark_of))

    def read_stream(
        self, stream: str, *, after_revision: int = 0, limit: int | None = None
    ) -> Iterator[Recorded[object]]:
        """See `EventStore.read_stream`. It reads to the end, or the limit, at once."""
        with self.recorder.read_stream(stream, after_revision=after_revision, limit=limit) as call:
            found = self.store.read_stream(stream, after_revision=after_revision, limit=limit)
            return iter(call.recorded(found, self.mark_of))

    def head(self) -> int:
        """See `EventStore.head`."""
        with self.recorder.head() as call:
            position = self.store.head()
            call.ok(position)
        return position


class RecordedView(Generic[D]):
    """A view that records. Made by `RecordedProjectionStore.view`."""

    def __init__(self, recorder: Recorder, view: View[D]) -> None:
        self.recorder = recorder
        self.view = view

    def get(self, key: str, *, at_least: int | None = None, timeout: float = 5.0) -> D | None:
        """See `View.get`."""
        with self.recorder.view(self.view.projection.name, key, at_least=at_least) as call:
            document = self.view.get(key, at_least=at_least, timeout=timeout)
            call.ok(document)
        return document


class RecordedProjectionStore:
    """A projection store that records. Made by `Recorder.projection_store`."""

    def __init__(self, recorder: Recorder, store: ProjectionStore) -> None:
        self.recorder = recorder
        self.store = store

    def view(self, projection: Projection[D]) -> RecordedView[D]:
        """See `ProjectionStore.view`."""
        return RecordedView(self.recorder, self.store.view(projection))

    def checkpoint(self, projection: Projection[D]) -> int:
        """The position that the view of a projection has reached, as `ProjectionStore.status` tells it."""
        with self.recorder.checkpoint(projection.name) as call:
            (position,) = [each.checkpoint for each in self.store.status() if each.name == projection.name]
            call.ok(position)
        return position


class RecordedProjector:
    """A projector that records. Made by `Recorder.projector`."""

    def __init__(self, recorder: Recorder, projector: Projector) -> None:
        self.recorder = recorder
        self.projector = projector

    def catch_up(self, *, until: int | None = None, time_budget: float | None = None) -> CatchUp:
        """See `Projector.catch_up`."""
        with self.recorder.catch_up() as call:
            result = self.projector.catch_up(until=until, time_budget=time_budget)
            call.ok(position=result.position, complete=result.complete and until is None)
        return result
