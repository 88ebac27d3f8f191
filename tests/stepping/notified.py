"""A small world in which every event is to be folded because somebody was told: appenders, a carrier, deliveries.

The carrier is what QStash is to an app: it keeps a message until it is answered 200, and may deliver it late, twice,
out of order, or to two workers at once. It drops a repeat of a message by its name.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any, NamedTuple

from eventsource_upstash import (
    AsyncEventStore,
    AsyncNotifier,
    AsyncProjectionStore,
    AsyncProjector,
    EventStore,
    InProcess,
    OutcomeUnknown,
    ProjectionStore,
    Receipt,
    Registry,
    Unavailable,
)
from eventsource_upstash._flow.notifying import Notifying
from eventsource_upstash._io import blocking
from eventsource_upstash._io.port import Port, Signal
from eventsource_upstash.domain.events import FREE, Appended
from eventsource_upstash.ports import Backend, Notices, Verifier
from eventsource_upstash.testing import Endings, World, pausing
from eventsource_upstash.testing.pausing import Pauses
from eventsource_upstash.web.endpoint import Handling, Request
from tests.stepping.model import LOST_AFTER_US
from tests.stepping.subject import Balance, Bounced, Paid, moved

TRIES = 4
NO_TIME = 1e-9


class Message(NamedTuple):
    name: str
    position: int


class Carrier(InProcess):
    """Keeps messages until they are answered.

    Args:
        pauses: Where a send pauses.
        named: The name of a message, by which a repeat of it is dropped.
    """

    signal: Signal | None = None

    def __init__(self, pauses: Pauses, named: Callable[[int, int], str]) -> None:
        self.pauses: Pauses | None = pauses
        self.named = named
        self.names: set[str] = set()
        self.waiting: list[Message] = []
        self.sent: list[Message] = []
        self.refused = 0

    def notices(self, port: Port) -> Notices:
        return self

    def verifier(self, public_url: str | None) -> Verifier | None:
        return None

    async def check(self, port: Port) -> tuple[str, ...]:
        return ()

    async def send(self, position: int, raised_us: int) -> Receipt:
        before = len(self.sent)
        try:
            if self.pauses is None:
                return await self._take(position, raised_us)
            return await self.pauses.around("notices.send", partial(self._take, position, raised_us))
        except Unavailable:
            self.refused += len(self.sent) == before
            raise

    async def _take(self, position: int, raised_us: int) -> Receipt:
        message = Message(self.named(position, raised_us), position)
        if message.name not in self.names:
            self.names.add(message.name)
            self.waiting.append(message)
            self.sent.append(message)
        return FREE


def by_position_and_moment(position: int, raised_us: int) -> str:
    return f"{position}-{raised_us}"


class Wishes(NamedTuple):
    """How a world is built, and what is wrong with it if it is a guard.

    Attributes:
        appends: Appends of each appender, one after another.
        deliveries: What each worker does: "next" takes a message and answers it, "again" delivers a message that was
            sent before once more, without being the one that counts.
        expires: Whether time may pass in between, so that what is outstanding counts as lost.
        reader: Whether somebody brings one view to the head by reading it.
        late: Whether one of the projections has everything before it, when the others have seen it.
        stopped: Whether one of the projections stops at the first event.
        hurried: Whether a delivery has time for one page of one event only.
        page: Events of a page, where there is time.
        endpoint: What answers deliveries.
        named: See `Carrier`.
        withdraws: Whether a publish that failed is noted in the log.
    """

    appends: Sequence[int] = (1, 1)
    deliveries: Sequence[str] = ("next",)
    expires: bool = False
    reader: bool = False
    late: bool = False
    stopped: bool = False
    hurried: bool = False
    page: int = 1_000
    endpoint: type[Handling] = Handling
    named: Callable[[int, int], str] = by_position_and_moment
    prepare: Callable[[Backend], Backend] = lambda backend: backend


class Notified:
    """One run of the world.

    Args:
        backend: Where everything is; not stepped.
        stepped: The same, pausing at every wait.
        pauses: How sends pause.
        wishes: See there.
    """

    def __init__(self, backend: Backend, stepped: Backend, pauses: Pauses, wishes: Wishes) -> None:
        self.backend = backend
        # Over the blocking port, and without a pause.
        still = pausing(backend, after=False, inside=False, outside=False)
        self.still = wishes.prepare(still)
        self.stepped = wishes.prepare(stepped)
        self.wishes = wishes
        self.now_us = 1_700_000_000_000_000
        self.carrier = Carrier(pauses, wishes.named)
        if wishes.late:
            early = registry_of(stopped=False, late=False)
            self.registry = early
            blocking.run(self.store(still, tell=False).append("before", Paid(1), Paid(2)))
            blocking.run(self.projector(still).catch_up())
        self.registry = registry_of(stopped=wishes.stopped, late=wishes.late)

    def clock(self) -> int:
        self.now_us += 1
        return self.now_us * 1_000

    def store(self, backend: Backend, *, tell: bool = True) -> AsyncEventStore:
        notifier = AsyncNotifier(self.carrier) if tell else None
        return AsyncEventStore(backend, self.registry, notifier=notifier, clock=self.clock)

    def projector(self, backend: Backend) -> AsyncProjector:
        size = 1 if self.wishes.hurried else self.wishes.page
        return AsyncProjector(
            self.store(backend), AsyncProjectionStore(backend, self.registry), page_size=size, clock=self.clock
        )

    def endpoint(self, backend: Backend, *, hurried: bool) -> Handling:
        seconds = NO_TIME if hurried else 3_600.0
        notifying = Notifying(self.carrier, blocking.PORT)
        flow = self.projector(backend).flow
        return self.wishes.endpoint(flow, notifying, None, None, seconds, transport=None, public=False)

    # who runs

    async def appender(self, name: str, count: int) -> list[Appended]:
        store = self.store(self.stepped)
        event = Bounced(1) if self.wishes.stopped else Paid(1)
        answers: list[Appended] = []
        for number in range(count):
            while True:
                try:
                    answers.append(await store.append(name, event, idempotency_key=f"{name}-{number}"))
                    break
                except (OutcomeUnknown, Unavailable):  # as a caller is told to
                    continue
        return answers

    async def delivery(self, how: str) -> int | None:
        """Deliver a message: the one that has waited longest, or again the one that was sent last."""
        messages = self.carrier.waiting if how == "next" else self.carrier.sent[-1:]
        if not messages:
            return None
        message = messages[0]
        status = await self._answered(self.stepped, message)
        if how == "next" and status == 200 and message in self.carrier.waiting:
            self.carrier.waiting.remove(message)
        return status

    async def _answered(self, backend: Backend, message: Message) -> int:
        endpoint = self.endpoint(backend, hurried=self.wishes.hurried)
        body = b'{"position":%d}' % message.position
        return (await endpoint.handle(Request("POST", "https://app.example.com/", {}, body))).status

    async def passing_time(self) -> None:
        self.now_us += LOST_AFTER_US + 1_000_000

    async def reading(self) -> None:
        """A reader who brings one view to where somebody appended."""
        views = AsyncProjectionStore(self.stepped, self.registry)
        head = EventStore(self.backend, self.registry).head()
        try:
            await views.view(self.registry.projections[0]).count(at_least=head, timeout=0)
        except (OutcomeUnknown, Unavailable):
            return

    def world(self) -> World:
        actors: dict[str, Coroutine[Any, Any, object]] = {}
        for index, count in enumerate(self.wishes.appends):
            actors[f"appender {index}"] = self.appender(f"account-{index}", count)
        for index, how in enumerate(self.wishes.deliveries):
            actors[f"delivery {index} ({how})"] = self.delivery(how)
        if self.wishes.expires:
            actors["clock"] = self.passing_time()
        if self.wishes.reader:
            actors["reader"] = self.reading()
        return World(actors, self.check)

    def burst(self) -> int:
        """All appenders at once, a step each in turn; deliveries begin whenever there is a message. Answers how many
        messages were sent, when everything is folded.
        """
        running: list[Coroutine[Any, Any, object]] = [
            self.appender(f"account-{index}", count) for index, count in enumerate(self.wishes.appends)
        ]
        delivering: Coroutine[Any, Any, object] | None = None
        while running or delivering is not None or self.carrier.waiting:
            if delivering is None and self.carrier.waiting:
                delivering = self.delivery("next")
            running = [each for each in running if _goes_on(each)]
            if delivering is not None and not _goes_on(delivering):
                delivering = None
        assert self.folded(), "an event is not folded, though everybody has ended"
        self.check_views()
        return len(self.carrier.sent)

    def once(self) -> None:
        """Append and deliver, without a step: what a backend does the first time only belongs to no schedule."""
        self.carrier.pauses = None
        self.append_once_more()
        self.append_once_more()
        log = self.still.log(blocking.PORT)
        blocking.run(log.withdraw(0, 1))
        blocking.run(log.recall("nobody", "nothing"))
        self.check_views()

    # what has to be

    def check(self, endings: Endings) -> None:
        self.carrier.pauses = None
        died = any(ending.crashed for name, ending in endings.items() if name.startswith("appender"))
        self.drain()
        if not self.folded():
            assert died or self.carrier.refused, "an event is not folded, and nobody is on the way to fold it"
            if died:
                self.now_us += LOST_AFTER_US + 1_000_000
            self.append_once_more()
        assert self.folded(), "an event is not folded, though somebody was told after it"
        # Whatever happened: nothing is outstanding now, so the next append sends a message.
        self.append_once_more()
        assert self.folded()
        self.check_views()

    def append_once_more(self) -> None:
        before = len(self.carrier.sent)
        answer = blocking.run(self.store(self.still).append("once more", Paid(1)))
        assert len(self.carrier.sent) == before + 1, (
            f"nobody is told of position {answer.position}, though no message is on its way"
        )
        self.drain()

    def drain(self) -> None:
        """Deliver until all are answered; one that is never answered 200 is given up in the end."""
        tries = 0
        while self.carrier.waiting and tries < TRIES * (1 + 8 * self.wishes.hurried):
            tries += 1
            for message in list(self.carrier.waiting):
                if blocking.run(self._answered(self.still, message)) == 200:
                    self.carrier.waiting.remove(message)
        assert self.wishes.stopped or not self.carrier.waiting, "a message is never answered with 200"
        self.carrier.waiting.clear()

    def folded(self) -> bool:
        status = ProjectionStore(self.backend, self.registry).status()
        return all(each.checkpoint == each.head for each in status if each.name != "fragile")

    def check_views(self) -> None:
        """The view is the log, event for event and in its order."""
        log = [each.position for each in EventStore(self.backend, self.registry).read()]
        views = ProjectionStore(self.backend, self.registry)
        for projection in self.registry.projections:
            if projection.name != "fragile":
                found = views.view(projection).get("all")
                assert isinstance(found, Balance)
                assert list(found.folded) == log, f"{projection.name} has folded {found.folded} of {log}"


def _goes_on(actor: Coroutine[Any, Any, object]) -> bool:
    try:
        actor.send(None)
    except StopIteration:
        return False
    return True


@functools.cache
def registry_of(*, stopped: bool, late: bool) -> Registry:
    registry = Registry()
    registry.event("paid")(Paid)
    registry.event("bounced")(Bounced)
    for name in ("balances", "ledger", *(["late"] if late else []), *(["fragile"] if stopped else [])):
        projection = registry.projection(name, Balance)

        def fold(document: Balance | None, recorded: Any, name: str = name) -> Balance:
            if name == "fragile" and isinstance(recorded.event, Bounced):
                raise ArithmeticError("broken on purpose")
            return moved(document, recorded)

        for event in (Paid, Bounced):
            projection.on_recorded(event, key=lambda _: "all")(fold)
    return registry
