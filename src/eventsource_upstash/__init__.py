"""Event sourcing for serverless Python: an ordered log, typed folds, and views that nothing is lost from.

command -> events -> log -> notification -> catch-up -> folds -> view -> query
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .connect import connect, connect_async
from .domain.events import ANY, EXISTS, NO_STREAM, Appended, CatchUp, Expectation, Receipt, Recorded
from .domain.projections import Projection
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
    LogsDiffer,
    LogTrimmed,
    Misuse,
    OutcomeUnknown,
    PartitionsChanged,
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

if TYPE_CHECKING:
    # Loaded when they are first asked for: nobody pays for a face, a backend or a part that is not used.
    from ._flow.comparing import Compared, Contents
    from ._flow.copying import Copied, Copying
    from ._flow.delivering import Delivered
    from ._flow.feeding import Change, Changes
    from ._flow.parking import ParkedEvent, Retried, SkippedEvent
    from ._flow.querying import Page
    from ._flow.reactions import PendingReaction, ReactorStatus
    from ._flow.rebuilding import Dropped, Rebuilding, Rebuilt
    from ._flow.sending import Sent
    from ._flow.statuses import BuildStatus, Failure, PartStatus, ProjectionStatus
    from ._io.port import Signal
    from .aio import AsyncApp, AsyncEventStore, AsyncNotifier
    from .aio.copying import AsyncLogCopy
    from .aio.limits import AsyncRateLimit
    from .aio.messages import AsyncMessages
    from .aio.projector import AsyncProjector, AsyncWorker
    from .aio.reactions import AsyncReactions
    from .aio.schedules import AsyncSchedules
    from .aio.views import AsyncIndex, AsyncProjectionStore, AsyncView
    from .backends.kafka import Kafka
    from .backends.kafka.native import NativeTopic
    from .backends.kafka.rest import RestTopic
    from .backends.memory.backend import Memory
    from .backends.memory.keys import MemoryKeys
    from .backends.memory.notices import InProcess
    from .backends.qstash import Delivery, QStash, Receiver, TrustedProxies
    from .backends.redis import UpstashKeys, UpstashRedis
    from .backends.sqlite import SQLite, SQLiteKeys
    from .blocking import App, EventStore, Notifier
    from .blocking.copying import LogCopy
    from .blocking.limits import RateLimit
    from .blocking.messages import Messages
    from .blocking.projector import Projector, Worker
    from .blocking.reactions import Reactions
    from .blocking.schedules import Schedules
    from .blocking.views import Index, ProjectionStore, View
    from .domain.aggregates import Aggregate, Executed, Loaded
    from .domain.jobs import Job, NotRetryable, RetryLater
    from .domain.limits import Limited
    from .domain.personal import Personal
    from .domain.positions import Vector, join, read_position
    from .domain.queries import AppendCondition, Query, QueryItem
    from .domain.reactions import Append, Execute, Reaction, Send
    from .domain.reactors import Outbox, Reactor
    from .ports.messages import Buried, Message, Schedule

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
    "AsyncLogCopy",
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
    "Compared",
    "ConcurrencyError",
    "ConditionFailed",
    "Contents",
    "Copied",
    "Copying",
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
    "LogCopy",
    "LogReplaced",
    "LogRewound",
    "LogTrimmed",
    "LogsDiffer",
    "Memory",
    "MemoryKeys",
    "Message",
    "Messages",
    "Misuse",
    "NativeTopic",
    "NotRetryable",
    "Notifier",
    "Outbox",
    "OutcomeUnknown",
    "Page",
    "ParkedEvent",
    "PartStatus",
    "PartitionsChanged",
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
    "RestTopic",
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
    "Aggregate": "domain.aggregates",
    "App": "blocking",
    "Append": "domain.reactions",
    "AppendCondition": "domain.queries",
    "AsyncApp": "aio",
    "AsyncEventStore": "aio",
    "AsyncIndex": "aio.views",
    "AsyncLogCopy": "aio.copying",
    "AsyncMessages": "aio.messages",
    "AsyncNotifier": "aio",
    "AsyncProjectionStore": "aio.views",
    "AsyncProjector": "aio.projector",
    "AsyncRateLimit": "aio.limits",
    "AsyncReactions": "aio.reactions",
    "AsyncSchedules": "aio.schedules",
    "AsyncView": "aio.views",
    "AsyncWorker": "aio.projector",
    "BuildStatus": "_flow.statuses",
    "Buried": "ports.messages",
    "Change": "_flow.feeding",
    "Changes": "_flow.feeding",
    "Compared": "_flow.comparing",
    "Contents": "_flow.comparing",
    "Copied": "_flow.copying",
    "Copying": "_flow.copying",
    "Delivered": "_flow.delivering",
    "Delivery": "backends.qstash",
    "Dropped": "_flow.rebuilding",
    "EventStore": "blocking",
    "Execute": "domain.reactions",
    "Executed": "domain.aggregates",
    "Failure": "_flow.statuses",
    "InProcess": "backends.memory.notices",
    "Index": "blocking.views",
    "Job": "domain.jobs",
    "Kafka": "backends.kafka",
    "Limited": "domain.limits",
    "Loaded": "domain.aggregates",
    "LogCopy": "blocking.copying",
    "Memory": "backends.memory.backend",
    "MemoryKeys": "backends.memory.keys",
    "Message": "ports.messages",
    "Messages": "blocking.messages",
    "NativeTopic": "backends.kafka.native",
    "NotRetryable": "domain.jobs",
    "Notifier": "blocking",
    "Outbox": "domain.reactors",
    "Page": "_flow.querying",
    "ParkedEvent": "_flow.parking",
    "PartStatus": "_flow.statuses",
    "PendingReaction": "_flow.reactions",
    "Personal": "domain.personal",
    "ProjectionStatus": "_flow.statuses",
    "ProjectionStore": "blocking.views",
    "Projector": "blocking.projector",
    "QStash": "backends.qstash",
    "Query": "domain.queries",
    "QueryItem": "domain.queries",
    "RateLimit": "blocking.limits",
    "Reaction": "domain.reactions",
    "Reactions": "blocking.reactions",
    "Reactor": "domain.reactors",
    "ReactorStatus": "_flow.reactions",
    "Rebuilding": "_flow.rebuilding",
    "Rebuilt": "_flow.rebuilding",
    "Receiver": "backends.qstash",
    "RestTopic": "backends.kafka.rest",
    "Retried": "_flow.parking",
    "RetryLater": "domain.jobs",
    "SQLite": "backends.sqlite",
    "SQLiteKeys": "backends.sqlite",
    "Schedule": "ports.messages",
    "Schedules": "blocking.schedules",
    "Send": "domain.reactions",
    "Sent": "_flow.sending",
    "Signal": "_io.port",
    "SkippedEvent": "_flow.parking",
    "TrustedProxies": "backends.qstash",
    "UpstashKeys": "backends.redis",
    "UpstashRedis": "backends.redis",
    "Vector": "domain.positions",
    "View": "blocking.views",
    "Worker": "blocking.projector",
    "join": "domain.positions",
    "read_position": "domain.positions",
}
"""Where the names are that are not loaded with the package."""


def __getattr__(name: str) -> object:
    where = _LATER.get(name)
    if where is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    found = globals()[name] = getattr(import_module(f".{where}", __name__), name)
    return found
