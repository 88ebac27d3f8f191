"""The numbers of a local QStash: what was counted, and what there is now."""

from __future__ import annotations

import msgspec

from ..metering import Snapshot

__all__ = ["Metrics"]


class Metrics(msgspec.Struct, rename="camel"):
    """The numbers.

    Attributes:
        counted: Since the start of the process, by caller and in `total`. `messages` is what the service would bill:
            every attempt to deliver, those of schedules, callbacks and retries included. `published`: those accepted.
            `deduplicated`: publishes that named one accepted before. `delivered`, `failed`: attempts by outcome.
            `retried`: attempts after the first. `dead`, `cancelled`, `callbacks`, `scheduled`: messages. `requests`,
            `bytes_in`, `bytes_out`, `errors`: of the API.
        in_flight: Attempts under way.
        waiting: Messages that are neither delivered nor dead.
        dead_letters, schedules: How many there are.
        now: What the clock reads, in Unix milliseconds.
    """

    counted: Snapshot
    in_flight: int
    waiting: int
    dead_letters: int
    schedules: int
    now: int
