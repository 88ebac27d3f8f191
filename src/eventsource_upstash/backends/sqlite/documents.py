"""The documents of a build, what they are found by, and its records: loaded by key, written, deleted."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from ...domain.indexes import NO_ENTRIES, Entries
from ...ports import Commit, Stored

if TYPE_CHECKING:
    import sqlite3

    Row = tuple[str, bytes, int | None, str | None]
    """Key, document, when it ends, what it is found by."""

MANY: Final = 200
"""Keys looked up in one statement."""

_SEVERAL: Final = f"({', '.join('?' * MANY)})"
_GET: Final = "SELECT key, document, expires_us, found_by FROM documents WHERE build = ? AND key = ?"
_GET_MANY: Final = f"SELECT key, document, expires_us, found_by FROM documents WHERE build = ? AND key IN {_SEVERAL}"
_FOUND_BY: Final = (
    f"SELECT key, expires_us, found_by FROM documents WHERE build = ? AND key IN {_SEVERAL} "
    "AND (expires_us IS NOT NULL OR found_by IS NOT NULL)"
)
_RECORDS: Final = f"SELECT name, content FROM records WHERE build = ? AND name IN {_SEVERAL}"

_PUT: Final = (
    "INSERT INTO documents (build, key, document) VALUES (?, ?, ?) "
    "ON CONFLICT (build, key) DO UPDATE SET expires_us = NULL, found_by = NULL, document = excluded.document"
)
_PUT_FOUND: Final = (
    "INSERT INTO documents (build, key, expires_us, found_by, document) VALUES (?, ?, ?, ?, ?) "
    "ON CONFLICT (build, key) DO UPDATE SET expires_us = excluded.expires_us, found_by = excluded.found_by, "
    "document = excluded.document"
)
_DELETE: Final = "DELETE FROM documents WHERE build = ? AND key = ?"
_ENTER: Final = (
    "INSERT INTO entries (build, index_name, value, key, expires_us) VALUES (?, ?, ?, ?, ?) "
    "ON CONFLICT (build, index_name, value, key) DO UPDATE SET expires_us = excluded.expires_us"
)
_STRIKE: Final = "DELETE FROM entries WHERE build = ? AND index_name = ? AND value = ? AND key = ?"
_RECORD: Final = (
    "INSERT INTO records (build, name, content) VALUES (?, ?, ?) "
    "ON CONFLICT (build, name) DO UPDATE SET content = excluded.content"
)
_FORGET: Final = "DELETE FROM records WHERE build = ? AND name = ?"
_FORGET_ALL: Final = "DELETE FROM records WHERE build = ?"
_SOME: Final = "SELECT key, expires_us, found_by FROM documents WHERE build = ? ORDER BY key LIMIT ?"
_DELETE_UP_TO: Final = "DELETE FROM documents WHERE build = ? AND key <= ?"

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(dict[str, str]).decode


def entries_of(expires_us: int | None, found_by: str | None) -> Entries:
    """What a document is found by, from its row."""
    return Entries(() if found_by is None else tuple(_decode(found_by).items()), expires_us)


def get(cursor: sqlite3.Cursor, build: int | None, keys: Sequence[str]) -> list[Row]:
    """The rows of the documents under those keys that exist."""
    if build is None:
        return []
    if len(keys) == 1:
        return cursor.execute(_GET, (build, keys[0])).fetchall()
    return _several(cursor, _GET_MANY, build, keys)


def load(cursor: sqlite3.Cursor, build: int | None, keys: Sequence[str], names: Sequence[str]) -> Stored:
    """See `Views.load`."""
    rows = get(cursor, build, keys)
    return Stored(
        {row[0]: row[1] for row in rows},
        {row[0]: entries_of(row[2], row[3]) for row in rows if row[3] is not None or row[2] is not None},
        records(cursor, build, names) if names else {},
    )


def records(cursor: sqlite3.Cursor, build: int | None, names: Sequence[str]) -> dict[str, bytes]:
    """The records of those names that exist."""
    return {} if build is None else dict(_several(cursor, _RECORDS, build, names))


# Any: the columns are the statement's.
def _several(cursor: sqlite3.Cursor, statement: str, build: int, keys: Sequence[str]) -> list[Any]:
    found: list[Any] = []
    for start in range(0, len(keys), MANY):
        chunk = keys[start : start + MANY]
        # Filled up with one key again and again, so that SQLite compiles one statement for every number of keys.
        found += cursor.execute(statement, (build, *chunk, *[chunk[0]] * (MANY - len(chunk)))).fetchall()
    return found


def put(cursor: sqlite3.Cursor, build: int, commit: Commit) -> None:
    """Write the documents of a commit, with what they are found by, and its records."""
    documents = commit.documents
    if documents:
        # Who knows which ones are new has loaded them all, and knows by what each was found.
        before = commit.before if commit.created is not None else _found_by(cursor, build, documents)
        _put(cursor, build, documents, commit.entries)
        if before or commit.entries:
            _enter(cursor, build, documents, before, commit.entries)
    if commit.records:
        kept = [(build, name, content) for name, content in commit.records.items() if content is not None]
        cursor.executemany(_RECORD, kept)
        cursor.executemany(_FORGET, [(build, name) for name, content in commit.records.items() if content is None])


def _put(
    cursor: sqlite3.Cursor, build: int, documents: Mapping[str, bytes | None], entries: Mapping[str, Entries]
) -> None:
    plain = [
        (build, key, document) for key, document in documents.items() if document is not None and key not in entries
    ]
    if plain:
        cursor.executemany(_PUT, plain)
    if len(plain) == len(documents):
        return
    found = [
        (build, key, entries[key].expires_us, _packed(entries[key]), document)
        for key, document in documents.items()
        if document is not None and key in entries
    ]
    if found:
        cursor.executemany(_PUT_FOUND, found)
    if len(plain) + len(found) < len(documents):
        cursor.executemany(_DELETE, [(build, key) for key, document in documents.items() if document is None])


def _packed(entries: Entries) -> str | None:
    return _encode(dict(entries.values)).decode() if entries.values else None


def _found_by(cursor: sqlite3.Cursor, build: int, keys: Collection[str]) -> dict[str, Entries]:
    rows = _several(cursor, _FOUND_BY, build, list(keys))
    return {key: entries_of(expires_us, found_by) for key, expires_us, found_by in rows}


def _enter(
    cursor: sqlite3.Cursor,
    build: int,
    documents: Mapping[str, bytes | None],
    before: Mapping[str, Entries],
    entries: Mapping[str, Entries],
) -> None:
    """Bring the indexes up to what documents are found by now."""
    struck: list[tuple[int, str, str, str]] = []
    entered: list[tuple[int, str, str, str, int | None]] = []
    for key, document in documents.items():
        old = before.get(key, NO_ENTRIES)
        new = NO_ENTRIES if document is None else entries.get(key, NO_ENTRIES)
        if old == new:
            continue
        stay = () if old.expires_us != new.expires_us else old.values
        struck += [(build, index, value, key) for index, value in old.values if (index, value) not in new.values]
        entered += [
            (build, index, value, key, new.expires_us) for index, value in new.values if (index, value) not in stay
        ]
    cursor.executemany(_STRIKE, struck)
    cursor.executemany(_ENTER, entered)


def delete_some(cursor: sqlite3.Cursor, build: int, limit: int) -> bool:
    """Delete so many documents of a build with their entries, after the last its records; whether all is gone."""
    rows = cursor.execute(_SOME, (build, limit + 1)).fetchall()
    going = rows[:limit]
    if going:
        struck = [
            (build, index, value, key)
            for key, expires_us, found_by in going
            for index, value in entries_of(expires_us, found_by).values
        ]
        cursor.executemany(_STRIKE, struck)
        cursor.execute(_DELETE_UP_TO, (build, going[-1][0]))
    if len(rows) > limit:
        return False
    cursor.execute(_FORGET_ALL, (build,))
    return True
