"""Reactors over a carrier that is a list: orders that are placed, paid, shipped and told of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from eventsource_upstash import Append, Execute, Reaction, Reactor, Recorded, Registry, Send
from eventsource_upstash._io.port import Port, Signal
from eventsource_upstash.domain.events import FREE, Receipt
from eventsource_upstash.domain.folding import OnError
from eventsource_upstash.ports import Message, Messages, Notices, Timetable, Verifier


@dataclass(frozen=True)
class Placed:
    order: str
    amount: int = 1


@dataclass(frozen=True)
class Booked:
    order: str
    amount: int


@dataclass(frozen=True)
class Shipped:
    order: str


@dataclass(frozen=True)
class Ship:
    order: str


@dataclass(frozen=True)
class Parcel:
    shipped: int = 0


class NoStock(Exception):
    """What the decide handler raises."""


class Carrier:
    """Carries notifications nowhere, and messages into a list.

    Attributes:
        sent: Every message that was taken, as often as it was.
        batches: How many messages each call took.
        fail: Raised by `publish` where it answers an error.
    """

    signal: Signal | None = None

    def __init__(self, fail: Callable[[Sequence[Message]], Exception | None] = lambda _: None) -> None:
        self.sent: list[Message] = []
        self.batches: list[int] = []
        self.fail = fail

    @property
    def ids(self) -> list[str]:
        return [each.id for each in self.sent]

    async def publish(self, messages: Sequence[Message]) -> Receipt:
        error = self.fail(messages)
        if error is not None:
            raise error
        self.sent += messages
        self.batches.append(len(messages))
        return FREE

    def notices(self, port: Port) -> Notices:
        return self

    async def send(self, position: int, raised_us: int) -> Receipt:
        return FREE

    def messages(self, port: Port) -> Messages | None:
        return self

    def timetable(self, port: Port) -> Timetable | None:
        return None

    def job_url(self, path: str) -> str:
        return f"https://app.example.com{path}"

    def verifier(self, public_url: str | None) -> Verifier | None:
        return None

    async def check(self, port: Port) -> tuple[str, ...]:
        return ()


class Orders:
    """A registry with one reactor, made anew for each test.

    Attributes:
        decided: The ids of the events that the reactor's handlers were called for.
        broken: Orders at which the handler raises.
        stock: Orders that can be shipped; None for all.
        only: What the reactor answers: of "append", "execute", "send".
    """

    def __init__(
        self,
        *only: str,
        on_error: OnError = "stop",
        since: datetime | None = None,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
        ship: type[Any] = Ship,  # Any: of whatever fields
    ) -> None:
        self.decided: list[str] = []
        self.broken: set[str] = set()
        self.out_of_stock: set[str] = set()
        only = only or ("append", "execute", "send")
        self.registry = registry = Registry()
        registry.event("placed")(Placed)
        registry.event("booked")(Booked)
        registry.event("shipped")(Shipped)
        self.parcel = parcel = registry.aggregate("parcel", Parcel)
        self.reactor: Reactor = registry.reactor("desk", on_error=on_error, since=since)

        @parcel.on(Shipped)
        def shipped(state: Parcel | None, event: Shipped) -> Parcel:
            return Parcel((state.shipped if state else 0) + 1)

        @parcel.decide(ship)
        def shipping(state: Parcel | None, command: Any) -> Shipped:  # Any: likewise
            if command.order in self.out_of_stock:
                raise NoStock(f"{command.order} is out of stock")
            return Shipped(command.order)

        @self.reactor.on_recorded(Placed, key=key)
        def placed(recorded: Recorded[Placed]) -> list[Reaction]:
            event = recorded.event
            self.decided.append(recorded.id)
            if event.order in self.broken:
                raise ArithmeticError("broken on purpose")
            answers: dict[str, Reaction] = {
                "append": Append(f"book-{event.order}", Booked(event.order, event.amount), metadata={"by": "desk"}),
                "execute": Execute(parcel, f"parcel-{event.order}", Ship(event.order)),
                "send": Send("/mail", {"order": event.order}, headers=headers),
            }
            return [answers[each] for each in only]

        assert all((shipped, shipping, placed))
