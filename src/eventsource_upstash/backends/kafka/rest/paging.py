"""What was read of several partitions -> one answer: each has its share of the limit, and nothing is left out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ....domain.events import Receipt
from ..topic import Fetched, Record


def sorted_out(asked: Mapping[int, int], records: Iterable[Record]) -> dict[int, list[Record]]:
    """Records by partition, in order, without what nobody asked for: a server may begin before the offset.

    Redpanda's proxy does: it hands out whole batches (`src/v/pandaproxy/rest/test/fetch.cc`, "Fetch offset 2 - expect
    offsets 0-3").
    """
    found: dict[int, dict[int, Record]] = {partition: {} for partition in asked}
    for record in records:
        if record.partition in found and record.offset >= asked[record.partition]:
            found[record.partition][record.offset] = record
    return {partition: [each[offset] for offset in sorted(each)] for partition, each in found.items()}


def page(
    asked: Mapping[int, int],
    found: Mapping[int, list[Record]],
    exhausted: Iterable[int],
    limit: int,
    max_bytes: int,
    receipt: Receipt,
) -> Fetched:
    """The answer.

    Args:
        asked: The offsets asked for.
        found: What was read from there on, by partition and in order.
        exhausted: Of which partitions nothing stands behind that.
        limit: Records in all, about: each partition hands out at least one, if it has any.
        max_bytes: Bytes of keys and values in all, likewise.
        receipt: What it cost.
    """
    rooms = _shares({partition: len(each) for partition, each in found.items()}, limit)
    sizes = _shares({partition: sum(map(_size, each)) for partition, each in found.items()}, max_bytes)
    records: list[Record] = []
    reached = dict(asked)
    cut: set[int] = set()
    for partition, each in found.items():
        taken = 0
        size = 0
        for record in each:
            size += _size(record)
            if taken and (taken >= rooms[partition] or size > sizes[partition]):
                break
            taken += 1
        records += each[:taken]
        if taken:
            reached[partition] = each[taken - 1].offset + 1
        if taken < len(each):
            cut.add(partition)
    return Fetched(records, reached, frozenset(exhausted) - cut, receipt)


def _size(record: Record) -> int:
    return len(record.value or b"") + len(record.key or b"")


def _shares(wanted: Mapping[int, int], room: int) -> dict[int, int]:
    """How much of the room each gets: an equal share, and what others leave of theirs."""
    shares: dict[int, int] = {}
    left = room
    for number, (partition, want) in enumerate(sorted(wanted.items(), key=lambda item: item[1])):
        shares[partition] = min(want, left // (len(wanted) - number))
        left -= shares[partition]
    return shares
