"""What follows from an attempt: done, again later, or dead; and the callbacks about it."""

from __future__ import annotations

import base64
import math
import re
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Final

import msgspec

from ..metering import Meter
from .clock import Clock
from .expressions import DAY, evaluate
from .logbook import Logbook
from .options import callback_options
from .queueing import Queueing
from .records import Answer, DeadLetter, Message
from .store import Store
from .views import header_lists

__all__ = ["Settling", "back_off", "wait_of"]

NON_RETRYABLE: Final = 489

_WAIT_HEADERS: Final = ("retry-after", "x-ratelimit-reset", "x-ratelimit-reset-requests", "x-ratelimit-reset-tokens")
_UNITS: Final = {"ns": 1e-6, "us": 1e-3, "µs": 1e-3, "ms": 1.0, "s": 1000.0, "m": 60_000.0, "h": 3_600_000.0}
_DURATION: Final = re.compile(r"(?:\d+(?:\.\d+)?(?:ns|us|µs|ms|s|m|h))+\Z")
_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)")


class Settling:
    """Does what follows."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        meter: Meter,
        queues: Queueing,
        logbook: Logbook,
        *,
        accept: Callable[[Message], None],
        push: Callable[[Message], None],
        fill: Callable[[str], None],
    ) -> None:
        self._store = store
        self._clock = clock
        self._meter = meter
        self._queues = queues
        self._logbook = logbook
        self._accept = accept
        self._push = push
        self._fill = fill

    def settle(self, message: Message, answer: Answer) -> None:
        """Do what follows from this answer to this message. It does not wait."""
        callback = message.options.callback
        if callback is not None:
            self._call_back(message, answer, callback, message.options.callback_headers, None)
        if answer.delivered:
            self._meter.add(message.agent, {"delivered": 1})
            self._logbook.log(message, "DELIVERED")
            self._mark(message, "SUCCESS")
            self._done(message)
            return
        self._meter.add(message.agent, {"failed": 1})
        self._logbook.log(message, "ERROR", answer=answer)
        if message.cancelled:
            self.cancel(message)
        elif message.retried >= message.options.retries or _non_retryable(answer):
            self._bury(message, answer)
        else:
            message.due = self._clock.now() + _delay(message, answer)
            message.retried += 1
            self._store.messages.put(message.id, message)
            self._logbook.log(message, "RETRY", next=message.due)
            self._push(message)

    def cancel(self, message: Message) -> None:
        """Forget a message that is not in flight."""
        self._meter.add(message.agent, {"cancelled": 1})
        self._logbook.log(message, "CANCELLED")
        self._mark(message, "FAIL")
        self._done(message)

    def _bury(self, message: Message, answer: Answer) -> None:
        now = self._clock.now()
        number = self._store.number("dead-letters")
        letter = DeadLetter(id=f"{now}-{number}", number=number, message=message, answer=answer, failed_at=now)
        self._store.dead_letters.put(letter.id, letter)
        self._meter.add(message.agent, {"dead": 1})
        self._logbook.log(message, "FAILED", answer=answer)
        self._mark(message, "FAIL")
        failure_callback = message.options.failure_callback
        if failure_callback is not None:
            headers = message.options.failure_callback_headers
            self._call_back(message, answer, failure_callback, headers, letter.id)
        self._done(message)

    def _done(self, message: Message) -> None:
        self._store.messages.drop(message.id)
        self._queues.release(message)
        if message.queue is not None:
            self._fill(message.queue)

    def _mark(self, message: Message, state: str) -> None:
        schedule = None if message.schedule is None else self._store.schedules.get(message.schedule)
        if schedule is not None and message.id in schedule.states:
            schedule.states[message.id] = state
            self._store.schedules.put(schedule.id, schedule)

    def _call_back(
        self, message: Message, answer: Answer, url: str, headers: dict[str, str], dead_letter: str | None
    ) -> None:
        options = callback_options(headers, message.options)
        options.headers.insert(0, ("Content-Type", "application/json"))
        now, number = self._clock.now(), self._store.number("messages")
        call = Message(
            id=self._logbook.new_id(),
            number=number,
            url=url,
            body=msgspec.json.encode(_callback_body(message, answer, dead_letter)),
            options=options,
            created_at=now,
            due=now + options.delay,
            # It shares the place of its message: "Next message will wait for callbacks ... to finish" (Queues).
            queue=message.queue,
            slot=message.slot,
            caller=message.caller,
            agent=message.agent,
        )
        self._queues.hold(call)
        self._meter.add(message.agent, {"callbacks": 1})
        self._accept(call)


def back_off(retried: int) -> int:
    """The documented delay before the next attempt, in milliseconds: 12 s, 2 min 28 s, 30 min 8 s, ... a day.

    Args:
        retried: How many retries there were.
    """
    # "delay = min(86400, e ** (2.5*n))" seconds, n = how many times it has been retried (page Retry), from 1.
    return min(DAY, int(math.exp(min(2.5 * (retried + 1), 12))) * 1000)


def wait_of(answer: Answer) -> int | None:
    """Milliseconds that the destination asked to wait, by the first header that says so. None: none does.

    Seconds, a date, or a duration as in `6m5s`. More than a day is not heeded (page Retry).
    """
    for name in _WAIT_HEADERS:
        value = answer.header(name)
        wait = None if value is None else _wait(value.strip())
        if wait is not None and wait <= DAY:
            return max(0, wait)
    return None


def _wait(value: str) -> int | None:
    if re.fullmatch(r"\d{1,12}(?:\.\d{1,9})?", value):
        return round(float(value) * 1000)
    if _DURATION.match(value) and len(value) < 100:
        return round(sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(value)))
    try:
        # The destination dated it by the machine's clock, whatever the movable one says.
        return round((parsedate_to_datetime(value).timestamp() - time.time()) * 1000)
    except (TypeError, ValueError, OverflowError):
        return None


def _delay(message: Message, answer: Answer) -> int:
    wait = wait_of(answer)
    if wait is not None:
        return wait
    expression = message.options.retry_delay
    return back_off(message.retried) if expression is None else evaluate(expression, message.retried)


def _non_retryable(answer: Answer) -> bool:
    return answer.status == NON_RETRYABLE and (answer.header("upstash-nonretryable-error") or "").lower() == "true"


def _callback_body(message: Message, answer: Answer, dead_letter: str | None) -> dict[str, object]:
    """What a callback says, field by field as the page Callbacks documents it."""
    body: dict[str, object] = {
        "status": answer.status,
        "header": header_lists(answer.headers),
        "body": base64.b64encode(answer.body).decode(),
        "retried": message.retried,
        "maxRetries": message.options.retries,
        "sourceMessageId": message.id,
        "url": message.url,
        "method": message.options.method,
        "sourceHeader": header_lists(message.options.headers),
        "sourceBody": base64.b64encode(message.body).decode(),
        "notBefore": str(message.due),
        "createdAt": str(message.created_at),
        "callerIP": message.caller,
    }
    more = {
        "dlqId": dead_letter,
        "topicName": message.topic,
        "endpointName": message.endpoint,
        "scheduleId": message.schedule,
    }
    return body | {name: value for name, value in more.items() if value is not None}
