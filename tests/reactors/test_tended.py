"""What `app.reactions` tells of a reactor and of what is pending, and what it asks of the outbox for it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta, timezone
from typing import Any, TypeVar, cast

import pytest

from eventsource_upstash import (
    App,
    Append,
    Execute,
    Memory,
    Misuse,
    PendingReaction,
    ProjectionStopped,
    ReactorStatus,
    ReactorStopped,
    Registry,
    Send,
    Unavailable,
    connect,
)
from eventsource_upstash._flow import reactions
from eventsource_upstash.domain.folding import OnError
from eventsource_upstash.errors import LogRewound
from eventsource_upstash.testing.colours import Colour
from tests.conformance.separate import SeparateViews
from tests.priced import Till
from tests.reactors.shops import Shop
from tests.reactors.support import Booked, Orders, Parcel, Placed, Ship, Shipped
from tests.reactors.test_hazards import Asked as DoorAsked
from tests.reactors.test_hazards import doors

T = TypeVar("T")

AT = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)


class Counted(Till):
    """Notes what was asked; each call costs a request.

    Attributes:
        asked: The calls.
        before: Called with a call's name before it is made.
    """

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.before: Callable[[str], None] = lambda _: None

    async def around(self, call: str, step: Callable[[], Awaitable[T]]) -> T:
        self.asked.append(call.removeprefix("views."))
        self.before(call)
        return await super().around(call, step)


def shop_of(backend: Any, orders: Orders) -> Shop:
    shop = Shop(Colour.BLOCKING, backend)
    shop.open(orders)
    return shop


def failed(on_error: OnError, *out: str, backend: Any = None) -> tuple[Shop, Orders]:
    """A shop of three orders, of which some could not be carried out."""
    orders = Orders("execute", on_error=on_error)
    orders.out_of_stock = set(out)
    shop = shop_of(backend or Memory(), orders)
    shop.place("1", "2", "3")
    try:
        shop.catch_up()
    except ReactorStopped:
        assert on_error == "stop"
    return shop, orders


def test_all_that_is_known_of_what_is_pending_is_told() -> None:
    registry = Registry()
    registry.event("placed")(Placed)
    registry.event("shipped")(Shipped)
    parcel = registry.aggregate("parcel", Parcel)
    parcel.on(Shipped)(lambda _, __: Parcel(1))

    @parcel.decide(Ship)
    def ship(state: Parcel | None, command: Ship) -> None:
        raise ArithmeticError("no stock")

    desk = registry.reactor("desk", on_error="park")

    @desk.on(Placed)
    def placed(event: Placed) -> list[Execute[Parcel] | Send]:
        later = Send("https://example.com/hook", {}, delay=timedelta(hours=1))
        return [Execute(parcel, "parcel-1", Ship("1")), Send("/mail", {}), later]

    app = connect("memory:", registry, clock=lambda: round(AT.timestamp()) * 1_000_000_000)
    app.event_store.append("order-1", Placed("1"))
    (event,) = app.event_store.read()
    assert app.projector.catch_up().complete
    assert app.reactions.retry(desk).left == 1
    why = f"execute desk-{event.id}-0: ArithmeticError: no stock"
    assert list(app.reactions.pending(desk)) == [
        PendingReaction("desk", "order-1", f"desk-{event.id}-0", "execute", "parcel-1", 1, None, why, 2, AT),
        PendingReaction("desk", "order-1", f"desk-{event.id}-1", "send", "/mail", 1),
        PendingReaction(
            *("desk", "order-1", f"desk-{event.id}-2", "send", "https://example.com/hook", 1),
            due=AT + timedelta(hours=1),
        ),
    ]
    assert all((ship, placed))


def test_how_a_reactor_is_is_told_under_its_name() -> None:
    shop, orders = failed("park", "1")
    shop.place("4", "5")
    assert shop.status(orders) == ReactorStatus(
        name="desk", checkpoint=5, head=7, lag=2, pending=1, failed=1, parked=0, skipped=0, state="behind"
    )
    shop.catch_up()
    status = shop.status(orders)
    assert (status.lag, status.state) == (0, "behind"), "something is left"
    orders.out_of_stock = set()
    shop.retry(orders)
    shop.catch_up()
    status = shop.status(orders)
    assert (status.pending, status.state) == (0, "current")


@pytest.mark.parametrize("on_error", ["park", "skip"])
def test_a_reactor_that_stops_no_more_is_not_told_to_be_stopped(on_error: OnError) -> None:
    shop, _ = failed("stop", "1")
    goes_on = Orders("execute", on_error=on_error)
    goes_on.out_of_stock = {"1"}
    shop.open(goes_on)
    assert shop.catch_up().complete
    assert [each.event.order for each in shop.events(Shipped)] == ["2", "3"]
    status = shop.status(goes_on)
    assert (status.state, status.stopped, status.pending, status.failed) == ("behind", None, 1, 1)
    shop.place("4")
    stops = Orders("execute")
    stops.broken = {"4"}
    stops.out_of_stock = {"1"}
    shop.open(stops)
    with pytest.raises(ProjectionStopped, match="position 6"):
        shop.catch_up()
    shop.open(goes_on)
    status = shop.status(goes_on)
    assert (status.state, status.stopped.position) == ("stopped", 6), "at the event, until it is decided on"


def test_a_reactor_that_stops_no_more_is_told_so_before_anything_is_new() -> None:
    orders = Orders("execute")
    orders.out_of_stock = {"1"}
    shop = shop_of(Memory(), orders)
    shop.place("1")
    with pytest.raises(ReactorStopped):
        shop.catch_up()
    assert shop.status(orders).stopped.position == shop.status(orders).checkpoint == 1
    parks = Orders("execute", on_error="park")
    shop.open(parks)
    assert (shop.status(parks).state, shop.status(parks).stopped) == ("behind", None)


def test_a_reactor_goes_on_as_soon_as_what_it_stopped_at_is_done() -> None:
    orders = Orders("send")
    counted = Counted()
    shop = shop_of(counted, orders)
    shop.carrier.fail = lambda _: ArithmeticError("no such address")
    shop.place("1")
    with pytest.raises(ReactorStopped):
        shop.catch_up()
    shop.carrier.fail = lambda _: None
    counted.asked.clear()
    assert shop.catch_up().complete
    assert counted.asked.count("commit") == 1
    status = shop.status(orders)
    assert (status.state, status.stopped, status.failed) == ("current", None, 0)


def test_a_reactor_whose_handler_fails_is_stopped_there_whatever_becomes_of_its_reactions() -> None:
    orders = Orders("execute")
    orders.broken, orders.out_of_stock = {"2"}, {"1"}
    shop = shop_of(Memory(), orders)
    shop.place("1", "2")
    for _ in range(2):
        with pytest.raises(ProjectionStopped, match="position 2"):
            shop.catch_up()
        status = shop.status(orders)
        assert (status.state, status.stopped.position, status.failed) == ("stopped", 2, 1)
    since = status.stopped.since
    orders.out_of_stock = set()
    with pytest.raises(ProjectionStopped, match="position 2"):
        shop.catch_up()
    status = shop.status(orders)
    assert (status.state, status.stopped.position, status.failed) == ("stopped", 2, 0)
    assert status.stopped.since == since, "it is stopped there all the time"
    orders.broken = set()
    assert shop.catch_up().complete
    assert shop.status(orders).state == "current"


def test_a_reactor_beyond_its_log_is_rewound_also_where_something_failed() -> None:
    views = Memory()
    shop, _ = failed("stop", "1", backend=SeparateViews(Memory(), views))
    orders = Orders("execute")
    shop.backend = SeparateViews(Memory(), views)
    shop.open(orders)
    assert shop.status(orders).state == "rewound"
    with pytest.raises(LogRewound):
        shop.catch_up()


@pytest.mark.parametrize("ask", ["status", "pending", "retry", "discard"])
def test_what_is_no_reactor_is_told(ask: str) -> None:
    shop, _ = failed("stop")
    app: Any = shop.face.app
    assert isinstance(app, App)
    with pytest.raises(Misuse, match=r"^'desk' is no reactor; hand over what registry\.reactor"):
        list(getattr(app.reactions, ask)("desk"))


def test_what_is_pending_is_listed_in_as_few_steps_as_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reactions, "AT_ONCE", 2)
    counted = Counted()
    orders = Orders("send")
    shop = shop_of(counted, orders)
    shop.carrier.fail = lambda _: Unavailable("not now")
    for number, steps in ((0, 1), (2, 1), (3, 2)):
        shop.place(*[f"{number}{each}" for each in range(number - len(shop.pending(orders)))])
        if number:
            with pytest.raises(Unavailable):
                shop.catch_up()
        counted.asked.clear()
        assert len(shop.pending(orders)) == number
        assert counted.asked == ["items"] * steps


def test_whoever_has_nothing_to_try_again_asks_only_how_far_it_is() -> None:
    look = ["progress", "progress"]  # at what was set aside because a handler failed, and at the outbox
    counted = Counted()
    orders = Orders("send", on_error="park")
    shop = shop_of(counted, orders)

    def asked(doing: Callable[..., Any], key: str | None) -> list[str]:
        counted.asked.clear()
        counted.calls = 0
        done = doing(orders, key)
        assert (done.done, done.left, done.failed) == (0, 0, ())
        assert done.receipt.requests == counted.calls == len(counted.asked)
        return list(counted.asked)

    for doing in (shop.retry, shop.discard):
        for key in (None, "order-1"):
            assert asked(doing, key) == look
    shop.carrier.fail = lambda _: Unavailable("not now")
    shop.place("1", "2")
    with pytest.raises(Unavailable):
        shop.catch_up()
    assert asked(shop.retry, None) == asked(shop.retry, "order-1") == asked(shop.discard, None) == look
    assert asked(shop.discard, "order-1") == [*look, "progress", "load"], "is it one that nobody here can carry out?"


def test_what_is_tried_again_and_given_up_tells_what_it_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reactions, "AT_ONCE", 1)
    counted = Counted()
    shop, orders = failed("park", "1", "2", backend=counted)
    orders.broken = {"4", "5"}
    shop.place("4", "5")
    shop.catch_up()
    assert shop.status(orders).parked == 2
    orders.out_of_stock = set()
    orders.broken = {"5"}

    def adds_up(doing: Callable[..., Any], key: str | None = None) -> Any:
        counted.asked.clear()
        counted.calls = 0
        done = doing(orders, key)
        assert done.receipt.requests == counted.calls
        return done

    gone = adds_up(shop.discard, "order-2")
    assert (gone.done, gone.left, gone.failed) == (1, 3, ())
    again = adds_up(shop.retry)
    assert (again.done, again.left, again.failed) == (2, 1, ("order-5",))
    assert counted.asked.count("items") == 2, "the first, that had failed; the fourth, that was just decided on"
    gone = adds_up(shop.discard)
    assert (gone.done, gone.left, gone.failed) == (1, 0, ())
    assert shop.catch_up().complete
    assert shop.status(orders).state == "current"


@pytest.mark.parametrize("on_error", ["stop", "park", "skip"])
def test_what_is_tried_in_vain_is_paid_for_as_well(on_error: OnError) -> None:
    counted = Counted()
    orders = Orders("execute", on_error=on_error)
    orders.out_of_stock = {"1", "2"}
    refused = orders.registry.reactor("books", on_error=on_error)
    refused.on(Placed)(lambda event: Append("book", Booked(event.order, 1), expected_revision=7))
    shop = shop_of(counted, orders)
    shop.place("1")
    counted.calls = 0
    counted.asked.clear()
    if on_error == "stop":
        with pytest.raises(ReactorStopped) as stopped:
            shop.catch_up()
        told = stopped.value.result
    else:
        told = shop.catch_up()
    assert told.receipt.requests == counted.calls
    assert counted.asked.count("log.read_stream") == counted.asked.count("log.recall") == 1
    assert counted.asked.count("log.append") == 1
    if on_error == "park":
        (left,) = cast("App", shop.face.app).reactions.pending(refused)
        assert "ConcurrencyError: stream 'book' does not exist, the append expected revision 7" in left.error


def test_what_others_did_meanwhile_was_looked_for_and_is_paid_for() -> None:
    counted = Counted()
    registry, _ = doors()
    slow, quick = connect(counted, registry), connect(counted.inner, registry)
    slow.event_store.append("hall", DoorAsked("close open"))

    def overtaken(call: str) -> None:
        if call == "log.read_stream":
            counted.before = lambda _: None
            assert quick.projector.catch_up().complete

    counted.before = overtaken
    counted.calls = 0
    caught = slow.projector.catch_up()
    assert caught.complete
    assert caught.receipt.requests == counted.calls
