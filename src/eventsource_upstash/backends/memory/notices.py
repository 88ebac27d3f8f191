"""Notifications within one process."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from ..._io.port import Port, Signal
from ...domain.events import FREE, Receipt
from ...errors import Misuse

if TYPE_CHECKING:
    from ...ports import Messages, Notices, Timetable, Verifier

_log: Final = logging.getLogger("eventsource_upstash.notifier")


class InProcess:
    """Wakes the worker of this process after each append. What other processes append, the worker finds by polling."""

    def __init__(self) -> None:
        self.signal: Signal | None = Signal()

    def __repr__(self) -> str:
        return "InProcess()"

    def notices(self, port: Port) -> Notices:
        """The carrier."""
        return _Wake(self.signal or Signal())

    def messages(self, port: Port) -> Messages | None:
        """None: the app delivers its messages itself."""
        return None

    def timetable(self, port: Port) -> Timetable | None:
        """None: the app keeps its schedules itself."""
        return None

    def job_url(self, path: str) -> str:
        """See `NoticeTransport.job_url`: jobs are called in this process, at no URL."""
        raise Misuse(f"job {path!r} is called in this process: it has no URL")

    def verifier(self, public_url: str | None) -> Verifier | None:
        """None: nothing comes from outside."""
        return None

    async def check(self, port: Port) -> tuple[str, ...]:
        """See `NoticeTransport.check`: there is nothing to look at."""
        return ()


class _Wake:
    def __init__(self, signal: Signal) -> None:
        self._signal = signal

    async def send(self, position: int, raised_us: int) -> Receipt:
        """See `Notices.send`."""
        self._signal.set()
        if _log.isEnabledFor(logging.INFO):
            _log.info("notified: the log reached position %s", position)
        return FREE
