"""What tending a view writes and asks: parked events that are tried again, and documents that have ended."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import msgspec
import pytest

from eventsource_upstash import App, Registry
from eventsource_upstash._flow import parking, purging
from eventsource_upstash._flow.feeding import Change, Changes
from eventsource_upstash._flow.noting import PARKED, Directory, changes_record, parked_record
from eventsource_upstash._flow.parking import Retried
from eventsource_upstash.domain.events import Receipt
from eventsource_upstash.domain.progress import ProjectionId
from eventsource_upstash.errors import Unavailable
from eventsource_upstash.ports import Commit, Committed, Got, Log, Outcome, Page, Pull, Query, Views
from eventsource_upstash.testing import LogWrapper, ViewsWrapper
from tests.priced import Till
from tests.views.support import BEGIN, Clock, Desk, Game, Left, Lent, Player, Scored

T = TypeVar("T")


class Kept(Till):
    """Keeps what is committed, and counts the calls by name; each costs a request.

    Attributes:
        commits: What was committed, where it took effect.
        counts: How often each call was made.
        before: Called with a call's name before it is made.
        got: What `records` answered.
        lagging: Answers of `records` that come before the true one.
        names: Which records were asked for.
        pages: What was read of the log: behind which position, and how many events at most.
    """

    def __init__(self) -> None:
        super().__init__()
        self.commits: list[Commit] = []
        self.counts: Counter[str] = Counter()
        self.before: Callable[[str], None] = lambda _: None
        self.got: list[Got] = []
        self.lagging: list[Got] = []
        self.names: list[list[str]] = []
        self.pages: list[tuple[int, int]] = []

    async def around(self, call: str, step: Callable[[], Awaitable[T]]) -> T:
        self.counts[call] += 1
        self.before(call)
        return await super().around(call, step)

    def wrap_views(self, views: Views) -> Views:
        return Keeping(views, self)

    def wrap_log(self, log: Log) -> Log:
        return Read(log, self)


class Read(LogWrapper):
    def __init__(self, inner: Log, kept: Kept) -> None:
        super().__init__(inner, kept.around)
        self._kept = kept

    async def read(self, after: int, limit: int, max_bytes: int, query: Query | None = None) -> Page:
        self._kept.pages.append((after, limit))
        return await super().read(after, limit, max_bytes, query)


class Keeping(ViewsWrapper):
    def __init__(self, inner: Views, kept: Kept) -> None:
        super().__init__(inner, kept.around)
        self._kept = kept

    async def commit(self, commits: Sequence[Commit], then: Pull | None) -> Committed:
        committed = await super().commit(commits, then)
        done = zip(commits, committed.outcomes, strict=True)
        self._kept.commits += [commit for commit, outcome in done if outcome is Outcome.COMMITTED]
        return committed

    async def records(self, projection: ProjectionId, names: Sequence[str]) -> Got:
        self._kept.names.append(list(names))
        got = self._kept.lagging.pop(0) if self._kept.lagging else await super().records(projection, names)
        self._kept.got.append(got)
        return got


@pytest.fixture
def kept() -> Kept:
    return Kept()


def parked(kept: Kept, *events: object, bad: tuple[str, ...] = ("ada", "bob")) -> Desk:
    """A desk where `ada` is known, and events of both of them wait."""
    desk = Desk(kept, Game(on_error="park"))
    desk.append(Scored("ada", 1))
    desk.projector.catch_up()
    desk.game.bad.update(bad)
    desk.append(*events)
    desk.projector.catch_up()
    desk.game.bad.clear()
    kept.commits.clear()
    kept.calls = 0
    return desk


def test_a_retry_writes_what_a_fold_would_have_and_takes_what_waited_away(kept: Kept) -> None:
    desk = parked(kept, Scored("ada", 2), Scored("bob", 4), Scored("ada", 1))
    desk.projector.retry_parked(desk.game.players)
    known, new = kept.commits
    assert (list(known.documents), known.created) == (["ada"], ())
    assert known.before.keys() == known.entries.keys() == {"ada"}
    assert known.before["ada"] != known.entries["ada"]
    assert {key: value for key, value in known.records.items() if not key.startswith("changes")} == {
        parked_record(2, "ada"): None,
        parked_record(4, "ada"): None,
        PARKED: msgspec.json.encode(Directory({"bob": [3]})),
    }
    assert (list(new.documents), new.created, new.before) == (["bob"], ("bob",), {})
    assert {key: value for key, value in new.records.items() if not key.startswith("changes")} == {
        parked_record(3, "bob"): None,
        PARKED: None,
    }
    assert [each.notes.parked for each in kept.commits] == [1, 0]
    assert [each.notes.changes for each in kept.commits] == [2, 3]


def test_a_retry_of_one_key_asks_once_for_each_thing(kept: Kept) -> None:
    desk = parked(kept, Scored("ada", 2), Scored("bob", 4), Scored("ada", 1))
    kept.counts.clear()
    assert desk.projector.retry_parked(desk.game.players, key="ada").done == 2
    once = {"views.progress": 1, "views.load": 2, "log.read": 1, "views.commit": 1}  # the directory; what waits
    assert kept.counts == once
    kept.counts.clear()
    assert desk.projector.retry_parked(desk.game.players, key="eve") == Retried(0, 1, (), Receipt(requests=2))
    assert kept.counts == {"views.progress": 1, "views.load": 1}
    kept.counts.clear()
    assert desk.projector.discard_parked(desk.game.players).done == 1
    assert kept.counts == {"views.progress": 1, "views.load": 2, "views.commit": 1}
    assert desk.projector.retry_parked(desk.game.players) == Retried(0, 0, (), Receipt(requests=1))


def test_no_more_of_the_log_is_read_than_from_the_first_to_the_last_of_a_page(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parking, "MAX_PAGE_EVENTS", 3)
    desk = parked(kept, *[Scored(name, 1) for name in ("ada", "eve", "ada", "ada", "eve", "eve", "ada")], bad=("ada",))
    kept.pages.clear()
    assert desk.projector.retry_parked(desk.game.players).done == 4
    assert kept.pages == [(1, 3), (4, 1), (7, 1)], "of events 2 and 4; of 5; and of 8"


def test_who_is_overtaken_each_time_says_whose_events_they_were(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parking, "TRIES", 3)
    desk = parked(kept, Scored("ada", 2), Scored("bob", 4))
    moved = 0
    times = 3

    def meanwhile(call: str) -> None:
        nonlocal moved
        if call == "views.commit" and moved < times:
            moved += 1
            kept.before = lambda _: None
            desk.append(Scored("eve", 1))
            desk.another().projector.catch_up()
            kept.before = meanwhile

    kept.before = meanwhile
    with pytest.raises(
        Unavailable, match=r"^projection 'players': others moved its view each of 3 times .* of key 'ada' were to be"
    ):
        desk.projector.retry_parked(desk.game.players, key="ada")
    assert moved == 3
    assert desk.status().parked == 2, "nothing is lost"
    moved, times = 0, 2
    assert desk.projector.retry_parked(desk.game.players, key="ada").done == 1
    assert moved == 2


def test_giving_up_changes_no_document(kept: Kept) -> None:
    desk = parked(kept, Scored("ada", 2), Scored("bob", 4))
    assert desk.projector.discard_parked(desk.game.players, key="ada").left == 1
    (commit,) = kept.commits
    assert (commit.documents, commit.checkpoint, commit.expected) == ({}, 3, 3)
    assert commit.records == {
        parked_record(2, "ada"): None,
        PARKED: msgspec.json.encode(Directory({"bob": [3]})),
    }


def test_a_retry_in_steps_tells_what_it_cost_in_all(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parking, "AT_ONCE", 2)
    monkeypatch.setattr(parking, "MAX_PAGE_EVENTS", 1)
    desk = parked(kept, *[Scored("ada", 1), Scored("bob", 1)] * 5)
    retried = desk.projector.retry_parked(desk.game.players)
    assert (retried.done, retried.left, retried.failed) == (10, 0, ())
    assert retried.receipt.requests == kept.calls
    assert len(kept.commits) == 6, "two at once, of each key"
    assert {key: each.score for key, each in desk.documents().items()} == {"ada": 6, "bob": 5}


def test_what_somebody_else_deals_with_meanwhile_is_looked_at_anew(kept: Kept) -> None:
    desk = parked(kept, Scored("ada", 2), Scored("bob", 4))
    retried: list[Retried] = []

    def meanwhile(call: str) -> None:
        if call == "views.load" and kept.counts["views.load"] == 2:  # the directory is read, and what waits is not yet
            retried.append(desk.another().projector.retry_parked(desk.game.players, key="ada"))

    kept.counts.clear()
    kept.before = meanwhile
    again = desk.projector.retry_parked(desk.game.players)
    assert [(each.done, each.left) for each in (*retried, again)] == [(1, 1), (1, 0)]
    assert again.receipt.requests + retried[0].receipt.requests == kept.calls
    assert {key: each.score for key, each in desk.documents().items()} == {"ada": 3, "bob": 4}


def ended(kept: Kept, count: int = 3) -> Desk:
    desk = Desk(kept, Game())
    desk.append(*[Lent(f"p{number}", BEGIN + 1) for number in range(count)], Scored("stays", 1))
    desk.projector.catch_up()
    desk.clock.now += 100
    kept.commits.clear()
    kept.calls = 0
    return desk.another()


def test_what_is_deleted_is_logged_and_paid_for(
    kept: Kept, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(purging, "AT_ONCE", 2)
    desk = ended(kept)
    with caplog.at_level(logging.INFO, "eventsource_upstash.view"):
        caught = desk.projector.catch_up()
    assert caught.receipt.requests == kept.calls
    assert caplog.messages == [
        "players v1: documents deleted that have ended: 2",
        "players v1: documents deleted that have ended: 1",
    ]
    first, second = kept.commits
    assert (first.documents, second.documents) == ({"p0": None, "p1": None}, {"p2": None})
    assert (first.before.keys(), second.before.keys()) == ({"p0", "p1"}, {"p2"})
    assert {(each.head, each.checkpoint, each.expected) for each in kept.commits} == {(4, 4, 4)}


def test_a_process_looks_for_what_has_ended_once_a_minute(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    class Time:
        now = 1_000.0

        @classmethod
        def monotonic(cls) -> float:
            return cls.now

    desk = ended(kept)
    monkeypatch.setattr(purging, "time", Time)
    kept.counts.clear()
    looks: list[int] = []
    for moment in (1_000.0, 1_000.0, 1_059.9, 1_060.0, 1_119.9, 1_120.0):
        Time.now = moment
        desk.projector.catch_up()
        looks.append(kept.counts["views.ended"])
    assert looks == [1, 1, 1, 2, 2, 3]


def test_a_process_that_began_right_after_the_machine_looks_at_once(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Time:
        @staticmethod
        def monotonic() -> float:
            return 1.0

    desk = ended(kept)
    monkeypatch.setattr(purging, "time", Time)
    kept.counts.clear()
    desk.projector.catch_up()
    assert kept.counts["views.ended"] == 1


def test_views_whose_documents_do_not_end_keep_no_others_from_being_looked_at(kept: Kept) -> None:
    registry = Registry()
    registry.event("lent")(Lent)
    for name in ("lasting", "ending"):
        projection = registry.projection(name, Player)
        projection.on(Lent, key="player")(lambda _, event: Player(event.player, until=event.until))
    projection.expires("until")
    clock = Clock()
    app = App(kept, registry, None, clock=clock)
    app.event_store.append("game", Lent("ada", BEGIN + 1))
    app.projector.catch_up()
    clock.now += 100
    kept.commits.clear()
    App(kept, registry, None, clock=clock).projector.catch_up()
    assert [(each.projection.name, each.documents) for each in kept.commits] == [("ending", {"ada": None})]


@pytest.mark.parametrize(("waits", "ends", "loads"), [(False, True, 0), (True, False, 0), (True, True, 1)])
def test_what_is_parked_is_looked_at_only_where_something_ends(kept: Kept, waits: bool, ends: bool, loads: int) -> None:
    desk = Desk(kept, Game(on_error="park"))
    desk.append(Lent("ada", BEGIN + (1 if ends else 10_000)), Lent("bob", BEGIN + (1 if ends else 10_000)))
    desk.projector.catch_up()
    if waits:
        desk.game.bad.add("ada")
        desk.append(Scored("ada", 1))
        desk.projector.catch_up()
    desk.clock.now += 100
    kept.commits.clear()
    kept.counts.clear()
    desk.another().projector.catch_up()
    assert kept.counts["views.load"] == loads
    deleted = [dict(each.documents) for each in kept.commits]
    assert deleted == ([{"bob": None} if waits else {"ada": None, "bob": None}] if ends else [])


def test_a_look_that_finds_nothing_or_is_too_early_is_paid_for(kept: Kept) -> None:
    desk = Desk(kept, Game())
    first = desk.append(Lent("ada", BEGIN + 1))
    desk.append(Scored("ada", 1))
    desk.clock.now += 100
    for until in (first, None):  # at first what comes behind may have been recorded before its end
        kept.calls = 0
        caught = desk.another().projector.catch_up(until=until)
        assert caught.complete
        assert caught.receipt.requests == kept.calls


def test_others_that_move_a_view_have_it_looked_at_again_later(kept: Kept) -> None:
    desk = ended(kept)

    def meanwhile(call: str) -> None:
        if call == "views.commit" and kept.counts["views.commit"] == 1:
            desk.append(Scored("stays", 1))
            desk.another().projector.catch_up()

    kept.counts.clear()
    kept.before = meanwhile
    caught = desk.projector.catch_up()
    assert (caught.complete, caught.position) == (True, 4)
    kept.before = lambda _: None
    desk.clock.now = BEGIN
    assert desk.documents().keys() == {"stays"}


def test_all_of_what_a_feed_answers(kept: Kept) -> None:
    desk = Desk(kept, Game())
    desk.scores(2)
    desk.projector.catch_up()
    view = desk.view()
    start = view.changes()
    assert start == Changes((), "1-1-1", more=False, reset=False)
    assert view.changes(after=start.cursor) == start
    for event in (Scored("p000", 1), Left("p001")):
        desk.append(event)
        desk.projector.catch_up()
    first, second = Change(3, "p000", False, "1-1-2"), Change(4, "p001", True, "1-1-3")
    assert view.changes(after="1-1-1", limit=1) == Changes((first,), "1-1-2", more=True, reset=False)
    assert view.changes(after="1-1-1") == Changes((first, second), "1-1-3", more=False, reset=False)
    assert view.changes(after="1-2-1") == Changes((), "1-1-3", more=False, reset=True)
    assert view.changes(after="1-1-4") == Changes((), "1-1-3", more=False, reset=True)


def test_a_feed_asks_for_what_it_answers_and_no_more(kept: Kept) -> None:
    desk = Desk(kept, Game())
    for _ in range(3):
        desk.scores(1)
        desk.projector.catch_up()
    view = desk.view()
    for after, limit, numbers in ((None, 16, []), ("1-1-0", 2, [1, 2]), ("1-1-3", 1, [4])):
        kept.calls = 0
        kept.names.clear()
        view.changes(after=after, limit=limit)
        assert kept.names == [[changes_record(number) for number in numbers]]
        assert kept.calls == 1, "nothing is asked twice where nothing has changed"


@pytest.mark.parametrize(("seen", "more"), [(2, True), (3, False)])
def test_a_copy_that_lags_behind_has_nothing_new_and_resets_nobody(kept: Kept, seen: int, *, more: bool) -> None:
    desk = Desk(kept, Game())
    desk.scores(1)
    desk.projector.catch_up()
    desk.view().changes(after="1-1-1")
    behind = kept.got[-1]
    for _ in range(2):
        desk.append(Scored("p000", 1))
        desk.projector.catch_up()
    kept.lagging = [behind]
    after = f"1-1-{seen}"
    assert desk.view().changes(after=after) == Changes((), after, more=more, reset=False)
    assert not kept.lagging


def test_who_finds_the_place_of_a_change_taken_by_a_later_one_reads_anew(kept: Kept) -> None:
    desk = Desk(kept, Game())
    for _ in range(3):
        desk.scores(1)
        desk.projector.catch_up()
    desk.view().changes(after="1-1-1")
    true = kept.got[-1]
    second, third = true.documents.values()
    names = list(true.documents)
    for documents in ({}, {names[0]: second}, {names[0]: third, names[1]: third}):
        kept.lagging = [true._replace(documents=documents)]
        assert desk.view().changes(after="1-1-1") == Changes((), "1-1-3", more=False, reset=True)
