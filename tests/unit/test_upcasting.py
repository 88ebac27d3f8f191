"""Events of older schema versions are read as the class of today, through every version between."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Any, cast

import attrs
import msgspec
import pydantic
import pytest

from eventsource_upstash import (
    Memory,
    ProjectionStopped,
    RegistrationError,
    Registry,
    UndecodableEvent,
    UnknownEventType,
)
from eventsource_upstash.blocking import App


@dataclass(frozen=True)
class NamedV1:
    name: str


@dataclass(frozen=True)
class NamedV2:
    first: str
    last: str


@dataclass(frozen=True)
class NamedDataclass:
    names: tuple[str, ...]
    born: date | None = None


class NamedStruct(msgspec.Struct, frozen=True):
    names: tuple[str, ...]
    born: date | None = None


@attrs.frozen
class NamedAttrs:
    names: tuple[str, ...]
    born: date | None = None


class NamedModel(pydantic.BaseModel):
    names: tuple[str, ...]
    born: date | None = None


@dataclass(frozen=True)
class People:
    names: tuple[tuple[str, ...], ...] = ()


def split(data: dict[str, object]) -> dict[str, object]:
    first, _, last = cast("str", data["name"]).partition(" ")
    return {"first": first, "last": last}


def gather(data: dict[str, object]) -> dict[str, object]:
    # Changes what it was given: it is a dict of its own.
    data["names"] = [data.pop("first"), data.pop("last")]
    return data


def of_today(cls: type, first: Callable[..., Any] = split, second: Callable[..., Any] = gather) -> Registry:
    registry = Registry()
    registry.upcast("named", from_version=1)(first)
    registry.upcast("named", from_version=2)(second)
    registry.event("named", version=3)(cls)
    return registry


def written_by_every_version(cls: Any) -> Memory:
    backend = Memory()
    v1, v2 = Registry(), Registry()
    v1.event("named")(NamedV1)
    v2.upcast("named", from_version=1)(split)
    v2.event("named", version=2)(NamedV2)
    App(backend, v1, None).event_store.append("person-1", NamedV1("Ada Lovelace"))
    App(backend, v2, None).event_store.append("person-1", NamedV2("Alan", "Turing"))
    App(backend, of_today(cls), None).event_store.append("person-1", cls(names=("Grace", "Hopper")))
    return backend


NAMES = [("Ada", "Lovelace"), ("Alan", "Turing"), ("Grace", "Hopper")]


@pytest.mark.parametrize("cls", [NamedDataclass, NamedStruct, NamedAttrs, NamedModel])
def test_every_version_is_read_as_the_class_of_today(cls: Any) -> None:
    backend = written_by_every_version(cls)
    registry = of_today(cls)
    people = registry.projection("people", People)
    person = registry.aggregate("person", People)

    @person.on(cls)
    @people.on(cls)
    def named(document: People | None, event: Any) -> People:
        assert type(event) is cls
        return People((*(document or People()).names, event.names))

    app = App(backend, registry, None)
    recorded = list(app.event_store.read())
    assert [each.event for each in recorded] == [cls(names=names) for names in NAMES]
    assert [each.version for each in recorded] == [1, 2, 3]
    assert app.event_store.load(person, "person-1").state == People(tuple(NAMES))
    app.projector.catch_up()
    assert app.projection_store.view(people).get("person-1") == People(tuple(NAMES))


def test_two_projections_over_one_page_see_the_same_events() -> None:
    backend = written_by_every_version(NamedDataclass)
    registry = of_today(NamedDataclass)
    calls: list[object] = []
    for name in ("one", "two"):
        projection = registry.projection(name, People)

        @projection.on(NamedDataclass)
        def named(document: People | None, event: NamedDataclass) -> People | None:
            calls.append(event)
            return document

    App(backend, registry, None).projector.catch_up()
    assert len(calls) == 6
    assert calls[:3] == calls[3:]


def test_the_stored_event_stays_as_it_was_written() -> None:
    backend = written_by_every_version(NamedDataclass)
    list(App(backend, of_today(NamedDataclass), None).event_store.read())
    v1 = Registry()
    v1.event("named")(NamedV1)
    (first,) = App(backend, v1, None).event_store.read(limit=1)
    assert first.event == NamedV1("Ada Lovelace")


def test_code_of_yesterday_stops_at_the_event_of_tomorrow() -> None:
    backend = written_by_every_version(NamedDataclass)
    v1 = Registry()
    v1.event("named")(NamedV1)
    reading = App(backend, v1, None).event_store.read()
    assert next(reading).event == NamedV1("Ada Lovelace")
    with pytest.raises(UnknownEventType, match="version 2 is newer than the registered version 1") as caught:
        next(reading)
    told = caught.value
    assert (told.type, told.version, told.stream, told.position) == ("named", 2, "person-1", 2)


def loses_the_name(data: dict[str, object]) -> dict[str, object]:
    return {}


def needs_what_is_not_there(data: dict[str, object]) -> object:
    return data["surname"]


def answers_nothing(data: dict[str, object]) -> None: ...


def answers_a_list(data: dict[str, object]) -> list[object]:
    return []


def leaves_a_set(data: dict[str, object]) -> dict[str, object]:
    return {"names": [object()]}


@pytest.mark.parametrize(
    ("upcaster", "tells"),
    [
        (loses_the_name, "missing required field `names`"),
        (needs_what_is_not_there, "KeyError: 'surname'"),
        (answers_nothing, "Expected `object`, got `null`"),
        (answers_a_list, "Expected `object`, got `array`"),
        (leaves_a_set, "$.names[0]"),
    ],
)
def test_an_upcaster_that_fails_is_named_and_nothing_is_lost(upcaster: Callable[..., Any], tells: str) -> None:
    backend = written_by_every_version(NamedDataclass)
    broken = of_today(NamedDataclass, second=upcaster)
    people = broken.projection("people", People)

    @people.on(NamedDataclass)
    def named(document: People | None, event: NamedDataclass) -> People:
        return People((*(document or People()).names, event.names))

    app = App(backend, broken, None)
    with pytest.raises(UndecodableEvent) as caught:
        list(app.event_store.read())
    assert str(caught.value).startswith("event 'named' at position 1 in stream 'person-1' does not decode: ")
    assert tells in str(caught.value)
    with pytest.raises(ProjectionStopped) as stopped:
        app.projector.catch_up()
    assert stopped.value.position == 1
    assert tells in str(stopped.value)

    mended = of_today(NamedDataclass)
    people = mended.projection("people", People)
    people.on(NamedDataclass)(named)
    app = App(backend, mended, None)
    app.projector.catch_up()
    assert app.projection_store.view(people).get("person-1") == People(tuple(NAMES))


class Name(pydantic.BaseModel):
    first: str
    last: str


class NamedDeeply(pydantic.BaseModel):
    name: Name


@dataclass(frozen=True)
class HoldsModel:
    name: Name


@pytest.mark.parametrize("cls", [NamedDeeply, HoldsModel])
def test_an_upcaster_leaves_what_a_model_is_built_of(cls: Any) -> None:
    def inner(data: dict[str, object]) -> dict[str, object]:
        return {"name": data}

    backend = written_by_every_version(NamedDataclass)
    read = [each.event for each in App(backend, of_today(cls, second=inner), None).event_store.read(limit=2)]
    assert read == [cls(name=Name(first=first, last=last)) for first, last in NAMES[:2]]


@pytest.mark.parametrize(
    ("cls", "tells"),
    [(NamedDeeply, "name.first: Field required; "), (HoldsModel, "first: Field required - at `$.name`")],
)
def test_an_upcaster_that_leaves_what_a_model_refuses(cls: Any, tells: str) -> None:
    def inner(data: dict[str, object]) -> dict[str, object]:
        return {"name": {"last": 5 if cls is NamedDeeply else "x"}}

    backend = written_by_every_version(NamedDataclass)
    with pytest.raises(UndecodableEvent) as caught:
        list(App(backend, of_today(cls, second=inner), None).event_store.read())
    assert f"does not decode: {tells}" in str(caught.value)


def test_each_mistake_of_an_upcaster_names_it() -> None:
    registry = Registry()
    registry.upcast("moved", from_version=1)(lambda data: data)
    with pytest.raises(RegistrationError, match=r"^upcaster of 'moved' from version 1: there is one already"):
        registry.upcast("moved", from_version=1)(lambda data: data)
    with pytest.raises(RegistrationError, match=r"^upcaster of 'moved' from version 2"):
        registry.upcast("moved", from_version=2)(lambda: None)  # type: ignore[arg-type, misc]
