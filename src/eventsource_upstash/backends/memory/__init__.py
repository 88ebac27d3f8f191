"""The memory backend: log, views and notifications within one process. Also the specification of the others."""

from .backend import Memory
from .notices import InProcess

__all__ = ["InProcess", "Memory"]
