"""The scheduler itself: every schedule once, told and repeatable, and nothing that is not one."""

from __future__ import annotations

import asyncio
import itertools
import math
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import pytest

from eventsource_upstash import Memory, OutcomeUnknown, Unavailable
from eventsource_upstash._io.blocking import BlockingPort
from eventsource_upstash._io.port import HttpRequest, HttpResponse
from eventsource_upstash.ports import Backend
from eventsource_upstash.testing import (
    BackendWrapper,
    Endings,
    Explored,
    Moment,
    Pause,
    ScheduleFailed,
    World,
    explore,
    pausing,
    replay,
)
from eventsource_upstash.testing.pausing import Pauses, SteppingPort

Actors = dict[str, Coroutine[Any, Any, object]]


def unchecked(endings: Endings) -> None:
    """For a world that is made to see something else."""


async def walk(trace: list[str], name: str, steps: int, moment: Moment = Moment.BEFORE) -> str:
    for step in range(steps):
        trace.append(f"{name}{step}")
        await Pause(moment, f"step {step}")
    trace.append(f"{name}{steps}")
    return name


def walks(*steps: int, seen: list[list[str]] | None = None, moment: Moment = Moment.BEFORE) -> Callable[[], World]:
    def world() -> World:
        trace: list[str] = []

        def check(endings: Endings) -> None:
            if seen is not None:
                seen.append(trace)

        return World({name: walk(trace, name, count, moment) for name, count in zip("abc", steps, strict=False)}, check)

    return world


@pytest.mark.parametrize("steps", [(1,), (3,), (1, 1), (2, 3), (1, 2, 2)])
def test_every_order_is_run_once(steps: tuple[int, ...]) -> None:
    seen: list[list[str]] = []
    explored = explore(walks(*steps, seen=seen))
    parts = [count + 1 for count in steps]  # what lies between pauses
    orders = math.factorial(sum(parts)) // math.prod(map(math.factorial, parts))
    assert explored == Explored(orders)
    assert len(seen) == len({tuple(trace) for trace in seen}) == orders
    for trace in seen:
        for name, count in zip("abc", steps, strict=False):
            assert [step for step in trace if step[0] == name] == [f"{name}{index}" for index in range(count + 1)]


def test_switches_are_bounded() -> None:
    for switches, orders in ((0, 2), (1, 6), (99, 20)):
        seen: list[list[str]] = []
        assert explore(walks(2, 2, seen=seen), switches=switches).schedules == orders
        for trace in seen:
            names = "".join(step[0] for step in trace)
            assert sum(left != right for left, right in itertools.pairwise(names)) <= switches + 1


def test_a_crash_comes_at_every_pause() -> None:
    crashed: list[int] = []

    def world() -> World:
        trace: list[str] = []

        def check(endings: Endings) -> None:
            if endings["a"].crashed:
                assert not endings["a"].ok
                crashed.append(len(trace))

        return World({"a": walk(trace, "a", 4)}, check)

    assert explore(world, crashes=1) == Explored(5, crashes=4)
    assert sorted(crashed) == [1, 2, 3, 4]


def test_a_crash_runs_no_clean_up_before_the_check() -> None:
    cleaned: list[str] = []

    async def tidy() -> None:
        try:
            await Pause(Moment.BEFORE, "work")
        finally:
            cleaned.append("cleaned")

    def world() -> World:
        cleaned.clear()

        def check(endings: Endings) -> None:
            assert cleaned == ([] if endings["a"].crashed else ["cleaned"])

        return World({"a": tidy()}, check)

    assert explore(world, crashes=1).schedules == 2


def test_an_answer_is_lost_after_a_call_and_refused_before_it() -> None:
    calls = 0
    met: list[str] = []

    async def caller(backend: Backend) -> str:
        nonlocal calls
        calls = 0
        port = SteppingPort(Pauses(after=True, inside=True))
        try:
            await backend.log(port).head()
        except (OutcomeUnknown, Unavailable) as error:
            met.append(f"{type(error).__name__}, {calls} calls done")
            return "failed"
        return "answered"

    class Counting(BackendWrapper):
        async def around(self, call: str, step: Callable[[], Any]) -> Any:  # Any: it hands on whatever the step answers
            nonlocal calls
            calls += 1
            return await step()

    def world() -> World:
        return World({"a": caller(pausing(Counting(Memory())))}, unchecked)

    explored = explore(world, lost_answers=1, refusals=1)
    assert explored == Explored(3, lost_answers=1, refusals=1)
    assert sorted(met) == ["OutcomeUnknown, 1 calls done", "Unavailable, 0 calls done"]


def test_a_failure_tells_its_schedule_and_can_be_repeated() -> None:
    def world() -> World:
        trace: list[str] = []

        def check(endings: Endings) -> None:
            assert trace != ["a0", "b0", "a1", "b1"], "that order"

        return World({"a": walk(trace, "a", 1), "b": walk(trace, "b", 1)}, check)

    with pytest.raises(ScheduleFailed, match="that order") as caught:
        explore(world)
    failure = caught.value
    assert failure.schedule == (
        "a starts until before step 0",
        "b starts until before step 0",
        "a goes on, and returns 'a'",
        "b goes on, and returns 'b'",
    )
    assert f"replay(world, {list(failure.choices)})" in str(failure)
    assert "   2. b starts until before step 0" in str(failure)
    with pytest.raises(ScheduleFailed, match="that order"):
        replay(world, failure.choices)
    assert len(replay(world, [])) == 4


def test_an_error_that_no_caller_expects_fails_the_schedule() -> None:
    async def wrong() -> None:
        await Pause(Moment.BEFORE, "work")
        raise ZeroDivisionError("oops")

    async def unsure() -> None:
        await Pause(Moment.BEFORE, "work")
        assert 1 + 1 == 3, "it is not"

    def world(actor: Callable[[], Coroutine[Any, Any, None]]) -> World:
        return World({"a": actor()}, unchecked)

    for actor, message in ((wrong, "ZeroDivisionError"), (unsure, "it is not")):
        with pytest.raises(ScheduleFailed, match=message) as caught:
            explore(partial(world, actor))
        assert len(caught.value.schedule) == 2


def test_waiting_for_something_else_is_refused() -> None:
    async def sleeping() -> None:
        await asyncio.sleep(0)

    with pytest.raises(TypeError, match="something other than a pausing backend"):
        explore(lambda: World({"a": sleeping()}, unchecked))


def test_a_world_that_is_not_the_same_each_time_is_refused() -> None:
    runs = 0

    def world() -> World:
        nonlocal runs
        runs += 1
        return walks(*([1] * (3 if runs == 1 else 1)))()

    with pytest.raises(RuntimeError, match="not the same each time"):
        explore(world)


def test_the_stepping_port_pauses_where_it_is_told_to() -> None:
    def world(*, after: bool, inside: bool) -> World:
        port = SteppingPort(Pauses(after=after, inside=inside))

        async def caller() -> int:
            await port.sleep(5)
            return await port.call(lambda: 42)

        def check(endings: Endings) -> None:
            assert endings["a"].returned == 42

        return World({"a": caller()}, check)

    for after, inside, pauses in ((True, True, 3), (False, True, 2), (True, False, 1)):
        steps = replay(partial(world, after=after, inside=inside), [])
        assert len(steps) == pauses + 1


def test_the_stepping_port_sends_over_the_port_that_it_is_given() -> None:
    sent: list[str] = []

    class Telling(BlockingPort):
        async def send(self, request: HttpRequest) -> HttpResponse:
            sent.append(request.url)
            return HttpResponse(200, {}, b"")

    port = SteppingPort(Pauses(after=True, inside=True), Telling())
    request = HttpRequest("GET", "https://example.com", {}, b"", 1.0)
    assert len(replay(lambda: World({"a": port.send(request)}, unchecked), [])) == 3
    assert sent == ["https://example.com"]


def test_pausing_knows_its_own_log_and_leaves_another_alone() -> None:
    backend = Memory()
    pauses = pausing(backend)
    port = SteppingPort(Pauses(after=False, inside=False))
    log = pauses.log(port)
    other = pausing(Memory(), after=False).log(port)
    assert repr(pauses) == "PausingBackend(Memory() of 0 events)"
    assert not pauses.public

    def steps(views_of: object) -> list[str]:
        views = pauses.views(port, log if views_of is log else other)
        return replay(lambda: World({"a": views.progress([])}, unchecked), [])

    # The log beside the views is read within the step; one that is elsewhere is another wait.
    assert len(steps(log)) == 3
    assert len(steps(other)) == 4
    pauses.close()


async def calls(*reads: bool) -> None:
    for read in reads:
        await Pause(Moment.BEFORE, "call", reads=read)
        await Pause(Moment.AFTER, "call")


def test_merged_are_the_orders_in_which_calls_are_done() -> None:
    def world(*callers: tuple[bool, ...]) -> Callable[[], World]:
        return lambda: World({name: calls(*reads) for name, reads in zip("abc", callers, strict=False)}, unchecked)

    writes = (False, False)
    assert explore(world(writes, writes)).schedules == 252
    assert explore(world(writes, writes), merging=True).schedules == 6
    assert explore(world(writes, writes, (False,)), merging=True).schedules == 30
    assert explore(world((True,), (True,), (True,)), merging=True).schedules == 1, "who reads first is all the same"
    assert explore(world((True, True), (False,)), merging=True).schedules == 3
    # With two calls: a failure at each of them, and none.
    alone = explore(world((False, False)), merging=True, lost_answers=1)
    assert (alone.schedules, alone.lost_answers) == (3, 2)
    assert explore(world((False, False)), merging=True, crashes=1) == Explored(4, crashes=3)
    assert explore(world((False, False)), merging=True, refusals=1).schedules == 3


def test_a_schedule_that_is_merged_can_be_repeated() -> None:
    def world() -> World:
        order: list[str] = []

        async def caller(name: str) -> None:
            await Pause(Moment.BEFORE, "call")
            order.append(name)

        def check(endings: Endings) -> None:
            assert order != ["b", "a"], "b came first"

        return World({name: caller(name) for name in "ab"}, check)

    with pytest.raises(ScheduleFailed, match="b came first") as caught:
        explore(world, merging=True)
    with pytest.raises(ScheduleFailed) as again:
        replay(world, caught.value.choices, merging=True)
    assert again.value.schedule == caught.value.schedule
    assert len(caught.value.schedule) == 4
