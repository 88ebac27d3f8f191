"""What is known of the keys that the log and its streams are cut into."""

from __future__ import annotations

from bisect import bisect_right
from typing import Final

from ...ports import MAX_PAGE_BYTES

SMALLEST_PAGE: Final = 64 * 1024
"""Bytes that a page is asked for at least."""

_KNOWN_STREAMS: Final = 10_000


class Archives:
    """How many archives the log and its streams were last seen to have, so that a script can be handed the next one.

    A wrong guess costs one more request: the script answers what it needed.

    Attributes:
        log: Archives of the log, for the next append.
        cuts: First position of each of its keys but the first, as last seen.
        reading: The archive that was last read from.
        page_bytes: Most bytes of payload to ask for at once.
    """

    def __init__(self) -> None:
        self.log = 0
        self.cuts: tuple[int, ...] = ()
        self.reading = 0
        self.page_bytes: int = MAX_PAGE_BYTES
        self._streams: dict[str, int] = {}

    def of(self, stream: str) -> int:
        """Archives of a stream."""
        return self._streams.get(stream, 0)

    def holding(self, position: int) -> int:
        """The archive of the log that holds a position, as far as is known; for the present key, the next one."""
        return bisect_right(self.cuts, position)

    def shrink(self, page_bytes: int) -> bool:
        """Ask for smaller pages from now on, since the server gave none of that size. False: it is small already.

        How large a reply is for the service, with everything that it escapes, is for the service to say.
        """
        if page_bytes <= SMALLEST_PAGE:
            return False
        self.page_bytes = min(self.page_bytes, max(SMALLEST_PAGE, page_bytes // 2))
        return True

    def learn(self, stream: str, count: int) -> None:
        """Note how many a stream has. Only those that have any are kept, and not endlessly many of them."""
        if len(self._streams) >= _KNOWN_STREAMS:
            self._streams.clear()
        self._streams[stream] = count

    def learn_cuts(self, cuts: str) -> None:
        """Note where the log was cut, as a script answers it."""
        self.cuts = tuple(map(int, cuts.split(","))) if cuts else ()
