"""Workers side by side: whoever comes and goes, nothing is lost and nothing doubled; leases only save work."""

from __future__ import annotations

import random
import re
import threading
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventsource_upstash import CatchUp, Memory, Unavailable, UpstashRedis
from eventsource_upstash._flow.parting import Shift
from eventsource_upstash._flow.sharing import LEASE, SHARES, Sharing
from eventsource_upstash._io.blocking import BlockingPort, run
from eventsource_upstash._io.port import Signal
from eventsource_upstash.blocking import App
from eventsource_upstash.ports import Backend, Commit, Committed, Got, Outcome, ProjectionId, Pull, Views
from eventsource_upstash.testing import BackendWrapper, ViewsWrapper
from tests.sharing.support import Clock, Game, Scored, app, in_partition, kafka, names, partition_of

PLAYERS = names(24)


class Counting(BackendWrapper):
    """A backend that counts the commits that win and lose, of documents."""

    def __init__(self, inner: Backend) -> None:
        super().__init__(inner)
        self.outcomes: Counter[Outcome] = Counter()

    def wrap_views(self, views: Views) -> Views:
        return CountingViews(views, self.outcomes)


class CountingViews(ViewsWrapper):
    def __init__(self, inner: Views, outcomes: Counter[Outcome]) -> None:
        super().__init__(inner)
        self.outcomes = outcomes

    async def commit(self, commits: Sequence[Commit], then: Pull | None) -> Committed:
        committed = await self.inner.commit(commits, then)
        for commit, outcome in zip(commits, committed.outcomes, strict=True):
            self.outcomes[outcome] += bool(commit.documents)
        return committed


class Process:
    """A process with a worker, of which every round is made by hand."""

    def __init__(self, backend: Backend, clock: Clock) -> None:
        self.game = Game(teams=True)
        self.app: App = app(self.game, backend, clock)
        self.shift = shift_of(self.app, clock)

    def round(self) -> bool:
        return run(self.shift.go())

    def leave(self) -> None:
        run(self.shift.end())

    def folded(self) -> dict[str, tuple[int, ...]]:
        view = self.app.projection_store.view(self.game.players)
        return {key: player.folded for key, player in view.items()}

    def teams(self) -> dict[str, int]:
        assert self.game.teams is not None
        return {key: team.events for key, team in self.app.projection_store.view(self.game.teams).items()}


def shift_of(one: App, clock: Clock) -> Shift:
    flow = one.projector.flow
    assert flow.parting is not None
    return flow.parting.shift(flow, one.registry.subscriptions, 1.0)


class Model:
    """What the views have to hold: each event once, in the order of its stream."""

    def __init__(self) -> None:
        self.folded: defaultdict[str, list[int]] = defaultdict(list)
        self.teams: Counter[str] = Counter()
        self.number = 0

    def append(self, one: App, player: str) -> None:
        self.number += 1
        team = "red" if self.number % 3 else "blue"
        one.event_store.append(player, Scored(self.number, team))
        self.folded[player].append(self.number)
        self.teams[team] += 1

    def check(self, process: Process) -> None:
        assert process.folded() == {key: tuple(points) for key, points in self.folded.items()}
        assert process.teams() == self.teams


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["round", "round", "round", "append", "append", "join", "leave", "crash", "wait", "catch up"]),
        st.integers(0, 1_000),
    ),
    max_size=80,
)


def play(actions: list[tuple[str, int]], views: Backend | None = None) -> tuple[Model, Process, Counting]:
    clock, model = Clock(), Model()
    backend = kafka(5, Counting(views or Memory()))
    here = [Process(backend, clock)]
    for what, number in actions:
        one = here[number % len(here)]
        if what == "append":
            for player in PLAYERS[number % 20 : number % 20 + 4]:
                model.append(one.app, player)
        elif what == "join" and len(here) < 8:
            here.append(Process(backend, clock))
        elif what in ("leave", "crash") and len(here) > 1:
            here.remove(one)
            if what == "leave":
                one.leave()
        elif what == "wait":
            clock.move(LEASE / 3)
        elif what == "catch up":
            assert one.app.projector.catch_up().complete
        elif what == "round":
            one.round()
    clock.move(LEASE)  # what those had who crashed
    for _ in range(4):
        for one in here:
            one.round()
    return model, here[0], cast("Counting", backend.inner)


@given(ACTIONS)
def test_whoever_joins_leaves_and_crashes_nothing_is_lost_and_nothing_doubled(actions: list[tuple[str, int]]) -> None:
    model, one, _ = play(actions)
    model.check(one)


def scaling(loads: int = 12) -> list[tuple[str, int]]:
    """From one worker to eight and back, under load."""
    draw = random.Random(7)
    actions: list[tuple[str, int]] = []

    def load() -> None:
        for _ in range(loads):
            actions.append(("append", draw.randrange(1_000)))
            actions.extend([("round", draw.randrange(1_000)) for _ in range(4)])

    for _ in range(7):
        load()
        actions.append(("join", 0))
    for number in range(7):
        load()
        actions.append(("crash" if number % 3 == 2 else "leave", draw.randrange(1_000)))
    load()
    return actions


def test_from_one_worker_to_eight_and_back_nothing_is_lost_and_no_work_is_done_twice(views: Backend) -> None:
    model, one, counting = play(scaling(1 if isinstance(views, UpstashRedis) else 12), views)
    model.check(one)
    assert counting.outcomes[Outcome.COMMITTED] > 30
    assert sum(counting.outcomes.values()) == counting.outcomes[Outcome.COMMITTED]


async def everything(_: Sharing, shares: Sequence[str]) -> frozenset[str]:
    """Leases that are no good: everybody is told that everything is their own."""
    return frozenset(shares)


def test_with_leases_that_give_everything_to_everybody_nothing_is_doubled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Sharing, "tend", everything)
    model, one, _ = play(scaling())
    model.check(one)


def test_threads_that_share_partitions_lose_and_double_nothing() -> None:
    clock, model = Clock(), Model()
    backend = kafka(8)
    first = Process(backend, clock)
    stop = threading.Event()
    errors: list[BaseException] = []

    def work(process: Process) -> None:
        try:
            while not stop.is_set():
                process.round()
            process.leave()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(Process(backend, clock),)) for _ in range(8)]
    for number in range(400):
        model.append(first.app, PLAYERS[number % 24])
        if number % 50 == 0:
            threads[number // 50].start()
    stop.set()
    for thread in threads:
        thread.join()
    assert not errors
    first.round()
    first.round()
    model.check(first)


def test_documents_fed_from_several_partitions_are_right_as_a_whole_and_wrong_in_parts() -> None:
    """The same folds by another key than the stream, with eight workers: once declared as they are, once not."""
    right: list[bool] = []
    for partitioned in (False, True):
        clock, model = Clock(), Model()
        backend = kafka(5)
        here = [Process(backend, clock) for _ in range(8)]
        for process in here:
            assert process.game.teams is not None
            process.game.teams.partitioned = partitioned  # as registration refuses it
        for number in range(200):
            model.append(here[0].app, PLAYERS[number % 24])
            here[number % 8].round()
        clock.move(LEASE)
        for process in here * 3:
            process.round()
        right.append(here[0].teams() == model.teams)
    assert right == [True, False]


def test_a_poison_event_holds_up_its_partition_and_no_other_one_of_the_same_worker() -> None:
    backend, clock = kafka(3), Clock()
    one = Process(backend, clock)
    bad, good = in_partition(one.app, 1)[0], in_partition(one.app, 2)[0]
    one.game.bad.add(bad)
    one.app.event_store.append(bad, Scored(1))
    one.app.event_store.append(good, Scored(1))
    assert one.round() is False
    before = one.game.calls
    one.app.event_store.append(good, Scored(2))
    assert one.round() is False
    assert one.folded() == {good: (1, 2)}
    assert one.game.calls == before + 1  # the bad one is not tried at each round
    (status, _) = one.app.projection_store.status()
    assert [part.stopped is not None for part in status.parts] == [False, True, False]


def test_what_cannot_be_reached_now_holds_up_nothing_else_of_the_same_worker(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A reaction that cannot be carried out now, say, which fails what is folded as a whole; or one partition."""
    one, model = Process(kafka(3), Clock()), Model()
    (lost,) = in_partition(one.app, 1)
    flow = one.app.projector.flow
    assert flow.parting is not None

    async def fails(*_: object) -> CatchUp:
        raise Unavailable("not now")

    for broken in (flow, flow.parting.folding(1)):
        monkeypatch.setattr(broken, "catch_up", fails)
    for player in PLAYERS:
        model.append(one.app, player)
    for _ in range(3):
        assert one.round() is False
    here = {player for player in PLAYERS if partition_of(one.app, player) != 1}
    assert set(one.folded()) == here
    assert lost not in here
    assert caplog.text.count("not now") == 2  # once for each, and not at each round
    monkeypatch.undo()
    one.app.projector.catch_up()
    model.check(one)


class OneRound(BlockingPort):
    """Ends the work at the first pause."""

    def __init__(self) -> None:
        self.stop = Signal()

    async def sleep(self, seconds: float, wake: Signal | None = None, since: int = 0) -> None:
        self.stop.set()

    def work(self, process: Process) -> None:
        run(process.app.projector.flow.run(self, Signal(), self.stop, 0.5))


def test_a_worker_folds_its_own_partitions_and_what_is_not_kept_in_parts() -> None:
    clock, model = Clock(), Model()
    backend = kafka(4)
    one, late = Process(backend, clock), Process(backend, clock)
    for player in PLAYERS:
        model.append(one.app, player)
    one.round()  # and everything is its own for a while
    for player in PLAYERS:
        model.append(one.app, player)
    OneRound().work(late)
    assert (late.game.calls, late.game.team_calls) == (0, 0)
    one.leave()
    OneRound().work(late)
    assert late.game.calls == 24
    model.check(late)


def test_what_a_worker_cannot_fold_is_told_with_its_reason(caplog: pytest.LogCaptureFixture) -> None:
    one = Process(kafka(2), Clock())
    (bad,) = in_partition(one.app, 0)
    one.game.bad.add(bad)
    one.app.event_store.append(bad, Scored(1))
    OneRound().work(one)
    (error,) = [each.getMessage() for each in caplog.records if each.levelname == "ERROR"]
    assert re.match(r"projection 'players' stopped at position 1: .*Boom", error)


def test_a_worker_that_stops_hands_over_at_once_and_one_that_is_gone_after_its_lease() -> None:
    backend, clock = kafka(4), Clock()
    one, other = Process(backend, clock), Process(backend, clock)
    one.round()
    other.round()
    one.round()
    other.round()
    model = Model()
    for player in PLAYERS:
        model.append(one.app, player)
    other.round()
    assert other.folded() != {key: tuple(points) for key, points in model.folded.items()}
    one.leave()
    other.round()
    model.check(other)
    late = Process(backend, clock)
    for _ in range(2):
        other.round()
        late.round()
    for player in PLAYERS:  # and now `other` is gone without a word
        model.append(one.app, player)
    late.round()
    assert late.folded() != {key: tuple(points) for key, points in model.folded.items()}
    clock.move(LEASE)
    late.round()
    model.check(late)


def test_the_worker_of_an_app_has_the_same_shares() -> None:
    clock, model = Clock(), Model()
    backend = kafka(4)
    apps = [Process(backend, clock) for _ in range(2)]
    with apps[0].app.worker(poll_interval=0.01), apps[1].app.worker(poll_interval=0.01):
        for number in range(60):
            model.append(apps[0].app, PLAYERS[number % 24])
        head = apps[0].app.event_store.head()
        assert apps[1].app.projection_store.view(apps[1].game.players).count(at_least=head) == 24
    apps[0].round()
    model.check(apps[0])


class NoTable(ViewsWrapper):
    async def records(self, projection: ProjectionId, names: Sequence[str]) -> Got:
        if projection == SHARES:
            raise Unavailable("no table today")
        return await self.inner.records(projection, names)


class Tableless(BackendWrapper):
    def wrap_views(self, views: Views) -> Views:
        return NoTable(views)


def test_where_the_table_cannot_be_used_a_worker_folds_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    backend, clock, model = kafka(3, Tableless(Memory())), Clock(), Model()
    one = Process(backend, clock)
    for player in PLAYERS:
        model.append(one.app, player)
    one.round()
    model.check(one)
    one.leave()
    assert "no table today" in caplog.text


def test_a_rebuild_runs_in_parallel_each_worker_with_its_own_partitions() -> None:
    backend, clock, model = kafka(6), Clock(), Model()
    here = [Process(backend, clock) for _ in range(3)]
    for player in names(60):
        model.append(here[0].app, player)
    for process in here * 3:
        process.round()
    before = [process.game.calls for process in here]
    parted = here[0].app.projection_store.partitions
    assert parted is not None
    for number in range(6):  # as a rebuild begins, whoever was told to make it
        run(parted.at(number).views.begin(here[0].game.players.id.part(number)))
    for process in here:
        process.round()
    done = [process.game.calls - at for process, at in zip(here, before, strict=True)]
    assert sum(done) == 60
    assert all(done)  # nobody folds all of it, and nothing is folded twice
    (status, _) = here[0].app.projection_store.status()
    assert [part.generation for part in status.parts] == [2] * 6
    model.check(here[0])
