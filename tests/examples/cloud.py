"""An Upstash on this machine for all servers of a run, each of which is known there by a public URL of its own."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager

from eventsource_upstash.local import LocalUpstash
from eventsource_upstash.local.qstash.settings import CURRENT_SIGNING_KEY, Settings
from eventsource_upstash.local.qstash.signing import sign


class Cloud:
    """As the service, it refuses to deliver to this machine itself: only what is sent to a public URL finds its way."""

    def __init__(self) -> None:
        self._sites: dict[str, str] = {}
        self._numbers = itertools.count(1)
        self.upstash = LocalUpstash(qstash=Settings(mapping=self._sites, strict=True))

    def __enter__(self) -> Cloud:
        self.upstash.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.upstash.stop()

    def backend(self) -> str:
        """A URL for `connect`, with a namespace that nobody else has."""
        return f"upstash:todo-{next(self._numbers)}"

    def endpoint(self, backend: str) -> str:
        """Where the notifications of a backend are sent to."""
        return f"https://{backend.removeprefix('upstash:')}.example.com/projections"

    def environment(self, backend: str) -> dict[str, str]:
        """What an app on that backend finds in its environment."""
        return {**self.upstash.environment(), "EVENTSOURCE_NOTIFY_URL": self.endpoint(backend)}

    def deliver(self, backend: str, to: str) -> None:
        """Have that backend's notifications delivered to a server on this machine from now on."""

        async def put() -> None:  # in the loop that reads it
            self._sites[self.endpoint(backend).removesuffix("/projections")] = to

        self.upstash.run(put())

    def sign(self, backend: str, body: bytes, key: str = CURRENT_SIGNING_KEY) -> dict[str, str]:
        """Headers of a delivery."""
        return {"upstash-signature": sign(key, self.endpoint(backend), body)}

    def settle(self) -> None:
        """Wait until everything that is due was delivered."""
        self.upstash.run(self.upstash.qstash.idle())

    def wait(self, seconds: float) -> None:
        """Have time pass at QStash, with all that becomes due meanwhile."""
        self.upstash.run(self.upstash.qstash.advance(seconds))

    @contextmanager
    def misbehaving(self) -> Iterator[LocalUpstash]:
        """Takes faults back at the end."""
        try:
            yield self.upstash
        finally:
            self.upstash.faults.clear()
