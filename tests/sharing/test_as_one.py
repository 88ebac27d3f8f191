"""How far a view in parts is, and what builds it has, told as of one view."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import msgspec
import pytest

from eventsource_upstash import Misuse
from eventsource_upstash._flow.parted_care import _Watch
from eventsource_upstash._flow.partitions import builds_in_one, in_one, position_in
from eventsource_upstash._flow.rebuilding import Rebuilding
from eventsource_upstash._io.blocking import run
from eventsource_upstash.domain.positions import Vector, position_at, vector
from eventsource_upstash.domain.progress import NO_NOTES, Notes, ProjectionId, Stopped
from eventsource_upstash.ports import Progress, Role
from tests.sharing.support import Game, Player, Scored, app, in_partition, kafka, topic_of

VIEW = ProjectionId("players", 1)


def part(
    number: int,
    place: int,
    generation: int = 1,
    *,
    edition: int = 0,
    role: Role = Role.SERVING,
    met: bool = True,
    notes: Notes = NO_NOTES,
) -> Progress:
    """How far one part is."""
    at = position_at(number, place) if place else 0
    return Progress(VIEW.part(number), generation, at, edition=edition, role=role, met=met, notes=notes)


def places(progress: Progress, count: int) -> list[int]:
    return [vector(progress.checkpoint).at(number) for number in range(count)]


def test_one_view_is_where_its_parts_are() -> None:
    one = in_one(VIEW, {0: part(0, 4, 2), 1: part(1, 0, 7), 2: part(2, 5, 3)}, 3)
    assert one.projection == VIEW
    assert places(one, 3) == [4, 0, 5]
    assert (one.generation, one.role, one.met) == (7, Role.SERVING, True)
    assert [number for number, _ in one.parts] == [0, 1, 2]
    kept = in_one(VIEW, {1: part(1, 3, 2, role=Role.KEPT), 0: part(0, 2, 2, role=Role.KEPT, met=False)}, 2)
    assert (kept.role, kept.met, [number for number, _ in kept.parts]) == (Role.KEPT, False, [0, 1])


def test_of_no_part_nothing_was_folded() -> None:
    one = in_one(VIEW, {}, 3)
    assert (one.generation, one.checkpoint, one.role, one.met, one.parts) == (1, Vector(), Role.SERVING, True, ())
    assert (one.notes.shape, one.notes.stopped) == ("", None)


def test_of_one_partition_it_is_a_number() -> None:
    one = in_one(VIEW, {0: part(0, 4)}, 1)
    assert (one.checkpoint, type(one.checkpoint)) == (4, int)
    assert position_in({}, 1) == 0
    assert position_in({0: 3}, 2) == Vector().moved({0: 3})


def test_another_state_of_any_part_has_another_edition() -> None:
    parts = {0: part(0, 4), 1: part(1, 5)}
    states = [
        parts,
        {**parts, 0: part(0, 5)},
        {**parts, 1: part(1, 4)},
        {**parts, 1: part(1, 5, edition=1)},
        {**parts, 0: part(0, 4, edition=1)},
        {**parts, 0: part(0, 4, 2)},
        {0: parts[0]},
        {1: parts[1]},
    ]
    assert len({in_one(VIEW, each, 2).edition for each in states}) == len(states)
    assert in_one(VIEW, dict(reversed(parts.items())), 2).edition == in_one(VIEW, parts, 2).edition


def test_notes_are_summed_and_what_has_stopped_is_told_of_each() -> None:
    def noted(number: int, place: int, stopped: bool, shape: str) -> Progress:
        why = Stopped(position_at(number, 9), f"boom {number}", 100 + number) if stopped else None
        notes = msgspec.structs.replace(NO_NOTES, stopped=why, parked=number + 1, skipped=10, shape=shape)
        return part(number, place, notes=notes)

    one = in_one(VIEW, {2: noted(2, 3, True, "a b c"), 1: noted(1, 4, True, "c b"), 0: noted(0, 0, False, "x")}, 3)
    assert (one.notes.parked, one.notes.skipped) == (6, 30)
    assert one.notes.shape in ("b c", "c b")  # by what the documents of each part that was folded are found
    stopped = one.notes.stopped
    assert stopped is not None
    assert (stopped.position, stopped.since_us) == (position_at(1, 9), 101)
    assert stopped.reason == "in partition 1: boom 1 (also stopped: partition 2)"

    def reason(*stops: bool) -> str:
        one = in_one(VIEW, {number: noted(number, 1, stop, "x") for number, stop in enumerate(stops)}, len(stops))
        assert one.notes.stopped is not None
        return one.notes.stopped.reason

    assert reason(False, True) == "in partition 1: boom 1"
    assert reason(True, True, False, True) == "in partition 0: boom 0 (also stopped: partition 1, 3)"


def test_all_builds_of_the_parts_are_builds_of_the_view() -> None:
    building, kept, dropped = Role.BUILDING, Role.KEPT, Role.DROPPED
    builds = {
        0: [part(0, 9, 2), part(0, 4, 3, role=building), part(0, 8, 1, role=kept)],
        1: [part(1, 7, 3), part(1, 6, 2, role=kept), part(1, 5, 1, role=dropped)],
        2: [part(2, 3, 2), part(2, 0, 3, role=building), part(2, 2, 1, role=kept)],
    }
    serving, rebuilt, second, first = builds_in_one(VIEW, builds, 3)
    assert (serving.generation, serving.role, places(serving, 3)) == (3, Role.SERVING, [9, 7, 3])
    # Of the part in which the rebuild has taken its place, that counts.
    assert (rebuilt.generation, rebuilt.role, places(rebuilt, 3)) == (3, building, [4, 7, 0])
    assert (second.generation, second.role, places(second, 3)) == (2, kept, [0, 6, 0])
    assert (first.generation, first.role, places(first, 3)) == (1, dropped, [8, 5, 2])


def test_what_is_built_is_told_by_its_own_generation_whatever_a_part_serves() -> None:
    """Parts may number their builds otherwise: of one of them a rebuild was given up, say."""
    builds = {
        0: [part(0, 9, 2), part(0, 4, 3, role=Role.BUILDING)],
        1: [part(1, 7, 5), part(1, 6, 4, role=Role.KEPT)],
    }
    found = builds_in_one(VIEW, builds, 2)
    assert [(each.generation, each.role) for each in found] == [
        (5, Role.SERVING),
        (3, Role.BUILDING),
        (4, Role.KEPT),
    ]


def test_of_one_partition_all_builds_are_at_numbers() -> None:
    builds = {0: [part(0, 9, 2), part(0, 4, 3, role=Role.BUILDING), part(0, 8, 1, role=Role.KEPT)]}
    found = builds_in_one(VIEW, builds, 1)
    assert [(each.checkpoint, type(each.checkpoint)) for each in found] == [(9, int), (4, int), (8, int)]


def test_an_edition_is_a_number_for_everybody() -> None:
    editions = [in_one(VIEW, {0: part(0, place)}, 1).edition for place in range(1, 9)]
    assert all(0 <= edition < 2**53 for edition in editions)  # JSON's, JavaScript's


def test_without_a_rebuild_there_is_none() -> None:
    builds = {0: [part(0, 9, 2), part(0, 8, 1, role=Role.KEPT)], 1: [part(1, 7, 2)]}
    assert [(each.generation, each.role) for each in builds_in_one(VIEW, builds, 2)] == [
        (2, Role.SERVING),
        (1, Role.KEPT),
    ]


def watch(told: list[Rebuilding] | None, begun: Mapping[int, Progress], heads: Mapping[int, int]) -> _Watch:
    return _Watch(Game().players, begun, heads, None if told is None else told.append)


def test_a_rebuild_of_all_parts_tells_how_far_all_of_them_are() -> None:
    told: list[Rebuilding] = []
    watched = watch(told, {0: part(0, 2, 3), 1: part(1, 0, 4)}, {0: 6, 1: 4})
    assert (watched.generation, watched.position, watched.head) == (4, Vector((2,)), Vector((6, 4)))
    of = watched.of(1)

    def page(position: int, head: int) -> Rebuilding:
        of(Rebuilding("players", 4, position_at(1, position), position_at(1, head), 0.0, None))
        return told[-1]

    first = page(0, 4)
    assert (first.position, first.head, first.remaining) == (Vector((2,)), Vector((6, 4)), None)
    second = page(3, 5)
    assert (second.projection, second.generation) == ("players", 4)
    assert (second.position, second.head) == (Vector((2, 3)), Vector((6, 5)))
    # Three of nine places are done that were to be done: twice as long is left as it took.
    assert second.remaining == pytest.approx(second.elapsed * 6 / 3)
    assert page(1, 1).position == Vector((2, 3))  # never back
    watched.note(0, position_at(0, 6), position_at(0, 6))
    assert len(told) == 3  # that is for whoever rebuilds
    last = page(5, 5)
    assert (last.position, last.remaining) == (Vector((6, 5)), 0.0)


def test_a_rebuild_with_nothing_to_do_has_nothing_left() -> None:
    told: list[Rebuilding] = []
    watched = watch(told, {0: part(0, 6)}, {0: 6})
    watched.of(0)(Rebuilding("players", 1, 6, 6, 0.0, None))
    assert (told[0].position, told[0].head, told[0].remaining, told[0].fraction) == (6, 6, 0.0, 1.0)
    assert (type(told[0].position), type(told[0].head)) == (int, int)  # of one partition, plain numbers
    watch(None, {0: part(0, 6)}, {0: 6}).of(0)(told[0])  # nobody wants to know


def test_what_an_answer_about_keys_has_to_have_reached_is_their_partitions_place() -> None:
    game = Game(teams=True)
    backend = kafka(3)
    one = app(game, backend)
    keys = [in_partition(one, number)[0] for number in range(3)]
    for key in keys * 2:
        one.event_store.append(key, Scored(1))
    one.projector.catch_up()
    partitions = one.projection_store.partitions
    assert partitions is not None
    assert game.teams is not None
    head = one.event_store.head()

    def needed(*wanted: str, of: ProjectionId = game.players.id) -> list[int]:
        reached = run(partitions.needed(of, wanted, head))
        return [vector(reached).at(number) for number in range(3)]

    assert needed(keys[1]) == [0, 2, 0]
    assert needed(keys[0], keys[2]) == [2, 0, 2]
    assert needed(*keys) == [2, 2, 2]
    assert needed(keys[1], of=game.teams.id) == [2, 2, 2]  # a whole view needs all of it
    topic_of(backend).grow(4)
    assert needed(keys[1]) == [2, 2, 2]  # its events may be in another one by now
    single = app(Game(), kafka(1)).projection_store.partitions
    assert single is not None
    assert type(run(single.needed(game.players.id, ["player-1"], 5))) is int
    fresh = app(Game(), kafka(2))
    other = fresh.projection_store.partitions
    assert other is not None
    (key,) = in_partition(fresh, 1)
    token = Vector((3, 4))
    assert run(other.needed(game.players.id, [key], cast("int", token))) == Vector((0, 4))  # before its first fold


def test_going_back_to_a_generation_is_done_where_each_part_has_it_or_serves_it() -> None:
    game = Game()
    one = app(game, kafka(3))
    for number in range(3):
        one.event_store.append(in_partition(one, number)[0], Scored(1))
    one.projector.catch_up()
    one.projector.rebuild(game.players)
    for _ in range(2):  # the second time it serves already
        assert one.projector.go_back(game.players, generation=1) == 1
    with pytest.raises(Misuse, match=r"generation 9 of its view is not kept of partition 0, 1, 2"):
        one.projector.go_back(game.players, generation=9)
    assert one.projection_store.status()[0].generation == 1


def test_in_a_log_of_partitions_a_view_that_is_folded_as_a_whole_is_gone_back_to_as_ever() -> None:
    game = Game(teams=True)
    one = app(game, kafka(3))
    assert game.teams is not None
    for number in range(3):
        one.event_store.append(in_partition(one, number)[0], Scored(1))
    one.projector.catch_up()
    for view in (game.players, game.teams):
        one.projector.rebuild(view)
        one.projector.rebuild(view)
        assert one.projector.go_back(view, generation=1) == 1
        assert one.projector.go_back(view) == 3
    assert [each.generation for each in one.projection_store.status()] == [3, 3]
    bad = in_partition(one, 1)[0]
    assert one.projector.go_back(game.players, generation=2) == 2
    one.event_store.append(bad, Scored(5))
    assert one.projector.catch_up().complete  # each part goes on from where it was
    assert one.projection_store.view(game.players).get(bad) == Player(bad, 6, (1, 5))
