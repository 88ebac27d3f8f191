"""Testing an app: scenarios, an app in memory, and every order of steps."""

from contextlib import suppress
from decimal import Decimal

from docs.snippets.shop import (
    Cancel,
    Demand,
    Line,
    Order,
    OrderCancelled,
    OrderError,
    OrderPaid,
    OrderPlaced,
    OrderSummary,
    Pay,
    PlaceOrder,
    customers,
    demand,
    order,
    orders,
    registry,
)

# --8<-- [start:aggregate]
from eventsource_upstash.testing import given, in_stream

TEA = (Line("tea", 2, Decimal("4.50")),)


def test_an_order_is_paid() -> None:
    (
        given(order, OrderPlaced("ada", TEA))
        .when(Pay(Decimal("9.00")))
        .then(OrderPaid(Decimal("9.00")))
        .then_state(Order(total=Decimal("9.00"), paid=Decimal("9.00")))
    )


def test_a_paid_order_stays() -> None:
    (
        given(order, OrderPlaced("ada", TEA), OrderPaid(Decimal("9.00")))
        .when(Cancel("changed her mind"))
        .then_raises(OrderError, match="paid")
    )


def test_an_order_is_cancelled_once() -> None:
    (
        given(order, OrderPlaced("ada", TEA), OrderCancelled("no tea"))
        .when(Cancel("no tea"))
        .then_nothing()
    )


# --8<-- [end:aggregate]


# --8<-- [start:projection]
def test_the_view_of_orders() -> None:
    given(
        orders,
        in_stream("order-1", OrderPlaced("ada", TEA), OrderPaid(Decimal("9.00"))),
        in_stream("order-2", OrderPlaced("bob", TEA)),
    ).then_documents(
        {
            "order-1": OrderSummary("ada", Decimal("9.00"), "paid"),
            "order-2": OrderSummary("bob", Decimal("9.00"), "open"),
        }
    )


def test_a_cancelled_order_is_gone() -> None:
    given(orders, OrderPlaced("ada", TEA)).when(OrderCancelled("no tea")).then_nothing()


# --8<-- [end:projection]


def test_demand() -> None:
    given(demand, OrderPlaced("ada", TEA)).then_document("tea", Demand(orders=1, pieces=2))


# --8<-- [start:app]
def test_an_order_from_command_to_view() -> None:
    from eventsource_upstash import connect

    app = connect("memory:", registry)
    executed = app.event_store.execute(order, "order-1", PlaceOrder("ada", TEA))
    view = app.projection_store.view(customers)
    customer = view.get("ada", at_least=executed.position)
    assert customer is not None
    assert customer.orders == 1


# --8<-- [end:app]


# --8<-- [start:stepping]
def test_an_order_is_never_paid_twice() -> None:
    from eventsource_upstash import AsyncEventStore, EventStore, Memory
    from eventsource_upstash.testing import Endings, World, explore, pausing

    def two_payments() -> World:
        backend = Memory()
        EventStore(backend, registry).append("order-1", OrderPlaced("ada", TEA))
        event_store = AsyncEventStore(pausing(backend), registry)

        async def pay() -> None:
            with suppress(OrderError):  # whoever comes second is refused
                await event_store.execute(order, "order-1", Pay(Decimal("9.00")))

        def check(endings: Endings) -> None:
            loaded = EventStore(backend, registry).load(order, "order-1")
            assert loaded.state is not None
            assert loaded.state.paid <= loaded.state.total

        return World(actors={"ada": pay(), "bob": pay()}, check=check)

    assert explore(two_payments, crashes=1, lost_answers=1).schedules > 100


# --8<-- [end:stepping]
