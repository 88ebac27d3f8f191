"""One outbox, two workers, in every order, and with a crash, a lost answer or a refusal at every step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Final

import pytest

from eventsource_upstash import (
    App,
    AsyncApp,
    AsyncEventStore,
    AsyncNotifier,
    AsyncProjectionStore,
    AsyncProjector,
    EventStore,
    InProcess,
    Memory,
    OutcomeUnknown,
    ReactorStopped,
    Unavailable,
)
from eventsource_upstash.domain.events import Receipt
from eventsource_upstash.domain.folding import OnError
from eventsource_upstash.ports import Backend, Message
from eventsource_upstash.testing import Endings, World, explore, pausing
from eventsource_upstash.testing.colours import Colour, Face
from eventsource_upstash.testing.conformance import desk as porter
from eventsource_upstash.testing.conformance.desk import Asked, Desk, Opened
from eventsource_upstash.testing.pausing import Pauses
from tests.reactors.support import Booked, Carrier, Orders, Placed, Shipped

Note = Callable[[str, object], None]


PAUSES: Final = Pauses(after=True, inside=False)


class SteppedCarrier(Carrier):
    """Stops before and after it takes messages over."""

    async def publish(self, messages: Sequence[Message]) -> Receipt:
        return await PAUSES.around("messages.publish", partial(super().publish, messages))


def workers(*only: str, count: int = 2, placed: int = 1) -> Callable[[], World]:
    def world() -> World:
        orders, carrier, backend = Orders(*only), SteppedCarrier(), Memory()
        store = EventStore(backend, orders.registry)
        for index in range(placed):
            store.append(f"order-{index}", Placed(str(index)))
        stepped: Backend = pausing(backend)

        def worker() -> AsyncProjector:
            appends = AsyncEventStore(stepped, orders.registry, notifier=AsyncNotifier(carrier))
            return AsyncProjector(appends, AsyncProjectionStore(stepped, orders.registry))

        def check(endings: Endings) -> None:
            assert all(
                each.ok or each.crashed or isinstance(each.error, (OutcomeUnknown, Unavailable))
                for each in endings.values()
            )
            last = Carrier()
            face = Face(Colour.BLOCKING, backend, orders.registry, last)
            assert Colour.BLOCKING.run(face.catch_up()).complete
            events = Counter(type(each.event) for each in store.read())
            chosen = only or ("append", "execute", "send")
            expected: dict[type, int] = {Placed: placed}
            expected |= {Booked: placed} if "append" in chosen else {}
            expected |= {Shipped: placed} if "execute" in chosen else {}
            assert events == expected, "an append or a command is carried out once, whatever happens"
            if "send" in chosen:
                place = chosen.index("send")
                ids = {f"desk-{each.id}-{place}" for each in store.read() if isinstance(each.event, Placed)}
                assert {*carrier.ids, *last.ids} == ids, "each message at least once, under one id"
            status = face.app.reactions.status(orders.reactor)
            assert status is not None
            assert getattr(status, "pending") == 0  # noqa: B009  either colour's
            if all(each.ok for each in endings.values()):
                assert last.ids == [], "whoever came to its end left nothing to do"

        return World({f"worker {n}": worker().catch_up() for n in range(count)}, check)

    return world


@pytest.mark.parametrize("only", [("append",), ("execute",), ("send",)], ids=lambda only: only[0])
def test_two_workers_and_one_outbox(only: tuple[str, ...], record_property: Note) -> None:
    explored = explore(workers(*only), switches=2, merging=True)
    record_property("schedules", explored.schedules)
    assert explored.schedules >= 30


@pytest.mark.parametrize("only", [("append",), ("execute",), ("send", "append")], ids="-".join)
@pytest.mark.parametrize("trouble", ["crashes", "lost_answers", "refusals"])
def test_one_worker_in_trouble_at_each_step(only: tuple[str, ...], trouble: str, record_property: Note) -> None:
    explored = explore(workers(*only, count=1, placed=2), merging=True, **{trouble: 1})
    record_property("schedules", explored.schedules)
    assert getattr(explored, trouble) >= 5


def test_a_worker_that_crashes_while_another_one_works(record_property: Note) -> None:
    explored = explore(workers("send", "append"), crashes=1, switches=1, merging=True)
    record_property("schedules", explored.schedules)
    assert explored.crashes >= 20


def porters(wants: str, on_error: OnError) -> Callable[[], World]:
    """Two workers at a door that is asked for something without effect, and then to be opened."""

    def world() -> World:
        desk, backend = Desk(on_error), Memory()
        desk.jammed = True
        store = EventStore(backend, desk.registry)
        store.append("asked", Asked("door", wants))
        stepped: Backend = pausing(backend)

        def worker() -> AsyncProjector:
            appends = AsyncEventStore(stepped, desk.registry, notifier=AsyncNotifier(SteppedCarrier()))
            return AsyncProjector(appends, AsyncProjectionStore(stepped, desk.registry))

        def check(endings: Endings) -> None:
            assert all(each.ok or each.crashed or isinstance(each.error, Unavailable) for each in endings.values())
            app = Face(Colour.BLOCKING, backend, desk.registry, Carrier()).app
            assert isinstance(app, App)
            assert app.projector.catch_up().complete
            assert [type(each.event) for each in store.read()] == [Asked, Opened]
            status = app.reactions.status(desk.porter)
            assert (status.pending, status.failed, status.skipped) == (0, 0, on_error == "skip")

        return World({f"worker {n}": worker().catch_up() for n in range(2)}, check)

    return world


@pytest.mark.parametrize(
    ("wants", "on_error", "trouble"),
    [
        pytest.param("close open", "stop", {"switches": 2}, id="decides nothing"),
        pytest.param("close open", "stop", {"switches": 1, "crashes": 1}, id="decides nothing, and a crash"),
        pytest.param("jam open", "skip", {"switches": 2}, id="refused and skipped"),
    ],
)
def test_a_command_without_effect_has_none_later_either(
    wants: str, on_error: OnError, trouble: dict[str, int], record_property: Note
) -> None:
    explored = explore(porters(wants, on_error), merging=True, **trouble)
    record_property("schedules", explored.schedules)
    assert explored.schedules >= 250


def rescuers(on_error: OnError, rescue: str) -> Callable[[], World]:
    """What could not be carried out is tried again, or given up, by somebody, while a worker catches up."""

    def world() -> World:
        desk, backend = Desk(on_error), Memory()
        desk.jammed = True
        store = EventStore(backend, desk.registry)
        store.append("asked", Asked("door", "jam book"))
        app = App(backend, desk.registry, InProcess())
        with suppress(ReactorStopped):
            app.projector.catch_up()
        desk.jammed = rescue == "discard"
        store.append("asked", Asked("door", "book"))
        stepped: Backend = pausing(backend)
        worker, rescuer = (AsyncApp(stepped, desk.registry, InProcess()) for _ in range(2))

        def check(endings: Endings) -> None:
            assert all(each.ok or isinstance(each.error, (ReactorStopped, Unavailable)) for each in endings.values())
            desk.jammed = False
            app.projector.catch_up()
            app.reactions.retry(desk.porter)
            assert app.projector.catch_up().complete
            kinds = Counter(type(each.event) for each in store.read())
            assert kinds[porter.Booked] == 2
            assert kinds[Opened] == 1 or (rescue == "discard" and kinds[Opened] == 0)
            status = app.reactions.status(desk.porter)
            assert (status.state, status.pending, status.failed) == ("current", 0, 0)

        rescued = getattr(rescuer.reactions, rescue)(desk.porter)
        return World({"worker": worker.projector.catch_up(), "rescuer": rescued}, check)

    return world


@pytest.mark.parametrize(("on_error", "rescue"), [("park", "retry"), ("stop", "discard")])
def test_who_tries_again_or_gives_up_meets_a_worker(on_error: OnError, rescue: str, record_property: Note) -> None:
    explored = explore(rescuers(on_error, rescue), switches=2, merging=True)
    record_property("schedules", explored.schedules)
    assert explored.schedules >= 80
