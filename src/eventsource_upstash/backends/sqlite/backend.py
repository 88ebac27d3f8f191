"""`SQLite("todo.db")`: log and views in one file."""

from __future__ import annotations

import os
from typing import cast

from ..._io.port import Port
from ...errors import Misuse
from ...ports import EVERYTHING, Limiter, Log, Mailbox, Views
from .database import MAX_TIMEOUT, Database, PatientPort, Synchronous
from .limits import SQLiteLimiter
from .log import SQLiteLog
from .mailbox import SQLiteMailbox
from .views import SQLiteViews


class SQLite:
    """Log and views in one SQLite file, in WAL mode. Several threads, event loops and processes may use it at once.

    Args:
        path: The file. It is created, with its tables, when it is first used; its folder has to exist.
        timeout: Seconds to wait for another writer before `Unavailable` is raised; 0 does not wait.
        synchronous: "FULL" survives a power cut once an append has returned. "NORMAL" survives a crash of the process,
            and may lose the last appends in a power cut, without damage to the file. "EXTRA" also syncs the folder.

    Raises:
        Misuse: The path is empty or names an in-memory database, or another argument cannot be one.
    """

    public = False
    capabilities = EVERYTHING

    def __init__(
        self, path: str | os.PathLike[str], *, timeout: float = 5.0, synchronous: Synchronous = "FULL"
    ) -> None:
        text = os.fspath(path)
        if not text or text == ":memory:" or text.startswith("file:"):
            raise Misuse(f"SQLite({text!r}): give the path of a file; for a log in memory there is Memory()")
        if type(cast("object", timeout)) not in (int, float) or not 0 <= timeout <= MAX_TIMEOUT:
            raise Misuse(f"SQLite(timeout={timeout!r}): it is a number of seconds from 0 to {MAX_TIMEOUT:,.0f}")
        if synchronous not in ("FULL", "NORMAL", "EXTRA"):
            raise Misuse(f"SQLite(synchronous={synchronous!r}): it is 'FULL', 'NORMAL' or 'EXTRA'")
        self._database = Database(text, timeout, synchronous)

    def __repr__(self) -> str:
        return f"SQLite({self._database.path!r})"

    @property
    def path(self) -> str:
        """The file."""
        return self._database.path

    def log(self, port: Port) -> Log:
        """Its log."""
        return SQLiteLog(PatientPort(port, self._database.timeout), self._database)

    def views(self, port: Port, log: Log) -> Views:
        """Its views, folded from that log."""
        return SQLiteViews(PatientPort(port, self._database.timeout), self._database, log)

    def mailbox(self, port: Port) -> Mailbox:
        """Where messages wait that the app itself delivers."""
        return SQLiteMailbox(PatientPort(port, self._database.timeout), self._database)

    def limiter(self, port: Port) -> Limiter:
        """What counts requests for rate limits."""
        return SQLiteLimiter(PatientPort(port, self._database.timeout), self._database)

    async def check(self, port: Port) -> tuple[str, ...]:
        """See `Backend.check`: the file can be opened, and is ours."""
        await self.log(port).head()
        return ()

    def close(self) -> None:
        """Close its idle connections. They are opened again when they are needed."""
        self._database.close()
