"""Views in a SQL database: tables that follow the log, and tables that are kept in step with a view.

Over SQLAlchemy 2 (`pip install "eventsource-upstash[sql]"`), on PostgreSQL, MySQL, MariaDB and SQLite.
"""

from __future__ import annotations

try:
    from .follower import SqlFollower, SqlStatus
except ModuleNotFoundError as _error:
    if _error.name != "sqlalchemy":
        raise
    raise ModuleNotFoundError(
        "eventsource_upstash.sql needs the package sqlalchemy: pip install 'eventsource-upstash[sql]'", name=_error.name
    ) from _error
from .projection import SqlProjection, sql_projection
from .results import Synced, Syncing
from .synchronise import AsyncSync, Sync, sync

__all__ = [
    "AsyncSync",
    "SqlFollower",
    "SqlProjection",
    "SqlStatus",
    "Sync",
    "Synced",
    "Syncing",
    "sql_projection",
    "sync",
]
