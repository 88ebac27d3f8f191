"""Document -> row: what the columns of a table hold of a document."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Any, Final, Generic, TypeVar, cast
from uuid import UUID

import msgspec
from sqlalchemy import (
    BINARY,
    JSON,
    VARBINARY,
    Boolean,
    Column,
    Date,
    DateTime,
    Integer,
    LargeBinary,
    Numeric,
    String,
    Table,
    Time,
    Uuid,
)
from sqlalchemy import Enum as EnumColumn
from sqlalchemy.sql import ClauseElement

from ..domain.projections import Projection, fields_of
from ..errors import EventSourceError, Misuse

D = TypeVar("D")

# Any: what a column holds is the table's business.
AnyColumn = Column[Any]

# What drivers write as it is. Of anything else each makes something of its own: a name, a `repr`, an array.
_AS_IT_IS: Final = frozenset({type(None), bool, int, float, str})
_VALUES: Final = (int, float, str, bytes, bytearray, memoryview, Decimal, date, time, timedelta, UUID, ClauseElement)
_PLAIN: Final = (String, Integer, Numeric, Boolean, Date, DateTime, Time, Uuid, LargeBinary, BINARY, VARBINARY)


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
        self.key: AnyColumn = self._key_column(key)
        self._row = row
        self._kind = self._key_kind()
        self._fields: tuple[str, ...] = ()
        self._names: frozenset[str] | None = None
        if row is None:
            have = fields_of(projection.document)
            self._fields = tuple(each.key for each in table.c if each.key in have and each is not self.key)
            if not self._fields and len(table.c) > 1:
                raise Misuse(
                    f"{self.where}: no column but the key's is called as a field of {projection.document.__name__} "
                    f"(it has {', '.join(sorted(have)) or 'none'}); hand over row=, a function of key and document"
                )

    def _key_column(self, key: str | None) -> AnyColumn:
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
            Misuse: What `row=` answered is no mapping of columns of the table, or of others than before, or it raised.
                Or a column cannot hold what it is given.
        """
        value = self.value_of(key)
        if self._row is None:
            return {
                self.key.key: value,
                **{field: self._fit(field, getattr(document, field)) for field in self._fields},
            }
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
        if self._names is None:
            self._names = frozenset(row)
        elif self._names != row.keys():
            name = min(self._names ^ row.keys())
            raise Misuse(
                f"{self.where}: row= answered column {name!r} for one document and not for another, which would keep "
                "what it had; let it answer the same columns for each, and None for what is empty"
            )
        return {name: self._fit(name, each) for name, each in row.items()}

    def _fit(self, name: str, value: object) -> object:
        """A value as each of the databases writes it. Raises `Misuse` for one of which each would make its own."""
        if type(value) in _AS_IT_IS:
            return value
        kind = self.table.c[name].type
        if isinstance(kind, JSON):
            with suppress(TypeError, ValueError):  # else the engine's own serializer may know it
                return msgspec.to_builtins(value)
            return value
        if not isinstance(kind, _PLAIN) or isinstance(kind, EnumColumn):
            return value
        plain: object = value.value if isinstance(value, Enum) else value
        if isinstance(plain, datetime) and plain.tzinfo is not None and isinstance(kind, DateTime):
            # A column without a zone, as all are on MySQL, MariaDB and SQLite, would keep the time on somebody's wall.
            moment = plain.astimezone(timezone.utc)
            return moment if kind.timezone else moment.replace(tzinfo=None)
        if plain is None or isinstance(plain, _VALUES):
            return cast("object", plain)
        raise Misuse(
            f"{self.where}: column {name!r} ({kind!r}) cannot hold a {type(value).__name__}; let row= answer what it "
            "is to hold, or let it be a JSON column"
        )
