"""The contracts that a backend fulfils: `Log`, `Views` and `Notices`.

Whoever writes a backend reads this folder, and then runs `eventsource_upstash.testing` against it: each sentence here
is held by a test there.

A backend knows no colour. It is a plain description (`Memory()`, `SQLite("todo.db")`), which opens its log and its
views over a port; every wait of theirs goes through that port. All contents are opaque bytes to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._io.port import Port, Signal
from ..domain.events import Appended, Receipt, StoredEvent
from ..domain.indexes import NO_ENTRIES, Entries
from ..domain.projections import NO_NOTES, Notes, ProjectionId, Stopped
from ..domain.queries import AppendCondition, Query
from .backend import Backend
from .capabilities import EVERYTHING, Capabilities
from .log import (
    MAX_PAGE_BYTES,
    MAX_PAGE_EVENTS,
    MAX_SNAPSHOT_BYTES,
    Append,
    AppendsMany,
    Conflict,
    KeyReused,
    Log,
    Page,
    Snapshot,
    StreamPage,
    Unmet,
)
from .notices import Notices, NoticeTransport, Unverified, Verifier
from .partitions import Membership, PartitionedLog
from .views import (
    NO_BUILDS,
    NO_ENTRIES_OF,
    NO_RECORDS,
    Commit,
    Committed,
    Counted,
    Ended,
    Got,
    Listed,
    Outcome,
    Progress,
    Pull,
    Pulled,
    Role,
    Span,
    Stored,
    Views,
    Wanted,
)

if TYPE_CHECKING:
    # Loaded when they are first asked for: most apps have no messages, limits or keys.
    from ..domain.sending import MAX_MESSAGE_BYTES
    from .followers import Followed, Follower
    from .keys import Keys, KeyStore, SubjectKey
    from .limits import Limiter, Taken
    from .messages import (
        ID_HEADER,
        NO_HEADERS,
        URLS,
        Buried,
        Claimed,
        DeadLetters,
        Left,
        Mailbox,
        Message,
        Messages,
        Schedule,
        Timetable,
    )

__all__ = [
    "EVERYTHING",
    "ID_HEADER",
    "MAX_MESSAGE_BYTES",
    "MAX_PAGE_BYTES",
    "MAX_PAGE_EVENTS",
    "MAX_SNAPSHOT_BYTES",
    "NO_BUILDS",
    "NO_ENTRIES",
    "NO_ENTRIES_OF",
    "NO_HEADERS",
    "NO_NOTES",
    "NO_RECORDS",
    "URLS",
    "Append",
    "AppendCondition",
    "Appended",
    "AppendsMany",
    "Backend",
    "Buried",
    "Capabilities",
    "Claimed",
    "Commit",
    "Committed",
    "Conflict",
    "Counted",
    "DeadLetters",
    "Ended",
    "Entries",
    "Followed",
    "Follower",
    "Got",
    "KeyReused",
    "KeyStore",
    "Keys",
    "Left",
    "Limiter",
    "Listed",
    "Log",
    "Mailbox",
    "Membership",
    "Message",
    "Messages",
    "Notes",
    "NoticeTransport",
    "Notices",
    "Outcome",
    "Page",
    "PartitionedLog",
    "Port",
    "Progress",
    "ProjectionId",
    "Pull",
    "Pulled",
    "Query",
    "Receipt",
    "Role",
    "Schedule",
    "Signal",
    "Snapshot",
    "Span",
    "Stopped",
    "Stored",
    "StoredEvent",
    "StreamPage",
    "SubjectKey",
    "Taken",
    "Timetable",
    "Unmet",
    "Unverified",
    "Verifier",
    "Views",
    "Wanted",
]

_LATER = {
    "Buried": ".messages",
    "Claimed": ".messages",
    "DeadLetters": ".messages",
    "Followed": ".followers",
    "Follower": ".followers",
    "ID_HEADER": ".messages",
    "KeyStore": ".keys",
    "Keys": ".keys",
    "Left": ".messages",
    "Limiter": ".limits",
    "MAX_MESSAGE_BYTES": "..domain.sending",
    "Mailbox": ".messages",
    "Message": ".messages",
    "Messages": ".messages",
    "NO_HEADERS": ".messages",
    "Schedule": ".messages",
    "SubjectKey": ".keys",
    "Taken": ".limits",
    "Timetable": ".messages",
    "URLS": ".messages",
}
"""Where the names are that are not loaded with this package."""


def __getattr__(name: str) -> object:
    where = _LATER.get(name)
    if where is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    found = globals()[name] = getattr(import_module(where, __name__), name)
    return found
