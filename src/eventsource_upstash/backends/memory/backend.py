"""`Memory()`: everything in this process, gone with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..._io.port import Port
from ...ports import EVERYTHING, Log, Views
from .log import MemoryLog
from .state import State
from .views import MemoryViews

if TYPE_CHECKING:
    from ...ports import Limiter, Mailbox


class Memory:
    """Log and views in memory: for tests, and for trying things out.

    It stores encoded bytes, like every other backend, so an event that cannot be stored is refused here too. Safe under
    threads. Each `Memory()` is a log of its own; what uses the same object shares it. A forked child has a copy.
    """

    public = False
    capabilities = EVERYTHING

    def __init__(self) -> None:
        self._state = State()

    def __repr__(self) -> str:
        return f"Memory() of {len(self._state.rows)} events"

    def log(self, port: Port) -> Log:
        """Its log."""
        return MemoryLog(self._state)

    def views(self, port: Port, log: Log) -> Views:
        """Its views, folded from that log."""
        return MemoryViews(self._state, log)

    def mailbox(self, port: Port) -> Mailbox:
        """Where messages wait that the app itself delivers."""
        from .mailbox import MemoryMailbox  # for those who have messages

        return MemoryMailbox(self._state)

    def limiter(self, port: Port) -> Limiter:
        """What counts requests for rate limits."""
        from .limits import MemoryLimiter  # for those who have limits

        return MemoryLimiter(self._state)

    async def check(self, port: Port) -> tuple[str, ...]:
        """See `Backend.check`: there is nothing to look at."""
        return ()

    def close(self) -> None:
        """Nothing is held open. The events stay while the object does."""
