"""Aggregates: load, decide, append."""

from dataclasses import dataclass
from decimal import Decimal

from docs.snippets.shop import (
    Cancel,
    Line,
    Order,
    OrderCancelled,
    OrderError,
    OrderPaid,
    OrderPlaced,
    Pay,
    PlaceOrder,
    order,
    registry,
)
from eventsource_upstash import ConcurrencyError, Registry, connect

TEA = (Line("tea", 2, Decimal("4.50")),)


def test_execute() -> None:
    # --8<-- [start:execute]
    event_store = connect("memory:", registry).event_store

    executed = event_store.execute(order, "order-1", PlaceOrder("ada", TEA))
    assert executed.events == (OrderPlaced("ada", TEA),)
    assert executed.state == Order(total=Decimal("9.00"))
    assert (executed.revision, executed.position) == (1, 1)
    # --8<-- [end:execute]
    # --8<-- [start:refused]
    try:
        event_store.execute(order, "order-1", Pay(Decimal("10.00")))
    except OrderError as refused:
        assert str(refused) == "only 9.00 is left to pay"

    assert event_store.head() == 1  # nothing was written
    # --8<-- [end:refused]
    # --8<-- [start:load]
    loaded = event_store.load(order, "order-1")
    assert loaded.state == Order(total=Decimal("9.00"))
    assert loaded.revision == 1
    # --8<-- [end:load]
    # --8<-- [start:nothing]
    event_store.execute(order, "order-1", Cancel("changed her mind"))
    executed = event_store.execute(order, "order-1", Cancel("really"))
    assert (executed.events, executed.position) == ((), None)
    # --8<-- [end:nothing]


def test_by_hand() -> None:
    event_store = connect("memory:", registry).event_store
    event_store.append("order-1", OrderPlaced("ada", TEA))
    # --8<-- [start:by_hand]
    loaded = event_store.load(order, "order-1")
    assert loaded.state is not None

    # Meanwhile, somebody else cancels the order.
    event_store.execute(order, "order-1", Cancel("out of tea"))

    try:
        event_store.append(
            "order-1", OrderPaid(loaded.state.total), expected_revision=loaded.revision
        )
    except ConcurrencyError as conflict:
        assert [missed.event for missed in conflict.events] == [OrderCancelled("out of tea")]
    # --8<-- [end:by_hand]
    else:
        raise AssertionError


def test_idempotency() -> None:
    event_store = connect("memory:", registry).event_store
    event_store.append("order-1", OrderPlaced("ada", TEA))
    # --8<-- [start:idempotency]
    payment = Pay(Decimal("5.00"))
    event_store.execute(order, "order-1", payment, idempotency_key="payment-8831")
    again = event_store.execute(order, "order-1", payment, idempotency_key="payment-8831")

    assert again.repeated
    assert again.state == Order(total=Decimal("9.00"), paid=Decimal("5.00"))  # paid once
    # --8<-- [end:idempotency]


def test_snapshots() -> None:
    # --8<-- [start:snapshots]
    registry = Registry()

    @registry.event("moved")
    @dataclass(frozen=True)
    class Moved:
        amount: int

    @dataclass(frozen=True)
    class Account:
        balance: int = 0

    account = registry.aggregate("account", Account, snapshot_every=100)
    # --8<-- [end:snapshots]

    @account.on(Moved)
    def moved(state: Account | None, event: Moved) -> Account:
        return Account((state or Account()).balance + event.amount)

    @account.decide(int)
    def move(state: Account | None, amount: int) -> Moved:
        return Moved(amount)

    # --8<-- [start:cache]
    event_store = connect("memory:", registry, cache=1_000).event_store
    # --8<-- [end:cache]
    event_store.append("account-1", *[Moved(1)] * 250)
    for _ in range(100):
        event_store.execute(account, "account-1", 1)
    assert event_store.load(account, "account-1").state == Account(350)
