"""The events of the peer `eventsourcing`, and the msgspec mapper of its documentation."""

# mypy: disable-error-code="import-not-found, misc, no-any-return"
# pyright: basic, reportMissingImports=false
# Why: the peer is installed in an environment of its own, where neither checker looks.

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING
from uuid import UUID

import msgspec
from eventsourcing.domain import DomainEvent
from eventsourcing.persistence import Mapper, StoredEvent
from eventsourcing.utils import get_topic, resolve_topic

from benchmarks.todo import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from benchmarks import todo


class TaskCreated(DomainEvent):
    text: str


class TaskUpdated(DomainEvent):
    text: str


class TaskCompleted(DomainEvent):
    pass


class TaskDeleted(DomainEvent):
    pass


class StructEvent(msgspec.Struct, frozen=True):
    originator_id: UUID
    originator_version: int
    timestamp: datetime


class StructCreated(StructEvent, frozen=True):
    text: str


class StructUpdated(StructEvent, frozen=True):
    text: str


class StructCompleted(StructEvent, frozen=True):
    pass


class StructDeleted(StructEvent, frozen=True):
    pass


class MsgspecMapper(Mapper[UUID]):
    def to_stored_event(self, domain_event: StructEvent) -> StoredEvent:
        return StoredEvent(
            originator_id=domain_event.originator_id,
            originator_version=domain_event.originator_version,
            topic=get_topic(domain_event.__class__),
            state=msgspec.json.encode(domain_event),
        )

    def to_domain_event(self, stored_event: StoredEvent) -> StructEvent:
        cls = resolve_topic(stored_event.topic)
        return msgspec.json.decode(stored_event.state, type=cls)


CLASSES: dict[str, dict[Kind, Callable[..., DomainEvent]]] = {
    "json": {
        Kind.CREATED: TaskCreated,
        Kind.UPDATED: TaskUpdated,
        Kind.COMPLETED: TaskCompleted,
        Kind.DELETED: TaskDeleted,
    },
    "msgspec": {
        Kind.CREATED: StructCreated,
        Kind.UPDATED: StructUpdated,
        Kind.COMPLETED: StructCompleted,
        Kind.DELETED: StructDeleted,
    },
}


def events_of(transcoder: str, lines: Iterable[todo.Line]) -> list[DomainEvent]:
    """Events of one task share one UUID object, as they share one stream name elsewhere."""
    classes = CLASSES[transcoder]
    ids: dict[int, UUID] = {}
    made: list[DomainEvent] = []
    for line in lines:
        values = {
            "originator_id": ids.setdefault(line.task, UUID(int=line.task + 1)),
            "originator_version": line.revision,
            "timestamp": datetime.now(timezone.utc),
        }
        if line.kind in (Kind.CREATED, Kind.UPDATED):
            values["text"] = line.text
        made.append(classes[line.kind](**values))
    return made
