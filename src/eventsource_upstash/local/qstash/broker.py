"""All the parts of a local QStash, put together."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Final

from redis.asyncio import Redis
from redis.exceptions import RedisError

from ..faults import Faults
from ..metering import Meter
from .clock import Clock
from .dead_letters import DeadLetters
from .delivering import Delivering
from .dispatching import Dispatching
from .errors import ApiError
from .filtering import Filter
from .flow_control import FlowControlling
from .logbook import Logbook
from .metrics import Metrics
from .publishing import Publishing
from .queueing import Queueing
from .records import ClockSetting, Keys, Message
from .scheduling import Scheduling
from .settings import Settings
from .settling import Settling
from .signing import new_key
from .store import Store

__all__ = ["Broker"]

_log: Final = logging.getLogger("eventsource_upstash.local.qstash")


class Broker:
    """Wires the parts; each is reached through it."""

    def __init__(self, client: Redis, settings: Settings, clock: Clock, faults: Faults, meter: Meter) -> None:
        self.settings = settings
        self.clock = clock
        self.faults = faults
        self.meter = meter
        self.store: Store = Store(client)
        self.logbook: Logbook = Logbook(self.store, clock)
        self.queues: Queueing = Queueing(self.store)
        self.flow: FlowControlling = FlowControlling(self.store)
        self._delivering = Delivering(self.store, settings, clock, meter)
        self.publishing: Publishing = Publishing(
            self.store, settings, clock, meter, self.queues, self.flow, self.logbook, route=self._route
        )
        self.settling: Settling = Settling(
            self.store,
            clock,
            meter,
            self.queues,
            self.logbook,
            accept=self.publishing.accept,
            push=self._push,
            fill=self._fill,
        )
        self.scheduling: Scheduling = Scheduling(self.store, clock, meter, self.publishing.publish, woken=self._wake)
        self.dead_letters: DeadLetters = DeadLetters(self.store, clock, self.publishing, self.logbook)
        self.dispatching: Dispatching = Dispatching(
            self.store,
            clock,
            self.queues,
            self.flow,
            faults,
            settings.max_in_flight,
            begin=self._begin,
            carry=self._delivering.carry,
            settle=self.settling.settle,
            fire=self.scheduling.fire,
            next_fire=self.scheduling.next_fire,
        )

    async def open(self) -> None:
        """Load what is stored, and begin to deliver."""
        await self.store.load()
        setting = self.store.clock.get("clock")
        if setting is not None:
            self.clock.restore(setting.offset, setting.frozen)
        elif self.clock.frozen:
            await self.keep_clock()
        self.scheduling.restore()
        await self._delivering.open()
        self.dispatching.start()

    async def close(self) -> None:
        """Deliver no more, and store what is still to be stored."""
        await self.dispatching.stop()
        await self._delivering.close()
        try:
            await self.store.flush()
        except RedisError:
            _log.exception("the last changes are not stored: Valkey did not answer; messages may be delivered again")

    async def reset(self) -> None:
        """Forget everything: messages, schedules, groups, queues, keys, the log. The clock stays as it is."""
        self.store.clear()
        self.queues.clear()
        self.flow.clear()
        await self.dispatching.clear()
        self.store.clear()  # what came in while attempts were broken off
        self.scheduling.restore()
        await self.store.flush()

    async def advance(self, milliseconds: int, *, settle: bool) -> None:
        """Move the clock. See `QStashServer.advance`."""
        target = self.clock.now() + milliseconds
        if settle:
            await self.dispatching.step_to(target)
        else:
            self.clock.move_to(target)
        await self.keep_clock()

    async def keep_clock(self) -> None:
        """Store what the clock is set to, so that after a restart it is as late as it was."""
        offset, frozen = self.clock.saved()
        self.store.clock.put("clock", ClockSetting(offset, frozen))
        await self.store.flush()

    def keys(self) -> Keys:
        """The signing keys in force."""
        return self.store.keys.get("keys") or Keys(self.settings.current_key, self.settings.next_key)

    def rotate(self) -> Keys:
        """Make the next key the current one, and a new one the next."""
        keys = Keys(self.keys().next, new_key())
        self.store.keys.put("keys", keys)
        return keys

    def message(self, id: str) -> Message:
        """A message that is neither delivered nor dead.

        Raises:
            ApiError: 404, there is none of this id.
        """
        message = self.store.messages.get(id)
        if message is None:
            raise ApiError(404, f"message {id} not found")
        return message

    def matching(self, filter: Filter) -> list[Message]:
        """The messages that are asked for, in the order in which they came in."""
        ids = filter.ids("messageIds")
        found = sorted(self.store.messages, key=lambda message: message.number)
        if ids is not None:
            return [message for message in found if message.id in ids]
        found = [message for message in found if filter.admits(message, message.created_at)]
        return found if filter.count is None else found[: filter.count]

    def cancel(self, messages: Iterable[Message]) -> int:
        """Have messages not delivered, or not again if they are in flight. Returns how many."""
        count = 0
        for message in messages:
            if message.id not in self.store.messages or message.cancelled:
                continue
            count += 1
            self.logbook.log(message, "CANCEL_REQUESTED")
            if self.dispatching.flying(message.id):
                message.cancelled = True
                self.store.messages.put(message.id, message)
            else:
                self.settling.cancel(message)
        return count

    def hasten(self, message: Message) -> bool:
        """Have a message go out now that waits for its time. False: it is due already, and waits for something else."""
        now = self.clock.now()
        if message.due <= now or self.dispatching.flying(message.id):
            return False
        message.due = now
        self.store.messages.put(message.id, message)
        if message.queue is None or message.slot is not None:  # else it goes when it comes to its queue's head
            self.dispatching.push(message)
        return True

    def drop_queue(self, name: str) -> None:
        """Delete a queue, with what waits in it."""
        self.cancel([message for message in self.store.messages if message.queue == name])
        self.store.queues.drop(name)

    def metrics(self) -> Metrics:
        """What was counted, and what there is now."""
        return Metrics(
            counted=self.meter.snapshot(),
            in_flight=self.dispatching.in_flight,
            waiting=len(self.store.messages) - self.dispatching.in_flight,
            dead_letters=len(self.store.dead_letters),
            schedules=len(self.store.schedules),
            now=self.clock.now(),
        )

    # The parts refer to one another in a circle; these are where it is closed.

    def _route(self, message: Message) -> None:
        self.dispatching.route(message)

    def _push(self, message: Message) -> None:
        self.dispatching.push(message)

    def _fill(self, queue: str) -> None:
        self.dispatching.fill(queue)

    def _wake(self) -> None:
        self.dispatching.wake()

    def _begin(self, message: Message) -> None:
        self.logbook.log(message, "ACTIVE")
