"""Reactors, messages and personal data over a log in partitions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from eventsource_upstash import (
    App,
    Append,
    InProcess,
    MemoryKeys,
    Personal,
    ProjectionStopped,
    Recorded,
    Registry,
    Vector,
)
from tests.kafka.partitioned import Apart, Partitioned, Topical


@dataclass(frozen=True)
class Ordered:
    order: str


@dataclass(frozen=True)
class Billed:
    order: str


@dataclass(frozen=True)
class Named:
    user: str
    name: Personal[str]


@dataclass(frozen=True)
class Bill:
    orders: tuple[str, ...] = ()


class Shop:
    def __init__(self, backend: Apart, **options: Any) -> None:
        self.backend = backend
        self.registry = Registry()
        self.registry.event("ordered")(Ordered)
        self.registry.event("billed")(Billed)
        self.bills = self.registry.projection("bills", Bill)
        self.bad: set[str] = set()

        @self.bills.on(Billed, key=lambda _: "all")
        def billed(bill: Bill | None, event: Billed) -> Bill:
            return Bill((*(bill or Bill()).orders, event.order))

        self.cashier = self.registry.reactor("cashier", **options)

        @self.cashier.on_recorded(Ordered)
        def ordered(recorded: Recorded[Ordered]) -> list[Append]:
            if recorded.event.order in self.bad:
                raise ValueError("bad")
            return [Append(f"bill-{recorded.event.order}", Billed(recorded.event.order))]

        self.app = App(backend, self.registry, InProcess())

    def order(self, *orders: str) -> list[int]:
        return [self.app.event_store.append(f"order-{each}", Ordered(each)).position for each in orders]

    @property
    def billed(self) -> list[str]:
        bill = self.app.projection_store.view(self.bills).get("all")
        return sorted(bill.orders) if bill else []


@pytest.fixture(params=[Partitioned, Topical])
def backend(request: pytest.FixtureRequest) -> Apart:
    kind: Any = request.param
    made: Apart = kind(3)
    return made


def test_a_reactor_decides_once_on_the_events_of_every_partition(backend: Apart) -> None:
    shop = Shop(backend)
    shop.order(*"abcdefgh")
    for _ in range(3):
        shop.app.projector.catch_up()
    assert shop.billed == list("abcdefgh")
    status = shop.app.reactions.status(shop.cashier)
    assert (status.lag, status.state, status.checkpoint) == (0, "current", shop.app.event_store.head())
    assert isinstance(status.checkpoint, Vector)
    assert len(list(shop.app.event_store.read())) == 16


def test_a_reactor_that_stops_at_an_event_stays_there_in_every_partition(backend: Apart) -> None:
    shop = Shop(backend)
    shop.order("a", "b")
    shop.bad = {"c"}
    bad = shop.order("c")[0]
    shop.order(*"defgh")
    with pytest.raises(ProjectionStopped) as stopped:
        shop.app.projector.catch_up()
    assert stopped.value.position == bad
    assert shop.app.reactions.status(shop.cashier).state == "stopped"
    shop.bad = set()
    for _ in range(2):
        assert shop.app.projector.catch_up().complete
    assert shop.billed == list("abcdefgh")


def test_personal_data_is_read_in_clear_from_every_partition(backend: Apart) -> None:
    registry = Registry()
    registry.event("named", subject="user")(Named)
    names = registry.projection("names", Bill)

    @names.on(Named, key=lambda _: "all")
    def named(bill: Bill | None, event: Named) -> Bill:
        return Bill((*(bill or Bill()).orders, event.name or ""))

    app = App(backend, registry, InProcess(), keys=MemoryKeys())
    for user in "abcdef":
        app.event_store.append(f"user-{user}", Named(user, f"name of {user}"))
    assert app.projector.catch_up().complete
    bill = app.projection_store.view(names).get("all", at_least=app.event_store.head())
    assert bill is not None
    assert sorted(bill.orders) == [f"name of {user}" for user in "abcdef"]
