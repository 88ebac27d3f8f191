"""What is known of a class before its first instance: whether it can change, hide a NaN, or be nested without end."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Generic, Literal, NamedTuple, TypedDict, TypeVar

import attrs
import msgspec
import pydantic
import pytest

from eventsource_upstash import RegistrationError
from eventsource_upstash.domain.codec import Codec
from eventsource_upstash.domain.schema import inspect_class

T = TypeVar("T")


class Point(NamedTuple):
    x: int
    y: int


class Far(NamedTuple):
    point: complex


class Loose(NamedTuple):
    x: int
    y: list[int]


class Options(TypedDict):
    note: str


class Model(pydantic.BaseModel):
    name: str


@dataclass(frozen=True)
class Tree:
    name: str
    left: Tree | None = None


@pydantic.dataclasses.dataclass(frozen=True)
class Checked:
    name: str


@dataclass
class Changing:
    name: str


@attrs.frozen
class Frozen:
    name: str


@attrs.define
class Open:
    name: str


class Struct(msgspec.Struct, frozen=True):
    name: str


class OpenStruct(msgspec.Struct):
    name: str


class Box(msgspec.Struct, Generic[T], frozen=True):
    held: T


class OpenBox(msgspec.Struct, Generic[T]):
    held: T


@dataclass(frozen=True)
class Crate(Generic[T]):
    held: T


def known_of(hint: Any) -> tuple[bool, bool, bool]:
    """Of a frozen class with a field of a type: whether it is immutable, loose and deep."""
    found = inspect_class(msgspec.defstruct("Event", [("field", hint)], frozen=True), "event type 'x'")
    return found.immutable, found.loose, found.deep


@pytest.mark.parametrize(
    ("hint", "known"),
    [
        (int, (True, False, False)),
        (str, (True, False, False)),
        (datetime, (True, False, False)),
        (Literal["a", "b"], (True, False, False)),
        (float, (True, True, False)),
        (float | None, (True, True, False)),
        (Annotated[float, msgspec.Meta(title="t")], (True, True, False)),
        (Annotated[int, msgspec.Meta(title="t")], (True, False, False)),
        (tuple[int, ...], (True, False, False)),
        (tuple[int, float], (True, True, False)),
        (tuple[list[int], ...], (False, False, False)),
        (tuple[int, list[float]], (False, True, False)),
        (frozenset[str], (True, False, False)),
        (set[str], (False, False, False)),
        (list[float], (False, True, False)),
        (list[int] | None, (False, False, False)),
        (dict[str, int], (False, False, False)),
        (dict[str, float], (False, True, False)),
        (dict[float, int], (False, True, False)),
        (Any, (False, True, True)),
        (list[Any], (False, True, True)),
        (msgspec.Raw, (False, True, True)),
        (Model, (False, True, True)),
        (list[Model], (False, True, True)),
        (Point, (True, False, False)),
        (Box[int], (True, False, False)),
        (Box[list[float]], (False, True, False)),
        (OpenBox[int], (False, False, False)),
        (Crate[int], (True, False, False)),
        (Loose, (False, False, False)),
        (Options, (False, False, False)),
        (Struct, (True, False, False)),
        (OpenStruct, (False, False, False)),
        (Changing, (False, False, False)),
        (Frozen, (True, False, False)),
        (Open, (False, False, False)),
        (Checked, (True, False, False)),
        (tuple[Struct, Struct], (True, False, True)),  # it stands there twice, as if it held itself
        (Tree, (True, False, True)),
    ],
    ids=str,
)
def test_what_is_known_of_a_type(hint: Any, known: tuple[bool, bool, bool]) -> None:
    assert known_of(hint) == known


@pytest.mark.parametrize(
    ("hint", "path"),
    [
        (complex, "Event.field"),
        (complex | None, "Event.field"),
        (list[complex], r"Event.field\[\]"),
        (set[complex], r"Event.field\[\]"),
        (tuple[complex, ...], r"Event.field\[\]"),
        (tuple[int, complex], r"Event.field\[1\]"),
        (dict[str, complex], r"Event.field{}"),
        (dict[complex | None, str], r"Event.field{}"),
        (Annotated[list[complex], msgspec.Meta(title="t")], r"Event.field\[\]"),
        (msgspec.defstruct("Inner", [("deep", complex)]), "Event.field.deep"),
        (Far, "Event.field.point"),
    ],
    ids=str,
)
def test_what_cannot_be_stored_is_told_with_its_place(hint: Any, path: str) -> None:
    with pytest.raises(RegistrationError, match=rf"event type 'x': field {path} has the type complex, which cannot be"):
        known_of(hint)


@pytest.mark.parametrize(
    "key",
    [bool, None, tuple[int, int], tuple[int, ...], frozenset[str], Point, Struct, Frozen, Model, complex],
    ids=str,
)
def test_keys_that_no_json_object_can_have_are_told_with_their_place(key: Any) -> None:
    for hint in (list[dict[key, int]], list[dict[Annotated[key, msgspec.Meta(title="t")], int]]):  # type: ignore[valid-type]
        with pytest.raises(
            RegistrationError, match=r"^event type 'x': the keys of field Event\.field\[\] are of a type"
        ):
            known_of(hint)


class Kind(enum.Enum):
    ONE = 1


@pytest.mark.parametrize(
    ("key", "one"),
    [(str, "a"), (int, 1), (float, 1.5), (bytes, b"a"), (datetime, datetime(2030, 1, 1)), (Kind, Kind.ONE)],  # noqa: DTZ001
)
def test_keys_that_it_can_have_are_read_back(key: Any, one: Any) -> None:
    codec = Codec(msgspec.defstruct("Event", [("field", dict[key, int])], frozen=True), "event type 'x'")
    event = codec.cls(field={one: 1})
    assert codec.decode(codec.encode_checked(event)) == event


def test_a_model_of_pydantic_is_taken_for_what_can_change() -> None:
    found = inspect_class(Model, "event type 'x'")
    assert (found.immutable, found.loose, found.deep, found.info) == (False, True, True, None)


def test_a_dataclass_of_pydantic_is_a_dataclass() -> None:
    found = inspect_class(Checked, "event type 'x'")
    assert (found.immutable, found.loose, found.deep) == (True, False, False)
    assert found.info is not None


def test_a_type_that_there_cannot_be_is_told_with_the_event() -> None:
    with pytest.raises(RegistrationError, match=r"^event type 'x': Literal may only contain .*1\.5"):
        known_of(Literal[1.5])


@pytest.mark.parametrize(
    ("cls", "name"), [(int, "int"), (dict, "dict"), (5, "5"), ("Tree", "'Tree'"), (object, "object")]
)
def test_what_is_no_such_class_is_refused(cls: Any, name: str) -> None:
    with pytest.raises(RegistrationError, match=rf"^event type 'x': {name} is not a dataclass, msgspec.Struct, attrs"):
        inspect_class(cls, "event type 'x'")
