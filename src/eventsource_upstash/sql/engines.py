"""What engines are taken, and what the errors of databases mean to a caller."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Final, cast

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import SingletonThreadPool

from ..errors import EventSourceError, Misuse, Refused, Unavailable

DIALECTS: Final = ("postgresql", "mysql", "mariadb", "sqlite")

# What a later try may find otherwise. PostgreSQL tells classes of states (connection, rollback, resources, operator),
# MySQL and MariaDB numbers of the server and of the client, SQLite primary result codes.
_PASSING_STATES: Final = ("08", "40", "53", "57P", "55P03", "57014", "58")
_PASSING_MYSQL: Final = frozenset(
    {1020, 1040, 1042, 1053, 1077, 1079, 1080, 1152, 1158, 1159, 1160, 1161, 1184, 1203, 1205, 1213, 1226, 1290, 1792}
    | {1836, 1927, 2002, 2003, 2006, 2013, 2014, 2055, 4031}
)
_PASSING_SQLITE: Final = frozenset({5, 6, 9, 10, 15})
_FULL_SQLITE: Final = 13
_CONTENDED_STATES: Final = ("40001", "40P01")
_CONTENDED_MYSQL: Final = frozenset({1020, 1213})


MAX_LOST: Final = 100
"""So often a page may be lost to others, who do not get on either, before it is left to a later call."""


class Lost(Exception):
    """Internal: somebody else has moved the checkpoint meanwhile. What was not done by then was not done at all."""


def check_engine(engine: object, where: str) -> Engine:
    """Refuse what is no engine that transactions can be made on. Raises `Misuse`."""
    dialect = getattr(engine, "dialect", None)
    if getattr(dialect, "is_async", False):
        raise Misuse(
            f"{where}: an asynchronous engine cannot be used here, nor its sync_engine: blocking work is done in a "
            "thread, so hand over one of create_engine(...), with a driver that blocks; in both colours"
        )
    if not isinstance(engine, Engine):
        raise Misuse(f"{where}: it takes an engine, as create_engine(...) answers it, not a {type(engine).__name__}")
    if engine.dialect.name not in DIALECTS:
        raise Misuse(f"{where}: no support for {engine.dialect.name!r}; there is PostgreSQL, MySQL, MariaDB and SQLite")
    if isinstance(engine.pool, SingletonThreadPool):
        raise Misuse(
            f"{where}: this SQLite database is in memory, one for each thread; use a file, or "
            "create_engine('sqlite://', poolclass=StaticPool, connect_args={'check_same_thread': False})"
        )
    return engine


def check_transaction(connection: Connection, where: str) -> None:
    """Refuse a connection that commits each statement by itself. Called after the first one. Raises `Misuse`."""
    # Each driver tells it in its own way, and the engine does not. sqlite3 begins no transaction for what only reads.
    driver: object = connection.connection.dbapi_connection
    asked = getattr(driver, "get_autocommit", None)
    if (
        getattr(driver, "autocommit", None) is True
        or (callable(asked) and asked() is True)
        or (getattr(driver, "in_transaction", None) is False and getattr(driver, "isolation_level", "") is None)
    ):
        raise Misuse(
            f"{where}: the engine commits each statement by itself (isolation_level AUTOCOMMIT), so that a crash would "
            "leave half of the work; hand over one that has transactions"
        )


def is_passing(error: BaseException) -> bool:
    """Whether a later try may do: the connection, a lock, a deadlock, a limit of the moment."""
    if isinstance(error, PoolTimeout):
        return True
    if not isinstance(error, DBAPIError):
        return False
    if error.connection_invalidated:
        return True
    code = _code(error)
    if isinstance(code, int):
        return code in (_PASSING_SQLITE if _is_sqlite(error) else _PASSING_MYSQL)
    if code is not None:
        return code.startswith(_PASSING_STATES) and code != "53100"
    if _is_sqlite(error):  # before Python 3.11 it tells no code
        return any(word in str(error.orig) for word in ("locked", "busy", "disk I/O error", "interrupted"))
    return type(error).__name__ in ("OperationalError", "InterfaceError")  # no server has answered


def is_contended(error: BaseException) -> bool:
    """Whether another transaction was in the way, and won."""
    if not isinstance(error, DBAPIError) or error.connection_invalidated:
        return False
    code = _code(error)
    return code in (_CONTENDED_STATES if isinstance(code, str) else _CONTENDED_MYSQL) and not _is_sqlite(error)


def told(error: BaseException) -> str:
    """An error of the database in a few words: no statement, no parameter, no address, nothing that was stored."""
    if not isinstance(error, StatementError):
        return type(error).__name__
    code, name = _code(error), type(error).__name__
    orig = type(error.orig).__name__
    return ": ".join(dict.fromkeys([name, orig])) + ("" if code is None else f", code {code}")


def is_aborted(error: DBAPIError) -> bool:
    """Whether PostgreSQL takes no further statement, for one before it that failed."""
    return _code(error) == "25P02"


HINT: Final = "Look at the table's columns and constraints, and at the rights of the database's user"


@contextmanager
def telling(what: str, hint: Callable[[], str] | None = None) -> Generator[None]:
    """Turn what the database says about the library's own statements into the errors of the library.

    Args:
        what: What was done, for the message.
        hint: What tells what to do where it was refused.

    Raises:
        Unavailable: A later try may do. Nothing was written, unless it was the answer to a commit that was lost.
        Refused: No later try will, unless something is changed first.
    """
    try:
        yield
    except EventSourceError:
        raise
    except SQLAlchemyError as error:
        if isinstance(error, StatementError):
            error.hide_parameters = True
        if is_passing(error):
            # PostgreSQL's drivers tell no code where a connection is not made, whether nobody is there or lets it in.
            known = _is_sqlite(error) or _code(error) is not None
            more = "" if known else "; if that does not help, look at the address, user and password of the engine"
            raise Unavailable(
                f"{what}: the database cannot serve it now ({told(error)}). Try again later{more}"
            ) from None
        if _code(error) in (_FULL_SQLITE, "53100", 1021):
            remedy = "The disk is full"
        else:
            remedy = HINT if hint is None else hint()
        raise Refused(f"{what}: the database refused it ({told(error)}); nothing was written. {remedy}") from None


def _is_sqlite(error: BaseException) -> bool:
    return type(getattr(error, "orig", None)).__module__.startswith("sqlite3")


def _code(error: BaseException) -> int | str | None:
    """The database's own code: a number of MySQL's, an SQLSTATE, a primary result code of SQLite."""
    orig: object = getattr(error, "orig", None)
    arguments = cast("tuple[object, ...]", getattr(orig, "args", ()))
    first = arguments[0] if arguments else None
    if isinstance(first, int):
        # MySQL's. Its states, which some drivers tell as well, are too coarse: a lock's timeout has none of its own.
        return first
    if isinstance(first, dict):  # pg8000
        first = cast("dict[object, object]", first).get("C")
        return first if isinstance(first, str) else None
    for name in ("sqlstate", "pgcode"):
        state = getattr(orig, name, None)
        if isinstance(state, str):
            return state
    code = getattr(orig, "sqlite_errorcode", None)
    return code & 0xFF if isinstance(code, int) else None
