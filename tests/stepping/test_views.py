"""What lasts in views, in every order: rebuilds, parked events, ends and fresh reads beside catch-ups and appends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from eventsource_upstash.testing import Endings, Explored, World, explore
from tests.stepping.cases.drawing import by_turns
from tests.stepping.table import Table, fine
from tests.views.support import BEGIN, Left, Lent, Player, Scored

Note = Callable[[str, object], None]


def tried(world: Callable[[], World], **bounds: int) -> Explored:
    with by_turns() as turns:
        return explore(lambda: turns(world), merging=True, **bounds)


def rebuilding(*, catch_ups: int, page_size: int = 2, append: bool = True, read: bool = False) -> Callable[[], World]:
    def world() -> World:
        table = Table(page_size=page_size)
        table.desk.append(Scored("ada", 1), Scored("bob", 1), Left("bob"))
        table.desk.projector.catch_up()
        table.attach()
        actors: dict[str, Any] = {
            "rebuild": table.projector().rebuild(table.desk.game.players),
            **{f"projector {number}": table.projector().catch_up() for number in range(catch_ups)},
        }
        if append:
            actors["writer"] = table.store().append("game", Scored("ada", 2), Left("eve"))
        if read:
            actors["reader"] = table.views().view(table.desk.game.players).get("ada")

        def check(endings: Endings) -> None:
            fine(endings)
            if read and endings["reader"].ok:
                answer = endings["reader"].returned
                assert isinstance(answer, Player), "a reader sees the build that is being made"
                assert answer.folded in {(1,), (1, 4)}
            table.settles()
            assert table.desk.status().generation == 2 or endings["rebuild"].crashed

        return World(actors, check, table.stored)

    return world


def test_a_rebuild_two_catch_ups_and_an_append(record_property: Note) -> None:
    explored = tried(rebuilding(catch_ups=2), switches=1)
    record_property("schedules", explored.schedules)
    assert explored.schedules >= 50


def test_a_rebuild_and_a_catch_up_in_every_order(record_property: Note) -> None:
    explored = tried(rebuilding(catch_ups=1, page_size=1_000, append=False))
    record_property("schedules", explored.schedules)
    assert explored.schedules == 11


def test_a_rebuild_that_crashes_anywhere(record_property: Note) -> None:
    explored = tried(rebuilding(catch_ups=1), crashes=1, switches=1)
    record_property("schedules", explored.schedules)
    assert explored.crashes >= 50


def test_readers_never_see_what_is_being_built(record_property: Note) -> None:
    explored = tried(rebuilding(catch_ups=0, page_size=2, read=True))
    record_property("schedules", explored.schedules)
    assert explored.schedules == 43


def test_two_rebuilds(record_property: Note) -> None:
    def world() -> World:
        table = Table(page_size=2)
        table.desk.append(Scored("ada", 1), Scored("bob", 1), Left("bob"))
        table.desk.projector.catch_up()
        table.attach()

        def check(endings: Endings) -> None:
            fine(endings)
            table.settles()
            # They join, or the second begins after the first is done.
            assert table.desk.status().generation in {1, 2, 3}

        actors = {name: table.projector().rebuild(table.desk.game.players) for name in ("left", "right")}
        return World(actors, check, table.stored)

    explored = tried(world, crashes=1)
    record_property("schedules", explored.schedules)
    assert explored.schedules == 612


def parked_table() -> Table:
    table = Table()
    table.desk.append(Scored("ada", 1), Scored("bob", 1))
    table.desk.projector.catch_up()
    table.attach()
    table.desk.game.bad |= {"ada", "bob"}
    table.desk.append(Scored("ada", 2), Scored("bob", 2), Scored("ada", 3))
    table.desk.projector.catch_up()
    table.holds()
    table.desk.game.bad.clear()
    return table


def retrying(actors: Callable[[Table], dict[str, Any]]) -> Callable[[], World]:
    def world() -> World:
        table = parked_table()
        table.desk.append(Scored("ada", 4), Scored("eve", 1))

        def check(endings: Endings) -> None:
            fine(endings)
            table.settles()
            table.desk.projector.retry_parked(table.desk.game.players)
            table.settles()
            assert table.parked() == frozenset()
            assert table.folded()["ada"] == (1, 3, 5, 6), "each once, and in order"

        return World(actors(table), check, table.stored)

    return world


def test_a_retry_and_a_catch_up(record_property: Note) -> None:
    explored = tried(
        retrying(
            lambda table: {
                "retry": table.projector().retry_parked(table.desk.game.players),
                "projector": table.projector().catch_up(),
            }
        ),
        crashes=1,
    )
    record_property("schedules", explored.schedules)
    assert explored.schedules == 833


def test_two_retries_and_a_catch_up(record_property: Note) -> None:
    explored = tried(
        retrying(
            lambda table: {
                "left": table.projector().retry_parked(table.desk.game.players),
                "right": table.projector().retry_parked(table.desk.game.players),
                "projector": table.projector().catch_up(),
            }
        ),
        switches=1,
    )
    record_property("schedules", explored.schedules)
    assert explored.schedules >= 50


def test_a_retry_and_a_rebuild(record_property: Note) -> None:
    explored = tried(
        retrying(
            lambda table: {
                "retry": table.projector().retry_parked(table.desk.game.players),
                "rebuild": table.projector().rebuild(table.desk.game.players),
            }
        ),
        crashes=1,
        switches=2,
    )
    record_property("schedules", explored.schedules)
    assert explored.schedules >= 50


def test_an_end_and_a_fold_that_revives(record_property: Note) -> None:
    def world() -> World:
        table = Table()
        table.desk.append(Scored("ada", 1), Lent("ada", BEGIN + 1), Scored("bob", 1))
        table.desk.projector.catch_up()
        table.desk.clock.now = BEGIN + 100
        revived = table.desk.append(Scored("ada", 7))

        def check(endings: Endings) -> None:
            fine(endings)
            table.desk.another().projector.catch_up()
            assert table.folded() == {"ada": (revived,), "bob": (3,)}
            assert table.desk.index("score").rank("ada") == 1

        return World({name: table.projector().catch_up() for name in ("left", "right")}, check, table.stored)

    explored = tried(world, crashes=1)
    record_property("schedules", explored.schedules)
    assert explored.schedules == 34


def test_strong_reads_and_catch_ups(record_property: Note) -> None:
    def world() -> World:
        table = Table(page_size=1)
        table.desk.append(Scored("ada", 1), Scored("ada", 2))
        table.attach()
        players = table.desk.game.players

        def check(endings: Endings) -> None:
            for name, ending in endings.items():
                assert ending.ok, ending
                if name.startswith("reader"):
                    assert isinstance(ending.returned, Player)
                    assert ending.returned.folded[:2] == (1, 2)
            table.settles()

        readers = {
            f"reader {number}": table.views().view(players, consistency="strong").get("ada") for number in range(2)
        }
        writer = table.store().append("game", Scored("ada", 3))
        return World({**readers, "projector": table.projector().catch_up(), "writer": writer}, check, table.stored)

    explored = tried(world, switches=1)
    record_property("schedules", explored.schedules)
    assert explored.schedules >= 50
