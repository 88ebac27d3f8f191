"""One event that concerns several documents: each call of the handler is given an event of its own, and its key."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from eventsource_upstash import Projection, ProjectionStopped, Recorded, Registry, connect
from eventsource_upstash.testing import given, in_stream


@dataclass
class Batch:
    amounts: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Taken:
    amount: int


@pytest.mark.parametrize("fails", [False, True])
def test_a_handler_that_takes_from_its_event_takes_from_nobody_elses(fails: bool) -> None:
    registry = Registry()
    registry.event("batch")(Batch)
    taken = registry.projection("taken", Taken)
    failures = [fails]

    @taken.on(Batch, key=lambda _: ("x", "y"))
    def take(_: Taken | None, event: Batch) -> Taken | None:
        amount = event.amounts.pop()
        if failures.pop() if failures else False:
            raise RuntimeError("once")
        return Taken(amount)

    app = connect("memory:", registry)
    app.event_store.append("s", Batch([1, 2]))
    assert app.projector.catch_up().complete
    assert dict(app.projection_store.view(taken).items()) == {"x": Taken(2), "y": Taken(2)}


@dataclass(frozen=True)
class Moved:
    source: str
    target: str
    amount: int


@dataclass(frozen=True)
class Balance:
    amount: int = 0
    last: str = ""


def moves() -> tuple[Registry, Projection[Balance]]:
    registry = Registry()
    registry.event("moved")(Moved)
    return registry, registry.projection("balances", Balance)


def move(balance: Balance | None, event: Moved, key: str) -> Balance:
    before = balance or Balance()
    return Balance(before.amount + (event.amount if key == event.target else -event.amount), before.last)


class Mover:
    def fold(self, balance: Balance | None, event: Moved, key: str) -> Balance:
        return move(balance, event, key)

    def __call__(self, balance: Balance | None, event: Moved, key: str = "never") -> Balance:
        return move(balance, event, key)


@pytest.mark.parametrize(
    "handler",
    [move, Mover().fold, Mover(), functools.partial(move)],
    ids=["function", "method", "callable", "partial"],
)
def test_a_handler_is_told_its_key(handler: Callable[..., Balance]) -> None:
    registry, balances = moves()
    balances.on(Moved, key=lambda event: (event.source, event.target))(handler)
    app = connect("memory:", registry)
    app.event_store.append("s", Moved("a", "b", 5), Moved("b", "c", 2))
    assert app.projector.catch_up().complete
    expected = {"a": Balance(-5), "b": Balance(3), "c": Balance(2)}
    assert dict(app.projection_store.view(balances).items()) == expected
    given(balances, Moved("a", "b", 5)).when(Moved("b", "c", 2)).then_documents(expected)


def test_one_key_and_the_recorded_event() -> None:
    registry, balances = moves()

    @balances.on_recorded(Moved)
    def told(balance: Balance | None, recorded: Recorded[Moved], key: str) -> Balance:
        return Balance(recorded.revision, key)

    given(balances, in_stream("x", Moved("a", "b", 1), Moved("a", "b", 1))).then_document("x", Balance(2, "x"))
    app = connect("memory:", registry)
    app.event_store.append("x", Moved("a", "b", 1), metadata={"by": "me"})
    app.projector.catch_up()
    assert app.projection_store.view(balances).get("x") == Balance(1, "x")


def test_a_handler_that_fails_for_one_of_its_keys_changes_none() -> None:
    registry, balances = moves()

    @balances.on(Moved, key=lambda event: (event.source, event.target))
    def failing(balance: Balance | None, event: Moved, key: str) -> Balance:
        if key == "bad":
            raise LookupError(key)
        return move(balance, event, key)

    given(balances, Moved("a", "b", 1), Moved("a", "bad", 1)).then_stops(LookupError, "bad")
    app = connect("memory:", registry)
    app.event_store.append("s", Moved("a", "b", 1), Moved("a", "bad", 1))
    with pytest.raises(ProjectionStopped, match="'balances' stopped at position 2: handler failing: LookupError"):
        app.projector.catch_up()
    assert dict(app.projection_store.view(balances).items()) == {"a": Balance(-1), "b": Balance(1)}


def test_a_handler_that_is_told_its_key_and_changes_its_event_is_found_out() -> None:
    registry = Registry()
    registry.event("batch")(Batch)
    taken = registry.projection("taken", Taken)

    @taken.on(Batch, key=lambda _: ("x", "y"))
    def take(_: Taken | None, event: Batch, key: str) -> Taken:
        return Taken(event.amounts.pop())

    with pytest.raises(AssertionError, match="handler take changed the event"):
        given(taken, Batch([1, 2])).then_documents({})
    app = connect("memory:", registry)
    app.event_store.append("s", Batch([1, 2]))
    app.projector.catch_up()
    assert dict(app.projection_store.view(taken).items()) == {"x": Taken(2), "y": Taken(2)}
