"""The memory backend: log, views, keys and notifications within one process. Also the specification of the others."""

from .backend import Memory
from .keys import MemoryKeys
from .notices import InProcess

__all__ = ["InProcess", "Memory", "MemoryKeys"]
