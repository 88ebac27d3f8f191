"""The backends of this package, held to their contracts."""

from __future__ import annotations

from pathlib import Path

from eventsource_upstash import Memory, SQLite
from eventsource_upstash.ports import Backend
from eventsource_upstash.testing import (
    LogContract,
    MailboxContract,
    PromisesContract,
    ReactorsContract,
    TimedLimitsContract,
    ViewsContract,
)
from eventsource_upstash.testing.conformance import FreeNotificationsContract, NotificationsContract
from tests.conformance.separate import SeparateViews
from tests.stepping.model import OwingMemory


class TestMemory(
    FreeNotificationsContract,
    LogContract,
    ViewsContract,
    PromisesContract,
    ReactorsContract,
    MailboxContract,
    TimedLimitsContract,
):
    reopens = False

    def open_backend(self, folder: Path) -> Backend:
        return Memory()


class TestSQLite(
    FreeNotificationsContract,
    LogContract,
    ViewsContract,
    PromisesContract,
    ReactorsContract,
    MailboxContract,
    TimedLimitsContract,
):
    waits = True

    def open_backend(self, folder: Path) -> Backend:
        return SQLite(folder / "events.db")


class TestViewsInAnotherFile(ViewsContract, PromisesContract):
    waits = True
    beside = False

    def open_backend(self, folder: Path) -> Backend:
        return SeparateViews(SQLite(folder / "events.db"), SQLite(folder / "views.db"))


class TestTheModelOfNotifications(NotificationsContract, LogContract, ViewsContract):
    """The reference model that the notification protocol is stepped on."""

    reopens = False
    beside = False  # its views are given a log that is wrapped

    def open_backend(self, folder: Path) -> Backend:
        return OwingMemory()
