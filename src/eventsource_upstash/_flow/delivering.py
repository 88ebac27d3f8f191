"""Mailbox -> job or URL: the messages of an app that nobody outside carries, delivered by the app itself."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Final, NamedTuple

from .._io.port import HttpRequest, Port, Signal
from ..domain.events import FREE, Receipt, to_datetime
from ..domain.jobs import MAX_AFTER, NON_RETRYABLE, Job, NotRetryable, RetryLater
from ..errors import EventSourceError, Misuse
from ..ports import ID_HEADER, URLS, Claimed, Left, Mailbox, Message
from .working import Jobs

_log: Final = logging.getLogger("eventsource_upstash.messages")

RETRIES: Final = 3
"""How often a delivery that failed is tried again, where the message does not say."""

CRASHES: Final = 5
"""Deliveries that may end with their process, on top of the retries, before a message is given up untried."""

TIMEOUT: Final = 30.0
"""Seconds that a URL has to answer."""

URL_LEASE: Final = 4 * TIMEOUT
"""Seconds for which nobody else is handed a message to a URL that is being delivered."""

MAX_IDLE: Final = 60.0
"""Most seconds between two looks at the mailbox."""

LEFT_US: Final = 60_000_000
"""How long a message waits for a process that has its job before the others log it, and between two looks for such
messages, in microseconds."""

REMIND_US: Final = 600_000_000
"""How long until the others log it again."""

FORSAKEN_US: Final = 7 * 86_400_000_000
"""How long a message waits for a process that has its job before it is given up: a week, in microseconds."""

MAX_ERROR: Final = 300
"""Characters of what went wrong that are kept with a message."""


class Delivered(NamedTuple):
    """What `deliver_due` did.

    Attributes:
        delivered: Messages that arrived.
        failed: Deliveries that failed: they are tried again, or given up.
        buried: Those of them that are not tried any more.
        next_due: When the next message or schedule is due, in UTC; None where there is none.
        left: Messages that are due, for jobs that this process does not have: they wait for one that has them.
    """

    delivered: int
    failed: int
    buried: int
    next_due: datetime | None
    left: int = 0


class Posting:
    """Carries messages within the app: they wait in its mailbox. A `Messages`.

    Args:
        mailbox: Where they wait.
        clock: Nanoseconds since 1970.

    Attributes:
        signal: Set when there is something new to deliver.
    """

    def __init__(self, mailbox: Mailbox, clock: Callable[[], int]) -> None:
        self._mailbox = mailbox
        self._clock = clock
        self.signal: Signal = Signal()

    async def publish(self, messages: Sequence[Message]) -> Receipt:
        """See `Messages.publish`."""
        if messages:
            await self._mailbox.put(messages, self._clock() // 1000)
            self.signal.set()
        return FREE


class _Failed(Exception):
    """Internal: a delivery failed; after how many seconds it is to be tried again, None for the usual; or never."""

    def __init__(self, error: str, after: float | None = None, *, never: bool = False) -> None:
        super().__init__(error)
        self.after = after
        self.never = never


class Delivering:
    """Delivers what is due, one message after another.

    Args:
        mailbox: Where messages wait.
        jobs: The jobs of this process.
        port: What waits.
        clock: Nanoseconds since 1970.
    """

    def __init__(self, mailbox: Mailbox, jobs: Jobs, port: Port, clock: Callable[[], int]) -> None:
        self.mailbox = mailbox
        self._jobs = jobs
        self._port = port
        self._clock = clock
        self._looked_us: int | None = None
        self._told_us: int | None = None

    @property
    def now_us(self) -> int:
        """Now, in microseconds since 1970."""
        return self._clock() // 1000

    async def deliver_due(self, stop: Signal | None = None) -> Delivered:
        """See `Messages.deliver_due`. Ends after the message in hand when `stop` is raised."""
        due_by = self.now_us
        delivered = failed = buried = 0
        untold: Misuse | None = None
        next_us = await self.mailbox.next_due(self._places)
        while next_us is not None and next_us <= due_by and not (stop is not None and stop.raised):
            try:
                # One at a time, so that the lease of each begins when its delivery does.
                claims = await self.mailbox.claim(due_by, 1, self._leases(max(self.now_us, due_by)))
            except Misuse as error:  # what is due is a schedule, and its next moment cannot be told here
                untold = error
                break
            for claimed in claims:
                failure = await self._deliver(claimed)
                if failure is None:
                    delivered += 1
                else:
                    failed += 1
                    buried += failure.never
            next_us = await self.mailbox.next_due(self._places)
        left = forsaken = 0
        if stop is None or (not stop.raised and self._to_look(due_by)):
            left, forsaken = await self._left(due_by)
        if untold is not None:
            raise untold
        return Delivered(delivered, failed, buried + forsaken, None if next_us is None else to_datetime(next_us), left)

    def _leases(self, now_us: int) -> dict[str, int]:
        """For each place until when nobody else is handed what this process delivers there.

        It is not renewed: a handler that takes longer goes on, but somebody else may be handed its message as well; it
        is done when the first of them is through. After a crash amid a delivery, the message waits until then.
        """
        found = {path: now_us + round(seconds * 1_000_000) for path, seconds in self._jobs.leases.items()}
        found[URLS] = now_us + round(URL_LEASE * 1_000_000)
        return found

    @property
    def _places(self) -> tuple[str, ...]:
        """Where this process delivers to. Jobs may be registered at any time."""
        return (URLS, *self._jobs.paths)

    def _to_look(self, now_us: int) -> bool:
        """Whether it is time to look for what nobody delivers, the first time and then each minute. Counts as done."""
        if self._looked_us is not None and 0 <= now_us - self._looked_us < LEFT_US:
            return False
        self._looked_us = now_us
        return True

    async def _left(self, now_us: int) -> tuple[int, int]:
        """How many messages wait for jobs that this process does not have, and how many of them it gave up."""
        left = await self.mailbox.left(now_us, self._places)
        late = [each for each in left if each.since_us <= now_us - LEFT_US]
        if late and (self._told_us is None or not 0 <= now_us - self._told_us < REMIND_US):
            self._told_us = now_us
            _log.error("%s", _told(late, now_us))
        forsaken = 0
        for each in late:
            if each.since_us <= now_us - FORSAKEN_US:
                forsaken += await self._give_up(each.path, now_us)
        return sum(each.messages for each in left) - forsaken, forsaken

    async def _give_up(self, path: str, now_us: int) -> int:
        """Bury what nobody had a job for in a week, so that it does not pile up; answer how many there were."""
        error = f"no process had the job {path} in a week"
        count = 0
        with suppress(Misuse):  # of a schedule whose next moment cannot be told here: `deliver_due` raises it
            while claims := await self.mailbox.claim(now_us - FORSAKEN_US, 100, {path: now_us + 60_000_000}):
                for claimed in claims:
                    count += await self.mailbox.bury(claimed, now_us, error)
        _log.error("%d messages were given up: %s", count, error)
        return count

    async def run(self, port: Port, wake: Signal, stop: Signal, poll_interval: float) -> None:
        """Deliver what is due, again and again, until `stop` is raised.

        Between, it sleeps until the next message is due, or until `wake` is set; and looks every `poll_interval`, for
        what other processes have put there.
        """
        failing = 0
        told: str | None = None
        stop.listen(wake.set, 0)
        while True:
            # Read before the look at `stop` and at the mailbox: what is set from here on ends the sleep below at once.
            seen = wake.count
            if stop.raised:
                return
            pause = min(poll_interval, MAX_IDLE)
            try:
                outcome = await self.deliver_due(stop)
            except Exception as error:  # whatever it is, the deliverer stays: the next try may do
                if not isinstance(error, Misuse):  # that is a schedule's trouble: messages are delivered
                    failing += 1
                    pause = min(MAX_IDLE, poll_interval * 2 ** min(failing, 10))
                if str(error) != told:  # the same trouble once more is not news
                    told = str(error)
                    _log.error("%s", error, exc_info=error.__cause__ or not isinstance(error, EventSourceError))
            else:
                failing = 0
                told = None
                if outcome.next_due is not None:
                    pause = max(0.0, min(pause, outcome.next_due.timestamp() - self.now_us / 1_000_000))
            await port.sleep(pause, wake, seen)

    async def _deliver(self, claimed: Claimed) -> _Failed | None:
        """Deliver a message, and note how that went."""
        message = claimed.message
        retries = RETRIES if message.retries is None else message.retries
        if claimed.attempt > retries + 1 + CRASHES:
            lost = _Failed(f"the process ended during {CRASHES} deliveries of it", never=True)
            await self._note(claimed, lost)
            return lost
        try:
            if message.destination.startswith("/"):
                await self._work(claimed)
            else:
                await self._post(message)
        except _Failed as failure:
            failure.never = failure.never or claimed.attempt > retries
            await self._note(claimed, failure)
            return failure
        except (Exception, GeneratorExit):
            raise
        except BaseException:
            # Interrupted or cancelled: not its fault, and nothing to wait for the lease's end for; unless its handler
            # goes on by itself, which nobody else shall do at the same time.
            if not self._jobs.goes_on(message.destination):
                await self.mailbox.again(claimed, self.now_us + _after(1), "interrupted")
            raise
        if not await self.mailbox.done(claimed, self.now_us):
            _log.warning("message %s took longer than its lease: somebody else may have delivered it too", message.id)
        return None

    async def _note(self, claimed: Claimed, failure: _Failed) -> None:
        """Have a message whose delivery failed tried again, or bury it."""
        message = claimed.message
        error = str(failure)
        if failure.never:
            _log.error("message %s was given up after attempt %d: %s", message.id, claimed.attempt, error)
            await self.mailbox.bury(claimed, self.now_us, error)
            return
        pause_us = _after(claimed.attempt)
        if failure.after is not None:
            pause_us = round(min(failure.after, MAX_AFTER) * 1_000_000)
        _log.warning(
            "message %s was not delivered, attempt %d: %s; again in %.0f s",
            message.id,
            claimed.attempt,
            error,
            pause_us / 1_000_000,
        )
        await self.mailbox.again(claimed, self.now_us + pause_us, error)

    async def _work(self, claimed: Claimed) -> None:
        """Hand a message to the job that its path names. Raises `_Failed`."""
        message = claimed.message
        job = Job(
            message.destination,
            message.id,
            message.body,
            {**message.headers, ID_HEADER: message.id},
            claimed.attempt,
            claimed.schedule_id,
        )
        try:
            await self._jobs.run(self._port, job)
        except NotRetryable as error:
            raise _Failed(_line(error), never=True) from error
        except RetryLater as error:
            raise _Failed(_line(error), error.after) from error
        except Exception as error:
            _log.error("job %s failed with message %s", job.path, job.id, exc_info=error)
            raise _Failed(_line(error)) from error

    async def _post(self, message: Message) -> None:
        """Send a message to its URL. Raises `_Failed`."""
        headers = {"content-type": "application/json", **message.headers, ID_HEADER: message.id}
        request = HttpRequest(message.method, message.destination, headers, message.body, TIMEOUT)
        try:
            answer = await self._port.send(request)
        except Misuse as error:
            raise _Failed(_line(error), never=True) from error
        except Exception as error:  # also what nobody has thought of: the next message shall not wait for it
            if not isinstance(error, EventSourceError):
                _log.error("message %s could not be sent", message.id, exc_info=error)
            raise _Failed(_line(error)) from error
        if 200 <= answer.status < 300:
            return
        never = (
            answer.status == NON_RETRYABLE and answer.headers.get("upstash-nonretryable-error", "").lower() == "true"
        )
        from .._io.retrying import retry_after

        asked = retry_after(answer.headers, lambda: self._clock() / 1e9)
        raise _Failed(f"it was answered with status {answer.status}", asked or None, never=never)


def _told(left: Sequence[Left], now_us: int) -> str:
    """What waits for a process that has the job, in a line."""
    listed = [
        f"{each.messages} for {each.path!r} since {(now_us - each.since_us) // 1_000_000} s" for each in left[:10]
    ]
    if len(left) > len(listed):
        listed.append(f"and for {len(left) - len(listed)} more jobs")
    return (
        f"messages wait for jobs that this process does not have: {', '.join(listed)}. Register their handlers here, "
        f"as in @app.job({left[0].path!r}), or let a process run that has them"
    )


def _after(attempt: int) -> int:
    """Microseconds until the next attempt, as QStash waits: some 12 s, 2.5 min, 30 min, 6 h, a day."""
    return round(min(MAX_AFTER, math.exp(2.5 * attempt)) * 1_000_000)


def _line(error: BaseException) -> str:
    """What went wrong, in a line."""
    try:
        text = str(error)
    except Exception:  # a handler's own exceptions may be broken as well
        text = "(its text cannot be made)"
    return " ".join(f"{type(error).__name__}: {text}".split())[:MAX_ERROR]
