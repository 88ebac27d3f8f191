"""The views of the backends that need nothing but this machine, compared with those in memory."""

from __future__ import annotations

from types import ModuleType

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from eventsource_upstash import Memory, SQLite, Unavailable
from eventsource_upstash.backends.sqlite import builds, documents, indexes
from eventsource_upstash.ports import Backend
from tests.conformance.separate import SeparateViews
from tests.properties.views_machine import ViewsMachine
from tests.searching import examples


class OnSQLite(ViewsMachine):
    def open_backend(self) -> Backend:
        # What a power cut leaves is not tested here, and syncing the disk takes most of the time.
        return SQLite(self.folder / "events.db", synchronous="NORMAL")

    def reopened(self) -> Backend:
        self.tested.backend.close()
        return self.open_backend()


class OnSQLiteApart(ViewsMachine):
    """The views in a file of their own."""

    beside = False

    def open_reference(self) -> Backend:
        return SeparateViews(Memory(), Memory())

    def open_backend(self) -> Backend:
        return SeparateViews(
            SQLite(self.folder / "events.db", synchronous="NORMAL"),
            SQLite(self.folder / "views.db", synchronous="NORMAL"),
        )


def compared(count: int) -> settings:
    # print_blob: what failed is printed as a line that does it again, wherever it is run.
    return settings(
        max_examples=examples(count),
        stateful_step_count=30,
        print_blob=True,
        suppress_health_check=[HealthCheck.too_slow],
    )


TestSQLite = OnSQLite.TestCase
TestSQLite.settings = compared(60)
TestSQLiteApart = OnSQLiteApart.TestCase
TestSQLiteApart.settings = compared(20)


ALIVE = "(e.expires_us IS NULL OR e.expires_us > ?)"
ALL = "(e.expires_us IS NULL OR e.expires_us IS NOT ?)"

MUTANTS = [
    (indexes, "ITEMS", ALIVE, ALL),
    (indexes, "ITEMS", "e.key > ?", "e.key >= ?"),
    (indexes, "FORWARDS", ALIVE, ALL),
    (indexes, "COUNT", ALIVE, ALL),
    (indexes, "COUNT_ALL", ALIVE, ALL),
    (indexes, "BEFORE", "(e.value, e.key) <", "(e.value, e.key) <="),
    (documents, "_STRIKE", "key = ?", "key = ? AND 0"),
    (documents, "_PUT", "found_by = NULL", "found_by = found_by"),
    (documents, "_FORGET", "name = ?", "name = ? AND 0"),
    (builds, "_CHANGE", "role = ?", "role = coalesce(role, ?)"),
    (builds, "_MOVE", "edition = ?", "edition = min(edition, ?)"),
]


@pytest.mark.parametrize(
    ("module", "name", "right", "wrong"), [pytest.param(*each, id=f"{each[1]}-{each[3]}") for each in MUTANTS]
)
def test_the_machine_finds_a_wrong_statement(
    module: ModuleType, name: str, right: str, wrong: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    statement: str = getattr(module, name)
    assert right in statement
    monkeypatch.setattr(module, name, statement.replace(right, wrong))
    searching = settings(compared(200), derandomize=True, phases=[Phase.generate], database=None)
    with pytest.raises((AssertionError, Unavailable)):  # the tables themselves refuse two builds that serve
        run_state_machine_as_test(OnSQLite, settings=searching)
