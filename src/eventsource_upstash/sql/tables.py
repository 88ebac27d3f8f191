"""The tables of the library's own: how far each projection and each sync is."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Engine,
    Integer,
    MetaData,
    RowMapping,
    Select,
    String,
    Table,
    Text,
    inspect,
    select,
)
from sqlalchemy.dialects.mysql import VARCHAR
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.schema import CreateColumn

from ..domain.names import MAX_NAME, is_name
from ..domain.positions import Vector, read_position
from ..errors import Misuse, Unavailable
from .engines import check_transaction, telling

# Names are told apart by case, whatever the database would do by itself.
_NAME: Final = String(255).with_variant(VARCHAR(255, charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb")
CHECKPOINTS: Final = "eventsource_checkpoints"
SYNCS: Final = "eventsource_syncs"

PLACES: Final = "places"
"""The column for positions that are vectors, as texts: the number beside them is how many places lie behind in all. A
table of before there were such does without the column, as long as all positions are numbers."""


def check_name(what: str, name: object) -> None:
    """Refuse what no database could call anything. What it may hold besides, the database says. Raises `Misuse`."""
    if not isinstance(name, str) or not is_name(name):
        raise Misuse(f"{what}={name!r:.80}: it is a text of 1 to {MAX_NAME} characters, without control characters")


def checkpoints_table(name: str, schema: str | None) -> Table:
    """How far each SQL projection is: one row for each, whatever its version. Raises `Misuse` for no name."""
    check_name("table", name)
    if schema is not None:
        check_name("schema", schema)
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
        Column(PLACES, Text),
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
        mariadb_engine="InnoDB",
        mariadb_charset="utf8mb4",
    )


def syncs_table(name: str, schema: str | None) -> Table:
    """How far each sync is. Raises `Misuse` for no name."""
    check_name("checkpoints", name)
    if schema is not None:
        check_name("schema", schema)
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
        Column(PLACES, Text),
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
        self._lacks_places = False
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
                    here = connection.execute(self._select(name)).first()
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
            row = connection.execute(self._select(name)).mappings().first()
            if look is not None:
                look(connection)
            connection.rollback()
        if row is None:
            self.forget()
            raise Unavailable(f"{where}: its checkpoint has just been deleted. Try again")
        return row

    def _select(self, name: str) -> Select[tuple[object, ...]]:
        columns = [each for each in self.table.columns if each.name != PLACES or not self._lacks_places]
        return select(*columns).where(self.table.c.name == name)

    def values(self, **positions: int | None) -> dict[str, int | str | None]:
        """Positions as the table keeps them: numbers, and beside them the vectors among them.

        Raises:
            Misuse: One is a vector, and the table has no column for it.
        """
        kept: dict[str, int | str | None] = {name: None if at is None else int(at) for name, at in positions.items()}
        places = [f"{name}={at}" for name, at in positions.items() if isinstance(at, Vector)]
        if places or not self._lacks_places:
            if self._lacks_places:
                raise self._lacking(self.table.c[PLACES])
            kept[PLACES] = " ".join(places) or None
        return kept

    @staticmethod
    def with_vectors(row: RowMapping) -> Mapping[str, Any]:  # as a row of any table has it
        """A row, with the vectors in the place of their numbers."""
        places = str(row.get(PLACES) or "")
        return {
            **row,
            **{name: read_position(text) for name, _, text in [each.partition("=") for each in places.split()]},
        }

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
        self._lacks_places = PLACES not in there
        for column in self.table.columns:
            if column.name not in there and column.name != PLACES:
                raise self._lacking(column)

    def _lacking(self, column: Column[object]) -> Misuse:
        add = f"ALTER TABLE {self.table.fullname} ADD {CreateColumn(column).compile(self.engine)}"
        return Misuse(
            f"{self.where}: table {self.table.fullname!r} has no column {column.name!r}: it is another table, or of an "
            f"earlier version. Name another one, or add the column: {add}"
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
