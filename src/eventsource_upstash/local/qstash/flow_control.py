"""Flow control: which of the messages with one key may go out now."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field

from .errors import ApiError
from .records import FlowControl, FlowKey, Message
from .store import Store

__all__ = ["FlowControlling"]


@dataclass
class _Lane:
    """What is under way and what waits, of one key. Only in memory: it follows from the messages."""

    waiting: list[tuple[int, int, str]] = field(default_factory=list[tuple[int, int, str]])
    active: set[str] = field(default_factory=set[str])


class FlowControlling:
    """Keeps the limits of each key, and who waits for them."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lanes: dict[str, _Lane] = {}

    def configure(self, asked: FlowControl) -> None:
        """Take over what the newest message asks of its key."""
        record = self._store.flow_keys.get(asked.key) or FlowKey(key=asked.key)
        if (record.parallelism, record.rate, record.period) != (asked.parallelism, asked.rate, asked.period):
            record.parallelism, record.rate, record.period = asked.parallelism, asked.rate, asked.period
        self._store.flow_keys.put(asked.key, record)

    def clear(self) -> None:
        """Let nothing wait."""
        self._lanes.clear()

    def wait(self, key: str, message: Message) -> None:
        """Line a message up that is due."""
        heapq.heappush(self._lane(key).waiting, (message.due, message.number, message.id))

    def take(self, key: str, now: int) -> str | None:
        """The message that may go out now, which then counts as under way. None: none may."""
        lane, record = self._lane(key), self.key(key)
        while lane.waiting and self._store.messages.get(lane.waiting[0][2]) is None:
            heapq.heappop(lane.waiting)  # cancelled meanwhile
        if not lane.waiting or record.paused:
            return None
        parallelism, (rate, period) = _parallelism(record), _rate(record)
        if parallelism is not None and len(lane.active) >= parallelism:
            return None
        if rate is not None:
            if now >= record.started + period * 1000:
                record.started, record.count = now, 0
            if record.count >= rate:
                return None
            record.count += 1
            self._store.flow_keys.put(key, record)
        taken = heapq.heappop(lane.waiting)[2]
        lane.active.add(taken)
        return taken

    def release(self, key: str, id: str) -> None:
        """A message is no longer under way."""
        self._lane(key).active.discard(id)

    def next_period(self, key: str) -> int | None:
        """When the rate of a key lets the next message out, if that is what one waits for."""
        lane, record = self._lane(key), self.key(key)
        rate, period = _rate(record)
        if not lane.waiting or record.paused or rate is None or record.count < rate:
            return None
        return record.started + period * 1000

    def known(self, key: str) -> FlowKey:
        """The record of a key.

        Raises:
            ApiError: 404, no message ever named it.
        """
        record = self._store.flow_keys.get(key)
        if record is None:
            raise ApiError(404, f"flow control key {key} not found")
        return record

    def key(self, key: str) -> FlowKey:
        """The record of a key, a new one if need be."""
        return self._store.flow_keys.get(key) or FlowKey(key=key)

    def keys(self) -> tuple[str, ...]:
        """The keys for which something waits."""
        return tuple(key for key, lane in self._lanes.items() if lane.waiting)

    def waiting(self, key: str) -> int:
        """How many messages wait for the limits of a key."""
        return sum(entry[2] in self._store.messages for entry in self._lane(key).waiting)

    def active(self, key: str) -> int:
        """How many messages of a key are in flight."""
        return len(self._lane(key).active)

    def describe(self, key: str) -> dict[str, object]:
        """A key as the API shows it."""
        record = self.known(key)
        rate, period = _rate(record)
        return {
            "flowControlKey": key,
            "waitListSize": self.waiting(key),
            "parallelismMax": _parallelism(record) or 0,
            "parallelismCount": self.active(key),
            "rateMax": rate or 0,
            "rateCount": record.count,
            "ratePeriod": period,
            "ratePeriodStart": record.started // 1000,
            "isPinnedParallelism": record.pinned_parallelism is not None,
            "isPinnedRate": record.pinned_rate is not None,
            "isPaused": record.paused,
        }

    def _lane(self, key: str) -> _Lane:
        return self._lanes.setdefault(key, _Lane())


def _parallelism(record: FlowKey) -> int | None:
    return record.parallelism if record.pinned_parallelism is None else record.pinned_parallelism


def _rate(record: FlowKey) -> tuple[int | None, int]:
    if record.pinned_rate is not None:
        return record.pinned_rate, record.pinned_period
    return record.rate, record.period
