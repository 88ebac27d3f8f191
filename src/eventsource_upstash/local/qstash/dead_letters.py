"""Dead letters: what could not be delivered, kept to be looked at, tried again or thrown away."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from .clock import Clock
from .errors import ApiError
from .filtering import Filter, page
from .logbook import Logbook
from .options import parse_options
from .publishing import Publishing
from .records import DeadLetter, Message, Options
from .store import Store

__all__ = ["DeadLetters"]

PAGE: Final = 100


class DeadLetters:
    """Lists them, and takes them out again."""

    def __init__(self, store: Store, clock: Clock, publishing: Publishing, logbook: Logbook) -> None:
        self._store = store
        self._clock = clock
        self._publishing = publishing
        self._logbook = logbook

    def known(self, id: str) -> DeadLetter:
        """The dead letter of this id.

        Raises:
            ApiError: 404, there is none.
        """
        letter = self._store.dead_letters.get(id)
        if letter is None:
            raise ApiError(404, f"dead letter {id} not found")
        return letter

    def find(self, filter: Filter) -> tuple[list[DeadLetter], str | None]:
        """A page of those that are asked for, the newest first, and the cursor of the next."""
        ids = filter.ids("dlqIds")
        if ids is not None:
            return [letter for letter in self._store.dead_letters if letter.id in ids], None
        matching = (
            letter
            for letter in self._store.dead_letters
            if filter.admits(letter.message, letter.failed_at, responseStatus=str(letter.answer.status))
        )
        return page(matching, lambda letter: letter.number, filter, PAGE)

    def delete(self, letters: Iterable[DeadLetter]) -> int:
        """Throw them away. Returns how many."""
        count = 0
        for letter in letters:
            self._store.dead_letters.drop(letter.id)
            count += 1
        return count

    def retry(self, letter: DeadLetter, headers: Iterable[tuple[str, str]]) -> str:
        """Publish its message anew, and take it out. Returns the id of the new message.

        Args:
            letter: Which.
            headers: Options that replace those of the message.

        Raises:
            ApiError: 400, the options make no sense.
        """
        old = letter.message
        base = msgspec.msgpack.decode(msgspec.msgpack.encode(old.options), type=Options)  # its own
        base.delay, base.not_before = 0, None
        options = parse_options(headers, base)
        now = self._clock.now()
        message = Message(
            id=self._logbook.new_id(),
            number=self._store.number("messages"),
            url=old.url,
            body=old.body,
            options=options,
            created_at=now,
            due=max(now, options.not_before) if options.not_before is not None else now + options.delay,
            topic=old.topic,
            endpoint=old.endpoint,
            queue=old.queue,
            schedule=old.schedule,
            caller=old.caller,
            agent=old.agent,
        )
        self._store.dead_letters.drop(letter.id)
        self._publishing.accept(message)
        return message.id
