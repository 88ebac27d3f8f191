"""A suspension that arrives twice while an order is placed: every order of steps, with crashes and lost answers."""

from __future__ import annotations

from typing import Any, cast

import msgspec
import pytest

from eventsource_upstash import EventStore, Job, Memory, OutcomeUnknown
from eventsource_upstash.testing import Endings, ScheduleFailed, World, explore, pausing
from eventsource_upstash.web import Response
from examples.accounts.domain import AccountActivated, AccountOpened, AccountSuspended
from examples.accounts.orders.domain import (
    LearnStanding,
    OrderAccepted,
    OrderRefused,
    PlaceOrder,
    StandingLearned,
    ledger,
    registry,
    stream_of,
)
from examples.accounts.orders.service import STANDINGS, AsyncOrders, Orders, write_decision
from tests.examples.accounts.history import Decided, recorded, violations

CHANGES = recorded(AccountOpened("a", "Tea"), AccountActivated("a"), AccountSuspended("a", "Because"))
LEARNED = (StandingLearned("a", "opened", 1), StandingLearned("a", "active", 2))
SUSPENDED = Job(STANDINGS, "m3", msgspec.json.encode(LearnStanding("a", "suspended", 3)))
ORDER = PlaceOrder("1", "a", "Tea", 2)


def told(response: Response) -> Decided:
    answer: dict[str, str] = msgspec.json.decode(response.body)
    return Decided(answer["id"], "a", answer["decision"])


class Careless(AsyncOrders):
    """Decides on what it has read, and appends without a look at what came between."""

    async def place(self, order: PlaceOrder) -> Response:
        held = await self.app.event_store.load(ledger, stream_of(order.account))
        (decided,) = ledger.decide_on(held.state, order)
        done = await self.app.event_store.append(stream_of(order.account), decided, idempotency_key=order.id)
        return write_decision(order, decided, done.position)


class Tried:
    """A suspension and an order at once. Whoever is killed at one of them does it once more when all is over."""

    def __init__(self, service: type[AsyncOrders] = AsyncOrders) -> None:
        self.service = service
        self.seen: set[tuple[type[object], ...]] = set()

    def world(self) -> World:
        backend = Memory()
        EventStore(backend, registry).append("account-a", *LEARNED)
        service = self.service(cast("Any", pausing(backend)))  # Any: what connect takes besides a URL
        answers: list[Decided] = []

        async def customer() -> None:
            try:
                answers.append(told(await service.place(ORDER)))
            except OutcomeUnknown:
                answers.append(told(await service.place(ORDER)))

        async def deliver() -> None:
            try:
                await service.learn(SUSPENDED)
            except OutcomeUnknown:
                await service.learn(SUSPENDED)

        async def carrier() -> None:
            await deliver()
            await deliver()

        def check(endings: Endings) -> None:
            after = Orders(cast("Any", backend))  # Any: as above
            after.learn(SUSPENDED)
            answers.append(told(after.place(ORDER)))
            log = list(after.app.event_store.read())
            assert violations(CHANGES, log, answers) == []
            assert len(log) == 4
            self.seen.add(tuple(type(each.event) for each in log[2:]))

        return World(actors={"carrier": carrier(), "customer": customer()}, check=check)


@pytest.mark.parametrize(
    ("budget", "at_least"),
    [
        ({"switches": 3}, 800),
        ({"crashes": 1, "switches": 2}, 2_000),
        ({"crashes": 1, "lost_answers": 1, "switches": 1}, 3_500),
    ],
    ids=str,
)
def test_no_order_is_accepted_after_the_suspension_was_processed(budget: dict[str, int], at_least: int) -> None:
    tried = Tried()
    explored = explore(tried.world, **budget)
    print(explored)  # noqa: T201  how many schedules there were
    assert explored.schedules >= at_least
    # Both decisions were made, so the suspension came before the order in some, and after it in others.
    assert tried.seen == {(StandingLearned, OrderRefused), (OrderAccepted, StandingLearned)}


def test_an_order_service_that_appends_whatever_came_between_is_found() -> None:
    with pytest.raises(ScheduleFailed, match=r"order 1 was accepted of an account that was \('suspended', 3\)"):
        explore(Tried(Careless).world, switches=1)
