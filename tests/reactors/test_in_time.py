"""Reactions and the time that a catch-up has: a part of them is carried out, and what is left is told."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from eventsource_upstash import Memory, Unavailable, connect
from eventsource_upstash._flow import catching_up, passes, reacting
from eventsource_upstash.domain.events import Receipt
from eventsource_upstash.ports import Backend, Message
from eventsource_upstash.testing.colours import Colour
from tests.priced import Till
from tests.reactors.shops import Shop
from tests.reactors.support import Carrier, Orders
from tests.reactors.test_hazards import Asked, doors


def shop_of(backend: Backend, *only: str) -> Shop:
    shop = Shop(Colour.BLOCKING, backend)
    shop.open(Orders(*only))
    return shop


def sent(shop: Shop) -> list[str]:
    return [json.loads(each.body)["order"] for each in shop.carrier.sent]


class Still:
    """A clock that stands still."""

    @staticmethod
    def monotonic() -> float:
        return 5.0


@pytest.mark.parametrize("still", [False, True])
def test_who_has_met_the_head_is_not_complete_while_messages_wait(
    monkeypatch: pytest.MonkeyPatch, *, still: bool
) -> None:
    monkeypatch.setattr(reacting, "AT_ONCE", 1)
    for module in (catching_up, passes, reacting):
        if still:
            monkeypatch.setattr(module, "time", Still)
    shop = shop_of(Memory(), "send")
    shop.place("1", "2", "3")
    for done in ("1", "12"):
        caught = shop.catch_up(time_budget=0)
        assert (caught.position, caught.complete) == (caught.head, False)
        assert sent(shop) == list(done)
    assert shop.catch_up(time_budget=0).complete
    assert sent(shop) == ["1", "2", "3"]


def test_a_part_of_what_was_left_over_is_carried_out_and_the_rest_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reacting, "AT_ONCE", 2)
    shop = shop_of(Memory(), "send")
    shop.place(*"12345")
    shop.carrier.fail = lambda _: Unavailable("not now")
    with pytest.raises(Unavailable):
        shop.catch_up()
    shop.carrier.fail = lambda _: None
    for done, complete in (("12", False), ("1234", False), ("12345", True)):
        caught = shop.catch_up(time_budget=0)
        assert (caught.position, caught.complete) == (caught.head, complete)
        assert sent(shop) == list(done)


def test_what_comes_behind_a_command_that_decided_nothing_is_told_where_the_time_is_out() -> None:
    registry, porter = doors()
    app = connect(Memory(), registry)
    app.event_store.append("hall", Asked("close close"))
    caught = app.projector.catch_up(time_budget=0)
    assert (caught.position, caught.head, caught.complete) == (1, 1, False)
    assert len(list(app.reactions.pending(porter))) == 1
    assert app.projector.catch_up().complete
    assert list(app.reactions.pending(porter)) == []


class Dear(Carrier):
    """Each call costs a request."""

    async def publish(self, messages: Sequence[Message]) -> Receipt:
        return await super().publish(messages) + Receipt(requests=1)


def test_the_receipt_tells_what_each_batch_of_messages_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reacting, "AT_ONCE", 2)
    till = Till()
    shop = Shop(Colour.BLOCKING, till)
    shop.carrier = Dear()
    shop.open(Orders("send"))
    shop.place(*"12345")
    till.calls = 0
    assert shop.catch_up().receipt.requests == till.calls + 3
