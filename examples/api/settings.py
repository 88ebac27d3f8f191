"""What the environment says about this app. The backend's own variables are read by the library."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

DEFAULT_BACKEND = "sqlite:api.db"

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


@dataclass(frozen=True)
class Settings:
    """How long things take here. The defaults are those of the tutorial; a demo that cannot wait sets others."""

    backend: str = DEFAULT_BACKEND
    """API_BACKEND: where the events are kept: `memory:`, `sqlite:FILE` or `upstash:`."""
    session: timedelta = timedelta(minutes=30)
    """API_SESSION: how long a session lasts, from signing in or prolonging."""
    reminder_after: timedelta = timedelta(hours=24)
    """API_REMINDER_AFTER: how long after it was set a reminder comes."""
    keep_posts: timedelta = timedelta(days=30)
    """API_KEEP_POSTS: how old a post is when the nightly clean-up archives it."""
    report_takes: timedelta = timedelta(seconds=3)
    """API_REPORT_TAKES: how long a report pretends to be work, so that there is something to see."""

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> Settings:
        """Read them. Raises `ValueError` with a message for the person."""
        return cls(
            environ.get("API_BACKEND") or DEFAULT_BACKEND,
            _span(environ, "API_SESSION", cls.session),
            _span(environ, "API_REMINDER_AFTER", cls.reminder_after),
            _span(environ, "API_KEEP_POSTS", cls.keep_posts),
            _span(environ, "API_REPORT_TAKES", cls.report_takes),
        )


def _span(environ: Mapping[str, str], name: str, default: timedelta) -> timedelta:
    text = environ.get(name)
    if not text:
        return default
    found = re.fullmatch(r"([0-9]{1,6})([smhd])", text)
    if found is None:
        raise ValueError(f"{name}={text!r} is no span of time: it is a number and a unit, as in 90s, 30m, 24h or 30d.")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})
