"""Event sourcing for serverless Python: an ordered log, typed folds, and views that nothing is lost from.

command -> events -> log -> notification -> catch-up -> folds -> view -> query
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._flow.delivering import Delivered
from ._flow.feeding import Change, Changes
from ._flow.parking import ParkedEvent, Retried, SkippedEvent
from ._flow.querying import Page
from ._flow.reactions import PendingReaction, ReactorStatus
from ._flow.rebuilding import Dropped, Rebuilding, Rebuilt
from ._flow.sending import Sent
from ._flow.statuses import BuildStatus, Failure, ProjectionStatus
from ._io.port import Signal
from .backends.memory import InProcess, Memory, MemoryKeys
from .blocking import (
    App,
    EventStore,
    Index,
    Messages,
    Notifier,
    ProjectionStore,
    Projector,
    RateLimit,
    Reactions,
    Schedules,
    View,
    Worker,
)
from .connect import connect, connect_async
from .domain.aggregates import Aggregate, Executed, Loaded
from .domain.events import ANY, EXISTS, NO_STREAM, Appended, CatchUp, Expectation, Receipt, Recorded
from .domain.jobs import Job, NotRetryable, RetryLater
from .domain.limits import Limited
from .domain.personal import Personal
from .domain.projections import Projection
from .domain.queries import AppendCondition, Query, QueryItem
from .domain.reactions import Append, Execute, Reaction, Send
from .domain.reactors import Outbox, Reactor
from .domain.registry import Registry
from .errors import (
    ConcurrencyError,
    ConditionFailed,
    CorruptLog,
    EventSourceError,
    IdempotencyKeyReused,
    InvalidEvent,
    LogReplaced,
    LogRewound,
    LogTrimmed,
    Misuse,
    OutcomeUnknown,
    ProjectionStopped,
    ReactorStopped,
    Refused,
    RegistrationError,
    SealedEvent,
    StaleView,
    SubjectForgotten,
    TooLarge,
    Unavailable,
    UndecodableDocument,
    UndecodableEvent,
    UnknownEventType,
    ViewNotBuilt,
)
from .ports import Buried, Message, Schedule

if TYPE_CHECKING:
    # Loaded when they are first asked for: who blocks does not pay for asyncio, nor who is in memory for SQLite.
    from .aio import (
        AsyncApp,
        AsyncEventStore,
        AsyncIndex,
        AsyncMessages,
        AsyncNotifier,
        AsyncProjectionStore,
        AsyncProjector,
        AsyncRateLimit,
        AsyncReactions,
        AsyncSchedules,
        AsyncView,
        AsyncWorker,
    )
    from .backends.kafka import Kafka
    from .backends.qstash import Delivery, QStash, Receiver, TrustedProxies
    from .backends.redis import UpstashKeys, UpstashRedis
    from .backends.sqlite import SQLite, SQLiteKeys
    from .domain.positions import Vector, join, read_position

__version__ = "0.1.0"

__all__ = [
    "ANY",
    "EXISTS",
    "NO_STREAM",
    "Aggregate",
    "App",
    "Append",
    "AppendCondition",
    "Appended",
    "AsyncApp",
    "AsyncEventStore",
    "AsyncIndex",
    "AsyncMessages",
    "AsyncNotifier",
    "AsyncProjectionStore",
    "AsyncProjector",
    "AsyncRateLimit",
    "AsyncReactions",
    "AsyncSchedules",
    "AsyncView",
    "AsyncWorker",
    "BuildStatus",
    "Buried",
    "CatchUp",
    "Change",
    "Changes",
    "ConcurrencyError",
    "ConditionFailed",
    "CorruptLog",
    "Delivered",
    "Delivery",
    "Dropped",
    "EventSourceError",
    "EventStore",
    "Execute",
    "Executed",
    "Expectation",
    "Failure",
    "IdempotencyKeyReused",
    "InProcess",
    "Index",
    "InvalidEvent",
    "Job",
    "Kafka",
    "Limited",
    "Loaded",
    "LogReplaced",
    "LogRewound",
    "LogTrimmed",
    "Memory",
    "MemoryKeys",
    "Message",
    "Messages",
    "Misuse",
    "NotRetryable",
    "Notifier",
    "Outbox",
    "OutcomeUnknown",
    "Page",
    "ParkedEvent",
    "PendingReaction",
    "Personal",
    "Projection",
    "ProjectionStatus",
    "ProjectionStopped",
    "ProjectionStore",
    "Projector",
    "QStash",
    "Query",
    "QueryItem",
    "RateLimit",
    "Reaction",
    "Reactions",
    "Reactor",
    "ReactorStatus",
    "ReactorStopped",
    "Rebuilding",
    "Rebuilt",
    "Receipt",
    "Receiver",
    "Recorded",
    "Refused",
    "RegistrationError",
    "Registry",
    "Retried",
    "RetryLater",
    "SQLite",
    "SQLiteKeys",
    "Schedule",
    "Schedules",
    "SealedEvent",
    "Send",
    "Sent",
    "Signal",
    "SkippedEvent",
    "StaleView",
    "SubjectForgotten",
    "TooLarge",
    "TrustedProxies",
    "Unavailable",
    "UndecodableDocument",
    "UndecodableEvent",
    "UnknownEventType",
    "UpstashKeys",
    "UpstashRedis",
    "Vector",
    "View",
    "ViewNotBuilt",
    "Worker",
    "connect",
    "connect_async",
    "join",
    "read_position",
]


_LATER = {
    "Delivery": "backends.qstash",
    "Kafka": "backends.kafka",
    "QStash": "backends.qstash",
    "Receiver": "backends.qstash",
    "SQLite": "backends.sqlite",
    "TrustedProxies": "backends.qstash",
    "SQLiteKeys": "backends.sqlite",
    "UpstashKeys": "backends.redis",
    "UpstashRedis": "backends.redis",
    "Vector": "domain.positions",
    "join": "domain.positions",
    "read_position": "domain.positions",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f".{_LATER.get(name, 'aio')}", __name__), name)
