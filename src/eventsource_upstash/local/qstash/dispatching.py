"""When a message goes out: what is due, in order, within the limits of its queue and its flow control key."""

from __future__ import annotations

import asyncio
import heapq
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from ..faults import DELIVERY_FAULTS, Fault, Faults
from .clock import Clock
from .flow_control import FlowControlling
from .queueing import Queueing
from .records import Answer, Message
from .store import Store

__all__ = ["Dispatching"]

_log: Final = logging.getLogger("eventsource_upstash.local.qstash")

Carry = Callable[[Message, "Fault | None"], Awaitable[Answer]]


class Dispatching:
    """Sends what is due.

    Args:
        store: The messages.
        clock: Says what is due.
        queues: Who is at the head of a queue.
        flow: Who may go out of those with one flow control key.
        faults: What goes wrong with an attempt.
        max_in_flight: Most attempts at a time.
        begin: Told of each attempt before it is made.
        carry: Makes one attempt. It answers, whatever happens.
        settle: Does what follows from the answer. It does not wait.
        fire: Publishes what the schedules say, given the time. It does not wait.
        next_fire: When the next schedule is to fire.
    """

    def __init__(  # noqa: PLR0913  # each part of it is another's work, and given by name
        self,
        store: Store,
        clock: Clock,
        queues: Queueing,
        flow: FlowControlling,
        faults: Faults,
        max_in_flight: int,
        *,
        begin: Callable[[Message], None],
        carry: Carry,
        settle: Callable[[Message, Answer], None],
        fire: Callable[[int], None],
        next_fire: Callable[[], int | None],
    ) -> None:
        self._store = store
        self._clock = clock
        self._queues = queues
        self._flow = flow
        self._faults = faults
        self._max_in_flight = max_in_flight
        self._begin = begin
        self._carry = carry
        self._settle = settle
        self._fire = fire
        self._next_fire = next_fire
        self._due: list[tuple[int, int, str]] = []
        self._periods: list[tuple[int, str]] = []
        self._asked: dict[str, Fault | None] = {}
        self._held: list[tuple[int, str]] = []
        self._backlog: deque[Message] = deque()
        self._flying: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._loop: asyncio.Task[None] | None = None
        self._forget: Callable[[], None] | None = None
        self._stepping = asyncio.Lock()

    @property
    def in_flight(self) -> int:
        """How many attempts are under way."""
        return len(self._flying)

    def flying(self, id: str) -> bool:
        """Whether an attempt to deliver this message is under way."""
        return id in self._flying

    def start(self) -> None:
        """Line up what was stored, and begin."""
        self._queues.restore()
        for message in sorted(self._store.messages, key=lambda message: message.number):
            if message.queue is None or message.slot is not None:
                heapq.heappush(self._due, (message.due, message.number, message.id))
        for queue in {message.queue for message in self._store.messages if message.queue is not None}:
            self.fill(queue)
        self._forget = self._clock.listen(self._wake.set)
        self._loop = asyncio.ensure_future(self._run())

    async def stop(self) -> None:
        """End at once. Attempts under way are broken off, and are made again after the next start."""
        if self._forget is not None:
            self._forget()
        running = [task for task in (self._loop, *self._tasks) if task is not None]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        self._loop = None

    async def clear(self) -> None:
        """Break off what is under way, and let nothing be due."""
        running = tuple(self._tasks)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        for waiting in (self._due, self._periods, self._asked, self._held, self._backlog, self._flying):
            waiting.clear()

    def route(self, message: Message) -> None:
        """Take a stored message in: at the end of its queue, or for its time."""
        if message.queue is not None and message.slot is None:
            self._queues.wait(message.queue, message)
            self.fill(message.queue)
        else:
            self.push(message)

    def push(self, message: Message) -> None:
        """Have a message go out when it is due."""
        heapq.heappush(self._due, (message.due, message.number, message.id))
        self._wake.set()

    def wake(self) -> None:
        """Look again when something is due."""
        self._wake.set()

    def fill(self, queue: str) -> None:
        """Let the next messages of a queue come to its head, as far as there is room."""
        while (message := self._queues.take(queue)) is not None:
            self.push(message)

    def resume_queue(self, queue: str) -> None:
        """Go on with a queue that was paused."""
        for parked in self._queues.unpark(queue):
            message = self._store.messages.get(parked)
            if message is not None:
                self.push(message)
        self.fill(queue)

    def resume_flow(self, key: str) -> None:
        """Go on with a flow control key whose limits have changed."""
        self._drain(key)
        self._wake.set()

    def next_due(self) -> int | None:
        """When something is to happen next, as far as it is known now."""
        while self._due and not self._valid(self._due[0]):
            heapq.heappop(self._due)
        times = [entry[0] for entry in self._due[:1]] + [entry[0] for entry in self._periods[:1]]
        times += [entry[0] for entry in self._held[:1]]
        fire = self._next_fire()
        if fire is not None:
            times.append(fire)
        return min(times, default=None)

    def dispatch(self) -> None:
        """Send what is due now."""
        now = self._clock.now()
        self._fire(now)
        while self._periods and self._periods[0][0] <= now:
            self._drain(heapq.heappop(self._periods)[1])
        while self._due and self._due[0][0] <= now:
            entry = heapq.heappop(self._due)
            message = self._store.messages.get(entry[2])
            if message is not None and self._valid(entry):
                self._admit(message)
        if self._held and self._held[0][0] <= now:
            self._release_held()

    async def settled(self) -> None:
        """Return when nothing is due and nothing in flight, and all of it is stored."""
        while True:
            self.dispatch()
            if not self._tasks and self._held:
                self._release_held()
            elif not self._tasks:
                await self._store.flush()
                if not self._tasks:
                    return
            else:
                await asyncio.wait(set(self._tasks), return_when=asyncio.FIRST_COMPLETED)

    async def step_to(self, target: int) -> None:
        """Move the clock to `target`, stopping at everything that becomes due on the way until it is settled."""
        async with self._stepping:
            await self.settled()
            while (due := self.next_due()) is not None and due <= target:
                self._clock.move_to(due)
                await self.settled()
            self._clock.move_to(target)
            await self.settled()

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            try:
                self.dispatch()
            except Exception:
                _log.exception("a due message could not be sent; going on with the others")
            due = self.next_due()
            seconds = None if due is None else self._clock.seconds_until(due)
            # asyncio.TimeoutError is another class than the builtin one before Python 3.11.
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._wake.wait(), seconds)

    def _valid(self, entry: tuple[int, int, str]) -> bool:
        """Whether a message is still to go out at this time: not cancelled, put off, or gone already."""
        message = self._store.messages.get(entry[2])
        return message is not None and message.due == entry[0] and entry[2] not in self._flying

    def _admit(self, message: Message) -> None:
        if message.id not in self._asked:
            fault = self._faults.take("qstash", DELIVERY_FAULTS, path=message.url)
            self._asked[message.id] = fault
            if fault is not None and fault.kind == "deliver-late":
                message.due = self._clock.now() + round(fault.seconds * 1000)
                self._store.messages.put(message.id, message)
                self.push(message)
                return
            if fault is not None and fault.kind == "deliver-out-of-order":
                # Until another has gone out, or none comes in time.
                heapq.heappush(self._held, (self._clock.now() + round(fault.seconds * 1000), message.id))
                return
        if message.queue is not None and self._queues.paused(message.queue):
            self._queues.park(message.queue, message.id)
        elif message.options.flow is not None:
            self._flow.wait(message.options.flow.key, message)
            self._drain(message.options.flow.key)
        else:
            self._send(message)

    def _release_held(self) -> None:
        released, self._held = self._held, []
        for _, held in released:
            message = self._store.messages.get(held)
            if message is not None:
                self._admit(message)

    def _release_flow(self, message: Message) -> None:
        flow = message.options.flow
        if flow is not None:
            self._flow.release(flow.key, message.id)
            self._drain(flow.key)

    def _drain(self, key: str) -> None:
        while (taken := self._flow.take(key, self._clock.now())) is not None:
            message = self._store.messages.get(taken)
            if message is not None:
                self._send(message)
        period = self._flow.next_period(key)
        if period is not None and (period, key) not in self._periods:
            heapq.heappush(self._periods, (period, key))
            self._wake.set()

    def _send(self, message: Message) -> None:
        if len(self._flying) >= self._max_in_flight:
            self._backlog.append(message)
            return
        self._flying.add(message.id)
        task = asyncio.ensure_future(self._fly(message, self._asked.pop(message.id, None)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _fly(self, message: Message, fault: Fault | None) -> None:
        answer: Answer | None = None
        try:
            # Stored before it goes out, and whatever went before it in its queue stored as done.
            await self._store.flush()
            if message.id in self._store.messages:
                self._begin(message)
                answer = await self._carry(message, fault)
        except Exception:
            _log.exception("message %s was not delivered", message.id)
            answer = Answer(error="internal error of the local QStash: see its log")
        self._flying.discard(message.id)
        if answer is not None:
            try:
                self._settle(message, answer)
            except Exception:
                _log.exception("what follows from the answer to message %s could not be done", message.id)
        self._release_flow(message)
        self._release_held()
        while self._backlog and len(self._flying) < self._max_in_flight:
            waiting = self._backlog.popleft()
            if waiting.id in self._store.messages:
                self._send(waiting)
            else:  # cancelled meanwhile
                self._release_flow(waiting)
        self._wake.set()
        try:
            await self._store.flush()
        except Exception:
            _log.exception("what became of message %s is not stored yet; it may be delivered again", message.id)
