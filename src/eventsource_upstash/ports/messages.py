"""The contract of messages: what is sent to a URL or to a job of the app, once and at some time, or by the clock."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple, Protocol, runtime_checkable

import msgspec

from ..domain.events import Receipt
from ..domain.telling import without_header_values

NO_HEADERS: Final[Mapping[str, str]] = MappingProxyType({})

ID_HEADER: Final = "eventsource-message-id"
"""The header that a message's id travels in: the same however often it is sent, so that a receiver can tell repeats."""

URLS: Final = ""
"""Stands for all URLs, where the paths of jobs are told that somebody delivers to."""


class Message(msgspec.Struct, frozen=True):
    """A message on its way to an HTTP endpoint.

    Attributes:
        id: What tells it from any other: letters, digits and `. _ -`, at most 255. Whoever carries it drops a repeat
            as long as it remembers the id.
        destination: A whole URL, or a path that starts with `/`: a job of this app.
        body: What is posted.
        headers: What goes with it, names in lower case.
        not_before_us: When it is due, in microseconds since 1970; 0 for at once.
        retries: How often a delivery that failed is tried again; None for the carrier's own measure, which is 3.
        method: How it is sent.
    """

    id: str
    destination: str
    body: bytes = b""
    headers: Mapping[str, str] = NO_HEADERS
    not_before_us: int = 0
    retries: int | None = None
    method: str = "POST"

    def __repr__(self) -> str:
        return without_header_values(self)


class Messages(Protocol):
    """Carries messages. At least once, in no order."""

    async def publish(self, messages: Sequence[Message]) -> Receipt:
        """Take messages over, all of them: from then on it is the carrier's work that they arrive.

        A message whose id the carrier remembers is taken, and not sent again. How long it remembers is the carrier's.

        Raises:
            Unavailable: None was taken.
            OutcomeUnknown: Some may have been. Publishing all of them again is safe while their ids are remembered.
            Refused: One of them is not taken, whatever is tried: token, quota, destination, size. Others may have been.
        """
        ...


class Schedule(msgspec.Struct, frozen=True):
    """A message that is sent by the clock.

    Attributes:
        id: Its name: letters, digits and `. _ -`.
        cron: When: minute, hour, day, month, weekday; it may begin with a time zone, `CRON_TZ=Europe/Berlin 0 8 * * *`.
        destination: A whole URL, or a path that starts with `/`: a job of this app.
        body: What is posted.
        headers: What goes with it, names in lower case.
        retries: How often a delivery that failed is tried again; None for the carrier's own measure.
        method: How it is sent.
        paused: Whether it rests.
    """

    id: str
    cron: str
    destination: str
    body: bytes = b""
    headers: Mapping[str, str] = NO_HEADERS
    retries: int | None = None
    method: str = "POST"
    paused: bool = False

    def __repr__(self) -> str:
        return without_header_values(self)


class Timetable(Protocol):
    """Schedules that are kept somewhere that looks at the clock. Raises as `Messages.publish`."""

    async def put(self, schedule: Schedule) -> Receipt:
        """Create the schedule of that id, or replace it."""
        ...

    async def get(self, id: str) -> Schedule | None:
        """The schedule of that id."""
        ...

    async def all(self) -> list[Schedule]:
        """Every schedule, in order of ids."""
        ...

    async def delete(self, id: str) -> None:
        """Take a schedule away; done already if there is none."""
        ...

    async def pause(self, id: str, *, paused: bool) -> bool:
        """Let a schedule rest, or go on. False: there is none."""
        ...


class Claimed(NamedTuple):
    """A message that is to be delivered now, by whoever claimed it.

    Attributes:
        message: The message.
        attempt: Which attempt this is, from 1.
        schedule_id: The schedule that it came from, or None.
        lease_us: Until when nobody else is handed it, in microseconds since 1970: also what names this claim.
    """

    message: Message
    attempt: int
    schedule_id: str | None
    lease_us: int


class Left(NamedTuple):
    """Messages that are due, and not delivered by whoever has no job for them.

    Attributes:
        path: The path of that job.
        messages: How many there are.
        since_us: Since when the first of them is due, in microseconds since 1970.
    """

    path: str
    messages: int
    since_us: int


class Buried(NamedTuple):
    """A message that is not tried any more: its retries are used up, or no retry could help.

    Attributes:
        message: The message.
        attempts: How often it was tried; 0 where the carrier does not say.
        error: What went wrong last, in a line.
        buried_us: When it was given up, in microseconds since 1970.
        schedule_id: The schedule that it came from, or None.
    """

    message: Message
    attempts: int
    error: str
    buried_us: int
    schedule_id: str | None = None


@runtime_checkable
class DeadLetters(Protocol):
    """What a carrier of messages may have besides: those that it gave up. Raises as `Messages.publish`."""

    async def buried(self, limit: int) -> list[Buried]:
        """The messages that were given up, newest first."""
        ...

    async def revive(self, id: str) -> bool:
        """Let one be tried again, from its first attempt. False: there is none of that id."""
        ...


class Mailbox(Protocol):
    """Where messages wait that nobody outside delivers: the app itself does, in process.

    Ids of messages that are done are remembered for at least a day; those that are buried are kept for at least thirty.
    """

    async def put(self, messages: Sequence[Message], now_us: int) -> None:
        """Keep messages, in one step; those whose id is known are passed over."""
        ...

    async def claim(self, now_us: int, limit: int, places: Mapping[str, int]) -> list[Claimed]:
        """The messages that are due and that nobody holds, held from now on.

        Those first that were due first; one whose lease ended is due from then. Each claim is an attempt.

        In the same step each schedule that is due becomes a message, with the id `{schedule}-{moment it was due}`: one,
        however many moments have passed, and its next moment is set after now. A schedule whose next moment cannot be
        told on this machine is left to those who can tell it.

        Args:
            now_us: Now, in microseconds since 1970.
            limit: At most how many.
            places: Where the caller delivers to, paths of jobs and `URLS`, and for each until when nobody else is
                handed what goes there. What goes elsewhere is not handed out.

        Raises:
            Misuse: A schedule is due whose next moment cannot be told here, and there was no message to hand out.
        """
        ...

    async def done(self, claimed: Claimed, now_us: int) -> bool:
        """It was delivered, and is done for everybody: also where the lease was lost meanwhile.

        False: it was lost, and somebody else may deliver it too, or has done so.
        """
        ...

    async def again(self, claimed: Claimed, at_us: int, error: str) -> bool:
        """It was not delivered, and is due again at that time. False: the lease was lost, and nothing changes."""
        ...

    async def bury(self, claimed: Claimed, now_us: int, error: str) -> bool:
        """It was not delivered, and is not tried any more. False as for `again`."""
        ...

    async def next_due(self, places: Collection[str]) -> int | None:
        """When the next message to one of these places is due, or the next schedule, in microseconds since 1970.

        Held ones when their lease ends.
        """
        ...

    async def left(self, now_us: int, places: Collection[str]) -> list[Left]:
        """What is due and held by nobody, for jobs that are none of these places, in order of paths."""
        ...

    async def buried(self, limit: int) -> list[Buried]:
        """The messages that were given up, newest first."""
        ...

    async def revive(self, id: str, now_us: int) -> bool:
        """Let a buried message be tried again, from its first attempt. False: there is none of that id."""
        ...

    async def save(self, schedule: Schedule, now_us: int) -> None:
        """Create or replace a schedule: it is due at its next moment after now.

        One that has the same cron as before keeps its moment, if that is not later. One that is replaced rests, or does
        not, as it did before.
        """
        ...

    async def rest(self, id: str, now_us: int, *, paused: bool) -> bool:
        """Let a schedule rest, or go on; nothing happens to one that does so already. False: there is none.

        One that goes on is due at its next moment from now, not at those that it has rested through.
        """
        ...

    async def schedules(self) -> list[Schedule]:
        """Every schedule, in order of ids."""
        ...

    async def remove(self, id: str) -> None:
        """Take a schedule away."""
        ...
