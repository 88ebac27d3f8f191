"""The file: its connections, its transactions, and what its errors mean to a caller."""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Literal, NoReturn, TypeVar

from ..._io.port import HttpRequest, HttpResponse, Port, Signal
from ...errors import CorruptLog, EventSourceError, OutcomeUnknown, Refused, Unavailable
from .schema import APPLICATION_ID, CREATE, UPGRADES, VERSION

if TYPE_CHECKING:
    import sqlite3  # at run time it is imported when a file is first opened: importing the library stays quick

T = TypeVar("T")

Synchronous = Literal["FULL", "NORMAL", "EXTRA"]

PAUSE: Final = 0.01
"""Seconds between two looks at whether others are done with opening the file for the first time."""

MAX_TIMEOUT: Final = 2_000_000.0
"""Longest timeout, in seconds: SQLite counts milliseconds in 32 bits."""

WRITING: Final = "BEGIN IMMEDIATE"

_leaked: Final[list[object]] = []
"""Connections that a parent process opened: closing them here could remove the parent's locks and its WAL."""


class OpenedByOthers(Exception):
    """Internal: others open the file for the first time just now. `PatientPort` waits, and never lets it out."""

    def __init__(self, meaning: Unavailable) -> None:
        super().__init__(str(meaning))
        self.meaning = meaning


class PatientPort:
    """A port that does work again, after a pause, while others open the file for the first time.

    Args:
        port: The port that does it.
        timeout: Seconds after which it raises `Unavailable`.
    """

    def __init__(self, port: Port, timeout: float) -> None:
        self._port = port
        self._timeout = timeout

    async def send(self, request: HttpRequest) -> HttpResponse:
        """See `Port.send`."""
        return await self._port.send(request)

    async def call(self, work: Callable[[], T]) -> T:
        """See `Port.call`."""
        deadline: float | None = None
        while True:
            try:
                return await self._port.call(work)
            except OpenedByOthers as others:
                now = time.monotonic()
                deadline = now + self._timeout if deadline is None else deadline
                if now >= deadline:
                    raise others.meaning from others
            await self._port.sleep(PAUSE)

    async def sleep(self, seconds: float, wake: Signal | None = None, since: int = 0) -> None:
        """See `Port.sleep`."""
        await self._port.sleep(seconds, wake, since)


class Database:
    """Connections to one file, handed out one per step.

    A connection belongs to whoever took it until the step is done, in whatever thread that runs; idle ones wait in a
    list, each by its cursor. Writers of this process queue on a lock, which is fair and quick, before they queue on
    the file's.

    Where another file is put in the place of this one, a connection goes on with the one that it opened, which nobody
    else will ever see. So each step looks at whether it is still there, a write once more when it has been committed.
    """

    def __init__(self, path: str, timeout: float, synchronous: Synchronous) -> None:
        self.path = path
        self.timeout = timeout
        self._synchronous = synchronous
        self._idle: list[sqlite3.Cursor] = []
        self._opened: tuple[int, int] | None = None  # which file that is; None while none is open
        self._write_lock = threading.Lock()
        _databases.add(self)
        weakref.finalize(self, _close_all, self._idle)

    def read(self, work: Callable[[sqlite3.Cursor], T]) -> T:
        """Do the work in a read transaction: one state of the file throughout."""
        return self._transact("BEGIN", work)

    def write(self, work: Callable[[sqlite3.Cursor], T]) -> T:
        """Do the work in a write transaction: all of it is in the file for good when this returns, or none is.

        Raises:
            Unavailable: Another writer held the file for longer than the timeout. Nothing was written.
            OutcomeUnknown: The disk failed during the commit itself.
            Refused: The disk is full, or the file cannot be written.
            CorruptLog: The file is damaged, or another one was put in its place.
        """
        if not self._write_lock.acquire(timeout=self.timeout):
            raise self._busy()
        try:
            return self._transact(WRITING, work)
        finally:
            self._write_lock.release()

    def close(self) -> None:
        """Close the idle connections. What is opened then may be another file."""
        _close_all(self._idle)
        self._opened = None

    def _transact(self, begin: str, work: Callable[[sqlite3.Cursor], T]) -> T:
        thread = _enter()
        try:
            return self._do(begin, work)
        finally:
            _inside.remove(thread)

    def _do(self, begin: str, work: Callable[[sqlite3.Cursor], T]) -> T:
        try:
            cursor = self._idle.pop()
        except IndexError:
            cursor = self._open().cursor()
        committing = False
        try:
            self._must_be_there("Nothing was written")
            cursor.execute(begin)
            result = work(cursor)
            committing = True
            cursor.execute("COMMIT")
            if begin is WRITING:
                self._must_be_there("What was just written is in the file that was there before, and lost with it")
        except BaseException as error:
            self._give_up(cursor.connection)
            self._raise(error, committing=committing)
        self._idle.append(cursor)
        return result

    def _give_up(self, connection: sqlite3.Connection) -> None:
        """Roll back, and keep the connection only if that worked."""
        import sqlite3

        try:
            if connection.in_transaction:
                connection.rollback()
        except sqlite3.Error:
            connection.close()
        else:
            self._idle.append(connection.cursor())

    def _open(self) -> sqlite3.Connection:
        import sqlite3

        try:
            connection = sqlite3.connect(self.path, timeout=self.timeout, isolation_level=None, check_same_thread=False)
        except sqlite3.Error as error:
            self._raise(error, committing=False)
        try:
            self._prepare(connection)
            connection.execute(f"PRAGMA synchronous={self._synchronous}")
        except BaseException as error:
            connection.close()
            self._raise(error, committing=False)
        return connection

    def _must_be_there(self, outcome: str) -> None:
        """Raise `CorruptLog` unless the file is the one that was opened. Takes a microsecond or two."""
        try:
            found = os.stat(self.path)  # noqa: PTH116  a `Path` takes three times as long
        except OSError:
            there = None
        else:
            there = found.st_dev, found.st_ino
        if self._opened is None:
            self._opened = there
        if there is not None and there == self._opened:
            return
        raise CorruptLog(
            f"SQLite file {self.path!r} was removed, or another one was put in its place, while this process had it "
            f"open. {outcome}. Stop every process that uses it, see that the file is the right one and that no -wal or "
            '-shm of another lies beside it, and start again. To restore a live file use: sqlite3 FILE ".restore COPY"'
        )

    def _prepare(self, connection: sqlite3.Connection) -> None:
        """Make sure that the file is ours, of a version that we know, and in WAL mode."""
        # In a transaction, so that all of it is of one moment: somebody else may be creating the tables right now.
        connection.execute("BEGIN")
        found = self._check(connection)
        connection.execute("COMMIT")
        if found != VERSION:
            connection.execute("BEGIN IMMEDIATE")
            found = self._check(connection)  # somebody else may have been quicker
            if found is None:
                for statement in CREATE:
                    connection.execute(statement)
                connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
                found = VERSION
            for version in range(found, VERSION):
                for upgrade in UPGRADES[version]:
                    upgrade(connection)
            connection.execute(f"PRAGMA user_version={VERSION}")
            connection.execute("COMMIT")
        mode = self._use_wal(connection)
        if mode != "wal":
            raise Refused(
                f"SQLite file {self.path!r} cannot use a write-ahead log (it is in {mode!r} mode): readers and "
                "writers would block each other. Put it on a local disk"
            )

    def _use_wal(self, connection: sqlite3.Connection) -> str:
        """Switch to a write-ahead log.

        Raises:
            OpenedByOthers: Somebody else opens the file for the first time just now. SQLite waits for readers, but not
                for another writer here, lest the two wait for each other.
        """
        import sqlite3

        try:
            (mode,) = connection.execute("PRAGMA journal_mode=WAL").fetchone()
        except sqlite3.OperationalError as error:
            if "locked" not in str(error):
                raise
            raise OpenedByOthers(self._busy()) from error
        return str(mode)

    def _check(self, connection: sqlite3.Connection) -> int | None:
        """The version of our tables, or None where there are none.

        Raises `Refused` when the file is somebody else's, or newer than we are.
        """
        (owner,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if owner == APPLICATION_ID and version > VERSION:
            raise Refused(
                f"SQLite file {self.path!r} has tables of version {version}, written by a newer eventsource-upstash; "
                f"this one knows version {VERSION}. Nothing was changed: upgrade the library"
            )
        if owner != APPLICATION_ID and (tables or owner or version):
            raise Refused(
                f"SQLite file {self.path!r} belongs to something else; nothing was changed. Give the event log a file "
                "of its own"
            )
        return int(version) if owner == APPLICATION_ID else None

    def _busy(self) -> Unavailable:
        return Unavailable(
            f"SQLite file {self.path!r} was locked by another writer for {self.timeout:g} s; nothing was written. Try "
            "again, or allow a longer timeout"
        )

    def _raise(self, error: BaseException, *, committing: bool) -> NoReturn:
        """Raise what an error of SQLite's means to the caller. Any other one is raised as it is."""
        import sqlite3

        if isinstance(error, sqlite3.Error):
            raise self._meaning(error, committing=committing) from error
        raise error

    def _meaning(self, error: sqlite3.Error, *, committing: bool) -> EventSourceError:
        text = str(error)
        lower = text.lower()
        if "locked" in lower or "busy" in lower:
            return self._busy()
        if any(sign in lower for sign in ("malformed", "not a database", "corrupt", "could not decode")):
            return CorruptLog(
                f"SQLite file {self.path!r} is damaged or is no database: {text}. Nothing was written; restore it from "
                "a backup, or repair it with: sqlite3 FILE .recover"
            )
        if "full" in lower:
            return Refused(f"SQLite file {self.path!r}: {text}; nothing was written. Free some space, then try again")
        if committing and ("i/o" in lower or "disk" in lower):
            return OutcomeUnknown(
                f"SQLite file {self.path!r}: {text} during a commit. Whether it was written shows when the file is "
                "read again; the same call with the same idempotency key is safe"
            )
        if "readonly" in lower or "unable to open" in lower or "i/o" in lower or "too big" in lower:
            return Refused(
                f"SQLite file {self.path!r}: {text}; nothing was written. Check that its folder exists and can be "
                "written, and that there is space"
            )
        return Unavailable(f"SQLite file {self.path!r}: {text}; nothing was written")

    def after_fork_in_child(self) -> None:
        """Let go of what the parent process opened, without closing it."""
        _leaked.extend(self._idle)
        self._idle.clear()
        self._opened = None
        self._write_lock = threading.Lock()


def _close_all(idle: list[sqlite3.Cursor]) -> None:
    thread = _enter()
    try:
        while idle:
            idle.pop().connection.close()
    finally:
        _inside.remove(thread)


_databases: weakref.WeakSet[Database] = weakref.WeakSet()


# SQLite keeps track of its locks per process, and has mutexes of its own. A child that begins while another thread is
# within SQLite would find them taken by a thread that it does not have. So a fork waits until all others are outside.
_inside: Final[list[int]] = []
"""Threads that are within SQLite, one entry for each time."""

_forking: Final[list[int]] = []
"""The thread that forks just now."""

_fork_lock = threading.RLock()

MAX_FORK_WAIT: Final = 10.0
"""Seconds that a fork waits for transactions of other threads."""


def _enter() -> int:
    """Wait until nobody forks, and count as being within SQLite. Answers what `_inside` has to be rid of again."""
    thread = threading.get_ident()
    while True:
        _inside.append(thread)  # first this, then the look at who forks; a fork does it the other way round
        # Whoever is amid a fork or a transaction, and closes a file for the garbage collector there, is let in.
        if not _forking or thread in _forking or _inside.count(thread) > 1:
            return thread
        _inside.remove(thread)
        with _fork_lock:
            pass


def _before_fork() -> None:
    _fork_lock.acquire()
    thread = threading.get_ident()
    _forking.append(thread)
    deadline = time.monotonic() + MAX_FORK_WAIT
    while any(other != thread for other in list(_inside)) and time.monotonic() < deadline:
        time.sleep(0.0001)


def _after_fork_in_parent() -> None:
    _forking.pop()
    _fork_lock.release()


def _after_fork_in_child() -> None:
    global _fork_lock  # noqa: PLW0603  # a lock that is taken cannot be mended, only replaced
    _fork_lock = threading.RLock()
    _forking.clear()
    thread = threading.get_ident()
    _inside[:] = [other for other in _inside if other == thread]
    for database in list(_databases):
        database.after_fork_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
