"""Backends around backends, to put a fault, a pause or a count into one that works.

Every call to the log and to the views of a `BackendWrapper` goes through its method `around`; replace that to do
something at each call:

```python
class Counting(BackendWrapper):
    calls = 0

    async def around(self, call: str, step: Callable[[], Awaitable[T]]) -> T:
        self.calls += 1
        return await step()
```

To change what one call does, replace the method of a `LogWrapper` or a `ViewsWrapper`, and hand it out:

```python
class Forgetful(LogWrapper):
    async def recall(self, stream: str, key: str) -> Appended | KeyReused | Receipt:
        return FREE


class ForgetfulBackend(BackendWrapper):
    def wrap_log(self, log: Log) -> Log:
        return Forgetful(log)


backend = ForgetfulBackend(Memory())
```
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeVar, cast

from .._io.port import Port
from ..domain.events import Appended, Receipt
from ..domain.projections import ProjectionId
from ..ports import (
    Append,
    Backend,
    Capabilities,
    Commit,
    Committed,
    Conflict,
    Counted,
    Ended,
    Got,
    KeyReused,
    Limiter,
    Listed,
    Log,
    Mailbox,
    Membership,
    Page,
    PartitionedLog,
    Progress,
    Pull,
    Pulled,
    Query,
    Snapshot,
    Span,
    Stored,
    StreamPage,
    Unmet,
    Views,
    Wanted,
)

T = TypeVar("T")


class Around(Protocol):
    """What is done around each call."""

    async def __call__(self, call: str, step: Callable[[], Awaitable[T]]) -> T:
        """Do a call. `call` names it, as in "log.append"; nothing has happened before `step` is called."""
        ...


async def _plainly(call: str, step: Callable[[], Awaitable[T]]) -> T:  # noqa: ARG001  as `Around` has it
    return await step()


class LogWrapper:
    """A `Log` that hands every call to another one.

    Attributes:
        inner: The other one.
        around: What is done around each call.
    """

    def __init__(self, inner: Log, around: Around = _plainly) -> None:
        self.inner = inner
        self.around = around

    async def append(self, append: Append) -> Appended | Conflict | KeyReused | Unmet:
        """See `Log.append`."""
        return await self.around("log.append", lambda: self.inner.append(append))

    async def recall(self, stream: str, key: str) -> Appended | KeyReused | Receipt:
        """See `Log.recall`."""
        return await self.around("log.recall", lambda: self.inner.recall(stream, key))

    async def read(self, after: int, limit: int, max_bytes: int, query: Query | None = None) -> Page:
        """See `Log.read`."""
        return await self.around("log.read", lambda: self.inner.read(after, limit, max_bytes, query))

    async def read_stream(
        self, stream: str, after_revision: int, limit: int, max_bytes: int, snapshot: str | None = None
    ) -> StreamPage:
        """See `Log.read_stream`."""
        return await self.around(
            "log.read_stream", lambda: self.inner.read_stream(stream, after_revision, limit, max_bytes, snapshot)
        )

    async def keep(self, stream: str, snapshot: Snapshot) -> Receipt:
        """See `Log.keep`."""
        return await self.around("log.keep", lambda: self.inner.keep(stream, snapshot))

    async def head(self) -> tuple[int, Receipt]:
        """See `Log.head`."""
        return await self.around("log.head", self.inner.head)

    async def settle(self, position: int) -> tuple[int, Receipt]:
        """See `Log.settle`."""
        return await self.around("log.settle", lambda: self.inner.settle(position))

    async def withdraw(self, position: int, raised_us: int) -> Receipt:
        """See `Log.withdraw`."""
        return await self.around("log.withdraw", lambda: self.inner.withdraw(position, raised_us))

    async def partitions(self) -> tuple[int, Receipt]:
        """See `PartitionedLog.partitions`; of a backend whose log is in partitions."""
        return await self.around("log.partitions", self._partitioned.partitions)

    def partition_of(self, stream: str, partitions: int) -> int:
        """See `PartitionedLog.partition_of`."""
        return self._partitioned.partition_of(stream, partitions)

    def membership(self) -> Membership | None:
        """See `PartitionedLog.membership`."""
        return self._partitioned.membership()

    def part(self, partition: int) -> Log:
        """See `PartitionedLog.part`."""
        return LogWrapper(self._partitioned.part(partition), self.around)

    @property
    def _partitioned(self) -> PartitionedLog:
        return cast("PartitionedLog", self.inner)


class ViewsWrapper:
    """A `Views` that hands every call to another one.

    Attributes:
        inner: The other one.
        around: What is done around each call.
    """

    def __init__(self, inner: Views, around: Around = _plainly) -> None:
        self.inner = inner
        self.around = around

    async def pull(self, pull: Pull) -> Pulled:
        """See `Views.pull`."""
        return await self.around("views.pull", lambda: self.inner.pull(pull))

    async def commit(self, commits: Sequence[Commit], then: Pull | None) -> Committed:
        """See `Views.commit`."""
        return await self.around("views.commit", lambda: self.inner.commit(commits, then))

    async def progress(self, projections: Sequence[ProjectionId]) -> tuple[tuple[Progress, ...], int, Receipt]:
        """See `Views.progress`."""
        return await self.around("views.progress", lambda: self.inner.progress(projections))

    async def load(self, wanted: Sequence[Wanted]) -> tuple[list[Stored], Receipt]:
        """See `Views.load`."""
        return await self.around("views.load", lambda: self.inner.load(wanted))

    async def get_many(
        self, projection: ProjectionId, keys: Sequence[str], now_us: int, *, primary: bool = False
    ) -> Got:
        """See `Views.get_many`."""
        return await self.around(
            "views.get_many", lambda: self.inner.get_many(projection, keys, now_us, primary=primary)
        )

    async def items(
        self, projection: ProjectionId, after: str | None, limit: int, max_bytes: int, now_us: int
    ) -> Listed:
        """See `Views.items`."""
        return await self.around("views.items", lambda: self.inner.items(projection, after, limit, max_bytes, now_us))

    async def find(
        self,
        projection: ProjectionId,
        span: Span,
        after: tuple[str, str] | None,
        limit: int,
        max_bytes: int,
        now_us: int,
        *,
        reverse: bool = False,
    ) -> Listed:
        """See `Views.find`."""
        return await self.around(
            "views.find",
            lambda: self.inner.find(projection, span, after, limit, max_bytes, now_us, reverse=reverse),
        )

    async def count(
        self, projection: ProjectionId, span: Span | None, now_us: int, *, primary: bool = False
    ) -> Counted:
        """See `Views.count`."""
        return await self.around("views.count", lambda: self.inner.count(projection, span, now_us, primary=primary))

    async def rank(self, projection: ProjectionId, span: Span, key: str, now_us: int) -> Counted:
        """See `Views.rank`."""
        return await self.around("views.rank", lambda: self.inner.rank(projection, span, key, now_us))

    async def ended(self, projection: ProjectionId, now_us: int, limit: int) -> Ended:
        """See `Views.ended`."""
        return await self.around("views.ended", lambda: self.inner.ended(projection, now_us, limit))

    async def records(self, projection: ProjectionId, names: Sequence[str]) -> Got:
        """See `Views.records`."""
        return await self.around("views.records", lambda: self.inner.records(projection, names))

    async def begin(self, projection: ProjectionId) -> tuple[Progress, Receipt]:
        """See `Views.begin`."""
        return await self.around("views.begin", lambda: self.inner.begin(projection))

    async def serve(self, projection: ProjectionId, present: int, wanted: int) -> tuple[bool, Receipt]:
        """See `Views.serve`."""
        return await self.around("views.serve", lambda: self.inner.serve(projection, present, wanted))

    async def drop(
        self, projection: ProjectionId, generation: int, records: Sequence[str], limit: int, *, serving: bool = False
    ) -> tuple[bool, Receipt]:
        """See `Views.drop`."""
        return await self.around(
            "views.drop", lambda: self.inner.drop(projection, generation, records, limit, serving=serving)
        )


class BackendWrapper:
    """A `Backend` whose log and views are those of another one, wrapped.

    Replace `around`, `wrap_log` or `wrap_views`.

    Attributes:
        inner: The backend that is wrapped.
    """

    def __init__(self, inner: Backend) -> None:
        self.inner = inner
        self._logs: list[tuple[Log, Log]] = []

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.inner!r})"

    @property
    def public(self) -> bool:
        """See `Backend.public`."""
        return self.inner.public

    @property
    def capabilities(self) -> Capabilities:
        """See `Backend.capabilities`."""
        return self.inner.capabilities

    async def around(self, call: str, step: Callable[[], Awaitable[T]]) -> T:  # noqa: ARG002  for those who replace it
        """Do a call to the wrapped log or views.

        Args:
            call: Which, such as "log.append" or "views.commit".
            step: Does it. Nothing has happened before it is called.
        """
        return await step()

    def wrap_log(self, log: Log) -> Log:
        """What is handed out for the wrapped backend's log."""
        return LogWrapper(log, self.around)

    def wrap_views(self, views: Views) -> Views:
        """What is handed out for the wrapped backend's views."""
        return ViewsWrapper(views, self.around)

    def log(self, port: Port) -> Log:
        """See `Backend.log`."""
        inner = self.inner.log(port)
        wrapped = self.wrap_log(inner)
        self._logs.append((wrapped, inner))
        return wrapped

    def views(self, port: Port, log: Log) -> Views:
        """See `Backend.views`. The wrapped backend is given the log that it made itself, which it knows as its own."""
        own = next((inner for wrapped, inner in self._logs if wrapped is log), log)
        return self.wrap_views(self.inner.views(port, own))

    def mailbox(self, port: Port) -> Mailbox | None:
        """See `Backend.mailbox`."""
        return self.inner.mailbox(port)

    def limiter(self, port: Port) -> Limiter:
        """See `Backend.limiter`."""
        return self.inner.limiter(port)

    async def check(self, port: Port) -> tuple[str, ...]:
        """See `Backend.check`."""
        return await self.inner.check(port)

    def close(self) -> None:
        """See `Backend.close`."""
        self.inner.close()
