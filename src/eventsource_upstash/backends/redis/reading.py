"""The reading side of the log in Redis: pages of the whole log, of a query, of a stream; and how a script is run."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final, cast

from ...domain.events import MAX_POSITION, Receipt, StoredEvent
from ...errors import OutcomeUnknown, Refused, TooLarge
from ...ports import Page, Query, StreamPage
from ..rules import bounded
from .answered import Turns, checked, misread
from .archives import Archives
from .entries import lost_event, read_found, read_log, read_snapshot, read_stream
from .keys import Keys
from .lua import script
from .marks import arguments_of_query, means_all
from .transport import Script, Transport

READ: Final = script("read", "page", reads=True)
QUERY: Final = script("query", "marks", reads=True)
STREAM: Final = script("stream", reads=True)

AT_ONCE: Final = 16
"""Archives of the log that one request of a query may look into."""


@checked()
class ReadLog:
    """What can be read of a log in Redis.

    Args:
        transport: Carries the scripts.
        keys: The namespace's keys.
        archives: What is known of the log's keys; shared by all who read it.
    """

    def __init__(self, transport: Transport, keys: Keys, archives: Archives) -> None:
        self.transport = transport
        self.keys = keys
        self.archives = archives

    @property
    def where(self) -> str:
        """What messages call it."""
        return f"namespace {self.keys.namespace!r}"

    async def read(self, after: int, limit: int, max_bytes: int, query: Query | None = None) -> Page:
        """See `Log.read`.

        Cost: 1 request, 3 commands; in an archive of the log another request and 2 commands. With a query, 2 commands,
        those that a condition of that query costs (see `append`), and 1 for each event found that is not near the one
        before it; at most some 160 in all, and what is left comes with the next page.
        """
        if query is not None and not means_all(query):
            return await self._find(query, after, limit, max_bytes)
        receipt = Receipt()
        turns = Turns()
        while True:
            turns.another()
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

    async def _find(self, query: Query, after: int, limit: int, max_bytes: int) -> Page:
        receipt = Receipt()
        words = arguments_of_query(query)
        turns = Turns()
        while True:
            turns.another()
            archive = self.archives.holding(after + 1)
            keys = [self.keys.head, self.keys.log, self.keys.marks]
            for index in range(archive, min(archive + AT_ONCE, len(self.archives.cuts) + 1)):
                keys += [self.keys.log_archive(index), self.keys.marks_archive(index)]
            size = min(max_bytes, self.archives.page_bytes)
            try:
                answer, cost = await run(self.transport, QUERY, keys, [after, limit, size, archive, *words])
            except TooLarge:
                if self.archives.shrink(size):
                    continue
                raise
            receipt += cost
            if answer[0] == "lost":
                raise lost_event(int(cast("str", answer[2])), self.where)
            _, _, head, found, reached, cuts = answer
            if not cuts:
                rows = read_found(found, self.where)
                place = max(after, int(cast("str", reached)))
                places = [after, *[row[0] for row in rows], place + 1]
                if any(before >= behind for before, behind in pairwise(places)):
                    raise ValueError("events out of place")  # who goes on behind them might never come to an end
                return Page(rows, int(cast("str", head)), receipt, place)
            self.archives.learn_cuts(cast("str", cuts))

    def page(self, entries: object, after: int, head: int, limit: int, max_bytes: int) -> list[StoredEvent]:
        """The events of a page that a script answered."""
        if after >= head:
            return []
        return bounded(read_log(entries, after, self.where)[:limit], max_bytes)

    async def read_stream(
        self, stream: str, after_revision: int, limit: int, max_bytes: int, snapshot: str | None = None
    ) -> StreamPage:
        """See `Log.read_stream`.

        Cost: 1 request, 3 commands; in an archive of it another request and 2 commands. A snapshot costs nothing more.
        """
        receipt = Receipt()
        archive = 0
        turns = Turns()
        while True:
            turns.another()
            keys = [self.keys.revision(stream), self.keys.stream(stream), self.keys.stream_archive(stream, archive)]
            if snapshot is not None:
                keys.append(self.keys.snapshot(stream, snapshot))
            size = min(max_bytes, self.archives.page_bytes)
            try:
                answer, cost = await run(self.transport, STREAM, keys, [after_revision, limit, size, archive])
            except TooLarge:
                if self.archives.shrink(size):
                    continue
                raise
            receipt += cost
            _, _, answered, entries, wanted, record = answer
            if not wanted:
                break
            archive = int(cast("str", wanted))
        revision = int(cast("str", answered))
        kept = read_snapshot(cast("str", snapshot), cast("str", record)) if record else None
        if kept is not None:
            after_revision = kept.revision
            if not entries and after_revision < revision:  # the snapshot has filled the reply
                page = await self.read_stream(stream, after_revision, limit, max_bytes)
                return page._replace(receipt=receipt + page.receipt, snapshot=kept)
        if after_revision >= revision:
            return StreamPage([], revision, receipt, kept)
        events = read_stream(entries, stream, after_revision, self.where)[:limit]
        return StreamPage(bounded(events, max_bytes), revision, receipt, kept)

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
        if len(words) != 5 or words[0] != "2" or not words[1].isdecimal():
            raise foreign(self.where, self.keys.head)
        return int(words[1])


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
    if not isinstance(result, list) or len(answer := cast("list[object]", result)) < 2 or type(answer[1]) is not int:
        shape = TypeError("no list of a status and a count")
        raise misread(f"script {script.name!r}", shape, Refused if script.reads else OutcomeUnknown) from shape
    # The EVAL itself is in both counts.
    receipt += Receipt(commands=answer[1] - 1)
    if answer[0] == "foreign":
        raise foreign("the database", keys[cast("int", answer[3]) - 1 if len(answer) > 3 else 0])
    return answer, receipt


def foreign(where: str, key: str) -> Refused:
    """The error for a namespace that something else uses."""
    return Refused(
        f"{where}: the key {key!r} holds what this library did not write, or what a later version of it wrote. Choose "
        "another namespace, or upgrade"
    )
