"""An append and a catch-up, two catch-ups, a catch-up and the switch of a rebuild: what the view is afterwards."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from eventsource_upstash import Appended, CatchUp
from eventsource_upstash.testing import Endings, World
from tests.stepping.cases.places import Storage
from tests.stepping.table import Table
from tests.stepping.test_appends import insisting
from tests.views.support import BEGIN, Left, Lent, Scored

STUCK: Final = "zed"
"""A player whose events cannot be folded: they are parked."""

Actors = Callable[[Table], dict[str, Any]]


def filled(storage: Storage, *, ended: bool) -> Table:
    """A view that is behind: of a document it has to change, one to delete, a new one, and one that is parked."""
    table = Table(page_size=1_000, backend=storage.opened(), stepped=storage.stepped)
    desk = table.desk
    desk.append(Scored("ada", 1), Scored("bob", 3))
    if ended:
        desk.append(Lent("eve", BEGIN + 1))
    desk.projector.catch_up()
    table.attach()
    desk.game.bad.add(STUCK)
    if ended:
        desk.clock.now = BEGIN + 100
    desk.append(Scored("ada", 2), Left("bob"))
    desk.append(Scored("cyd", 5), Scored(STUCK, 1))
    return table


def folding(actors: Actors, *, ended: bool = False) -> Callable[[Storage], World]:
    def world(storage: Storage) -> World:
        table = filled(storage, ended=ended)
        reached, head = table.desk.status().checkpoint, table.desk.store.head()
        return World(actors(table), lambda endings: check(table, reached, head, endings))

    return world


def check(table: Table, reached: int, before: int, endings: Endings) -> None:
    assert table.desk.status().checkpoint >= reached, "the view that readers see has gone back"
    for name, ending in endings.items():
        assert ending.ok or ending.crashed, f"{name} raised {ending.error!r}"
        if isinstance(ending.returned, CatchUp):
            assert ending.returned.complete
            assert ending.returned.position >= before, "a catch-up says that it is there, and is not"
            assert table.desk.status().checkpoint >= ending.returned.position, "the checkpoint went back"
        if isinstance(ending.returned, Appended):
            assert ending.returned.position <= table.desk.store.head()
    streams = [each.stream for each in table.desk.store.read()]
    if "writer" in endings:
        times = streams.count("late") // 3
        assert times == 1 if endings["writer"].ok else times <= 1, f"the writer's append is there {times} times"
        assert streams.count("late") in {0, 3}, "an append is there in part"
    if "rebuild" in endings:
        generation = table.desk.status().generation
        assert generation >= 2 if endings["rebuild"].ok else generation >= 1
    table.settles()
    assert table.parked() >= {(STUCK, each.position) for each in table.desk.store.read() if each.event.player == STUCK}


def catching_up(table: Table, page_size: int = 1_000) -> Any:
    projector = table.projector(page_size)
    return insisting(projector.catch_up)


def appending(table: Table) -> Any:
    store = table.store()
    events = [Scored("ada", 4), Left("cyd"), Scored(STUCK, 2)]
    return insisting(lambda: store.append("late", *events, idempotency_key="late"))


def rebuilding(table: Table, page_size: int = 1_000) -> Any:
    projector = table.projector(page_size)
    return insisting(lambda: projector.rebuild(table.desk.game.players))


def append_and_catch_up(table: Table) -> dict[str, Any]:
    return {"writer": appending(table), "projector": catching_up(table)}


def append_and_catch_up_by_pages(table: Table) -> dict[str, Any]:
    return {"writer": appending(table), "projector": catching_up(table, 2)}


def two_catch_ups(table: Table) -> dict[str, Any]:
    return {"one": catching_up(table), "other": catching_up(table)}


def two_catch_ups_by_pages(table: Table) -> dict[str, Any]:
    return {"one": catching_up(table, 2), "other": catching_up(table)}


def catch_up_and_rebuild(table: Table) -> dict[str, Any]:
    return {"projector": catching_up(table), "rebuild": rebuilding(table)}


def append_and_rebuild(table: Table) -> dict[str, Any]:
    return {"writer": appending(table), "rebuild": rebuilding(table)}


def rebuild_by_pages(table: Table) -> dict[str, Any]:
    return {"rebuild": rebuilding(table, 1)}
