"""The views of the backends that need nothing but this machine, compared with those in memory."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

from eventsource_upstash import Memory, SQLite
from eventsource_upstash.ports import Backend
from tests.conformance.separate import SeparateViews
from tests.properties.views_machine import ViewsMachine


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


def compared(examples: int) -> settings:
    # print_blob: what failed is printed as a line that does it again, wherever it is run.
    return settings(
        max_examples=examples,
        stateful_step_count=30,
        print_blob=True,
        suppress_health_check=[HealthCheck.too_slow],
    )


TestSQLite = OnSQLite.TestCase
TestSQLite.settings = compared(60)
TestSQLiteApart = OnSQLiteApart.TestCase
TestSQLiteApart.settings = compared(20)
