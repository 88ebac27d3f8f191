"""What it is counted with to decide on events, and to carry out what was decided."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.players import Joined, Scored, join
from eventsource_upstash import App, Append, Reaction, Registry, Send
from eventsource_upstash.backends.qstash import QStash
from eventsource_upstash.backends.redis import UpstashRedis

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.costs_actions import Counted
    from eventsource_upstash.local import LocalUpstash

NAMESPACE = "reactors"
NOWHERE = "https://app.invalid/projections"


def registry_of() -> Registry:
    """Players who are greeted by a message, and whose points are noted by another event."""
    registry = Registry()
    registry.event("player-joined")(Joined)
    registry.event("player-scored")(Scored)
    reactor = registry.reactor("desk")

    @reactor.on(Joined, key="id")
    def greet(event: Joined) -> Reaction | None:
        return Send("https://mail.invalid/greet", {"id": event.id}) if event.id else None

    @reactor.on(Scored, key="id")
    def note(event: Scored) -> Reaction | None:
        return Append(f"bonus-{event.id}", Scored(event.id, 0)) if event.points else None

    assert all((greet, note))
    return registry


def counted(upstash: LocalUpstash) -> list[Counted]:
    """Each action once: requests of Redis and QStash, and commands of Redis."""
    backend = UpstashRedis(upstash.redis_url, upstash.token_for(NAMESPACE), namespace=NAMESPACE)
    transport = QStash(NOWHERE, token=upstash.environment()["QSTASH_TOKEN"], url=upstash.qstash_url)
    rows: list[Counted] = []

    def spent() -> tuple[int, int, int]:
        metrics = upstash.metrics()
        redis = metrics["redis"].get(NAMESPACE, {})
        return redis.get("requests", 0), redis.get("commands", 0), metrics["qstash"].get("total", {}).get("requests", 0)

    def count(title: str, requests: int, commands: str, act: Callable[[], object]) -> None:
        before = spent()
        assert act() is not None
        after = spent()
        sent = after[0] - before[0] + after[2] - before[2]
        rows.append((title, requests, commands, sent, after[1] - before[1]))

    with App(backend, registry_of(), transport) as app:
        store, projector = app.event_store, app.projector
        store.append("game", join(0), Scored("0", 1))
        projector.catch_up()
        store.append("game", *[Scored(str(player), 0) for player in range(100)])
        count("catch up with a reactor, a page that leads to nothing", 3, "12", projector.catch_up)
        store.append("game", *[join(player) for player in range(1, 101)])
        count("catch up, a page that leads to 100 messages", 5, "20", projector.catch_up)
        store.append("game", Scored("1", 5))
        count("catch up, an event that leads to an append, and the page of that", 7, "34", projector.catch_up)
    return rows
