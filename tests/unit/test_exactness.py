"""What would be read back as something else than what was given is refused, and names the field."""

from __future__ import annotations

import enum
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from decimal import Decimal
from ipaddress import IPv4Address
from typing import Annotated, Any, Generic, NamedTuple, TypedDict, TypeVar
from uuid import UUID

import attrs
import msgspec
import pydantic
import pytest

from eventsource_upstash import InvalidEvent
from eventsource_upstash.domain.codec import Codec


@dataclass(frozen=True)
class Person:
    name: str


@dataclass(frozen=True)
class Employee(Person):
    number: int


@dataclass(frozen=True)
class Renamed(Person):
    """Has no more fields, and is read back as another class all the same."""


class Cat(msgspec.Struct, tag=True, frozen=True):
    name: str


class Dog(msgspec.Struct, tag=True, frozen=True):
    name: str


class Lion(Cat, tag="Cat", frozen=True):
    pride: str = ""


@attrs.frozen
class Place:
    name: str


@attrs.frozen
class Town(Place):
    size: int = 0


class Model(pydantic.BaseModel):
    name: str


class Larger(Model):
    size: int = 0


class Pair(NamedTuple):
    first: Person
    second: int


class Options(TypedDict, total=False):
    who: Person
    note: str


class Colour(enum.Enum):
    RED = "red"


class Word(str, enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


@dataclass(frozen=True)
class Tree:
    name: str
    children: list[Tree] = field(default_factory=list)
    about: Any = None


@dataclass(frozen=True)
class Nested:
    """Every place in which another object can be."""

    who: Person | None = None
    many: list[Person] = field(default_factory=list)
    several: tuple[Person, ...] = ()
    both: tuple[Person, int] | None = None
    by_name: dict[str, Person] = field(default_factory=dict)
    by_id: dict[UUID, Person] = field(default_factory=dict)
    group: frozenset[Person] = frozenset()
    pet: Cat | Dog | None = None
    place: Place | None = None
    model: Model | None = None
    pair: Pair | None = None
    options: Options | None = None
    marked: Annotated[Person, msgspec.Meta(title="who")] | None = None
    mixed: str | list[Person] | Person | None = None
    tree: Tree | None = None


ADA, EMPLOYEE = Person("Ada"), Employee("Ada", 7)
LION = Lion("Leo", "north")

LOST: dict[str, tuple[dict[str, Any], str]] = {
    "a field": ({"who": EMPLOYEE}, "$.who holds an Employee, which would be read back as a Person"),
    "another class": ({"who": Place("Rome")}, "$.who holds a Place, which would be read back as a Person"),
    "a dict": ({"who": {"name": "Ada", "age": 7}}, "$.who holds a dict, which would be read back as a Person"),
    "a name only": ({"who": Renamed("Ada")}, "$.who holds a Renamed, which"),
    "a list": ({"many": [ADA, EMPLOYEE]}, "$.many[1] holds an Employee"),
    "a tuple": ({"several": (ADA, ADA, EMPLOYEE)}, "$.several[2] holds an Employee"),
    "a tuple of a size": ({"both": (EMPLOYEE, 1)}, "$.both[0] holds an Employee"),
    "a dict of names": ({"by_name": {"a": ADA, "b": EMPLOYEE}}, "$.by_name.b holds an Employee"),
    "a dict of ids": ({"by_id": {UUID(int=1): EMPLOYEE}}, "holds an Employee"),
    "a key that is no name": (
        {"by_name": {1: ADA}},
        "$.by_name has a key that is an int, which would be read back as a str",
    ),
    "two keys that become one": ({"by_name": {1: ADA, "1": ADA}}, "$.by_name has two keys that would be one"),
    "a set": ({"group": frozenset({EMPLOYEE})}, "$.group holds an Employee"),
    "a union of Structs": ({"pet": LION}, "$.pet holds a Lion"),
    "attrs": ({"place": Town("Rome", 3)}, "$.place holds a Town, which would be read back as a Place"),
    "pydantic": ({"model": Larger(name="x", size=3)}, "$.model holds a Larger, which would be read back as a Model"),
    "a named tuple": ({"pair": Pair(EMPLOYEE, 1)}, "$.pair[0] holds an Employee"),
    "a typed dict": ({"options": {"who": EMPLOYEE}}, "$.options.who holds an Employee"),
    "a typed dict's extra key": (
        {"options": {"who": ADA, "age": 7}},
        "$.options has a key that its TypedDict does not",
    ),
    "annotated": ({"marked": EMPLOYEE}, "$.marked holds an Employee"),
    "a union, alone": ({"mixed": EMPLOYEE}, "$.mixed holds an Employee"),
    "a union, in a list": ({"mixed": [EMPLOYEE]}, "$.mixed[0] holds an Employee"),
    "itself": (
        {"tree": Tree("a", [Tree("b", [Tree("c", about=(1,))])])},
        "$.tree.children[0].children[0].about holds a",
    ),
}


def refused(instance: object) -> str:
    codec = Codec(type(instance), "event type 'x'")
    with pytest.raises(InvalidEvent) as caught:
        codec.encode_checked(instance)
    return str(caught.value)


@pytest.mark.parametrize("name", LOST)
def test_what_would_lose_its_class_or_its_fields(name: str) -> None:
    fields, told = LOST[name]
    message = refused(Nested(**fields))
    assert message.startswith("event type 'x' cannot be stored: field $.")
    assert told in message


KEPT: list[dict[str, Any]] = [
    {},
    {"who": ADA, "many": [ADA] * 3, "several": (ADA,), "both": (ADA, 1), "by_name": {"a": ADA}},
    {"by_id": {UUID(int=1): ADA}, "group": frozenset({ADA}), "pet": Cat("Tom"), "place": Place("Rome")},
    {"pet": Dog("Rex"), "model": Model(name="x"), "pair": Pair(ADA, 1), "options": {"who": ADA}, "marked": ADA},
    {"mixed": "text"},
    {"mixed": [ADA]},
    {"mixed": ADA},
    {"tree": Tree("a", [Tree("b"), Tree("c", about={"d": [1]})])},
]


@pytest.mark.parametrize("fields", KEPT, ids=lambda fields: " ".join(fields) or "none")
def test_what_is_of_the_declared_class(fields: dict[str, Any]) -> None:
    codec = Codec(Nested, "event type 'x'")
    assert codec.decode(codec.encode_checked(Nested(**fields))) == Nested(**fields)


# --- fields without a type


@dataclass(frozen=True)
class Loose:
    anything: Any = None
    bare: dict = field(default_factory=dict)  # type: ignore[type-arg]
    row: list = field(default_factory=list)  # type: ignore[type-arg]
    named: dict[str, Any] = field(default_factory=dict)
    bag: set = field(default_factory=set)  # type: ignore[type-arg]


class LooseStruct(msgspec.Struct):
    anything: Any = None


@attrs.define
class LooseAttrs:
    anything: Any = None


class LooseModel(pydantic.BaseModel):
    anything: Any = None


class Within(pydantic.BaseModel):
    inner: list[LooseModel]


class Open(pydantic.BaseModel, extra="allow"):
    name: str


class Beyond(pydantic.BaseModel):
    """Of a type that pydantic knows, and msgspec does not."""

    item: LooseModel | Person | Flat | None = None


class Shortened(pydantic.BaseModel):
    """Writes less than it holds."""

    many: list[Any] = []
    anything: Any = None

    @pydantic.field_serializer("many", "anything")
    def _without_the_last(self, value: Any) -> Any:
        return value[:-1] if value else value


@dataclass
class Checked:
    """Built by its own code, so that the class itself checks it."""

    anything: Any = None

    def __post_init__(self) -> None:
        self.seen = True


CHANGED: dict[str, tuple[Any, str]] = {
    "an int for a key": ({1: 2}, " has a key that is an int, which would be read back as a str"),
    "a tuple": ((1, 2), " holds a tuple, which would be read back as a list"),
    "a set": ({1}, " holds a set, which would be read back as a list"),
    "bytes": (b"abc", " holds a bytes, which would be read back as a str"),
    "a datetime": (datetime(2030, 1, 1, tzinfo=timezone.utc), " holds a datetime, which would be read back as a str"),
    "a UUID": (UUID(int=1), " holds an UUID, which would be read back as a str"),
    "an enum": (Colour.RED, " holds a Colour, which would be read back as a str"),
    "an enum of numbers": (Level.HIGH, " holds a Level, which would be read back as an int"),
    "an object": (ADA, " holds a Person, which would be read back as a dict"),
    "deep inside": ({"a": [1, {"b": (1,)}]}, ".a[1].b holds a tuple"),
    "beside what is kept": ({"a": (1,), "b": 1, "c": "1"}, ".a holds a tuple"),
    "an enum of numbers, within": ([Level.HIGH], "[0] holds a Level, which would be read back as an int"),
    "an enum of texts, within": ({"a": Word.RED}, ".a holds a Word, which would be read back as a str"),
    "an enum of texts for a key": ({Word.RED: 1}, " has a key that is a Word, which would be read back as a str"),
}


@pytest.mark.parametrize("name", CHANGED)
@pytest.mark.parametrize("cls", [Loose, LooseStruct, LooseAttrs, Checked])
def test_an_untyped_value_that_would_change(cls: Callable[..., object], name: str) -> None:
    value, told = CHANGED[name]
    assert f"cannot be stored: field $.anything{told}" in refused(cls(anything=value))


@pytest.mark.parametrize("name", ["an int for a key", "a tuple", "a set", "a datetime", "an object", "deep inside"])
def test_an_untyped_value_in_a_pydantic_model_that_would_change(name: str) -> None:
    value, told = CHANGED[name]
    assert f"field $.anything{told}" in refused(LooseModel(anything=value))
    assert f"field $.inner[1].anything{told}" in refused(Within(inner=[LooseModel(), LooseModel(anything=value)]))
    assert f"field $.item.anything{told}" in refused(Beyond(item=LooseModel(anything=value)))
    assert f"field $.more{told}" in refused(Open(name="x", more=value))


@pytest.mark.parametrize("value", [1, [1, "x"], {"a": {}}])
def test_an_untyped_value_that_a_model_has_beyond_its_fields_is_kept(value: object) -> None:
    codec = Codec(Open, "event type 'x'")
    event = Open(name="x", more=value)  # type: ignore[call-arg]
    assert codec.decode(codec.encode_checked(event)) == event


class Either(pydantic.BaseModel):
    """Of a type that pydantic knows, among others."""

    at: dict[str, Any] | list[Model] | IPv4Address
    pair: tuple[IPv4Address, Any] | None = None


HOST = IPv4Address("127.0.0.1")


def test_an_untyped_value_beside_a_type_that_only_pydantic_knows() -> None:
    told = "field $.at would not be read back as it is given"
    assert told in refused(Either(at={"a": (1,)}))
    assert told in refused(Either(at=[Model(name="x"), Larger(name="x", size=3)]))
    assert "field $.pair[1] holds a tuple" in refused(Either(at=HOST, pair=(HOST, (1,))))


@pytest.mark.parametrize("at", [HOST, {"a": [1]}, [Model(name="x")]], ids=str)
def test_a_value_beside_a_type_that_only_pydantic_knows_is_kept(at: Any) -> None:
    codec = Codec(Either, "event type 'x'")
    event = Either(at=at, pair=(HOST, at if isinstance(at, dict) else None))
    assert codec.decode(codec.encode_checked(event)) == event


class Branch(pydantic.BaseModel):
    left: Branch | None = None
    right: Branch | None = None
    about: Any = None


def test_a_model_that_holds_itself() -> None:
    assert "field $.left.right.about holds a tuple" in refused(Branch(left=Branch(right=Branch(about=(1,)))))
    codec = Codec(Branch, "event type 'x'")
    event = Branch(left=Branch(about=[1]), right=Branch())
    assert codec.decode(codec.encode_checked(event)) == event


@dataclass(frozen=True)
class Counts:
    by: dict[Any, int] = field(default_factory=dict)
    of: dict[int, Any] = field(default_factory=dict)


def test_a_key_that_equals_what_is_read_back_and_is_of_another_class() -> None:
    assert "$.by has a key that is a Word, which would be read back as a str" in refused(Counts({Word.RED: 1}))
    assert Codec(Counts, "event type 'x'").encode_checked(Counts({"red": 1})) == b'{"by":{"red":1},"of":{}}'


def test_a_dict_of_which_only_keys_or_only_values_have_a_type() -> None:
    codec = Codec(Counts, "event type 'x'")
    kept = Counts(by={"a": Level.HIGH}, of={1: [None], -2: "x"})  # an enum of numbers is an int, as is declared
    assert codec.decode(codec.encode_checked(kept)) == kept
    assert "$.of.1 holds a tuple, which would be read back as a list" in refused(Counts(of={1: (1,)}))
    assert "$.by has a key that is an int, which would be read back as a str" in refused(Counts(by={1: 1}))


def test_a_key_that_is_none() -> None:
    assert "$.anything has a key that is None, which would be read back as a str" in refused(
        LooseModel(anything={None: 1})
    )


def test_a_number_that_is_not_finite_within_a_pydantic_model() -> None:
    told = "field $.anything.1 is not a finite number"
    assert told.replace(".1", "[1]") in refused(LooseModel(anything=[1.0, math.nan]))
    assert told in refused(LooseModel(anything={1: math.inf}))


@pytest.mark.parametrize("field", ["many", "anything"])
def test_a_model_that_writes_less_than_it_holds(field: str) -> None:
    assert "cannot be stored" in refused(Shortened(**{field: [1, 2]}))


def test_a_model_that_writes_something_else_than_it_holds() -> None:
    told = "field $.anything would not be read back as it is given"
    assert refused(Shortened(anything="ab")) == f"event type 'x' cannot be stored: {told}"


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"bare": {1: 2}}, "$.bare has a key that is an int"),
        ({"bare": {"a": (1,)}}, "$.bare.a holds a tuple"),
        ({"row": [(1,)]}, "$.row[0] holds a tuple"),
        ({"named": {"a": (1,)}}, "$.named.a holds a tuple"),
        ({"named": {1: 1}}, "$.named has a key that is an int"),
        ({"bag": {1, UUID(int=1)}}, "$.bag holds an UUID"),
        ({"bag": [1, 1]}, "$.bag holds an item twice, which would be read back once"),
    ],
    ids=lambda value: str(value)[:25],
)
def test_other_fields_without_a_type(fields: dict[str, Any], told: str) -> None:
    assert told in refused(Loose(**fields))


PLAIN: list[Any] = [
    None, True, 0, -1, 2**63, 2**64 - 1, 1.0, -0.0, 1e300, "", "1", [], {}, [[]], {"": {}}, {"1": 1, "2": [1.0, True]},
    "2030-01-01T00:00:00Z", {"a": None}, [None],
]  # fmt: skip


@pytest.mark.parametrize("value", PLAIN, ids=repr)
@pytest.mark.parametrize("cls", [Loose, LooseStruct, LooseAttrs, LooseModel, Checked])
def test_plain_data_is_kept(cls: Any, value: Any) -> None:
    codec = Codec[Any](cls, "event type 'x'")
    back = codec.decode(codec.encode_checked(cls(anything=value))).anything
    assert (type(back), back) == (type(value), value)


def test_deeply_nested_plain_data_is_kept() -> None:
    value: list[object] = []
    for _ in range(95):
        value = [value, {"a": value}] if len(value) == 0 else [value]
    codec = Codec(Loose, "event type 'x'")
    assert codec.decode(codec.encode_checked(Loose(value))) == Loose(value)


# --- classes that need no comparison


@dataclass(frozen=True)
class Flat:
    id: str
    number: int = 0
    price: Decimal = Decimal(0)
    tags: tuple[str, ...] = ()
    counts: dict[str, int] = field(default_factory=dict)
    when: datetime | None = None


def test_a_class_without_such_fields_is_not_compared() -> None:
    codec = Codec(Flat, "event type 'x'")
    assert codec._compare is None
    # What is not as its types say, and becomes so, is kept as ever.
    assert codec.decode(codec.encode_checked(Flat("1", tags=["a"]))) == Flat("1", tags=("a",))  # type: ignore[arg-type]


# --- an int in a field for floats


class Measured(msgspec.Struct, frozen=True):
    value: float = 0.0
    maybe: float | None = None
    either: float | str = 0.0
    many: list[float] = []
    by_name: dict[str, float] = {}
    by_size: dict[float, int] = {}
    group: frozenset[float] = frozenset()
    pair: tuple[float, int] = (0.0, 0)
    whole: int | float = 0


EXACT, LOST_INT = 2**53 + 2, 2**53 + 1


def measured(number: int) -> list[dict[str, Any]]:
    return [
        {"value": number},
        {"maybe": number},
        {"either": number},
        {"many": [0.5, number]},
        {"by_name": {"a": number}},
        {"by_size": {number: 1}},
        {"group": frozenset({0.5, number})},
        {"pair": (number, 1)},
    ]


@pytest.mark.parametrize("fields", measured(LOST_INT), ids=lambda fields: next(iter(fields)))
def test_an_int_that_is_no_float(fields: dict[str, Any]) -> None:
    assert f"field $.{next(iter(fields))}" in refused(Measured(**fields))


def test_a_number_that_stands_in_a_set_twice() -> None:
    twice: Any = [0.5, 0.5]
    assert "$.group holds an item twice, which would be read back once" in refused(Measured(group=twice))


@pytest.mark.parametrize("fields", [*measured(EXACT), *measured(1), {"whole": LOST_INT}], ids=str)
def test_an_int_that_a_float_equals(fields: dict[str, Any]) -> None:
    codec = Codec(Measured, "event type 'x'")
    assert codec.decode(codec.encode_checked(Measured(**fields))) == Measured(**fields)


# --- what is unset, where that is not the default


class OptionalStruct(msgspec.Struct, frozen=True):
    text: str | msgspec.UnsetType = ""
    size: Annotated[float | msgspec.UnsetType, "in metres"] = 0.0
    more: str | msgspec.UnsetType = msgspec.UNSET
    names: list[str] | msgspec.UnsetType = []


@attrs.frozen
class OptionalAttrs:
    text: str | msgspec.UnsetType = ""
    size: Annotated[float | msgspec.UnsetType, "in metres"] = 0.0
    more: str | msgspec.UnsetType = msgspec.UNSET
    names: list[str] | msgspec.UnsetType = attrs.field(factory=list)


@dataclass(frozen=True)
class OptionalDataclass:
    text: str | msgspec.UnsetType = ""
    size: Annotated[float | msgspec.UnsetType, "in metres"] = 0.0
    more: str | msgspec.UnsetType = msgspec.UNSET
    names: list[str] | msgspec.UnsetType = field(default_factory=list)


@dataclass(frozen=True)
class HoldsOptional:
    inner: OptionalDataclass


OPTIONAL = pytest.mark.parametrize("cls", [OptionalStruct, OptionalAttrs, OptionalDataclass])


@OPTIONAL
@pytest.mark.parametrize("name", ["text", "size", "names"])
def test_what_is_unset_and_would_be_read_back_as_its_default(cls: Any, name: str) -> None:
    told = f"field $.{name} is UNSET, and would be read back as its default"
    if cls is OptionalDataclass:
        assert told.replace("$", "$.inner") in refused(HoldsOptional(cls(**{name: msgspec.UNSET})))
        told = f"missing required field `{name}`"
    assert told in refused(cls(**{name: msgspec.UNSET}))


@OPTIONAL
def test_what_may_be_unset_and_is_not(cls: Any) -> None:
    codec = Codec(cls, "event type 'x'")
    for each in (cls(), cls("a", 1.5, "b", ["c"]), cls(size=EXACT)):
        assert codec.decode(codec.encode_checked(each)) == each
    assert "field $.size holds an int that no float equals" in refused(cls(size=LOST_INT))


T = TypeVar("T")


@dataclass(frozen=True)
class Box(Generic[T]):
    item: T | msgspec.UnsetType
    more: T | msgspec.UnsetType | None = None


@dataclass(frozen=True)
class HoldsBox:
    box: Box[int]


def test_what_is_unset_within_a_class_with_parameters() -> None:
    codec = Codec(HoldsBox, "event type 'x'")
    assert codec.decode(codec.encode_checked(HoldsBox(Box(1, 2)))) == HoldsBox(Box(1, 2))
    assert "field $.box.more is UNSET, and would be read back as its default" in refused(
        HoldsBox(Box(1, msgspec.UNSET))
    )


def test_a_class_of_which_only_what_is_unset_by_default_may_be_so_is_not_compared() -> None:
    class Patch(msgspec.Struct):
        id: str
        text: str | msgspec.UnsetType = msgspec.UNSET
        count: int = 0

    codec = Codec(Patch, "event type 'x'")
    assert codec._compare is None
    assert codec.decode(codec.encode_checked(Patch("1"))) == Patch("1")
