"""The backends of this package, held to their contracts."""

from __future__ import annotations

from pathlib import Path

from eventsource_upstash import Memory, SQLite
from eventsource_upstash.ports import Backend
from eventsource_upstash.testing import LogContract, PromisesContract, ViewsContract
from tests.conformance.separate import SeparateViews


class TestMemory(LogContract, ViewsContract, PromisesContract):
    reopens = False

    def open_backend(self, folder: Path) -> Backend:
        return Memory()


class TestSQLite(LogContract, ViewsContract, PromisesContract):
    waits = True

    def open_backend(self, folder: Path) -> Backend:
        return SQLite(folder / "events.db")


class TestViewsInAnotherFile(ViewsContract, PromisesContract):
    waits = True

    def open_backend(self, folder: Path) -> Backend:
        return SeparateViews(SQLite(folder / "events.db"), SQLite(folder / "views.db"))
