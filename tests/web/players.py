"""A leaderboard, who asks for it over HTTP, and a reader that believes what its feed tells."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from typing import Any

from eventsource_upstash import App, AsyncApp, InProcess, Projector, Registry
from eventsource_upstash.ports import Backend
from eventsource_upstash.web import (
    AsyncStreaming,
    AsyncViewEndpoint,
    Request,
    Response,
    Streaming,
    ViewEndpoint,
)

URL = "https://app.example.com/players/"


@dataclass(frozen=True)
class Scored:
    player: str
    points: int


@dataclass(frozen=True)
class Left:
    player: str


@dataclass(frozen=True)
class Retired:
    player: str


@dataclass(frozen=True)
class Noise:
    text: str


@dataclass(frozen=True)
class Player:
    id: str
    score: int = 0
    until: float | None = None


class Players:
    """The leaderboard over a backend.

    Attributes:
        touched: Keys that an event concerned: the projection fails at one of "boom".
    """

    def __init__(self, backend: Backend, *, expires: bool = True, version: int = 1) -> None:
        self.registry = Registry()
        for name, cls in (("scored", Scored), ("left", Left), ("retired", Retired), ("noise", Noise)):
            self.registry.event(name)(cls)
        self.players = self.registry.projection("players", Player, changes=True, version=version)
        self.players.index("score", "score")
        self.players.index("name", "id")
        if expires:
            self.players.expires("until")

        @self.players.on(Scored, key="player")
        def scored(player: Player | None, event: Scored) -> Player | None:
            if event.points > 1_000_000:
                raise ValueError("secret of the handler")
            player = player or Player(event.player)
            return replace(player, score=player.score + event.points)

        @self.players.on(Left, key="player")
        def left(player: Player | None, event: Left) -> Player | None:
            return None

        @self.players.on(Retired, key="player")
        def retired(player: Player | None, event: Retired) -> Player | None:
            return player and replace(player, until=1.0)

        self.plain = self.registry.projection("plain", Player)

        @self.plain.on(Scored, key="player")
        def plain(player: Player | None, event: Scored) -> Player | None:
            return Player(event.player, event.points)

        self.backend = backend
        self.app = App(backend, self.registry, InProcess())

    def score(self, *scores: tuple[str, int], fold: bool = True) -> int:
        """Append scores, one commit each if they are folded."""
        position = 0
        for player, points in scores:
            position = self.app.event_store.append(f"player-{player}", Scored(player, points)).position
            if fold:
                self.app.projector.catch_up()
        return position

    def tell(self, *events: object) -> int:
        """Append events, and fold them in one commit."""
        position = self.app.event_store.append("all", *events).position
        self.app.projector.catch_up()
        return position

    def tell_each(self, *events: object) -> None:
        """Append events, and fold each in a commit of its own."""
        self.app.event_store.append("all", *events)
        Projector(self.app.event_store, self.app.projection_store, page_size=1).catch_up()

    def documents(self) -> dict[str, dict[str, Any]]:
        view = self.app.projection_store.view(self.players)
        return {key: vars(player) for key, player in view.items()}


@dataclass(frozen=True)
class Message:
    event: str
    id: str
    data: Any


def messages(parts: Iterator[bytes]) -> Iterator[Message]:
    """The events in a stream of parts, as a browser understands them."""
    for part in parts:
        for block in part.decode().split("\n\n"):
            fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
            if "event" in fields:
                yield Message(fields["event"], fields["id"], json.loads(fields["data"]))


class Caller:
    """Sends requests in blocking code."""

    def __init__(self, players: Players) -> None:
        self.players = players

    def endpoint(self, **options: Any) -> Any:
        projection = options.pop("projection", self.players.players)
        return ViewEndpoint(self.players.app, projection, **options)

    def wait(self, answer: Any) -> Any:
        return answer

    def send(self, path: str = "", method: str = "GET", *, endpoint: Any = None, **headers: str) -> Response:
        key, _, query = path.partition("?")
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        request = Request(method, f"{URL}{key}?{query}", named, b"")
        answer: Response = self.wait((endpoint or self.endpoint()).handle(request, key))
        return answer

    def open(self, last: str | None = None, query: str = "", *, once: bool = True, endpoint: Any = None) -> Any:
        headers = {"accept": "text/event-stream", **({} if last is None else {"last-event-id": last})}
        request = Request("GET", f"{URL}?{query}", headers, b"")
        endpoint = endpoint or self.endpoint()
        assert endpoint.wants_feed(request)
        return self.wait(endpoint.feed(request, once=once))

    def parts(self, feed: Any) -> Iterator[bytes]:
        assert isinstance(feed, Streaming)
        return feed.parts

    def feed(self, last: str | None = None, query: str = "", *, endpoint: Any = None) -> Iterator[Message]:
        """What a reader is told from its place on, until it knows everything."""
        return messages(self.parts(self.open(last, query, endpoint=endpoint)))

    def end(self) -> None:
        pass


class AsyncCaller(Caller):
    """Sends requests on an event loop."""

    def __init__(self, players: Players) -> None:
        super().__init__(players)
        self._loop = asyncio.new_event_loop()
        self._app = AsyncApp(players.backend, players.registry, players.app.notifier.transport)

    def endpoint(self, **options: Any) -> Any:
        projection = options.pop("projection", self.players.players)
        return AsyncViewEndpoint(self._app, projection, **options)

    def wait(self, answer: Any) -> Any:
        return self._loop.run_until_complete(answer)

    def parts(self, feed: Any) -> Iterator[bytes]:
        assert isinstance(feed, AsyncStreaming)
        parts: AsyncIterator[bytes] = feed.parts

        async def one() -> bytes | None:
            return await anext(parts, None)

        while (part := self.wait(one())) is not None:
            yield part

    def end(self) -> None:
        self.wait(self._app.close())
        self.wait(self._loop.shutdown_asyncgens())
        self._loop.close()


class Reader:
    """Believes what it is told, and comes back with the last id that it saw."""

    def __init__(self) -> None:
        self.last: str | None = None
        self.documents: dict[str, Any] = {}
        self.log: list[tuple[str, str | None]] = []

    def take(self, message: Message) -> None:
        self.last = message.id
        if message.event == "reset":
            self.documents.clear()
        elif message.event == "put":
            self.documents[message.data["key"]] = message.data["document"]
        elif message.event == "delete":
            self.documents.pop(message.data["key"], None)
        self.log.append((message.event, message.data.get("key")))

    def read(self, caller: Caller, query: str = "") -> list[tuple[str, str | None]]:
        """Come back until everything is known; answers what was told."""
        before = len(self.log)
        for message in caller.feed(self.last, query):
            self.take(message)
        return self.log[before:]

    def read_one_by_one(self, caller: Caller) -> list[tuple[str, str | None]]:
        """The same, on a connection that breaks after each event."""
        before = len(self.log)
        while message := next(caller.feed(self.last), None):
            self.take(message)
        return self.log[before:]
