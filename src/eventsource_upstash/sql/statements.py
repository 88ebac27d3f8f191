"""Rows -> table: the statements that write the rows of a sync, and see to it that they are there as they should be."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Final

from sqlalchemy import Connection, Engine, Insert, Inspector, Table, bindparam, func, inspect, select, text
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.exc import NoSuchTableError, SQLAlchemyError

from ..errors import Misuse
from .columns import AnyColumn
from .engines import HINT

IN_LIST: Final = 500
"""Most keys in one statement: below the parameters that each of the databases takes."""

_COLLATION: Final = text(
    "SELECT collation_name FROM information_schema.columns WHERE table_schema = COALESCE(:schema, DATABASE())"
    " AND table_name = :table AND column_name = :column"
)

_MYSQL: Final = ("mysql", "mariadb")


class Statements:
    """Writes rows into a table, and deletes them.

    Args:
        table: The table.
        key: The column of the documents' keys.
        where: How to call the sync in an error.
    """

    def __init__(self, table: Table, key: AnyColumn, where: str) -> None:
        self.table: Table = table
        self.key: AnyColumn = key
        self.where: str = where
        self._more_unique: bool | None = None

    def check(self, connection: Connection) -> None:
        """Refuse a key column that cannot tell keys apart as the view does. Raises `Misuse`."""
        if connection.dialect.name not in _MYSQL or self.key.type.python_type is not str:
            return
        where = {"schema": self.table.schema, "table": self.table.name, "column": self.key.name}
        collation = connection.execute(_COLLATION, where).scalar()
        if collation is not None and not str(collation).endswith(("_bin", "binary")):
            raise Misuse(
                f"{self.where}: column {self.key.key!r} has collation {collation}, under which different keys are "
                "equal ('a' and 'A'); let it be utf8mb4_bin"
            )

    def put(self, connection: Connection, rows: Sequence[dict[str, object]]) -> None:
        """Write rows, over those of the same key. All have the same columns.

        Raises:
            Misuse: The table cannot hold them side by side, or the driver not write them.
        """
        if not rows:
            return
        try:
            if connection.dialect.name in _MYSQL and self._has_more_unique(connection, rows[0]):
                self._update_or_insert(connection, rows)
            else:
                connection.execute(self._upsert(connection.dialect.name, tuple(rows[0])), rows)
        except SQLAlchemyError:
            raise
        except (TypeError, ValueError, OverflowError, AttributeError) as error:  # a driver's, of a value
            raise Misuse(
                f"{self.where}: the driver cannot write a value ({type(error).__name__}): a number that is too large, "
                "or what its column does not hold; let row= answer what it is to hold"
            ) from None
        for keys in _chunks([row[self.key.key] for row in rows]):
            self._check_there(keys, self._those_of(connection, keys))

    def delete(self, connection: Connection, keys: Sequence[object]) -> int:
        """Delete the rows of keys. Answers how many there were.

        Raises:
            Misuse: The table would delete rows of other keys with them.
        """
        deleted = 0
        for values in _chunks(keys):
            there = self._those_of(connection, values)
            if there:
                if not set(values).issuperset(there):
                    raise self._not_apart()
                deleted += max(0, connection.execute(self.table.delete().where(self.key.in_(values))).rowcount)
        return deleted

    def count(self, connection: Connection) -> int:
        """How many rows the table has."""
        return int(connection.execute(select(func.count()).select_from(self.table)).scalar_one())

    def keys_after(self, connection: Connection, place: object, limit: int) -> list[object]:
        """What the key column holds in the next rows, in the database's own order, after a value or from the first."""
        wanted = select(self.key).where(self.key.is_not(None)).order_by(self.key).limit(limit)
        if place is not None:
            wanted = wanted.where(self.key > place)
        return list(connection.execute(wanted).scalars())

    def hint(self, engine: Engine) -> str:
        """What is wrong with the table that the database has refused to write, as far as its catalogue tells."""
        try:
            inspector = inspect(engine)
            have = {each["name"] for each in inspector.get_columns(self.table.name, self.table.schema)}
            unique = self._unique(inspector)
            # What SQLite does not take for an index of its own.
            others = inspector.get_unique_constraints(self.table.name, self.table.schema)
            unique += [list(each["column_names"]) for each in others]
        except NoSuchTableError:
            return "There is no such table there: make it first, as metadata.create_all(engine) does"
        except SQLAlchemyError:
            return HINT
        missing = [each.name for each in self.table.c if each.name not in have]
        if missing:
            return f"The table lacks column {missing[0]!r} there; add it, and copy everything: run(full=True)"
        if [self.key.name] not in unique:
            return (
                f"Column {self.key.key!r} is not unique there: make it the primary key, or give it a unique constraint"
            )
        if any(each != [self.key.name] for each in unique):
            return (
                f"{HINT}. Columns beside the key are unique: rows are written one after the other, so that documents "
                "that swap such a value are refused"
            )
        return HINT

    def _those_of(self, connection: Connection, keys: Sequence[object]) -> list[object]:
        return list(connection.execute(select(self.key).where(self.key.in_(keys))).scalars())

    def _check_there(self, keys: Sequence[object], there: Sequence[object]) -> None:
        """Whether rows are there as they were written, which depends on the column's type and collation."""
        if len(there) == len(keys) and set(there) == set(keys):
            return
        if len(there) > len(set(there)):
            raise Misuse(
                f"{self.where}: column {self.key.key!r} is not unique: a key is there more than once; make it the "
                "primary key, or give it a unique constraint"
            )
        raise self._not_apart()

    def _not_apart(self) -> Misuse:
        return Misuse(
            f"{self.where}: column {self.key.key!r} changes keys, or takes different ones for equal: it ignores case, "
            "or spaces at the end, or fills up with them, or cuts off. Let it be a VARCHAR of a binary collation, such "
            "as utf8mb4_nopad_bin (MariaDB) or utf8mb4_0900_bin (MySQL), and long enough"
        )

    def _unique(self, inspector: Inspector) -> list[list[str | None]]:
        """The columns of each unique index."""
        name, schema = self.table.name, self.table.schema
        indexes = [list(each["column_names"]) for each in inspector.get_indexes(name, schema) if each["unique"]]
        primary: list[str | None] = [*inspector.get_pk_constraint(name, schema)["constrained_columns"]]
        return [each for each in (primary, *indexes) if each]

    def _has_more_unique(self, connection: Connection, row: dict[str, object]) -> bool:
        """Whether another unique index than the key's is given values."""
        if self._more_unique is None:
            given = {None, *(self.table.c[name].name for name in row)}
            unique: list[list[str | None]] = []
            with suppress(NoSuchTableError):  # which the statement says itself
                unique = self._unique(inspect(connection))
            self._more_unique = any(each != [self.key.name] and not given.isdisjoint(each) for each in unique)
        return self._more_unique

    def _update_or_insert(self, connection: Connection, rows: Sequence[dict[str, object]]) -> None:
        """Write rows where MySQL's upsert would write over the row of any unique column, and not of the key alone."""
        key, there = self.key.key, set[object]()
        for keys in _chunks([row[key] for row in rows]):
            there.update(connection.execute(select(self.key).where(self.key.in_(keys)).with_for_update()).scalars())
        old = [{f"new_{name}": value for name, value in row.items()} for row in rows if row[key] in there]
        new = [row for row in rows if row[key] not in there]
        others = [name for name in rows[0] if name != key]
        if old and others:
            update = self.table.update().where(self.key == bindparam(f"new_{key}"))
            connection.execute(update.values({name: bindparam(f"new_{name}") for name in others}), old)
        if new:
            connection.execute(self.table.insert(), new)

    def _upsert(self, dialect: str, names: Sequence[str]) -> Insert:
        others = [name for name in names if name != self.key.key]
        if dialect in _MYSQL:
            insert = mysql.insert(self.table)
            return insert.on_duplicate_key_update({name: insert.inserted[name] for name in others or names})
        if dialect == "postgresql":
            into = postgresql.insert(self.table)
            if not others:
                return into.on_conflict_do_nothing(index_elements=[self.key])
            return into.on_conflict_do_update(
                index_elements=[self.key], set_={name: into.excluded[name] for name in others}
            )
        lite = sqlite.insert(self.table)
        if not others:
            return lite.on_conflict_do_nothing(index_elements=[self.key])
        return lite.on_conflict_do_update(
            index_elements=[self.key], set_={name: lite.excluded[name] for name in others}
        )


def _chunks(values: Sequence[object]) -> Iterable[Sequence[object]]:
    return (values[start : start + IN_LIST] for start in range(0, len(values), IN_LIST))
