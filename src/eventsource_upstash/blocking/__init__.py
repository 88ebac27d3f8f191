"""The blocking face: each method one line over the shared coroutines. No event loop, and no thread but `Worker`'s.

Its twin is `aio`; a test holds the two equal.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar
from uuid import UUID

from typing_extensions import Self

from .._flow.handling import Handling
from .._flow.notifying import Notifying
from .._flow.wiring import abilities, check, check_cache, check_parts, job_url, needs_keys, once, sealed_log, sealing
from .._io.blocking import PORT, iterate, run
from ..domain.events import ANY, Appended, Expectation, Receipt, Recorded
from ..domain.jobs import LEASE
from ..domain.registry import Registry

if TYPE_CHECKING:
    from .._flow.executing import Executing
    from .._flow.sealing import Sealing
    from .._flow.working import JobHandler, Jobs
    from ..domain.aggregates import Aggregate, Executed, Loaded
    from ..domain.limits import Algorithm, OnFailure
    from ..domain.queries import AppendCondition, Query
    from ..ports import Backend, KeyStore, NoticeTransport
    from .limits import RateLimit
    from .messages import Messages
    from .projector import Projector, Worker
    from .reactions import Reactions
    from .schedules import Schedules
    from .views import ProjectionStore

__all__ = ["App", "EventStore", "Notifier"]

S = TypeVar("S")
D = TypeVar("D")
H = TypeVar("H", bound="JobHandler")


class Notifier:
    """Tells whoever folds that the log reached a position.

    Args:
        transport: How: `InProcess()`, or nothing to tell nobody.
    """

    def __init__(self, transport: NoticeTransport | None = None) -> None:
        self.transport = transport
        self.flow: Notifying = Notifying(transport, PORT)

    def __repr__(self) -> str:
        return f"Notifier({self.transport!r})"

    def notify(self, position: int) -> None:
        """Notify that the log reached a position. Appends do this by themselves."""
        run(self.flow.notify(position))

    def verify(self, headers: Mapping[str, str], body: bytes, url: str) -> None:
        """Check that a delivery is a notification of ours. The endpoint does this by itself.

        Args:
            headers: The request's, names in lower case.
            body: The raw bytes, as they came.
            url: The URL that the request was addressed to.

        Raises:
            Unverified: It is not, and why: for the log, not for the caller.
            Misuse: This notifier's transport cannot tell.
        """
        self.flow.verify(headers, body, url)


class EventStore:
    """Appends events to streams, and reads them back.

    Args:
        backend: Where the log is: `Memory()`, `SQLite("todo.db")`.
        registry: The event types and aggregates.
        notifier: Who is told after each append; nobody without one.
        clock: Nanoseconds since 1970 (UTC), as `time.time_ns` tells them, for the recorded time of events.
        cache: For how many streams the state that `load` and `execute` made last is kept in this process, so that only
            the newer events are read; 0 for none. Only states that cannot be changed: frozen, through and through.
        keys: Where the keys are that personal data is encrypted with.

    Raises:
        Misuse: What is handed over is no backend, registry or key store; or there are event types with personal data,
            and no key store.
    """

    def __init__(
        self,
        backend: Backend,
        registry: Registry,
        *,
        notifier: Notifier | None = None,
        clock: Callable[[], int] = time.time_ns,
        cache: int = 0,
        keys: KeyStore | None = None,
    ) -> None:
        check_parts(backend, registry)
        self.backend = backend
        self.registry = registry
        self.notifier: Notifier = notifier or Notifier()
        self.keys = keys
        self._sealing: Sealing | None = sealing(keys, PORT, registry)
        log = sealed_log(backend.log(PORT), self._sealing)
        self.flow: Handling = Handling(log, registry, self.notifier.flow, clock, abilities(backend))
        check_cache(cache)
        self._cache = cache

    def __repr__(self) -> str:
        return f"EventStore({self.backend!r})"

    def append(
        self,
        stream: str,
        *events: object,
        expected_revision: int | Expectation = ANY,
        condition: AppendCondition | None = None,
        idempotency_key: str | None = None,
        metadata: Mapping[str, object] | None = None,
        tags: Sequence[str] = (),
    ) -> Appended:
        """Append events to a stream: all of them, or none.

        Args:
            stream: The stream's name: 1 to 255 characters, none of them a control character or a line break.
            *events: Instances of registered event types, at least one.
            expected_revision: Revision that the stream has to be at, `NO_STREAM`, `EXISTS` or `ANY`.
            condition: What must not have come into the log, in whichever stream, since the decision was made. Together
                with `expected_revision`, both have to hold.
            idempotency_key: Names this append, so that the same call again answers what the first one did; looked at
                before anything else.
            metadata: JSON data kept with each event: correlation, causation, user.
            tags: What the events can be found by, besides the tags that their types declare.

        Returns:
            The position of the last event and the stream's new revision. When it returns, the events are in the log,
            even if the notification after it failed.

        Raises:
            ConcurrencyError: The stream is not where it was expected; carries the events that were missed.
            ConditionFailed: An event that the condition's query means came after its position.
            IdempotencyKeyReused: The key stands for another append already.
            InvalidEvent: An event could not be read back as it is.
            Misuse: No event, an unregistered class, a name that cannot be one.
            Unavailable: Nothing was written; later it may work.
            OutcomeUnknown: It may or may not be written; the same call with the same key is safe.
            Refused: Quota, size, rights, space.

        Cost: one step of the backend, and one notification.
        """
        return run(self.flow.append(stream, events, expected_revision, idempotency_key, metadata, tags, condition))

    def read(
        self, *, after: int = 0, limit: int | None = None, query: Query | None = None
    ) -> Iterator[Recorded[object]]:
        """Read the log in order, lazily, in pages: the whole of it, or the events that a query means.

        Events of ignored types are left out.

        Args:
            after: Position to start after, exclusive; 0 reads from the first event. In a log of several partitions a
                `Vector`, as `head` answers it: an event's position says nothing of the others.
            limit: Most events to hand out; None reads to the end.
            query: Only the events that it means. They are found by type and tag, without reading the others.

        Raises:
            Misuse: The query names a type that is not registered; a position or a limit that cannot be one.
            UnknownEventType: An event's type is not registered; the events before it are handed out first.
            UndecodableEvent: An event does not fit its class; likewise.

        Cost: one step per page of up to 1,000 events.
        """
        return iterate(self.flow.read(after, limit, query))

    def read_stream(
        self, stream: str, *, after_revision: int = 0, limit: int | None = None
    ) -> Iterator[Recorded[object]]:
        """Read one stream in order, lazily, in pages. A stream without events reads as none. Raises as `read`."""
        return iterate(self.flow.read_stream(stream, after_revision, limit))

    def head(self) -> int:
        """The last position of the log; 0 when it is empty. A `Vector` in several partitions. Cost: one step."""
        return run(self.flow.head())

    def load(self, aggregate: Aggregate[S], stream: str) -> Loaded[S]:
        """Fold a stream into an aggregate's state.

        Raises:
            UnknownEventType: The stream holds a type that is not registered.
            UndecodableEvent: An event does not fit its class.

        Cost: one step per page of up to 1,000 events; with snapshots or a cached state, of the events since. One step
        more where a long read is kept as a snapshot.
        """
        return run(self.executing.load(aggregate, stream))

    def execute(
        self,
        aggregate: Aggregate[S],
        stream: str,
        command: object,
        *,
        retries: int = 3,
        idempotency_key: str | None = None,
        metadata: Mapping[str, object] | None = None,
        tags: Sequence[str] = (),
    ) -> Executed[S]:
        """Load an aggregate, let it decide on a command, and append what it decided.

        When another writer was quicker, the decision is made again on the newer state, up to `retries` times.

        Args:
            aggregate: Which.
            stream: Its stream.
            command: An instance of a class with a decide handler.
            retries: How often to decide again after a conflict; 0 for never.
            idempotency_key: Names this execution: the same call again does nothing and answers where the stream is.
            metadata: As for `append`.
            tags: As for `append`.

        Raises:
            ConcurrencyError: There was a conflict each time.
            Misuse: The command has no decide handler.
            Exception: Whatever the decide handler raises to refuse the command, as it is. Nothing was written.

        Cost: a load and an append; each retry one append more. A snapshot that is due goes along with the append.
        """
        return run(self.executing.execute(aggregate, stream, command, retries, idempotency_key, metadata, tags))

    def forget(self, subject: str | int | UUID) -> Receipt:
        """Destroy the key of a person: what is encrypted with it reads as None from now on, everywhere and for good.

        Views and snapshots that were made before hold what they hold until they are built anew. Nothing personal of
        this subject can be appended any more, unless it is readmitted. Safe to be called again.

        Args:
            subject: Whom: what `registry.event(..., subject=...)` tells of the events.

        Raises:
            Misuse: There is no key store, or that can be no subject.
            OutcomeUnknown: Call it again.

        Cost: one step of the key store.
        """
        return run(needs_keys(self._sealing).forget(subject))

    def readmit(self, subject: str | int | UUID) -> Receipt:
        """Let somebody who was forgotten come back: the next append makes a new key. What was forgotten stays so.

        Raises:
            Misuse: There is no key store, or that can be no subject.

        Cost: one step of the key store.
        """
        return run(needs_keys(self._sealing).readmit(subject))

    @property
    def executing(self) -> Executing:
        """What loads aggregates and executes commands on them."""
        from .._flow.executing import Executing  # for those who have any

        return once(self, "_executing", lambda: Executing(self.flow, self._cache))


class App:
    """An event store, a projection store, a projector and a notifier, wired. Made by `connect`."""

    def __init__(
        self,
        backend: Backend,
        registry: Registry,
        transport: NoticeTransport | None,
        *,
        cache: int = 0,
        keys: KeyStore | None = None,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self.backend = backend
        self.registry = registry
        self.keys = keys
        self._clock = clock
        self.notifier: Notifier = Notifier(transport)
        self.event_store: EventStore = EventStore(
            backend, registry, notifier=self.notifier, clock=clock, cache=cache, keys=keys
        )

    def __repr__(self) -> str:
        return f"App({self.backend!r})"

    # What follows is made, and loaded, when it is first asked for: a process that only appends folds nothing, and most
    # apps have neither messages nor reactors.
    @property
    def projection_store(self) -> ProjectionStore:
        """The views."""
        from .views import ProjectionStore

        return once(
            self,
            "_projection_store",
            lambda: ProjectionStore(self.backend, self.registry, clock=self._clock, keys=self.keys),
        )

    @property
    def projector(self) -> Projector:
        """What folds the events into the views."""
        from .projector import Projector

        return once(
            self,
            "_projector",
            lambda: Projector(self.event_store, self.projection_store, clock=self._clock, messages=self.messages),
        )

    @property
    def jobs(self) -> Jobs:
        """The jobs of this process."""
        from .._flow.working import Jobs

        return once(self, "_jobs", lambda: Jobs(awaits=None))

    @property
    def messages(self) -> Messages:
        """What sends messages, and delivers them where the app does so itself."""
        from .messages import Messages

        return once(
            self,
            "_messages",
            lambda: Messages(self.backend, self.notifier.transport, jobs=self.jobs, clock=self._clock),
        )

    @property
    def reactions(self) -> Reactions:
        """What reactors have decided, and not yet carried out."""
        from .reactions import Reactions

        return Reactions(self.projector)

    @property
    def schedules(self) -> Schedules:
        """What is sent by the clock: messages to URLs and to the app's jobs, and QStash's sweep."""
        from .schedules import Schedules

        return Schedules(self.notifier.transport, messages=self.messages)

    def job(self, path: str, *, lease: float | timedelta = LEASE) -> Callable[[H], H]:
        """Register a handler for messages to a path of this app: `@app.job("/workers/report")`.

        The handler takes a `Job` and answers None, bytes, a text, or what can be written as JSON. In an event loop it
        may be `async def`; a plain one is called beside the loop then. It is called at least once for each message,
        and `Job.id` is the same each time. `NotRetryable` and `RetryLater`, raised by it, say how to go on; after
        any other exception the message is delivered again, as often as it has retries.

        Args:
            path: Starts with `/`, without a query. The same for whoever sends to it.
            lease: How long the handler may take, where the app delivers by itself (`memory:`, `sqlite:`): seconds, or a
                timedelta. Nobody else is handed the message for so long; if the process dies amid it, it is tried again
                then. A quarter of an hour without it, a week at most. QStash has time limits of its own.

        Raises:
            RegistrationError: The path cannot be one or has a handler already; the handler or lease cannot be one here.
        """
        return self.jobs.at(path, lease)

    def job_url(self, path: str) -> str:
        """The whole URL at which a job is called from outside: what a message to its path is addressed to.

        Raises:
            Misuse: Jobs are called in this process, or it is not known where the app is; or that is no path.
        """
        return job_url(self.notifier.transport, path)

    def rate_limit(
        self,
        name: str,
        *,
        limit: int,
        window: float,
        algorithm: Algorithm = "sliding",
        refill: int | None = None,
        on_failure: OnFailure = "raise",
        timeout: float = 5.0,
    ) -> RateLimit:
        """A rate limit on this app's backend: `app.rate_limit("posts", limit=10, window=10)`. See `RateLimit`."""
        from .limits import RateLimit

        return RateLimit(
            self.backend,
            name,
            limit=limit,
            window=window,
            algorithm=algorithm,
            refill=refill,
            on_failure=on_failure,
            timeout=timeout,
            clock=self._clock,
        )

    def worker(self, *, poll_interval: float = 1.0) -> Worker:
        """A worker that folds after each append, in the background: `with app.worker(): ...`.

        It delivers messages as well, where the app does so itself: on `memory:` and `sqlite:`. On Kafka any number of
        workers share the partitions.
        """
        from .projector import Worker

        return Worker(self.projector, poll_interval=poll_interval, messages=self.messages)

    def check(self) -> tuple[str, ...]:
        """Look at what the app stands on, before anything depends on it: a step of a deployment.

        Returns:
            What is doubtful, in words, each with a remedy; also logged as warnings. Nothing where all is well.

        Raises:
            Refused: A token, a right, a quota, space; a namespace that something else uses.
            Unavailable: A service cannot be reached.
        """
        return run(check(self.backend, self.notifier.transport, self.jobs, PORT))

    def close(self) -> None:
        """Release what the backend holds open, and idle HTTP connections. Both open again when they are needed."""
        self.backend.close()
        if self.keys is not None:
            self.keys.close()
        PORT.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
