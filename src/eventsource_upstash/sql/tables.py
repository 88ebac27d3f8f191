"""The tables of the library's own: how far each projection and each sync is."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Engine,
    Integer,
    MetaData,
    RowMapping,
    String,
    Table,
    Text,
    inspect,
)
from sqlalchemy.dialects.mysql import VARCHAR
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.schema import CreateColumn

from ..errors import Misuse, Unavailable
from .engines import check_transaction, telling

# Names are told apart by case, whatever the database would do by itself.
_NAME: Final = String(255).with_variant(VARCHAR(255, charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb")
CHECKPOINTS: Final = "eventsource_checkpoints"
SYNCS: Final = "eventsource_syncs"


def checkpoints_table(name: str, schema: str | None) -> Table:
    """How far each SQL projection is: one row for each, whatever its version."""
    return Table(
        name,
        MetaData(schema=schema),
        Column("name", _NAME, primary_key=True),
        Column("version", Integer, nullable=False),
        Column("checkpoint", BigInteger, nullable=False),
        Column("skipped", BigInteger, nullable=False),
        Column("stopped", BigInteger),
        Column("reason", Text),
        Column("since_us", BigInteger),
        Column("mark", String(36)),
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
        mariadb_engine="InnoDB",
        mariadb_charset="utf8mb4",
    )


def syncs_table(name: str, schema: str | None) -> Table:
    """How far each sync is."""
    return Table(
        name,
        MetaData(schema=schema),
        Column("name", _NAME, primary_key=True),
        Column("edition", BigInteger, nullable=False),
        Column("version", Integer, nullable=False),
        Column("generation", BigInteger, nullable=False),
        Column("position", BigInteger, nullable=False),
        Column("parked", Integer, nullable=False),
        Column("started", BigInteger),
        Column("phase", String(8), nullable=False),
        Column("place", Text),
        Column("copied", BigInteger, nullable=False),
        Column("mark", String(36)),
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
        mariadb_engine="InnoDB",
        mariadb_charset="utf8mb4",
    )


class Rows:
    """The rows of one of these tables, made when they are first needed.

    Args:
        engine: Where the table is.
        table: Which.
        where: How to call the place in an error.
    """

    def __init__(self, engine: Engine, table: Table, where: str) -> None:
        self.engine: Engine = engine
        self.table: Table = table
        self.where: str = where
        self._made: set[str] = set()
        self._lock = threading.Lock()

    def prepare(self, name: str, first: Mapping[str, object]) -> None:
        """Make the table, and the row of a name, where they are not there. Any number may do so at once.

        Raises:
            Unavailable: The database cannot serve it now.
            Refused: It lacks the right to make the table, or another error that no later try mends.
            Misuse: The engine has no transactions, or no database; or a table that is there lacks a column.
        """
        with self._lock:
            if name in self._made:
                return
            with telling(f"{self.where}: table {self.table.fullname!r}"):
                self._create()
                with self.engine.connect() as connection:
                    here = connection.execute(self.table.select().where(self.table.c.name == name)).first()
                    check_transaction(connection, self.where)
                    connection.rollback()
                if here is None:
                    self._insert({"name": name, **first})
            self._made.add(name)

    def read(
        self,
        name: str,
        first: Mapping[str, object],
        where: str,
        look: Callable[[Connection], None] | None = None,
    ) -> RowMapping:
        """The row of a name, made where it is not there.

        Args:
            name: The name.
            first: What the row is made with.
            where: How to call the place in an error.
            look: What else is looked at over the same connection.

        Raises:
            Unavailable: The database cannot serve it now, or somebody has deleted the row this moment.
            Refused: As `prepare`.
            Misuse: As `prepare`.
        """
        self.prepare(name, first)
        with self.engine.connect() as connection:
            row = connection.execute(self.table.select().where(self.table.c.name == name)).mappings().first()
            if look is not None:
                look(connection)
            connection.rollback()
        if row is None:
            self.forget()
            raise Unavailable(f"{where}: its checkpoint has just been deleted. Try again")
        return row

    def forget(self) -> None:
        """Look again whether table and rows are there: somebody may have dropped them."""
        with self._lock:
            self._made.clear()

    def _create(self) -> None:
        if self._is_there():
            self._check_columns()
            return
        try:
            with self.engine.begin() as connection:
                self.table.create(connection, checkfirst=True)
        except DBAPIError:
            if not self._is_there():  # else somebody else has made it meanwhile
                raise

    def _check_columns(self) -> None:
        there = {each["name"] for each in inspect(self.engine).get_columns(self.table.name, schema=self.table.schema)}
        for column in self.table.columns:
            if column.name not in there:
                add = f"ALTER TABLE {self.table.fullname} ADD {CreateColumn(column).compile(self.engine)}"
                raise Misuse(
                    f"{self.where}: table {self.table.fullname!r} has no column {column.name!r}: it is another table, "
                    f"or of an earlier version. Name another one, or add the column: {add}"
                )

    def _is_there(self) -> bool:
        inspector = inspect(self.engine)
        if (
            self.engine.dialect.name in {"mysql", "mariadb"}
            and self.table.schema is None
            and inspector.default_schema_name is None
        ):
            raise Misuse(f"{self.where}: the engine's URL names no database, as in mysql+pymysql://me@host/NAME")
        return inspector.has_table(self.table.name, schema=self.table.schema)

    def _insert(self, row: Mapping[str, object]) -> None:
        try:
            with self.engine.begin() as connection:
                connection.execute(self.table.insert().values(**row))
        except IntegrityError:
            return  # somebody else has made it meanwhile
