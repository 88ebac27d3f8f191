"""The SQLite backend: log and views in one file, for one machine and any number of its processes."""

from .backend import SQLite

__all__ = ["SQLite"]
