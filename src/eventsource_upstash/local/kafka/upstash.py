"""Kafka over REST as Upstash had it until 11 March 2025: its pages Producer API, Consumer APIs and Metadata API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, TypeVar

import msgspec
from aiohttp import web

from .answering import Call, Refusal, answer, seconds
from .cluster import Cluster
from .groups import RESETS, Groups, Manners, Member
from .records import KafkaFailed, Message, Outgoing, Place, Placed

__all__ = ["Upstash"]

_MOST_BYTES: Final = 1024 * 1024
"""Of a message: key, value and headers."""

T = TypeVar("T")

_DONE: Final = {"result": "Success", "status": 200}


class _Header(msgspec.Struct):
    key: str
    value: str


class _Message(msgspec.Struct):
    value: str
    topic: str | None = None
    partition: int | None = None
    timestamp: int | None = None
    key: str | None = None
    headers: list[_Header] | None = None


class _Partition(msgspec.Struct):
    topic: str
    partition: int


class _Offset(msgspec.Struct):
    topic: str
    partition: int = 0
    offset: int = 0


class _Fetch(msgspec.Struct, rename="camel"):
    topic: str | None = None
    partition: int = 0
    offset: int = 0
    topic_partition_offsets: list[_Offset] = []
    timeout: int = 1000


class _Consume(msgspec.Struct):
    topic: str | None = None
    topics: list[str] = []
    timeout: int = 1000


class Upstash:
    """Answers its requests.

    Args:
        cluster: Where the records are.
        groups: Who reads them.
    """

    def __init__(self, cluster: Cluster, groups: Groups) -> None:
        self._cluster = cluster
        self._groups = groups

    async def handle(self, call: Call) -> web.Response:
        """Answer a request.

        Raises:
            Refusal: It is not carried out.
        """
        match (call.method, *call.words):
            case ("GET" | "POST", "produce", topic, message):
                return await self._produce_text(call, topic, message)
            case ("GET" | "POST", "produce", *topic) if len(topic) < 2:
                return await self._produce(call, *topic)
            case ("GET" | "POST", "fetch"):
                return await self._fetch(call)
            case ("GET" | "POST", "consume", group, instance, topic):
                asked = _Consume(topic, timeout=call.number("timeout", 1000))
                return await self._consume(call, group, instance, asked)
            case ("GET" | "POST", "consume", group, instance):
                return await self._consume(call, group, instance, call.json(_Consume))
            case ("GET" | "POST", "commit", group, instance):
                return await self._commit(call, group, instance)
            case ("GET" | "POST", "committed", group, _):
                return await self._committed(call, group)
            case ("GET" | "POST", "offsets", when):
                return await self._offsets(call, when)
            case ("GET", "topics"):
                return answer(await self._cluster.topics())
            case ("GET", "consumers"):
                return self._consumers()
            case ("POST" | "DELETE", "delete-consumer", group, instance):
                await self._groups.leave(await self._member(group, instance))
                return answer(_DONE)
            case _:
                raise Refusal(404, f"there is no {call.method} /{'/'.join(call.words)}")

    async def _produce_text(self, call: Call, topic: str, message: str) -> web.Response:
        key = call.query.get("key")
        record = Outgoing(topic, None if key is None else key.encode(), message.encode())
        (placed,) = await self._write(call, [record])
        return answer(placed._asdict())

    async def _produce(self, call: Call, topic: str | None = None) -> web.Response:
        records: list[Outgoing] = []
        for message in _many(call, _Message):
            target = topic or message.topic
            if target is None:
                raise Refusal(400, "each message names its topic, or the path does")
            headers = tuple((header.key, header.value.encode()) for header in message.headers or ())
            key = None if message.key is None else message.key.encode()
            records.append(Outgoing(target, key, message.value.encode(), headers, message.partition, message.timestamp))
        return answer([placed._asdict() for placed in await self._write(call, records)])

    async def _write(self, call: Call, records: Sequence[Outgoing]) -> list[Placed]:
        await self._cluster.check((record.topic, record.partition) for record in records)
        for record in records:
            if record.size > _MOST_BYTES:
                raise Refusal(413, f"a message of {record.size} bytes is larger than {_MOST_BYTES}")
        written: list[Placed] = []
        for placed in await self._cluster.produce(records):
            if isinstance(placed, KafkaFailed):
                raise placed
            written.append(placed)
        call.counts["produced"] += len(written)
        return written

    async def _fetch(self, call: Call) -> web.Response:
        asked = call.json(_Fetch)
        offsets = {Place(each.topic, each.partition): each.offset for each in asked.topic_partition_offsets}
        if asked.topic is not None:
            offsets[Place(asked.topic, asked.partition)] = asked.offset
        if not offsets:
            raise Refusal(400, "name a topic, or topicPartitionOffsets")
        if any(offset < 0 for offset in offsets.values()):
            raise Refusal(400, "an offset is not below 0")
        await self._cluster.check(offsets)
        return self._messages(call, await self._cluster.fetch(offsets, wait=seconds(asked.timeout)))

    async def _consume(self, call: Call, group: str, instance: str, asked: _Consume) -> web.Response:
        topics = {*asked.topics, *([asked.topic] if asked.topic is not None else [])}
        if not topics:
            raise Refusal(400, "name a topic, or topics")
        await self._cluster.check((topic, None) for topic in topics)
        member = await self._groups.find(group, instance)
        if member is None:
            member = self._groups.join(group, instance, _manners(call.headers))
        await self._groups.subscribe(member, [*topics])
        return self._messages(call, await self._groups.read(member, wait=seconds(asked.timeout)))

    def _messages(self, call: Call, found: Sequence[Message]) -> web.Response:
        call.counts["fetched"] += len(found)
        return answer([_told(message) for message in found])

    async def _commit(self, call: Call, group: str, instance: str) -> web.Response:
        member = await self._member(group, instance)
        offsets: dict[Place, int] | None = None
        if call.body.strip():
            told = _many(call, _Offset)
            offsets = {Place(each.topic, each.partition): each.offset for each in told} or None
            await self._cluster.check(offsets or ())
        await self._groups.commit(member, offsets)
        return answer(_DONE)

    async def _committed(self, call: Call, group: str) -> web.Response:
        places = await self._places(call)
        kept = await self._cluster.committed(group, places)
        return answer([{**place._asdict(), "offset": kept.get(place, -1)} for place in places])

    async def _offsets(self, call: Call, when: str) -> web.Response:
        if when not in {"earliest", "latest"} and not when.isdecimal():
            raise Refusal(400, f"offsets are of earliest, latest or a time in Unix milliseconds, not {when!r}")
        places = await self._places(call)
        if when.isdecimal():
            found: Mapping[Place, int] = await self._cluster.at_time(places, int(when))
        else:
            bounds = await self._cluster.bounds(places)
            found = {place: bounds[place].low if when == "earliest" else bounds[place].high for place in places}
        return answer([{**place._asdict(), "offset": found[place]} for place in places])

    async def _places(self, call: Call) -> list[Place]:
        places = [Place(each.topic, each.partition) for each in _many(call, _Partition)]
        await self._cluster.check(places)
        return places

    async def _member(self, group: str, instance: str) -> Member:
        member = await self._groups.find(group, instance)
        if member is None:
            raise Refusal(404, f"group {group!r} has no instance {instance!r}")
        return member

    def _consumers(self) -> web.Response:
        return answer(
            [
                {"name": name, "instances": [_instance(member) for member in group.values()]}
                for name, group in self._groups.known().items()
            ]
        )


def _many(call: Call, kind: type[T]) -> list[T]:
    """The body, where it may be one of something, or a list."""
    return call.json(list[kind]) if call.body.lstrip().startswith(b"[") else [call.json(kind)]  # type: ignore[valid-type] # pyright takes it


def _instance(member: Member) -> dict[str, object]:
    topics: dict[str, list[int]] = {}
    for place in sorted(member.places):
        topics.setdefault(place.topic, []).append(place.partition)
    return {
        "name": member.name,
        "topics": [{"topic": topic, "partitions": partitions} for topic, partitions in topics.items()],
    }


def _told(message: Message) -> dict[str, object]:
    return {
        "topic": message.topic,
        "partition": message.partition,
        "offset": message.offset,
        "timestamp": message.timestamp,
        "key": _text(message.key or b""),
        "value": None if message.value is None else _text(message.value),
        "headers": [{"key": name, "value": _text(value or b"")} for name, value in message.headers],
    }


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")


def _manners(headers: Mapping[str, str]) -> Manners:
    """How an instance is to be, which its first request says."""
    commit = headers.get("Kafka-Enable-Auto-Commit", "true").lower()
    reset = headers.get("Kafka-Auto-Offset-Reset", "latest").lower()
    if commit not in {"true", "false"}:
        raise Refusal(400, "Kafka-Enable-Auto-Commit is true or false")
    if reset not in RESETS:
        raise Refusal(400, f"Kafka-Auto-Offset-Reset is one of: {', '.join(RESETS)}")
    return Manners(
        auto_commit=commit == "true",
        interval=_seconds(headers, "Kafka-Auto-Commit-Interval", 5_000),
        reset=RESETS[reset],
        idle_after=_seconds(headers, "Kafka-Session-Timeout-Ms", 120_000),
    )


def _seconds(headers: Mapping[str, str], name: str, default: int) -> float:
    text = headers.get(name, str(default))
    if not text.isdecimal():
        raise Refusal(400, f"{name} is a number of milliseconds, not {text!r}")
    return int(text) / 1000
