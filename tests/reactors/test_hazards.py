"""What could make a reactor decide twice, act out of order, or lose a reaction: each as small as it gets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import pytest

from eventsource_upstash import (
    ANY,
    EXISTS,
    NO_STREAM,
    Append,
    Execute,
    LogRewound,
    Memory,
    MemoryKeys,
    Misuse,
    Personal,
    Reaction,
    Recorded,
    RegistrationError,
    Registry,
    Send,
    Unavailable,
    UnknownEventType,
    connect,
)
from eventsource_upstash.domain.folding import OnError
from eventsource_upstash.domain.outgoing import Encoding, Outgoing, decode_command
from eventsource_upstash.domain.sending import MAX_MESSAGE_BYTES
from eventsource_upstash.errors import ProjectionStopped
from eventsource_upstash.ports import Backend
from eventsource_upstash.testing import BackendWrapper
from eventsource_upstash.testing.colours import Colour, Face, settled
from tests.conformance.separate import SeparateViews
from tests.reactors.shops import Shop
from tests.reactors.support import Booked, Carrier, Orders, Parcel, Placed, Ship, Shipped

T = TypeVar("T")


class Killed(BaseException):
    """The process ends here."""


class Killing(BackendWrapper):
    """Something happens before or after the n-th call of a name.

    Attributes:
        before: Called with the name of each call before it is done, and with how often it was called by then.
    """

    before: Callable[[str, int], Awaitable[None]] | None = None

    def __init__(self, backend: Backend) -> None:
        super().__init__(backend)
        self.counts: Counter[str] = Counter()

    async def around(self, call: str, step: Callable[[], Awaitable[T]]) -> T:
        self.counts[call] += 1
        if self.before is not None:
            await self.before(call, self.counts[call])
        return await step()


@dataclass(frozen=True)
class Asked:
    what: str


@dataclass(frozen=True)
class Opened: ...


@dataclass(frozen=True)
class Closed: ...


@dataclass(frozen=True)
class Door:
    open: bool = False


@dataclass(frozen=True)
class Turn:
    to: str


def doors(on_error: OnError = "stop", *, refuses: bool = False) -> tuple[Registry, Any]:
    """A door that is asked to be opened and closed by a reactor. To close one that is closed is nothing, or refused."""
    registry = Registry()
    registry.event("asked")(Asked)
    registry.event("opened")(Opened)
    registry.event("closed")(Closed)
    door = registry.aggregate("door", Door)
    door.on(Opened)(lambda _, __: Door(True))
    door.on(Closed)(lambda _, __: Door(False))

    @door.decide(Turn)
    def turn(state: Door | None, command: Turn) -> list[object]:
        is_open = state is not None and state.open
        if refuses and not is_open and command.to == "close":
            raise ArithmeticError("it is closed")
        return [] if is_open == (command.to == "open") else [Opened() if command.to == "open" else Closed()]

    porter = registry.reactor("porter", on_error=on_error)

    @porter.on(Asked, key=lambda _: "door")
    def asked(event: Asked) -> list[Reaction]:
        return [Execute(door, "door", Turn(each)) for each in event.what.split()]

    assert callable(turn)
    assert callable(asked)
    return registry, porter


def types(face: Face) -> list[str]:
    return [each.type for each in Colour.BLOCKING.run(face.read()) if each.type != "asked"]


@pytest.mark.parametrize("refuses", [False, True], ids=["decides nothing", "refuses and is skipped"])
def test_a_command_without_effect_is_not_decided_again_after_what_comes_behind_it(*, refuses: bool) -> None:
    registry, _ = doors("skip" if refuses else "stop", refuses=refuses)
    inner = Memory()
    first = Killing(inner)
    Colour.BLOCKING.run(Face(Colour.BLOCKING, inner, registry).append("hall", Asked("close open")))

    async def dies(call: str, count: int) -> None:
        if call == "views.commit" and first.counts["log.append"]:
            raise Killed

    first.before = dies
    with pytest.raises(Killed):
        Colour.BLOCKING.run(Face(Colour.BLOCKING, first, registry, Carrier()).catch_up())
    face = Face(Colour.BLOCKING, inner, registry, Carrier())
    assert Colour.BLOCKING.run(face.catch_up()).complete
    assert types(face) == ["opened"], "closed was asked for first, when there was nothing to close"


@pytest.mark.parametrize("kind", ["append", "execute"])
def test_what_was_appended_by_a_process_that_died_is_not_appended_again(kind: str) -> None:
    orders = Orders(kind)
    inner = Memory()
    first = Killing(inner)
    shop = Shop(Colour.BLOCKING, inner)
    shop.open(orders)
    shop.place("1")

    async def dies(call: str, count: int) -> None:
        if call == "views.commit" and first.counts["log.append"]:
            raise Killed

    first.before = dies
    with pytest.raises(Killed):
        shop.run(Face(shop.colour, first, orders.registry, shop.carrier).catch_up())
    assert shop.catch_up().complete
    assert len(shop.events(Booked if kind == "append" else Shipped)) == 1


@pytest.mark.parametrize("refuses", [False, True], ids=["decides nothing", "refuses and is skipped"])
def test_who_is_slow_does_not_execute_what_was_done_with_meanwhile(*, refuses: bool) -> None:
    registry, porter = doors("skip" if refuses else "stop", refuses=refuses)
    inner = Memory()
    slow = Killing(inner)
    run = Colour.BLOCKING.run
    run(Face(Colour.BLOCKING, inner, registry).append("hall", Asked("close open")))
    quick = Face(Colour.BLOCKING, inner, registry, Carrier())

    async def overtaken(call: str, count: int) -> None:
        if call == "log.read_stream" and count == 1:
            assert (await quick.catch_up()).complete

    slow.before = overtaken
    face = Face(Colour.BLOCKING, slow, registry, Carrier())
    assert run(face.catch_up()).complete
    assert types(face) == ["opened"]
    status: Any = run(settled(face.app.reactions.status(porter)))
    assert (status.state, status.pending, status.failed, status.skipped) == ("current", 0, 0, int(refuses))


def test_who_is_slow_does_not_execute_the_first_of_several_that_are_partly_done(
    caplog: pytest.LogCaptureFixture,
) -> None:
    registry, _ = doors()
    inner = Memory()
    slow = Killing(inner)
    run = Colour.BLOCKING.run
    run(Face(Colour.BLOCKING, inner, registry).append("hall", Asked("close open open")))
    quick = Face(Colour.BLOCKING, inner, registry, Carrier())

    async def overtaken(call: str, count: int) -> None:
        if call == "log.read_stream" and count == 1:
            for _ in range(2):  # one command each: the last is left
                assert not (await quick.catch_up(time_budget=0)).complete

    slow.before = overtaken
    face = Face(Colour.BLOCKING, slow, registry, Carrier())
    assert run(face.catch_up()).complete
    assert types(face) == ["opened"], "it was opened by then: to close it was asked for when it was closed"
    assert caplog.messages == []


def test_who_is_slow_does_not_send_what_was_sent_meanwhile() -> None:
    registry, porter = doors()
    inner = Memory()
    slow = Killing(inner)

    @dataclass(frozen=True)
    class Told: ...

    registry.event("told")(Told)

    @porter.on(Told, key=lambda _: "door")
    def told(_: Told) -> list[Reaction]:
        door = registry.aggregates[0]
        return [Execute(door, "door", Turn("close")), Execute(door, "door", Turn("open")), Send("/mail", {})]

    run = Colour.BLOCKING.run
    run(Face(Colour.BLOCKING, inner, registry).append("hall", Told()))
    carrier = Carrier()
    quick = Face(Colour.BLOCKING, inner, registry, carrier)

    async def overtaken(call: str, count: int) -> None:
        if call == "log.read_stream" and count == 1:
            assert (await quick.catch_up()).complete

    slow.before = overtaken
    face = Face(Colour.BLOCKING, slow, registry, carrier)
    assert run(face.catch_up()).complete
    assert callable(told)
    assert types(face) == ["told", "opened"]
    assert len(carrier.sent) == 1


def test_a_failure_is_not_put_on_what_comes_behind_it(shop: Shop) -> None:
    orders = Orders("execute", "send")
    orders.out_of_stock = {"1"}
    slow = Killing(shop.backend)
    shop.open(orders)
    shop.place("1")
    shop.carrier.fail = lambda _: Unavailable("no network")

    async def done_meanwhile(call: str, count: int) -> None:
        if call == "views.commit" and count == 2:  # where it is noted that it has failed
            orders.out_of_stock = set()
            with pytest.raises(Unavailable):
                await shop.face.catch_up()

    slow.before = done_meanwhile
    shop.run(Face(shop.colour, slow, orders.registry, shop.carrier).catch_up())  # nobody is told of a stop that is none
    status = shop.status(orders)
    assert (status.pending, status.failed, status.state, status.stopped) == (1, 0, "behind", None)
    shop.carrier.fail = lambda _: None
    assert shop.catch_up().complete
    assert (len(shop.events(Shipped)), len(shop.carrier.sent)) == (1, 1)


@pytest.mark.parametrize("on_error", ["stop", "park", "skip"])
def test_who_runs_other_code_leaves_commands_that_it_does_not_know(shop: Shop, on_error: OnError) -> None:
    orders = Orders("execute", on_error=on_error)
    shop.open(orders)
    shop.place("1")
    shop.carrier.fail = lambda _: None
    pausing = Killing(shop.backend)

    async def dies(call: str, count: int) -> None:
        if call == "log.recall":
            raise Killed

    pausing.before = dies
    with pytest.raises(Killed):
        shop.run(Face(shop.colour, pausing, orders.registry, shop.carrier).catch_up())

    old = Registry()
    old.event("placed")(Placed)
    old.event("booked")(Booked)
    old.event("shipped")(Shipped)
    old.reactor("desk", on_error=on_error).on(Placed)(lambda _: None)
    with pytest.raises(Misuse, match=r"'parcel'.*no aggregate of that name here"):
        shop.run(Face(shop.colour, shop.backend, old, shop.carrier).catch_up())
    renamed = old.aggregate("parcel", Parcel)
    renamed.on(Shipped)(lambda _, __: Parcel())
    with pytest.raises(Misuse, match="no decide handler for a class called 'Ship'"):
        shop.run(Face(shop.colour, shop.backend, old, shop.carrier).catch_up())
    status = shop.status(orders)
    assert (status.pending, status.failed, status.skipped, status.stopped) == (1, 0, 0, None)
    assert shop.catch_up().complete
    assert len(shop.events(Shipped)) == 1


def test_a_command_whose_class_is_gone_is_given_up_by_its_key_only(shop: Shop) -> None:
    orders = Orders("execute", "append")
    shop.open(orders)
    shop.place("1", "2")
    shop.carrier.fail = lambda _: None
    dying = Killing(shop.backend)

    async def dies(call: str, count: int) -> None:
        if call == "log.recall":
            raise Killed

    dying.before = dies
    with pytest.raises(Killed):
        shop.run(Face(shop.colour, dying, orders.registry, shop.carrier).catch_up())
    assert shop.discard(orders, key="order-1").done == 0, "who can carry it out gives nothing up that has not failed"
    later = Orders("append", ship=Renamed)
    shop.open(later)
    with pytest.raises(Misuse, match=r"'Ship'.*discard\(reactor, key=...\)"):
        shop.catch_up()
    assert shop.discard(later).done == 0
    assert shop.discard(later, key="order-1").done == 1
    assert [each.key for each in shop.pending(later)] == ["order-1", "order-2", "order-2"]
    with pytest.raises(Misuse, match="'Ship'"):
        shop.catch_up()
    assert [each.event.order for each in shop.events(Booked)] == ["1"], "what came after it goes on"
    shop.open(orders)
    assert shop.catch_up().complete
    assert [each.event.order for each in shop.events(Shipped)] == ["2"]


@dataclass(frozen=True)
class Renamed:
    order: str


@pytest.mark.parametrize("on_error", ["stop", "park", "skip"])
def test_who_runs_older_code_leaves_commands_over_events_that_it_does_not_know(shop: Shop, on_error: OnError) -> None:
    orders = Orders("execute", on_error=on_error)
    shop.open(orders)
    newer = Registry()
    newer.event("returned")(Asked)
    shop.place("1")
    pausing = Killing(shop.backend)

    async def arrives(call: str, count: int) -> None:
        if call == "log.read_stream" and count == 1:
            await Face(shop.colour, shop.backend, newer).append("parcel-1", Asked("it came back"))

    pausing.before = arrives
    with pytest.raises((UnknownEventType, ProjectionStopped)):
        shop.run(Face(shop.colour, pausing, orders.registry, shop.carrier).catch_up())
    status = shop.status(orders)
    assert (status.pending, status.failed, status.skipped) == (1, 0, 0)
    orders.registry.ignore("returned")
    assert shop.catch_up().complete
    assert len(shop.events(Shipped)) == 1


@pytest.mark.parametrize("on_error", ["stop", "park", "skip"])
def test_who_can_send_nothing_leaves_messages_to_who_can(shop: Shop, on_error: OnError) -> None:
    class Silent(BackendWrapper):
        def mailbox(self, port: Any) -> None:
            return None

    orders = Orders("send", on_error=on_error)
    shop.open(orders)
    shop.place("1", "2")
    with pytest.raises(Misuse, match="nobody carries messages here"):
        shop.run(Face(shop.colour, Silent(shop.backend), orders.registry).catch_up())
    shop.carrier.fail = lambda _: Misuse("it is not known where the jobs are")
    with pytest.raises(Misuse, match="where the jobs are"):
        shop.catch_up()
    status = shop.status(orders)
    assert (status.pending, status.failed, status.skipped) == (2, 0, 0)
    shop.carrier.fail = lambda _: None
    assert shop.catch_up().complete
    assert len(shop.carrier.sent) == 2


def test_a_command_whose_class_has_changed_is_on_errors_matter(shop: Shop) -> None:
    orders = Orders("execute", on_error="park")
    orders.out_of_stock = {"1"}
    shop.open(orders)
    shop.place("1")
    assert shop.catch_up().complete
    changed = Orders("execute", on_error="park", ship=NewShip)
    shop.open(changed)
    assert shop.retry(changed).failed == ("order-1",)
    assert "its class has changed since: it does not decode (ValidationError)" in shop.pending(changed)[0].error
    assert shop.discard(changed).done == 1


@dataclass(frozen=True)
class NewShip:
    order: str
    weight: int


NewShip.__name__ = Ship.__name__


def test_more_than_a_hundred_keys_are_left_over(shop: Shop) -> None:
    orders = Orders("send", "append")
    shop.open(orders)
    shop.run(shop.face.append("warm", Booked("warm", 1)))
    for batch in range(0, 230, 46):
        work = [(f"order-{n}", Placed(str(n))) for n in range(batch, batch + 46)]
        for stream, event in work:
            shop.run(shop.face.append(stream, event))
    dying = Killing(shop.backend)

    async def dies(call: str, count: int) -> None:
        if call == "log.append":
            raise Killed

    dying.before = dies
    with pytest.raises(Killed):
        shop.run(Face(shop.colour, dying, orders.registry, shop.carrier).catch_up())
    assert shop.status(orders).pending == 230
    assert len(shop.pending(orders)) == 460
    assert shop.catch_up().complete
    assert len(shop.events(Booked)) == 231
    assert len(set(shop.carrier.ids)) == 230
    assert shop.status(orders).pending == 0


def test_nothing_is_carried_out_of_events_that_the_log_has_lost(shop: Shop) -> None:
    orders = Orders("append")
    views = Memory()
    logs = [Memory(), Memory()]
    dying = Killing(SeparateViews(logs[0], views))

    async def dies(call: str, count: int) -> None:
        if call == "log.append" and count > 2:
            raise Killed

    dying.before = dies
    face = Face(shop.colour, dying, orders.registry, shop.carrier)
    for order in "12":
        shop.run(face.append(f"order-{order}", Placed(order)))
    with pytest.raises(Killed):
        shop.run(face.catch_up())
    restored = Face(shop.colour, SeparateViews(logs[1], views), orders.registry, shop.carrier)
    shop.run(restored.append("order-1", Placed("1")))
    with pytest.raises(LogRewound, match=r"reactor 'desk' .*drop_version\('reactor~desk', 1\)"):
        shop.run(restored.catch_up())
    assert [type(each.event) for each in shop.run(restored.read())] == [Placed]


def test_a_text_a_body_and_bytes_say_what_they_are(shop: Shop) -> None:
    orders = Orders("append")
    sender = orders.registry.reactor("sender")
    bodies: list[Any] = ["grüße", b"\x00", {"a": 1}, b"", ""]

    @sender.on(Placed)
    def send(event: Placed) -> list[Send]:
        return [*(Send("/a", each) for each in bodies), Send("/a", "<b>", headers={"Content-Type": "text/html"})]

    shop.open(orders)
    shop.place("1")
    shop.catch_up()
    assert [each.headers.get("content-type") for each in shop.carrier.sent] == [
        "text/plain; charset=utf-8",
        "application/octet-stream",
        "application/json",
        None,
        None,
        "text/html",
    ]
    assert callable(send)


@dataclass(frozen=True)
class Moved:
    who: str
    address: Personal[str]


@dataclass(frozen=True)
class Move:
    address: Personal[str]


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (lambda _: Send("/a", b"x" * 1_048_577), "the body has 1048577 bytes, at most 1048576"),
        (lambda _: Send("https://a.example/#top"), "has a fragment"),
        (lambda _: Send("ftp://a.example"), "a whole URL"),
        (lambda _: Append("a"), "without an event"),
        (lambda _: Append("a", Booked("1", 1), expected_revision=-1), "a revision from 0"),
        (lambda _: Append("a", Moved("1", "a street")), "holds personal data"),
        (lambda of: Execute(of, "a", Move("a street")), "command Move, which holds personal data"),
        (lambda _: Send("/a", Moved("1", "a street")), "Send of a Moved, which holds personal data"),
        (lambda _: Append("a", Booked("1", 1), tags="ab"), "tags='ab': tags are several strings, as in tags=('ab',)"),
        (lambda of: Execute(of, "a", Placed("1"), tags="ab"), "tags='ab': tags are several strings"),
        (lambda _: Send("/a", retries=-1), "Send: retries=-1: it is a whole number from 0"),
        (lambda _: Execute(Orders("append").parcel, "a", Ship("1")), "aggregate 'parcel' belongs to another registry"),
        (lambda of: Execute(of, "a", Turn("x")), "no decide handler for Turn; register one"),
        (lambda of: Execute(of, "a", NewShip("1", 1)), "several classes called 'Ship'"),
        (lambda _: Execute(cast("Any", "parcel"), "a", Ship("1")), "registry.aggregate"),
        (
            lambda _: {Send("/a")},
            "reactor 'wrong': <lambda> answered a set; it answers Append, Execute or Send",
        ),
        (lambda _: [Send("/a"), None], "answered a NoneType"),
        (lambda _: [Send("/a"), 5], "reactor 'wrong': <lambda> answered a int; it answers"),
    ],
)
def test_what_can_be_no_reaction_stops_where_it_is_decided(answer: Any, why: str) -> None:
    orders = Orders("append")
    orders.registry.event("moved", subject="who")(Moved)
    orders.parcel.decide(Move)(lambda _, __: None)
    orders.parcel.decide(NewShip)(lambda _, __: None)
    orders.parcel.decide(Placed)(lambda _, __: None)
    wrong = orders.registry.reactor("wrong")
    wrong.on_recorded(Placed)(lambda recorded: answer(orders.parcel))
    app = connect("memory:", orders.registry, keys=MemoryKeys())
    app.event_store.append("order-1", Placed("1"))
    with pytest.raises(ProjectionStopped) as raised:
        app.projector.catch_up()
    assert why in str(raised.value)
    assert str(raised.value).startswith("reactor 'wrong' stopped at position 1: ")
    assert "reactor 'wrong': <lambda>" in str(raised.value)
    assert "a street" not in str(raised.value)


def encoded(*answered: Reaction) -> list[Outgoing]:
    orders = Orders("append")
    app = connect("memory:", orders.registry)
    app.event_store.append("order-1", Placed("1"))
    (recorded,) = app.event_store.read()
    return Encoding(orders.registry.types, "desk").encode(answered, recorded, "reactor 'desk': react")


def test_the_largest_body_that_is_carried() -> None:
    (message,) = encoded(Send("/a", b"x" * MAX_MESSAGE_BYTES))
    assert (len(message.body), message.target) == (MAX_MESSAGE_BYTES, "/a")


def test_a_command_that_could_not_be_stored_is_told_by_its_class_and_its_aggregate() -> None:
    orders = Orders("append")
    wrong = orders.registry.reactor("wrong")
    wrong.on(Placed)(lambda _: Execute(orders.parcel, "a", Ship(cast("str", 5))))
    app = connect("memory:", orders.registry)
    app.event_store.append("order-1", Placed("1"))
    with pytest.raises(ProjectionStopped, match=r"command Ship of aggregate 'parcel' cannot be stored: .*\$\.order"):
        app.projector.catch_up()


@dataclass(frozen=True)
class OddShip:
    order: complex


OddShip.__name__ = Ship.__name__


def test_a_command_whose_class_cannot_be_stored_any_more_is_told_by_it_and_its_aggregate() -> None:
    changed = Orders("append", ship=cast("Any", OddShip))
    outgoing = Outgoing("id", "execute", 1, "order-1", "placed", "a", command="Ship", payload='{"order":"1"}')
    with pytest.raises(RegistrationError, match=r"^command Ship of aggregate 'parcel': .*complex"):
        decode_command(changed.parcel, outgoing)


@pytest.mark.parametrize("expected", [0, 1, NO_STREAM, EXISTS, ANY])
def test_an_append_of_a_reactor_expects_what_any_append_may(expected: Any) -> None:
    registry = Registry()
    registry.event("asked")(Asked)
    registry.event("booked")(Booked)
    reactor = registry.reactor("desk", on_error="park")
    reactor.on(Asked)(lambda event: Append("book-1", Booked("1", 2), expected_revision=expected))
    app = connect("memory:", registry)
    if expected in (1, EXISTS):
        app.event_store.append("book-1", Booked("1", 1))
    before = app.event_store.append("a", Asked("x")).position
    app.projector.catch_up()
    assert app.reactions.status(reactor).failed == 0
    assert [each.event for each in app.event_store.read(after=before)] == [Booked("1", 2)]
    app.event_store.append("a", Asked("x"))
    app.projector.catch_up()
    assert app.reactions.status(reactor).failed == (0 if expected in (EXISTS, ANY) else 1)


def test_the_words_of_a_refusal_over_personal_data_are_not_kept() -> None:
    registry = Registry()
    registry.event("asked")(Asked)
    registry.event("moved", subject="who")(Moved)
    person = registry.aggregate("person", Door)
    person.on(Moved)(lambda _, __: Door())

    @person.decide(Turn)
    def turn(state: Door | None, command: Turn) -> None:
        raise ArithmeticError("lives in a street")

    reactor = registry.reactor("mover", on_error="park")
    reactor.on(Asked)(lambda _: Execute(person, "person-1", Turn("x")))
    app = connect("memory:", registry, keys=MemoryKeys())
    app.event_store.append("a", Asked("x"))
    assert app.projector.catch_up().complete
    (pending,) = app.reactions.pending(reactor)
    assert pending.error.endswith(": ArithmeticError")
    assert callable(turn)


def test_recorded_events_of_several_reactors_do_not_meet(shop: Shop) -> None:
    orders = Orders("append")
    second = orders.registry.reactor("second")

    @second.on_recorded(Placed)
    def again(recorded: Recorded[Placed]) -> Append:
        return Append("second", Booked(recorded.event.order, 2))

    shop.open(orders)
    shop.place("1")
    assert shop.catch_up().complete
    assert sorted(each.event.amount for each in shop.events(Booked)) == [1, 2]
    assert callable(again)
