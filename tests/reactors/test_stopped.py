"""Reactors that are stopped at a reaction: what is tried again first, what waits meanwhile, and what that costs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from eventsource_upstash import Execute, Memory, ReactorStopped, Unavailable
from eventsource_upstash._flow import reacting
from eventsource_upstash.ports import Backend, Message
from eventsource_upstash.testing.colours import Colour, Face
from tests.priced import Till
from tests.reactors.shops import Shop
from tests.reactors.support import Orders, Placed, Ship, Shipped
from tests.reactors.test_hazards import Killing


def shop_of(backend: Backend, orders: Orders) -> Shop:
    shop = Shop(Colour.BLOCKING, backend)
    shop.open(orders)
    return shop


def shipped(shop: Shop) -> list[str]:
    return [each.event.order for each in shop.events(Shipped)]


def stops_at(shop: Shop, order: str) -> ReactorStopped:
    with pytest.raises(ReactorStopped, match=f"{order} is out of stock") as raised:
        shop.catch_up()
    return raised.value


def set_aside(*orders: str) -> Shop:
    """A shop whose reactor has set some reactions aside, under another `on_error` than the one it has from now on."""
    parks = Orders("execute", on_error="park")
    parks.out_of_stock = set(orders)
    shop = shop_of(Memory(), parks)
    shop.place(*orders)
    assert shop.catch_up().complete
    assert shop.status(parks).failed == len(orders)
    return shop


@pytest.mark.parametrize("at_once", [1, 2, 100])
def test_who_stops_from_now_on_stops_at_what_was_set_aside_and_goes_on_after_it(
    monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(reacting, "AT_ONCE", at_once)
    shop = set_aside("1", "2", "3")
    stops = Orders("execute")
    shop.open(stops)
    shop.place("4")
    for out in ({"1", "2", "3"}, {"2", "3"}, {"3"}):
        stops.out_of_stock = out
        first = min(out)
        stops_at(shop, first)
        status = shop.status(stops)
        assert (status.state, status.stopped.position, status.failed) == ("stopped", int(first), len(out))
        assert shipped(shop) == list("123"[: int(first) - 1]), "what comes behind it waits"
    stops.out_of_stock = set()
    assert shop.catch_up().complete
    assert shipped(shop) == list("1234")
    status = shop.status(stops)
    assert (status.state, status.pending, status.failed, status.stopped) == ("current", 0, 0, None)


def test_a_stop_that_came_to_what_was_set_aside_before_does_not_hide_it() -> None:
    shop = set_aside("2", "3")
    stops = Orders("execute")
    shop.open(stops)
    shop.place("1")
    stops.out_of_stock = {"1"}
    stops_at(shop, "1")  # the others went well by then
    assert shipped(shop) == ["2", "3"]
    stops.out_of_stock = set()
    assert shop.catch_up().complete
    assert shipped(shop) == ["2", "3", "1"]


def test_two_workers_that_come_to_a_failure_each_leave_a_reactor_that_can_go_on() -> None:
    orders = Orders("execute")
    orders.out_of_stock = {"1", "2"}
    inner = Memory()
    slow, quick = Killing(inner), Killing(inner)
    shop = shop_of(inner, orders)
    shop.place("1", "2", "3")
    other = Face(shop.colour, quick, orders.registry, shop.carrier)

    async def away(call: str, count: int) -> None:
        if call == "log.read_stream" and count == 1:
            raise Unavailable("no network")

    async def meanwhile(call: str, count: int) -> None:
        if call == "views.commit" and count == 2:  # where it is noted that the first has failed
            with pytest.raises(Unavailable):
                await other.catch_up()
            assert shop.status(orders).stopped.position == 2

    slow.before, quick.before = meanwhile, away
    with pytest.raises(ReactorStopped, match="position 1"):
        shop.run(Face(shop.colour, slow, orders.registry, shop.carrier).catch_up(page_size=1, until=1))
    assert shop.status(orders).failed == 2
    orders.out_of_stock = {"2"}
    stops_at(shop, "2")
    orders.out_of_stock = set()
    assert shop.catch_up().complete
    assert sorted(shipped(shop)) == ["1", "2", "3"]
    assert shop.status(orders).state == "current"


def test_what_failed_and_went_well_by_hand_is_not_waited_for() -> None:
    shop = set_aside("1", "2")
    stops = Orders("execute")
    stops.out_of_stock = {"1", "2"}
    shop.open(stops)
    stops_at(shop, "1")
    stops.out_of_stock = {"2"}
    assert shop.retry(stops, key="order-1").done == 1
    stops_at(shop, "2")
    stops.out_of_stock = set()
    shop.place("3")
    assert shop.catch_up().complete
    assert shipped(shop) == list("123")


def refused(*orders: str) -> tuple[Shop, Orders]:
    """The same of messages that were refused."""
    parks = Orders("send", on_error="park")
    shop = shop_of(Memory(), parks)
    shop.carrier.fail = lambda _: ArithmeticError("no such address")
    shop.place(*orders)
    assert shop.catch_up().complete
    stops = Orders("send")
    shop.open(stops)
    shop.carrier.fail = lambda _: None
    return shop, stops


def sent(shop: Shop) -> list[str]:
    return [json.loads(each.body)["order"] for each in shop.carrier.sent]


def test_where_the_time_is_out_one_of_those_set_aside_is_tried_and_the_rest_waits() -> None:
    shop, _ = refused("1", "2", "3")
    for done, complete in (("1", False), ("12", False), ("123", True)):
        caught = shop.catch_up(time_budget=0)
        assert (sent(shop), caught.complete) == (list(done), complete)
        assert caught.position == caught.head


def test_what_was_set_aside_and_cannot_be_tried_now_holds_what_comes_behind_it() -> None:
    shop, _ = refused("1", "2")
    shop.place("3")
    tried: list[int] = []

    def fail(batch: Sequence[Message]) -> Exception:
        tried.append(len(batch))
        return Unavailable("not now")

    shop.carrier.fail = fail
    with pytest.raises(Unavailable, match="not now"):
        shop.catch_up()
    assert tried == [1]
    shop.carrier.fail = lambda _: None
    assert shop.catch_up().complete
    assert sent(shop) == ["1", "2", "3"]


def test_what_failed_is_found_wherever_it_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reacting, "AT_ONCE", 2)
    shop, stops = refused("4", "5", "6")
    shop.carrier.fail = lambda _: Unavailable("not now")
    shop.place("1", "2", "3")  # before them, in the order of keys
    with pytest.raises(Unavailable):
        shop.catch_up()
    shop.carrier.fail = lambda batch: ArithmeticError("still none") if b"5" in batch[0].body else None
    with pytest.raises(ReactorStopped, match="still none"):
        shop.catch_up()
    assert sent(shop) == ["4"]
    assert shop.status(stops).failed == 2


def test_a_reactor_that_stays_stopped_looks_through_nothing() -> None:
    orders = Orders("execute")
    orders.out_of_stock = {"2"}
    backend = Killing(Memory())
    shop = shop_of(backend, orders)
    shop.place("1", "2", "3")
    stops_at(shop, "2")
    stops_at(shop, "2")
    assert backend.counts["views.items"] == 0
    orders.out_of_stock = set()
    assert shop.catch_up().complete
    assert backend.counts["views.items"] == 1, "for what comes behind it"


def test_what_others_see_to_meanwhile_is_not_looked_for_again() -> None:
    shop, stops = refused("1", "2")
    slow = Killing(shop.backend)

    async def meanwhile(call: str, count: int) -> None:
        if call == "views.items" and count == 1:
            assert shop.discard(stops, key="order-2").done == 1

    slow.before = meanwhile
    assert shop.run(Face(shop.colour, slow, stops.registry, shop.carrier).catch_up()).complete
    assert sent(shop) == ["1"]
    assert slow.counts["views.items"] == 2, "for those, and for what comes behind them"


def test_what_is_decided_on_later_pages_waits_behind_what_it_has_stopped_at() -> None:
    orders = Orders("execute")
    orders.out_of_stock = {"1"}
    shop = shop_of(Memory(), orders)
    shop.place("1", "2", "3")
    with pytest.raises(ReactorStopped, match="position 1"):
        shop.catch_up(page_size=1)
    assert shipped(shop) == []
    assert shop.status(orders).pending == 3
    orders.out_of_stock = set()
    assert shop.catch_up().complete
    assert shipped(shop) == ["1", "2", "3"]


def test_of_what_was_left_over_nothing_is_carried_out_behind_what_it_stops_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reacting, "AT_ONCE", 2)
    orders = Orders("execute")
    backend = Killing(Memory())
    shop = shop_of(backend, orders)
    shop.place(*"12345")

    async def away(call: str, count: int) -> None:
        if call == "log.read_stream":
            raise Unavailable("no network")

    backend.before = away
    with pytest.raises(Unavailable):
        shop.catch_up()
    backend.before = None
    orders.out_of_stock = {"2"}
    stops_at(shop, "2")
    assert shipped(shop) == ["1"]
    assert len(shop.pending(orders)) == 4


def two_reactors() -> tuple[Orders, Any]:
    orders = Orders("execute")
    other = orders.registry.reactor("other")
    other.on(Placed)(lambda event: Execute(orders.parcel, f"other-{event.order}", Ship(event.order)))
    return orders, other


@pytest.mark.parametrize("at_once", [1, 100])
def test_a_catch_up_with_stopped_reactors_tells_all_that_it_cost(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    monkeypatch.setattr(reacting, "AT_ONCE", at_once)
    orders, _ = two_reactors()
    orders.out_of_stock = {"1"}
    till = Till()
    shop = shop_of(till, orders)
    shop.place("1", "2", "3")
    stops_at(shop, "1")
    orders.out_of_stock = set()
    till.calls = 0
    caught = shop.catch_up()
    assert caught.complete
    assert len(shipped(shop)) == 6
    till.calls -= 1  # of the look at what was shipped
    assert caught.receipt.requests == till.calls
