"""Views in parts over time: topics that grow, retention, rebuilds of parts, versions side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from eventsource_upstash import (
    App,
    CatchUp,
    LogTrimmed,
    Memory,
    MemoryKeys,
    Misuse,
    PartitionsChanged,
    Personal,
    ProjectionStopped,
    Projector,
    Rebuilding,
    Registry,
    Unavailable,
    ViewNotBuilt,
)
from eventsource_upstash._flow import parted_care
from eventsource_upstash.backends.kafka.backend import Kafka
from eventsource_upstash.domain.positions import Vector, vector
from eventsource_upstash.ports import Backend, ProjectionId
from tests.kafka.memory_topic import MemoryTopic
from tests.sharing.support import (
    Game,
    Player,
    Scored,
    app,
    in_partition,
    kafka,
    names,
    partition_of,
    topic_of,
)


def test_a_topic_that_has_grown_stops_what_is_in_parts_and_nothing_else() -> None:
    game = Game(teams=True)
    backend = kafka(3)
    one = app(game, backend)
    for name in names(12):
        one.event_store.append(name, Scored(1))
    one.projector.catch_up()
    before = dict(one.projection_store.view(game.players).items())
    topic_of(backend).grow(5)
    again = app(game, Kafka(topic_of(backend), views=backend.inner))
    for name in names(12):
        again.event_store.append(name, Scored(1))
    for each in (one, again):
        with pytest.raises(PartitionsChanged, match=r"'players', version 1, is partitioned=True over 3 .* has 5 now"):
            each.projector.catch_up()
        assert dict(each.projection_store.view(game.players).items()) == before
        assert game.teams is not None
        team = each.projection_store.view(game.teams).get("red")
        assert team is not None
        assert team.events == 24
    grown = Game(version=2, partitioned=False)
    whole = app(grown, Kafka(topic_of(backend), views=backend.inner))
    assert dict(whole.projection_store.view(grown.players).items()) == before  # the one in parts answers meanwhile
    whole.projector.catch_up()
    view = whole.projection_store.view(grown.players)
    assert {player.folded for _, player in view.items()} == {(1, 1)}


def test_a_token_of_a_stream_that_has_moved_is_not_taken_for_reached() -> None:
    game = Game()
    backend = kafka(3)
    one = app(game, backend)
    before = {name: partition_of(one, name) for name in names(12)}
    for name in names(12):
        one.event_store.append(name, Scored(1))
    one.projector.catch_up()
    topic_of(backend).grow(5)
    again = app(game, Kafka(topic_of(backend), views=backend.inner))
    moved = [name for name in names(12) if before[name] != partition_of(again, name) < 3]
    for name in moved:
        token = again.event_store.append(name, Scored(2)).position
        for each in (one, again):
            with pytest.raises(PartitionsChanged):
                each.projection_store.view(game.players).get(name, at_least=token)
    assert moved


def test_parts_of_empty_partitions_have_met_the_head(views: Backend) -> None:
    game = Game()
    one = app(game, kafka(4, views))
    assert one.projection_store.status()[0].live is False
    one.event_store.append("player-1", Scored(1))
    one.projector.catch_up()
    assert one.projection_store.status()[0].live is True


def test_a_view_begun_after_a_topic_has_grown_stops_at_an_event_that_is_elsewhere_than_its_stream() -> None:
    game = Game()
    backend = kafka(2)
    one = app(game, backend)
    for name in names(12):
        one.event_store.append(name, Scored(1))
    topic_of(backend).grow(3)
    again = app(game, Kafka(topic_of(backend), views=Memory()))
    for name in names(12):
        again.event_store.append(name, Scored(1))
    with pytest.raises(ProjectionStopped, match=r"whose events belong in partition 2, and stands in partition [01]"):
        again.projector.catch_up()
    view = again.projection_store.view(game.players)
    assert all(len(player.folded) < 2 for _, player in view.items() if partition_of(again, player.name) == 2)


def test_it_has_folded_what_comes_before_and_says_which_event_of_which_stream_it_was() -> None:
    game = Game()
    backend = kafka(2)
    one = app(game, backend)
    wide = app(game, kafka(3))
    stays, moves = (
        next(name for name in in_partition(one, 1, 9) if partition_of(wide, name) == there) for there in (1, 2)
    )
    for name, points in ((stays, 1), (stays, 2), (moves, 4), (stays, 8)):
        one.event_store.append(name, Scored(points))
    third = [each.position for each in one.event_store.read()][2]
    topic_of(backend).grow(3)
    again = app(game, Kafka(topic_of(backend), views=Memory()))
    told = f"it is of stream '{moves}', whose events belong in partition 2, and stands in partition 1: the topic"
    for _ in range(2):
        with pytest.raises(ProjectionStopped, match=told) as stopped:
            again.projector.catch_up()
        assert stopped.value.position == third
        assert again.projection_store.view(game.players).get(stays) == Player(stays, 3, (1, 2))


def test_a_view_that_was_folded_as_a_whole_is_not_gone_on_with_in_parts() -> None:
    views = Memory()
    topic = MemoryTopic("game", 3)
    whole = Game(partitioned=False)
    one = app(whole, Kafka(topic, views=views))
    one.event_store.append("player-1", Scored(1))
    one.projector.catch_up()
    game = Game()
    again = app(game, Kafka(topic, views=views))
    with pytest.raises(Misuse, match=r"'players', version 1: its view was folded as a whole.*raise its version"):
        again.projector.catch_up()
    newer = Game(version=2)
    later = app(newer, Kafka(topic, views=views))
    view = later.projection_store.view(newer.players)
    assert view.get("player-1") == Player("player-1", 1, (1,))  # answered by the version before
    later.projector.catch_up()
    assert view.get("player-1", at_least=one.event_store.head()) == Player("player-1", 1, (1,))


def test_a_view_in_parts_is_not_begun_anew_as_a_whole() -> None:
    views, topic = Memory(), MemoryTopic("game", 3)
    parted = Game()
    one = app(parted, Kafka(topic, views=views))
    one.event_store.append("player-1", Scored(1))
    one.projector.catch_up()
    game = Game(partitioned=False, teams=True)
    again = app(game, Kafka(topic, views=views))
    for _ in range(2):
        with pytest.raises(Misuse, match=r"'players', version 1: its view is kept in parts.*raise its version"):
            again.projector.catch_up()
    assert game.teams is not None
    assert again.projection_store.view(game.teams).get("red") is not None  # which is held up by nothing


def test_places_that_nobody_sees_are_passed_over_in_each_part() -> None:
    game = Game()
    backend = kafka(3, markers=True)
    one = app(game, backend)
    for name in names(9):
        one.event_store.append(name, Scored(1), Scored(2))  # a transaction, and the place of its marker
    topic_of(backend).gap(1, 5)
    done = one.projector.catch_up()
    assert done.complete
    assert done.position == done.head == one.event_store.head()
    view = one.projection_store.view(game.players, consistency="strong")
    assert {player.folded for _, player in view.items()} == {(1, 2)}
    topic_of(backend).gap(2, 3)
    assert view.count() == 9
    assert one.projection_store.status()[0].lag == 0


def test_personal_data_is_opened_in_each_part() -> None:
    registry = Registry()

    @registry.event("named", subject="id")
    @dataclass(frozen=True)
    class Named:
        id: str
        name: Personal[str | None] = None

    people = registry.projection("people", Player, partitioned=True)

    @people.on(Named)
    def named(person: Player | None, event: Named) -> Player | None:
        return Player(event.name or "nobody")

    backend = kafka(3)
    one = App(backend, registry, None, keys=MemoryKeys())
    for name in names(6):
        one.event_store.append(name, Named(name, f"name of {name}"))
    one.projector.catch_up()
    view = one.projection_store.view(people)
    assert view.get("player-2") == Player("name of player-2")
    assert not any(b"name of" in (record.value or b"") for record in topic_of(backend).records())


def test_personal_data_of_parked_events_is_opened_when_they_are_tried_again() -> None:
    registry = Registry()
    bad = ["player-2"]

    @registry.event("named", subject="id")
    @dataclass(frozen=True)
    class Named:
        id: str
        name: Personal[str | None] = None

    people = registry.projection("people", Player, partitioned=True, on_error="park")

    @people.on(Named)
    def named(person: Player | None, event: Named) -> Player | None:
        if event.id in bad:
            raise ValueError("not now")
        return Player(event.name or "nobody")

    one = App(kafka(3), registry, None, keys=MemoryKeys())
    one.event_store.append("player-2", Named("player-2", "name of player-2"))
    one.projector.catch_up()
    bad.clear()
    assert one.projector.retry_parked(people).done == 1
    assert one.projection_store.view(people).get("player-2") == Player("name of player-2")


def test_what_retention_took_from_one_partition_stops_that_one() -> None:
    game = Game()
    backend = kafka(3)
    one = app(game, backend)
    for name in names(12):
        one.event_store.append(name, Scored(1))
    topic_of(backend).truncate(1, 1)
    with pytest.raises(LogTrimmed):
        one.projector.catch_up()
    view = one.projection_store.view(game.players)
    assert {key for key, _ in view.items()} == {name for name in names(12) if partition_of(one, name) != 1}


def test_a_rebuild_goes_on_in_every_part_and_each_serves_when_it_is_at_the_head(views: Backend) -> None:
    game = Game()
    backend = kafka(3, views)
    one = app(game, backend)
    for name in names(12):
        one.event_store.append(name, Scored(1))
    one.projector.catch_up()
    told: list[Rebuilding] = []
    rebuilt = one.projector.rebuild(game.players, progress=told.append)
    assert (rebuilt.generation, rebuilt.complete, rebuilt.position) == (2, True, one.event_store.head())
    assert rebuilt.head == rebuilt.position
    assert [each.fraction for each in told] == sorted([each.fraction for each in told])
    assert told[-1].fraction == 1.0
    assert {each.projection for each in told} == {"players"}
    (status,) = one.projection_store.status()
    assert (status.generation, [kept.generation for kept in status.kept], status.rebuilding) == (2, [1], None)
    one.event_store.append("player-1", Scored(1))
    one.projector.catch_up()
    assert one.projector.go_back(game.players) == 1
    view = one.projection_store.view(game.players)
    assert view.get("player-1") == Player("player-1", 1, (1,))
    one.projector.catch_up()
    assert view.get("player-1") == Player("player-1", 2, (1, 1))
    with pytest.raises(Misuse, match=r"generation 1 of its view is one that serves"):
        one.projector.drop_generations(game.players, generation=1)
    assert one.projector.drop_generations(game.players).generations == (2,)
    with pytest.raises(Misuse, match=r"a generation before this one of its view is not kept of partition 0, 1, 2"):
        one.projector.go_back(game.players)
    with pytest.raises(Misuse, match=r"generation 9 of its view is not kept"):
        one.projector.go_back(game.players, generation=9)
    assert dict(view.items()) == {
        name: Player(name, 1 + (name == "player-1"), (1,) * (1 + (name == "player-1"))) for name in names(12)
    }


def test_a_rebuild_of_what_is_folded_as_a_whole_is_told_of_beside_views_in_parts() -> None:
    game = Game(teams=True)
    backend = kafka(3)
    one = app(game, backend)
    for name in names(12):
        one.event_store.append(name, Scored(1))
    one.projector.catch_up()
    fresh = Game(teams=True)
    again = app(fresh, Kafka(topic_of(backend), views=backend.inner))
    assert fresh.teams is not None
    told: list[Rebuilding] = []
    assert again.projector.rebuild(fresh.teams, progress=told.append).complete
    assert [(each.projection, each.generation) for each in told] == [("teams", 2)] * len(told)
    assert (told[0].position, told[-1].position, told[-1].fraction) == (0, one.event_store.head(), 1.0)


def test_a_rebuild_that_ran_out_of_time_is_gone_on_with_by_whoever_catches_up() -> None:
    game = Game()
    one = app(game, kafka(3))
    for name in names(12):
        one.event_store.append(name, Scored(1))
    one.projector.catch_up()
    begun = one.projector.rebuild(game.players, time_budget=0)
    (status,) = one.projection_store.status()
    assert begun.generation == 2
    assert one.projector.catch_up().complete
    (status,) = one.projection_store.status()
    assert (status.generation, status.rebuilding) == (2, None)


def test_a_rebuild_without_an_end_is_notified_of_and_the_next_call_goes_on_with_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    game = Game()
    one = app(game, kafka(3))
    for partition in range(3):
        one.event_store.append(in_partition(one, partition)[0], *[Scored(1)] * 5)
    one.projector.catch_up()
    small = Projector(one.event_store, one.projection_store, page_size=2)
    notified: list[int] = []

    async def notify(position: int) -> bool:
        notified.append(position)
        return True

    async def fails(position: int) -> bool:
        raise Unavailable("not now")

    monkeypatch.setattr(one.event_store.notifier.flow, "notify", notify)
    begun = small.rebuild(game.players, time_budget=0)
    head = one.event_store.head()
    assert (begun.complete, begun.position, begun.head) == (False, Vector((2, 2, 2)), head)
    assert notified == [head]
    monkeypatch.setattr(one.event_store.notifier.flow, "notify", fails)
    assert small.rebuild(game.players, time_budget=0).position == Vector((4, 4, 4))
    (told,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert told.endswith("the rebuild of projection 'players': not now")
    monkeypatch.setattr(one.event_store.notifier.flow, "notify", notify)
    done = small.rebuild(game.players)
    assert (done.generation, done.complete, done.position) == (2, True, head)
    assert notified == [head]  # nobody has to go on with it any more


def test_of_the_time_for_a_rebuild_each_part_has_its_share(monkeypatch: pytest.MonkeyPatch) -> None:
    class Still:
        @staticmethod
        def monotonic() -> float:
            return 100.0

    game = Game()
    one = app(game, kafka(3))
    one.projector.catch_up()
    monkeypatch.setattr(parted_care, "time", Still)
    assert one.projector.flow.parting is not None
    budgets: list[float | None] = []
    for number in range(3):
        folding = one.projector.flow.parting.folding(number)

        async def noted(
            until: int | None, budget: float | None, *more: Any, catch_up: Any = folding.catch_up
        ) -> CatchUp:
            budgets.append(budget)
            done: CatchUp = await catch_up(until, budget, *more)
            return done

        monkeypatch.setattr(folding, "catch_up", noted)
    one.projector.rebuild(game.players, time_budget=12.0)
    assert budgets == [4.0, 6.0, 12.0]


def test_of_a_view_that_was_never_folded_there_is_nothing_to_go_back_to() -> None:
    game = Game()
    one = app(game, kafka(3))
    with pytest.raises(Misuse, match=r"a generation before this one of its view is not kept; there is nothing"):
        one.projector.go_back(game.players)


def test_one_of_several_builds_is_deleted_and_the_others_stay() -> None:
    game = Game(teams=True)
    one = app(game, kafka(3))
    assert game.teams is not None
    for name in names(6):
        one.event_store.append(name, Scored(1))
    one.projector.catch_up()
    for view in (game.players, game.teams):
        one.projector.rebuild(view)
        one.projector.rebuild(view)
        assert one.projector.drop_generations(view, generation=1).generations == (1,)
    assert [[kept.generation for kept in each.kept] for each in one.projection_store.status()] == [[2], [2]]


def test_a_rebuild_is_not_begun_anew_in_a_part_that_another_one_has_ended() -> None:
    game = Game()
    backend = kafka(3)
    one, other = app(game, backend), app(game, backend)
    for name in names(12):
        one.event_store.append(name, Scored(1))
    one.projector.catch_up()
    told = 0

    def meanwhile(_: Rebuilding) -> None:
        nonlocal told
        told += 1
        if told == 1:
            assert other.projector.catch_up().complete

    assert one.projector.rebuild(game.players, progress=meanwhile).generation == 2
    (status,) = one.projection_store.status()
    assert [part.generation for part in status.parts] == [2, 2, 2]
    assert status.rebuilding is None


def test_a_rebuild_that_cannot_go_on_in_one_part_goes_on_in_the_others() -> None:
    game = Game()
    one = app(game, kafka(3))
    for name in names(12):
        one.event_store.append(name, Scored(1))
    one.projector.catch_up()
    bad = in_partition(one, 1)[0]
    game.bad.add(bad)
    one.event_store.append(bad, Scored(1))
    with pytest.raises(ProjectionStopped, match="its rebuild, generation 2") as stopped:
        one.projector.rebuild(game.players)
    result = stopped.value.result
    head = vector(one.event_store.head())
    assert (result.applied, result.head, result.complete) == (0, head, False)
    assert vector(result.position) == head.moved({1: 0})  # whose first event was one of the bad player's too
    (status,) = one.projection_store.status()
    assert [part.generation for part in status.parts] == [2, 1, 2]
    assert status.rebuilding is not None
    game.bad.clear()
    assert one.projector.catch_up().complete
    assert [part.generation for part in one.projection_store.status()[0].parts] == [2, 2, 2]


def test_a_version_in_parts_answers_while_the_next_one_is_built_and_can_be_deleted_then() -> None:
    views, topic = Memory(), MemoryTopic("game", 3)
    old = Game()
    one = app(old, Kafka(topic, views=views))
    for name in names(6):
        one.event_store.append(name, Scored(1))
    one.projector.catch_up()
    new = Game(version=2)
    two = app(new, Kafka(topic, views=views))
    view = two.projection_store.view(new.players)
    assert view.count() == 6
    assert view.get("player-1") == Player("player-1", 1, (1,))
    with pytest.raises(ViewNotBuilt, match="in parts and not registered any more") as unread:
        view.index("score").top(3)
    built = unread.value
    assert (built.projection, built.reached, built.head) == ("players", 0, 0)
    assert "projection 'players', version 2, is being built" in str(built)
    two.projector.catch_up()
    assert [key for key, _ in view.index("score").top(6)] == names(6)[::-1]
    assert two.projector.drop_version("players", 1).generations == (1,)
    left = {each.name for each in views._state.builds if each.version == 1}
    assert all(not views._state.documents.get((ProjectionId(name, 1), 1)) for name in left)
    assert view.count() == 6


def test_a_version_that_was_deleted_can_be_begun_again_over_more_partitions() -> None:
    views, topic = Memory(), MemoryTopic("game", 2)
    game = Game()
    one = app(game, Kafka(topic, views=views))
    one.projector.catch_up()
    empty = app(Game(version=2), Kafka(topic, views=views))
    empty.projector.drop_version("players", 1)
    topic.grow(4)
    again = app(Game(), Kafka(topic, views=views))
    for name in names(8):
        again.event_store.append(name, Scored(1))
    assert again.projector.catch_up().complete
    assert [part.partition for part in again.projection_store.status()[0].parts] == [0, 1, 2, 3]


def test_a_version_that_was_folded_as_a_whole_can_be_deleted() -> None:
    views, topic = Memory(), MemoryTopic("game", 3)
    one = app(Game(partitioned=False), Kafka(topic, views=views))
    for name in names(6):
        one.event_store.append(name, Scored(1))
    one.projector.catch_up()
    new = Game(version=2)
    two = app(new, Kafka(topic, views=views))
    two.projector.catch_up()
    assert two.projector.drop_version("players", 1).generations == (1,)
    assert not views._state.documents.get((ProjectionId("players", 1), 1))
    assert two.projection_store.view(new.players).count() == 6


def test_over_one_partition_a_version_can_be_deleted_too() -> None:
    views, topic = Memory(), MemoryTopic("game", 1)
    one = app(Game(), Kafka(topic, views=views))
    one.event_store.append("player-1", Scored(1))
    one.projector.catch_up()
    two = app(Game(version=2), Kafka(topic, views=views))
    assert two.projector.drop_version("players", 1).generations == (1,)
    assert two.projector.drop_version("players", 1).generations == ()


def test_whoever_has_deleted_a_version_reads_it_anew_where_it_is_begun_again() -> None:
    views, topic = Memory(), MemoryTopic("game", 2)
    one = app(Game(), Kafka(topic, views=views))
    for name in names(8):
        one.event_store.append(name, Scored(1))
    one.projector.catch_up()
    new = Game(version=2)
    two = app(new, Kafka(topic, views=views))
    view = two.projection_store.view(new.players)
    assert view.count() == 8  # by the version before
    two.projector.drop_version("players", 1)
    topic.recreate(4)
    again = app(Game(), Kafka(topic, views=views))
    for name in names(12):
        again.event_store.append(name, Scored(1))
    assert again.projector.catch_up().complete
    assert view.count() == 12
