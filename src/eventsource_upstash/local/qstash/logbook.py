"""The log: what became of every message, line by line."""

from __future__ import annotations

import secrets

from .clock import Clock
from .records import Answer, Event, Message
from .store import Store

__all__ = ["Logbook"]


class Logbook:
    """Writes the log."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def new_id(self) -> str:
        """An id for a message."""
        return f"msg_{secrets.token_hex(14)}"

    def log(self, message: Message, state: str, *, answer: Answer | None = None, next: int | None = None) -> None:
        """Write that a message is in this state.

        Args:
            message: Which.
            state: CREATED, ACTIVE, RETRY, ERROR, DELIVERED, FAILED, CANCEL_REQUESTED or CANCELLED.
            answer: The last answer to it.
            next: When it will be tried again.
        """
        self._store.log(
            Event(
                number=self._store.number("events"),
                time=self._clock.now(),
                message=message.id,
                state=state,
                url=message.url,
                topic=message.topic,
                endpoint=message.endpoint,
                queue=message.queue,
                schedule=message.schedule,
                error=_reason(answer),
                next=next,
                answer=answer if state == "ERROR" else None,
                options=message.options,
            )
        )


def _reason(answer: Answer | None) -> str | None:
    if answer is None:
        return None
    return answer.error or f"detected a non-success status code: {answer.status}"
