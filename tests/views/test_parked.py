"""Events whose folds fail, set aside key by key: in order, until they are tried again or given up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import msgspec
import pytest

from eventsource_upstash import (
    Memory,
    MemoryKeys,
    Misuse,
    Personal,
    Projection,
    ProjectionStopped,
    Registry,
    SkippedEvent,
    SQLite,
    connect,
)
from eventsource_upstash._flow import catching_up, noting
from eventsource_upstash.ports import Backend
from tests.views.support import BEGIN, Colour, Desk, Game, Left, Lent, Met, Scored


def parking(backend: Backend, colour: Colour, **options: Any) -> Desk:
    return Desk(backend, Game(on_error="park"), colour, **options)


def told(desk: Desk, **options: Any) -> list[tuple[str, int, int]]:
    return [(each.key, each.position, each.attempts) for each in desk.projector.parked(desk.game.players, **options)]


def test_what_fails_waits_with_all_that_follows_of_its_key(everywhere: Backend, colour: Colour) -> None:
    desk = parking(everywhere, colour, page_size=2)
    other = desk.game.add(1, name="others")
    desk.append(Scored("ada", 1), Scored("bob", 1))
    desk.projector.catch_up()
    desk.game.bad.add("ada")
    desk.append(Scored("ada", 2), Scored("bob", 2), Scored("ada", 4), Lent("bob", 2e9), Scored("eve", 1))
    with pytest.raises(ProjectionStopped, match="'others' stopped at position 3"):
        desk.projector.catch_up()
    assert desk.status().checkpoint == 7, "one that parks is held up by nobody"
    assert told(desk) == [("ada", 3, 1), ("ada", 5, 0)]
    first, second = desk.projector.parked(desk.game.players)
    assert (first.projection, first.stream, first.type, first.error) == ("players", "game", "scored", first.error)
    assert "Boom: ada" in first.error
    assert "support.py" in first.traceback
    assert (second.error, second.traceback) == ("", "")
    assert first.first == first.last
    assert told(desk, key="ada") == told(desk)
    assert told(desk, key="bob") == []
    documents = desk.documents()
    assert (documents["ada"].score, documents["bob"].score, documents["eve"].score) == (1, 3, 1)
    assert (desk.status().parked, desk.status().state) == (2, "current")
    assert desk.index("score").rank("ada") == 3

    desk.clock.now += 60
    failed = desk.projector.retry_parked(desk.game.players)
    assert (failed.done, failed.left, failed.failed) == (0, 2, ("ada",))
    assert told(desk) == [("ada", 3, 2), ("ada", 5, 0)], "it goes back to the front"
    again = desk.projector.parked(desk.game.players)[0]
    assert (again.last - again.first).total_seconds() == 60

    desk.game.bad.clear()
    desk.append(Scored("ada", 8))
    desk.projector.catch_up()
    assert told(desk) == [("ada", 3, 2), ("ada", 5, 0), ("ada", 8, 0)], "what comes now waits as well"
    done = desk.another().projector.retry_parked(desk.game.players)
    assert (done.done, done.left, done.failed) == (3, 0, ())
    assert desk.documents()["ada"].folded == (1, 3, 5, 8)
    assert desk.index("score").rank("ada") == 1
    assert (told(desk), desk.status().parked) == ([], 0)
    desk.append(Scored("ada", 1))
    desk.projector.catch_up()
    assert desk.documents()["ada"].folded == (1, 3, 5, 8, 9)
    assert desk.documents() == desk.documents(other)


def test_a_retry_gets_as_far_as_it_can(backend: Backend, colour: Colour) -> None:
    desk = parking(backend, colour)
    desk.game.bad |= {"ada", "bob"}
    desk.append(Scored("ada", 1), Scored("bob", 1), Scored("ada", 2), Left("bob"), Scored("bob", 3))
    desk.projector.catch_up()
    desk.game.bad.discard("bob")
    part = desk.projector.retry_parked(desk.game.players)
    assert (part.done, part.left, part.failed) == (3, 2, ("ada",))
    assert desk.documents()["bob"].folded == (5,)
    none = desk.projector.retry_parked(desk.game.players, key="bob")
    assert (none.done, none.left, none.failed) == (0, 2, ())
    # The first of a key goes well, the second fails.
    desk.game.bad.clear()
    desk.game.value["ada"] = "fine"
    normal = desk.game.folded
    desk.game.folded = lambda *a: normal(*a) if a[1].position != 3 else 1 / 0  # type: ignore[assignment,return-value]
    half = desk.projector.retry_parked(desk.game.players, key="ada")
    assert (half.done, half.left, half.failed) == (1, 1, ("ada",))
    assert told(desk) == [("ada", 3, 1)]
    assert desk.documents()["ada"].folded == (1,)


def test_one_event_of_several_documents(everywhere: Backend, colour: Colour) -> None:
    desk = parking(everywhere, colour)
    desk.game.bad.add("ada")
    desk.append(Met("ada", "bob"), Met("bob", "eve"), Met("eve", "ada"))
    desk.projector.catch_up()
    assert told(desk) == [("ada", 1, 1), ("ada", 3, 0)]
    assert {key: player.folded for key, player in desk.documents().items()} == {"bob": (1, 2), "eve": (2, 3)}
    desk.game.bad.clear()
    assert desk.projector.retry_parked(desk.game.players).done == 2
    assert {key: player.folded for key, player in desk.documents().items()} == {
        "ada": (1, 3),
        "bob": (1, 2),
        "eve": (2, 3),
    }


def test_what_is_given_up(everywhere: Backend, colour: Colour) -> None:
    desk = parking(everywhere, colour)
    desk.game.bad |= {"ada", "bob"}
    desk.append(Scored("ada", 1), Scored("bob", 1), Scored("ada", 2))
    desk.projector.catch_up()
    given = desk.projector.discard_parked(desk.game.players, key="ada")
    assert (given.done, given.left) == (2, 1)
    desk.game.bad.clear()
    desk.append(Scored("ada", 4))
    desk.projector.catch_up()
    assert desk.documents()["ada"].folded == (4,)
    assert desk.projector.discard_parked(desk.game.players).done == 1
    assert desk.projector.discard_parked(desk.game.players).done == 0
    assert desk.projector.rebuild(desk.game.players).complete
    assert desk.documents()["ada"].folded == (1, 3, 4), "they stay in the log"


def test_what_does_not_decode_stops(backend: Backend, colour: Colour) -> None:
    desk = parking(backend, colour)
    writer = Registry()

    @writer.event("scored")
    @dataclass(frozen=True)
    class Other:
        what: list[int]

    from eventsource_upstash import EventStore

    desk.append(Scored("ada", 1))
    EventStore(backend, writer).append("game", Other([1]))
    desk.append(Scored("bob", 1))
    with pytest.raises(ProjectionStopped, match=r"'players' stopped at position 2: .*does not decode"):
        desk.projector.catch_up()
    assert (told(desk), desk.documents().keys()) == ([], {"ada"})


def test_too_many(backend: Backend, colour: Colour, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (noting, catching_up):
        monkeypatch.setattr(module, "MAX_PARKED", 3)
    desk = parking(backend, colour)
    desk.game.bad |= {"ada", "bob"}
    desk.append(Scored("ada", 1), Met("ada", "bob"), Scored("eve", 1), Met("bob", "ada"), Scored("eve", 2))
    for _ in range(2):
        with pytest.raises(
            ProjectionStopped, match=r"'players' stopped at position 4: 3 events are parked, and no more"
        ):
            desk.projector.catch_up()
        assert told(desk) == [("ada", 1, 1), ("ada", 2, 0), ("bob", 2, 1)]
        assert desk.documents()["eve"].folded == (3,)
        assert desk.status().state == "stopped"
        desk = desk.another()
    desk.game.bad.discard("ada")
    assert desk.projector.retry_parked(desk.game.players).done == 2
    assert desk.projector.catch_up().complete
    assert told(desk) == [("bob", 2, 2), ("bob", 4, 0)]
    assert desk.documents()["eve"].folded == (3, 5)
    assert desk.documents()["ada"].folded == (1, 2, 4)


def test_nothing_is_tried_again_with_other_indexes_than_the_view_was_built_with() -> None:
    desk = Desk(Memory(), Game(on_error="park", indexes=("score", "team")))
    desk.game.bad.add("ada")
    desk.append(Scored("ada", 1), Scored("bob", 2))
    desk.projector.catch_up()
    later = desk.another(Game(on_error="park", indexes=("score",)))
    with pytest.raises(Misuse, match=r"'players' was built with other indexes .*raise its version above 1"):
        later.projector.retry_parked(later.game.players)
    assert told(later) == [("ada", 1, 1)]
    desk.game.bad.clear()  # and back to the code of before
    assert desk.projector.retry_parked(desk.game.players).done == 1
    assert [key for key, _ in desk.index("team").equal("odd")] == ["ada"]


def test_a_policy_that_changes_loses_nothing_that_waits(backend: Backend, colour: Colour) -> None:
    desk = parking(backend, colour)
    desk.game.bad.add("ada")
    desk.append(Scored("ada", 1))
    desk.projector.catch_up()
    for policy in ("stop", "skip"):
        later = desk.another(Game(on_error=policy))
        later.game.bad.add("worse")
        later.append(Scored("ada", 2), Scored("bob", 1))
        if policy == "skip":
            later.append(Scored("worse", 1))
        later.projector.catch_up()
        assert later.projector.skipped(later.game.players) == () or policy == "skip"
    assert told(later) == [("ada", 1, 1), ("ada", 2, 0), ("ada", 4, 0)]
    assert [each.key for each in later.projector.skipped(later.game.players)] == ["worse"]
    assert later.projector.retry_parked(later.game.players).done == 3
    assert later.documents()["ada"].folded == (1, 2, 4)


def test_a_rebuild_parks_for_itself(everywhere: Backend, colour: Colour) -> None:
    desk = parking(everywhere, colour)
    desk.game.bad.add("ada")
    desk.append(Scored("ada", 1), Scored("ada", 2), Scored("bob", 1))
    desk.projector.catch_up()
    desk.projector.retry_parked(desk.game.players)
    desk.projector.rebuild(desk.game.players)
    assert told(desk) == [("ada", 1, 1), ("ada", 2, 0)]
    desk.game.bad.clear()
    desk.projector.retry_parked(desk.game.players)
    assert desk.documents()["ada"].folded == (1, 2)
    desk.projector.go_back(desk.game.players)
    assert told(desk) == [("ada", 1, 2), ("ada", 2, 0)]
    assert desk.projector.drop_generations(desk.game.players).generations == (2,)
    assert desk.projector.rebuild(desk.game.players).complete
    assert desk.projector.drop_generations(desk.game.players).generations == (1,)
    assert (told(desk), desk.documents()["ada"].folded) == ([], (1, 2))


def test_skipped(everywhere: Backend, colour: Colour) -> None:
    desk = Desk(everywhere, Game(on_error="skip"), colour)
    desk.game.bad.add("ada")
    desk.append(*[Scored("ada", 1)] * 3, Scored("bob", 1))
    assert desk.projector.catch_up().complete
    skipped = desk.projector.skipped(desk.game.players)
    assert [(each.number, each.position, each.key) for each in skipped] == [(3, 3, "ada"), (2, 2, "ada"), (1, 1, "ada")]
    assert "Boom: ada" in skipped[0].error
    desk.game.bad.clear()
    desk.append(Scored("ada", 1))
    desk.projector.catch_up()
    assert desk.documents()["ada"].folded == (5,)
    assert (desk.status().skipped, desk.status().state) == (3, "current")
    desk.game.bad.add("ada")
    desk.append(*[Scored("ada", 1)] * 150)
    desk.projector.catch_up()
    skipped = desk.projector.skipped(desk.game.players)
    assert [each.number for each in skipped] == list(range(153, 53, -1)), "the last hundred"


@dataclass(frozen=True)
class Moved:
    customer: str
    city: Personal[str]


@dataclass(frozen=True)
class Home:
    moves: int


@pytest.mark.parametrize("policy", ["park", "skip", "stop"])
def test_personal_data_of_an_event_that_fails_is_not_stored_in_clear(
    tmp_path: Path, colour: Colour, policy: Any
) -> None:
    game = Game()
    game.registry.event("moved", subject="customer")(Moved)
    homes = game.registry.projection("homes", Home, on_error=policy)
    failing = True

    @homes.on(Moved, key="customer")
    def moved(home: Home | None, event: Moved) -> Home:
        if failing:
            raise ValueError(f"no such city: {event.city}")
        return Home(home.moves + 1 if home else 1)

    path = tmp_path / "views.db"
    backend = SQLite(path)
    desk = Desk(backend, game, colour, keys=MemoryKeys())
    desk.append(Moved("c-1", "Xanaduville"), Moved("c-1", "Xanaduville"))
    if policy == "stop":
        with pytest.raises(ProjectionStopped, match="handler moved: ValueError") as caught:
            desk.projector.catch_up()
        assert "Xanaduville" not in str(caught.value)
        assert "Xanaduville" not in desk.status(homes).stopped.reason
    else:
        desk.projector.catch_up()
    stored = b"".join(each.read_bytes() for each in tmp_path.iterdir())
    assert b"ValueError" in stored
    assert b"Xanaduville" not in stored
    if policy == "park":
        failed = desk.projector.retry_parked(homes)
        assert failed.failed == ("c-1",)
        failing = False
        assert desk.projector.retry_parked(homes).done == 2
        assert desk.documents(homes) == {"c-1": Home(2)}
    backend.close()


def test_what_is_told_of_a_parked_event_is_how_it_failed_last() -> None:
    game = Game(on_error="park")
    trouble: list[Callable[[], None]] = [first_trouble]
    others = game.registry.projection("others", Left, on_error="park")

    @others.on(Left)
    def left(document: Left | None, event: Left) -> Left:
        trouble[0]()
        return event

    desk = Desk(Memory(), game, "blocking")
    desk.append(Left("ada"))
    desk.projector.catch_up()
    (first,) = desk.projector.parked(others)
    assert "LookupError" in first.error
    assert "in first_trouble" in first.traceback
    assert all(line.startswith("  ") for line in first.traceback.splitlines()), "frames, as Python tells them"
    trouble[0] = second_trouble
    assert desk.projector.retry_parked(others).left == 1
    (again,) = desk.projector.parked(others)
    assert "ArithmeticError" in again.error
    assert "in second_trouble" in again.traceback
    assert "in first_trouble" not in again.traceback


@dataclass(frozen=True)
class Named:
    name: str


def named(version: int) -> tuple[Registry, Projection[Named]]:
    """Names of which the first version cannot be folded, and cannot be brought up to the second one."""
    registry = Registry()
    if version > 1:
        registry.upcast("named", from_version=1)(lambda _: second_trouble())
    registry.event("named", version=version)(Named)
    names = registry.projection("names", Named, on_error="park")
    names.on(Named)(lambda _, event: first_trouble())
    return registry, names


def test_a_parked_event_that_is_decoded_no_more_stays_and_tells_why() -> None:
    backend = Memory()
    registry, _ = named(1)
    app = connect(backend, registry)
    app.event_store.append("s", Named("ada"))
    app.projector.catch_up()
    unknown = Registry()
    for registry, names, told in (
        (*named(2), "the upcaster from version 1: ArithmeticError"),
        (unknown, unknown.projection("names", Named, on_error="park"), "'named'"),
    ):
        later = connect(backend, registry)
        assert later.projector.retry_parked(names).left == 1
        (parked,) = later.projector.parked(names)
        assert told in parked.error
        assert parked.traceback == "", "no fold was called"


def first_trouble() -> Any:
    raise LookupError


def second_trouble() -> Any:
    raise ArithmeticError


def test_as_many_as_may_be_parked_are_parked(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (noting, catching_up):
        monkeypatch.setattr(module, "MAX_PARKED", 3)
    desk = parking(Memory(), "blocking")
    desk.game.bad.add("ada")
    desk.append(Scored("ada", 1), Scored("eve", 1), Scored("ada", 2), Scored("ada", 4), Scored("eve", 2))
    assert desk.projector.catch_up().complete
    assert told(desk) == [("ada", 1, 1), ("ada", 3, 0), ("ada", 4, 0)]
    desk.append(Scored("eve", 4), Scored("ada", 8))
    with pytest.raises(
        ProjectionStopped, match=r"at position 7: 3 events are parked, and no more than 3 may be"
    ) as full:
        desk.projector.catch_up()
    assert desk.status().stopped.reason in str(full.value)
    assert desk.documents()["eve"].score == 7, "what comes before it is folded"
    desk.append(Scored("eve", 8))
    with pytest.raises(ProjectionStopped, match=r"at position 7: 3 events are parked") as stopped:
        desk.projector.catch_up()  # it is the first one of its page
    assert stopped.value.result.applied == 0


def test_a_retry_that_fails_is_logged_with_the_reason(caplog: pytest.LogCaptureFixture) -> None:
    desk = parking(Memory(), "blocking")
    desk.game.bad.add("ada")
    desk.append(Scored("ada", 1))
    desk.projector.catch_up()
    caplog.clear()
    desk.projector.retry_parked(desk.game.players)
    assert [each.getMessage() for each in caplog.records] == [
        "projection 'players', key 'ada': a parked event failed again: handler scored: Boom: ada"
    ]


def test_what_was_passed_over_is_told_with_all_that_is_known_of_it() -> None:
    desk = Desk(Memory(), Game(on_error="skip"), "blocking")
    desk.game.bad.add("ada")
    desk.append(Scored("eve", 1), Scored("ada", 1), Left("ada"))
    desk.projector.catch_up()
    at = datetime.fromtimestamp(BEGIN, timezone.utc)
    told = [(2, 3, "left"), (1, 2, "scored")]
    assert [msgspec.structs.replace(each, error="") for each in desk.projector.skipped(desk.game.players)] == [
        SkippedEvent("players", number, position, "game", kind, "ada", "", at) for number, position, kind in told
    ]
