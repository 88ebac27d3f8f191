"""A backend where each call costs a request: what a receipt tells can be compared with what was asked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar, cast

import msgspec

from eventsource_upstash import Memory
from eventsource_upstash._io.port import Port
from eventsource_upstash.domain.events import Receipt
from eventsource_upstash.ports import Notices, Verifier
from eventsource_upstash.testing import BackendWrapper
from tests.reactors.support import Carrier

T = TypeVar("T")


class Till(BackendWrapper):
    """Each call costs a request."""

    def __init__(self) -> None:
        super().__init__(Memory())
        self.calls = 0

    async def around(self, call: str, step: Callable[[], Awaitable[T]]) -> T:
        self.calls += 1
        return dearer(await step(), Receipt(requests=1))


def dearer(answer: T, cost: Receipt) -> T:
    """An answer whose receipt has grown, wherever it stands in it."""
    held = cast("Any", answer)  # of any of the ports' answers
    if isinstance(held, Receipt):
        return cast("T", held + cost)
    if isinstance(held, msgspec.Struct):
        return cast("T", msgspec.structs.replace(held, receipt=held.receipt + cost))  # type: ignore[attr-defined]
    if hasattr(held, "_replace"):
        return cast("T", held._replace(receipt=held.receipt + cost))
    assert sum(isinstance(each, Receipt) for each in held) == 1
    return cast("T", tuple(each + cost if isinstance(each, Receipt) else each for each in held))


class Dear(Carrier):
    """Carries notifications for a request each, and verifies what it is given by noting it."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[int] = []
        self.moments: list[int] = []
        self.verified: list[tuple[Mapping[str, str] | Sequence[tuple[str, str]], bytes, str | None]] = []
        self.error: Exception | None = None

    def notices(self, port: Port) -> Notices:
        self.port = port
        return self

    async def send(self, position: int, raised_us: int) -> Receipt:
        self.moments.append(raised_us)
        if self.error is not None:
            raise self.error
        self.told.append(position)
        return Receipt(requests=1, bytes_sent=10)

    def verifier(self, public_url: str | None) -> Verifier:
        return self

    def verify(
        self, headers: Mapping[str, str] | Sequence[tuple[str, str]], body: bytes, url: str | None = None
    ) -> None:
        self.verified.append((headers, body, url))
