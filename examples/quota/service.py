"""The wiring: counting over an event store, a view that counts, and the sync that keeps a SQL table in step with it.

Where the events are is `QUOTA_BACKEND` (`sqlite:quota.db`, `memory:`, `upstash:`), where the table is `QUOTA_DATABASE`
(`sqlite:///quota-table.db`, or the URL of a PostgreSQL or MariaDB, as SQLAlchemy writes it).

Every hour a schedule sends a message to the job `/workers/sync`: QStash does, signed, to the URL of the app; without
it the app's own worker calls the job.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from types import TracebackType

from sqlalchemy import Engine, create_engine
from sqlalchemy.exc import SQLAlchemyError

from eventsource_upstash import Executed, Job, LogRewound, Misuse, NotRetryable, ProjectionStatus, connect
from eventsource_upstash.sql import Sync, Synced, Syncing

from . import table
from .domain import Account, Call, Command, UnknownUser, Usage, account, checked_user, registry, stream_of, usage

DEFAULT_BACKEND = "sqlite:quota.db"
DEFAULT_DATABASE = "sqlite:///quota-table.db"

JOB = "/workers/sync"
HOURLY = "0 * * * *"
SCHEDULE = "quota-sync"

BUDGET = 20.0
"""Seconds that one delivery may copy: below the limits of the usual platforms. What is left goes to another one."""

PATIENCE = 5.0
"""Seconds that a query waits for the view to get as far as it asks for."""

_log = logging.getLogger("quota")


@dataclass(frozen=True)
class Counted:
    """What came of a call: the month's count after it."""

    account: Account
    month: str
    position: int

    @property
    def used(self) -> int:
        return self.account.used_in(self.month)

    @property
    def remaining(self) -> int:
        return max(0, self.account.allowed - self.used)


@dataclass(frozen=True)
class Step:
    """How the table stands to the view.

    Attributes:
        users: Users in the table.
        calls: Calls of theirs, as the table has them.
        view: How the view is.
        last: What the last run in this process did.
        last_at: When that was.
    """

    users: int
    calls: int
    view: ProjectionStatus
    last: Synced | None
    last_at: datetime | None


class Quota:
    """Counts calls, and keeps the table in step.

    Args:
        backend: Where the events are; the environment's without it.
        database: Where the table is; the environment's without it.
        clock: Nanoseconds since 1970.
        budget: Seconds that one delivery of the job may copy.
    """

    def __init__(
        self,
        backend: str | None = None,
        database: str | None = None,
        *,
        clock: Callable[[], int] = time.time_ns,
        budget: float = BUDGET,
    ) -> None:
        self.clock = clock
        self.engine: Engine = create_engine(database or os.environ.get("QUOTA_DATABASE") or DEFAULT_DATABASE)
        if self.engine.dialect.name in {"mysql", "mariadb"} and not self.engine.url.database:
            raise Misuse("QUOTA_DATABASE names no database at its end, as in mysql+pymysql://me@127.0.0.1/billing.")
        self.app = connect(backend or os.environ.get("QUOTA_BACKEND") or DEFAULT_BACKEND, registry, clock=clock)
        self.view = self.app.projection_store.view(usage)
        # --8<-- [start:sync]
        self.sync = Sync(self.engine, self.view, table.api_usage, row=table.row)
        # --8<-- [end:sync]
        self.billed = self.app.backend.public  # each look costs money: no worker polls, QStash tells
        self._budget = budget
        self._worker = self.app.worker()
        self._lock = threading.Lock()
        self._last: Synced | None = None
        self._last_at: datetime | None = None
        self.app.job(JOB)(self.work)

    def set_up(self) -> None:
        """Make the table where there is none, and the schedule. Again, it does nothing again."""
        table.metadata.create_all(self.engine)
        # --8<-- [start:schedule]
        self.app.schedules.create(HOURLY, JOB, schedule_id=SCHEDULE)
        # --8<-- [end:schedule]

    def start(self) -> None:
        """Fold, and call the job, in the background, where no message comes from outside."""
        self.set_up()
        if not self.billed:
            self._worker.start()

    def close(self) -> None:
        if not self.billed:
            self._worker.stop()
        self.engine.dispose()
        self.app.close()

    def __enter__(self) -> Quota:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- Commands --

    @property
    def month(self) -> str:
        """The month that calls are counted in, as in 2026-11."""
        return datetime.fromtimestamp(self.clock() / 1e9, timezone.utc).strftime("%Y-%m")

    def execute(self, user: str, command: Command, key: str | None = None) -> Executed[Account]:
        """Execute a command on a user. Raises `Refusal` where it is refused."""
        stream = stream_of(checked_user(user))
        # A key stands for one command: the same one on two of them is two requests.
        key = key and f"{type(command).__name__}:{key}"
        return self.app.event_store.execute(account, stream, command, idempotency_key=key)

    def call(self, user: str, endpoint: str, units: int = 1, key: str | None = None) -> Counted:
        """Count a call. Raises `OverQuota` where the month's calls are used up."""
        month = self.month
        executed = self.execute(user, Call(endpoint, month, units), key)
        assert executed.state is not None
        return Counted(executed.state, month, executed.position or 0)

    # -- Queries --

    def user(self, user: str, at_least: int = 0) -> Usage:
        """What is known of a user. Raises `UnknownUser`."""
        found = self.view.get(checked_user(user), at_least=at_least, timeout=PATIENCE)
        if found is None:
            raise UnknownUser
        return found

    def busiest(self, count: int, at_least: int = 0) -> Sequence[tuple[Usage, int | None]]:
        """Who has called most this month, and what the table says of them; None where it does not know them yet."""
        found = [document for _, document in self.view.index("used").top(count, at_least=at_least, timeout=PATIENCE)]
        with self.engine.connect() as connection:
            used = table.used_of(connection, [each.user for each in found])
        return [(each, used.get(each.user)) for each in found]

    def step(self) -> Step:
        """How the table stands to the view."""
        with self.engine.connect() as connection:
            users, calls = table.totals(connection)
        status = next(each for each in self.app.projection_store.status() if each.name == usage.name)
        return Step(users, calls, status, self._last, self._last_at)

    # -- The sync --

    def copy(
        self, time_budget: float | None = None, progress: Callable[[Syncing], None] | None = None, *, full: bool = False
    ) -> Synced:
        """Bring the table in step, now and here."""
        synced = self.sync.run(time_budget=time_budget, progress=progress, full=full)
        with self._lock:
            self._last, self._last_at = synced, datetime.fromtimestamp(self.clock() / 1e9, timezone.utc)
        return synced

    def copy_some(self) -> Synced:
        """Copy what one transaction holds, and stop: what a run leaves that was ended half-way."""
        while True:
            synced = self.copy(time_budget=0)
            if not synced.more or synced.upserted or synced.deleted:
                return synced

    # --8<-- [start:job]
    def work(self, _: Job) -> None:
        """The job: as much as fits into one delivery. What is left is a message of its own."""
        try:
            synced = self.copy(self._budget)
        except LogRewound as error:
            # The table is of another log. Which one is right is for an operator to say: no further delivery can help.
            raise NotRetryable(str(error)) from error
        _log.info(
            "table: %d rows written, %d deleted, at position %d", synced.upserted, synced.deleted, synced.position
        )
        if synced.more:
            # If this delivery comes again, there are two such messages: of two syncs at once, one finds nothing to do.
            self.app.messages.send(JOB)

    # --8<-- [end:job]

    def send_sync(self) -> str:
        """Have the job called now, as the schedule will: a message, answered at once."""
        return self.app.messages.send(JOB).id


def why(error: Exception) -> str:
    """Why it does not work, for whoever started it."""
    if isinstance(error, ImportError):
        return f"QUOTA_DATABASE asks for a driver that is not installed ({error})."
    if isinstance(error, SQLAlchemyError):
        # Its text may repeat the URL of the database, and that a password.
        return f"QUOTA_DATABASE cannot be used ({type(error).__name__})."
    return str(error)
