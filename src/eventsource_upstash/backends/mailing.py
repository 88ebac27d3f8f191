"""The rules that every mailbox keeps."""

from __future__ import annotations

from typing import Final

from ..ports import URLS, Message, Schedule

REMEMBERED_FOR_US: Final = 86_400_000_000
"""How long the ids of messages that arrived are remembered at least, in microseconds: a day."""

DEAD_FOR_US: Final = 30 * 86_400_000_000
"""How long messages that were given up are kept at least, in microseconds: thirty days."""


def place_of(message: Message) -> str:
    """Where a message is delivered to: the path of a job, or `URLS`."""
    return message.destination if message.destination.startswith("/") else URLS


def scheduled(schedule: Schedule, due_us: int) -> Message:
    """The message that a schedule sends at the moment it was due."""
    return Message(
        f"{schedule.id}-{due_us}",
        schedule.destination,
        schedule.body,
        schedule.headers,
        due_us,
        schedule.retries,
        schedule.method,
    )
