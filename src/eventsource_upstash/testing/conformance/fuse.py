"""A backend that gives up after so many calls: what would never end fails, and says so."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from ...ports import Backend
from ..wrapping import BackendWrapper

T = TypeVar("T")

CALLS: Final = 1_000
"""Far above what any test of the suite needs."""


class Fused(BackendWrapper):
    """A backend over which a loop without an end fails."""

    def __init__(self, inner: Backend) -> None:
        super().__init__(inner)
        self._left = CALLS

    async def around(self, call: str, step: Callable[[], Awaitable[T]]) -> T:
        """Do a call, if there are any left."""
        self._left -= 1
        if self._left < 0:
            raise AssertionError(
                f"{call} after {CALLS} calls in one test: the library does not get on with this backend"
            )
        return await step()
