"""Rate limits in the file."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from ..._io.port import Port
from ...domain.limits import Rule
from ...ports import Taken
from ..limiting import Counter, take

if TYPE_CHECKING:
    import sqlite3

    from .database import Database

PURGED: Final = 2
"""How many counters that have expired are deleted for each that is written: so there are never many of them."""

_GET: Final = "SELECT number, since_ms, expires_ms FROM limits WHERE key = ?"
_PUT: Final = """
    INSERT INTO limits (key, number, since_ms, expires_ms) VALUES (?, ?, ?, ?)
    ON CONFLICT (key) DO UPDATE SET number = excluded.number, since_ms = excluded.since_ms,
    expires_ms = excluded.expires_ms
    """
_PURGE: Final = f"""
    DELETE FROM limits WHERE key IN (
        SELECT key FROM limits WHERE expires_ms <= ? ORDER BY expires_ms LIMIT {PURGED}
    )
    """


class _Counters:
    __slots__ = ("_cursor",)

    def __init__(self, cursor: sqlite3.Cursor) -> None:
        self._cursor = cursor

    def get(self, key: str) -> Counter | None:
        row = self._cursor.execute(_GET, (key,)).fetchone()
        return None if row is None else Counter(*row)

    def put(self, key: str, counter: Counter, now_ms: int) -> None:
        self._cursor.execute(_PUT, (key, *counter))
        self._cursor.execute(_PURGE, (now_ms,))


class SQLiteLimiter:
    """Counts in the file: one transaction for each check."""

    def __init__(self, port: Port, database: Database) -> None:
        self._port = port
        self._database = database

    async def take(self, rule: Rule, identifier: str, cost: int, now_us: int) -> Taken:
        """See `Limiter.take`."""
        return await self._port.call(partial(self._database.write, partial(_take, rule, identifier, cost, now_us)))


def _take(rule: Rule, identifier: str, cost: int, now_us: int, cursor: sqlite3.Cursor) -> Taken:
    return take(_Counters(cursor), rule, identifier, cost, now_us)
