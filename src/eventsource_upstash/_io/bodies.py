"""The body of an answer, as much of it as was agreed: a broken or hostile server shall not fill this process's memory.

httpx unpacks whatever a server says it has packed, several times over if it says so: 800 bytes can become gigabytes.
Here it is unpacked once, piece by piece, and given up as soon as it is more than was agreed.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Final

ACCEPTED: Final = "gzip"
"""How an answer may be packed: what requests accept."""

_PLAIN: Final = frozenset(("", "identity"))
_GZIP: Final = frozenset(("gzip", "x-gzip"))


class AnswerTooLarge(Exception):
    """There is more of an answer than was agreed."""


class AnswerGarbled(Exception):
    """An answer is packed in a way that was not agreed, or is not packed as it says."""


class Body:
    """Collects the pieces of an answer's body, and unpacks them.

    Args:
        headers: The answer's.
        limit: Most bytes of it, as they come and unpacked.

    Raises:
        AnswerGarbled: It is packed in a way that nobody asked for.
        AnswerTooLarge: It says itself that it is longer.
    """

    __slots__ = ("_came", "_limit", "_pieces", "_size", "_unpack")

    def __init__(self, headers: Mapping[str, str], limit: int) -> None:
        packed = headers.get("content-encoding", "").strip().lower()
        if packed not in _PLAIN and packed not in _GZIP:
            raise AnswerGarbled
        told = headers.get("content-length", "")
        if told.isascii() and told.isdigit() and (len(told) > 15 or int(told) > limit):
            raise AnswerTooLarge
        self._unpack = zlib.decompressobj(16 + zlib.MAX_WBITS) if packed in _GZIP else None
        self._limit = limit
        self._pieces: list[bytes] = []
        self._came = self._size = 0

    def add(self, piece: bytes) -> None:
        """Take a piece as it came. Raises `AnswerTooLarge`, `AnswerGarbled`."""
        self._came += len(piece)
        if self._unpack is not None:
            try:
                # One byte more than there may be shows that there is more.
                piece = self._unpack.decompress(piece, self._limit - self._size + 1)
            except zlib.error:
                raise AnswerGarbled from None
        self._size += len(piece)
        if max(self._came, self._size) > self._limit:
            raise AnswerTooLarge
        self._pieces.append(piece)

    def whole(self) -> bytes:
        """All of it. Raises `AnswerGarbled` where its end is missing."""
        if self._unpack is not None and self._came and not self._unpack.eof:
            raise AnswerGarbled
        return b"".join(self._pieces)
