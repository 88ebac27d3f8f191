"""What a catch-up asks of a store of views, page by page, and what it tells of it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import pytest

from eventsource_upstash import Memory
from eventsource_upstash._io.blocking import run
from eventsource_upstash._io.port import Port
from eventsource_upstash.ports import Commit, Committed, Log, Pull, Pulled, Views
from eventsource_upstash.testing import BackendWrapper, ViewsWrapper
from tests.views.support import Desk, Game


class Noted(BackendWrapper):
    """Notes how many events each pull asks for; and does something once, before the next commit."""

    def __init__(self) -> None:
        super().__init__(Memory())
        self.limits: list[object] = []
        self.before: Callable[[], object] | None = None

    def views(self, port: Port, log: Log) -> Views:
        this = self

        class Noting(ViewsWrapper):
            async def pull(self, pull: Pull) -> Pulled:
                this.limits.append(pull.limit)
                return await super().pull(pull)

            async def commit(self, commits: Sequence[Commit], then: Pull | None) -> Committed:
                if then is not None:
                    this.limits.append(then.limit)
                do, this.before = this.before, None
                if do is not None:
                    do()
                return await super().commit(commits, then)

        return Noting(super().views(port, log))


def test_no_pull_asks_for_more_than_a_page() -> None:
    backend = Noted()
    desk = Desk(backend, Game(), page_size=3)
    desk.scores(8)
    desk.projector.catch_up()
    desk.projector.rebuild(desk.game.players)
    desk.projector.catch_up(until=8)
    assert set(backend.limits) == {3}


def test_a_rebuild_of_nothing_serves_with_the_indexes_that_there_are() -> None:
    backend = Noted()
    desk = Desk(backend, Game(), page_size=3)
    assert desk.projector.rebuild(desk.game.players).complete
    assert set(backend.limits) == {3}
    (build, *_), _, _ = run(desk.views.inner.views.progress((desk.game.players.id,)))
    assert (build.generation, build.notes.shape) == (2, desk.game.players.shape)


def test_what_is_appended_while_the_last_page_is_committed_is_told_though_the_time_is_out() -> None:
    backend = Noted()
    desk = Desk(backend, Game(), page_size=3)
    desk.scores(2)
    backend.before = lambda: desk.scores(1, 2)
    done = desk.projector.catch_up(time_budget=0)
    assert (done.applied, done.position, done.head, done.complete) == (2, 2, 3, False)
    assert backend.limits == [3, 1], "the head is asked for, and no page"


def test_who_comes_too_late_says_so_and_writes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    backend = Noted()
    desk = Desk(backend, Game())
    other = desk.another()
    desk.scores(2)
    backend.before = other.projector.catch_up
    caplog.set_level(logging.INFO, "eventsource_upstash")
    assert desk.projector.catch_up().applied == 0
    lines = [each.getMessage() for each in caplog.records if each.name.endswith((".view", ".projector"))]
    assert lines == [
        "players v1: checkpoint 0 -> 2, documents written: 2",
        "caught up: 2 events folded, at position 2",
        "players v1: position 2 was already there; nothing was written",
    ]


def test_generations_that_are_deleted_are_named(caplog: pytest.LogCaptureFixture) -> None:
    desk = Desk(Memory(), Game())
    desk.scores(2)
    desk.projector.catch_up()
    caplog.set_level(logging.INFO, "eventsource_upstash")
    desk.projector.rebuild(desk.game.players)
    desk.projector.go_back(desk.game.players)
    desk.projector.drop_generations(desk.game.players)
    assert [each.getMessage() for each in caplog.records if "generation" in each.getMessage()] == [
        "players v1: rebuilding, generation 2 from position 0",
        "players v1: checkpoint 0 -> 2, documents written: 2 (generation 2, building)",
        "players v1: generation 1 serves again, instead of 2",
        "players v1: generation 2 is deleted",
    ]
