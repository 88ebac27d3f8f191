"""The event-loop face of messages. Its twin is `blocking.messages`."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from .._flow.wiring import once
from .._flow.working import Jobs
from .._io.event_loop import PORT, apart

if TYPE_CHECKING:
    from .._flow.delivering import Delivered
    from .._flow.messaging import Messaging
    from .._flow.sending import Sent
    from ..ports import Backend, Buried, NoticeTransport


class AsyncMessages:
    """Sends messages to URLs and to the app's jobs: at once, after a delay, or at a time.

    Where notifications go through QStash, messages do as well. Elsewhere they wait beside the log (in memory, or in
    the SQLite file), and the app delivers them itself: a worker by itself, or whoever calls `deliver_due`.

    Args:
        backend: Where they wait, if nobody outside carries them.
        transport: What may carry them: `QStash(...)`.
        jobs: The jobs of this process, by their paths: `app.jobs`.
        clock: Nanoseconds since 1970 (UTC), as `time.time_ns` tells them.
    """

    def __init__(
        self,
        backend: Backend,
        transport: NoticeTransport | None = None,
        *,
        jobs: Jobs | None = None,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self._backend = backend
        self._transport = transport
        self._jobs = jobs or Jobs(awaits=apart)
        self._clock = clock

    def __repr__(self) -> str:
        return f"AsyncMessages({self._backend!r})"

    async def send(
        self,
        url: str,
        body: object = b"",
        *,
        delay: float | timedelta | None = None,
        not_before: datetime | float | None = None,
        headers: Mapping[str, str] | None = None,
        retries: int | None = None,
        id: str | None = None,
    ) -> Sent:
        """Send a message. When this returns, it is kept where it survives this process; it arrives at least once.

        Args:
            url: A whole URL, or the path of a job of this app: `/workers/report`. The job may be one that only another
                process has.
            body: Bytes, a text, or anything that can be written as JSON: dict, list, dataclass, msgspec.Struct. Up to
                1 MiB.
            delay: How long it waits: seconds, or a timedelta.
            not_before: Not before when: a datetime with a time zone, or seconds since 1970. Not with `delay`.
            headers: What goes with it. Without a `content-type`, a text is `text/plain; charset=utf-8`, bytes are
                `application/octet-stream`, anything else is `application/json`.
            retries: How often a delivery that failed is tried again: 3 times without it, after some 12 seconds, two and
                a half minutes, half an hour; and so on up to a day.
            id: Names the message: letters, digits and `. _ -`. Sent again under the same id, it is taken and not
                delivered again, as long as the carrier remembers the id: a day and more in process, ten minutes on
                QStash. A new one without it.

        Returns:
            Its id, which the receiver finds in the header `Eventsource-Message-Id` and as `Job.id`.

        Raises:
            Misuse: An argument cannot be what it is to be, or nobody carries messages here.
            TooLarge: The body has more than 1 MiB.
            Unavailable: It was not taken; later it may be.
            OutcomeUnknown: It may have been taken; sending it again with the same `id` is safe.
            Refused: Token, quota, destination.

        Cost: one step of the backend, or one message of QStash.
        """
        return await self.flow.sending.send(url, body, delay, not_before, headers, retries, id)

    async def deliver_due(self) -> Delivered:
        """Deliver what is due now, one message after another. A worker does this by itself.

        For tests, and where no process stays up: call it from a cron job. A delivery that fails is no error of this
        call: the message is tried again when it is due again, and among the `dead` after its last retry.

        Returns:
            How many arrived, failed, and wait for a process that has their job; and when the next one is due.

        Raises:
            Misuse: This app does not deliver its messages itself; or a schedule is due, and this process cannot tell
                its next moment: cronsim or its time zone is missing. Messages are delivered all the same.

        Cost: two steps of the backend; three more for each message.
        """
        return await self.flow.deliver_due()

    async def dead(self, limit: int = 100) -> list[Buried]:
        """The messages that were given up, newest first, with what went wrong. They are kept for thirty days.

        On QStash those with the app's namespace as their label, from its dead-letter queue, as long as the plan keeps
        them; `attempts` is 0 there for one that no retry could help.

        Args:
            limit: At most how many.

        Raises:
            Misuse: This app does not deliver its messages itself.

        Cost: one step.
        """
        return await self.flow.dead(limit)

    async def revive(self, id: str) -> bool:
        """Let a message that was given up be tried again: now, and with all its retries.

        Args:
            id: Its id.

        Returns:
            Whether there was one.

        Raises:
            Misuse: This app does not deliver its messages itself.

        Cost: one step.
        """
        return await self.flow.revive(id)

    @property
    def flow(self) -> Messaging:
        """The parts that send and deliver, wired when they are first asked for: most apps have no messages."""
        from .._flow.messaging import Messaging

        return once(self, "_flow", lambda: Messaging(self._backend, self._transport, PORT, self._jobs, self._clock))
