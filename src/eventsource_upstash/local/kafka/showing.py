"""What the page shows of Kafka: topics, partitions, and the last records."""

from __future__ import annotations

from .cluster import Cluster
from .records import Bounds, KafkaFailed, Message, OutOfRange, Place

__all__ = ["Showing"]

_MOST_RECORDS = 50
_MOST_PARTITIONS = 200
_MOST_SAID = 200
"""Characters of a key or value."""


class Showing:
    """Looks at a cluster; reads records anew only where some have come.

    Args:
        cluster: What to look at.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._seen: dict[Place, Bounds] = {}
        self._tails: dict[Place, list[Message]] = {}

    async def state(self) -> dict[str, object]:
        """Topics and their partitions, and the last records of all, the newest first; or why there are none."""
        try:
            topics = await self._cluster.topics()
            places = [Place(topic, number) for topic in topics for number in range(topics[topic])][:_MOST_PARTITIONS]
            bounds = await self._cluster.bounds(places)
            await self._read(bounds)
        except (KafkaFailed, OutOfRange) as error:
            return {"address": self._cluster.address, "failed": str(error), "partitions": [], "records": []}
        last = sorted(
            (message for tail in self._tails.values() for message in tail),
            key=lambda message: (message.timestamp, message.place, message.offset),
        )
        return {
            "address": self._cluster.address,
            "failed": None,
            "partitions": [
                {**place._asdict(), "low": bounds[place].low, "high": bounds[place].high} for place in places
            ],
            "records": [_told(message) for message in reversed(last[-_MOST_RECORDS:])],
        }

    async def _read(self, bounds: dict[Place, Bounds]) -> None:
        changed = [place for place, there in bounds.items() if self._seen.get(place) != there]
        starts = {place: max(bounds[place].low, bounds[place].high - _MOST_RECORDS) for place in changed}
        starts = {place: start for place, start in starts.items() if start < bounds[place].high}
        found = await self._cluster.fetch(starts, most=_MOST_RECORDS * max(1, len(starts)))
        for place in changed:
            self._tails[place] = [message for message in found if message.place == place]
        self._tails = {place: tail for place, tail in self._tails.items() if place in bounds}
        self._seen = bounds


def _told(message: Message) -> dict[str, object]:
    return {
        "topic": message.topic,
        "partition": message.partition,
        "offset": message.offset,
        "at": message.timestamp,
        "key": None if message.key is None else _text(message.key),
        "value": None if message.value is None else _text(message.value),
    }


def _text(value: bytes) -> str:
    text = value[: _MOST_SAID * 4].decode("utf-8", "replace")
    return text if len(text) <= _MOST_SAID else f"{text[:_MOST_SAID]}…"
