"""Which fields are found to be personal, in classes of every kind, and under which names they stand in the log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import attrs
import msgspec
import pydantic
import pytest

from eventsource_upstash import EventStore, Memory, MemoryKeys, Personal, RegistrationError, Registry
from eventsource_upstash.domain.personal import is_personal


def stored(event: Any) -> dict[str, Any]:
    """An event's payload as the log holds it; and it is read as it was appended."""
    registry = Registry()
    registry.event("moved", subject="customer")(type(event))
    backend = Memory()
    store = EventStore(backend, registry, keys=MemoryKeys())
    store.append("customer-1", event)
    assert [each.event for each in store.read()] == [event]
    payload: dict[str, Any] = msgspec.json.decode(backend._state.rows[0][5])
    return payload


def refused(text: str, cls: type, subject: str | None = None) -> None:
    with pytest.raises(RegistrationError) as caught:
        Registry().event("moved", subject=subject)(cls)
    assert str(caught.value).startswith(f"event type 'moved': {text}")
    assert is_personal(cls), "nor is it kept in clear elsewhere"


BOTH = {"validate_by_name": True, "validate_by_alias": True}


class Aliased(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(**BOTH, serialize_by_alias=True)
    customer: str
    street: Personal[str] = pydantic.Field(alias="theStreet")
    city: Personal[str] = pydantic.Field(default=None, serialization_alias="theCity", validation_alias="theCity")
    phone: Personal[str] = None


class ByName(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(**BOTH)
    customer: str
    street: Personal[str] = pydantic.Field(alias="theStreet")


@pytest.mark.parametrize(
    ("event", "sealed"),
    [
        (Aliased(customer="1", street="a", city="b", phone="c"), ["theStreet", "theCity", "phone"]),
        (ByName(customer="1", street="a"), ["street"]),
    ],
)
def test_a_models_fields_are_sealed_under_the_names_that_they_are_stored_under(event: Any, sealed: list[str]) -> None:
    payload = stored(event)
    assert payload["$sealed"]["fields"] == sealed
    assert [name for name, value in payload.items() if isinstance(value, dict) and "$personal" in value] == sealed


def models_of_a_function() -> tuple[type[pydantic.BaseModel], type[pydantic.BaseModel]]:
    class Room(pydantic.BaseModel):
        size: int

    class Moved(pydantic.BaseModel):
        customer: str
        street: Personal[str]
        room: Room  # which Python does not find by its name, and pydantic does

    return Moved, Room


def test_the_marks_of_a_model_count_wherever_it_is_defined() -> None:
    cls, room = models_of_a_function()
    refused("Moved.street is personal, and it is not said whose", cls)
    payload = stored(cls(customer="1", street="a street", room=room(size=3)))
    assert payload["$sealed"]["fields"] == ["street"]
    assert payload["room"] == {"size": 3}
    refused(
        "a Personal[...] stands within the type of field Holds.moved.street; only whole fields",
        pydantic.create_model("Holds", customer=str, moved=cls),
    )


def dataclasses_of_a_function() -> type[pydantic.BaseModel]:
    @dataclass(frozen=True)
    class Room:
        size: int

    @dataclass(frozen=True)
    class Flat:
        room: Room
        owner: Personal[str]

    return pydantic.create_model("Moved", customer=str, flat=Flat, room=Room)


def test_the_marks_of_a_dataclass_that_only_a_model_understands_are_seen() -> None:
    refused("a Personal[...] stands within the type of field Moved.flat.owner", dataclasses_of_a_function())


class AsStruct(msgspec.Struct, frozen=True):
    name: Personal[str]


@dataclass(frozen=True)
class AsDataclass:
    name: Personal[str]


@attrs.frozen
class AsAttrs:
    name: Personal[str]


class AsModel(pydantic.BaseModel):
    name: Personal[str]


class AsTuple(NamedTuple):
    name: Personal[str]


@pytest.mark.parametrize("inner", [AsStruct, AsDataclass, AsAttrs, AsModel, AsTuple])
def test_a_mark_within_a_field_is_refused_in_classes_of_every_kind(inner: Any) -> None:
    cls = msgspec.defstruct("Event", [("customer", str), ("person", inner)])
    refused("a Personal[...] stands within the type of field Event.person.name", cls)


@pytest.mark.parametrize("inner", [AsDataclass, AsModel, AsTuple])
def test_and_within_a_field_of_a_model(inner: Any) -> None:
    cls = pydantic.create_model("Event", customer=str, person=inner)
    refused("a Personal[...] stands within the type of field Event.person.name", cls)


def test_a_mark_within_a_marked_field_of_a_model_is_refused() -> None:
    cls = pydantic.create_model("Event", customer=str, names=Personal[list[Personal[str]]])
    refused("a Personal[...] stands within the type of field Event.names; only whole", cls)


@pytest.mark.parametrize("cls", [AsStruct, AsDataclass, AsAttrs, AsModel, AsTuple])
def test_what_is_to_be_done_is_asked_for_marks_too(cls: type) -> None:
    assert is_personal(cls)
    assert not is_personal(msgspec.defstruct("Event", [("customer", str)]))
    assert not is_personal(str)
