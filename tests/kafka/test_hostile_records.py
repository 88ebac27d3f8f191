"""Whatever anybody writes into the topic: readers go on as soon as foreign records are ignored, and nothing else fails.

A record that claims to be of this library and cannot be is a foreign one. Not claimed: that a valid event of a
registered type was written by this library: whoever may write into a topic may write that.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest

from eventsource_upstash import App, EventSourceError, ProjectionStopped, Query, Registry
from eventsource_upstash.backends.kafka import FOREIGN, records
from eventsource_upstash.backends.kafka.topic import Record
from eventsource_upstash.domain.events import NewEvent
from tests.kafka.hostile import HEADERS, KEYS, RAW, VALUES
from tests.kafka.memory_topic import MemoryTopic
from tests.kafka.test_records import Ordered, an_app, seen


def attacked(value: bytes | None, key: bytes | None) -> tuple[App, Registry]:
    """An app with a record between two events of its own."""
    topic = MemoryTopic()
    app, registry = an_app(topic)
    app.event_store.append("order-1", Ordered("a"), idempotency_key="one", tags=("t",))
    topic.put(value, key, timestamp_ms=5)
    app.event_store.append("order-1", Ordered("b"))
    return app, registry


def survive(app: App, registry: Registry) -> None:
    """Everything that meets the record fails as documented or not at all, and nothing once it is ignored."""
    attempts: tuple[Callable[[], object], ...] = (
        app.projector.catch_up,
        lambda: list(app.event_store.read()),
        lambda: list(app.event_store.read(query=Query.of(tags=["t"]))),
        app.projection_store.status,
    )
    for attempt in attempts:
        with suppress(EventSourceError):
            attempt()
    assert app.event_store.append("order-1", Ordered("a"), idempotency_key="one", tags=("t",)).repeated
    registry.ignore(FOREIGN)
    registry.ignore("other")
    assert app.projector.catch_up().complete
    assert [each for each in seen(app) if each in ("order-1:a", "order-1:b")] == ["order-1:a", "order-1:b"]
    for recorded in app.event_store.read():
        assert recorded.tags is not None
        assert recorded.metadata is not None


@pytest.mark.parametrize("name", VALUES)
def test_no_record_stops_a_reader_for_good(name: str) -> None:
    for key in KEYS:
        survive(*attacked(VALUES[name], key))


@pytest.mark.parametrize("name", HEADERS)
def test_no_header_changes_what_a_record_is(name: str) -> None:
    given = []

    def foreign(record: Record) -> NewEvent | None:
        given.append(record.headers)
        return None

    topic = MemoryTopic()
    app, registry = an_app(topic, foreign)
    for value in (RAW, b"hello", None):
        offset = topic.put(value, b"order-1")
        partition = topic._partitions[0]
        partition.records[offset] = partition.records[offset]._replace(headers=HEADERS[name])  # type: ignore[union-attr, arg-type]
    registry.ignore(FOREIGN)
    assert app.projector.catch_up().complete
    assert seen(app) == ("order-1:x",)
    assert given
    assert all(headers == HEADERS[name] for headers in given), "the app's own function sees them as they are"


def test_control_records_and_gaps_are_no_events() -> None:
    topic = MemoryTopic(markers=True)
    app, _ = an_app(topic)
    app.event_store.append("order-1", Ordered("a"), Ordered("b"))
    topic.gap(0, 50)
    app.event_store.append("order-1", Ordered("c"))
    assert app.projector.catch_up().complete
    assert seen(app) == ("order-1:a", "order-1:b", "order-1:c")


def test_where_the_envelope_is_not_looked_at_a_record_stops_readers_for_good(monkeypatch: pytest.MonkeyPatch) -> None:
    """The guard: as it was before."""
    monkeypatch.setattr(records, "_is_sound", lambda _: True)
    for name in ("tags-0", "type-1", "schemaversion-0", "metadata-0"):
        with pytest.raises((ProjectionStopped, ValueError)):
            survive(*attacked(VALUES[name], b"order-1"))
