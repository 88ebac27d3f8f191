"""Consumer groups: who of a group reads which partitions, and from where on.

The members are the instances that ask this server, and it divides the partitions among them itself, at once. What they
have committed is in Kafka, under the group's name, where any client finds it; but a client of Kafka's own protocol that
joins a group of that name is not one of these members.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal, NamedTuple

from .cluster import Cluster
from .records import KafkaFailed, Message, OutOfRange, Place

__all__ = ["RESETS", "Groups", "IllegalState", "Manners", "Member", "NoOffset", "Reset"]

Reset = Literal["earliest", "latest", "none"]

RESETS: Final[Mapping[str, Reset]] = {"earliest": "earliest", "latest": "latest", "none": "none"}

_log: Final = logging.getLogger("eventsource_upstash.local.kafka")


class IllegalState(Exception):
    """The instance is not in the state for what is asked of it."""


class NoOffset(Exception):
    """The group has committed nothing for a partition, and was told to begin nowhere."""

    def __init__(self, group: str, place: Place) -> None:
        super().__init__(
            f"group {group!r} has committed no offset of partition {place.partition} of topic {place.topic!r}"
        )


class Manners(NamedTuple):
    """How an instance behaves.

    Attributes:
        auto_commit: What it has read is committed without being asked.
        interval: Seconds until then.
        reset: Where it begins in a partition of which the group has committed nothing.
        idle_after: Seconds without a request after which it is gone.
    """

    auto_commit: bool = True
    interval: float = 5.0
    reset: Reset = "latest"
    idle_after: float = 120.0


class Member:
    """An instance of a group.

    Attributes:
        group: The group's name.
        name: Its own.
        manners: How it behaves.
        places: The partitions that it reads.
        topics: What it has subscribed to; partitions of it are given to it.
        pattern: The same, as a pattern of names.
        assigned: It has chosen its partitions itself.
    """

    def __init__(self, group: str, name: str, manners: Manners) -> None:
        self.group: str = group
        self.name: str = name
        self.manners: Manners = manners
        self.places: frozenset[Place] = frozenset()
        self.topics: tuple[str, ...] = ()
        self.pattern: re.Pattern[str] | None = None
        self.assigned: bool = False
        self.seen: float = time.monotonic()
        self.positions: dict[Place, int] = {}
        self.uncommitted: dict[Place, int] = {}
        self.lock: asyncio.Lock = asyncio.Lock()
        self.timer: asyncio.Task[None] | None = None

    def wants(self, topic: str) -> bool:
        """Whether it has subscribed to a topic."""
        return topic in self.topics or (self.pattern is not None and self.pattern.fullmatch(topic) is not None)


class Groups:
    """All groups that this server knows.

    Args:
        cluster: Where records are read, and offsets kept.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._groups: dict[str, dict[str, Member]] = {}
        self._dividing = asyncio.Lock()

    def known(self) -> Mapping[str, Mapping[str, Member]]:
        """The groups that have members, by name, and these."""
        return {name: group for name, group in sorted(self._groups.items()) if group}

    async def find(self, group: str, name: str) -> Member | None:
        """An instance; None if there is none, or it was idle for too long."""
        async with self._dividing:
            await self._expire(group)
        member = self._groups.get(group, {}).get(name)
        if member is not None:
            member.seen = time.monotonic()
        return member

    def join(self, group: str, name: str, manners: Manners) -> Member:
        """A new instance, of that name."""
        member = self._groups.setdefault(group, {})[name] = Member(group, name, manners)
        return member

    async def leave(self, member: Member) -> None:
        """Take an instance out of its group: what it read goes to the others."""
        await self._remove(member)
        await self._divide(member.group)

    async def _remove(self, member: Member) -> None:
        self._groups.get(member.group, {}).pop(member.name, None)
        await self._release(member, frozenset())
        if member.timer is not None:
            member.timer.cancel()

    async def close(self) -> None:
        """Commit what is to be committed."""
        for group in self._groups.values():
            for member in [*group.values()]:
                await self._remove(member)

    async def subscribe(self, member: Member, topics: Sequence[str], pattern: re.Pattern[str] | None = None) -> None:
        """Have an instance read its share of these topics; of none, if there are none.

        Raises:
            IllegalState: It has chosen its partitions itself.
        """
        if member.assigned:
            raise IllegalState("Subscription to topics, partitions and pattern are mutually exclusive")
        member.topics, member.pattern = tuple(sorted(topics)), pattern
        await self._divide(member.group)

    async def unsubscribe(self, member: Member) -> None:
        """Have an instance read nothing, until it says what."""
        member.topics, member.pattern, member.assigned = (), None, False
        await self._divide(member.group)

    async def assign(self, member: Member, places: Iterable[Place]) -> None:
        """Have an instance read these partitions, whoever else does.

        Raises:
            IllegalState: It has subscribed to topics.
        """
        if member.topics or member.pattern is not None:
            raise IllegalState("Subscription to topics, partitions and pattern are mutually exclusive")
        wanted = frozenset(places)
        member.assigned = bool(wanted)
        await self._release(member, wanted)

    async def seek(self, member: Member, offsets: Mapping[Place, int]) -> None:
        """Have an instance go on from these offsets.

        Raises:
            IllegalState: A partition is not one that it reads.
        """
        for place in offsets:
            if place not in member.places:
                raise IllegalState(f"No current assignment for partition {place.topic}-{place.partition}")
        member.positions.update(offsets)

    async def read(
        self, member: Member, *, wait: float, most: int | None = None, max_bytes: int | None = None
    ) -> list[Message]:
        """What is new in the partitions of an instance.

        Raises:
            NoOffset: It does not know where to begin.
        """
        limits: dict[str, int] = {}
        if most is not None:
            limits["most"] = most
        if max_bytes is not None:
            limits["max_bytes"] = max_bytes
        async with member.lock:
            await self._divide(member.group)
            await self._find_positions(member)
            offsets = {place: offset for place, offset in member.positions.items() if place in member.places}
            try:
                found = await self._cluster.fetch(offsets, wait=wait, **limits)
            except OutOfRange as error:
                member.positions.pop(error.place, None)
                await self._reset(member, [error.place])
                found = []
            # Another may have come meanwhile, and have been given a partition of it.
            found = [message for message in found if message.place in member.places]
            for message in found:
                member.positions[message.place] = member.uncommitted[message.place] = message.offset + 1
            member.seen = time.monotonic()
            if found and member.manners.auto_commit and member.timer is None:
                member.timer = asyncio.create_task(self._commit_later(member))
            return found

    async def commit(self, member: Member, offsets: Mapping[Place, int] | None = None) -> None:
        """Commit these offsets, or what was read last."""
        if offsets is not None:
            await self._cluster.commit(member.group, offsets)
            return
        offsets = dict(member.uncommitted)
        await self._cluster.commit(member.group, offsets)
        # What was read meanwhile is still to be committed, and all of it if this failed.
        member.uncommitted = {
            place: offset for place, offset in member.uncommitted.items() if offset > offsets.get(place, -1)
        }

    async def _commit_later(self, member: Member) -> None:
        await asyncio.sleep(member.manners.interval)
        member.timer = None
        await self._commit_quietly(member)

    async def _commit_quietly(self, member: Member) -> None:
        try:
            await self.commit(member)
        except KafkaFailed as error:
            _log.warning("what group %r has read cannot be committed: %s", member.group, error)

    async def _find_positions(self, member: Member) -> None:
        # A partition that it had before, and has again, was read by another in between.
        member.positions = {place: offset for place, offset in member.positions.items() if place in member.places}
        missing = [place for place in sorted(member.places) if place not in member.positions]
        if missing:
            kept = await self._cluster.committed(member.group, missing)
            member.positions.update(kept)
            await self._reset(member, [place for place in missing if place not in kept])

    async def _reset(self, member: Member, places: Sequence[Place]) -> None:
        if not places:
            return
        if member.manners.reset == "none":
            raise NoOffset(member.group, places[0])
        for place, bounds in (await self._cluster.bounds(places)).items():
            member.positions[place] = bounds.low if member.manners.reset == "earliest" else bounds.high

    async def _divide(self, name: str) -> None:
        """Divide the partitions of each topic among those who have subscribed to it, in ranges, as Kafka does."""
        topics = await self._cluster.topics()
        async with self._dividing:
            await self._expire(name)
            members = [member for _, member in sorted(self._groups.get(name, {}).items()) if not member.assigned]
            shares: dict[str, set[Place]] = {member.name: set() for member in members}
            for topic, partitions in topics.items():
                reading = [member for member in members if member.wants(topic)]
                for index, member in enumerate(reading):
                    first, last = (partitions * n // len(reading) for n in (index, index + 1))
                    shares[member.name].update(Place(topic, partition) for partition in range(first, last))
            for member in members:
                await self._release(member, frozenset(shares[member.name]))

    async def _release(self, member: Member, wanted: frozenset[Place]) -> None:
        """Have an instance read these partitions from now on, and let go of others."""
        lost, member.places = member.places - wanted, wanted
        if lost and member.manners.auto_commit and member.uncommitted:
            await self._commit_quietly(member)
        for place in lost:
            member.positions.pop(place, None)
            member.uncommitted.pop(place, None)

    async def _expire(self, name: str) -> None:
        now = time.monotonic()
        for member in [*self._groups.get(name, {}).values()]:
            if now - member.seen > member.manners.idle_after and not member.lock.locked():
                await self._remove(member)
