"""Messages in a SQLite file, beside the log."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from ..._io.port import Port
from ...domain.cron import next_due, next_or_never
from ...errors import Misuse
from ...ports import URLS, Buried, Claimed, Left, Message, Schedule
from ..mailing import DEAD_FOR_US, REMEMBERED_FOR_US, scheduled
from .database import Database
from .schema import PLACE

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

T = TypeVar("T")

_KNOWN: Final = "SELECT 1 FROM messages WHERE id = :id UNION ALL SELECT 1 FROM delivered_messages WHERE id = :id"
_ADD: Final = (
    "INSERT INTO messages (id, destination, headers, method, retries, not_before_us, schedule_id, due_us, body) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_MESSAGE: Final = "id, destination, body, headers, not_before_us, retries, method"
DUE: Final = (
    f"SELECT {_MESSAGE}, attempts, schedule_id, number, due_us FROM messages WHERE {PLACE} = ? AND due_us <= ? "
    "ORDER BY due_us, number LIMIT ?"
)
_HOLD: Final = "UPDATE messages SET attempts = attempts + 1, due_us = :lease, lease_us = :lease WHERE number = :number"
_LEASE: Final = "SELECT lease_us FROM messages WHERE id = ? AND due_us IS NOT NULL"
_DELETE: Final = "DELETE FROM messages WHERE id = ?"
_REMEMBER: Final = "INSERT OR REPLACE INTO delivered_messages (id, delivered_us) VALUES (?, ?)"
_FORGET: Final = "DELETE FROM delivered_messages WHERE delivered_us < ?"
_AGAIN: Final = "UPDATE messages SET due_us = ?, lease_us = NULL, error = ? WHERE id = ? AND lease_us = ?"
_BURY: Final = (
    "UPDATE messages SET due_us = NULL, lease_us = NULL, buried_us = ?, error = ? WHERE id = ? AND lease_us = ?"
)
_PURGE: Final = "DELETE FROM messages WHERE buried_us < ?"
_BURIED: Final = (
    f"SELECT {_MESSAGE}, attempts, error, buried_us, schedule_id FROM messages WHERE buried_us IS NOT NULL "
    "ORDER BY buried_us DESC, number DESC LIMIT ?"
)
_REVIVE: Final = (
    "UPDATE messages SET due_us = ?, buried_us = NULL, attempts = 0, error = NULL "
    "WHERE id = ? AND buried_us IS NOT NULL"
)
FIRST: Final = f"SELECT min(due_us) FROM messages WHERE {PLACE} = ? AND due_us IS NOT NULL"
_LEFT: Final = (
    f"SELECT {PLACE}, count(*), min(due_us) FROM messages WHERE due_us <= ? AND due_us IS NOT NULL "
    f"GROUP BY {PLACE} ORDER BY {PLACE}"
)
_FIRST_SCHEDULE: Final = "SELECT min(due_us) FROM schedules WHERE due_us IS NOT NULL"

_SCHEDULE: Final = "id, cron, destination, body, headers, retries, method, paused"
_DUE_SCHEDULES: Final = f"SELECT {_SCHEDULE}, due_us FROM schedules WHERE due_us <= ? ORDER BY due_us, id"
_MOVE: Final = "UPDATE schedules SET due_us = ? WHERE id = ?"
_KNOWN_SCHEDULE: Final = "SELECT paused, cron, due_us FROM schedules WHERE id = ?"
_REST: Final = "UPDATE schedules SET paused = ?, due_us = ? WHERE id = ?"
_SAVE: Final = f"INSERT OR REPLACE INTO schedules ({_SCHEDULE}, due_us) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
_SCHEDULES: Final = f"SELECT {_SCHEDULE} FROM schedules ORDER BY id"
_REMOVE: Final = "DELETE FROM schedules WHERE id = ?"

_headers: Final = msgspec.json.Decoder(dict[str, str])


class SQLiteMailbox:
    """See `Mailbox`."""

    def __init__(self, port: Port, database: Database) -> None:
        self._port = port
        self._database = database

    async def put(self, messages: Sequence[Message], now_us: int) -> None:
        """See `Mailbox.put`."""

        def work(cursor: sqlite3.Cursor) -> None:
            for message in messages:
                _add(cursor, message, max(message.not_before_us, now_us), None)

        await self._write(work)

    async def claim(self, now_us: int, limit: int, places: Mapping[str, int]) -> list[Claimed]:
        """See `Mailbox.claim`."""

        def work(cursor: sqlite3.Cursor) -> tuple[list[Claimed], Misuse | None]:
            unknown: Misuse | None = None
            for row in cursor.execute(_DUE_SCHEDULES, (now_us,)).fetchall():
                schedule, due_us = _schedule(row), row[8]
                try:
                    after_us = next_or_never(schedule.cron, now_us)
                except Misuse as error:
                    unknown = error
                    continue
                _add(cursor, scheduled(schedule, due_us), due_us, schedule.id)
                cursor.execute(_MOVE, (after_us, schedule.id))
            due = [
                (row, lease_us)
                for place, lease_us in places.items()
                for row in cursor.execute(DUE, (place, now_us, limit)).fetchall()
            ]
            due.sort(key=lambda each: (each[0][10], each[0][9]))
            claimed: list[Claimed] = []
            for row, lease_us in due[:limit]:
                cursor.execute(_HOLD, {"lease": lease_us, "number": row[9]})
                claimed.append(Claimed(_message(row), row[7] + 1, row[8], lease_us))
            return claimed, unknown

        claimed, unknown = await self._write(work)
        if unknown is not None and not claimed:
            raise unknown
        return claimed

    async def done(self, claimed: Claimed, now_us: int) -> bool:
        """See `Mailbox.done`."""

        def work(cursor: sqlite3.Cursor) -> bool:
            row = cursor.execute(_LEASE, (claimed.message.id,)).fetchone()
            if row is None:
                return False
            cursor.execute(_DELETE, (claimed.message.id,))
            cursor.execute(_FORGET, (now_us - REMEMBERED_FOR_US,))
            cursor.execute(_REMEMBER, (claimed.message.id, now_us))
            return bool(row[0] == claimed.lease_us)

        return await self._write(work)

    async def again(self, claimed: Claimed, at_us: int, error: str) -> bool:
        """See `Mailbox.again`."""
        return await self._change(_AGAIN, (at_us, error, claimed.message.id, claimed.lease_us))

    async def bury(self, claimed: Claimed, now_us: int, error: str) -> bool:
        """See `Mailbox.bury`."""

        def work(cursor: sqlite3.Cursor) -> bool:
            cursor.execute(_PURGE, (now_us - DEAD_FOR_US,))
            return cursor.execute(_BURY, (now_us, error, claimed.message.id, claimed.lease_us)).rowcount > 0

        return await self._write(work)

    async def next_due(self, places: Collection[str]) -> int | None:
        """See `Mailbox.next_due`."""

        def work(cursor: sqlite3.Cursor) -> int | None:
            found = [cursor.execute(FIRST, (place,)).fetchone()[0] for place in places]
            found.append(cursor.execute(_FIRST_SCHEDULE).fetchone()[0])
            return min((moment for moment in found if moment is not None), default=None)

        return await self._read(work)

    async def left(self, now_us: int, places: Collection[str]) -> list[Left]:
        """See `Mailbox.left`."""
        rows = await self._read(lambda cursor: cursor.execute(_LEFT, (now_us,)).fetchall())
        return [Left(*row) for row in rows if row[0] != URLS and row[0] not in places]

    async def buried(self, limit: int) -> list[Buried]:
        """See `Mailbox.buried`."""
        rows = await self._read(lambda cursor: cursor.execute(_BURIED, (limit,)).fetchall())
        return [Buried(_message(row), row[7], row[8], row[9], row[10]) for row in rows]

    async def revive(self, id: str, now_us: int) -> bool:
        """See `Mailbox.revive`."""
        return await self._change(_REVIVE, (now_us, id))

    async def save(self, schedule: Schedule, now_us: int) -> None:
        """See `Mailbox.save`."""
        moment = next_due(schedule.cron, now_us)

        def work(cursor: sqlite3.Cursor) -> None:
            due_us, paused = moment, schedule.paused
            if (row := cursor.execute(_KNOWN_SCHEDULE, (schedule.id,)).fetchone()) is not None:
                paused, cron, kept = row
                if kept is not None and cron == schedule.cron:
                    due_us = min(moment, kept)  # it is later only where it was set by a clock that was wrong
            cursor.execute(
                _SAVE,
                (
                    schedule.id,
                    schedule.cron,
                    schedule.destination,
                    schedule.body,
                    _encoded(schedule.headers),
                    schedule.retries,
                    schedule.method,
                    paused,
                    None if paused else due_us,
                ),
            )

        await self._write(work)

    async def rest(self, id: str, now_us: int, *, paused: bool) -> bool:
        """See `Mailbox.rest`."""

        def work(cursor: sqlite3.Cursor) -> bool:
            row = cursor.execute(_KNOWN_SCHEDULE, (id,)).fetchone()
            if row is not None and bool(row[0]) is not paused:
                cursor.execute(_REST, (paused, None if paused else next_due(row[1], now_us), id))
            return row is not None

        return await self._write(work)

    async def schedules(self) -> list[Schedule]:
        """See `Mailbox.schedules`."""
        return [_schedule(row) for row in await self._read(lambda cursor: cursor.execute(_SCHEDULES).fetchall())]

    async def remove(self, id: str) -> None:
        """See `Mailbox.remove`."""
        await self._change(_REMOVE, (id,))

    async def _change(self, statement: str, values: tuple[object, ...]) -> bool:
        return await self._write(lambda cursor: cursor.execute(statement, values).rowcount > 0)

    async def _read(self, work: Callable[[sqlite3.Cursor], T]) -> T:
        return await self._port.call(partial(self._database.read, work))

    async def _write(self, work: Callable[[sqlite3.Cursor], T]) -> T:
        return await self._port.call(partial(self._database.write, work))


def _add(cursor: sqlite3.Cursor, message: Message, due_us: int, schedule_id: str | None) -> None:
    if cursor.execute(_KNOWN, {"id": message.id}).fetchone() is None:
        values = (message.id, message.destination, _encoded(message.headers), message.method, message.retries)
        cursor.execute(_ADD, (*values, message.not_before_us, schedule_id, due_us, message.body))


def _encoded(headers: Mapping[str, str]) -> str:
    return msgspec.json.encode(dict(headers)).decode()


def _message(row: tuple[Any, ...]) -> Message:  # as SQLite hands rows out
    name, destination, body, headers, not_before_us, retries, method = row[:7]
    return Message(name, destination, body, _headers.decode(headers), not_before_us, retries, method)


def _schedule(row: tuple[Any, ...]) -> Schedule:  # as SQLite hands rows out
    name, cron, destination, body, headers, retries, method, paused = row[:8]
    return Schedule(name, cron, destination, body, _headers.decode(headers), retries, method, bool(paused))
