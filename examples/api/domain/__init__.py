"""What the API is about, pure: events, documents folded from them, commands and rules. A file for each concern."""

from __future__ import annotations

from . import cleaning, leaderboard, posts, reminders, reports, sessions
from .rules import Forbidden, Invalid, Refusal, Unknown, registry

__all__ = [
    "Forbidden",
    "Invalid",
    "Refusal",
    "Unknown",
    "cleaning",
    "leaderboard",
    "posts",
    "registry",
    "reminders",
    "reports",
    "sessions",
]
