"""Events: what may be one, what stands in the log, and how an append can be told what to expect."""

# --8<-- [start:kinds]
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

import attrs
import msgspec
import pydantic

from eventsource_upstash import Registry

registry = Registry()


@registry.event("room-booked")
@dataclass(frozen=True)
class RoomBooked:
    room: UUID
    since: datetime
    price: Decimal


@registry.event("guest-arrived")
class GuestArrived(msgspec.Struct, frozen=True):
    name: str


@registry.event("guest-left")
@attrs.frozen
class GuestLeft:
    name: str


@registry.event("room-cleaned")
class RoomCleaned(pydantic.BaseModel):
    by: str


# --8<-- [end:kinds]


def test_recorded() -> None:
    from eventsource_upstash import connect

    # --8<-- [start:recorded]
    event_store = connect("memory:", registry).event_store
    event_store.append(
        "room-7",
        GuestArrived("Ada"),
        GuestLeft("Ada"),
        metadata={"user": "front desk", "request": "b1946ac9"},
        tags=("guest:ada",),
    )

    recorded = next(event_store.read_stream("room-7", after_revision=1))
    assert recorded.event == GuestLeft("Ada")
    assert recorded.type == "guest-left"
    assert (recorded.stream, recorded.revision, recorded.position) == ("room-7", 2, 2)
    assert recorded.metadata["user"] == "front desk"
    assert recorded.tags == ("guest:ada",)
    # --8<-- [end:recorded]
    assert recorded.recorded_at.tzinfo is not None
    assert UUID(recorded.id).version == 7


def test_expected_revision() -> None:
    from eventsource_upstash import connect

    event_store = connect("memory:", registry).event_store
    # --8<-- [start:expected]
    from eventsource_upstash import NO_STREAM, ConcurrencyError

    event_store.append("room-7", GuestArrived("Ada"), expected_revision=NO_STREAM)
    event_store.append("room-7", GuestLeft("Ada"), expected_revision=1)

    try:
        event_store.append("room-7", RoomCleaned(by="Bob"), expected_revision=1)
    except ConcurrencyError as conflict:
        assert conflict.actual == 2
        assert [missed.event for missed in conflict.events] == [GuestLeft("Ada")]
    # --8<-- [end:expected]
    else:
        raise AssertionError


def test_idempotency_key() -> None:
    from eventsource_upstash import connect

    event_store = connect("memory:", registry).event_store
    # --8<-- [start:idempotency]
    first = event_store.append("room-7", GuestArrived("Ada"), idempotency_key="check-in-55")
    again = event_store.append("room-7", GuestArrived("Ada"), idempotency_key="check-in-55")

    assert (again.position, again.repeated) == (first.position, True)
    assert event_store.head() == 1  # one event, however often it was sent
    # --8<-- [end:idempotency]


def test_refused_at_once() -> None:
    import json

    from eventsource_upstash import connect

    event_store = connect("memory:", registry).event_store
    # --8<-- [start:invalid]
    from eventsource_upstash import InvalidEvent

    guest = GuestArrived(name=json.loads("7"))  # whoever filled it in did not look
    try:
        event_store.append("room-7", guest)
    except InvalidEvent as error:
        assert "Expected `str`, got `int` - at `$.name`" in str(error)
    # --8<-- [end:invalid]
    else:
        raise AssertionError
    assert event_store.head() == 0
