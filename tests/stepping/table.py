"""A game whose views have everything, its actors, and what has to hold when they are done."""

from __future__ import annotations

import functools
from collections.abc import Callable

from eventsource_upstash import (
    AsyncEventStore,
    AsyncProjectionStore,
    AsyncProjector,
    Memory,
    OutcomeUnknown,
    Unavailable,
)
from eventsource_upstash.ports import Backend
from eventsource_upstash.testing import Endings, pausing
from tests.stepping.cases.places import calls_that_read_and_pulls
from tests.views.support import Desk, Game, Left, Lent


@functools.cache
def game_of(on_error: str) -> Game:
    """One for thousands of schedules: to make it takes a third of the time of each."""
    return Game(on_error=on_error)


class Table:
    """A game, its actors, and what has to hold when they are done.

    Args:
        on_error: What becomes of an event that cannot be folded.
        page_size: Events in a page.
        backend: Where it is; in memory unless that is said.
        stepped: Opens the same for an actor, pausing at every step.
    """

    def __init__(
        self,
        *,
        on_error: str = "park",
        page_size: int = 1_000,
        backend: Backend | None = None,
        stepped: Callable[[], Backend] | None = None,
    ) -> None:
        game = game_of(on_error)
        game.bad.clear()
        self.desk = Desk(backend or Memory(), game, page_size=page_size)
        if stepped is None:
            shared = pausing(self.desk.backend, after=False, reads=calls_that_read_and_pulls)
            stepped = lambda: shared  # noqa: E731  all of them are one process
        self.stepped = stepped
        self.cursor = ""
        self.keys: set[str] = set()

    def stored(self) -> object:
        """All that a backend in memory holds."""
        assert isinstance(self.desk.backend, Memory)
        return self.desk.backend._state

    def attach(self) -> None:
        self.cursor = self.desk.view().changes().cursor
        self.keys = set(self.desk.documents())

    def store(self, backend: Backend | None = None) -> AsyncEventStore:
        return AsyncEventStore(backend or self.stepped(), self.desk.game.registry, clock=self.desk.clock)

    def views(self, backend: Backend | None = None) -> AsyncProjectionStore:
        return AsyncProjectionStore(backend or self.stepped(), self.desk.game.registry, clock=self.desk.clock)

    def projector(self, page_size: int | None = None) -> AsyncProjector:
        backend = self.stepped()
        size = page_size or self.desk.page_size
        return AsyncProjector(self.store(backend), self.views(backend), clock=self.desk.clock, page_size=size)

    def folded(self) -> dict[str, tuple[int, ...]]:
        return {key: player.folded for key, player in self.desk.documents().items()}

    def of_the_log(self, upto: int, parked: frozenset[tuple[str, int]] = frozenset()) -> dict[str, tuple[int, ...]]:
        made: dict[str, tuple[int, ...]] = {}
        ended: set[str] = set()
        for recorded in self.desk.store.read():
            event, position = recorded.event, recorded.position
            if position > upto or (event.player, position) in parked:
                continue
            if isinstance(event, Left):
                made.pop(event.player, None)
            else:
                made[event.player] = (*made.get(event.player, ()), position)
            if isinstance(event, Lent) and event.until <= self.desk.clock.now:
                ended.add(event.player)
        return {player: folded for player, folded in made.items() if player not in ended}

    def parked(self) -> frozenset[tuple[str, int]]:
        return frozenset((each.key, each.position) for each in self.desk.projector.parked(self.desk.game.players))

    def holds(self, *, swept: bool = True) -> None:
        """The view is the fold of the log but for what is parked; its index and its feed say the same.

        Args:
            swept: Whether what has ended is known to be deleted. A catch-up that cannot leaves it to a later one, and
                the feed tells of it then.
        """
        status = self.desk.status()
        parked = self.parked()
        assert status.parked == len(parked), f"{len(parked)} events are parked, and {status.parked} are said to be"
        documents = self.desk.documents()
        found = {key: player.folded for key, player in documents.items()}
        made = self.of_the_log(status.checkpoint, parked)
        assert found == made, f"at checkpoint {status.checkpoint} the view holds {found}, the log makes {made}"
        assert self.desk.index("score").count() == len(documents), (
            "the index has other entries than there are documents"
        )
        top = [player.score for _, player in self.desk.index("score").top(100)]
        assert top == sorted((each.score for each in documents.values()), reverse=True), f"the index has {top}"
        changed = self.desk.view().changes(after=self.cursor)
        if changed.reset:
            self.attach()
        for change in changed.changes:
            (self.keys.discard if change.deleted else self.keys.add)(change.key)
        self.cursor = changed.cursor
        assert not changed.more
        ended = set() if swept else self.ended()
        assert self.keys - ended == documents.keys(), "whoever follows the feed holds other keys than the view"

    def ended(self) -> set[str]:
        """Who was lent until a time that has passed."""
        events = [recorded.event for recorded in self.desk.store.read()]
        return {each.player for each in events if isinstance(each, Lent) and each.until <= self.desk.clock.now}

    def settles(self) -> None:
        """Whatever has happened: catch-up leads to the head, and nothing is left half-done."""
        self.holds(swept=False)
        assert self.desk.another().projector.catch_up().complete
        self.holds()
        status = self.desk.status()
        assert (status.state, status.rebuilding) == ("current", None)


def fine(endings: Endings) -> None:
    for ending in endings.values():
        assert ending.ok or ending.crashed or isinstance(ending.error, (OutcomeUnknown, Unavailable)), ending
