"""Personal data: encrypted in the log, and forgotten with its key."""

from dataclasses import dataclass

# --8<-- [start:event]
from eventsource_upstash import (
    MemoryKeys,
    Personal,
    Registry,
    SQLiteKeys,
    SubjectForgotten,
    connect,
)

registry = Registry()


@registry.event("customer-moved", subject="customer_id")  # whose data it is
@dataclass(frozen=True)
class CustomerMoved:
    customer_id: str
    country: str
    address: Personal[str]  # a str, or None once the customer is forgotten


# --8<-- [end:event]


# --8<-- [start:projection]
@dataclass(frozen=True)
class Customer:
    country: str
    address: str | None


customers = registry.projection("customers", Customer)


@customers.on(CustomerMoved, key="customer_id")
def moved(customer: Customer | None, event: CustomerMoved) -> Customer:
    return Customer(event.country, event.address)


# --8<-- [end:projection]


def test_forget(in_empty_folder: None) -> None:
    # --8<-- [start:connect]
    app = connect("sqlite:shop.db", registry, keys=SQLiteKeys("keys.db"))
    app.event_store.append("customer-17", CustomerMoved("17", "UK", "221B Baker Street"))
    (recorded,) = app.event_store.read()
    assert recorded.event == CustomerMoved("17", "UK", "221B Baker Street")
    # --8<-- [end:connect]
    app.projector.catch_up()

    # --8<-- [start:forget]
    app.event_store.forget("17")
    (recorded,) = app.event_store.read()
    assert recorded.event == CustomerMoved("17", "UK", None)
    # --8<-- [end:forget]

    view = app.projection_store.view(customers)
    assert view.get("17") == Customer("UK", "221B Baker Street")

    # --8<-- [start:readmit]
    try:
        app.event_store.append("customer-17", CustomerMoved("17", "FR", "1 Rue de Rivoli"))
    except SubjectForgotten:
        app.event_store.readmit("17")  # a customer again, who has agreed to it
        app.event_store.append("customer-17", CustomerMoved("17", "FR", "1 Rue de Rivoli"))
    # --8<-- [end:readmit]
    assert [recorded.event for recorded in app.event_store.read()] == [
        CustomerMoved("17", "UK", None),
        CustomerMoved("17", "FR", "1 Rue de Rivoli"),
    ]
    app.close()


def test_views_are_built_anew() -> None:
    keys = MemoryKeys()
    app = connect("memory:", registry, keys=keys)
    app.event_store.append("customer-17", CustomerMoved("17", "UK", "221B Baker Street"))
    app.event_store.forget("17")
    later = Registry()
    later.event("customer-moved", subject="customer_id")(CustomerMoved)
    anew = later.projection("customers", Customer, version=2)
    anew.on(CustomerMoved, key="customer_id")(moved)
    again = connect(app.backend, later, keys=keys)
    again.projector.catch_up()
    assert again.projection_store.view(anew).get("17") == Customer("UK", None)
