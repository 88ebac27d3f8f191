"""Log, views and keys in this process, and notifications within it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .notices import InProcess

if TYPE_CHECKING:
    from .backend import Memory
    from .keys import MemoryKeys

__all__ = ["InProcess", "Memory", "MemoryKeys"]


def __getattr__(name: str) -> object:
    # Notifications stay in the process on SQLite too, which needs nothing else of this.
    if name == "Memory":
        from .backend import Memory

        return Memory
    if name == "MemoryKeys":
        from .keys import MemoryKeys

        return MemoryKeys
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
