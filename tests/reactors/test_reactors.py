"""What reactors decide, and that it is carried out: in both colours, in memory and on SQLite."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from time import time_ns
from typing import Any

import pytest

from eventsource_upstash import (
    Append,
    Execute,
    Memory,
    Misuse,
    ProjectionStopped,
    Query,
    ReactorStopped,
    Refused,
    Registry,
    Unavailable,
    connect,
)
from eventsource_upstash._flow.carrying import carrier
from eventsource_upstash._io.blocking import PORT, run
from eventsource_upstash._io.port import Port
from eventsource_upstash.ports import Mailbox, Message
from eventsource_upstash.testing import BackendWrapper
from eventsource_upstash.testing.colours import Face, settled
from tests.reactors.shops import Shop
from tests.reactors.support import Booked, Carrier, Orders, Parcel, Placed, Ship, Shipped


def test_what_is_decided_is_carried_out_in_the_same_catch_up(shop: Shop) -> None:
    orders = Orders()
    shop.open(orders)
    shop.place("1", "2")
    caught = shop.catch_up()
    assert caught.complete
    assert caught.position == caught.head == 6, "the events that reactors append are folded as well"
    assert [each.event for each in shop.events(Booked)] == [Booked("1", 1), Booked("2", 1)]
    assert [dict(each.metadata) for each in shop.events(Booked)] == [{"by": "desk"}] * 2
    assert [each.event for each in shop.events(Shipped)] == [Shipped("1"), Shipped("2")]
    assert [each.body for each in shop.carrier.sent] == [b'{"order":"1"}', b'{"order":"2"}']
    first = orders.decided[0]
    assert shop.carrier.ids[0] == f"desk-{first}-2"
    assert shop.carrier.batches == [2], "messages are handed over together"
    assert len(orders.decided) == 2
    status = shop.status(orders)
    assert (status.state, status.pending, status.failed) == ("current", 0, 0)
    shop.catch_up()
    assert len(shop.carrier.sent) == 2


def test_what_cannot_be_carried_out_now_stays_and_everything_else_goes_on(shop: Shop) -> None:
    orders = Orders("send", "append")
    shop.open(orders)
    shop.carrier.fail = lambda batch: Unavailable("no network") if b'"1"' in batch[0].body else None
    shop.place("1")
    with pytest.raises(Unavailable, match="no network"):
        shop.catch_up()
    assert shop.events(Booked) == [], "what comes after it under its key waits"
    pending = shop.pending(orders)
    assert [(each.key, each.kind, each.target, each.position) for each in pending] == [
        ("order-1", "send", "/mail", 1),
        ("order-1", "append", "book-1", 1),
    ]
    assert shop.status(orders).state == "behind"
    shop.place("2")
    with pytest.raises(Unavailable):
        shop.catch_up()
    assert [each.event.order for each in shop.events(Booked)] == ["2"]
    shop.carrier.fail = lambda _: None
    assert shop.catch_up().complete
    assert [each.event.order for each in shop.events(Booked)] == ["2", "1"]
    assert shop.pending(orders) == []
    assert len(orders.decided) == len(set(orders.decided)) == 2, "nothing is decided twice"


@pytest.mark.parametrize("on_error", ["stop", "park", "skip"])
def test_what_can_never_be_carried_out(shop: Shop, on_error: Any) -> None:
    orders = Orders("execute", "append", on_error=on_error)
    orders.out_of_stock = {"1"}
    shop.open(orders)
    shop.place("1", "2")
    if on_error == "stop":
        for _ in range(2):
            with pytest.raises(ReactorStopped, match=r"(?s)'desk'.*position 1.*NoStock: 1 is out of stock") as raised:
                shop.catch_up()
            assert isinstance(raised.value, ProjectionStopped)
        assert shop.events(Booked) == [], "the reactor stays there"
        assert (shop.status(orders).state, shop.status(orders).stopped.position) == ("stopped", 1)
        assert len(shop.pending(orders)) == 4
    else:
        assert shop.catch_up().complete
        assert sorted(each.event.order for each in shop.events(Booked)) == (["2"] if on_error == "park" else ["1", "2"])
    status = shop.status(orders)
    if on_error == "skip":
        assert (status.skipped, status.pending, status.failed) == (1, 0, 0)
        (skipped,) = shop.run(settled(shop.face.app.projector.skipped(orders.reactor.outbox)))
        assert (skipped.position, skipped.key) == (1, "order-1")
        assert "NoStock" in skipped.error
        return
    assert status.failed == 1
    assert "NoStock" in shop.pending(orders)[0].error
    again = shop.retry(orders)
    assert (again.done, again.left, again.failed) == (0, 1, ("order-1",))
    assert shop.pending(orders)[0].attempts == (2 if on_error == "park" else 1)
    shop.place("1")
    if on_error == "park":
        assert shop.catch_up().complete
        assert len(shop.pending(orders)) == 4, "what comes after it under its key waits behind it"
    orders.out_of_stock = set()
    if on_error == "park":
        again = shop.retry(orders, key="order-1")
        assert (again.done, again.left, again.failed) == (4, 0, ())
    else:
        shop.catch_up()
    assert sorted(each.event.order for each in shop.events(Booked)) == ["1", "1", "2"]
    status = shop.status(orders)
    assert (status.pending, status.failed, status.stopped) == (0, 0, None)


def test_what_is_given_up_is_never_done(shop: Shop) -> None:
    orders = Orders("execute", "append")
    orders.out_of_stock = {"1"}
    shop.open(orders)
    shop.place("1")
    with pytest.raises(ReactorStopped):
        shop.catch_up()
    assert shop.discard(orders).done == 1
    orders.out_of_stock = set()
    assert shop.catch_up().complete
    assert shop.events(Shipped) == []
    assert len(shop.events(Booked)) == 1, "what came after it goes on"
    assert (shop.status(orders).failed, shop.status(orders).state) == (0, "current")


def test_events_whose_handler_fails_are_set_aside_and_decided_anew(shop: Shop) -> None:
    orders = Orders("send", on_error="park")
    orders.broken = {"1"}
    shop.open(orders)
    shop.place("1", "2")
    assert shop.catch_up().complete
    assert len(shop.carrier.sent) == 1
    assert shop.status(orders).parked == 1
    orders.broken = set()
    assert shop.retry(orders).done == 1
    assert shop.status(orders).pending == 1
    assert shop.catch_up().complete
    assert len(shop.carrier.sent) == 2
    assert shop.status(orders).pending == 0


def test_a_batch_that_is_refused_is_sent_one_by_one(shop: Shop) -> None:
    orders = Orders("send", on_error="park")
    shop.open(orders)
    shop.carrier.fail = lambda batch: Refused("too big") if any(b'"2"' in each.body for each in batch) else None
    shop.place("1", "2", "3")
    assert shop.catch_up().complete
    assert [each.body for each in shop.carrier.sent] == [b'{"order":"1"}', b'{"order":"3"}']
    assert [each.key for each in shop.pending(orders)] == ["order-2"]


def test_history_is_not_reacted_to(shop: Shop) -> None:
    before = Orders("send")
    shop.open(before)
    shop.place("1")
    recorded = shop.events(Placed)[0].recorded_at
    late = Orders("send", since=recorded + timedelta(microseconds=1))
    shop.open(late)
    shop.place("2")
    shop.catch_up()
    assert [each.body for each in shop.carrier.sent] == [b'{"order":"2"}']


def test_a_page_at_a_time_and_one_batch_at_least(shop: Shop) -> None:
    orders = Orders("append")
    shop.open(orders)
    shop.place(*"abcdef")
    for _ in range(40):
        if shop.catch_up(time_budget=0, page_size=2).complete:
            break
    else:
        raise AssertionError("never complete")
    assert sorted(each.event.order for each in shop.events(Booked)) == list("abcdef")
    assert shop.status(orders).pending == 0


def test_keys_keep_reactions_in_order(shop: Shop) -> None:
    orders = Orders("append", "execute", key="order")
    shop.open(orders)
    for stream in ("a", "b", "c"):
        shop.run(shop.face.append(stream, Placed("1", ord(stream))))
    shop.catch_up()
    assert [each.event.amount for each in shop.events(Booked)] == [97, 98, 99]


def test_reads_bring_up_only_their_own_view(shop: Shop) -> None:
    orders = Orders("send")
    seen = orders.registry.projection("seen", Booked)
    seen.on(Placed, key="order")(lambda _, event: Booked(event.order, 1))
    shop.open(orders)
    shop.place("1")
    assert shop.run(shop.face.get(seen, "1", at_least=1)) == Booked("1", 1)
    assert shop.carrier.sent == []
    assert orders.decided == []
    assert [each.name for each in shop.run(shop.face.status())] == ["seen"], "an outbox is no view of the user's"
    shop.catch_up()
    assert len(shop.carrier.sent) == 1


def test_an_outbox_is_not_built_anew(shop: Shop) -> None:
    orders = Orders()
    shop.open(orders)
    with pytest.raises(Misuse, match="never built anew"):
        shop.run(settled(shop.face.app.projector.rebuild(orders.reactor.outbox)))


def test_messages_wait_in_the_mailbox_where_nobody_outside_carries_them(shop: Shop) -> None:
    orders = Orders("send")
    app = Face(shop.colour, shop.backend, orders.registry).app
    jobs: list[str] = []
    app.job("/mail")(lambda job: jobs.append(job.id))

    async def work() -> None:
        await settled(app.event_store.append("order-1", Placed("1")))
        await settled(app.projector.catch_up())
        await settled(app.messages.deliver_due())

    shop.run(work())
    assert jobs == [f"desk-{orders.decided[0]}-0"]


def test_delays_count_from_the_event(shop: Shop) -> None:
    from eventsource_upstash import Recorded, Send

    orders = Orders("append")
    later = orders.registry.reactor("later")

    @later.on_recorded(Booked)
    def remind(recorded: Recorded[Booked]) -> list[Send]:
        moment = datetime(2030, 1, 1, tzinfo=timezone.utc)
        return [
            Send("/a", "text", delay=timedelta(hours=24), retries=0),
            Send("https://b.example", b"x", not_before=moment),
        ]

    shop.open(orders)
    shop.place("1")
    shop.catch_up()
    first, second = shop.carrier.sent
    assert first.not_before_us == shop.events(Booked)[0].recorded_us + 24 * 3600 * 1_000_000
    assert (first.retries, first.body, first.headers) == (0, b"text", {"content-type": "text/plain; charset=utf-8"})
    assert (second.destination, second.body, second.not_before_us) == ("https://b.example", b"x", 1893456000_000_000)
    assert callable(remind)


def test_what_is_asked_of_one_key_is_done_to_that_key_alone(shop: Shop) -> None:
    orders = Orders("execute", on_error="park")
    orders.out_of_stock = {"1", "2", "3"}
    orders.broken = {"4", "5"}
    shop.open(orders)
    shop.place("1", "2", "3", "4", "5")
    shop.catch_up()
    orders.out_of_stock = set()
    orders.broken = set()
    again = shop.retry(orders, key="order-2")
    assert (again.done, again.left, again.failed) == (1, 4, ())
    assert [each.event.order for each in shop.events(Shipped)] == ["2"]
    assert (shop.discard(orders, key="order-4").done, shop.discard(orders, key="order-1").done) == (1, 1)
    assert shop.retry(orders, key="order-5").done == 1
    assert shop.retry(orders).left == 0
    assert shop.catch_up().complete
    assert {each.event.order for each in shop.events(Shipped)} == {"2", "3", "5"}


@pytest.mark.parametrize("tags", [(), ("vip",)])
def test_each_event_that_is_appended_has_its_own_tags(shop: Shop, tags: tuple[str, ...]) -> None:
    registry = Registry()
    registry.event("placed")(Placed)
    registry.event("booked", tags=lambda event: [f"amount-{event.amount}"])(Booked)
    registry.event("shipped")(Shipped)
    reactor = registry.reactor("desk")

    @reactor.on(Placed)
    def placed(event: Placed) -> list[Append]:
        return [
            Append("mixed", Booked("1", 1), Shipped("1"), Booked("1", 2), tags=tags),
            Append("alike", Booked("2", 3), Booked("2", 3), tags=tags),
            Append("plain", Shipped("2"), tags=tags),
        ]

    shop.face = Face(shop.colour, shop.backend, registry, shop.carrier)
    shop.place("1")
    assert shop.catch_up().complete

    def tagged(*wanted: str) -> list[object]:
        return [each.event for each in shop.run(shop.face.read(query=Query.of(tags=list(wanted))))]

    assert tagged("amount-1") == [Booked("1", 1)]
    assert tagged("amount-2") == [Booked("1", 2)]
    assert tagged("amount-3") == [Booked("2", 3), Booked("2", 3)]
    if tags:
        assert len(tagged("vip")) == 6
        assert tagged("vip", "amount-2") == [Booked("1", 2)]


def test_what_a_command_decides_carries_what_goes_with_the_command() -> None:
    orders = Orders("append")
    parcel, reactor = orders.parcel, orders.registry.reactor("clerk")

    @reactor.on(Placed)
    def placed(event: Placed) -> Execute[Parcel]:
        return Execute(parcel, f"parcel-{event.order}", Ship(event.order), metadata={"by": "clerk"})

    app = connect("memory:", orders.registry)
    app.event_store.append("order-1", Placed("1", 5))
    app.projector.catch_up()
    (shipped,) = app.event_store.read_stream("parcel-1")
    assert dict(shipped.metadata) == {"by": "clerk"}


def test_a_command_whose_stream_others_write_each_time_stays_and_is_told_by_the_stream() -> None:
    registry, quicker = Registry(), [True]
    registry.event("placed")(Placed)
    registry.event("shipped")(Shipped)
    parcel, reactor = registry.aggregate("parcel", Parcel), registry.reactor("clerk")
    app = connect("memory:", registry)

    @parcel.on(Shipped)
    def shipped(state: Parcel | None, event: Shipped) -> Parcel:
        return Parcel((state.shipped if state else 0) + 1)

    @parcel.decide(Ship)
    def shipping(state: Parcel | None, command: Ship) -> Shipped:
        if quicker:
            app.event_store.append("parcel-1", Shipped("2"))
        return Shipped(command.order)

    @reactor.on(Placed)
    def placed(event: Placed) -> Execute[Parcel]:
        return Execute(parcel, "parcel-1", Ship(event.order))

    app.event_store.append("order-1", Placed("1", 5))
    with pytest.raises(Unavailable, match="others wrote stream 'parcel-1' each time; try again later"):
        app.projector.catch_up()
    quicker.clear()
    assert app.projector.catch_up().complete
    assert [each.event for each in app.event_store.read_stream("parcel-1")].count(Shipped("1")) == 1


def test_what_carries_messages_waits_as_the_app_does() -> None:
    ports: list[object] = []

    class Transport(Carrier):
        def messages(self, port: Port) -> None:
            ports.append(port)

    class Mailing(BackendWrapper):
        def mailbox(self, port: Port) -> Mailbox | None:
            ports.append(port)
            return super().mailbox(port)

    assert carrier(Mailing(Memory()), Transport(), PORT, time_ns) is not None
    assert ports == [PORT, PORT]


def test_what_carries_messages_within_an_app_goes_by_the_clock_of_the_app() -> None:
    asked: list[None] = []

    def clock() -> int:
        asked.append(None)
        return 10**18

    carries = carrier(Memory(), None, PORT, clock)
    assert carries is not None
    run(carries.publish([Message("1", "/mail")]))
    assert len(asked) == 1
