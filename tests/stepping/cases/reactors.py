"""A reactor's outbox, and whoever carries it out: decided once, done once, whoever dies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from eventsource_upstash import AsyncEventStore, AsyncNotifier, AsyncProjectionStore, AsyncProjector, EventStore
from eventsource_upstash.testing import Endings, World
from eventsource_upstash.testing.colours import Colour, Face
from tests.reactors.support import Booked, Carrier, Orders, Placed, Shipped
from tests.stepping.cases.places import Storage
from tests.stepping.test_appends import insisting
from tests.stepping.test_reactors import SteppedCarrier

NOW: Final = 1_700_000_000_000_000_000


def reacting(*only: str, workers: int = 1) -> Callable[[Storage], World]:
    def world(storage: Storage) -> World:
        orders, carrier = Orders(*only), SteppedCarrier()
        backend = storage.opened()
        store = EventStore(backend, orders.registry, clock=lambda: NOW)
        placed = store.append("order-1", Placed("1"))

        def worker() -> Any:
            stepped = storage.stepped()
            appends = AsyncEventStore(stepped, orders.registry, notifier=AsyncNotifier(carrier), clock=lambda: NOW)
            views = AsyncProjectionStore(stepped, orders.registry, clock=lambda: NOW)
            return insisting(AsyncProjector(appends, views, clock=lambda: NOW).catch_up)

        def check(endings: Endings) -> None:
            for name, ending in endings.items():
                assert ending.ok or ending.crashed, f"{name} raised {ending.error!r}"
            last = Carrier()
            face = Face(Colour.BLOCKING, storage.opened(), orders.registry, last)
            assert Colour.BLOCKING.run(face.catch_up()).complete
            rows = list(store.read())
            expected = {Placed: 1, **({Booked: 1} if "append" in only else {})}
            expected |= {Shipped: 1} if "execute" in only else {}
            assert Counter(type(each.event) for each in rows) == expected, "an append or a command is done once"
            sent = {*carrier.ids, *last.ids}
            first = next(each for each in rows if isinstance(each.event, Placed))
            assert first.position == placed.position
            assert sent == ({f"desk-{first.id}-{only.index('send')}"} if "send" in only else set()), (
                "a message is sent at least once, under one id"
            )
            status: Any = face.app.reactions.status(orders.reactor)
            assert (status.pending, status.failed) == (0, 0)
            if all(each.ok for each in endings.values()):
                assert last.ids == [], "whoever came to its end left nothing to do"

        actors = {f"worker {number}": worker() for number in range(workers)}
        return World(actors, check, lambda: (storage.shared(), carrier.sent))

    return world
