"""Views in parts: each is folded, stopped, parked, rebuilt and asked by itself, and answered for as one view."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from eventsource_upstash import (
    Memory,
    ProjectionStopped,
    RegistrationError,
    Registry,
    connect_async,
)
from eventsource_upstash.backends.kafka.backend import Kafka
from eventsource_upstash.domain.positions import Vector
from eventsource_upstash.domain.positions import partition_of as partition_at
from eventsource_upstash.ports import Backend, ProjectionId
from tests.sharing.support import (
    Boom,
    Clock,
    Game,
    Left,
    Lent,
    Player,
    Scored,
    app,
    in_partition,
    kafka,
    names,
    partition_of,
    topic_of,
)


def test_a_key_that_is_not_the_stream_is_refused() -> None:
    registry = Registry()
    registry.event("scored")(Scored)
    players = registry.projection("players", Player, partitioned=True)
    with pytest.raises(
        RegistrationError, match=r"'players', handler scored: key= with partitioned=True.*one partition"
    ):

        @players.on(Scored, key="team")
        def scored(player: Player | None, event: Scored) -> Player | None:
            return player


def test_a_feed_of_changes_is_refused() -> None:
    with pytest.raises(RegistrationError, match=r"'players': partitioned=True and changes=True"):
        Registry().projection("players", Player, partitioned=True, changes=True)


def test_on_a_log_of_one_sequence_it_changes_nothing() -> None:
    seen: list[set[ProjectionId]] = []
    for partitioned in (False, True):
        game = Game(partitioned=partitioned)
        backend = Memory()
        one = app(game, backend)
        for name in names(5):
            one.event_store.append(name, Scored(1))
        assert one.projector.catch_up().position == 5
        seen.append(set(backend._state.builds))
        (status,) = one.projection_store.status()
        assert status.parts == ()
    assert seen[0] == seen[1] == {ProjectionId("players", 1)}


def test_on_one_partition_it_reads_as_plain_numbers() -> None:
    game = Game()
    one = app(game, kafka(1))
    for name in names(5):
        one.event_store.append(name, Scored(1))
    done = one.projector.catch_up()
    assert (done.position, done.head, done.complete) == (5, 5, True)
    assert type(done.position) is type(done.head) is int
    (status,) = one.projection_store.status()
    assert (status.checkpoint, status.lag, [part.partition for part in status.parts]) == (5, 0, [0])
    assert type(status.checkpoint) is int


def test_each_partition_has_its_own_checkpoint_and_all_are_told_as_one() -> None:
    game = Game()
    one = app(game, kafka(4))
    for name in names(20):
        one.event_store.append(name, Scored(1))
    done = one.projector.catch_up()
    head = one.event_store.head()
    assert done.complete
    assert done.position == done.head == head
    assert sum(cast("Vector", head).places) == 20
    (status,) = one.projection_store.status()
    assert (status.checkpoint, status.lag, status.state, status.live) == (head, 0, "current", True)
    late = [in_partition(one, partition)[0] for partition in (1, 1, 3)]
    for name in late:
        one.event_store.append(name, Scored(1))
    (status,) = one.projection_store.status()
    assert (status.lag, status.state) == (3, "behind")
    assert [part.lag for part in status.parts] == [0, 2, 0, 1]


def test_catching_up_reads_only_partitions_in_which_something_came() -> None:
    game = Game()
    backend = kafka(4)
    one = app(game, backend)
    for name in names(20):
        one.event_store.append(name, Scored(1))
    one.projector.catch_up()
    topic = topic_of(backend)
    topic.calls.clear()
    assert one.projector.catch_up().complete
    assert topic.calls.count("fetch") == 0
    one.event_store.append("player-3", Scored(1))
    topic.calls.clear()
    assert one.projector.catch_up().applied == 1
    assert topic.calls.count("fetch") <= 2


def test_a_token_of_one_append_has_one_part_brought_up() -> None:
    game = Game()
    one = app(game, kafka(4))
    (mine,), (other,) = in_partition(one, 1), in_partition(one, 2)
    view = one.projection_store.view(game.players)
    one.event_store.append(other, Scored(1))
    token = one.event_store.append(mine, Scored(5)).position
    assert view.get(mine, at_least=token) == Player(mine, 5, (5,))
    (status,) = one.projection_store.status()
    assert [part.lag for part in status.parts] == [0, 0, 1, 0]
    assert view.get(other, at_least=token) is None  # a document of another partition knows nothing of it
    assert view.get_many([mine, other], at_least=token) == {mine: Player(mine, 5, (5,))}
    assert view.count(at_least=one.event_store.head()) == 2


def test_a_strong_read_of_a_document_folds_its_partition_alone() -> None:
    game = Game()
    one = app(game, kafka(4))
    (mine,), (other,) = in_partition(one, 1), in_partition(one, 2)
    view = one.projection_store.view(game.players, consistency="strong")
    one.event_store.append(other, Scored(1))
    one.event_store.append(mine, Scored(5))
    assert view.get(mine) == Player(mine, 5, (5,))
    (status,) = one.projection_store.status()
    assert [part.lag for part in status.parts] == [0, 0, 1, 0]
    assert dict(view.items()) == {mine: Player(mine, 5, (5,)), other: Player(other, 1, (1,))}


def test_what_cannot_be_folded_stops_one_partition_only() -> None:
    game = Game(teams=True)
    one = app(game, kafka(4))
    bad = in_partition(one, 2)[0]
    game.bad.add(bad)
    after = in_partition(one, 2, 2)[1]
    for name in (bad, after, *names(20)):
        one.event_store.append(name, Scored(1))
    with pytest.raises(
        ProjectionStopped,
        match=r"'players' stopped at position [0-9]+ .partition 2, offset [0-9]+.: handler scored: Boom",
    ) as stopped:
        one.projector.catch_up()
    assert partition_at(stopped.value.position) == 2
    assert not stopped.value.result.complete
    view = one.projection_store.view(game.players)
    assert {name for name in names(20) if view.get(name)} == {
        name for name in names(20) if partition_of(one, name) != 2
    }
    status, teams = one.projection_store.status()
    assert (status.state, teams.state) == ("stopped", "current")
    assert status.stopped is not None
    assert status.stopped.reason.startswith("in partition 2: handler scored: Boom")
    assert [part.stopped is not None for part in status.parts] == [False, False, True, False]
    game.bad.clear()
    assert one.projector.catch_up().complete
    assert all(view.get(name) for name in (bad, after, *names(20)))


def test_several_partitions_that_stop_are_told_together() -> None:
    game = Game()
    one = app(game, kafka(3))
    for partition in (0, 2):
        bad = in_partition(one, partition)[0]
        game.bad.add(bad)
        one.event_store.append(bad, Scored(1))
    with pytest.raises(ProjectionStopped) as stopped:
        one.projector.catch_up()
    assert stopped.value.projection == "players"
    (status,) = one.projection_store.status()
    assert status.stopped is not None
    assert "also stopped: partition 2" in status.stopped.reason


def test_parked_events_are_those_of_the_parts(views: Backend) -> None:
    game = Game(on_error="park")
    one = app(game, kafka(3, views))
    bad = [in_partition(one, partition)[0] for partition in range(3)]
    game.bad.update(bad)
    for name in (*bad, *bad, *names(9)):
        one.event_store.append(name, Scored(1))
    assert one.projector.catch_up().complete
    (status,) = one.projection_store.status()
    assert status.parked >= 6
    parked = list(one.projector.parked(game.players))
    assert {each.key for each in parked} == set(bad)
    assert {each.projection for each in parked} == {"players"}
    assert {each.key for each in one.projector.parked(game.players, key=bad[1])} == {bad[1]}
    game.bad.remove(bad[1])
    retried = one.projector.retry_parked(game.players)
    assert set(retried.failed) == {bad[0], bad[2]}
    view = one.projection_store.view(game.players)
    assert view.get(bad[1]) is not None
    assert one.projector.discard_parked(game.players, key=bad[0]).left == 0
    game.bad.clear()
    assert one.projector.retry_parked(game.players).left == 0
    assert view.get(bad[0]) is None
    assert view.get(bad[2]) is not None
    assert one.projection_store.status()[0].parked == 0


@pytest.mark.parametrize("partition", [0, 1])
def test_of_two_keys_one_is_tried_again_or_given_up_wherever_it_is(partition: int) -> None:
    game = Game(on_error="park")
    one = app(game, kafka(2))
    first, second, third = *in_partition(one, 1, 2), in_partition(one, partition, 3)[2]
    game.bad.update((first, second, third))
    for name in (first, second, third):
        one.event_store.append(name, Scored(1))
    one.projector.catch_up()
    game.bad.clear()

    def parked() -> set[str]:
        return {each.key for each in one.projector.parked(game.players)}

    assert one.projector.retry_parked(game.players, key=first).done == 1
    assert parked() == {second, third}
    assert one.projector.discard_parked(game.players, key=second).done == 1
    assert parked() == {third}
    view = one.projection_store.view(game.players)
    assert view.get_many([first, second, third]) == {first: Player(first, 1, (1,))}


@pytest.mark.parametrize("partitions", [2, 3])
def test_skipped_events_of_all_parts_are_told_newest_first(partitions: int) -> None:
    clock = Clock()
    game = Game(on_error="skip")
    one = app(game, kafka(partitions), clock)
    game.bad.update(names(9))
    for name in names(9):
        clock.move(1)
        one.event_store.append(name, Scored(1))
        one.projector.catch_up()
    assert [each.key for each in one.projector.skipped(game.players)] == names(9)[::-1]


def test_of_two_keys_in_one_part_each_has_its_own_parked_events() -> None:
    game = Game(on_error="park")
    one = app(game, kafka(2))
    bad = in_partition(one, 1, 2)
    game.bad.update(bad)
    for name in bad:
        one.event_store.append(name, Scored(1))
    one.projector.catch_up()
    assert [[each.key for each in one.projector.parked(game.players, key=key)] for key in bad] == [[key] for key in bad]


def test_skipped_events_of_a_view_as_a_whole_are_told_in_the_order_of_the_log_whatever_the_clock_says() -> None:
    clock = Clock()
    game = Game(on_error="skip", partitioned=False)
    one = app(game, kafka(1), clock)
    game.bad.update(names(3))
    for name in names(3):
        clock.move(-1)
        one.event_store.append(name, Scored(1))
        one.projector.catch_up()
    assert [each.key for each in one.projector.skipped(game.players)] == names(3)[::-1]


def test_documents_that_have_ended_are_deleted_in_each_part() -> None:
    clock = Clock()
    game = Game(ends=True)
    views = Memory()
    one = app(game, kafka(3, views), clock)
    for name in names(9):
        one.event_store.append(name, Lent(clock.now / 1e9 + 10))
    one.projector.catch_up()
    clock.move(1_000)
    again = app(game, Kafka(cast("Kafka", one.backend).topic, views=views), clock)
    assert again.projection_store.view(game.players).count() == 0
    again.projector.catch_up()
    assert all(not build.documents for build in views._state.documents.values())


def test_the_event_loop_face_does_the_same() -> None:
    async def main() -> None:
        game = Game()
        one = connect_async(kafka(3), game.registry, clock=Clock())
        for name in names(9):
            await one.event_store.append(name, Scored(1))
        assert (await one.projector.catch_up()).complete
        view = one.projection_store.view(game.players)
        assert [key async for key, _ in view.items()] == names(9)
        assert await view.index("score").rank("player-8") == 1
        await one.event_store.append("player-1", Left())
        await one.projector.catch_up()
        assert await view.get("player-1") is None
        assert (await one.projector.rebuild(game.players)).complete
        assert [each async for each in one.projector.parked(game.players)] == []
        await one.close()

    asyncio.run(main())


def test_boom_is_raised_where_a_test_says_so() -> None:
    game = Game()
    game.bad.add("player-1")
    one = app(game, kafka(1))
    one.event_store.append("player-1", Scored(1))
    with pytest.raises(ProjectionStopped) as stopped:
        one.projector.catch_up()
    assert isinstance(stopped.value.__cause__, Boom)
