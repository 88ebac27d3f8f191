"""What a cluster is asked about its topics, its partitions and its groups. Every call blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import confluent_kafka.admin
from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, TopicPartition

from .records import Bounds, Place

__all__ = ["TIMEOUT", "Admin"]

TIMEOUT: Final = 5.0
"""Seconds for anything that is asked of the cluster."""

# Any: the package leaves open what most of these take and answer.
_kafka: Any = confluent_kafka.admin


class Admin:
    """Connects when it is first asked.

    Args:
        settings: Of the client.
        bundled: It is the broker of our own: see `Broker`.
    """

    def __init__(self, settings: Mapping[str, str | int], *, bundled: bool) -> None:
        self._client = _kafka.AdminClient({**settings})
        self._bundled = bundled

    def cluster(self) -> str:
        """The cluster's id."""
        return str(self._client.list_topics(timeout=TIMEOUT).cluster_id or "local")

    def topics(self) -> dict[str, int]:
        """The topics by name, and how many partitions each has."""
        # Never asked for by name: a broker may create a topic that somebody asks about.
        found = self._client.list_topics(timeout=TIMEOUT).topics
        return {name: len(found[name].partitions) for name in sorted(found) if not name.startswith("__")}

    def create(self, topic: str, partitions: int) -> None:
        """Create a topic."""
        factor = 1 if self._bundled else -1  # -1: as the broker is set up
        for made in self._client.create_topics([_kafka.NewTopic(topic, partitions, factor)]).values():
            made.result(TIMEOUT)

    def bounds(self, places: Sequence[Place]) -> dict[Place, Bounds]:
        """What can be read of each partition."""
        lows = self._offsets(places, _kafka.OffsetSpec.earliest())
        highs = self._offsets(places, _kafka.OffsetSpec.latest())
        return {place: Bounds(lows[place], highs[place]) for place in places}

    def at_time(self, places: Sequence[Place], timestamp: int) -> dict[Place, int]:
        """The first offset of each partition whose record was written then or later, in Unix milliseconds; else -1."""
        return self._offsets(places, _kafka.OffsetSpec.for_timestamp(timestamp))

    def _offsets(self, places: Sequence[Place], spec: object) -> dict[Place, int]:
        if not places:
            return {}
        answers = self._client.list_offsets({TopicPartition(*place): spec for place in places}, request_timeout=TIMEOUT)
        return {Place(told.topic, told.partition): found.result(TIMEOUT).offset for told, found in answers.items()}

    def committed(self, group: str, places: Sequence[Place]) -> dict[Place, int]:
        """The offsets that a group has committed; a partition of which it has committed none is not there."""
        if not places:
            return {}
        asked = ConsumerGroupTopicPartitions(group, [TopicPartition(*place) for place in places])
        (answer,) = self._client.list_consumer_group_offsets([asked], request_timeout=TIMEOUT).values()
        told = answer.result(TIMEOUT).topic_partitions
        return {Place(each.topic, each.partition): each.offset for each in told if each.offset >= 0}

    def commit(self, group: str, offsets: Mapping[Place, int]) -> None:
        """Note how far a group has come: the next offset of each partition."""
        told = [TopicPartition(*place, offset) for place, offset in offsets.items()]
        asked = [ConsumerGroupTopicPartitions(group, told)]
        (answer,) = self._client.alter_consumer_group_offsets(asked, request_timeout=TIMEOUT).values()
        for each in answer.result(TIMEOUT).topic_partitions or ():
            if each.error is not None:
                raise KafkaException(each.error)
