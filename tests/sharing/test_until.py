"""A catch-up of views in parts: how far each partition is folded, and what is told of all of them together."""

from __future__ import annotations

from typing import cast

import pytest

from eventsource_upstash import (
    LogRewound,
    Memory,
    Misuse,
    PartitionsChanged,
    ProjectionStopped,
    Projector,
    Unavailable,
)
from eventsource_upstash._flow.parted_work import Work
from eventsource_upstash._flow.partitions import each_part
from eventsource_upstash._flow.passes import Reach
from eventsource_upstash._io.blocking import run
from eventsource_upstash.backends.kafka.backend import Kafka
from eventsource_upstash.blocking import App
from eventsource_upstash.domain.positions import Vector, vector
from tests.sharing.support import Game, Scored, app, in_partition, kafka, names, partition_of, topic_of


def lags(one: App) -> list[int]:
    """How many events of each partition are not folded into the first view."""
    return [part.lag for part in one.projection_store.status()[0].parts]


def met_of(one: App, game: Game) -> list[bool]:
    """Whether each of three parts of a view has met the head."""
    assert one.projection_store.partitions is not None
    builds, _, _ = run(one.projection_store.partitions.whole.progress(each_part(game.players.id, 3)))
    return [each.met for each in builds]


def test_up_to_a_position_only_partitions_that_it_is_ahead_in_are_folded() -> None:
    game = Game()
    one = app(game, kafka(3))
    first, second = in_partition(one, 1)[0], in_partition(one, 2)[0]
    one.event_store.append(second, Scored(1))
    one.projector.catch_up()
    token = one.event_store.append(first, Scored(1)).position
    one.event_store.append(second, Scored(1))
    done = one.projector.catch_up(until=token)
    assert (done.applied, done.complete, lags(one)) == (1, True, [0, 0, 1])
    again = one.projector.catch_up(until=token)
    assert (again.applied, again.complete, lags(one)) == (0, True, [0, 0, 1])


def test_up_to_a_position_that_nothing_has_reached_it_is_not_complete() -> None:
    game = Game()
    one = app(game, kafka(2))
    (name,) = in_partition(one, 1)
    one.event_store.append(name, Scored(1))
    done = one.projector.catch_up(until=cast("int", Vector((0, 5))))
    assert (done.applied, done.position, done.head, done.complete) == (1, Vector((0, 1)), Vector((0, 1)), False)


def test_what_a_catch_up_tells_is_of_all_partitions_and_of_what_is_folded_as_a_whole() -> None:
    game = Game(teams=True)
    one = app(game, kafka(3))
    for name in names(9):
        one.event_store.append(name, Scored(1))
    done = one.projector.catch_up()
    assert (done.applied, game.calls, game.team_calls) == (18, 9, 9)
    assert done.position == done.head == one.event_store.head()
    assert done.complete
    idle = one.projector.catch_up()
    assert (idle.applied, idle.position, idle.head, idle.complete) == (0, done.head, done.head, True)


def test_the_position_of_a_stopped_partition_holds_back_what_is_told_of_all() -> None:
    game = Game(teams=True)
    one = app(game, kafka(3))
    players = [in_partition(one, partition)[0] for partition in range(3)]
    for name in players * 2:
        one.event_store.append(name, Scored(1))
    game.bad.add(players[1])
    with pytest.raises(ProjectionStopped) as stopped:
        one.projector.catch_up()
    result = stopped.value.result
    assert [vector(result.position).at(number) for number in range(3)] == [2, 0, 2]
    assert [vector(result.head).at(number) for number in range(3)] == [2, 2, 2]
    assert (result.applied, result.complete) == (4 + 6, False)
    assert stopped.value.others == ()


def test_all_that_stop_are_named_once() -> None:
    game = Game(teams=True)
    failing = game.registry.projection("failing", Scored)

    @failing.on(Scored)
    def fails(document: Scored | None, event: Scored) -> Scored:
        raise ValueError("no")

    one = app(game, kafka(3))
    for partition in (0, 2):
        (name,) = in_partition(one, partition)
        game.bad.add(name)
        one.event_store.append(name, Scored(1))
    with pytest.raises(ProjectionStopped) as stopped:
        one.projector.catch_up()
    assert (stopped.value.projection, stopped.value.others) == ("players", ("failing",))
    assert not stopped.value.result.complete


def test_a_rewound_partition_is_told_before_one_that_has_stopped() -> None:
    game = Game()
    backend = kafka(2)
    one = app(game, backend)
    bad, lost = in_partition(one, 0)[0], in_partition(one, 1)[0]
    for name in (bad, lost, lost):
        one.event_store.append(name, Scored(1))
    one.projector.catch_up()
    topic_of(backend).recreate()
    game.bad.add(bad)
    for name in (bad, bad, lost):
        one.event_store.append(name, Scored(1))
    with pytest.raises(LogRewound) as rewound:
        one.projector.catch_up()
    assert vector(rewound.value.checkpoint).at(1) == 2
    assert vector(rewound.value.head).at(1) == 1


def test_what_was_declared_otherwise_before_holds_up_nothing_else() -> None:
    before = Game(partitioned=False)
    backend = kafka(2)
    one = app(before, backend)
    one.event_store.append("player-1", Scored(1))
    one.projector.catch_up()
    game = Game(teams=True)
    again = app(game, backend)
    with pytest.raises(Misuse, match="its view was folded as a whole"):
        again.projector.catch_up()
    assert (game.calls, game.team_calls) == (0, 1)


def test_a_view_in_as_many_parts_as_there_were_holds_up_no_view_of_as_many_as_there_are() -> None:
    game = Game()
    backend = kafka(2)
    one = app(game, backend)
    before = {name: partition_of(one, name) for name in names(12)}
    one.projector.catch_up()
    topic_of(backend).grow(3)
    both = Game()
    others = both.registry.projection("others", Scored, partitioned=True)

    @others.on(Scored)
    def scored(document: Scored | None, event: Scored) -> Scored:
        return event

    again = app(both, Kafka(topic_of(backend), views=backend.inner))
    stays = next(name for name in names(12) if partition_of(again, name) == before[name])
    again.event_store.append(stays, Scored(1))
    with pytest.raises(PartitionsChanged, match="'players'"):
        again.projector.catch_up()
    assert both.calls == 0
    assert again.projection_store.view(others).count() == 1


def test_in_a_partition_no_page_is_begun_beyond_the_position_that_is_asked_for() -> None:
    game = Game()
    backend = kafka(3)
    one = app(game, backend)
    (name,) = in_partition(one, 1)
    token = one.event_store.append(name, Scored(1)).position
    for _ in range(7):
        one.event_store.append(name, Scored(1))
    small = Projector(one.event_store, one.projection_store, page_size=2)
    done = small.catch_up(until=token)
    assert (done.applied, done.complete, lags(one)) == (1, True, [0, 7, 0])
    topic_of(backend).calls.clear()
    assert small.catch_up(until=token).applied == 0
    assert "fetch" not in topic_of(backend).calls


def test_what_is_appended_meanwhile_is_told_as_the_head() -> None:
    game = Game()
    backend = kafka(2)
    one = app(game, backend)
    (name,) = in_partition(one, 1)
    one.event_store.append(name, Scored(1))
    other = app(Game(), Kafka(topic_of(backend), views=Memory()))
    late = [Scored(2)]

    def arrives(call: str) -> None:
        if call == "fetch" and late:
            other.event_store.append(name, late.pop())

    topic_of(backend).before = arrives
    done = one.projector.catch_up()
    assert (done.position, done.head, done.complete) == (Vector((0, 2)), Vector((0, 2)), True)
    late.append(Scored(3))
    one.event_store.append(name, Scored(1))
    done = Projector(one.event_store, one.projection_store, page_size=1).catch_up(time_budget=0)
    assert vector(done.head).at(1) == 4
    assert vector(done.position).at(1) < 4
    assert not done.complete


def test_a_worker_says_of_its_own_empty_partitions_that_they_have_met_the_head(monkeypatch: pytest.MonkeyPatch) -> None:
    game = Game()
    one = app(game, kafka(3))
    one.event_store.append(in_partition(one, 2)[0], Scored(1))
    parting = one.projector.flow.parting
    assert parting is not None
    work = Work(None, Reach((game.players,), everybody=True, building=True))
    course = run(parting.begin(work))
    assert course is not None

    def met() -> list[bool]:
        return met_of(one, game)

    asked, at = list[int](), parting.partitions.at
    monkeypatch.setattr(parting.partitions, "at", lambda number: asked.append(number) or at(number))
    assert met() == [False, False, False]
    run(course.end(["1", "2"]))
    assert met() == [False, True, False]
    run(course.end(["0"]))
    assert met() == [True, True, False]
    assert asked == [1, 0], "each is told of by what works on it"
    builds, _, _ = run(at(1).views.progress([game.players.id.part(1)]))
    assert type(builds[0].checkpoint) is int  # as all positions of one partition


def test_up_to_a_position_nothing_is_said_of_empty_partitions() -> None:
    game = Game()
    one = app(game, kafka(3))
    token = one.event_store.append(in_partition(one, 1)[0], Scored(1)).position
    assert one.projector.catch_up(until=token).complete
    assert met_of(one, game) == [False, True, False]


def begin_builds(one: App, game: Game, count: int = 3) -> None:
    """Begin a rebuild of each part, as whoever was told to make it does."""
    assert one.projection_store.partitions is not None
    for number in range(count):
        run(one.projection_store.partitions.at(number).views.begin(game.players.id.part(number)))


def test_a_rebuild_takes_its_place_in_empty_partitions_too() -> None:
    game = Game()
    one = app(game, kafka(3))
    one.event_store.append(in_partition(one, 1)[0], Scored(1))
    one.projector.catch_up()
    begin_builds(one, game)
    assert one.projector.catch_up().complete
    assert [part.generation for part in one.projection_store.status()[0].parts] == [2, 2, 2]


def test_up_to_a_position_no_partition_is_read_for_a_rebuild_alone() -> None:
    game = Game()
    backend = kafka(3)
    one = app(game, backend)
    token = one.event_store.append(in_partition(one, 1)[0], Scored(1)).position
    one.projector.catch_up()
    begin_builds(one, game)
    assert one.projector.catch_up(until=token).applied == 1  # which is as far as it can be asked for
    topic_of(backend).calls.clear()
    assert one.projector.catch_up(until=token).complete
    assert "fetch" not in topic_of(backend).calls
    assert [part.generation for part in one.projection_store.status()[0].parts] == [1, 2, 1]


def test_a_rebuild_that_is_not_at_the_head_is_not_complete() -> None:
    game = Game()
    one = app(game, kafka(1))
    one.event_store.append("player-1", *[Scored(1)] * 5)
    one.projector.catch_up()
    begin_builds(one, game, 1)
    small = Projector(one.event_store, one.projection_store, page_size=2)
    assert [small.catch_up(time_budget=0).complete for _ in range(3)] == [False, False, True]


def test_what_cannot_be_reached_now_ends_a_catch_up_at_once() -> None:
    game = Game()
    backend = kafka(3)
    one = app(game, backend)
    for partition in range(3):
        one.event_store.append(in_partition(one, partition)[0], Scored(1))

    def unreachable(call: str) -> None:
        if call == "fetch":
            raise Unavailable("not now")

    topic_of(backend).calls.clear()
    topic_of(backend).before = unreachable
    with pytest.raises(Unavailable, match="not now"):
        one.projector.catch_up()
    assert topic_of(backend).calls.count("fetch") == 1  # the others would keep the caller waiting for nothing
