"""Builds of a view, and whoever changes or reads them, in every order of their steps."""

# ruff: noqa: D102  a test's name is its documentation

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

from ..._io import blocking
from ...domain.projections import ProjectionId
from ...errors import Misuse
from ...ports import MAX_PAGE_BYTES, Commit, Outcome, Progress, Role, Views
from ..stepping import Endings, World, explore
from .kit import Contract, Lab
from .viewing import NOW_US, found_by, numbers

SCORES = numbers("score")


async def _got(views: Views, projection: ProjectionId) -> tuple[Progress, list[bytes]]:
    got = await views.get_many(projection, ["a", "b"], NOW_US, primary=True)
    return got.progress, list(got.documents.values())


async def _listed(views: Views, projection: ProjectionId) -> tuple[Progress, list[bytes]]:
    page = await views.items(projection, None, 10, MAX_PAGE_BYTES, NOW_US)
    return page.progress, [document for _, document in page.documents]


async def _found(views: Views, projection: ProjectionId) -> tuple[Progress, list[bytes]]:
    page = await views.find(projection, SCORES, None, 10, MAX_PAGE_BYTES, NOW_US)
    return page.progress, [document for _, document in page.documents]


async def _counted(views: Views, projection: ProjectionId) -> tuple[Progress, list[bytes]]:
    counted = await views.count(projection, SCORES, NOW_US)
    return counted.progress, [b"%d" % counted.progress.generation] * (counted.count or 0)


async def _ranked(views: Views, projection: ProjectionId) -> tuple[Progress, list[bytes]]:
    counted = await views.rank(projection, SCORES, "b", NOW_US)
    assert counted.count in ({None} if not counted.total else {counted.total - 1})
    return counted.progress, [b"%d" % counted.progress.generation] * counted.total


async def _recorded(views: Views, projection: ProjectionId) -> tuple[Progress, list[bytes]]:
    got = await views.records(projection, ["a", "b"])
    return got.progress, list(got.documents.values())


READS: tuple[Callable[[Views, ProjectionId], Awaitable[tuple[Progress, list[bytes]]]], ...] = (
    _got,
    _listed,
    _found,
    _counted,
    _ranked,
    _recorded,
)


def _filled(commit: Commit, *, only: str = "ab") -> Commit:
    """A commit of documents, entries and records that say of which generation they are."""
    content = b"%d" % commit.generation
    return commit._replace(
        documents=dict.fromkeys(only, content),
        entries={key: found_by(score=ord(key)) for key in only},
        records=dict.fromkeys(only, content),
    )


class BuildsStepping(Contract):
    """Whoever comes in between: one build serves, whole, and nothing is lost of what was answered for."""

    def test_a_reader_sees_one_build_at_one_moment_in_any_order_of_steps(self, tmp_path: Path) -> None:
        with self.stepping(tmp_path) as stepping:
            for read in READS:

                def world(
                    read: Callable[[Views, ProjectionId], Awaitable[tuple[Progress, list[bytes]]]] = read,
                ) -> World:
                    lab = stepping.fresh()
                    views = stepping.views()
                    name = lab.unseen()
                    head = blocking.run(lab.fill(2))[-1][0]
                    # Build 1 has one document and is behind; build 2 has two, and meets the head.
                    first = _filled(blocking.run(lab.committing(name, head - 1)), only="b")
                    building = blocking.run(lab.begin(name))
                    second = _filled(blocking.run(lab.committing(name, head, generation=building)))

                    async def writer() -> tuple[Outcome, ...]:
                        one = await views.commit([first], None)
                        other = await views.commit([second], None)
                        return (*one.outcomes, *other.outcomes)

                    async def reader() -> None:
                        progress, found = await read(views, name)
                        expected = {(1, 0): [], (1, head - 1): [b"1"], (2, head): [b"2", b"2"]}
                        assert found == expected[progress.generation, progress.checkpoint]
                        assert progress.role is Role.SERVING

                    def check(endings: Endings) -> None:
                        assert all(ending.ok for ending in endings.values())
                        assert endings["writer"].returned == (Outcome.COMMITTED, Outcome.COMMITTED)
                        assert _roles(lab, name) == {2: Role.SERVING, 1: Role.KEPT}

                    return World({"writer": writer(), "reader": reader()}, check)

                assert explore(world).schedules >= 3

    def test_a_build_is_switched_to_with_its_last_commit_in_any_order_of_steps(self, tmp_path: Path) -> None:
        with self.stepping(tmp_path) as stepping:

            def world() -> World:
                lab = stepping.fresh()
                views = stepping.views(after=True)
                name = lab.unseen()
                head = blocking.run(lab.fill(1))[-1][0]
                building = blocking.run(lab.begin(name))
                commit = blocking.run(lab.committing(name, head, generation=building))

                async def worker(only: str) -> Outcome:
                    return (await views.commit([_filled(commit, only=only)], None)).outcomes[0]

                def check(endings: Endings) -> None:
                    outcomes = {each: ending.returned for each, ending in endings.items() if not ending.crashed}
                    winners = [each for each, outcome in outcomes.items() if outcome is Outcome.COMMITTED]
                    assert len(winners) <= 1
                    assert set(outcomes.values()) <= {Outcome.COMMITTED, Outcome.ALREADY}
                    serving = blocking.run(lab.progress(name))
                    found = blocking.run(lab.documents(name))
                    assert (serving.generation, serving.checkpoint, list(found)) in (
                        [(2, head, [winner]) for winner in winners or endings]
                        if winners or serving.checkpoint
                        else [(1, 0, [])]
                    ), f"{endings}"

                return World({each: worker(each) for each in "ab"}, check)

            assert explore(world, crashes=1, switches=2).crashes >= 4

    def test_of_two_commits_that_stay_one_wins_in_any_order_of_steps(self, tmp_path: Path) -> None:
        with self.stepping(tmp_path) as stepping:

            def world() -> World:
                lab = stepping.fresh()
                views = stepping.views()
                name = lab.unseen()
                head = blocking.run(lab.fill(1))[-1][0]
                blocking.run(lab.commit(name, head))
                commit = blocking.run(lab.committing(name, head))

                async def worker(only: str) -> Outcome:
                    return (await views.commit([_filled(commit, only=only)], None)).outcomes[0]

                def check(endings: Endings) -> None:
                    outcomes = {each: ending.returned for each, ending in endings.items()}
                    winners = [each for each, outcome in outcomes.items() if outcome is Outcome.COMMITTED]
                    assert len(winners) == 1, f"the outcomes were {outcomes}"
                    assert Outcome.ALREADY in outcomes.values()
                    assert list(blocking.run(lab.documents(name))) == blocking.run(lab.found(name, SCORES)) == winners
                    assert list(blocking.run(lab.records(name, ["a", "b"]))) == winners
                    assert blocking.run(lab.progress(name)).edition == 1

                return World({each: worker(each) for each in "ab"}, check)

            assert explore(world).schedules >= 2

    def test_a_build_begins_once_in_any_order_of_steps(self, tmp_path: Path) -> None:
        with self.stepping(tmp_path) as stepping:

            def world() -> World:
                lab = stepping.fresh()
                views = stepping.views()
                name = lab.unseen()
                head = blocking.run(lab.fill(1))[-1][0]
                commit = _filled(blocking.run(lab.committing(name, head)))

                async def beginner() -> int:
                    return (await views.begin(name))[0].generation

                def check(endings: Endings) -> None:
                    assert endings["one"].returned == endings["other"].returned == 2
                    assert endings["worker"].ok
                    assert _roles(lab, name) == {1: Role.SERVING, 2: Role.BUILDING}
                    assert blocking.run(lab.progress(name)).checkpoint == head
                    assert blocking.run(lab.documents(name)) == {"a": b"1", "b": b"1"}
                    assert blocking.run(lab.stored(name, 2, ["a", "b"], ["a"])) == ({}, {}, {})

                return World({"one": beginner(), "other": beginner(), "worker": views.commit([commit], None)}, check)

            assert explore(world, switches=2).schedules >= 6

    def test_a_commit_meets_who_goes_back_in_any_order_of_steps(self, tmp_path: Path) -> None:
        with self.stepping(tmp_path) as stepping:

            def world() -> World:
                lab = stepping.fresh()
                views = stepping.views()
                name = _two_builds(lab)
                blocking.run(lab.fill(1))
                head = blocking.run(lab.log.head())[0]
                commit = blocking.run(lab.committing(name, head, {"late": b"2"}))

                async def worker() -> Outcome:
                    return (await views.commit([commit], None)).outcomes[0]

                async def operator() -> bool:
                    return (await views.serve(name, 2, 1))[0]

                def check(endings: Endings) -> None:
                    assert endings["operator"].returned is True
                    assert _roles(lab, name) == {1: Role.SERVING, 2: Role.KEPT}
                    stored = blocking.run(lab.stored(name, 2, ["late"]))
                    kept = blocking.run(lab.build(name, 2))
                    assert kept is not None
                    if endings["worker"].returned is Outcome.COMMITTED:
                        assert (stored.documents, kept.checkpoint) == ({"late": b"2"}, head)
                    else:
                        assert endings["worker"].returned is Outcome.SUPERSEDED
                        assert (stored.documents, kept.checkpoint) == ({}, commit.expected)
                    assert blocking.run(lab.get(name, ["late", "a"])) == {"a": b"1"}

                return World({"worker": worker(), "operator": operator()}, check)

            assert explore(world).schedules >= 2

    def test_the_switch_meets_who_goes_back_in_any_order_of_steps(self, tmp_path: Path) -> None:
        with self.stepping(tmp_path) as stepping:

            def world() -> World:
                lab = stepping.fresh()
                views = stepping.views()
                name = _two_builds(lab)
                building = blocking.run(lab.begin(name))
                head = blocking.run(lab.log.head())[0]
                commit = _filled(blocking.run(lab.committing(name, head, generation=building)))

                async def operator() -> bool:
                    return (await views.serve(name, 2, 1))[0]

                def check(endings: Endings) -> None:
                    assert all(ending.ok for ending in endings.values())
                    assert _roles(lab, name) == {3: Role.SERVING, 2: Role.KEPT, 1: Role.KEPT}
                    assert blocking.run(lab.documents(name)) == {"a": b"3", "b": b"3"}

                return World({"worker": views.commit([commit], None), "operator": operator()}, check)

            assert explore(world).schedules >= 2

    def test_nothing_is_left_of_a_build_that_is_dropped_in_any_order_of_steps(self, tmp_path: Path) -> None:
        with self.stepping(tmp_path) as stepping:

            def world() -> World:
                lab = stepping.fresh()
                views = stepping.views()
                name = lab.unseen()
                head = blocking.run(lab.fill(2))[-1][0]
                building = blocking.run(lab.begin(name))
                blocking.run(lab.commit(name, 0, {"c": b"2"}, generation=building))
                commit = _filled(blocking.run(lab.committing(name, head - 1, generation=building)))

                async def worker() -> Outcome:
                    return (await views.commit([commit], None)).outcomes[0]

                async def dropper() -> None:
                    while not (await views.drop(name, building, ["a", "b"], 2))[0]:
                        pass

                def check(endings: Endings) -> None:
                    assert endings["dropper"].ok
                    assert endings["worker"].returned in {Outcome.COMMITTED, Outcome.SUPERSEDED}
                    assert _roles(lab, name) == {1: Role.SERVING}
                    left = blocking.run(lab.stored(name, building, ["a", "b", "c"], ["a", "b"]))
                    assert left == ({}, {}, {}), "something was written to a build that is gone"
                    assert blocking.run(lab.begin(name)) == building + 1

                return World({"worker": worker(), "dropper": dropper()}, check)

            assert explore(world).schedules >= 3

    def test_two_drop_one_build_in_any_order_of_steps(self, tmp_path: Path) -> None:
        with self.stepping(tmp_path) as stepping:

            def world() -> World:
                lab = stepping.fresh()
                views = stepping.views()
                name = _two_builds(lab)
                before = blocking.run(lab.builds(name))[0]

                async def dropper() -> int:
                    calls = 1
                    while not (await views.drop(name, 1, ["a", "b"], 1))[0]:
                        calls += 1
                        assert calls < 10, "it does not come to an end"
                    return calls

                def check(endings: Endings) -> None:
                    assert all(ending.ok or ending.crashed for ending in endings.values())
                    if not all(ending.crashed for ending in endings.values()):
                        assert blocking.run(lab.builds(name)) == (before,)
                        assert blocking.run(lab.stored(name, 1, ["a", "b"], ["a", "b"])) == ({}, {}, {})
                    assert blocking.run(lab.documents(name)) == {"a": b"2", "b": b"2"}

                return World({"one": dropper(), "other": dropper()}, check)

            assert explore(world, crashes=1, switches=2).crashes >= 2

    def test_who_goes_back_meets_who_drops_in_any_order_of_steps(self, tmp_path: Path) -> None:
        with self.stepping(tmp_path) as stepping:

            def world() -> World:
                lab = stepping.fresh()
                views = stepping.views()
                name = _two_builds(lab)

                async def operator() -> bool:
                    return (await views.serve(name, 2, 1))[0]

                async def dropper() -> None:
                    while not (await views.drop(name, 1, ["a", "b"], 1))[0]:
                        pass

                def check(endings: Endings) -> None:
                    if endings["operator"].returned:
                        assert isinstance(endings["dropper"].error, Misuse)
                        assert _roles(lab, name) == {1: Role.SERVING, 2: Role.KEPT}
                        assert blocking.run(lab.documents(name)) == {"a": b"1", "b": b"1"}
                    else:
                        assert endings["dropper"].ok
                        assert _roles(lab, name) == {2: Role.SERVING}
                        assert blocking.run(lab.documents(name)) == {"a": b"2", "b": b"2"}

                return World({"operator": operator(), "dropper": dropper()}, check)

            assert explore(world).schedules >= 2

    def test_a_commit_meets_a_view_that_begins_anew_in_any_order_of_steps(self, tmp_path: Path) -> None:
        with self.stepping(tmp_path) as stepping:

            def world() -> World:
                lab = stepping.fresh()
                views = stepping.views()
                name = _two_builds(lab)
                blocking.run(lab.fill(1))
                head = blocking.run(lab.log.head())[0]
                commit = blocking.run(lab.committing(name, head, {"late": b"2"}))

                async def worker() -> Outcome:
                    return (await views.commit([commit], None)).outcomes[0]

                async def dropper() -> None:
                    while not (await views.drop(name, 2, ["a", "b"], 2, serving=True))[0]:
                        pass

                def check(endings: Endings) -> None:
                    assert endings["dropper"].ok
                    assert endings["worker"].returned in {Outcome.COMMITTED, Outcome.SUPERSEDED}
                    assert blocking.run(lab.builds(name))[0] == Progress(name, 3, 0)
                    assert _roles(lab, name) == {3: Role.SERVING, 1: Role.KEPT}
                    assert blocking.run(lab.documents(name)) == {}
                    left = blocking.run(lab.stored(name, 2, ["a", "b", "late"], ["a", "b"]))
                    assert left == ({}, {}, {})

                return World({"worker": worker(), "dropper": dropper()}, check)

            assert explore(world).schedules >= 3


def _two_builds(lab: Lab) -> ProjectionId:
    """A view with a build that is kept, and one that serves; both have documents a and b."""
    name = lab.unseen()
    head = blocking.run(lab.fill(1))[-1][0]
    first = _filled(blocking.run(lab.committing(name, head)))
    assert blocking.run(lab.outcome(first)) is Outcome.COMMITTED
    building = blocking.run(lab.begin(name))
    second = _filled(blocking.run(lab.committing(name, head, generation=building)))
    assert blocking.run(lab.outcome(second)) is Outcome.COMMITTED
    return name


def _roles(lab: Lab, projection: ProjectionId) -> dict[int, Role]:
    return {each.generation: each.role for each in blocking.run(lab.builds(projection))}
