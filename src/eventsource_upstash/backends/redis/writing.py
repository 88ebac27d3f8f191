"""An append as its script takes it: the keys, the arguments."""

from __future__ import annotations

from typing import Final

from ...domain.events import ANY, EXISTS
from ...errors import TooLarge
from ...ports import Append
from .archives import Archives
from .entries import arguments_of, identity_of, optional, snapshot_record, text_of_tags
from .keys import Keys
from .marks import arguments_of_query, words_of

MAX_EVENTS: Final = 3_000
"""Most events in one append: what a call inside a script takes at once is limited by the engine's stack."""


class Writing:
    """An append, made ready once for however often it is sent.

    Args:
        append: The append.
        keys: The namespace's keys.
        roll_at: Bytes at which a key is put away.
        lost_after_us: When an outstanding notification counts as lost, in microseconds.

    Attributes:
        size: Its bytes.

    Raises:
        TooLarge: It has too many events.
    """

    def __init__(self, append: Append, keys: Keys, *, roll_at: int, lost_after_us: int) -> None:
        if len(append.events) > MAX_EVENTS:
            raise TooLarge(
                what=f"the append to stream {append.stream!r}",
                size=len(append.events),
                limit=MAX_EVENTS,
                unit="events",
            )
        self._append = append
        self._keys = keys
        self._roll_at = roll_at
        self._lost_after_us = lost_after_us
        self._events = arguments_of(append)
        self._metadata, self._tags, self._words = optional(append.metadata), text_of_tags(append.tags), words_of(append)
        self.size: int = (
            sum([len(word.encode()) for word in self._events])
            + len(self._metadata)
            + len(self._tags)
            + len(append.stream)
            + 100
        )
        self._once = ("", "")
        if append.key is not None:
            self._once = f"{append.digest.hex()}/{identity_of(append)} ", f" {append.stream}"
        self._snapshot = "" if append.snapshot is None else snapshot_record(append.snapshot)
        self._query = [] if append.condition is None else arguments_of_query(append.condition.query)

    def call(self, archives: Archives, tried: str, ends_at: int | None = None) -> tuple[list[str], list[str | int]]:
        """The keys and arguments of the script.

        Args:
            archives: What is known of the log's keys: the archives that are named are the ones that are meant.
            tried: Whether an earlier attempt may have been done: see the script.
            ends_at: Where the log has to end, instead of the append's condition.
        """
        append, keys = self._append, self._keys
        expected, condition = append.expected, append.condition
        # Looked at once, since other threads learn as well.
        log_archives, stream_archives = archives.log, archives.of(append.stream)
        oldest, since, query = log_archives, "", self._query
        if ends_at is not None:
            since, query = f"={ends_at}", []
        elif condition is not None:
            oldest, since = archives.holding(condition.after + 1), str(condition.after)
        named = [
            keys.head,
            keys.notice,
            keys.log,
            keys.marks,
            keys.revision(append.stream),
            keys.stream(append.stream),
            keys.log_archive(log_archives),
            keys.marks_archive(log_archives),
            keys.stream_archive(append.stream, stream_archives),
        ]
        if append.key is not None:
            named.append(keys.once(append.key))
        if append.snapshot is not None:
            named.append(keys.snapshot(append.stream, append.snapshot.name))
        named += [keys.marks_archive(archive) for archive in range(oldest, log_archives)]
        return named, [
            len(append.events),
            "*" if expected is ANY else "+" if expected is EXISTS else expected,
            identity_of(append),
            tried,
            append.recorded_us if append.notifies else "",
            self._lost_after_us,
            log_archives,
            stream_archives,
            self.size,
            self._roll_at,
            append.stream,
            self._metadata,
            self._tags,
            *self._once,
            self._snapshot,
            len(self._words) // 2,
            since,
            oldest,
            *self._events,
            *self._words,
            *query,
        ]
