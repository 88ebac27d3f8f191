"""Queries as users write them, tags that types declare, and what is refused of both, in both colours."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from typing import Any, cast

import pytest

from eventsource_upstash import (
    ANY,
    AppendCondition,
    Appended,
    ConcurrencyError,
    ConditionFailed,
    InvalidEvent,
    Memory,
    Misuse,
    Query,
    QueryItem,
    Receipt,
    RegistrationError,
    Registry,
)
from eventsource_upstash._flow.abilities import Abilities
from eventsource_upstash.ports import Append, Capabilities, Conflict, KeyReused, Log, Unmet
from eventsource_upstash.testing.wrapping import BackendWrapper, LogWrapper
from tests.faults.driving import COLOURS, Driver


@dataclass(frozen=True)
class Moved:
    who: str


@dataclass(frozen=True)
class Left:
    who: str


def registry(tags: Any = lambda event: (f"who:{event.who}", "moved", "moved")) -> Registry:
    made = Registry()
    made.event("moved", tags=tags)(Moved)
    made.event("left")(Left)
    return made


@pytest.fixture(params=COLOURS, ids=str)
def app(request: pytest.FixtureRequest) -> Driver:
    return Driver(Memory(), registry(), request.param)


def test_tags_are_those_of_the_type_and_then_those_of_the_append_each_once(app: Driver) -> None:
    app.append("s", Moved("ada"), Left("ada"), tags=["x", "moved", "x"])
    assert [each.tags for each in app.read()] == [("who:ada", "moved", "x"), ("x", "moved")]
    assert [each.position for each in app.read(query=Query.of(types=[Left], tags=["x"]))] == [2]


@pytest.mark.parametrize(
    ("tags", "told"),
    [
        (lambda _: "one", "it answers one string"),
        (lambda _: None, "'NoneType' object is not iterable"),
        (lambda _: (5,), "a tag is a str, not int"),
        (lambda _: ("",), "a tag cannot be empty"),
        (lambda _: ("a\n",), "U\\+000A at index 1"),
        (lambda event: (event.no,), "has no attribute 'no'"),
    ],
)
def test_tags_that_cannot_be_told_keep_the_append_out(tags: Any, told: str) -> None:
    app = Driver(Memory(), registry(tags), "blocking")
    with pytest.raises(InvalidEvent, match=f"^event type 'moved': its tags cannot be told: .*{told}"):
        app.append("s", Left("ada"), Moved("ada"))
    assert app.read() == []


async def waits(event: Moved) -> tuple[str, ...]:
    return (event.who,)


@pytest.mark.parametrize(
    ("tags", "told"),
    [
        ("who", "'str' is not a function"),
        (("who",), "'tuple' is not a function"),
        (lambda: (), r"cannot be called as <lambda>\(event\)"),
        (lambda _, __: (), r"cannot be called as <lambda>\(event\)"),
        (waits, "waits is an async or generator function"),
    ],
)
def test_a_function_that_cannot_tell_tags_is_refused_when_it_is_registered(tags: Any, told: str) -> None:
    with pytest.raises(RegistrationError, match=f"^event type 'moved', tags: .*{told}"):
        registry(tags)


def test_a_condition_that_fails_tells_where(app: Driver) -> None:
    app.append("s", Moved("ada"))
    with pytest.raises(ConditionFailed) as caught:
        app.append("t", Left("ada"), condition=AppendCondition(Query.of(tags=["who:ada"])))
    again = pickle.loads(pickle.dumps(caught.value))
    assert (again.stream, again.after, again.position) == ("t", 0, 1)
    app.append("t", Left("ada"), condition=AppendCondition(Query.of(tags=["who:ada"]), after=2**80))
    assert len(app.read()) == 2


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (Query.of, "Query.all"),
        (lambda: Query.of(types="moved"), "these are several"),
        (lambda: Query.of(types=Moved), "these are several"),
        (lambda: Query.of(tags="a"), "these are several"),
        (lambda: Query.of(types=[5]), "types has 5"),
        (lambda: Query.of(tags=[""]), "a tag cannot be empty"),
        (lambda: Query.of(types=[Moved, Left]).matches("moved", ()), r"by class \(Left, Moved\)"),
    ],
)
def test_a_query_that_cannot_be_one(made: Any, told: str) -> None:
    with pytest.raises(Misuse, match=told):
        made()


@pytest.mark.parametrize(
    ("query", "told"),
    [
        (Query.of(types=[int]), "int is not registered"),
        (Query.of(types=["mvoed"]), "'mvoed', which is not registered"),
        (Query(()), "is no query"),
        (QueryItem(), "is no query"),
        ("moved", "is no query"),
    ],
)
def test_a_query_that_nothing_could_match_is_refused(query: Any, told: str, app: Driver) -> None:
    with pytest.raises(Misuse, match=told):
        app.read(query=query)
    with pytest.raises(Misuse, match=told):
        app.append("s", Moved("ada"), condition=AppendCondition(query))
    assert app.read() == []


@pytest.mark.parametrize("after", [-1, True, 1.0, None, "1"])
def test_a_condition_after_no_position(after: Any, app: Driver) -> None:
    with pytest.raises(Misuse, match="whole number from 0"):
        app.append("s", Moved("ada"), condition=AppendCondition(Query.all(), after))


def test_what_is_no_condition(app: Driver) -> None:
    not_one: Any = Query.all()
    with pytest.raises(Misuse, match="it is an AppendCondition"):
        app.append("s", Moved("ada"), condition=not_one)


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (
            lambda: Query.of(types=cast("list[str]", "moved")),
            (
                "types='moved': these are several, even where it is a class of events, or the name of a type only: "
                "types=['moved']"
            ),
        ),
        (
            lambda: Query.of(types=cast("list[type]", Moved)),
            (
                "types=Moved: these are several, even where it is a class of events, or the name of a type only: "
                "types=[Moved]"
            ),
        ),
        (lambda: Query.of(tags="a"), "tags='a': these are several, even where it is a tag only: tags=['a']"),
    ],
)
def test_one_where_several_are_asked_for_is_told_with_what_to_write(made: Any, told: str) -> None:
    with pytest.raises(Misuse) as caught:
        made()
    assert str(caught.value) == told


class Refusing(BackendWrapper):
    """A log that answers each append as it is told, for three requests."""

    answer: Unmet | Conflict

    def wrap_log(self, log: Log) -> Log:
        refusing = self

        class Answers(LogWrapper):
            async def append(self, append: Append) -> Appended | Conflict | KeyReused | Unmet:
                return refusing.answer

        return Answers(log)


@pytest.mark.parametrize("colour", COLOURS)
def test_what_a_refused_append_cost_is_told(colour: Any) -> None:
    backend = Refusing(Memory())
    app = Driver(backend, registry(), colour)
    backend.answer = Unmet(7, Receipt(requests=3))
    with pytest.raises(ConditionFailed) as failed:
        app.append("s", Moved("ada"), condition=AppendCondition(Query.all(), after=5))
    assert (failed.value.stream, failed.value.after, failed.value.position) == ("s", 5, 7)
    assert failed.value.receipt == Receipt(requests=3)
    backend.answer = Conflict(4, [], False, Receipt(requests=3))
    with pytest.raises(ConcurrencyError) as overtaken:
        app.append("s", Moved("ada"), expected_revision=2)
    assert (overtaken.value.stream, overtaken.value.expected, overtaken.value.actual) == ("s", 2, 4)
    assert (list(overtaken.value.events), overtaken.value.complete) == ([], False)
    assert overtaken.value.receipt == Receipt(requests=3)


def test_a_condition_after_no_position_is_told_by_its_name(app: Driver) -> None:
    with pytest.raises(Misuse, match=r"^after=-1: it is a whole number from 0$"):
        app.append("s", Moved("ada"), condition=AppendCondition(Query.all(), -1))


def test_what_a_log_cannot_do_is_told_with_its_name() -> None:
    nothing = Abilities(Capabilities(False, False, False, False), "Kafka on Mars")
    for refused in (
        lambda: nothing.check_append("s", 1, 1, None),
        lambda: nothing.check_append("s", 1, ANY, AppendCondition(Query.all())),
        lambda: nothing.check_append("s", 2, ANY, None),
        lambda: nothing.check_stream("s", "load"),
    ):
        with pytest.raises(Misuse, match=r"stream 's'.*: .*Kafka on Mars (compares|cannot).*UpstashRedis, SQLite and"):
            refused()
    nothing.check_append("s", 1, ANY, None)
