"""What the web tests share: verifiers, a public backend, and apps with something to fold."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping

from eventsource_upstash import App, AsyncApp, InProcess, Memory, Receipt
from eventsource_upstash._io.port import Port, Signal
from eventsource_upstash.testing.wrapping import BackendWrapper
from eventsource_upstash.web import Request, Unverified
from tests.unit.todo import TaskCreated, Todo, todo

KEY = b"only we know this"
URL = "https://app.example.com/projections"
SECRETS = ("only we know this", "Traceback", "ZeroDivisionError", "eventsource_upstash/", 'File "', "task-1")


class Public(BackendWrapper):
    """A backend that is reached over the open network."""

    @property
    def public(self) -> bool:
        return True


class Signed:
    """Asks for a signature over URL and body, as QStash's is."""

    def verify(self, headers: Mapping[str, str], body: bytes, url: str) -> None:
        if not hmac.compare_digest(headers.get("upstash-signature", ""), signature(body, url)):
            raise Unverified(f"the signature does not match {url} under the key {KEY.decode()!r}")


def signature(body: bytes, url: str) -> str:
    return hmac.new(KEY, url.encode() + body, hashlib.sha256).hexdigest()


def signed(body: bytes, url: str = URL) -> dict[str, str]:
    return {"upstash-signature": signature(body, url), "content-type": "application/json"}


def post(body: bytes, url: str = URL, **headers: str) -> Request:
    return Request("POST", url, {**signed(body, url), **headers}, body)


class Posted(InProcess):
    """A carrier that keeps what it is asked to send."""

    signal: Signal | None = None

    def __init__(self) -> None:
        self.positions: list[int] = []

    async def check(self, port: Port) -> tuple[str, ...]:
        return ()

    def verifier(self, public_url: str | None) -> None:
        return None

    def notices(self, port: Port) -> Posted:
        return self

    async def send(self, position: int, raised_us: int) -> Receipt:
        self.positions.append(position)
        return Receipt()


def with_tasks(count: int = 3, transport: Posted | None = None) -> tuple[App, AsyncApp, Todo]:
    """A log with so many tasks that are not folded yet, and an app of each colour over it."""
    the = todo()
    backend = Memory()
    app = App(backend, the.registry, transport)
    coloured = AsyncApp(backend, the.registry, transport)
    for number in range(count):
        app.event_store.append(f"task-{number}", TaskCreated(str(number), "x"))
    if transport:
        transport.positions.clear()
    return app, coloured, the
