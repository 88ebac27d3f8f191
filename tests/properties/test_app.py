"""The state machine, on each backend in both colours."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from eventsource_upstash import Memory, Misuse, SQLite
from eventsource_upstash.ports import Backend
from eventsource_upstash.testing.colours import Colour
from tests.conformance import broken_log as logs
from tests.conformance import broken_repeats as repeats
from tests.conformance import broken_views as views
from tests.conformance.broken_log import BrokenLog
from tests.conformance.broken_views import BrokenViews
from tests.properties.machine import AppMachine
from tests.searching import examples


class OnMemory(AppMachine):
    colour = Colour.BLOCKING

    def open_backend(self) -> Backend:
        return Memory()

    def reopened(self) -> Backend:
        return self.backend


class OnMemoryInAnEventLoop(OnMemory):
    colour = Colour.EVENT_LOOP


class OnSQLite(AppMachine):
    colour = Colour.BLOCKING

    def open_backend(self) -> Backend:
        # What a power cut leaves is not tested here, and syncing the disk takes most of the time.
        return SQLite(self.folder / "events.db", synchronous="NORMAL")

    def reopened(self) -> Backend:
        return self.open_backend()


class OnSQLiteInAnEventLoop(OnSQLite):
    colour = Colour.EVENT_LOOP


def _settings(count: int) -> settings:
    # print_blob: what failed is printed as a line that does it again, wherever it is run.
    return settings(
        max_examples=examples(count),
        stateful_step_count=30,
        print_blob=True,
        suppress_health_check=[HealthCheck.too_slow],
    )


TestMemory = OnMemory.TestCase
TestMemory.settings = _settings(120)
TestMemoryInAnEventLoop = OnMemoryInAnEventLoop.TestCase
TestMemoryInAnEventLoop.settings = _settings(40)
TestSQLite = OnSQLite.TestCase
TestSQLite.settings = _settings(40)
TestSQLiteInAnEventLoop = OnSQLiteInAnEventLoop.TestCase
TestSQLiteInAnEventLoop.settings = _settings(15)


def broken(backend: Callable[[], Backend]) -> type[AppMachine]:
    class OnABrokenBackend(OnMemory):
        def open_backend(self) -> Backend:
            return backend()

    return OnABrokenBackend


BROKEN_LOGS = [
    logs.DropsTheLastOfSeveral,
    logs.IgnoresTheExpectedRevision,
    logs.SkipsAnEventBetweenPages,
    repeats.ForgetsKeys,
    repeats.TakesAnyDigest,
]
BROKEN_VIEWS = [
    views.IgnoresTheCheckpoint,
    views.LeaksTheDocumentsOfLosers,
    views.NeverDeletes,
    views.ForgetsNotes,
    views.PullsAPageTooEarly,
]


@pytest.mark.parametrize(
    "backend",
    [
        *(pytest.param(lambda log=log: BrokenLog(log), id=log.__name__) for log in BROKEN_LOGS),
        *(pytest.param(lambda view=view: BrokenViews(view), id=view.__name__) for view in BROKEN_VIEWS),
    ],
)
def test_the_machine_finds_what_is_broken(backend: Callable[[], Backend]) -> None:
    searching = settings(_settings(300), derandomize=True, phases=[Phase.generate], database=None)
    with pytest.raises((AssertionError, Misuse)):  # what would take a view back, the views beneath refuse
        run_state_machine_as_test(broken(backend), settings=searching)
