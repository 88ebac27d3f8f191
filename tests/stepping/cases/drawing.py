"""What is drawn at random is drawn by turns here: an actor draws the same numbers whoever else has drawn meanwhile."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager
from hashlib import blake2b
from types import TracebackType
from typing import Any

from eventsource_upstash._flow import handling
from eventsource_upstash.testing import World

BITS = 128


class Draws:
    """Draws numbers that follow from who draws, and how often before."""

    def __init__(self) -> None:
        self.who = ""
        self.drawn: Counter[str] = Counter()

    def __call__(self, bits: int) -> int:
        self.drawn[self.who] += 1
        drawn = blake2b(f"{self.who} {self.drawn[self.who]}".encode(), digest_size=BITS // 8)
        return int.from_bytes(drawn.digest(), "big") >> (BITS - bits)


class Named(Coroutine[Any, Any, object]):
    """An actor that draws under its name."""

    def __init__(self, name: str, actor: Coroutine[Any, Any, object], draws: Draws) -> None:
        self.name, self.actor, self.draws = name, actor, draws

    def __await__(self) -> Generator[Any, Any, object]:
        return self.actor.__await__()

    def send(self, value: object) -> object:
        return self._as_myself(lambda: self.actor.send(value))

    def throw(self, error: Any, value: Any = None, traceback: TracebackType | None = None) -> object:
        return self._as_myself(lambda: self.actor.throw(error))

    def close(self) -> None:
        self.actor.close()

    def _as_myself(self, step: Callable[[], object]) -> object:
        self.draws.who = self.name
        try:
            return step()
        finally:
            self.draws.who = ""


@contextmanager
def by_turns() -> Iterator[Callable[[Callable[[], World]], World]]:
    """Numbers are drawn by turns, for as long. Hands out what makes a world whose actors do."""
    before = handling._draw

    def made(world: Callable[[], World]) -> World:
        handling._draw = draws = Draws()  # type: ignore[assignment]  # it draws bits, whoever asks
        present = world()
        return present._replace(actors={name: Named(name, actor, draws) for name, actor in present.actors.items()})

    try:
        yield made
    finally:
        handling._draw = before
