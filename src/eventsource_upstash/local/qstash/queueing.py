"""Queues: the next message waits until the one before is delivered or dead, its retries and callbacks included."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field

from .errors import ApiError
from .records import Message, Queue
from .store import Store

__all__ = ["Queueing"]


@dataclass
class _Line:
    """What waits, and what is at the head. Only in memory: it follows from the messages.

    A slot is one place at the head: the id of the message that took it, and what still holds it (the message, then its
    callbacks).
    """

    waiting: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])
    slots: dict[str, set[str]] = field(default_factory=dict[str, set[str]])
    parked: list[str] = field(default_factory=list[str])


class Queueing:
    """Keeps the queues."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lines: dict[str, _Line] = {}

    def clear(self) -> None:
        """Let nothing wait."""
        self._lines.clear()

    def restore(self) -> None:
        """Line everything up again after a restart."""
        for message in sorted(self._store.messages, key=lambda message: message.number):
            if message.queue is not None:
                line = self._line(message.queue)
                if message.slot is None:
                    heapq.heappush(line.waiting, (message.number, message.id))
                else:
                    line.slots.setdefault(message.slot, set()).add(message.id)

    def upsert(self, name: str, now: int, parallelism: int | None = None, paused: bool | None = None) -> Queue:
        """The queue of this name, made or changed."""
        queue = self._store.queues.get(name) or Queue(name=name, created_at=now, updated_at=now)
        if parallelism is not None or paused is not None:
            queue.updated_at = now
        queue.parallelism = queue.parallelism if parallelism is None else parallelism
        queue.paused = queue.paused if paused is None else paused
        self._store.queues.put(name, queue)
        return queue

    def known(self, name: str) -> Queue:
        """The queue of this name.

        Raises:
            ApiError: 404, there is none.
        """
        queue = self._store.queues.get(name)
        if queue is None:
            raise ApiError(404, f"queue {name} not found")
        return queue

    def wait(self, queue: str, message: Message) -> None:
        """Put a message at the end."""
        heapq.heappush(self._line(queue).waiting, (message.number, message.id))

    def take(self, name: str) -> Message | None:
        """The next message to come to the head of the queue, which it then holds. None: there is no place, or none."""
        queue, line = self._store.queues.get(name), self._line(name)
        if queue is not None and queue.paused:
            return None
        parallelism = 1 if queue is None else queue.parallelism
        while line.waiting and len(line.slots) < parallelism:
            message = self._store.messages.get(heapq.heappop(line.waiting)[1])
            if message is not None:  # else it was cancelled meanwhile
                message.slot = message.id
                line.slots[message.id] = {message.id}
                self._store.messages.put(message.id, message)
                return message
        return None

    def hold(self, message: Message) -> None:
        """Let another message, a callback, share the place of the one that it is about."""
        if message.queue is not None and message.slot is not None:
            self._line(message.queue).slots.setdefault(message.slot, set()).add(message.id)

    def release(self, message: Message) -> None:
        """A message is delivered, dead or cancelled."""
        if message.queue is not None and message.slot is not None:
            line = self._line(message.queue)
            holders = line.slots.get(message.slot, set())
            holders.discard(message.id)
            if not holders:
                line.slots.pop(message.slot, None)

    def paused(self, name: str) -> bool:
        """Whether nothing may go out."""
        queue = self._store.queues.get(name)
        return queue is not None and queue.paused

    def park(self, name: str, id: str) -> None:
        """Set a message aside that is due while its queue is paused."""
        self._line(name).parked.append(id)

    def unpark(self, name: str) -> list[str]:
        """What was set aside."""
        line = self._line(name)
        parked, line.parked = line.parked, []
        return parked

    def lag(self, name: str) -> int:
        """How many messages of the queue are not yet delivered. Callbacks do not count."""
        return sum(message.queue == name and message.slot in {None, message.id} for message in self._store.messages)

    def describe(self, queue: Queue) -> dict[str, object]:
        """A queue as the API shows it."""
        return {
            "name": queue.name,
            "createdAt": queue.created_at,
            "updatedAt": queue.updated_at,
            "parallelism": queue.parallelism,
            "paused": queue.paused,
            "lag": self.lag(queue.name),
        }

    def _line(self, name: str) -> _Line:
        return self._lines.setdefault(name, _Line())
