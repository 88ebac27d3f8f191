"""An app with reactors, of either colour, over a carrier that is a list."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from eventsource_upstash.ports import Backend
from eventsource_upstash.testing.colours import Colour, Face, settled
from tests.reactors.support import Carrier, Orders, Placed


class Shop:
    """An app of one colour over one backend, with its carrier."""

    def __init__(self, colour: Colour, backend: Backend) -> None:
        self.colour = colour
        self.backend = backend
        self.carrier = Carrier()

    def open(self, orders: Orders) -> Face:
        self.face = Face(self.colour, self.backend, orders.registry, self.carrier)
        return self.face

    def run(self, work: Any) -> Any:  # Any: a coroutine of whatever
        return self.colour.run(work)

    def place(self, *orders: str) -> None:
        for each in orders:
            self.run(self.face.append(f"order-{each}", Placed(each)))

    def catch_up(self, **more: Any) -> Any:  # Any: as `Face.catch_up` has them
        return self.run(self.face.catch_up(**more))

    def events(self, kind: type) -> list[Any]:
        return [each for each in self.run(self.face.read()) if isinstance(each.event, kind)]

    def status(self, orders: Orders) -> Any:
        return self.run(settled(self.face.app.reactions.status(orders.reactor)))

    def retry(self, orders: Orders, key: str | None = None) -> Any:
        return self.run(settled(self.face.app.reactions.retry(orders.reactor, key=key)))

    def discard(self, orders: Orders, key: str | None = None) -> Any:
        return self.run(settled(self.face.app.reactions.discard(orders.reactor, key=key)))

    def pending(self, orders: Orders) -> list[Any]:
        async def listed() -> list[Any]:
            found = self.face.app.reactions.pending(orders.reactor)
            return list(found) if isinstance(found, Iterator) else [each async for each in found]

        found: list[Any] = self.run(listed())
        return found
