"""What is stored is what is read back, whatever kind of class holds it."""

from __future__ import annotations

import enum
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from ipaddress import IPv4Address
from typing import Any, Literal, NamedTuple, cast
from uuid import UUID

import attrs
import msgspec
import pydantic
import pytest

from eventsource_upstash import Registry, connect
from eventsource_upstash.domain.codec import Codec, reason
from eventsource_upstash.domain.folds import failure


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


@dataclass(frozen=True)
class Place:
    city: str
    at: tuple[float, float] | None = None


class Sized(NamedTuple):
    width: int
    height: int


class Card(msgspec.Struct, frozen=True, tag="card"):
    number: str


class Cash(msgspec.Struct, frozen=True, tag="cash"):
    amount: Decimal


FIELDS: dict[str, Any] = {
    "text": 'Ünïcödé ✓ 🎉 \u0000 \u2028 "quoted" \\',
    "count": -7,
    "big": 2**63 + 1,
    "share": 0.1,
    "whole": 3.0,
    "flag": True,
    "raw": b"\x00\xff",
    "when": datetime(2024, 2, 29, 23, 59, 59, 999999, tzinfo=timezone.utc),
    "there": datetime(2024, 2, 29, 12, tzinfo=timezone(timedelta(hours=5, minutes=30))),
    "naive": datetime(2024, 2, 29, 12, 0, 0, 1),  # noqa: DTZ001  # as it may stand in an event
    "day": date(2024, 2, 29),
    "hour": time(23, 59, 59, 1),
    "lasts": timedelta(days=-1, microseconds=1),
    "id": UUID("12345678-1234-5678-1234-567812345678"),
    "price": Decimal("0.10"),
    "colour": Colour.BLUE,
    "level": Level.HIGH,
    "mode": "fast",
    "place": Place("Åre", (63.4, 13.1)),
    "nowhere": None,
    "places": [Place("a"), Place("b", (0.0, -0.0))],
    "by_name": {"a": Place("a"), "": Place("")},
    "by_number": {1: "one", -2: "two"},
    "pair": (1, "one"),
    "several": (1, 2, 3),
    "tags": {"x", "y"},
    "frozen": frozenset({1, 2}),
    "either": 5,
    "or_text": "5",
    "anything": {"a": [1, 2.5, "x", None, True, {"b": {}}]},
}


@dataclass(frozen=True)
class AsDataclass:
    text: str
    count: int
    big: int
    share: float
    whole: float
    flag: bool
    raw: bytes
    when: datetime
    there: datetime
    naive: datetime
    day: date
    hour: time
    lasts: timedelta
    id: UUID
    price: Decimal
    colour: Colour
    level: Level
    mode: Literal["fast", "slow"]
    place: Place
    nowhere: Place | None
    places: list[Place]
    by_name: dict[str, Place]
    by_number: dict[int, str]
    pair: tuple[int, str]
    several: tuple[int, ...]
    tags: set[str]
    frozen: frozenset[int]
    either: int | str
    or_text: int | str
    anything: Any  # that is what is being tested


class AsStruct(msgspec.Struct, frozen=True):
    text: str
    count: int
    big: int
    share: float
    whole: float
    flag: bool
    raw: bytes
    when: datetime
    there: datetime
    naive: datetime
    day: date
    hour: time
    lasts: timedelta
    id: UUID
    price: Decimal
    colour: Colour
    level: Level
    mode: Literal["fast", "slow"]
    place: Place
    nowhere: Place | None
    places: list[Place]
    by_name: dict[str, Place]
    by_number: dict[int, str]
    pair: tuple[int, str]
    several: tuple[int, ...]
    tags: set[str]
    frozen: frozenset[int]
    either: int | str
    or_text: int | str
    anything: Any


@attrs.frozen
class AsAttrs:
    text: str
    count: int
    big: int
    share: float
    whole: float
    flag: bool
    raw: bytes
    when: datetime
    there: datetime
    naive: datetime
    day: date
    hour: time
    lasts: timedelta
    id: UUID
    price: Decimal
    colour: Colour
    level: Level
    mode: Literal["fast", "slow"]
    place: Place
    nowhere: Place | None
    places: list[Place]
    by_name: dict[str, Place]
    by_number: dict[int, str]
    pair: tuple[int, str]
    several: tuple[int, ...]
    tags: set[str]
    frozen: frozenset[int]
    either: int | str
    or_text: int | str
    anything: Any


class AsModel(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(frozen=True, ser_json_bytes="base64", val_json_bytes="base64")

    text: str
    count: int
    big: int
    share: float
    whole: float
    flag: bool
    raw: bytes
    when: datetime
    there: datetime
    naive: datetime
    day: date
    hour: time
    lasts: timedelta
    id: UUID
    price: Decimal
    colour: Colour
    level: Level
    mode: Literal["fast", "slow"]
    place: Place
    nowhere: Place | None
    places: list[Place]
    by_name: dict[str, Place]
    by_number: dict[int, str]
    pair: tuple[int, str]
    several: tuple[int, ...]
    tags: set[str]
    frozen: frozenset[int]
    either: int | str
    or_text: int | str
    anything: Any


@pytest.mark.parametrize("cls", [AsDataclass, AsStruct, AsAttrs, AsModel])
def test_an_event_of_every_kind_of_class_reads_back_as_it_was(cls: Callable[..., object]) -> None:
    registry = Registry()
    registry.event("happened")(cast("type[object]", cls))
    event = cls(**FIELDS)
    with connect("memory:", registry) as app:
        app.event_store.append("stream-1", event)
        (recorded,) = app.event_store.read()
    assert recorded.event == event
    assert type(recorded.event) is cls
    for name, value in FIELDS.items():
        read = getattr(recorded.event, name)
        assert type(read) is type(value), name
        assert read == value, name


@dataclass(frozen=True)
class Paid:
    with_: Card | Cash
    sized: Sized
    history: tuple[Card | Cash, ...] = ()
    parent: Paid | None = None
    notes: list[str] = field(default_factory=list)


def test_tagged_unions_named_tuples_and_classes_that_hold_themselves() -> None:
    codec = Codec(Paid, "event")
    event = Paid(Cash(Decimal("1.50")), Sized(1, 2), (Card("1"), Cash(Decimal(0))), Paid(Card("2"), Sized(0, 0)), ["x"])
    assert codec.decode(codec.encode_checked(event)) == event


class ModelInside(pydantic.BaseModel):
    amount: Decimal
    at: datetime
    host: IPv4Address = IPv4Address("127.0.0.1")  # which pydantic writes, and msgspec does not


@dataclass(frozen=True)
class HoldsModel:
    model: ModelInside
    models: list[ModelInside]


def test_a_model_inside_a_dataclass() -> None:
    model = ModelInside(amount=Decimal("1.10"), at=datetime(2024, 1, 1, tzinfo=timezone.utc))
    codec = Codec(HoldsModel, "event")
    event = HoldsModel(model, [model])
    assert codec.decode(codec.encode_checked(event)) == event


class Priced(pydantic.BaseModel):
    """Is kept in whole cents, in JSON only."""

    price: Decimal
    host: IPv4Address

    @pydantic.field_serializer("price", when_used="json")
    def _in_cents(self, price: Decimal) -> int:
        return int(price * 100)

    @pydantic.model_validator(mode="before")
    @classmethod
    def _of_cents(cls, data: dict[str, Any]) -> dict[str, Any]:
        return {**data, "price": Decimal(data["price"]) / 100} if type(data["price"]) is int else data


@dataclass(frozen=True)
class HoldsPriced:
    model: Priced


def test_a_model_inside_a_dataclass_is_written_as_it_is_by_itself() -> None:
    model = Priced(price=Decimal("1.10"), host=IPv4Address("127.0.0.1"))
    alone = Codec(Priced, "event").encode_checked(model)
    codec = Codec(HoldsPriced, "event")
    assert alone == b'{"price":110,"host":"127.0.0.1"}'
    assert codec.encode_checked(HoldsPriced(model)) == b'{"model":' + alone + b"}"
    assert codec.decode(codec.encode_checked(HoldsPriced(model))) == HoldsPriced(model)


@dataclass
class Sealed:
    raw: bytes


class SealedModel(pydantic.BaseModel, Sealed):
    """A model which has a field of a dataclass: it is pydantic that writes and reads it."""

    name: str


def test_a_model_that_is_a_dataclass_too() -> None:
    codec = Codec(SealedModel, "event")
    event = SealedModel(raw=b"not base64", name="x")
    assert codec.decode(codec.encode_checked(event)) == event


class Averaged(pydantic.BaseModel):
    total: int
    count: int

    @pydantic.computed_field  # type: ignore[prop-decorator]
    @property
    def average(self) -> float:
        return self.total / self.count if self.count else math.nan


def test_a_number_that_a_model_computes_anew_need_not_be_finite() -> None:
    codec = Codec(Averaged, "event")
    event = Averaged(total=0, count=0)
    assert codec.decode(codec.encode_checked(event)) == event


class Forwarded(msgspec.Struct, frozen=True):
    body: msgspec.Raw


@pytest.mark.parametrize("body", [b"null", b'{"a":null}', b"[1.5]"])
def test_json_that_is_handed_on_as_it_is(body: bytes) -> None:
    codec = Codec(Forwarded, "event")
    encoded = codec.encode_checked(Forwarded(msgspec.Raw(body)))
    assert encoded == b'{"body":' + body + b"}"
    assert bytes(codec.decode(encoded).body) == body


@dataclass
class Checked:
    start: int
    end: int
    length: int = field(init=False)

    def __post_init__(self) -> None:
        self.length = self.end - self.start


def test_a_field_that_is_computed() -> None:
    codec = Codec(Checked, "event")
    assert codec.decode(codec.encode_checked(Checked(1, 4))) == Checked(1, 4)


@dataclass(frozen=True)
class Patched:
    id: str
    text: str | msgspec.UnsetType = msgspec.UNSET
    done: bool | msgspec.UnsetType | None = msgspec.UNSET


@pytest.mark.parametrize("event", [Patched("1"), Patched("1", text=""), Patched("1", done=None)])
def test_a_field_that_is_unset(event: Patched) -> None:
    codec = Codec(Patched, "event")
    assert codec.decode(codec.encode_checked(event)) == event


def test_the_reason_of_an_error_that_only_looks_like_that_of_a_model() -> None:
    class ValidationError(ValueError):
        def errors(self, **_: object) -> list[object]:
            raise AssertionError("nobody asks it")

    assert reason(ValidationError("it is odd")) == "it is odd"
    assert reason(KeyError("name")) == "KeyError: 'name'"
    assert reason(RecursionError("deep")) == "it is nested too deeply"
    assert reason(ZeroDivisionError()) == "ZeroDivisionError"


def test_a_failure_is_told_in_one_line_and_no_more_than_there_is() -> None:
    assert failure(ZeroDivisionError()) == "ZeroDivisionError"
    assert failure(ValueError("one\ntwo")) == "ValueError: one"
    assert failure(ValueError("file \udcff")) == "ValueError: file ?", "what a view could not keep"
    assert failure(ValueError("x" * 301)) == "ValueError: " + "x" * 300


def why_not(codec: Codec[Any], encoded: bytes) -> str:
    with pytest.raises(ValueError) as caught:  # noqa: PT011  # of pydantic or of msgspec
        codec.decode(encoded)
    return reason(caught.value)


def test_the_reason_names_each_field_of_a_model_and_where_a_model_is() -> None:
    codec = Codec(ModelInside, "event")
    told = why_not(codec, b'{"amount":"secret","at":[]}')
    assert told == "amount: Input should be a valid decimal; at: Input should be a valid datetime"
    holder = Codec(HoldsModel, "event")
    encoded = b'{"model":{"amount":1,"at":0},"models":[{"amount":1,"at":0},{"amount":"secret","at":0}]}'
    assert why_not(holder, encoded) == "amount: Input should be a valid decimal - at `$.models[1]`"


class Outer(pydantic.BaseModel):
    inner: dict[str, ModelInside]


def test_the_reason_names_a_field_by_its_path() -> None:
    assert why_not(Codec(Outer, "event"), b'{"inner":{"a":{"amount":1}}}') == "inner.a.at: Field required"


def test_the_reason_leaves_out_what_it_was_given() -> None:
    @dataclass
    class Painted:
        colour: Colour

    assert why_not(Codec(Painted, "event"), b'{"colour":"secret"}') == "Invalid enum value - at `$.colour`"
