"""Projections: keys, freshness, what happens when a fold fails, and versions."""

from dataclasses import dataclass
from decimal import Decimal

from docs.snippets.shop import (
    Customer,
    Demand,
    Line,
    OrderCancelled,
    OrderPaid,
    OrderPlaced,
    OrderSummary,
    Totals,
    customers,
    demand,
    orders,
    registry,
    totals,
)
from eventsource_upstash import Memory, ProjectionStopped, Registry, connect


def test_keys() -> None:
    # --8<-- [start:reading]
    app = connect("memory:", registry)
    tea, pot = Line("tea", 2, Decimal("4.50")), Line("pot", 1, Decimal("30.00"))
    app.event_store.append("order-1", OrderPlaced("ada", (tea, pot)))
    app.event_store.append("order-2", OrderPlaced("ada", (tea,)))
    app.event_store.append("order-1", OrderPaid(Decimal("39.00")))
    app.event_store.append("order-2", OrderCancelled("changed her mind"))
    app.projector.catch_up()

    view = app.projection_store.view(orders)
    assert view.get("order-1") == OrderSummary("ada", Decimal("39.00"), "paid")
    assert view.get("order-2") is None  # cancelled, so its document was deleted
    assert view.count() == 1
    # --8<-- [end:reading]
    ada = app.projection_store.view(customers).get("ada")
    assert isinstance(ada, Customer)
    assert ada.orders == 2
    # --8<-- [start:several]
    assert app.projection_store.view(demand).get_many(["tea", "pot", "cup"]) == {
        "tea": Demand(orders=2, pieces=4),
        "pot": Demand(orders=1, pieces=1),
    }
    # --8<-- [end:several]
    assert app.projection_store.view(totals).get("all") == Totals(
        placed=2, revenue=Decimal("39.00")
    )


def test_pages() -> None:
    app = connect("memory:", registry)
    for sku in ("tea", "pot"):
        app.event_store.append(f"order-{sku}", OrderPlaced("ada", (Line(sku, 1, Decimal(1)),)))
    app.projector.catch_up()
    view = app.projection_store.view(demand)
    # --8<-- [start:items]
    assert [key for key, _ in view.items()] == ["pot", "tea"]  # in order of key

    page = list(view.items(limit=1))
    last_key, _ = page[-1]
    assert [key for key, _ in view.items(after=last_key, limit=1)] == ["tea"]
    # --8<-- [end:items]


def test_at_least() -> None:
    app = connect("memory:", registry)
    lines = (Line("tea", 2, Decimal("4.50")),)
    # --8<-- [start:at_least]
    appended = app.event_store.append("order-1", OrderPlaced("ada", lines))

    view = app.projection_store.view(orders)
    assert view.get("order-1") is None  # nothing has folded the event yet
    assert view.get("order-1", at_least=appended.position) is not None
    # --8<-- [end:at_least]


def test_rewound() -> None:
    app = connect("memory:", registry)
    app.event_store.append("order-1", OrderPlaced("ada", (Line("tea", 2, Decimal("4.50")),)))
    app.projector.catch_up()
    view = app.projection_store.view(orders)
    from_cookie = 1_000
    # --8<-- [start:rewound]
    from eventsource_upstash import LogRewound

    try:
        order = view.get("order-1", at_least=from_cookie)
    except LogRewound:  # the log was restored: the cookie is of no use any more
        order = view.get("order-1")
    # --8<-- [end:rewound]
    assert order is not None


def test_strong() -> None:
    app = connect("memory:", registry)
    lines = (Line("tea", 2, Decimal("4.50")),)
    # --8<-- [start:strong]
    view = app.projection_store.view(orders, consistency="strong")

    app.event_store.append("order-1", OrderPlaced("ada", lines))
    assert view.get("order-1") is not None  # no worker, no catch_up, no at_least
    # --8<-- [end:strong]


fragile = Registry()


@fragile.event("measured")
@dataclass(frozen=True)
class Measured:
    value: float
    parts: int


@dataclass(frozen=True)
class Mean:
    value: float


# --8<-- [start:fragile]
means = fragile.projection("means", Mean)


@means.on(Measured)
def mean(document: Mean | None, event: Measured) -> Mean:
    return Mean(event.value / event.parts)  # and when there are no parts?


# --8<-- [end:fragile]


def test_stopped(in_empty_folder: None) -> None:
    app = connect("sqlite:lab.db", fragile)
    # --8<-- [start:stopped]
    app.event_store.append("probe-1", Measured(10.0, 4))
    app.event_store.append("probe-2", Measured(1.0, 0))
    app.event_store.append("probe-3", Measured(9.0, 3))

    try:
        app.projector.catch_up()
    except ProjectionStopped as stopped:
        assert (stopped.projection, stopped.position) == ("means", 2)
        assert isinstance(stopped.__cause__, ZeroDivisionError)

    view = app.projection_store.view(means)
    assert view.get("probe-1") == Mean(2.5)  # what came before it is there
    assert view.get("probe-3") is None  # what came after it waits

    (status,) = app.projection_store.status()
    assert (status.state, status.checkpoint, status.head, status.lag) == ("stopped", 1, 3, 2)
    assert status.stopped is not None
    assert "ZeroDivisionError" in status.stopped.reason
    # --8<-- [end:stopped]
    app.close()

    # The same file under the mended code, as after a deploy.
    mended = Registry()
    mended.event("measured")(Measured)
    means_now = mended.projection("means", Mean)
    # --8<-- [start:mended]

    @means_now.on(Measured)
    def mean(document: Mean | None, event: Measured) -> Mean | None:
        return Mean(event.value / event.parts) if event.parts else document

    # --8<-- [end:mended]
    app = connect("sqlite:lab.db", mended)
    # --8<-- [start:goes_on]
    caught_up = app.projector.catch_up()  # goes on with the event that it stopped at
    assert (caught_up.applied, caught_up.position, caught_up.complete) == (2, 3, True)
    # --8<-- [end:goes_on]
    assert app.projection_store.view(means_now).get("probe-3") == Mean(3.0)
    app.close()


def test_parked() -> None:
    backend = Memory()
    parking = Registry()
    parking.event("measured")(Measured)
    # --8<-- [start:park]
    levels = parking.projection("levels", Mean, on_error="park")
    # --8<-- [end:park]
    levels.on(Measured)(lambda document, event: Mean(event.value / event.parts))
    app = connect(backend, parking)
    # --8<-- [start:parked]
    app.event_store.append("probe-1", Measured(1.0, 0))  # no parts: its fold raises
    app.event_store.append("probe-1", Measured(8.0, 4))  # waits behind it
    app.event_store.append("probe-2", Measured(9.0, 3))

    caught_up = app.projector.catch_up()
    assert caught_up.complete  # it did not stop
    assert dict(app.projection_store.view(levels).items()) == {"probe-2": Mean(3.0)}

    first, second = app.projector.parked(levels)
    assert (first.key, first.position, first.attempts) == ("probe-1", 1, 1)
    assert "ZeroDivisionError" in first.error  # and first.traceback
    assert (second.position, second.attempts) == (2, 0)  # only waits
    # --8<-- [end:parked]
    assert app.projector.retry_parked(levels).failed == ("probe-1",)

    mended = Registry()
    mended.event("measured")(Measured)
    levels = mended.projection("levels", Mean, on_error="park")
    levels.on(Measured)(
        lambda document, event: Mean(event.value / event.parts) if event.parts else document
    )
    app = connect(backend, mended)
    # --8<-- [start:retry]
    retried = app.projector.retry_parked(levels)
    assert (retried.done, retried.left, retried.failed) == (2, 0, ())
    # --8<-- [end:retry]
    assert app.projection_store.view(levels).get("probe-1") == Mean(2.0)


def test_skipped() -> None:
    skipping = Registry()
    skipping.event("measured")(Measured)
    rough = skipping.projection("rough", Mean, on_error="skip")
    rough.on(Measured)(lambda document, event: Mean(event.value / event.parts))
    app = connect("memory:", skipping)
    # --8<-- [start:skip]
    app.event_store.append("probe-1", Measured(1.0, 0))
    app.event_store.append("probe-1", Measured(8.0, 4))
    app.projector.catch_up()

    assert app.projection_store.view(rough).get("probe-1") == Mean(2.0)
    (skipped,) = app.projector.skipped(rough)  # the newest first
    assert (skipped.position, skipped.key) == (1, "probe-1")
    # --8<-- [end:skip]
