"""The shop that the guides tell of: its events, its aggregate and its projections."""

# --8<-- [start:events]
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from eventsource_upstash import Recorded, Registry

registry = Registry()


@dataclass(frozen=True)
class Line:
    sku: str
    quantity: int
    price: Decimal


@registry.event("order-placed")
@dataclass(frozen=True)
class OrderPlaced:
    customer: str
    lines: tuple[Line, ...]


@registry.event("order-paid")
@dataclass(frozen=True)
class OrderPaid:
    amount: Decimal


@registry.event("order-cancelled")
@dataclass(frozen=True)
class OrderCancelled:
    reason: str


def sum_of(lines: tuple[Line, ...]) -> Decimal:
    return sum((line.quantity * line.price for line in lines), Decimal(0))


# --8<-- [end:events]


# --8<-- [start:by_stream]
@dataclass(frozen=True)
class OrderSummary:
    customer: str
    total: Decimal
    state: str = "open"


orders = registry.projection("orders", OrderSummary)


@orders.on(OrderPlaced)
def placed(order: OrderSummary | None, event: OrderPlaced) -> OrderSummary:
    return OrderSummary(event.customer, sum_of(event.lines))


@orders.on(OrderPaid)
def paid(order: OrderSummary | None, event: OrderPaid) -> OrderSummary | None:
    return order and replace(order, state="paid")


@orders.on(OrderCancelled)
def cancelled(order: OrderSummary | None, event: OrderCancelled) -> None:
    return None  # the document is deleted; its events stay


# --8<-- [end:by_stream]


# --8<-- [start:by_field]
@dataclass(frozen=True)
class Customer:
    orders: int
    last_order: datetime


customers = registry.projection("customers", Customer)


@customers.on_recorded(OrderPlaced, key="customer")
def ordered(customer: Customer | None, recorded: Recorded[OrderPlaced]) -> Customer:
    before = customer.orders if customer else 0
    return Customer(before + 1, recorded.recorded_at)


# --8<-- [end:by_field]


# --8<-- [start:by_function]
@dataclass(frozen=True)
class Demand:
    orders: int = 0
    pieces: int = 0


demand = registry.projection("demand", Demand)


@demand.on(OrderPlaced, key=lambda event: {line.sku for line in event.lines})
def wanted(product: Demand | None, event: OrderPlaced, key: str) -> Demand:
    before = product or Demand()
    pieces = sum(line.quantity for line in event.lines if line.sku == key)
    return Demand(before.orders + 1, before.pieces + pieces)


# --8<-- [end:by_function]


# --8<-- [start:one_document]
@dataclass(frozen=True)
class Totals:
    placed: int = 0
    revenue: Decimal = Decimal(0)


totals = registry.projection("totals", Totals)


@totals.on(OrderPlaced, key=lambda event: "all")
def count_order(doc: Totals | None, event: OrderPlaced) -> Totals:
    doc = doc or Totals()
    return replace(doc, placed=doc.placed + 1)


@totals.on(OrderPaid, key=lambda event: "all")
def count_payment(doc: Totals | None, event: OrderPaid) -> Totals:
    doc = doc or Totals()
    return replace(doc, revenue=doc.revenue + event.amount)


# --8<-- [end:one_document]


# --8<-- [start:aggregate]
@dataclass(frozen=True)
class PlaceOrder:
    customer: str
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Pay:
    amount: Decimal


@dataclass(frozen=True)
class Cancel:
    reason: str


class OrderError(Exception):
    """A command that the shop refuses."""


@dataclass(frozen=True)
class Order:
    total: Decimal
    paid: Decimal = Decimal(0)
    cancelled: bool = False


order = registry.aggregate("order", Order)


@order.on(OrderPlaced)
def was_placed(state: Order | None, event: OrderPlaced) -> Order:
    return Order(sum_of(event.lines))


@order.on(OrderPaid)
def was_paid(state: Order | None, event: OrderPaid) -> Order | None:
    return state and replace(state, paid=state.paid + event.amount)


@order.on(OrderCancelled)
def was_cancelled(state: Order | None, event: OrderCancelled) -> Order | None:
    return state and replace(state, cancelled=True)


# --8<-- [end:aggregate]


# --8<-- [start:decide]
@order.decide(PlaceOrder)
def place(state: Order | None, command: PlaceOrder) -> OrderPlaced:
    if state is not None:
        raise OrderError("there is an order under this number already")
    return OrderPlaced(command.customer, command.lines)


@order.decide(Pay)
def pay(state: Order | None, command: Pay) -> OrderPaid | None:
    if state is None or state.cancelled:
        raise OrderError("there is no such order")
    if state.paid + command.amount > state.total:
        raise OrderError(f"only {state.total - state.paid} is left to pay")
    return OrderPaid(command.amount) if command.amount else None


@order.decide(Cancel)
def cancel(state: Order | None, command: Cancel) -> OrderCancelled | None:
    if state is None:
        raise OrderError("there is no such order")
    if state.paid:
        raise OrderError("a paid order cannot be cancelled")
    return None if state.cancelled else OrderCancelled(command.reason)


# --8<-- [end:decide]
