"""Every test of the contracts can fail: broken backends, and what notices each of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from eventsource_upstash.testing import LogContract, PromisesContract, ReactorsContract, ViewsContract
from eventsource_upstash.testing.colours import Colour
from eventsource_upstash.testing.conformance import FreeNotificationsContract, NotificationsContract
from tests.conformance.guards import GUARDS, UNBROKEN, Everything, Guard, Remembering

TESTS = {name for contract in (Everything, Remembering) for name in dir(contract) if name.startswith("test_")}

CONTRACTS = (
    LogContract,
    ViewsContract,
    PromisesContract,
    ReactorsContract,
    FreeNotificationsContract,
    NotificationsContract,
)


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.name)
def test_a_broken_backend_is_caught(guard: Guard, tmp_path: Path) -> None:
    assert set(guard.caught_by) <= TESTS
    failed = guard.everything.run_tests(tmp_path, only=guard.caught_by)
    missed = [name for name in guard.caught_by if name not in failed]
    assert not missed, f"{guard.name} passes {missed}"


@pytest.mark.parametrize("colour", Colour)
@pytest.mark.parametrize("name", UNBROKEN)
def test_an_unbroken_backend_passes_by_the_same_way(name: str, colour: Colour, tmp_path: Path) -> None:
    assert UNBROKEN[name].run_tests(tmp_path, colour) == {}


def test_every_test_can_fail() -> None:
    caught = {name for guard in GUARDS for name in guard.caught_by}
    assert TESTS - caught == set(), "no broken backend is said to make these fail: see guards.py"


def test_every_test_of_the_parts_is_in_the_whole() -> None:
    # Two parts with a test of one name would leave one of them out.
    parts = {part for contract in CONTRACTS for part in contract.__mro__}
    names = [name for part in parts for name in vars(part) if name.startswith("test_")]
    assert len(names) == len(set(names))
    assert set(names) == TESTS
