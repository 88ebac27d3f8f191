"""Instances of consumers in Confluent's shape (v2): they subscribe or choose partitions, read, seek and commit."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from uuid import uuid4

import msgspec
from aiohttp import web

from .answering import Call, Refusal, answer, seconds
from .cluster import Cluster
from .formats import CONSUMER_EXISTS, CONSUMER_NOT_FOUND, INVALID_CONSUMER, PLAIN, Format, accepted, listed, type_of
from .groups import RESETS, Groups, Manners, Member
from .records import Bounds, Place

__all__ = ["Consumers"]

_IDLE_AFTER: Final = 300.0
"""Seconds without a request after which an instance is gone."""


class _Create(msgspec.Struct):
    name: str | None = None
    format: str = "binary"
    reset: str = msgspec.field(default="latest", name="auto.offset.reset")
    auto_commit: str | bool = msgspec.field(default=True, name="auto.commit.enable")


class _Subscription(msgspec.Struct):
    topics: list[str] = []
    topic_pattern: str | None = None


class _Partition(msgspec.Struct):
    topic: str
    partition: int


class _Partitions(msgspec.Struct):
    partitions: list[_Partition]

    def places(self) -> list[Place]:
        return [Place(each.topic, each.partition) for each in self.partitions]


class _Offset(msgspec.Struct):
    topic: str
    partition: int
    offset: int


class _Offsets(msgspec.Struct):
    offsets: list[_Offset] = []

    def by_place(self) -> dict[Place, int]:
        return {Place(each.topic, each.partition): each.offset for each in self.offsets}


class Consumers:
    """Answers what is below `/consumers`.

    Args:
        cluster: Where the records are.
        groups: Who reads them.
    """

    def __init__(self, cluster: Cluster, groups: Groups) -> None:
        self._cluster = cluster
        self._groups = groups
        self._formats: dict[tuple[str, str], Format] = {}

    async def handle(self, call: Call) -> web.Response:
        """Answer a request.

        Raises:
            Refusal: It is not carried out.
        """
        match (call.method, *call.words[1:]):
            case ("POST", group):
                return await self._create(call, group)
            case ("DELETE", group, "instances", instance):
                await self._groups.leave(await self._member(group, instance))
                self._formats.pop((group, instance), None)
                return _nothing()
            case (_, group, "instances", instance, *what):
                return await self._asked(call, await self._member(group, instance), what)
            case _:
                raise Refusal(404, "HTTP 404 Not Found")

    async def _create(self, call: Call, group: str) -> web.Response:
        asked = call.json(_Create) if call.body.strip() else _Create()
        name = asked.name or f"rest-consumer-{uuid4()}"
        formats: Mapping[str, Format] = {"binary": "binary", "json": "json"}
        if asked.format not in formats:
            raise Refusal(422, f"Invalid format type: binary or json, not {asked.format!r}", INVALID_CONSUMER)
        if asked.reset not in RESETS:
            told = f"Invalid consumer configuration: auto.offset.reset is one of {', '.join(RESETS)}"
            raise Refusal(422, told, INVALID_CONSUMER)
        if await self._groups.find(group, name) is not None:
            raise Refusal(
                409,
                "Consumer with specified consumer ID already exists in the specified consumer group.",
                CONSUMER_EXISTS,
            )
        manners = Manners(str(asked.auto_commit).lower() == "true", reset=RESETS[asked.reset], idle_after=_IDLE_AFTER)
        self._groups.join(group, name, manners)
        self._formats[group, name] = formats[asked.format]
        place = f"{call.base}/consumers/{group}/instances/{name}"
        return answer({"instance_id": name, "base_uri": place}, kind=PLAIN)

    async def _member(self, group: str, instance: str) -> Member:
        member = await self._groups.find(group, instance)
        if member is None:
            raise Refusal(404, "Consumer instance not found.", CONSUMER_NOT_FOUND)
        return member

    async def _asked(self, call: Call, member: Member, what: list[str]) -> web.Response:
        match (call.method, *what):
            case ("GET", "records"):
                return await self._records(call, member)
            case ("POST", "subscription"):
                asked = call.json(_Subscription)
                await self._groups.subscribe(member, asked.topics, _pattern(asked.topic_pattern))
            case ("GET", "subscription"):
                return answer({"topics": [*member.topics]}, kind=PLAIN)
            case ("DELETE", "subscription"):
                await self._groups.unsubscribe(member)
            case ("POST", "assignments"):
                places = call.json(_Partitions).places()
                await self._cluster.check(places)
                await self._groups.assign(member, places)
            case ("GET", "assignments"):
                return answer({"partitions": [place._asdict() for place in sorted(member.places)]}, kind=PLAIN)
            case ("POST", "positions"):
                await self._groups.seek(member, call.json(_Offsets).by_place())
            case ("POST", "positions", "beginning" | "end" as where):
                bounds = await self._bounds(call)
                await self._groups.seek(
                    member, {place: each.low if where == "beginning" else each.high for place, each in bounds.items()}
                )
            case ("POST", "offsets"):
                await self._commit(call, member)
            case ("GET", "offsets"):
                return await self._committed(call, member)
            case _:
                raise Refusal(404, "HTTP 404 Not Found")
        return _nothing()

    async def _bounds(self, call: Call) -> dict[Place, Bounds]:
        places = call.json(_Partitions).places()
        await self._cluster.check(places)
        return await self._cluster.bounds(places)

    async def _records(self, call: Call, member: Member) -> web.Response:
        kind = self._formats.get((member.group, member.name), "binary")
        accepted(call, kind)
        most = call.number("max_bytes", -1)
        found = await self._groups.read(
            member, wait=seconds(call.number("timeout", 1000)), max_bytes=most if most > 0 else None
        )
        call.counts["fetched"] += len(found)
        return answer(listed(found, kind), kind=type_of(kind))

    async def _commit(self, call: Call, member: Member) -> None:
        if not call.body.strip():
            await self._groups.commit(member)
            return
        # The offset of the last record that was read stands here, and the next one in Kafka.
        offsets = {place: offset + 1 for place, offset in call.json(_Offsets).by_place().items()}
        await self._cluster.check(offsets)
        await self._groups.commit(member, offsets or None)

    async def _committed(self, call: Call, member: Member) -> web.Response:
        places = call.json(_Partitions).places()
        await self._cluster.check(places)
        kept = await self._cluster.committed(member.group, places)
        told = [{**place._asdict(), "offset": kept[place], "metadata": ""} for place in places if place in kept]
        return answer({"offsets": told}, kind=PLAIN)


def _pattern(text: str | None) -> re.Pattern[str] | None:
    try:
        return None if text is None else re.compile(text)
    except re.error as error:
        raise Refusal(422, f"topic_pattern is no regular expression: {error}") from error


def _nothing() -> web.Response:
    return web.Response(status=204)
