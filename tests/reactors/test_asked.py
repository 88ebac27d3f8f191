"""What reactors ask of their outboxes, page by page: no more than is needed, and each of them once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import pytest

from eventsource_upstash import Execute, Memory, ProjectionStopped, ReactorStopped, Registry, Unavailable, connect
from eventsource_upstash._flow import reacting, reactions
from eventsource_upstash._io.blocking import run
from eventsource_upstash._io.port import Port
from eventsource_upstash.domain.outgoing import NotHere
from eventsource_upstash.ports import Backend, Commit, Committed, Message, Progress, Pull, Views
from eventsource_upstash.testing import BackendWrapper, ViewsWrapper
from eventsource_upstash.testing.colours import Colour, Face
from tests.conformance.separate import SeparateViews
from tests.priced import Till
from tests.reactors.shops import Shop
from tests.reactors.support import Booked, NoStock, Orders, Placed, Shipped

T = TypeVar("T")


class Asked(BackendWrapper):
    """Counts what views are asked.

    Attributes:
        calls: How often each call came.
        pages: How often a page was asked for, by itself or with a commit.
    """

    def __init__(self, inner: Backend) -> None:
        super().__init__(inner)
        self.calls: Counter[str] = Counter()
        self.pages = 0

    async def around(self, call: str, step: Callable[[], Awaitable[T]]) -> T:
        self.calls[call] += 1
        self.pages += call == "views.pull"
        return await step()

    def wrap_views(self, views: Views) -> Views:
        return Pages(views, self)


class Pages(ViewsWrapper):
    def __init__(self, inner: Views, asked: Asked) -> None:
        super().__init__(inner, asked.around)
        self._asked = asked

    async def commit(self, commits: Sequence[Commit], then: Pull | None) -> Committed:
        self._asked.pages += then is not None
        return await super().commit(commits, then)


@pytest.fixture
def asked() -> Asked:
    return Asked(Memory())


def shop_of(backend: Backend) -> Shop:
    return Shop(Colour.BLOCKING, backend)


def test_what_a_page_leads_to_is_carried_out_without_another_look(asked: Asked) -> None:
    orders = Orders("append")
    seen = orders.registry.projection("seen", Booked)
    seen.on(Placed, key="order")(lambda _, event: Booked(event.order, 1))
    shop = shop_of(asked)
    shop.open(orders)
    shop.place("1", "2")
    shop.catch_up()
    assert len(shop.events(Booked)) == 2
    # The page of orders; what was done is taken out with the question for the next page, that of bookings; and the end.
    assert asked.pages == 3
    assert (asked.calls["views.progress"], asked.calls["views.items"]) == (0, 0)
    assert asked.calls["views.commit"] == 3


def test_a_page_that_leads_to_nothing_is_followed_by_the_next_one_at_once(asked: Asked) -> None:
    orders = Orders("send")
    shop = shop_of(asked)
    shop.open(orders)
    shop.run(shop.face.append("elsewhere", Booked("1", 1)))
    shop.catch_up()
    # The page, and the next one with the commit of where it is now.
    assert (asked.pages, asked.calls["views.pull"], asked.calls["views.commit"]) == (2, 1, 1)


def test_who_is_far_behind_gets_a_page_after_what_a_page_leads_to_though_the_time_is_out() -> None:
    orders = Orders("send")
    shop = shop_of(Memory())
    shop.open(orders)
    shop.place("1", "2")
    shop.catch_up()
    seen = orders.registry.projection("seen", Booked)
    seen.on(Placed, key="order")(lambda _, event: Booked(event.order, 1))
    shop.open(orders)
    shop.place("3")
    assert shop.catch_up(time_budget=0).applied == 4
    assert (len(shop.carrier.sent), shop.face.app.projection_store.status()[0].checkpoint) == (3, 3)


def test_a_stop_that_is_known_is_not_written_again(asked: Asked) -> None:
    orders = Orders("send")
    orders.broken = {"2"}
    shop = shop_of(asked)
    shop.open(orders)
    shop.place("1", "2")
    for commits in (2, 0, 0):  # what was decided and the stop, what was done is taken out; then nothing
        asked.calls.clear()
        with pytest.raises(ProjectionStopped, match="position 2"):
            shop.catch_up()
        assert asked.calls["views.commit"] == commits
    orders.broken = set()
    assert shop.catch_up().complete
    assert len(shop.carrier.sent) == 2


@pytest.mark.parametrize(("at_once", "room"), [(2, 1 << 20), (100, 26), (100, 38)], ids=str)
def test_messages_are_handed_over_so_many_at_once_as_may_be(
    monkeypatch: pytest.MonkeyPatch, at_once: int, room: int
) -> None:
    monkeypatch.setattr(reacting, "AT_ONCE", at_once)
    monkeypatch.setattr(reacting, "MAX_BATCH_BYTES", room)
    shop = shop_of(Memory())
    shop.open(Orders("send"))
    shop.place(*"12345")
    shop.catch_up()
    assert {len(each.body) for each in shop.carrier.sent} == {13}
    assert shop.carrier.batches == [2, 2, 1]


def test_more_failed_reactions_than_are_listed_at_once_are_each_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reactions, "AT_ONCE", 2)
    orders = Orders("execute", on_error="park")
    orders.out_of_stock = set("12345")
    shop = shop_of(Memory())
    shop.open(orders)
    shop.place(*"12345")
    shop.catch_up()
    keys = [f"order-{each}" for each in "12345"]
    again = shop.retry(orders)
    assert (again.done, again.left, sorted(again.failed)) == (0, 5, keys)
    assert [(each.key, each.attempts) for each in shop.pending(orders)] == [(key, 2) for key in keys]
    orders.out_of_stock = {"3"}
    again = shop.retry(orders)
    assert (again.done, again.left, again.failed) == (4, 1, ("order-3",))
    assert shop.discard(orders).done == 1
    assert shop.pending(orders) == []


class Silent(BackendWrapper):
    """Carries no messages."""

    def mailbox(self, port: Port) -> None:
        return None


def test_what_only_waits_for_its_turn_is_not_given_up_where_no_message_could_be_sent_either() -> None:
    orders = Orders("append")
    shop = shop_of(Silent(Memory()))
    shop.face = Face(shop.colour, shop.backend, orders.registry)
    shop.place(*"123")
    assert not shop.catch_up(time_budget=0).complete  # one of them, and then the time is out
    waiting = [each.key for each in shop.pending(orders)]
    assert len(waiting) == 2
    for key in waiting:
        assert shop.discard(orders, key=key).done == 0
    assert [each.key for each in shop.pending(orders)] == waiting
    assert shop.catch_up().complete
    assert len(shop.events(Booked)) == 3


@pytest.mark.parametrize("carried", [True, False])
def test_a_message_that_is_not_sent_can_be_given_up_where_nobody_carries_any(carried: bool) -> None:
    orders = Orders("send")
    shop = shop_of(Memory() if carried else Silent(Memory()))
    shop.carrier.fail = lambda _: Unavailable("not now")
    if carried:
        shop.open(orders)
    else:
        shop.face = Face(shop.colour, shop.backend, orders.registry)
    shop.place("1")
    with pytest.raises(Unavailable if carried else NotHere):
        shop.catch_up()
    (waiting,) = [each.key for each in shop.pending(orders)]
    assert shop.discard(orders, key=waiting).done == (not carried)
    assert len(shop.pending(orders)) == carried


@dataclass(frozen=True)
class Ask:
    order: str


def outbox_of(backend: Backend, orders: Any) -> Progress:
    log = backend.log(Colour.BLOCKING.port)
    found, _, _ = run(backend.views(Colour.BLOCKING.port, log).progress((orders.outbox.id,)))
    return found[0]


@pytest.mark.parametrize("kind", ["append", "send"])
def test_an_outbox_that_is_elsewhere_than_the_log_has_met_its_head(kind: str) -> None:
    backend = SeparateViews(Memory(), Memory())
    orders = Orders(kind)
    shop = shop_of(backend)
    shop.open(orders)
    shop.place("1")
    assert shop.catch_up().complete
    assert outbox_of(backend, orders.reactor).met


def test_it_has_met_it_too_when_what_had_stopped_it_comes_to_nothing() -> None:
    registry = Registry()
    registry.event("placed")(Placed)
    registry.event("shipped")(Shipped)
    parcels = registry.aggregate("parcel", Shipped)
    parcels.on(Shipped)(lambda _, event: event)
    desk = registry.reactor("desk")
    fails = True

    @parcels.decide(Ask)
    def asked_for(state: Shipped | None, command: Ask) -> list[Shipped]:
        if fails:
            raise NoStock
        return []

    @desk.on(Placed)
    def placed(event: Placed) -> list[Execute]:
        return [Execute(parcels, f"parcel-{event.order}", Ask(event.order))]

    backend = SeparateViews(Memory(), Memory())
    app = connect(backend, registry)
    app.event_store.append("order-1", Placed("1"))
    with pytest.raises(ReactorStopped):
        app.projector.catch_up()
    fails = False
    assert app.projector.catch_up().complete
    assert outbox_of(backend, desk).met
    assert list(app.reactions.pending(desk)) == []


def test_what_was_left_over_is_tried_once_and_everything_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reacting, "AT_ONCE", 2)
    orders = Orders("append", on_error="park")
    backend = Asked(Memory())
    shop = shop_of(backend)
    shop.open(orders)
    shop.place(*"12345")
    assert not shop.catch_up(time_budget=0).complete
    assert len(shop.pending(orders)) == 4
    backend.calls.clear()
    assert shop.catch_up().complete
    assert backend.calls["views.items"] == 2, "two pages of two"
    assert sorted(each.event.order for each in shop.events(Booked)) == list("12345")
    assert shop.status(orders).pending == 0


def test_what_cannot_be_carried_out_now_is_tried_once_in_a_catch_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reacting, "AT_ONCE", 2)
    orders = Orders("send")
    shop = shop_of(Memory())
    shop.open(orders)
    shop.place(*"12345")
    tried: list[int] = []

    def fail(batch: Sequence[Message]) -> Exception:
        tried.append(len(batch))
        return Unavailable("not now")

    shop.carrier.fail = fail
    for _ in range(2):
        tried.clear()
        with pytest.raises(Unavailable, match="not now"):
            shop.catch_up()
        assert tried == [2, 2, 1]
        assert len(shop.pending(orders)) == 5
    shop.carrier.fail = lambda _: None
    assert shop.catch_up().complete
    assert len(shop.carrier.sent) == 5


def test_a_command_carries_its_metadata_and_its_tags_along() -> None:
    registry = Registry()
    registry.event("placed")(Placed)
    registry.event("shipped")(Shipped)
    parcels = registry.aggregate("parcel", Shipped)
    parcels.on(Shipped)(lambda _, event: event)
    desk = registry.reactor("desk")

    @parcels.decide(Ask)
    def asked_for(state: Shipped | None, command: Ask) -> Shipped:
        return Shipped(command.order)

    @desk.on(Placed)
    def placed(event: Placed) -> Execute:
        return Execute(parcels, f"parcel-{event.order}", Ask(event.order), metadata={"by": "desk"}, tags=("parcels",))

    app = connect(Memory(), registry)
    app.event_store.append("order-1", Placed("1"))
    assert app.projector.catch_up().complete
    (shipped,) = app.event_store.read_stream("parcel-1")
    assert (dict(shipped.metadata), shipped.tags) == ({"by": "desk"}, ("parcels",))


def test_the_receipt_of_a_catch_up_tells_what_its_reactions_cost_as_well() -> None:
    till = Till()
    orders = Orders("append", "execute")
    shop = shop_of(till)
    shop.open(orders)
    for order in "12":
        shop.place(order)
        till.calls = 0
        assert shop.catch_up().receipt.requests == till.calls > 8
    shop.place("3")
    till.calls = 0
    caught = shop.catch_up(time_budget=0)
    assert (caught.receipt.requests, caught.complete) == (till.calls, False)


def test_what_was_set_aside_is_not_looked_at_again_by_itself(asked: Asked) -> None:
    orders = Orders("execute", on_error="park")
    orders.out_of_stock = {"1"}
    shop = shop_of(asked)
    shop.open(orders)
    shop.place("1")
    assert shop.catch_up().complete
    asked.calls.clear()
    assert shop.catch_up().complete
    assert asked.calls == {"views.pull": 1}


def test_what_was_left_over_is_carried_out_without_a_look_for_what_failed(asked: Asked) -> None:
    orders = Orders("send")
    shop = shop_of(asked)
    shop.open(orders)
    shop.carrier.fail = lambda _: Unavailable("not now")
    shop.place("1")
    with pytest.raises(Unavailable):
        shop.catch_up()
    shop.carrier.fail = lambda _: None
    asked.calls.clear()
    assert shop.catch_up().complete
    assert asked.calls == {"views.pull": 2, "views.items": 1, "views.commit": 1}


def test_what_cannot_be_carried_out_now_is_not_tried_with_what_a_later_page_puts_behind_it() -> None:
    orders = Orders("send", key="amount")  # one key for all
    shop = shop_of(Memory())
    shop.open(orders)
    shop.place("1", "2", "3")
    tried: list[int] = []

    def fail(batch: Sequence[Message]) -> Exception:
        tried.append(len(batch))
        return Unavailable("not now")

    shop.carrier.fail = fail
    with pytest.raises(Unavailable, match="not now"):
        shop.catch_up(page_size=1)
    assert tried == [1]
    assert len(shop.pending(orders)) == 3


def test_what_comes_first_under_each_key_is_handed_over_together(asked: Asked) -> None:
    orders = Orders("send", "append", "send")
    shop = shop_of(asked)
    shop.open(orders)
    shop.place("1", "2", "3")
    shop.catch_up()
    assert shop.carrier.batches == [3, 3]


def test_a_message_that_is_passed_over_is_no_reason_to_look_again(asked: Asked) -> None:
    orders = Orders("send", "send", on_error="skip")
    shop = shop_of(asked)
    shop.open(orders)
    shop.carrier.fail = lambda _: ArithmeticError("no such address")
    shop.place("1", "2")
    assert shop.catch_up().complete
    assert (asked.calls["views.commit"], asked.calls["views.progress"]) == (2, 0)
    assert shop.status(orders).skipped == 4


def test_where_nothing_could_be_carried_out_nothing_is_written_of_it(asked: Asked) -> None:
    orders = Orders("send")
    shop = shop_of(asked)
    shop.open(orders)
    shop.carrier.fail = lambda _: Unavailable("not now")
    shop.place("1", "2")
    for commits in (1, 0):  # what was decided
        asked.calls.clear()
        with pytest.raises(Unavailable):
            shop.catch_up()
        assert asked.calls["views.commit"] == commits


def test_what_is_appended_is_no_reason_to_look_again(asked: Asked) -> None:
    orders = Orders("append", "append")
    shop = shop_of(asked)
    shop.open(orders)
    shop.place("1")
    assert shop.catch_up().complete
    assert len(shop.events(Booked)) == 2
    assert asked.calls["views.progress"] == 0, "the log tells that it was done"
