"""The table of who folds which partition: fair, held by one at a time, handed over at once, taken from who is gone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import TypeVar, cast

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from eventsource_upstash import Memory
from eventsource_upstash._flow.sharing import LEASE, SHARES, TABLE, Sharing, Table
from eventsource_upstash._io.blocking import PORT, run
from eventsource_upstash.domain.projections import ProjectionId
from eventsource_upstash.ports import Got, Views
from eventsource_upstash.testing import BackendWrapper
from eventsource_upstash.testing.pausing import pausing
from eventsource_upstash.testing.stepping import Endings, World, explore
from tests.sharing.support import Clock

T = TypeVar("T")

ALL = ["0", "1", "2", "3", "*"]


def views_of(backend: Memory) -> Views:
    return backend.views(PORT, backend.log(PORT))


def worker(backend: Memory, clock: Clock, name: str) -> Sharing:
    return Sharing(views_of(backend), clock, name)


def test_one_worker_has_everything_and_two_share_it() -> None:
    backend, clock = Memory(), Clock()
    one, other = worker(backend, clock, "a"), worker(backend, clock, "b")
    assert run(one.tend(ALL)) == set(ALL)
    assert run(other.tend(ALL)) == set()  # nothing is taken from who is there
    mine = run(one.tend(ALL))
    its = run(other.tend(ALL))
    assert sorted((*mine, *its)) == sorted(ALL)
    assert {len(mine), len(its)} == {2, 3}
    run(one.leave())
    assert run(other.tend(ALL)) == set(ALL)


def test_all_may_leave_at_one_time_and_nothing_stays_behind() -> None:
    """The last one to leave finds the table changed as often as there are others."""
    backend, clock = Memory(), Clock()
    views = views_of(backend)
    others = [worker(backend, clock, str(number)) for number in range(20)]
    for each in others:
        run(each.tend(ALL))

    class Overtaken:
        """Between a read and the write after it, another worker leaves."""

        async def records(self, projection: ProjectionId, names: Sequence[str]) -> Got:
            got = await views.records(projection, names)
            if others:
                await others.pop().leave()
            return got

        commit = views.commit

    last = Sharing(cast("Views", Overtaken()), clock, "last")
    run(worker(backend, clock, "last").tend(ALL))
    run(last.leave())
    assert not others
    kept = run(views.records(SHARES, (TABLE,))).documents[TABLE]
    assert msgspec.json.decode(kept, type=Table) == Table()


class Steps(BackendWrapper):
    """Notes what is asked of the views; others may do something right before a commit."""

    def __init__(self) -> None:
        super().__init__(Memory())
        self.steps: list[str] = []
        self.meanwhile: Callable[[], object] = lambda: None

    async def around(self, call: str, step: Callable[[], Awaitable[T]]) -> T:
        self.steps.append(call.removeprefix("views."))
        if self.steps[-1] == "commit":
            self.meanwhile()
        return await step()


def test_who_changes_the_table_reads_it_and_writes_it_once() -> None:
    backend, clock = Steps(), Clock()
    one = Sharing(backend.views(PORT, backend.log(PORT)), clock, "a")
    for change in (lambda: one.tend(ALL), one.leave, lambda: one.visit(ALL), one.leave):
        backend.steps.clear()
        run(cast("Coroutine[object, None, object]", change()))
        assert backend.steps == ["records", "commit"]
    run(one.tend(ALL))
    backend.steps.clear()
    run(one.tend(ALL))
    assert backend.steps == ["records"]


def test_who_is_overtaken_looks_again() -> None:
    backend, clock = Steps(), Clock()
    views = backend.views(PORT, backend.log(PORT))

    def other() -> None:
        backend.meanwhile = lambda: None
        run(worker(cast("Memory", backend.inner), clock, "b").visit(["1"]))

    backend.meanwhile = other
    assert run(Sharing(views, clock, "a").visit(["1", "2"])) == {"2"}
    assert backend.steps == ["records", "commit"] * 2


def test_a_visitors_share_is_free_when_its_lease_has_ended() -> None:
    backend, clock = Memory(), Clock()
    assert run(worker(backend, clock, "a").visit(["1"])) == {"1"}
    clock.move(LEASE - 1e-6)
    assert run(worker(backend, clock, "b").visit(["1"])) == set()
    clock.move(1e-6)
    assert run(worker(backend, clock, "b").visit(["1"])) == {"1"}


def test_a_worker_that_was_not_heard_of_has_its_shares_taken() -> None:
    backend, clock = Memory(), Clock()
    gone, other = worker(backend, clock, "a"), worker(backend, clock, "b")
    run(gone.tend(ALL))
    clock.move(LEASE - 1)
    assert run(other.tend(ALL)) == set()
    clock.move(1)
    assert run(other.tend(ALL)) == set(ALL)
    assert run(gone.tend(ALL)) == set()  # it was only slow: it asks for a share anew


def test_a_lease_is_renewed_in_time_and_costs_nothing_before() -> None:
    backend, clock = Memory(), Clock()
    one, other = worker(backend, clock, "a"), worker(backend, clock, "b")
    run(one.tend(ALL))

    def edition() -> int:
        return run(views_of(backend).records(SHARES, (TABLE,))).progress.edition

    before = edition()
    clock.move(LEASE / 4)
    run(one.tend(ALL))
    assert edition() == before
    for _ in range(8):
        clock.move(LEASE / 4)
        assert run(one.tend(ALL)) == set(ALL)
        assert run(other.visit(ALL)) == set()
    assert edition() > before


def test_a_visitor_takes_what_nobody_has_and_is_no_worker() -> None:
    backend, clock = Memory(), Clock()
    visitor, stays = worker(backend, clock, "v"), worker(backend, clock, "a")
    assert run(visitor.visit(["1", "2"])) == {"1", "2"}
    assert run(stays.tend(ALL)) == {"0", "3", "*"}
    run(visitor.leave())
    assert run(stays.tend(ALL)) == set(ALL)
    assert run(visitor.visit(["1"])) == set()
    clock.move(LEASE)
    assert run(visitor.visit(["1"])) == {"1"}


def test_more_partitions_are_shared_when_they_are_there() -> None:
    backend, clock = Memory(), Clock()
    one, other = worker(backend, clock, "a"), worker(backend, clock, "b")
    for _ in range(2):
        run(one.tend(ALL))
        run(other.tend(ALL))
    more = [*ALL, "4", "5", "6"]
    found = [run(one.tend(more)), run(other.tend(more))]
    assert sorted([*found[0], *found[1]]) == sorted(more)


STEPS = st.lists(
    st.tuples(st.sampled_from("abcdefgh"), st.sampled_from(["tend", "tend", "tend", "leave", "wait"])), max_size=60
)


@given(STEPS, st.integers(1, 12))
def test_whoever_comes_and_goes_each_share_comes_to_one_and_all_have_alike(
    steps: list[tuple[str, str]], count: int
) -> None:
    backend, clock = Memory(), Clock()
    shares = [str(number) for number in range(count)]
    workers = {name: worker(backend, clock, name) for name in "abcdefgh"}
    seen: dict[str, int] = {}
    for name, what in steps:
        if what == "wait":
            clock.move(LEASE / 3)
            continue
        if what == "leave":
            run(workers[name].leave())
            seen.pop(name, None)
            continue
        run(workers[name].tend(shares))
        seen[name] = clock()
    here = [name for name, at in seen.items() if at > clock() - LEASE * 1e9] or ["a"]
    clock.move(LEASE)  # all others are gone
    for name in here * 2:
        run(workers[name].tend(shares))
    found = {name: run(workers[name].tend(shares)) for name in here}
    held = Counter(share for mine in found.values() for share in mine)
    assert held == dict.fromkeys(shares, 1)
    sizes = {len(mine) for mine in found.values()}
    assert max(sizes) - min(sizes) <= 1


def test_no_order_of_steps_gives_a_share_to_two() -> None:
    def world() -> World:
        backend, clock = Memory(), Clock()
        stepped = pausing(backend)
        views = stepped.views(PORT, stepped.log(PORT))
        run(worker(backend, clock, "a").tend(ALL))

        async def twice(name: str) -> frozenset[str]:
            one = Sharing(views, clock, name)
            await one.tend(ALL)
            return await one.tend(ALL)

        def check(endings: Endings) -> None:
            found = [cast("frozenset[str]", ending.returned) for ending in endings.values() if ending.ok]
            mine = [share for each in found for share in each]
            assert len(mine) == len(set(mine))
            table = run(worker(backend, clock, "z")._read())[0]
            assert set(table.held.values()) <= {"a", "b"}

        return World({"a": twice("a"), "b": twice("b")}, check)

    explored = explore(world, switches=4)
    assert explored.schedules > 100
    assert explore(world, crashes=1, switches=2).crashes
    assert explore(world, lost_answers=1, switches=2).lost_answers


def test_a_lost_answer_is_looked_up() -> None:
    def world() -> World:
        backend, clock = Memory(), Clock()
        stepped = pausing(backend)
        sharing = Sharing(stepped.views(PORT, stepped.log(PORT)), clock, "v")

        def check(endings: Endings) -> None:
            (ending,) = endings.values()
            if ending.ok:
                assert ending.returned == {"1"}

        return World({"v": sharing.visit(["1"])}, check)

    assert explore(world, lost_answers=1).lost_answers


def test_the_table_knows_nothing_of_who_is_gone() -> None:
    table = Table({"a": 10, "b": 20}, {"v": 5}, {"0": "a", "1": "b", "2": "v", "3": "nobody"})
    assert table.at(12) == Table({"b": 20}, {}, {"1": "b"})


def test_who_leaves_leaves_to_the_others_what_they_have() -> None:
    table = Table({"a": 10, "b": 20}, {"v": 5, "w": 6}, {"0": "a", "1": "b", "2": "v", "3": "w"})
    assert table.without("a") == Table({"b": 20}, {"v": 5, "w": 6}, {"1": "b", "2": "v", "3": "w"})
    assert table.without("v") == Table({"a": 10, "b": 20}, {"w": 6}, {"0": "a", "1": "b", "3": "w"})


def test_nobody_takes_more_than_the_fair_part() -> None:
    workers, shares = {"a": 1, "b": 1}, ["0", "1", "2", "3"]
    for held, fair in (
        ({}, {"0", "1"}),
        ({"3": "a"}, {"0", "3"}),
        ({"1": "a", "3": "a"}, {"1", "3"}),  # though others are free
        ({"0": "a", "1": "a", "3": "a"}, {"0", "1"}),
        ({"0": "b", "1": "b", "2": "b"}, {"3"}),
    ):
        assert Table(workers, {}, held).fair("a", shares).of("a") == fair
