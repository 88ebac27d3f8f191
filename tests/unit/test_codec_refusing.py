"""What would not be read back as it is, is refused before it is stored, without a word of the data itself."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any, Literal, cast

import msgspec
import pydantic
import pytest

from eventsource_upstash import InvalidEvent
from eventsource_upstash.domain.codec import MAX_DEPTH, Codec, check_depth


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True)
class Place:
    city: str


@dataclass
class Temperature:
    kelvin: float

    def __post_init__(self) -> None:
        if self.kelvin < 0:
            raise ValueError("below absolute zero")


def test_an_instance_that_its_own_class_would_not_build_any_more() -> None:
    event = Temperature(1.0)
    event.kelvin = -1.0
    with pytest.raises(InvalidEvent, match="below absolute zero"):
        Codec(Temperature, "event").encode_checked(event)


@dataclass
class Loose:
    text: str = ""
    count: int = 0
    share: float = 0.0
    maybe: float | None = None
    flag: bool = False
    when: datetime | None = None
    colour: Colour = Colour.RED
    mode: Literal["fast", "slow"] = "fast"
    places: list[Place] = field(default_factory=list)
    anything: Any = None
    floats: list[float | None] = field(default_factory=list)
    by_name: dict[str, float | None] = field(default_factory=dict)
    numbers: frozenset[int] = frozenset()


class LooseModel(pydantic.BaseModel):
    share: float = 0.0
    maybe: float | None = None
    anything: Any = None


@pytest.mark.parametrize(
    ("fields", "tells"),
    [
        ({"text": None}, "$.text"),
        ({"text": 5}, "$.text"),
        ({"text": "\ud800"}, "lone surrogate"),
        ({"count": "5"}, "$.count"),
        ({"count": 1.5}, "$.count"),
        ({"count": True}, "$.count"),
        ({"flag": 1}, "$.flag"),
        ({"when": "yesterday"}, "$.when"),
        ({"colour": "green"}, "$.colour"),
        ({"mode": "medium"}, "$.mode"),
        ({"places": [None]}, "$.places[0]"),
        ({"numbers": [0, 0]}, "$.numbers"),
        ({"places": [Place(cast("str", 5))]}, "$.places[0].city"),
        ({"anything": object()}, "object cannot be stored as JSON"),
        ({"anything": {"a": {"b": {1j}}}}, "complex cannot be stored as JSON"),
        ({"anything": ["\udfff"]}, "lone surrogate"),
        ({"anything": {"\udfff": 1}}, "lone surrogate"),
    ],
)
def test_a_field_that_holds_what_its_type_does_not_allow(fields: dict[str, Any], tells: str) -> None:
    with pytest.raises(InvalidEvent) as caught:
        Codec(Loose, "event type 'loosened'").encode_checked(Loose(**fields))
    assert str(caught.value).startswith("event type 'loosened' cannot be stored: ")
    assert tells in str(caught.value)


NAN, INFINITY = float("nan"), float("inf")


@pytest.mark.parametrize("value", [NAN, INFINITY, -INFINITY], ids=str)
@pytest.mark.parametrize(
    ("where", "hide"),
    [
        ("$.share", lambda value: {"share": value}),
        ("$.maybe", lambda value: {"maybe": value}),
        ("$.anything", lambda value: {"anything": value}),
        ("$.anything[1]", lambda value: {"anything": [None, value]}),
        ("$.anything.a[0].b", lambda value: {"anything": {"a": ({"b": value},)}}),
        ("$.floats[1]", lambda value: {"floats": [None, value]}),
        ("$.by_name.x", lambda value: {"by_name": {"y": None, "x": value}}),
    ],
    ids=lambda given: given if isinstance(given, str) else "",
)
def test_a_number_that_json_cannot_hold(where: str, hide: Callable[[float], dict[str, Any]], value: float) -> None:
    with pytest.raises(InvalidEvent) as caught:
        Codec(Loose, "event type 'loosened'").encode_checked(Loose(**hide(value)))
    assert where in str(caught.value)


@pytest.mark.parametrize("field_name", ["share", "maybe", "anything"])
def test_a_number_that_json_cannot_hold_in_a_model(field_name: str) -> None:
    with pytest.raises(InvalidEvent) as caught:
        Codec(LooseModel, "event type 'loosened'").encode_checked(LooseModel(**{field_name: NAN}))
    assert field_name in str(caught.value)


def test_none_is_a_value_like_any_other() -> None:
    codec = Codec(Loose, "event")
    event = Loose(maybe=None, anything={"a": None, "b": [None]}, floats=[None, 1.5])
    assert codec.decode(codec.encode_checked(event)) == event


def deep(levels: int) -> object:
    value: object = 1
    for _ in range(levels):
        value = [value]
    return value


def test_deep_nesting() -> None:
    codec = Codec(Loose, "event type 'loosened'")
    fits = Loose(anything=deep(50))
    assert codec.decode(codec.encode_checked(fits)) == fits
    with pytest.raises(InvalidEvent, match="nested too deeply"):
        codec.encode_checked(Loose(anything=deep(100_000)))


def test_a_value_that_holds_itself() -> None:
    endless: list[object] = []
    endless.append(endless)
    with pytest.raises(InvalidEvent, match="nested too deeply"):
        Codec(Loose, "event type 'loosened'").encode_checked(Loose(anything=endless))


@pytest.mark.parametrize(
    "number", [2**63, 2**64, 2**70, -(2**70), 10**4000], ids=["2^63", "2^64", "2^70", "-2^70", "10^4000"]
)
def test_huge_integers_are_kept_whole(number: int) -> None:
    codec = Codec(Loose, "event")
    for event in (Loose(count=number), Loose(anything=[number])):
        assert codec.decode(codec.encode_checked(event)) == event


def test_an_integer_that_python_does_not_print() -> None:
    with pytest.raises(InvalidEvent, match="4300 digits"):
        Codec(Loose, "event type 'loosened'").encode_checked(Loose(count=10**5000))


def test_no_message_repeats_the_data() -> None:
    secret = "correct horse battery staple"
    for instance in (Loose(count=cast("int", secret)), Loose(colour=cast("Colour", secret))):
        with pytest.raises(InvalidEvent) as caught:
            Codec(Loose, "event").encode_checked(instance)
        assert secret not in str(caught.value)
    model = LooseModel.model_construct(share=cast("float", secret))
    with pytest.raises(InvalidEvent) as caught, pytest.warns(UserWarning, match="serializer"):
        Codec(LooseModel, "event").encode_checked(model)
    assert secret not in str(caught.value)


@dataclass
class Late:
    """Is given its second field after it was made."""

    id: str
    text: str = field(init=False)


def test_a_field_that_was_never_set_is_missed_before_it_is_stored() -> None:
    codec = Codec(Late, "event")
    late = Late("1")
    with pytest.raises(InvalidEvent, match="text"):
        codec.encode_checked(late)
    late.text = "a"
    assert codec.decode(codec.encode_checked(late)) == late


class Endless(pydantic.BaseModel):
    """Writes as texts what JSON has no numbers for."""

    model_config = pydantic.ConfigDict(ser_json_inf_nan="strings")

    share: float
    maybe: float | None = 1.0


def test_what_a_model_can_write_and_read_is_not_refused() -> None:
    codec = Codec(Endless, "event")
    assert codec.encode_checked(Endless(share=INFINITY)) == b'{"share":"Infinity","maybe":1.0}'
    assert codec.decode(b'{"share":"Infinity","maybe":1.0}') == Endless(share=INFINITY)


def test_what_stands_side_by_side_does_not_count_as_depth() -> None:
    wide = b"[" + b"[]," * 200
    check_depth(wide + b"[" * (MAX_DEPTH - 1) + b"]" * MAX_DEPTH)
    check_depth(b'["' + b"[" * 200 + b'"]')
    with pytest.raises(ValueError, match="nested too deeply: at most 100 lists"):
        check_depth(wide + b"[" * MAX_DEPTH + b"]" * (MAX_DEPTH + 1))


@pytest.mark.parametrize("kind", [list, dict, str])
def test_how_deep_lists_and_objects_may_be_within_each_other(kind: type) -> None:
    def nested(levels: int) -> Any:
        value: object = 1
        for _ in range(levels):
            value = {"a": value} if kind is dict else [value, "text"] if kind is str else [value]
        return value

    codec = Codec(Loose, "event type 'loosened'")
    fits = Loose(anything=nested(MAX_DEPTH - 1))  # the event is one itself
    assert codec.decode(codec.encode_checked(fits)) == fits
    with pytest.raises(InvalidEvent, match="event type 'loosened' cannot be stored: it is nested too deeply"):
        codec.encode_checked(Loose(anything=nested(MAX_DEPTH)))


def test_what_has_ended_does_not_count_as_depth_and_what_has_not_does() -> None:
    half = MAX_DEPTH // 2
    closed = b"[" * half + b"[]," + b"[" * (half - 1) + b"]" * (MAX_DEPTH - 1)
    check_depth(closed)
    with pytest.raises(ValueError, match="nested too deeply"):
        check_depth(b"[" * half + b"[]," + b"[" * (half + 1) + b"]" * (MAX_DEPTH + 1))


@dataclass
class Amended:
    id: str
    text: str | msgspec.UnsetType
    more: str | msgspec.UnsetType = msgspec.UNSET
    note: str | msgspec.UnsetType = ""


def test_what_is_unset_where_its_class_does_not_say_so() -> None:
    codec = Codec(Amended, "event")
    fits = Amended("1", "a")
    assert codec.decode(codec.encode_checked(fits)) == fits
    with pytest.raises(InvalidEvent, match="missing required field `text`"):
        codec.encode_checked(Amended("1", msgspec.UNSET))
    with pytest.raises(InvalidEvent, match="missing required field `note`"):
        codec.encode_checked(Amended("1", "a", note=msgspec.UNSET))


@dataclass
class Bounded:
    share: Annotated[int, msgspec.Meta(ge=0, le=100)]


def test_a_field_beyond_the_bounds_of_its_type() -> None:
    with pytest.raises(InvalidEvent, match=r"Expected `int` <= 100 - at `\$\.share`"):
        Codec(Bounded, "event").encode_checked(Bounded(101))
    assert Codec(Bounded, "event").encode_checked(Bounded(100)) == b'{"share":100}'


@dataclass
class HoldsModel:
    models: list[LooseModel]


def test_a_model_inside_a_dataclass_that_would_not_be_built_any_more() -> None:
    secret = cast("float", "correct horse")
    model = LooseModel()
    model.share = secret
    with (
        pytest.raises(InvalidEvent, match=r"share: Input should be a valid number.* - at `\$\.models\[0\]`") as caught,
        pytest.warns(UserWarning, match="serializer"),
    ):
        Codec(HoldsModel, "event").encode_checked(HoldsModel([model]))
    assert "horse" not in str(caught.value)
