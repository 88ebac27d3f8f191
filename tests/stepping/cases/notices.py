"""An append, the notification that it owes, its delivery, and time that passes: every event is folded."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Final

from eventsource_upstash import AsyncEventStore, AsyncNotifier, OutcomeUnknown, Unavailable
from eventsource_upstash.ports import Backend
from eventsource_upstash.testing import Endings, World
from eventsource_upstash.testing.pausing import Pauses
from tests.stepping.cases.places import Storage
from tests.stepping.model import LOST_AFTER_US, Watched
from tests.stepping.notified import Message, Notified, Wishes
from tests.stepping.subject import Bounced, Paid
from tests.stepping.test_appends import insisting

PASSED_US: Final = LOST_AFTER_US + 1_000_000


class Told(Notified):
    """The world of `Notified`, in which whatever two actors share is reached by way of a pause.

    Args:
        storage: Where everything is.
        wishes: See `Wishes`. Where time `expires`, each appender calls so much later than the one before that what is
            outstanding counts as lost; or earlier, since they are stepped in any order.
    """

    def __init__(self, storage: Storage, wishes: Wishes) -> None:
        self.storage = storage
        self.pauses = Pauses(after=True, inside=False)
        super().__init__(storage.opened(), storage.stepped(), self.pauses, wishes)
        if isinstance(self.backend, Watched):
            self.backend.everybody = len(self.registry.projections)
        self.begun_us = self.now_us
        self.now_us += PASSED_US * wishes.expires

    def clock(self) -> int:
        return self.now_us * 1_000

    def process(self) -> Backend:
        return self.wishes.prepare(self.storage.stepped())

    async def appender(self, name: str, count: int) -> Any:
        now_us = self.begun_us + PASSED_US * self.wishes.expires * int(name.rpartition("-")[2])
        store = AsyncEventStore(
            self.process(), self.registry, notifier=AsyncNotifier(self.carrier), clock=lambda: now_us * 1_000
        )
        event = Bounced(1) if self.wishes.stopped else Paid(1)
        for number in range(count):
            await insisting(lambda number=number: store.append(name, event, idempotency_key=f"{name}-{number}"))

    async def delivery(self, how: str) -> int | None:
        try:
            message = await self.pauses.around("carrier.deliver", partial(self._next, how))
            if message is None:
                return None
            status = await self._answered(self.process(), message)
            if how == "next" and status == 200:
                await self.pauses.around("carrier.acknowledge", partial(self._acknowledged, message))
        except (OutcomeUnknown, Unavailable):  # between carrier and endpoint: it is delivered again
            return None
        return status

    async def _next(self, how: str) -> Message | None:
        messages = self.carrier.waiting if how == "next" else self.carrier.sent[-1:]
        return messages[0] if messages else None

    async def _acknowledged(self, message: Message) -> None:
        if message in self.carrier.waiting:
            self.carrier.waiting.remove(message)

    def check(self, endings: Endings) -> None:
        super().check(endings)
        if isinstance(self.backend, Watched):
            assert not self.backend.too_many, self.backend.too_many[0]

    def world(self) -> World:
        world = super().world()
        clock: Coroutine[Any, Any, object]
        if (clock := dict(world.actors).get("clock")) is not None:  # the appenders' clocks say it
            clock.close()
        actors = {name: actor for name, actor in world.actors.items() if name != "clock"}
        return World(actors, world.check, self.shared)

    def shared(self) -> object:
        carrier = self.carrier
        return self.storage.shared(), carrier.names, carrier.waiting, carrier.sent, carrier.refused


def told(wishes: Wishes) -> Callable[[Storage], World]:
    return lambda storage: Told(storage, wishes).world()


ONE: Final = Wishes(appends=(1,))
TWO: Final = Wishes()
EXPIRING: Final = Wishes(expires=True)
AGAIN: Final = Wishes(appends=(1,), deliveries=("next", "again"))
HURRIED: Final = Wishes(appends=(3,), hurried=True)
STOPPED: Final = Wishes(appends=(1,), stopped=True)
LATE: Final = Wishes(appends=(2,), late=True, reader=True)
