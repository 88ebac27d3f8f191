"""Plans drawn by Hypothesis: every backend keeps its promises in them, and a broken one is found by a small one."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Literal, NamedTuple

import pytest
from hypothesis import HealthCheck, Phase, find, given, settings

from eventsource_upstash import Memory, SQLite, UpstashRedis
from eventsource_upstash.local import LocalUpstash
from eventsource_upstash.ports import Backend
from eventsource_upstash.testing.history import Act, Plan, Step, plans, run_plan
from tests.conformance import broken_log, broken_queries, broken_repeats, broken_views
from tests.searching import examples

# A failing plan is printed; what runs the same search again is printed with it.
SEARCH = settings(deadline=None, print_blob=True, suppress_health_check=list(HealthCheck))

Namespaces = Callable[[], Callable[[], Backend]]


@pytest.fixture(scope="module")
def opened() -> Iterator[Namespaces]:
    """Names a namespace that nobody has used: what it answers opens it for one process."""
    with LocalUpstash() as upstash:
        numbers, run = itertools.count(), secrets.token_hex(4)

        def namespace() -> Callable[[], Backend]:
            name = f"plan-{run}-{next(numbers)}"
            return lambda: UpstashRedis(upstash.redis_url, upstash.redis_token, namespace=name)

        # The server is sent the scripts once. A plan is the same every time.
        run_plan(Plan(((Act(), Act("catch up"), Act("view"), Act("read stream")),)), namespace(), wire=True)
        yield namespace


@settings(SEARCH, max_examples=examples(15))
@given(plan=plans())
def test_memory_keeps_its_promises(plan: Plan) -> None:
    backend = Memory()
    run_plan(plan, lambda: backend).raise_()


@settings(SEARCH, max_examples=examples(6))
@given(plan=plans())
def test_sqlite_keeps_its_promises(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("plan") / "log.db"
    opened: list[SQLite] = []

    def another() -> SQLite:
        opened.append(SQLite(path))
        return opened[-1]

    try:
        run_plan(plan, another).raise_()
    finally:
        for backend in opened:
            backend.close()
        for file in Path(path.parent).iterdir():
            file.unlink()


@settings(SEARCH, max_examples=examples(8))
@given(plan=plans(wire=True))
def test_upstash_keeps_its_promises(plan: Plan, opened: Namespaces) -> None:
    run_plan(plan, opened(), wire=True).raise_()


@pytest.mark.parametrize("fate", ["late", "twice"])
@pytest.mark.parametrize("expected", ["any", "exists", "none", 0, 1])
@pytest.mark.parametrize("keyed", [False, True])
@pytest.mark.parametrize("wait", [1, 3])
def test_an_append_whose_request_is_late_or_doubled(
    opened: Namespaces, fate: Literal["late", "twice"], expected: int, keyed: bool, wait: int
) -> None:
    """An append to a stream that is not there yet, or is one event long; and what others append after it."""
    acts = (*[Act()] * (wait // 3), Act("append", 0, 1, expected, keyed), Act())
    run_plan(Plan((acts,), (*[Step(0)] * wait, Step(0, fate))), opened(), wire=True).raise_()


@pytest.mark.parametrize("fate", ["late", "twice"])
@pytest.mark.parametrize("keyed", [False, True])
@pytest.mark.parametrize("tag", [0, 1, 2])
@pytest.mark.parametrize("wait", [1, 3])
def test_an_append_with_a_condition_whose_request_is_late_or_doubled(
    opened: Namespaces, fate: Literal["late", "twice"], keyed: bool, tag: int, wait: int
) -> None:
    """While another process appends, and before and after it."""
    acts = (*[Act()] * (wait // 3), Act(keyed=keyed, unless=tag), Act(unless=tag))
    plan = Plan((acts, (Act(), Act(unless=tag))), (*[Step(0)] * wait, Step(0, fate), *[Step(1)] * 3))
    run_plan(plan, opened(), wire=True).raise_()


def test_a_late_request_is_no_conflict(opened: Namespaces) -> None:
    """It was told as one, and was written when the stream had come so far as it expected."""
    plan = Plan(((Act("append", 0, 1, "exists"), Act()),), (Step(0), Step(0, "late")))
    verdict = run_plan(plan, opened(), wire=True)
    assert (verdict.counts["appends of unknown outcome"], verdict.counts["of these in the log"]) == (1, 1)
    assert verdict.ok


def smallest(broken: Callable[[], Backend], *, wire: bool = False) -> Plan:
    """The smallest plan that finds what is broken."""

    def finds(plan: Plan) -> bool:
        backend = broken()
        return not run_plan(plan, lambda: backend, wire=wire).ok

    search = settings(
        SEARCH, max_examples=examples(400), database=None, phases=[Phase.generate, Phase.shrink], print_blob=False
    )
    return find(plans(wire=wire), finds, settings=search, random=Random(1))


def test_a_backend_that_looks_at_no_revision_is_found_by_two_appends() -> None:
    plan = smallest(lambda: broken_log.BrokenLog(broken_log.IgnoresTheExpectedRevision))
    assert sum(map(len, plan.processes)) == 2
    assert plan.steps == ()


class Broken(NamedTuple):
    """A broken backend, and a plan that shows it."""

    open: Callable[[], Backend]
    plan: Plan
    wire: bool = False


FINDS = {
    "events stand the wrong way round": Broken(
        lambda: broken_log.BrokenLog(broken_log.Reorders), Plan(((Act(events=2),),))
    ),
    "a key is forgotten": Broken(
        lambda: broken_log.BrokenLog(broken_repeats.ForgetsKeys),
        Plan(((Act(keyed=True),),), (Step(0), Step(0), Step(0, "answer lost"))),
    ),
    "a loser writes": Broken(
        lambda: broken_log.BrokenLog(broken_log.WritesHalfOfALoser),
        Plan(((Act(expected="none"), Act(expected="none")),)),
    ),
    "a condition is not looked at": Broken(
        lambda: broken_log.BrokenLog(broken_queries.IgnoresConditions), Plan(((Act(), Act(unless=0)), (Act(unless=0),)))
    ),
    "a checkpoint is committed before its documents": Broken(
        lambda: broken_views.BrokenViews(broken_views.CommitsInTwoSteps),
        Plan(((Act(), Act("catch up")),), (Step(0), Step(0, "crash"))),
        wire=True,
    ),
}


@pytest.mark.parametrize("name", FINDS)
def test_what_is_broken_is_found_by_a_plan(name: str) -> None:
    broken, right = FINDS[name], Memory()
    backend = broken.open()
    assert not run_plan(broken.plan, lambda: backend, wire=broken.wire).ok
    run_plan(broken.plan, lambda: right, wire=broken.wire).raise_()
