"""The log in Redis: one stream entry for each append, in the log's key and in its stream's own."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, cast

import msgspec

from ...domain.events import Appended, Receipt, StoredEvent
from ...errors import CorruptLog, EventSourceError, LogRewound, OutcomeUnknown, Refused, TooLarge
from ...ports import (
    MAX_PAGE_BYTES,
    MAX_PAGE_EVENTS,
    Append,
    Conflict,
    KeyReused,
    Snapshot,
    Unmet,
)
from ..rules import bounded
from .answered import Turns, checked
from .archives import Archives
from .entries import (
    STREAM_FIELDS,
    identity_of,
    read_stream,
    snapshot_record,
)
from .keys import Keys
from .lua import script
from .reading import ReadLog, foreign, run
from .replies import kind_of
from .transport import Transport
from .writing import Writing

APPEND: Final = script("append", "marks")
KEEP: Final = script("keep")
SETTLE: Final = script("settle")

ROLL_AT: Final = 16 * 1024 * 1024
"""Bytes at which a key of the log, or of a stream, is put away and a new one begun: far below the service's limit of
100 MB, and what a script may have to hold at once."""

LOST_AFTER_US: Final = 60_000_000
"""After so many microseconds an outstanding notification counts as lost. Clocks that differ by more cost messages."""

MANY: Final = 100
"""Most appends in one request."""

MANY_BYTES: Final = 1024 * 1024
"""Bytes of payload that are enough for one request of several appends."""

LOOK_BACK: Final = 200
"""Events of a stream's archives among which an append looks for itself, at most."""

_RECORD: Final = re.compile(r"([0-9a-f]*/[0-9]+-[0-9]+) ([0-9]{1,19}) ([0-9]{1,19}) (.+)")
"""An idempotency record. No stream's name holds a line break."""


@checked("append", "append_many", "keep", "settle", "withdraw")
class RedisLog(ReadLog):
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
        super().__init__(transport, keys, archives)
        self._roll_at = roll_at
        self._lost_after_us = lost_after_us

    async def append(self, append: Append) -> Appended | Conflict | KeyReused | Unmet:
        """See `Log.append`.

        Cost: 1 request; 6 commands, whatever is written with the events: idempotency key, tags, snapshot; 1 more for
        each further 1,000 of types and tags, counted by event. Once in 16 MiB one request and up to 4 commands more.
        Without a key and an expected revision, 1 command more where an event of the stream is younger than this one.
        Several events that begin a log cost 1 command more, and so does a snapshot that does.

        A condition costs 1 command for each item of its query, and as many as the item has types where it has no tags;
        where something is found under the first tag, and the item asks for more than that, 1 command more, and another
        one for each 500 events found. All that again for each archive of the log that its position reaches back to,
        and one more request where it reaches back to one that is not known yet.
        """
        writing = Writing(append, self.keys, roll_at=self._roll_at, lost_after_us=self._lost_after_us)
        receipt = Receipt()
        tried = "0"
        turns = Turns()
        while True:
            turns.another()
            keys, arguments = writing.call(self.archives, tried)
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
                self.archives.learn_cuts(cast("str", answer[4]))
                if receipt.retries:  # an attempt that got no answer may still be on its way
                    tried = "1"
            elif answer[0] == "unknown" and self.transport.sends_twice and not receipt.retries:
                tried = "2"  # nothing failed, as far as is known: that a client may send twice is no reason to refuse
            else:
                return await self._appended(append, answer, receipt)

    async def append_many(self, appends: Sequence[Append]) -> list[Appended | Conflict | KeyReused | Unmet]:
        """See `AppendsMany.append_many`.

        The first as `append` does it; those after it in one more request, as many as it can hold, each on the condition
        that the log ends where the one before has left it, so that none is written after one that was not.

        Cost: 2 requests; each append as many commands as by itself, but that its condition costs nothing.
        """
        first = await self.append(appends[0])
        if len(appends) == 1 or not isinstance(first, Appended) or not self.transport.pipelines:
            return [first]
        calls: list[tuple[list[str], list[str | int]]] = []
        head, size = first.position, 0
        for append in appends[1 : MANY + 1]:
            writing = Writing(append, self.keys, roll_at=self._roll_at, lost_after_us=self._lost_after_us)
            size += writing.size
            if size > MANY_BYTES:
                break
            calls.append(writing.call(self.archives, "0", head))
            head += len(append.events)
        answers: list[Appended | Conflict | KeyReused | Unmet] = [first]
        if not calls:
            return answers
        results, receipt = await self.transport.scripts(APPEND, calls)
        for append, result in zip(appends[1:], results, strict=False):
            answer = cast("Sequence[object]", result)
            if not isinstance(result, list) or answer[0] not in ("ok", "repeated"):
                break  # nothing after it was written either: whoever goes on begins with this one, by itself
            receipt += Receipt(commands=cast("int", answer[1]) - 1)
            answers.append(await self._appended(append, answer, Receipt()))
        return [*answers[:-1], msgspec.structs.replace(answers[-1], receipt=answers[-1].receipt + receipt)]

    async def _appended(
        self, append: Append, answer: Sequence[object], receipt: Receipt
    ) -> Appended | Conflict | KeyReused | Unmet:
        status = answer[0]
        if status in ("ok", "repeated"):
            position, revision, owes, cuts, archives = cast("Sequence[str]", answer[2:])
            if cuts:
                self.archives.learn_cuts(cuts)
                self.archives.log = len(self.archives.cuts)
            if archives:
                self.archives.learn(append.stream, int(archives))
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
        if status == "unmet":
            return await self._unmet(append, int(cast("str", answer[2])), int(cast("str", answer[3])), receipt)
        raise self._trouble(append, answer)

    async def _unmet(self, append: Append, position: int, unseen: int, receipt: Receipt) -> Appended | Unmet:
        """Unless this very append is in the archives of its stream, whose present key has been looked through."""
        after = max(0, unseen - LOOK_BACK)
        while after < unseen:
            page = await self.read_stream(append.stream, after, unseen - after, MAX_PAGE_BYTES)
            receipt += page.receipt
            for row in page.events:
                if row[3:5] == (append.recorded_us, append.number):
                    more = len(append.events) - 1
                    return Appended(row[0] + more, row[2] + more, receipt, repeated=not receipt.retries)
            after = page.events[-1][2]
        return Unmet(position, receipt)

    async def _conflict(self, append: Append, answer: Sequence[object], receipt: Receipt) -> Appended | Conflict:
        expected = append.expected
        actual, entries, raised = int(cast("str", answer[2])), cast("Sequence[object]", answer[3]), answer[4]
        if not isinstance(expected, int) or expected >= actual:
            if receipt.retries:
                # An attempt that got no answer may be late only: it is written when the stream has come so far.
                raise OutcomeUnknown(
                    f"{self.where}: the stream {append.stream!r} is at revision {actual}, which is before what the "
                    "append expects; but an attempt of this append got no answer, and if it is still on its way, it is "
                    "written should the stream have come so far by then. The same call with the same idempotency key "
                    "is safe"
                )
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
        if answer[0] == "torn":
            return CorruptLog(
                f"{self.where}: stream {append.stream!r} holds an event of revision {answer[3]}, but by its record it "
                f"ends with {answer[2]}; nothing was written. Was something lost in a fail-over, deleted or "
                "evicted? Restore a backup, and switch eviction off"
            )
        if answer[0] == "occupied":
            names = [self.keys.head, self.keys.revision(append.stream), self.keys.notice]
            names += [] if append.key is None else [self.keys.once(append.key)]
            return Refused(
                f"{self.where}: the log is empty, but one of the keys {', '.join(map(repr, names))} holds something; "
                "nothing was written. Choose another namespace"
            )
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

    async def keep(self, stream: str, snapshot: Snapshot) -> Receipt:
        """See `Log.keep`. Cost: 1 request, at most 3 commands."""
        keys = [self.keys.revision(stream), self.keys.snapshot(stream, snapshot.name)]
        return (await run(self.transport, KEEP, keys, [snapshot.revision, snapshot_record(snapshot)]))[1]

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
