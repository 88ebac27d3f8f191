"""The SQLite backend: log and views in one file, for one machine and any number of its processes; keys in another."""

from .backend import SQLite
from .keys import SQLiteKeys

__all__ = ["SQLite", "SQLiteKeys"]
