"""What holds clients of librdkafka's lets go of them in a child process.

A client has threads. A child has none of them, and would wait for ever for their end: so it neither uses nor closes
what its parent opened, and opens its own.
"""

from __future__ import annotations

import os
import weakref
from typing import Final, Protocol


class Holder(Protocol):
    """What holds clients."""

    def after_fork(self) -> list[object]:
        """Forget all clients, and the locks that a thread of the parent may hold; answers the clients."""
        ...


_holders: Final[weakref.WeakSet[Holder]] = weakref.WeakSet()


def register(holder: Holder) -> None:
    """Have a holder let go after each fork."""
    _holders.add(holder)


def _after_fork_in_child() -> None:
    for holder in list(_holders):
        for client in holder.after_fork():
            _keep_for_ever(client)


def _keep_for_ever(client: object) -> None:
    """Have nothing free it, not even the end of the interpreter: to free a client is to wait for its threads."""
    import ctypes

    ctypes.pythonapi.Py_IncRef(ctypes.py_object(client))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
