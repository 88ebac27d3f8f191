"""Reactors over Upstash Redis: the same as elsewhere, in both colours."""

from __future__ import annotations

import pytest

from eventsource_upstash import App, OutcomeUnknown, ReactorStopped, Unavailable
from eventsource_upstash.backends.redis import UpstashRedis
from eventsource_upstash.local import LocalUpstash
from eventsource_upstash.ports import Message
from eventsource_upstash.testing.colours import Colour, Face, settled
from eventsource_upstash.testing.conformance import desk as conformance
from eventsource_upstash.testing.conformance.desk import EVERYTHING, Asked, Desk
from eventsource_upstash.testing.conformance.reacting import check
from tests.reactors.support import Booked, Carrier, Orders, Placed, Shipped


@pytest.mark.parametrize("colour", list(Colour), ids=lambda colour: colour.value)
def test_decided_carried_out_left_over_and_stopped(upstash: LocalUpstash, colour: Colour) -> None:
    namespace = f"reactors-{colour.name.lower()}".replace("_", "-")
    backend = UpstashRedis(upstash.redis_url, upstash.redis_token, namespace=namespace)
    orders, carrier = Orders(), Carrier()
    face = Face(colour, backend, orders.registry, carrier)

    async def events(kind: type) -> list[object]:
        return [each.event for each in await face.read() if isinstance(each.event, kind)]

    async def work() -> None:
        for order in ("1", "2"):
            await face.append(f"order-{order}", Placed(order))
        assert (await face.catch_up()).complete
        assert carrier.batches == [2]
        assert await events(Booked) == [Booked("1", 1), Booked("2", 1)]
        assert await events(Shipped) == [Shipped("1"), Shipped("2")]

        carrier.fail = lambda _: Unavailable("no network")
        await face.append("order-3", Placed("3"))
        with pytest.raises(Unavailable):
            await face.catch_up()
        status = await settled(face.app.reactions.status(orders.reactor))
        assert (status.pending, status.failed, status.state) == (1, 0, "behind")
        carrier.fail = lambda _: None
        await face.catch_up()
        assert len(carrier.sent) == 3

        orders.out_of_stock = {"4"}
        await face.append("order-4", Placed("4"))
        with pytest.raises(ReactorStopped):
            await face.catch_up()
        status = await settled(face.app.reactions.status(orders.reactor))
        assert (status.pending, status.failed, status.state) == (1, 1, "stopped")
        assert (await settled(face.app.reactions.discard(orders.reactor))).done == 1
        assert (await face.catch_up()).complete
        assert len(carrier.sent) == 4
        assert len(orders.decided) == len(set(orders.decided)) == 4
        await face.close()

    colour.run(work())


@pytest.mark.parametrize("colour", list(Colour), ids=lambda colour: colour.value)
def test_answers_that_are_lost_lose_nothing_and_do_nothing_twice(upstash: LocalUpstash, colour: Colour) -> None:
    namespace = f"reactors-lost-{colour.name.lower()}".replace("_", "-")
    backend = UpstashRedis(upstash.redis_url, upstash.redis_token, namespace=namespace)
    desk, taken = Desk(), list[Message]()
    carrier = conformance.Carrier(taken)
    face = Face(colour, backend, desk.registry, carrier)

    async def work() -> None:
        await face.catch_up()  # sends the server its scripts
        for number in range(4):
            await face.append("asked", Asked(f"door-{number}", EVERYTHING))
            struck = upstash.faults.add("lose-answer", half="redis", count=None, probability=0.3, seed=number)
            while True:
                try:
                    assert (await face.catch_up()).complete
                    break
                except (OutcomeUnknown, Unavailable):
                    assert struck.struck < 500
            upstash.faults.clear()
            assert struck.struck >= 3
        await face.catch_up()
        await check(face, desk, taken)
        await face.close()

    try:
        colour.run(work())
    finally:
        upstash.faults.clear()


@pytest.mark.parametrize(
    ("only", "count", "requests", "commands"),
    [
        ("", 10, 2, 7),
        ("send", 1, 4, 15),
        ("send", 10, 4, 15),
        ("append", 10, 5 + 10, 19 + 10 * 6),
        ("execute", 10, 5 + 40, 129),
    ],
)
def test_what_reactors_cost(upstash: LocalUpstash, only: str, count: int, requests: int, commands: int) -> None:
    orders = Orders(only) if only else Orders("send")
    backend = UpstashRedis(upstash.redis_url, upstash.redis_token, namespace=f"reactors-cost-{only}-{count}")
    with App(backend, orders.registry, Carrier()) as app:
        app.event_store.append("orders", Placed("first"))
        app.projector.catch_up()  # sends the server its scripts
        event = Placed if only else Booked
        app.event_store.append("orders", *(event(str(number), 1) for number in range(count)))
        receipt = app.projector.catch_up().receipt
        assert receipt.requests <= requests
        assert receipt.commands <= commands
        nothing = app.projector.catch_up().receipt
        assert (nothing.requests, nothing.commands) == (1, 2), "a reactor with nothing to do costs nothing more"
