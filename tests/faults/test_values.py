"""Values at the edge: refused before anything is written, or read back, folded and queried as they were."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from eventsource_upstash import (
    InvalidEvent,
    LogRewound,
    Memory,
    Misuse,
    Projection,
    ProjectionStopped,
    Registry,
    SQLite,
)
from tests.faults.driving import Colour, Driver

Backend = Memory | SQLite


@dataclass(frozen=True)
class Measured:
    id: str = "1"
    value: float = 0.0
    maybe: float | None = None
    anything: Any = None
    count: int = 0
    text: str = ""
    several: list[float | None] = field(default_factory=list)
    by_name: dict[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Last:
    event: Measured


def measuring(backend: Backend, colour: Colour) -> tuple[Driver, Projection[Last]]:
    registry = Registry()
    registry.event("measured")(Measured)
    last = registry.projection("last", Last)

    @last.on(Measured)
    def measured(document: Last | None, event: Measured) -> Last:
        return Last(event)

    return Driver(backend, registry, colour), last


def deep(levels: int) -> object:
    value: object = 0
    for _ in range(levels):
        value = {"a": [value]}
    return value


NAN, INFINITY = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("event", "told"),
    [
        (Measured(value=NAN), "value"),
        (Measured(value=-INFINITY), "value"),
        (Measured(maybe=NAN), "field $.maybe is not a finite number, which JSON cannot hold; use None, or a string"),
        (Measured(anything=INFINITY), "field $.anything is not a finite number"),
        (Measured(anything={"a": [1, NAN]}), "field $.anything.a[1] is not a finite number"),
        (Measured(several=[1.0, NAN]), "field $.several[1] is not a finite number"),
        (Measured(by_name={"x": NAN}), "field $.by_name.x is not a finite number"),
        (Measured(count=10**5000), "4300 digits"),
        (Measured(anything=deep(50_000)), "nested too deeply"),
        (Measured(text="\ud83d"), "lone surrogate"),
        (Measured(anything=["\udc00"]), "lone surrogate"),
        (Measured(text=cast("str", None)), "Expected `str`, got `null` - at `$.text`"),
        (Measured(id=cast("str", 7)), "Expected `str`, got `int` - at `$.id`"),
        (Measured(count=cast("int", 1.5)), "Expected `int`, got `float` - at `$.count`"),
        (Measured(anything=object()), "object cannot be stored as JSON"),
    ],
    ids=[str(number) for number in range(15)],
)
def test_a_value_that_could_not_be_read_back(backend: Backend, colour: Colour, event: Measured, told: str) -> None:
    app, last = measuring(backend, colour)
    app.append("m", Measured(value=1.0))
    for others in ([], [Measured(value=2.0)]):
        with pytest.raises(InvalidEvent) as caught:
            app.append("m", *others, event, *others, idempotency_key="k")
        assert str(caught.value).startswith("event type 'measured' cannot be stored: ")
        assert told in str(caught.value)
    assert app.head() == 1
    assert not app.append("m", Measured(value=3.0), expected_revision=1, idempotency_key="k").repeated
    app.catch_up()
    assert app.get(last, "m") == Last(Measured(value=3.0))


@pytest.mark.parametrize(
    "event",
    [
        Measured(value=-0.0),
        Measured(value=1e308, maybe=5e-324),
        Measured(value=0.1 + 0.2),
        Measured(count=2**63, anything=[2**64, -(2**200)]),
        Measured(anything=deep(40)),
        Measured(text="a" * 1_000_000),
        Measured(text="🎉" * 250_000 + "\x00\x01\u2028\u202e\ufeff"),
        Measured(anything={"": {"\x00": None}}),
        Measured(several=[1.0, None] * 10_000),
    ],
    ids=["-0", "extremes", "sum", "huge", "deep", "megabyte", "megabyte of emoji", "odd keys", "many"],
)
def test_a_value_at_the_edge_that_is_kept(backend: Backend, colour: Colour, event: Measured) -> None:
    app, last = measuring(backend, colour)
    app.append("m", event, Measured(), event)
    assert [each.event for each in app.read()] == [event, Measured(), event]
    app.catch_up()
    document = app.get(last, "m")
    assert document == Last(event)
    assert repr(document) == repr(Last(event))


def test_more_megabytes_than_a_page_holds(backend: Backend, colour: Colour) -> None:
    app, last = measuring(backend, colour)
    events = [Measured(text=str(number) * 1_000_000) for number in range(10)]
    app.append("m", *events, expected_revision=0)
    assert [each.event for each in app.read()] == events
    assert [each.event for each in app.read(after=2, limit=7)] == events[2:9]
    assert [each.event for each in app.read_stream("m", after_revision=9)] == events[9:]
    caught_up = app.catch_up()
    assert (caught_up.applied, caught_up.complete) == (10, True)
    assert app.get(last, "m") == Last(events[9])


def test_documents_of_more_megabytes_than_a_page_holds(backend: Backend, colour: Colour) -> None:
    app, last = measuring(backend, colour)
    for number in range(6):
        app.append(f"m{number}", Measured(text="x" * 1_000_000))
    app.catch_up()
    assert list(app.items(last)) == [f"m{number}" for number in range(6)]
    assert list(app.items(last, after="m1", limit=3)) == ["m2", "m3", "m4"]


@pytest.mark.parametrize("value", [NAN, INFINITY, cast("float", "1.0"), cast("float", None)])
def test_a_document_that_could_not_be_read_back(backend: Backend, colour: Colour, value: float) -> None:
    registry = Registry()
    registry.event("measured")(Measured)
    last = registry.projection("last", Last)

    @last.on(Measured)
    def measured(document: Last | None, event: Measured) -> Last:
        return Last(Measured(value=value, maybe=value)) if event.count == 2 else Last(event)

    app = Driver(backend, registry, colour)
    app.append("m", Measured(count=1), Measured(count=2))
    with pytest.raises(ProjectionStopped, match=r"'last' stopped at position 2: .*handler measured") as caught:
        app.catch_up()
    assert "document of projection 'last' cannot be stored" in str(caught.value)
    assert app.get(last, "m") == Last(Measured(count=1))


@pytest.mark.parametrize("stream", ["", "a" * 256, "a\nb", "a\0", "\ud800", "a\udfff", None, 5, b"a"], ids=ascii)
def test_a_stream_name_that_cannot_be_one(backend: Backend, colour: Colour, stream: Any) -> None:
    app, _ = measuring(backend, colour)
    with pytest.raises(Misuse, match="stream name"):
        app.append(stream, Measured())
    with pytest.raises(Misuse, match="stream name"):
        app.read_stream(stream)
    assert app.head() == 0


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"metadata": {"a": NAN}}, "metadata would not be read back as it is given"),
        ({"metadata": {"a": "\ud800"}}, "metadata cannot be stored: text with a lone surrogate"),
        ({"metadata": {1: 2}}, "metadata would not be read back as it is given"),
        ({"metadata": {"a": object()}}, "metadata cannot be stored: a value of type object"),
        ({"metadata": {"a": deep(50_000)}}, "metadata cannot be stored: it is nested too deeply"),
        ({"metadata": ["a"]}, "metadata would not be read back"),
        ({"metadata": "a"}, "metadata would not be read back"),
        ({"tags": "a"}, "tags are several strings, as in tags=('a',)"),
        ({"tags": ["a\n"]}, "control characters"),
        ({"tags": ["\ud800"]}, "lone surrogates"),
        ({"tags": [1]}, "a tag is a str, not int"),
        ({"tags": ["a", ""]}, "a tag cannot be empty"),
        ({"idempotency_key": ""}, "idempotency_key='': it is a printable text of 1 to 255 characters"),
        ({"idempotency_key": "\ud800"}, "idempotency_key="),
        ({"idempotency_key": 5}, "idempotency_key=5"),
        ({"expected_revision": -1}, "expected_revision=-1 for stream 'm'"),
        ({"expected_revision": True}, "expected_revision=True for stream 'm'"),
    ],
    ids=[str(number) for number in range(17)],
)
def test_options_that_cannot_be_ones(backend: Backend, colour: Colour, options: dict[str, Any], told: str) -> None:
    app, _ = measuring(backend, colour)
    with pytest.raises(Misuse) as caught:
        app.append("m", Measured(), **options)
    assert told in str(caught.value)
    assert app.head() == 0


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"until": -1}, "until=-1: it is a position"),
        ({"until": True}, "until=True"),
        ({"until": "1"}, "until='1'"),
        ({"time_budget": -1}, "time_budget=-1: it is a number of seconds from 0"),
    ],
)
def test_bounds_of_a_catch_up_that_cannot_be_ones(colour: Colour, options: dict[str, Any], told: str) -> None:
    app, last = measuring(Memory(), colour)
    with pytest.raises(Misuse) as caught:
        app.catch_up(**options)
    assert told in str(caught.value)
    with pytest.raises(Misuse, match="at_least=-1: it is a position, as append answers it"):
        app.get(last, "m", at_least=-1)
    with pytest.raises(Misuse, match="at_least=True"):
        app.count(last, at_least=True)


@pytest.mark.parametrize("beyond", [10, 2**63 - 1, 2**63, 2**100])
def test_positions_beyond_everything(backend: Backend, colour: Colour, beyond: int) -> None:
    app, last = measuring(backend, colour)
    app.append("m", Measured())
    assert app.catch_up(until=beyond).position == 1
    with pytest.raises(
        LogRewound, match=f"asked for position {beyond}, but the log ends at 1: the position is from before"
    ):
        app.get(last, "m", at_least=beyond)
