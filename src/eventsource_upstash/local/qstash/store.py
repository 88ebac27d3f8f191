"""Where the records are: in memory to work with, and in Valkey to outlive the process."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from typing import Final, Generic, TypeVar

import msgspec
from redis.asyncio import Redis

from .records import (
    ClockSetting,
    DeadLetter,
    Deduplication,
    Event,
    FlowKey,
    Keys,
    Message,
    Queue,
    Schedule,
    UrlGroup,
)

__all__ = ["MAX_EVENTS", "Store", "Table"]

MAX_EVENTS: Final = 10_000
"""Lines of the log that are kept, as the service does ("Only the last 10.000 logs are kept", its page Debug Logs)."""

R = TypeVar("R")


class Table(Generic[R]):
    """The records of one kind, by id, in the order in which they were first put."""

    def __init__(self, store: Store, name: str, kind: type[R]) -> None:
        self.name = name
        self._store = store
        self._records: dict[str, R] = {}
        self._decoder: msgspec.msgpack.Decoder[R] = msgspec.msgpack.Decoder(kind)

    def __len__(self) -> int:
        return len(self._records)

    def __contains__(self, id: object) -> bool:
        return id in self._records

    def __iter__(self) -> Iterator[R]:
        return iter(tuple(self._records.values()))

    def get(self, id: str) -> R | None:
        """The record of this id, or None."""
        return self._records.get(id)

    def items(self) -> tuple[tuple[str, R], ...]:
        """Ids and records."""
        return tuple(self._records.items())

    def clear(self) -> None:
        """Forget all records."""
        for key in tuple(self._records):
            self.drop(key)

    def first(self) -> tuple[str, R] | None:
        """The id and the record that were put first."""
        return next(iter(self._records.items()), None)

    def put(self, id: str, record: R) -> None:
        """Keep a record, as it is now. It is safe in Valkey once `Store.flush` has returned."""
        self._records[id] = record
        self._store.changed(self.name, id, msgspec.msgpack.encode(record))

    def drop(self, id: str) -> None:
        """Forget a record, if there is one."""
        if self._records.pop(id, None) is not None:
            self._store.changed(self.name, id, None)

    def sort(self, key: Callable[[R], int]) -> None:
        """Bring the records into an order, as if they had been put in it."""
        self._records = dict(sorted(self._records.items(), key=lambda item: key(item[1])))

    def load(self, id: str, packed: bytes) -> None:
        """Take a record over from Valkey."""
        self._records[id] = self._decoder.decode(packed)


class Store:
    """All records. Changes made without awaiting in between become durable together, in one transaction.

    Args:
        client: A client of the Valkey to keep them in, without `decode_responses`. What is selected by it is this
            store's own: the keys start with `prefix`.
        prefix: What the keys start with.
    """

    def __init__(self, client: Redis, prefix: str = "qstash:") -> None:
        self._client = client
        self._prefix = prefix
        self.messages: Table[Message] = Table(self, "messages", Message)
        self.dead_letters: Table[DeadLetter] = Table(self, "dead-letters", DeadLetter)
        self.deduplications: Table[Deduplication] = Table(self, "deduplications", Deduplication)
        self.schedules: Table[Schedule] = Table(self, "schedules", Schedule)
        self.groups: Table[UrlGroup] = Table(self, "groups", UrlGroup)
        self.queues: Table[Queue] = Table(self, "queues", Queue)
        self.flow_keys: Table[FlowKey] = Table(self, "flow-keys", FlowKey)
        self.keys: Table[Keys] = Table(self, "keys", Keys)
        self.clock: Table[ClockSetting] = Table(self, "clock", ClockSetting)
        self.counters: Table[int] = Table(self, "counters", int)
        self.events: deque[Event] = deque(maxlen=MAX_EVENTS)
        self._pending: dict[tuple[str, str], bytes | None] = {}
        self._lines: list[bytes] = []
        self._emptied = False
        self._tables = (
            self.messages,
            self.dead_letters,
            self.deduplications,
            self.schedules,
            self.groups,
            self.queues,
            self.flow_keys,
            self.keys,
            self.clock,
            self.counters,
        )
        self._writing: asyncio.Task[None] | None = None
        self._next: asyncio.Task[None] | None = None

    async def load(self) -> None:
        """Read what is in Valkey. Costs one command per table."""
        for table in self._tables:
            stored = await self._client.hgetall(self._prefix + table.name)
            for key, packed in stored.items():
                table.load(_bytes(key).decode(), _bytes(packed))
        # Valkey keeps them in no order.
        self.messages.sort(lambda message: message.number)
        self.dead_letters.sort(lambda letter: letter.number)
        self.deduplications.sort(lambda deduplication: deduplication.until)
        self.schedules.sort(lambda schedule: schedule.created_at)
        self.groups.sort(lambda group: group.created_at)
        self.queues.sort(lambda queue: queue.created_at)
        lines = await self._client.lrange(self._prefix + "events", 0, -1)
        self.events.extend(msgspec.msgpack.decode(_bytes(line), type=Event) for line in lines)

    def clear(self) -> None:
        """Forget everything but the setting of the clock."""
        for table in self._tables:
            if table is not self.clock:
                table.clear()
        self.events.clear()
        self._lines.clear()
        self._emptied = True

    def number(self, name: str) -> int:
        """The next number of a series: 1, 2, 3, never one twice."""
        value = (self.counters.get(name) or 0) + 1
        self.counters.put(name, value)
        return value

    def log(self, event: Event) -> None:
        """Add a line to the log."""
        self.events.append(event)
        self._lines.append(msgspec.msgpack.encode(event))

    def changed(self, table: str, id: str, packed: bytes | None) -> None:
        """Note what has to be written. None: removed."""
        self._pending[table, id] = packed

    async def flush(self) -> None:
        """Return when all that was changed so far is in Valkey. Callers at the same time share one transaction.

        Raises:
            RedisError: Valkey did not take it. The changes are kept, and are written with the next flush.
        """
        if self._pending or self._lines or self._emptied:
            if self._next is None:
                self._next = asyncio.ensure_future(self._write_after(self._writing))
            await asyncio.shield(self._next)
        elif self._writing is not None:
            await asyncio.shield(self._writing)

    async def _write_after(self, previous: asyncio.Task[None] | None) -> None:
        if previous is not None:
            await asyncio.wait([previous])
            previous = None  # a failure would hold on to the one before it, and so to all since Valkey went away
        self._writing, self._next = self._next, None
        pending, self._pending = self._pending, {}
        lines, self._lines = self._lines, []
        emptied, self._emptied = self._emptied, False
        try:
            async with self._client.pipeline(transaction=True) as pipe:
                # A pipeline collects commands; what they return is of no use before `execute`.
                for (table, key), packed in pending.items():
                    if packed is None:
                        _ = pipe.hdel(self._prefix + table, key)
                    else:
                        _ = pipe.hset(self._prefix + table, key, packed)
                if emptied:
                    _ = pipe.delete(self._prefix + "events")
                if lines:
                    _ = pipe.rpush(self._prefix + "events", *lines)
                    _ = pipe.ltrim(self._prefix + "events", -MAX_EVENTS, -1)
                await pipe.execute()
        except BaseException:
            self._pending = {**pending, **self._pending}
            self._lines = lines + self._lines
            self._emptied = self._emptied or emptied
            raise


def _bytes(value: bytes | str) -> bytes:
    assert isinstance(value, bytes), "the client of the store must not decode responses"
    return value
