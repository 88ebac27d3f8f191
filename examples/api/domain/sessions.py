"""Sessions: who signed in, and until when. One that has ended is gone, without anybody who deletes it.

    session-started     somebody signed in
    session-prolonged   and stayed
    session-ended       and signed out

A session ends at a time of its own, and using it does not move that: each use would be an event. To stay is a command.
The token is the user's alone; log and view know its hash.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, replace
from datetime import datetime

from .rules import registry


# --8<-- [start:session]
@registry.event("session-started")
@dataclass(frozen=True)
class SessionStarted:
    user: str
    ends: datetime


@registry.event("session-prolonged")
@dataclass(frozen=True)
class SessionProlonged:
    ends: datetime


@registry.event("session-ended")
@dataclass(frozen=True)
class SessionEnded:
    pass


@dataclass(frozen=True)
class Session:
    user: str
    ends: datetime


sessions = registry.projection("sessions", Session)
sessions.expires("ends")  # from then on it is absent from whatever is read


@sessions.on(SessionStarted)
def started(session: Session | None, event: SessionStarted) -> Session:
    return Session(event.user, event.ends)


@sessions.on(SessionProlonged)
def prolonged(session: Session | None, event: SessionProlonged) -> Session | None:
    return session and replace(session, ends=event.ends)  # None: it had ended, and is not revived


@sessions.on(SessionEnded)
def ended(session: Session | None, event: SessionEnded) -> None:
    return None


def new_token() -> str:
    return secrets.token_urlsafe(32)


def stream_of(token: str) -> str:
    """The stream of a token's session. Of 256 random bits a plain hash gives nothing away."""
    return f"session-{hashlib.sha256(token.encode()).hexdigest()}"


# --8<-- [end:session]
