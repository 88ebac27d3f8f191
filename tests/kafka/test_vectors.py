"""Every face function over a log in partitions: checkpoints and heads are vectors, events' positions are numbers."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

import pytest

from eventsource_upstash import (
    CorruptLog,
    EventStore,
    LogRewound,
    Memory,
    Misuse,
    ProjectionStopped,
    ProjectionStore,
    Projector,
    Receipt,
    Registry,
    SQLite,
    Vector,
    join,
)
from eventsource_upstash._flow import noting, parking
from eventsource_upstash._io.blocking import PORT, run
from eventsource_upstash.domain.positions import meet, partition_of
from eventsource_upstash.domain.progress import Notes, ProjectionId
from eventsource_upstash.errors import told_position
from eventsource_upstash.ports import Backend, Commit, Outcome, Pull
from eventsource_upstash.testing import BackendWrapper
from tests.kafka.partitioned import Apart, Partitioned, Topical
from tests.priced import dearer
from tests.views.support import COLOURS, Boom, Clock, Colour, Desk, Game, Left, Lent, Met, Player, Scored

T = TypeVar("T")


@pytest.fixture(params=COLOURS)
def colour(request: pytest.FixtureRequest) -> Colour:
    return cast("Colour", request.param)


@pytest.fixture(params=[1, 2, 3, "a topic of 1", "a topic of 3"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Apart]:
    # Views on SQLite where there are two: with what is said of each number of partitions, both are covered.
    views = SQLite(tmp_path / "views.db") if request.param == 2 else Memory()
    count = int(str(request.param)[-1])
    backend = Partitioned(count, views) if count == request.param else Topical(count, views)
    yield backend
    backend.close()


@pytest.fixture
def desk(backend: Apart, colour: Colour) -> Desk:
    return Desk(backend, Game(on_error="park"), colour)


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Apart]:
    backend = Partitioned(2, SQLite(tmp_path / "views.db"))
    yield backend
    backend.close()


def play(desk: Desk, rounds: int = 6, player: str = "ann", points: int = 1) -> list[int]:
    """Events for one document from several streams, in turns. Answers their positions."""
    positions: list[int] = []
    for number in range(rounds):
        desk.clock.now += 1
        positions.append(desk.store.append(f"stream-{number}", Scored(player, points)).position)
    return positions


def partitions_of(desk: Desk) -> int:
    backend: Any = desk.backend
    return cast("int", backend.partitions.count)


def test_a_document_fed_from_several_partitions_is_folded_in_the_order_of_time(desk: Desk) -> None:
    positions = play(desk, 12)
    assert {partition_of(each) for each in positions} == set(range(partitions_of(desk)))
    caught_up = desk.projector.catch_up()
    assert (caught_up.applied, caught_up.complete) == (12, True)
    assert caught_up.position == caught_up.head == desk.store.head()
    assert desk.documents()["ann"].folded == tuple(positions)


@pytest.mark.parametrize("page_size", [1, 2, 5])
def test_pages_of_any_size_fold_the_same(backend: Apart, colour: Colour, page_size: int) -> None:
    desk = Desk(backend, Game(), colour, page_size=page_size)
    positions = play(desk, 11)
    assert desk.projector.catch_up().applied == 11
    assert desk.documents()["ann"].folded == tuple(positions)


def test_a_checkpoint_is_a_number_of_one_partition_and_a_vector_of_several(desk: Desk) -> None:
    play(desk)
    desk.projector.catch_up()
    status = desk.status()
    assert isinstance(status.checkpoint, Vector) is isinstance(status.head, Vector) is (partitions_of(desk) > 1)
    assert (int(status.checkpoint), status.lag, status.state) == (6, 0, "current")
    play(desk, 4)
    status = desk.status()
    assert (status.lag, status.state) == (4, "behind")


def test_the_position_of_each_append_is_a_token_that_a_read_waits_for(desk: Desk) -> None:
    for position in play(desk):
        folded = desk.view().get("ann", at_least=position).folded
        assert position in folded


def test_a_token_made_of_several_is_waited_for_in_every_partition(desk: Desk) -> None:
    positions = play(desk)
    token = join(*positions)
    assert isinstance(token, Vector) is (partitions_of(desk) > 1)
    assert set(positions) <= set(desk.view().get("ann", at_least=token).folded)
    assert desk.view().get("ann", at_least=desk.store.head(), timeout=0.0) is not None


def test_a_token_beyond_the_head_of_its_partition_is_told(desk: Desk) -> None:
    positions = play(desk)
    desk.projector.catch_up()
    with pytest.raises(LogRewound):
        desk.view().get("ann", at_least=max(positions) + 50)
    with pytest.raises(LogRewound):
        desk.view().get("ann", at_least=join(*positions, max(positions) + 50))


def test_a_strong_read_knows_of_every_partition(desk: Desk) -> None:
    folded: list[int] = []
    for position in play(desk):
        folded = desk.view(consistency="strong").get("ann").folded
        assert position in folded
    assert len(folded) == 6


@pytest.mark.parametrize("nonsense", [-1, True, 1.5, "0:1"])
def test_what_is_no_position_is_refused(desk: Desk, nonsense: Any) -> None:
    with pytest.raises(Misuse, match="position"):
        desk.view().get("ann", at_least=nonsense)
    with pytest.raises(Misuse, match="position"):
        desk.projector.catch_up(until=nonsense)
    with pytest.raises(Misuse, match="after="):
        list(desk.store.read(after=nonsense))


def test_a_catch_up_until_a_position_reaches_it_and_ends(backend: Apart, colour: Colour) -> None:
    desk = Desk(backend, Game(), colour, page_size=2)
    positions = play(desk, 8)
    caught_up = desk.projector.catch_up(until=positions[2])
    assert caught_up.complete
    assert positions[2] <= caught_up.position
    assert positions[2] in desk.documents()["ann"].folded
    assert len(desk.documents()["ann"].folded) < 8
    token = join(*positions[:5])
    assert token <= desk.projector.catch_up(until=token).position
    assert len(desk.documents()["ann"].folded) < 8


def test_reading_goes_on_from_a_vector(desk: Desk) -> None:
    first = play(desk)
    head = desk.store.head()
    again = play(desk, 3)
    assert [each.position for each in desk.store.read()] == [*first, *again]
    assert [each.position for each in desk.store.read(after=head)] == again


def test_gaps_at_the_end_leave_no_lag(desk: Desk, backend: Apart) -> None:
    play(desk)
    backend.partitions.gap(0, 3)
    caught_up = desk.projector.catch_up()
    assert (caught_up.applied, caught_up.complete) == (6, True)
    assert (desk.status().lag, desk.status().state) == (0, "current")
    backend.partitions.gap(backend.partitions.count - 1)
    assert desk.status().lag == 1
    assert desk.projector.catch_up().complete
    assert (desk.status().lag, desk.status().state) == (0, "current")
    assert not desk.projector.catch_up().applied


@pytest.mark.parametrize("window", [1, 2, 3])
def test_pages_that_hold_nothing_are_passed(backend: Apart, colour: Colour, window: int) -> None:
    desk = Desk(backend, Game(), colour)
    backend.partitions.window = window
    positions: list[int] = []
    for number in range(12):
        desk.clock.now += 1
        backend.partitions.gap(number % backend.partitions.count, number % 4)
        positions.append(desk.store.append(f"stream-{number}", Scored("ann", 1)).position)
    caught_up = desk.projector.catch_up()
    assert (caught_up.applied, caught_up.complete) == (12, True)
    assert desk.documents()["ann"].folded == tuple(positions)
    assert [each.position for each in desk.store.read()] == positions


def test_a_topic_that_grows_is_read_from_the_beginning_of_what_is_new(desk: Desk, backend: Apart) -> None:
    first = play(desk)
    desk.projector.catch_up()
    backend.partitions.grow(backend.partitions.count + 2)
    desk.projector.catch_up()  # it notices
    again = play(desk, 9)
    assert {partition_of(each) for each in again} - {partition_of(each) for each in first}
    assert desk.status().lag == 9
    assert desk.projector.catch_up().complete
    assert desk.documents()["ann"].folded == (*first, *again)
    assert isinstance(desk.status().checkpoint, Vector)


def test_a_topic_made_anew_is_told(desk: Desk, backend: Apart) -> None:
    play(desk)
    desk.projector.catch_up()
    backend.partitions.recreate()
    with pytest.raises(LogRewound):
        desk.projector.catch_up()
    assert desk.status().state == "rewound"


@pytest.mark.parametrize("kind", [Partitioned, Topical])
def test_a_topic_made_anew_is_told_though_it_holds_more_elsewhere(kind: type[Partitioned | Topical]) -> None:
    desk = Desk(kind(3), Game())
    assert {partition_of(each) for each in play(desk, 12)} == {0, 1, 2}
    desk.projector.catch_up()
    backend: Any = desk.backend
    backend.partitions.recreate()
    for _ in range(30):
        desk.store.append("stream-1", Scored("ann", 1))
    assert desk.status().state == "rewound"
    assert int(desk.store.head()) > 12
    with pytest.raises(LogRewound):
        desk.projector.catch_up()
    assert len(desk.documents()["ann"].folded) == 12


def test_a_stop_keeps_the_place_in_every_partition(backend: Apart, colour: Colour) -> None:
    game = Game()
    desk = Desk(backend, game, colour)
    before = play(desk, 4)
    desk.clock.now += 1
    bad = desk.store.append("stream-1", Scored("bob", 1)).position
    after = play(desk, 5)
    game.bad = {"bob"}
    with pytest.raises(ProjectionStopped) as stopped:
        desk.projector.catch_up()
    assert stopped.value.position == bad
    status = desk.status()
    assert (status.state, status.stopped.position, status.lag) == ("stopped", bad, 6)
    assert desk.documents()["ann"].folded == tuple(before)
    since = status.stopped.since
    desk.clock.now += 100
    with pytest.raises(ProjectionStopped):
        desk.projector.catch_up()
    assert desk.status().stopped.since == since
    with pytest.raises(ProjectionStopped):
        desk.view().get("ann", at_least=after[-1])
    assert desk.view().get("ann", at_least=before[-1]).folded == tuple(before)
    game.bad = set()
    assert desk.projector.catch_up().complete
    assert desk.documents()["ann"].folded == (*before, *after)


def test_two_that_stop_in_different_partitions_have_reached_what_both_have(two: Apart) -> None:
    registry = Registry()
    registry.event("scored")(Scored)

    def fold(name: str, bad: str) -> None:
        @registry.projection(name, Player).on(Scored, key="player")
        def scored(player: Player | None, event: Scored) -> Player:
            if event.player == bad:
                raise Boom(bad)
            return Player(event.player)

    fold("first", "p2")
    fold("second", "p5")

    store = EventStore(two, registry)
    views = ProjectionStore(two, registry)
    positions = [store.append(f"account-{(2, 5)[number % 2]}", Scored(f"p{number}", 1)).position for number in range(8)]
    stops = positions[2], positions[5]
    assert len({partition_of(each) for each in stops}) == 2
    with pytest.raises(ProjectionStopped) as stopped:
        Projector(store, views).catch_up()
    reached = stopped.value.result.position
    assert reached == meet(*[each.checkpoint for each in views.status()])
    assert not any(stop <= reached for stop in stops)


def test_parked_events_of_several_partitions_are_folded_again_in_their_order(desk: Desk, backend: Apart) -> None:
    desk.game.bad = {"bob"}
    play(desk, 3)
    bad = play(desk, 7, "bob")
    backend.partitions.gap(0, 2)
    assert desk.projector.catch_up().complete
    assert [each.position for each in desk.projector.parked(desk.game.players)] == bad
    more = play(desk, 4, "bob")
    desk.projector.catch_up()
    assert [each.position for each in desk.projector.parked(desk.game.players)] == [*bad, *more]
    desk.game.bad = set()
    retried = desk.projector.retry_parked(desk.game.players)
    assert (retried.done, retried.left) == (11, 0)
    assert desk.documents()["bob"].folded == (*bad, *more)
    assert desk.status().lag == 0


def test_what_waits_in_one_partition_is_kept_where_a_fold_stops_in_another(two: Apart, colour: Colour) -> None:
    parking = Game(on_error="park")
    desk = Desk(two, parking, colour)
    parking.bad = {"bob"}
    desk.store.append("account-5", Scored("bob", 1))
    desk.projector.catch_up()
    stopping = Game(on_error="stop")
    desk = desk.another(stopping)
    desk.clock.now += 1
    waits = desk.store.append("account-5", Scored("bob", 2)).position
    desk.clock.now += 1
    stops = desk.store.append("account-2", Scored("carl", 1)).position
    desk.clock.now += 1
    desk.store.append("account-5", Scored("bob", 4))
    assert partition_of(stops) < partition_of(waits)
    stopping.bad = {"carl"}
    with pytest.raises(ProjectionStopped) as stopped:
        desk.projector.catch_up()
    assert stopped.value.position == stops
    assert desk.status().parked == 2
    stopping.bad = set()
    assert desk.projector.catch_up().complete
    assert desk.projector.retry_parked(stopping.players).done == 3
    assert desk.documents()["bob"].score == 7


def test_a_projection_that_is_full_stops_at_its_event_in_whichever_partition(
    two: Apart, colour: Colour, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(noting, "MAX_PARKED", 3)
    game = Game(on_error="park")
    game.bad = {"bob"}
    desk = Desk(two, game, colour)
    positions: list[int] = []
    for number in (5, 2, 5, 2, 5, 2):
        desk.clock.now += 1
        desk.store.append(f"account-{number}", Scored("ann", 1))
        positions.append(desk.store.append(f"account-{number}", Scored("bob", 1)).position)
    assert partition_of(positions[3]) < partition_of(positions[2])
    with pytest.raises(ProjectionStopped) as stopped:
        desk.projector.catch_up()
    assert stopped.value.position == positions[3]
    assert [each.position for each in desk.projector.parked(game.players)] == positions[:3]
    assert desk.documents()["ann"].score == 4
    game.bad = set()
    assert desk.projector.retry_parked(game.players).done == 3
    assert desk.projector.catch_up().complete
    assert desk.documents()["bob"].folded == tuple(positions)


def test_a_parked_event_that_is_not_there_any_more_is_told(desk: Desk, backend: Apart) -> None:
    desk.game.bad = {"bob"}
    bad = play(desk, 4, "bob")
    desk.projector.catch_up()
    backend.partitions.forget(bad[2])
    desk.game.bad = set()
    with pytest.raises(Exception, match=str(bad[2])):
        desk.projector.retry_parked(desk.game.players)


class Overtaken(BackendWrapper):
    """A log that goes on between two looks at it, where each call costs a request.

    Attributes:
        calls: What was asked.
        behind_head: Called once, when the head has been looked at.
    """

    behind_head: Callable[[], object] | None = None

    def __init__(self, inner: Backend) -> None:
        super().__init__(inner)
        self.calls: list[str] = []

    async def around(self, call: str, step: Callable[[], Awaitable[T]]) -> T:
        self.calls.append(call)
        answer = dearer(await step(), Receipt(requests=1))
        if call == "log.head" and (behind := self.behind_head) is not None:
            self.behind_head = None
            behind()
        return answer


def parked_of_two(
    monkeypatch: pytest.MonkeyPatch, accounts: Sequence[int] = (5, 2, 5)
) -> tuple[Overtaken, Partitioned, Desk, list[int]]:
    """Events of one document that wait in both of two partitions, of which one is read at a time."""
    monkeypatch.setattr(parking, "MAX_PAGE_EVENTS", 1)
    inner = Partitioned(2, Memory())
    backend = Overtaken(inner)
    desk = Desk(backend, Game(on_error="park"), "blocking")
    desk.game.bad = {"bob"}
    bad: list[int] = []
    for number in accounts:
        desk.clock.now += 1
        bad.append(desk.store.append(f"account-{number}", Scored("bob", 1)).position)
    desk.projector.catch_up()
    desk.game.bad = set()
    backend.calls.clear()
    return backend, inner, desk, bad


def test_parked_events_are_found_behind_older_ones_that_came_to_another_partition(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    backend, _, desk, bad = parked_of_two(monkeypatch)

    def older() -> None:
        clock, calls = desk.clock.now, list(backend.calls)
        desk.clock.now -= 60
        for _ in range(2):
            desk.store.append("account-2", Scored("ann", 1))
        desk.clock.now, backend.calls[:] = clock, calls

    backend.behind_head = older
    retried = desk.projector.retry_parked(desk.game.players)
    assert (retried.done, retried.left) == (3, 0)
    assert retried.receipt.requests == len(backend.calls)
    assert backend.calls.count("log.read") == 7, "two of the others and its own, for each in the first partition"
    assert desk.documents()["bob"].folded == tuple(bad)


def test_a_parked_event_that_is_gone_is_looked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for which in range(3):
        backend, inner, desk, bad = parked_of_two(monkeypatch)
        inner.partitions.forget(bad[which])
        where = f"no event at position {told_position(bad[which])}, which is parked"
        with pytest.raises(CorruptLog, match=re.escape(where)):
            desk.projector.retry_parked(desk.game.players)
        assert backend.calls.count("log.read") == which + 1
    backend, inner, desk, (gone,) = parked_of_two(monkeypatch, [5])
    inner.partitions.forget(gone)
    with pytest.raises(CorruptLog, match="which is parked"):
        desk.projector.retry_parked(desk.game.players)
    assert backend.calls.count("log.read") == 1, "also where there is nothing else"


def test_a_parked_event_behind_the_end_of_the_log_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    backend, inner, desk, bad = parked_of_two(monkeypatch)
    inner.partitions.rows[partition_of(bad[2])].pop()
    with pytest.raises(CorruptLog, match=f"no event at position {re.escape(told_position(bad[2]))}, which is parked"):
        desk.projector.retry_parked(desk.game.players)
    assert backend.calls.count("log.read") == 3


def test_a_feed_tells_what_changed_in_any_partition(desk: Desk) -> None:
    play(desk, 2)
    desk.projector.catch_up()
    cursor = desk.view().changes().cursor
    positions = play(desk, 3, "bob")
    desk.projector.catch_up()
    told = desk.view().changes(after=cursor)
    assert [each.key for each in told.changes] == ["bob"]
    assert all(position <= told.changes[0].position for position in positions)
    assert isinstance(told.changes[0].position, Vector) is (partitions_of(desk) > 1)


def test_a_rebuild_folds_in_the_same_order_and_serves(desk: Desk) -> None:
    positions = play(desk, 8)
    desk.projector.catch_up()
    told: list[Any] = []
    rebuilt = desk.projector.rebuild(desk.game.players, progress=told.append)
    assert rebuilt.complete
    assert rebuilt.position == rebuilt.head == desk.store.head()
    assert told[-1].fraction == 1.0
    assert desk.documents()["ann"].folded == tuple(positions)
    assert desk.status().generation == 2
    assert desk.projector.go_back(desk.game.players) == 1
    assert desk.projector.catch_up().complete
    desk.projector.drop_generations(desk.game.players)


def test_a_rebuild_that_ran_out_of_time_goes_on(backend: Apart, colour: Colour) -> None:
    desk = Desk(backend, Game(), colour, page_size=2)
    positions = play(desk, 9)
    desk.projector.catch_up()
    rebuilt = desk.projector.rebuild(desk.game.players, time_budget=0.0)
    assert not rebuilt.complete
    assert 0 < int(rebuilt.position) < 9
    rebuilding = desk.status().rebuilding
    assert rebuilding.lag == 9 - int(rebuilding.checkpoint)
    play(desk, 2, "bob")
    assert desk.projector.catch_up().complete
    assert desk.status().generation == 2
    assert desk.documents()["ann"].folded == tuple(positions)


def test_documents_that_have_ended_are_deleted(desk: Desk) -> None:
    play(desk, 2)
    desk.store.append("stream-1", Lent("bob", desk.clock.now + 5))
    desk.projector.catch_up()
    assert desk.view().get("bob") is not None
    desk.clock.now += 1000
    assert desk.view().get("bob") is None
    desk.another().projector.catch_up()
    assert set(desk.documents()) == {"ann"}
    assert desk.status().lag == 0
    play(desk, 2)
    assert desk.projector.catch_up().complete


def test_the_version_of_a_view_moves_with_every_partition(desk: Desk) -> None:
    versions = [desk.view().version()]
    for number in range(5):
        desk.store.append(f"stream-{number}", Scored("ann", 1))
        desk.projector.catch_up()
        versions.append(desk.view().version())
    assert len(set(versions)) == 6
    assert all(":" not in version for version in versions)


def test_one_event_for_two_documents_and_one_that_deletes(desk: Desk) -> None:
    play(desk, 3)
    desk.store.append("stream-9", Met("ann", "bob"))
    desk.clock.now += 1
    desk.store.append("stream-8", Left("ann"))
    desk.projector.catch_up()
    assert set(desk.documents()) == {"bob"}


def test_a_time_budget_ends_between_pages(backend: Apart, colour: Colour) -> None:
    desk = Desk(backend, Game(), colour, page_size=3)
    positions = play(desk, 10)
    caught_up = desk.projector.catch_up(time_budget=0.0)
    assert (caught_up.applied, caught_up.complete) == (3, False)
    assert desk.projector.catch_up().complete
    assert desk.documents()["ann"].folded == tuple(positions)


def test_a_new_projection_begins_at_the_first_events(two: Apart, colour: Colour) -> None:
    game = Game()
    desk = Desk(two, game, colour, page_size=2)
    positions = play(desk, 7)
    desk.projector.catch_up()
    play(desk, 3, "bob")
    other = game.add(1, name="others")
    assert desk.projector.catch_up().complete
    assert desk.documents(other)["ann"].folded == tuple(positions)
    assert desk.documents(other) == desk.documents()


def test_a_new_version_serves_when_it_is_at_the_head(two: Apart, colour: Colour) -> None:
    desk = Desk(two, Game(), colour)
    play(desk, 5)
    desk.projector.catch_up()
    newer = Game(version=2)
    again = Desk(two, newer, colour, desk.clock)
    assert again.view().get("ann").score == 5
    assert again.projector.catch_up().complete
    assert again.view().get("ann").score == 10


def test_views_of_another_backend_cannot_be_handed_a_log_in_partitions(two: Apart) -> None:
    with pytest.raises(Misuse, match="views="):
        ProjectionStore(Memory(), Game().registry, log_backend=two)


def test_a_commit_that_takes_back_one_partition_is_refused(two: Apart) -> None:
    views = two.views(PORT, two.log(PORT))
    here = ProjectionId("players", 1)
    assert run(views.commit([Commit(here, 1, 0, Vector([2, 2]), {})], None)).outcomes == (Outcome.COMMITTED,)
    with pytest.raises(Misuse, match="take its view back"):
        run(views.commit([Commit(here, 1, Vector([2, 2]), Vector([9, 1]), {})], None))
    assert run(views.progress([here]))[0][0].checkpoint == Vector([2, 2])


def test_what_a_commit_says_of_its_build_is_what_there_is(two: Apart) -> None:
    views = two.views(PORT, two.log(PORT))
    here = ProjectionId("players", 1)
    pull = Pull((here,), 10, 1_000)
    assert run(views.pull(pull)).progress[0].checkpoint == 0
    steps = [(Vector(), Vector([0, 1]), 0), (Vector([0, 1]), Vector([0, 1]), 0), (Vector([0, 1]), Vector([0, 1]), 1)]
    steps += [(Vector([0, 1]), Vector([2, 1]), 2), (Vector([2, 1]), Vector([2, 3]), 0)]
    for expected, checkpoint, edition in steps:
        commit = Commit(here, 1, expected, checkpoint, {}, Notes(skipped=edition), edition=edition, head=4)
        committed = run(views.commit([commit], pull))
        assert committed.outcomes == (Outcome.COMMITTED,)
        assert committed.pulled is not None
        found = run(views.progress([here]))[0]
        assert committed.pulled.progress == found
        assert found[0].checkpoint == checkpoint


def test_a_commit_that_lost_says_nothing_of_its_build(two: Apart) -> None:
    """The other one has as many places behind it: by their number alone they would be taken for the same."""
    mine, theirs = (two.views(PORT, two.log(PORT)) for _ in range(2))
    here = ProjectionId("players", 1)
    pull = Pull((here,), 10, 1_000)
    run(mine.pull(pull))
    assert run(theirs.commit([Commit(here, 1, 0, Vector([1, 2]), {})], None)).outcomes == (Outcome.COMMITTED,)
    lost = run(mine.commit([Commit(here, 1, 0, Vector([2, 1]), {})], pull))
    assert lost.outcomes == (Outcome.ALREADY,)
    assert lost.pulled is not None
    assert lost.pulled.progress[0].checkpoint == Vector([1, 2])


def test_a_fold_that_fails_among_many_leaves_the_others(two: Apart) -> None:
    game = Game(on_error="skip")
    desk = Desk(two, game, clock=Clock())
    game.bad = {"bob"}
    mine = [play(desk, 3), play(desk, 3, "bob"), play(desk, 3)]
    assert desk.projector.catch_up().complete
    assert desk.documents()["ann"].folded == (*mine[0], *mine[2])
    assert sorted(each.position for each in desk.projector.skipped(game.players)) == sorted(mine[1])
