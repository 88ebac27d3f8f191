"""What retention has taken from a projection stops that one, loudly, and holds up nobody else."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from eventsource_upstash import App, InProcess, LogTrimmed
from eventsource_upstash.domain.positions import partition_of
from eventsource_upstash.sql import SqlFollower
from tests.kafka.partitioned import Topical
from tests.sql.accounts import Registered, Used, accounts, rows_of, sql_users, users_table
from tests.views.support import COLOURS, Colour, Desk, Game, Scored


def play(desk: Desk, count: int, player: str = "ann") -> list[int]:
    return [desk.store.append(f"stream-{number}", Scored(player, 1)).position for number in range(count)]


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("count", [1, 3])
def test_a_new_projection_on_what_is_left_stops_and_the_others_go_on(colour: Colour, count: int) -> None:
    game = Game()
    backend = Topical(count)
    desk = Desk(backend, game, colour, page_size=2)
    first = play(desk, 6)
    desk.projector.catch_up()
    lost = partition_of(first[0])
    backend.partitions.trim(lost, 1)
    other = game.add(1, name="others")
    more = play(desk, 7, "bob")
    for _ in range(2):
        with pytest.raises(LogTrimmed) as trimmed:
            desk.projector.catch_up()
        assert (trimmed.value.partition, trimmed.value.first, trimmed.value.last) == (lost, 0, 0)
    assert set(desk.documents()["bob"].folded) == set(more)
    assert (desk.status().lag, desk.status(other).lag) == (0, 13)
    assert desk.documents(other) == {}
    assert desk.view().get("bob", at_least=more[-1]) is not None
    with pytest.raises(LogTrimmed):
        desk.view(other).get("bob", at_least=more[-1])


@pytest.mark.parametrize("colour", COLOURS)
def test_a_rebuild_that_lacks_events_is_told_who_asked_for_it_alone(colour: Colour) -> None:
    backend = Topical(2)
    desk = Desk(backend, Game(), colour)
    first = play(desk, 6)
    desk.projector.catch_up()
    backend.partitions.trim(partition_of(first[0]), 1)
    with pytest.raises(LogTrimmed):
        desk.projector.rebuild(desk.game.players)
    more = play(desk, 3, "bob")
    caught_up = desk.projector.catch_up()
    assert caught_up.applied == 3
    assert caught_up.complete
    assert set(desk.documents()["bob"].folded) == set(more)
    assert desk.status().generation == 1


@pytest.mark.parametrize("count", [1, 2])
def test_what_everybody_has_read_may_go(count: int) -> None:
    backend = Topical(count)
    desk = Desk(backend, Game())
    for position in play(desk, 6):
        desk.projector.catch_up()
        backend.partitions.trim(partition_of(position), (position & 0xFFFF))
    assert desk.projector.catch_up().complete
    more = play(desk, 3, "bob")
    assert desk.projector.catch_up().complete
    assert set(desk.documents()["bob"].folded) == set(more)


@pytest.mark.parametrize("count", [1, 2])
def test_tables_go_on_though_the_event_that_they_have_reached_is_gone(count: int) -> None:
    engine = sa.create_engine("sqlite://", poolclass=sa.pool.StaticPool, connect_args={"check_same_thread": False})
    table = users_table()
    table.create(engine)
    known = accounts()
    backend = Topical(count)
    app = App(backend, known.registry, InProcess())
    app.projector.follow(SqlFollower(engine, sql_users(known.registry, table)))
    positions = [app.event_store.append(f"s{number}", Registered(f"u{number}", 5)).position for number in range(4)]
    app.projector.catch_up()
    for position in positions:
        backend.partitions.trim(partition_of(position), position & 0xFFFF)
    app.event_store.append("s0", Used("u0", 2))
    assert app.projector.catch_up().complete
    assert rows_of(engine, table)["u0"] == (5, 2)
    engine.dispose()
