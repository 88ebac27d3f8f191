"""The promises where views live long: rebuilt while they serve, with events set aside, ends, feeds and two versions."""

# ruff: noqa: D102  a test's name is its documentation

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from ...domain.projections import Projection
from ...domain.registry import Registry
from ...ports import Role
from ..colours import Face, Work, settled
from .kit import Contract, Lab, in_colour
from .promises import CALLERS, EVENTS, check_views, pay
from .subject import Subject

NOW = 1_800_000_000
"""A moment, in seconds: when the sessions of these tests are looked at."""


@dataclass(frozen=True)
class Scored:
    """A player has won points; a negative number takes the player out."""

    player: str
    points: int


@dataclass(frozen=True)
class Player:
    """A document that is found by its score, and may end."""

    score: int
    ends: float | None = None


class Board:
    """A registry with one projection of players.

    Attributes:
        broken: Players whose fold fails.
    """

    def __init__(
        self, *, version: int = 1, factor: int = 1, ends: Callable[[Player], float | None] | None = None
    ) -> None:
        self.broken: set[str] = set()
        self.registry: Registry = Registry()
        self.registry.event("scored")(Scored)
        self.players: Projection[Player] = self.registry.projection(
            "players", Player, version=version, on_error="park", changes=True
        )
        self.players.index("score", "score")
        if ends is not None:
            self.players.expires(ends)

        @self.players.on(Scored, key="player")
        def scored(player: Player | None, event: Scored) -> Player | None:
            if event.player in self.broken:
                raise ArithmeticError("broken on purpose")
            if event.points < 0:
                return None
            before = player or Player(0)
            return replace(before, score=before.score + factor * event.points)

        assert callable(scored)


async def top(face: Face, players: Projection[Player]) -> list[tuple[str, int]]:
    """All players by score, the highest first."""
    index = face.app.projection_store.view(players).index("score")
    found: list[tuple[str, Player]] = await settled(index.top(EVENTS))
    return [(key, player.score) for key, player in found]


class NothingIsLostForLong(Contract):
    """Nothing is lost, and nothing applied twice, while views are rebuilt, set aside and changed."""

    @in_colour
    async def test_nothing_is_lost_in_a_rebuild_while_events_go_on(self, lab: Lab) -> None:
        subject = Subject()
        face = lab.face(subject.registry)
        await pay(face, EVENTS)
        await face.catch_up()
        await lab.views.begin(subject.balances.id)
        for turn in range(EVENTS * 3):
            caught = await face.catch_up(time_budget=0, page_size=7)
            await check_views(face, subject)
            if caught.complete:
                break
            if turn < 5:
                await pay(face, 1)
            lab.reopen()
            face = lab.face(subject.registry)
        else:
            raise AssertionError("a rebuild never gets to the head")
        await check_views(face, subject)
        builds, head, _ = await lab.views.progress((subject.balances.id,))
        assert [(each.generation, each.role) for each in builds] == [(2, Role.SERVING), (1, Role.KEPT)]
        assert builds[0].checkpoint == head

    @in_colour
    async def test_nothing_is_applied_twice_by_several_who_rebuild(self, lab: Lab) -> None:
        subject = Subject()
        face = lab.face(subject.registry)
        await pay(face, EVENTS)
        await face.catch_up()

        async def rebuild(page_size: int) -> None:
            worker = lab.face(subject.registry, backend=lab.another())
            await lab.views.begin(subject.ledger.id)
            await worker.catch_up(page_size=page_size)
            await lab.colour.breathe()

        async def append() -> None:
            for _ in range(3):
                await pay(face, 1)
                await lab.colour.breathe()

        work: list[Work] = [append, *[partial(rebuild, 2 + index) for index in range(CALLERS)]]
        await lab.colour.together(work)
        assert (await face.catch_up()).complete
        await check_views(face, subject)

    @in_colour
    async def test_a_rebuild_is_told_from_beginning_to_end_and_can_be_taken_back(self, lab: Lab) -> None:
        board = Board()
        face = lab.face(board.registry)
        for index in range(EVENTS):
            await face.append(f"player-{index}", Scored(f"p{index:02}", index))
        await face.catch_up()
        before = await top(face, board.players)
        told: list[tuple[int, int]] = []
        projector = face.app.projector
        rebuilt = await settled(
            projector.rebuild(board.players, progress=lambda each: told.append((each.generation, each.position)))
        )
        assert (rebuilt.generation, rebuilt.complete) == (2, True)
        assert told[0] == (2, 0)
        assert told[-1] == (2, rebuilt.head)
        assert await top(face, board.players) == before
        assert await settled(projector.go_back(board.players)) == 1
        assert (await settled(projector.drop_generations(board.players))).generations == (2,)
        (status,) = await face.status()
        assert (status.generation, status.kept, status.rebuilding) == (1, (), None)
        assert await top(face, board.players) == before

    @in_colour
    async def test_nothing_is_lost_of_what_is_parked(self, lab: Lab) -> None:
        board = Board()
        face = lab.face(board.registry)
        await face.append("a", Scored("ada", 1))
        await face.catch_up()
        board.broken = {"ada"}
        for player, points in (("ada", 10), ("bob", 5), ("ada", 100), ("bob", 50)):
            await face.append(player, Scored(player, points))
        assert (await face.catch_up()).complete
        assert await top(face, board.players) == [("bob", 55), ("ada", 1)]
        lab.reopen()
        face = lab.face(board.registry)
        projector = face.app.projector
        again = await settled(projector.retry_parked(board.players))
        assert (again.done, again.left, again.failed) == (0, 2, ("ada",))
        board.broken = set()
        await face.append("a", Scored("ada", 1_000))
        await face.catch_up()
        assert (await face.status())[0].parked == 3
        again = await settled(projector.retry_parked(board.players))
        assert (again.done, again.left, again.failed) == (3, 0, ())
        assert await top(face, board.players) == [("ada", 1_111), ("bob", 55)]
        assert (await face.status())[0].parked == 0

    @in_colour
    async def test_nothing_is_lost_of_what_changed(self, lab: Lab) -> None:
        """Who attaches, reads, and follows the feed has what the view has."""
        board = Board()
        face = lab.face(board.registry)
        await lab.send(face, "a", Scored("ada", 1), Scored("bob", 1))
        await face.catch_up()
        view = face.app.projection_store.view(board.players)
        cursor = (await settled(view.changes())).cursor
        mine = dict(await face.items(board.players))
        for index in range(EVENTS):
            await lab.send(face, "a", Scored(f"p{index % 4}", index - 2), Scored("bob", -1 if index % 5 else 3))
            await face.catch_up(page_size=1)
        more = True
        while more:
            changes = await settled(view.changes(after=cursor, limit=3))
            assert not changes.reset
            cursor, more = changes.cursor, changes.more
            now = await face.get_many(board.players, [each.key for each in changes.changes])
            for each in changes.changes:
                if each.key in now:
                    mine[each.key] = now[each.key]
                else:
                    mine.pop(each.key, None)
        assert mine == dict(await face.items(board.players))

    @in_colour
    async def test_nothing_is_lost_between_two_versions_side_by_side(self, lab: Lab) -> None:
        old, new = Board(), Board(version=2, factor=10)
        before = lab.face(old.registry)
        await lab.send(before, "a", Scored("ada", 1), Scored("bob", 2))
        await before.catch_up()
        after = lab.face(new.registry)
        assert await top(after, new.players) == [("bob", 2), ("ada", 1)], "the old version serves until the new one can"
        version = await settled(before.app.projection_store.view(old.players).version())
        await after.catch_up()
        assert await top(after, new.players) == [("bob", 20), ("ada", 10)]
        assert await settled(before.app.projection_store.view(old.players).version()) == version
        await after.append("a", Scored("ada", 4))
        await before.catch_up()
        assert await top(before, old.players) == [("ada", 5), ("bob", 2)]
        await after.catch_up()
        assert await top(after, new.players) == [("ada", 50), ("bob", 20)]

    @in_colour
    async def test_a_strong_read_needs_nobody_who_folds(self, lab: Lab) -> None:
        board = Board()
        face = lab.face(board.registry)
        view = face.app.projection_store.view(board.players, consistency="strong")
        for index in range(3):
            await face.append("a", Scored("ada", 1))
            assert await settled(view.get("ada")) == Player(index + 1)
        assert await settled(view.count()) == 1
        assert await settled(view.index("score").rank("ada")) == 1

    @in_colour
    async def test_what_has_ended_is_absent_from_everything_at_once(self, lab: Lab) -> None:
        board = Board(ends=lambda player: float(player.score))
        face = lab.face(board.registry)
        for player, end in (("ada", NOW - 5), ("bob", NOW + 5), ("cyd", NOW + 9)):
            await face.append(player, Scored(player, end))
        await face.catch_up()
        moments = {NOW - 6: ["ada", "bob", "cyd"], NOW: ["bob", "cyd"], NOW + 5: ["cyd"], NOW + 9: []}
        for moment, there in moments.items():
            store = type(face.app.projection_store)(
                lab.backend,
                board.registry,
                clock=lambda moment=moment: moment * 1_000_000_000,  # type: ignore[misc]
            )
            view = store.view(board.players)
            assert sorted(await settled(view.get_many(["ada", "bob", "cyd"]))) == there
            assert await settled(view.count()) == len(there)
            found: list[tuple[str, Player]] = await settled(view.index("score").top(9))
            assert [key for key, _ in found] == there[::-1]
            assert await settled(view.index("score").rank("cyd", lowest=True)) == (len(there) or None)
