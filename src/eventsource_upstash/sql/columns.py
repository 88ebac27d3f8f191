"""Document -> row: the columns of a table that a view is copied into, and the statements that write them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, Generic, TypeVar, cast, get_type_hints
from uuid import UUID

from sqlalchemy import Column, Connection, Insert, Table, func, select, text
from sqlalchemy.dialects import mysql, postgresql, sqlite

from ..domain.projections import Projection
from ..errors import EventSourceError, Misuse

D = TypeVar("D")

IN_LIST: Final = 500
"""Most keys in one statement: below the parameters that each of the databases takes."""

# Any: what a column holds is the table's business.
_Column = Column[Any]

_COLLATION: Final = text(
    "SELECT collation_name FROM information_schema.columns WHERE table_schema = COALESCE(:schema, DATABASE())"
    " AND table_name = :table AND column_name = :column"
)


class Columns(Generic[D]):
    """How documents of a projection become rows of a table.

    Args:
        projection: Whose documents.
        table: The table.
        key: The column of the key; the single column of the primary key without one.
        row: What answers the columns of a document; its fields that are columns without one.

    Raises:
        Misuse: There is no such column, none that can hold a key, or no column for any field.
    """

    def __init__(
        self,
        projection: Projection[D],
        table: Table,
        key: str | None,
        row: Callable[[str, D], Mapping[str, object]] | None,
    ) -> None:
        self.table: Table = table
        self.where: str = f"sync of projection {projection.name!r} into table {table.fullname!r}"
        self.key: _Column = self._key_column(key)
        self._row = row
        self._kind = self._key_kind()
        self._fields: tuple[str, ...] = ()
        if row is None:
            have = _fields(projection.document)
            self._fields = tuple(each.key for each in table.c if each.key in have and each is not self.key)
            if not self._fields and len(table.c) > 1:
                raise Misuse(
                    f"{self.where}: no column but the key's is called as a field of {projection.document.__name__} "
                    f"(it has {', '.join(sorted(have)) or 'none'}); hand over row=, a function of key and document"
                )

    def _key_column(self, key: str | None) -> _Column:
        if key is not None:
            if key not in self.table.c:
                raise Misuse(f"{self.where}: key={key!r} is no column of it")
            return self.table.c[key]
        primary = list(self.table.primary_key.columns)
        if len(primary) != 1:
            raise Misuse(
                f"{self.where}: its primary key has {len(primary)} columns; name the unique column that holds the "
                "document's key, as key="
            )
        return primary[0]

    def _key_kind(self) -> type[str | int | UUID]:
        kind: object = None
        with suppress(NotImplementedError):
            kind = self.key.type.python_type
        for each in (str, int, UUID):
            if kind is each:
                return each
        raise Misuse(f"{self.where}: column {self.key.key!r} holds no keys: it is to be of texts, integers or UUIDs")

    def value_of(self, key: str) -> object:
        """What the key column holds for a key. Raises `Misuse` for a key that it cannot hold."""
        if self._kind is str:
            return key
        try:
            value = self._kind(key)
        except ValueError:
            value = None
        if value is None or str(value) != key:
            kind = "an integer" if self._kind is int else "a UUID"
            raise Misuse(f"{self.where}: column {self.key.key!r} cannot hold the key {key!r}, which is not {kind}")
        return value

    def row_of(self, key: str, document: D) -> dict[str, object]:
        """The row of a document.

        Raises:
            Misuse: What `row=` answered is no mapping of columns of the table, or it raised.
        """
        value = self.value_of(key)
        if self._row is None:
            return {self.key.key: value, **{field: getattr(document, field) for field in self._fields}}
        try:
            given = cast("object", self._row(key, document))
        except EventSourceError:
            raise
        except Exception as error:
            raise Misuse(f"{self.where}: row= failed for a document ({type(error).__name__})") from error
        if not isinstance(given, Mapping):
            raise Misuse(f"{self.where}: row= answers a mapping of columns, not a {type(given).__name__}")
        row = dict(cast("Mapping[str, object]", given))
        unknown = [name for name in row if name not in self.table.c]
        if unknown:
            raise Misuse(f"{self.where}: row= answered {unknown[0]!r}, which is no column of it")
        if row.setdefault(self.key.key, value) != value:
            raise Misuse(f"{self.where}: row= answered another key than the document's in column {self.key.key!r}")
        return row

    def check(self, connection: Connection) -> None:
        """Refuse a key column that cannot tell keys apart as the view does. Raises `Misuse`."""
        if connection.dialect.name not in ("mysql", "mariadb") or self._kind is not str:
            return
        where = {"schema": self.table.schema, "table": self.table.name, "column": self.key.name}
        collation = connection.execute(_COLLATION, where).scalar()
        if collation is not None and not str(collation).endswith(("_bin", "_as_cs", "binary")):
            raise Misuse(
                f"{self.where}: column {self.key.key!r} has collation {collation}, under which different keys are "
                "equal ('a' and 'A'); let it be utf8mb4_bin"
            )

    def put(self, connection: Connection, rows: Sequence[dict[str, object]]) -> None:
        """Write rows, over those of the same key."""
        groups: dict[tuple[str, ...], list[dict[str, object]]] = {}
        for row in rows:
            groups.setdefault(tuple(row), []).append(row)
        for names, several in groups.items():
            connection.execute(self._upsert(connection.dialect.name, names), several)

    def delete(self, connection: Connection, keys: Sequence[str]) -> int:
        """Delete the rows of keys. Answers how many there were."""
        deleted = 0
        for values in _chunks([self.value_of(key) for key in keys]):
            deleted += max(0, connection.execute(self.table.delete().where(self.key.in_(values))).rowcount)
        return deleted

    def count(self, connection: Connection) -> int:
        """How many rows the table has."""
        return int(connection.execute(select(func.count()).select_from(self.table)).scalar_one())

    def keys_after(self, connection: Connection, place: str | None, limit: int) -> list[str]:
        """Keys of rows in the database's own order, after one."""
        wanted = select(self.key).order_by(self.key).limit(limit)
        if place is not None:
            wanted = wanted.where(self.key > self.value_of(place))
        return [str(value) for value in connection.execute(wanted).scalars()]

    def _upsert(self, dialect: str, names: Sequence[str]) -> Insert:
        others = [name for name in names if name != self.key.key]
        if dialect in ("mysql", "mariadb"):
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


def _chunks(values: list[object]) -> Iterable[list[object]]:
    return (values[start : start + IN_LIST] for start in range(0, len(values), IN_LIST))


def _fields(cls: type) -> set[str]:
    try:
        return set(get_type_hints(cls))
    except Exception:  # a name that only the type checkers know
        return set(getattr(cls, "__annotations__", {}))
