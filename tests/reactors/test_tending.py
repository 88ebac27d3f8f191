"""What reactors write of their outboxes, and what they tell, when something stops them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import pytest

from eventsource_upstash import (
    App,
    Append,
    Execute,
    Memory,
    MemoryKeys,
    Misuse,
    Personal,
    ReactorStopped,
    Registry,
    Send,
    Unavailable,
    UndecodableDocument,
    connect,
)
from eventsource_upstash._flow import reacting
from eventsource_upstash._flow.outboxes import FAILED
from eventsource_upstash._io.blocking import PORT, run
from eventsource_upstash.domain.events import Receipt
from eventsource_upstash.domain.progress import ProjectionId
from eventsource_upstash.ports import (
    Backend,
    Commit,
    Committed,
    Listed,
    Message,
    Pull,
    Pulled,
    Stored,
    Views,
    Wanted,
)
from eventsource_upstash.testing import BackendWrapper, ViewsWrapper
from eventsource_upstash.testing.colours import Colour, Face
from tests.reactors.shops import Shop
from tests.reactors.support import Booked, Orders, Parcel, Placed, Ship, Shipped
from tests.reactors.test_hazards import Asked, Killing, doors


class Kept(BackendWrapper):
    """Keeps every commit that is tried, with the page that is asked for with it.

    Attributes:
        tried: The commits.
        pulls: The pages, those that are asked for alone as well.
    """

    def __init__(self, inner: Backend | None = None) -> None:
        super().__init__(inner or Memory())
        self.tried: list[Commit] = []
        self.pulls: list[Pull] = []

    def wrap_views(self, views: Views) -> Views:
        return Keeping(views, self)


class Keeping(ViewsWrapper):
    def __init__(self, inner: Views, kept: Kept) -> None:
        super().__init__(inner, kept.around)
        self._kept = kept

    async def pull(self, pull: Pull) -> Pulled:
        self._kept.pulls.append(pull)
        return await super().pull(pull)

    async def commit(self, commits: Sequence[Commit], then: Pull | None) -> Committed:
        self._kept.tried += commits
        if then is not None:
            self._kept.pulls.append(then)
        return await super().commit(commits, then)


def shop_of(backend: Backend) -> Shop:
    return Shop(Colour.BLOCKING, backend)


@pytest.mark.parametrize(
    ("on_error", "becomes"),
    [("stop", "kept: the reactor is stopped"), ("park", "set aside"), ("skip", "passed over")],
)
def test_what_cannot_be_carried_out_is_logged_with_its_place(
    on_error: str, becomes: str, caplog: pytest.LogCaptureFixture
) -> None:
    orders = Orders("execute", on_error=on_error)
    orders.out_of_stock = {"2"}
    shop = shop_of(Memory())
    shop.open(orders)
    shop.place("1", "2")
    try:
        shop.catch_up()
    except ReactorStopped:
        assert on_error == "stop"
    (said,) = [each.getMessage() for each in caplog.records if each.levelname == "WARNING"]
    told = f"execute desk-{orders.decided[1]}-0: NoStock: 2 is out of stock"
    wanted = f"reactor 'desk': the reaction to the event at position 2 cannot be carried out, and is {becomes}: "
    assert said.startswith(wanted)
    assert said[len(wanted) :].replace("handler shipping: ", "") == told


def test_what_stays_in_an_outbox_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    orders = Orders("send")
    shop = shop_of(Memory())
    shop.open(orders)
    shop.carrier.fail = lambda _: Unavailable("no network")
    shop.place("1")
    with pytest.raises(Unavailable):
        shop.catch_up()
    assert caplog.messages == ["reactor 'desk': a reaction stays in the outbox, the next catch-up tries it: no network"]


def test_what_takes_out_of_an_outbox_what_was_done_writes_nothing_else() -> None:
    backend = Kept()
    shop = shop_of(backend)
    shop.open(Orders("send"))
    shop.place("1")
    shop.catch_up()
    decided, done = backend.tried
    assert (list(decided.documents), list(done.documents)) == (["order-1"], ["order-1"])
    assert (done.documents["order-1"], done.records, done.entries) == (None, {}, {})
    assert (decided.notes.pending, done.notes.pending) == (1, 0)


def test_what_is_done_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    orders = Orders("append", "execute", "send")
    shop = shop_of(Memory())
    shop.open(orders)
    shop.place("1")
    with caplog.at_level("INFO", logger="eventsource_upstash.reactor"):
        shop.catch_up()
    (id_,) = orders.decided
    assert [each.getMessage() for each in caplog.records if each.name == "eventsource_upstash.reactor"] == [
        f"reactor 'desk': {kind} desk-{id_}-{number} is done"
        for number, kind in enumerate(["append", "execute", "send"])
    ]


def test_why_a_message_was_refused_is_told_in_the_words_of_who_carries_it() -> None:
    orders = Orders("send", on_error="park")
    shop = shop_of(Memory())
    shop.open(orders)
    shop.carrier.fail = lambda _: ArithmeticError("no such address")
    shop.place("1")
    assert shop.catch_up().complete
    (pending,) = shop.pending(orders)
    assert pending.error == f"send {pending.id}: ArithmeticError: no such address"


def test_one_message_that_nobody_here_can_send_keeps_none_of_the_others() -> None:
    orders = Orders("append")
    sends = orders.registry.reactor("sends")
    sends.on(Placed)(lambda event: Send("/mail" if event.order == "1" else "https://example.com/hook", event.order))
    shop = shop_of(Memory())
    shop.open(orders)
    shop.place("1", "2")

    def nowhere(batch: Sequence[Message]) -> Exception | None:
        return Misuse("where are the jobs?") if any(each.destination == "/mail" for each in batch) else None

    shop.carrier.fail = nowhere
    with pytest.raises(Misuse, match=r"where are the jobs\?"):
        shop.catch_up()
    assert [each.destination for each in shop.carrier.sent] == ["https://example.com/hook"]
    (left,) = cast("App", shop.face.app).reactions.pending(sends)
    assert (left.target, left.error) == ("/mail", "")


class Damaged(BackendWrapper):
    """Its documents are not what they were."""

    def wrap_views(self, views: Views) -> Views:
        return Damaging(views)


class Damaging(ViewsWrapper):
    async def load(self, wanted: Sequence[Wanted]) -> tuple[list[Stored], Receipt]:
        found, cost = await super().load(wanted)
        return [each._replace(documents=dict.fromkeys(each.documents, b"{")) for each in found], cost

    async def items(self, source: ProjectionId, after: str | None, limit: int, max_bytes: int, now_us: int) -> Listed:
        listed = await super().items(source, after, limit, max_bytes, now_us)
        return listed._replace(documents=[(key, b"{") for key, _ in listed.documents])


def test_what_is_damaged_in_an_outbox_is_told_by_its_key() -> None:
    orders = Orders("send")
    inner = Memory()
    shop = shop_of(inner)
    shop.open(orders)
    shop.carrier.fail = lambda _: Unavailable("not now")
    shop.place("1")
    with pytest.raises(Unavailable):
        shop.catch_up()
    shop.backend = Damaged(inner)
    shop.open(orders)
    with pytest.raises(UndecodableDocument, match="'order-1'"):
        shop.catch_up()
    with pytest.raises(UndecodableDocument, match="'order-1'"):
        shop.discard(orders, key="order-1")


def test_one_reaction_that_goes_well_by_now_lets_a_stopped_reactor_go_on() -> None:
    orders = Orders("execute")
    orders.out_of_stock = {"1"}
    shop = shop_of(Memory())
    shop.open(orders)
    shop.place("1", "2")
    with pytest.raises(ReactorStopped):
        shop.catch_up()
    orders.out_of_stock = set()
    assert shop.catch_up().complete
    assert [each.event.order for each in shop.events(Shipped)] == ["1", "2"]
    status = shop.status(orders)
    assert (status.state, status.pending, status.failed) == ("current", 0, 0)


def test_a_stopped_reactor_stays_where_it_is_while_nothing_can_be_tried_again() -> None:
    orders = Orders("execute")
    orders.out_of_stock = {"1"}
    backend = Killing(Memory())
    shop = shop_of(backend)
    shop.open(orders)
    shop.place("1", "2")
    with pytest.raises(ReactorStopped):
        shop.catch_up()
    orders.out_of_stock = set()
    failing = True

    async def away(call: str, count: int) -> None:
        nonlocal failing
        if call == "log.read_stream" and failing:
            failing = False
            raise Unavailable("no network")

    backend.before = away
    with pytest.raises(Unavailable):
        shop.catch_up()
    assert not failing
    assert shop.events(Shipped) == [], "what comes behind it waits"
    assert shop.catch_up().complete
    assert [each.event.order for each in shop.events(Shipped)] == ["1", "2"]


def test_every_commit_tells_how_far_the_log_is() -> None:
    registry, porter = doors("stop", refuses=True)
    backend = Kept()
    app = connect(backend, registry)
    app.event_store.append("hall", Asked("close open"))
    with pytest.raises(ReactorStopped):
        app.projector.catch_up()
    by_hand = connect(backend, doors("stop")[0])  # by now to close what is closed is nothing
    (there,) = by_hand.registry.reactors
    for again in (lambda: by_hand.reactions.retry(there), by_hand.projector.catch_up):
        again()
    assert by_hand.projector.catch_up().complete
    assert {each.head for each in backend.tried} <= {1, 2}
    assert list(app.reactions.pending(porter)) == []


@pytest.mark.parametrize("before", ["nothing", "left over", "stopped", "set aside"])
def test_what_is_noted_between_two_commands_tells_it_too(before: str) -> None:
    inner = Memory()
    connect(inner, doors()[0]).event_store.append("hall", Asked("close open"))
    if before == "left over":
        killing = Killing(inner)

        async def away(call: str, count: int) -> None:
            if call == "log.read_stream":
                raise Unavailable("no network")

        killing.before = away
        with pytest.raises(Unavailable):
            connect(killing, doors()[0]).projector.catch_up()
    elif before == "stopped":
        with pytest.raises(ReactorStopped):
            connect(inner, doors("stop", refuses=True)[0]).projector.catch_up()
    elif before == "set aside":
        connect(inner, doors("park", refuses=True)[0]).projector.catch_up()
    backend = Kept(inner)
    assert connect(backend, doors()[0]).projector.catch_up().complete
    assert {each.head for each in backend.tried} == {1, 2}
    assert len(backend.tried) >= 3, "what was done, in between and in the end; and the page of what it led to"


def test_a_stop_that_a_catch_up_undoes_leaves_nothing_behind() -> None:
    backend = Kept()
    registry, _ = doors("stop", refuses=True)
    connect(backend, registry).event_store.append("hall", Asked("close open"))
    with pytest.raises(ReactorStopped):
        connect(backend, registry).projector.catch_up()
    mended, porter = doors("stop")
    outbox = porter.outbox.id

    def failed() -> bytes | None:
        views = backend.views(PORT, backend.log(PORT))
        (stored,), _ = run(views.load([Wanted(outbox, 1, (), (FAILED,))]))
        return stored.records.get(FAILED)

    assert failed() == b"door"
    assert connect(backend, mended).projector.catch_up().complete
    assert failed() is None
    assert {each.head for each in backend.tried} <= {1, 2}


def test_giving_up_tells_how_far_the_log_is() -> None:
    backend = Kept()
    registry, porter = doors("stop", refuses=True)
    app = connect(backend, registry)
    app.event_store.append("hall", Asked("close open"))
    with pytest.raises(ReactorStopped):
        app.projector.catch_up()
    backend.tried.clear()
    assert app.reactions.discard(porter).done == 1
    assert [each.head for each in backend.tried] == [1]


def test_others_that_see_to_what_failed_let_the_reactor_go_on_at_once() -> None:
    orders = Orders("execute")
    orders.out_of_stock = {"1"}
    inner = Memory()
    slow = Killing(inner)
    shop = shop_of(inner)
    shop.open(orders)
    shop.place("1", "2")

    async def done_meanwhile(call: str, count: int) -> None:
        if call == "views.commit" and count == 2:  # where it is noted that it has failed
            orders.out_of_stock = set()
            await shop.face.catch_up(until=1)

    slow.before = done_meanwhile
    face = Face(shop.colour, slow, orders.registry, shop.carrier)
    assert shop.run(face.catch_up(page_size=1)).complete
    assert [each.event.order for each in shop.events(Shipped)] == ["1", "2"]
    assert shop.status(orders).pending == 0


def test_who_is_overtaken_each_time_says_whose_outbox_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reacting, "TRIES", 1)
    orders = Orders("append")
    inner = Memory()
    slow = Killing(inner)
    shop = shop_of(inner)
    shop.open(orders)
    shop.place("1")

    async def moved(call: str, count: int) -> None:
        if call == "views.commit" and count == 2:
            shop.place("2")
            await shop.face.catch_up()

    slow.before = moved
    with pytest.raises(Unavailable, match=r"^reactor 'desk': others moved its outbox each of 1 times"):
        shop.run(Face(shop.colour, slow, orders.registry, shop.carrier).catch_up())
    assert shop.catch_up().complete
    assert len(shop.events(Placed)) == 2


def test_who_is_overtaken_by_two_reactors_names_both(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reacting, "TRIES", 1)
    orders = Orders("append")
    other = orders.registry.reactor("other")
    other.on(Placed)(lambda event: Append(f"other-{event.order}", Booked(event.order, 1)))
    inner = Memory()
    slow = Killing(inner)
    shop = shop_of(inner)
    shop.open(orders)
    shop.place("1")

    async def moved(call: str, count: int) -> None:
        if call == "views.commit" and count == 2:
            await shop.face.catch_up()

    slow.before = moved
    with pytest.raises(Unavailable, match=r"^reactor 'desk', 'other': "):
        shop.run(Face(shop.colour, slow, orders.registry, shop.carrier).catch_up())


def test_who_is_overtaken_once_takes_out_what_was_done_all_the_same() -> None:
    orders = Orders("send")
    inner = Memory()
    slow = Killing(inner)
    shop = shop_of(inner)
    shop.open(orders)
    shop.place("1")

    async def moved(call: str, count: int) -> None:
        if call == "views.commit" and count == 2:
            shop.place("2")
            shop.carrier.fail = lambda _: Unavailable("not now")
            with pytest.raises(Unavailable):
                await shop.face.catch_up()

    slow.before = moved
    shop.run(Face(shop.colour, slow, orders.registry, shop.carrier).catch_up(until=1))
    assert [each.key for each in shop.pending(orders)] == ["order-2"]
    assert shop.status(orders).pending == 1


def test_where_the_time_is_out_only_one_more_event_is_asked_for() -> None:
    backend = Kept()
    orders = Orders("append")
    shop = shop_of(backend)
    shop.open(orders)
    shop.place(*"abcdef")
    caught = shop.catch_up(time_budget=0, page_size=2)
    assert (caught.position, caught.complete) == (2, False)
    assert [each.limit for each in backend.pulls] == [2, 1]


def test_a_catch_up_whose_time_runs_out_over_its_reactions_folds_no_further_page(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Time:
        @staticmethod
        def monotonic() -> float:
            return float("inf")

    backend = Kept()
    shop = shop_of(backend)
    shop.open(Orders("append"))
    shop.place(*"abcdef")
    monkeypatch.setattr(reacting, "time", Time)
    caught = shop.catch_up(time_budget=1_000, page_size=2)
    assert (caught.position, caught.complete) == (2, False)
    assert [each.limit for each in backend.pulls] == [2, 1]
    assert len(shop.events(Booked)) == 1, "a part is carried out all the same"


def test_who_stops_from_now_on_is_stopped_at_what_was_set_aside() -> None:
    parks = Orders("execute", on_error="park")
    parks.out_of_stock = {"1"}
    shop = shop_of(Memory())
    shop.open(parks)
    shop.place("1")
    assert shop.catch_up().complete
    assert (shop.status(parks).state, shop.status(parks).failed) == ("behind", 1)
    stops = Orders("execute")
    shop.open(stops)
    assert shop.status(stops).state == "stopped"


@dataclass(frozen=True)
class Moved:
    who: str
    address: Personal[str]


def test_the_words_of_what_follows_from_personal_data_are_not_kept_either() -> None:
    registry = Registry()
    registry.event("moved", subject="who")(Moved)
    registry.event("shipped")(Shipped)
    parcels = registry.aggregate("parcel", Parcel)  # which holds nothing of it
    parcels.on(Shipped)(lambda _, __: Parcel())

    @parcels.decide(Ship)
    def ship(state: Parcel | None, command: Ship) -> None:
        raise ArithmeticError("to a street")

    reactor = registry.reactor("mover", on_error="park")
    reactor.on(Moved)(lambda _: Execute(parcels, "parcel-1", Ship("1")))
    app = connect("memory:", registry, keys=MemoryKeys())
    app.event_store.append("a", Moved("1", "a street"))
    assert app.projector.catch_up().complete
    (pending,) = app.reactions.pending(reactor)
    assert pending.error.endswith(": ArithmeticError")
    assert callable(ship)
