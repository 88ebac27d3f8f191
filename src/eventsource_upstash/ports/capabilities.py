"""What a log can do, where not each one can."""

from __future__ import annotations

from typing import Final

import msgspec


class Capabilities(msgspec.Struct, frozen=True):
    """What a log can do. What it cannot raises `Misuse`, which names the alternative: nothing is pretended.

    Attributes:
        expected_revisions: An append can expect a revision of its stream, and revisions count a stream's events from 1.
            Where not, a revision only grows within its stream.
        conditions: An append can have a condition on what is in the log.
        streams: One stream can be read by itself: `read_stream`, `load`, `execute`, snapshots.
        atomic_appends: An append of several events is written whole or not at all. Where not, it holds one event.
        lasting_keys: An idempotency key is known for as long as the log knows the append. Where not, within a window
            that the backend states.
        partitions: The log is in partitions: it is a `PartitionedLog`, and how far somebody has read it is a vector.
    """

    expected_revisions: bool = True
    conditions: bool = True
    streams: bool = True
    atomic_appends: bool = True
    lasting_keys: bool = True
    partitions: bool = False


EVERYTHING: Final = Capabilities()
"""What a log in a database can do."""
