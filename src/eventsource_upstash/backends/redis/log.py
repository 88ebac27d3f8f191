"""The log in Redis: one stream entry for each append, in the log's key and in its stream's own."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, cast

import msgspec

from ...domain.events import ANY, EXISTS, MAX_POSITION, Appended, Receipt, StoredEvent
from ...errors import EventSourceError, LogRewound, OutcomeUnknown, Refused, TooLarge
from ...ports import MAX_PAGE_BYTES, MAX_PAGE_EVENTS, Append, Conflict, KeyReused, Page, StreamPage
from ..rules import bounded
from .entries import STREAM_FIELDS, arguments_of, identity_of, optional, read_log, read_stream
from .keys import Keys
from .lua import script
from .replies import kind_of
from .transport import Script, Transport

APPEND: Final = script("append")
READ: Final = script("read", "page", reads=True)
STREAM: Final = script("stream", reads=True)
SETTLE: Final = script("settle")

ROLL_AT: Final = 16 * 1024 * 1024
"""Bytes at which a key of the log, or of a stream, is put away and a new one begun: far below the service's limit of
100 MB, and what a script may have to hold at once."""

LOST_AFTER_US: Final = 60_000_000
"""After so many microseconds an outstanding notification counts as lost. Clocks that differ by more cost messages."""

MAX_EVENTS: Final = 3_000
"""Most events in one append: what a call inside a script takes at once is limited by the engine's stack."""

SMALLEST_PAGE: Final = 64 * 1024
"""Bytes that a page is asked for at least."""

_KNOWN_STREAMS: Final = 10_000

_RECORD: Final = re.compile(r"([0-9a-f]*/[0-9]+-[0-9]+) ([0-9]{1,19}) ([0-9]{1,19}) (.+)")
"""An idempotency record. No stream's name holds a line break."""


class Archives:
    """How many archives the log and its streams were last seen to have, so that a script can be handed the next one.

    A wrong guess costs one more request: the script answers what it needed.

    Attributes:
        log: Archives of the log, for the next append.
        reading: The archive that was last read from.
        page_bytes: Most bytes of payload to ask for at once.
    """

    def __init__(self) -> None:
        self.log = 0
        self.reading = 0
        self.page_bytes: int = MAX_PAGE_BYTES
        self._streams: dict[str, int] = {}

    def of(self, stream: str) -> int:
        """Archives of a stream."""
        return self._streams.get(stream, 0)

    def shrink(self, page_bytes: int) -> bool:
        """Ask for smaller pages from now on, since the server gave none of that size. False: it is small already.

        How large a reply is for the service, with everything that it escapes, is for the service to say.
        """
        if page_bytes <= SMALLEST_PAGE:
            return False
        self.page_bytes = min(self.page_bytes, max(SMALLEST_PAGE, page_bytes // 2))
        return True

    def learn(self, stream: str, count: int) -> None:
        """Note how many a stream has. Only those that have any are kept, and not endlessly many of them."""
        if len(self._streams) >= _KNOWN_STREAMS:
            self._streams.clear()
        self._streams[stream] = count


class RedisLog:
    """Events in Redis streams. Positions are counted from 1 without gaps.

    Args:
        transport: Carries the scripts.
        keys: The namespace's keys.
        archives: What is known of the log's keys; shared by all who read it.
        roll_at: Bytes at which a key is put away.
        lost_after_us: When an outstanding notification counts as lost, in microseconds.
    """

    def __init__(
        self, transport: Transport, keys: Keys, archives: Archives, *, roll_at: int, lost_after_us: int
    ) -> None:
        self.transport = transport
        self.keys = keys
        self.archives = archives
        self._roll_at = roll_at
        self._lost_after_us = lost_after_us

    @property
    def where(self) -> str:
        """What messages call it."""
        return f"namespace {self.keys.namespace!r}"

    async def append(self, append: Append) -> Appended | Conflict | KeyReused:
        """See `Log.append`.

        Cost: 1 request; 6 commands, 7 with an idempotency key. Once in 16 MiB one request and up to 3 commands more.
        Without a key and an expected revision, 1 command more where the stream's last event is younger than this one.
        Several events that begin a log cost 1 command more.
        """
        if len(append.events) > MAX_EVENTS:
            raise TooLarge(
                what=f"the append to stream {append.stream!r}",
                size=len(append.events),
                limit=MAX_EVENTS,
                unit="events",
            )
        expected = append.expected
        events = arguments_of(append)
        metadata, tags = optional(append.metadata), optional(append.tags)
        size = sum([len(word.encode()) for word in events]) + len(metadata) + len(tags) + len(append.stream) + 100
        before = ""
        after = ""
        if append.key is not None:
            before = f"{append.digest.hex()}/{identity_of(append)} "
            after = f" {append.stream}"
        receipt = Receipt()
        tried = "0"
        while True:
            # Looked at once, since other threads learn as well: the archives named are the ones that are meant.
            log_archives, stream_archives = self.archives.log, self.archives.of(append.stream)
            keys = [
                self.keys.head,
                self.keys.notice,
                self.keys.log,
                self.keys.stream(append.stream),
                self.keys.log_archive(log_archives),
                self.keys.stream_archive(append.stream, stream_archives),
            ]
            if append.key is not None:
                keys.append(self.keys.once(append.key))
            arguments = [
                len(append.events),
                "*" if expected is ANY else "+" if expected is EXISTS else expected,
                identity_of(append),
                tried,
                append.recorded_us if append.notifies else "",
                self._lost_after_us,
                log_archives,
                stream_archives,
                size,
                self._roll_at,
                append.stream,
                metadata,
                tags,
                before,
                after,
                *events,
            ]
            again = None if tried == "2" else [*arguments[:3], "1", *arguments[4:]]
            try:
                answer, cost = await run(self.transport, APPEND, keys, arguments, again=again)
            except TooLarge as error:
                raise TooLarge(
                    what=f"the append of {len(append.events)} event(s) to stream {append.stream!r}",
                    size=error.size,
                    limit=error.limit,
                ) from error
            receipt += cost
            if answer[0] == "again":
                self.archives.log = int(cast("str", answer[2]))
                self.archives.learn(append.stream, int(cast("str", answer[3])))
                if receipt.retries:  # an attempt that got no answer may still be on its way
                    tried = "1"
            elif answer[0] == "unknown" and self.transport.sends_twice and not receipt.retries:
                tried = "2"  # nothing failed, as far as is known: that a client may send twice is no reason to refuse
            else:
                return await self._appended(append, answer, receipt)

    async def _appended(
        self, append: Append, answer: Sequence[object], receipt: Receipt
    ) -> Appended | Conflict | KeyReused:
        status = answer[0]
        if status in ("ok", "repeated"):
            position, revision, owes = cast("Sequence[str]", answer[2:])
            # What is found after an attempt of this very call got no answer is what this call has written.
            repeated = status == "repeated" and not receipt.retries
            return Appended(int(position), int(revision), receipt, repeated, owes == "1")
        if status == "known":
            record, raised = cast("Sequence[str]", answer[2:])
            written, stream, known = self._known(cast("str", append.key), record, receipt)
            digest, _, identity = written.partition("/")
            if digest != append.digest.hex() or stream != append.stream:
                return KeyReused(receipt)
            return msgspec.structs.replace(
                known,
                repeated=not (receipt.retries and identity == identity_of(append)),
                owes_notification=append.notifies and raised == str(known.position),
            )
        if status == "conflict":
            return await self._conflict(append, answer, receipt)
        raise self._trouble(append, answer)

    async def _conflict(self, append: Append, answer: Sequence[object], receipt: Receipt) -> Appended | Conflict:
        expected = append.expected
        actual, entries, raised = int(cast("str", answer[2])), cast("Sequence[object]", answer[3]), answer[4]
        if not isinstance(expected, int) or expected >= actual:
            return Conflict(actual, [], complete=True, receipt=receipt)
        if _begins_after(entries, expected):
            # The first ones are in an archive of the stream; this very append may be among them, from an attempt
            # whose answer was lost.
            page = await self.read_stream(append.stream, expected, MAX_PAGE_EVENTS, MAX_PAGE_BYTES)
            receipt += page.receipt
            written, cost = await self._written(append, expected, page.events)
            receipt += cost
            if written is not None:
                owes = append.notifies and raised == str(written[0])
                return Appended(written[0], written[2], receipt, not receipt.retries, owes)
            missed = page.events
            # A page ends with the key that it is read from: what was missed may go on in the next one.
            while (
                page.events
                and missed[-1][2] < actual
                and len(missed) < MAX_PAGE_EVENTS
                and _size(missed) < MAX_PAGE_BYTES
            ):
                limit = MAX_PAGE_EVENTS - len(missed)
                page = await self.read_stream(append.stream, missed[-1][2], limit, MAX_PAGE_BYTES)
                receipt += page.receipt
                missed = [*missed, *page.events]
            missed = bounded(missed[: actual - expected], MAX_PAGE_BYTES)
        else:
            missed = bounded(
                read_stream(entries, append.stream, expected, self.where)[:MAX_PAGE_EVENTS], MAX_PAGE_BYTES
            )
        return Conflict(actual, missed, complete=len(missed) == actual - expected, receipt=receipt)

    async def _written(
        self, append: Append, expected: int, page: Sequence[StoredEvent]
    ) -> tuple[StoredEvent | None, Receipt]:
        """The last event of this append, if what follows the expected revision is this append."""
        count = len(append.events)
        receipt = Receipt()
        if not page or page[0][3:5] != (append.recorded_us, append.number):
            return None, receipt
        if len(page) < count:
            rest = await self.read_stream(append.stream, expected + count - 1, 1, 1)
            receipt, page = rest.receipt, rest.events
            last = page[0] if page else None
        else:
            last = page[count - 1]
        if last is None or last[3:5] != (append.recorded_us, append.number + count - 1):
            return None, receipt
        return last, receipt

    def _trouble(self, append: Append, answer: Sequence[object]) -> EventSourceError:
        if answer[0] == "unknown":
            return OutcomeUnknown(
                f"{self.where}: the answer to an append to stream {append.stream!r} was lost, and so much was appended "
                "to the stream since that it cannot be told any more whether it took effect. Append with an "
                "idempotency_key or an expected revision, and the same call again is safe"
            )
        if answer[0] == "rewound":
            return LogRewound(projection=None, checkpoint=int(cast("str", answer[3])), head=int(cast("str", answer[2])))
        reason = str(answer[2])
        kind = kind_of(reason)
        remedy = kind.remedy if kind else "If the namespace is used by something else, choose another one"
        return Refused(
            f"{self.where}: the append to stream {append.stream!r} was refused: {reason[:300]!r}; nothing was written. "
            f"{remedy}"
        )

    async def recall(self, stream: str, key: str) -> Appended | KeyReused | Receipt:
        """See `Log.recall`. Cost: 1 request, 1 command."""
        record, receipt = await self.transport.command("GET", self.keys.once(key))
        if not isinstance(record, str):
            return receipt
        _, used_for, known = self._known(key, record, receipt)
        return known if used_for == stream else KeyReused(receipt)

    def _known(self, key: str, record: str, receipt: Receipt) -> tuple[str, str, Appended]:
        """What an idempotency record says: digest and identity, stream, answer. Raises `Refused` for what is none."""
        match = _RECORD.fullmatch(record)
        if match is None:
            raise foreign(self.where, self.keys.once(key))
        return match[1], match[4], Appended(int(match[2]), int(match[3]), receipt, repeated=True)

    async def read(self, after: int, limit: int, max_bytes: int) -> Page:
        """See `Log.read`. Cost: 1 request, 3 commands; in an archive of the log another request and 2 commands."""
        receipt = Receipt()
        while True:
            archive = self.archives.reading  # looked at once: other threads read elsewhere
            keys = [self.keys.head, self.keys.log, self.keys.log_archive(archive)]
            size = min(max_bytes, self.archives.page_bytes)
            try:
                answer, cost = await run(self.transport, READ, keys, [after, limit, size, archive])
            except TooLarge:
                if self.archives.shrink(size):
                    continue
                raise
            receipt += cost
            _, _, head, entries, wanted = answer
            if not wanted:
                break
            self.archives.reading = int(cast("str", wanted))
        return Page(
            self.page(entries, after, int(cast("str", head)), limit, max_bytes), int(cast("str", head)), receipt
        )

    def page(self, entries: object, after: int, head: int, limit: int, max_bytes: int) -> list[StoredEvent]:
        """The events of a page that a script answered."""
        if after >= head:
            return []
        return bounded(read_log(entries, after, self.where)[:limit], max_bytes)

    async def read_stream(self, stream: str, after_revision: int, limit: int, max_bytes: int) -> StreamPage:
        """See `Log.read_stream`. Cost: 1 request, 3 commands; in an archive of it another request and 2 commands."""
        receipt = Receipt()
        archive = 0
        while True:
            keys = [self.keys.stream(stream), self.keys.stream_archive(stream, archive)]
            size = min(max_bytes, self.archives.page_bytes)
            try:
                answer, cost = await run(self.transport, STREAM, keys, [after_revision, limit, size, archive])
            except TooLarge:
                if self.archives.shrink(size):
                    continue
                raise
            receipt += cost
            _, _, answered, entries, wanted = answer
            if not wanted:
                break
            archive = int(cast("str", wanted))
        revision = int(cast("str", answered))
        if after_revision >= revision:
            return StreamPage([], revision, receipt)
        events = read_stream(entries, stream, after_revision, self.where)[:limit]
        return StreamPage(bounded(events, max_bytes), revision, receipt)

    async def head(self) -> tuple[int, Receipt]:
        """See `Log.head`. Cost: 1 request, 2 commands.

        Asked of the primary: whoever is ahead of a copy that lags behind would take the log for rewound.
        """
        keys = [self.keys.head, self.keys.log, self.keys.log_archive(0)]
        answer, receipt = await run(self.transport, READ, keys, [MAX_POSITION, 1, 1, 0])
        return int(cast("str", answer[2])), receipt

    def position_of(self, record: object) -> int:
        """The position in a head record. Raises `Refused` for what is none."""
        if record is None:
            return 0
        words = str(record).split(" ")
        if len(words) != 4 or words[0] != "1" or not words[1].isdecimal():
            raise foreign(self.where, self.keys.head)
        return int(words[1])

    async def settle(self, position: int) -> tuple[int, Receipt]:
        """See `Log.settle`. Cost: 1 request, at most 3 commands."""
        answer, receipt = await run(self.transport, SETTLE, [self.keys.head, self.keys.notice], [position, ""])
        return int(cast("str", answer[2])), receipt

    async def withdraw(self, position: int, raised_us: int) -> Receipt:
        """See `Log.withdraw`. Cost: 1 request, at most 3 commands."""
        keys = [self.keys.head, self.keys.notice]
        return (await run(self.transport, SETTLE, keys, [position, raised_us]))[1]


def _size(events: Sequence[StoredEvent]) -> int:
    return sum([len(row[9]) for row in events])


def _begins_after(entries: Sequence[object], expected: int) -> bool:
    """Whether entries of a stream leave out the event after a revision, because it is in an archive."""
    if not entries:
        return True
    id_, fields = cast("tuple[str, Sequence[str]]", entries[0])
    return int(id_.partition("-")[0]) - (len(fields) - STREAM_FIELDS) // 2 > expected


async def run(
    transport: Transport,
    script: Script,
    keys: Sequence[str],
    arguments: Sequence[str | int],
    again: Sequence[str | int] | None = None,
) -> tuple[Sequence[object], Receipt]:
    """Run a script of ours, with the commands that it counted in its receipt.

    Raises:
        Refused: What stands at the head's key is not this library's. Else what the transport raises.
    """
    result, receipt = await transport.script(script, keys, arguments, again=again)
    answer = cast("Sequence[object]", result)
    # The EVAL itself is in both counts.
    receipt += Receipt(commands=cast("int", answer[1]) - 1)
    if answer[0] == "foreign":
        raise foreign("the database", keys[0])
    return answer, receipt


def foreign(where: str, key: str) -> Refused:
    """The error for a namespace that something else uses."""
    return Refused(
        f"{where}: the key {key!r} holds what this library did not write, or what a later version of it wrote. Choose "
        "another namespace, or upgrade"
    )
