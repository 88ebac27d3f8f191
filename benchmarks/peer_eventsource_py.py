"""The peer `eventsource-py`. It is asynchronous only; each measurement is one `asyncio.run`.

Events are pydantic models, made before the clock starts with their id, time and version: making
one costs several times what storing it does. Its memory store keeps these objects, and encodes and
decodes nothing; the rows where that counts say so. SQLite: WAL and synchronous=FULL, its defaults.
"""

# mypy: disable-error-code="import-not-found, misc, untyped-decorator"
# pyright: basic, reportMissingImports=false
# Why: the peer is installed in an environment of its own, where neither checker looks.

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING
from uuid import UUID

from eventsource import (
    AggregateRepository,
    DatabaseProjection,
    DeclarativeAggregate,
    DeclarativeProjection,
    DomainEvent,
    ExpectedVersion,
    InMemoryCheckpointRepository,
    InMemoryEventStore,
    SQLCheckpointRepository,
    SQLiteEventStore,
    StreamId,
    create_async_engine,
    handles,
    register_event,
    replay,
)
from pydantic import BaseModel
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, async_sessionmaker

from benchmarks import todo
from benchmarks.measuring import Contestant, clock, median, memory_kept
from benchmarks.todo import Kind

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from benchmarks.measuring import Job, Measure


@register_event
class TaskCreated(DomainEvent):
    aggregate_type: str = "Task"
    text: str


@register_event
class TaskUpdated(DomainEvent):
    aggregate_type: str = "Task"
    text: str


@register_event
class TaskCompleted(DomainEvent):
    aggregate_type: str = "Task"


@register_event
class TaskDeleted(DomainEvent):
    aggregate_type: str = "Task"


CLASSES = {
    Kind.CREATED: TaskCreated,
    Kind.UPDATED: TaskUpdated,
    Kind.COMPLETED: TaskCompleted,
    Kind.DELETED: TaskDeleted,
}


def event_of(line: todo.Line, key: UUID) -> DomainEvent:
    values = {"aggregate_id": key, "aggregate_version": line.revision}
    if line.kind in (Kind.CREATED, Kind.UPDATED):
        values["text"] = line.text
    return CLASSES[line.kind](**values)


def prepared(
    lines: Iterable[todo.Line],
) -> list[tuple[StreamId, list[DomainEvent], ExpectedVersion]]:
    appends = []
    for line in lines:
        key = UUID(int=line.task + 1)
        expected = ExpectedVersion.exact(line.revision - 1)
        appends.append((StreamId(key, "Task"), [event_of(line, key)], expected))
    return appends


def open_store(job: Job, sqlite: bool) -> InMemoryEventStore | SQLiteEventStore:
    return SQLiteEventStore(str(job.folder / "peer.db")) if sqlite else InMemoryEventStore()


async def fill(store: InMemoryEventStore | SQLiteEventStore, size: int) -> None:
    for stream, events, expected in prepared(todo.lines(size)):
        await store.append(stream, events, expected)


async def append(sqlite: bool, job: Job) -> float:
    async with open_store(job, sqlite) as store:
        appends = prepared(todo.lines(job.size + todo.WARM_UP))
        for stream, events, expected in appends[: todo.WARM_UP]:
            await store.append(stream, events, expected)
        with clock() as spent:
            for stream, events, expected in appends[todo.WARM_UP :]:
                await store.append(stream, events, expected)
        return spent.us(job.size)


async def append_100(job: Job) -> float:
    async with open_store(job, sqlite=True) as store:
        batches = []
        for task, lines in todo.batches(job.size):
            key = UUID(int=task + 1)
            batches.append((StreamId(key, "Task"), [event_of(line, key) for line in lines]))
        with clock() as spent:
            for stream, events in batches:
                await store.append(stream, events, ExpectedVersion.exact(0))
        return spent.us(job.size)


async def read(sqlite: bool, job: Job) -> float:
    async with open_store(job, sqlite) as store:
        await fill(store, job.size)
        count = 0
        with clock() as spent:
            async for _ in store.read_all():
                count += 1
        assert count == job.size
        return spent.us(job.size)


class MemoryTasks(DeclarativeProjection):
    """The view: plain objects, never encoded."""

    def __init__(self) -> None:
        super().__init__(checkpoint_repo=InMemoryCheckpointRepository())
        self.documents: dict[UUID, todo.Task] = {}

    @handles(TaskCreated)
    async def created(self, event: TaskCreated) -> None:
        self.documents[event.aggregate_id] = todo.Task(event.aggregate_id.hex, event.text)

    @handles(TaskUpdated)
    async def updated(self, event: TaskUpdated) -> None:
        task = self.documents[event.aggregate_id]
        self.documents[event.aggregate_id] = todo.Task(task.id, event.text, task.done)

    @handles(TaskCompleted)
    async def completed(self, event: TaskCompleted) -> None:
        task = self.documents[event.aggregate_id]
        self.documents[event.aggregate_id] = todo.Task(task.id, task.text, True)

    @handles(TaskDeleted)
    async def deleted(self, event: TaskDeleted) -> None:
        self.documents.pop(event.aggregate_id, None)


class SQLiteTasks(DatabaseProjection):
    """Its transaction holds the view; the checkpoint follows in another: not exactly once."""

    @handles(TaskCreated)
    async def created(self, connection: AsyncConnection, event: TaskCreated) -> None:
        values = {"id": event.aggregate_id.hex, "text": event.text}
        statement = "INSERT OR REPLACE INTO tasks VALUES (:id, :text, 0)"
        await connection.execute(text(statement), values)

    @handles(TaskUpdated)
    async def updated(self, connection: AsyncConnection, event: TaskUpdated) -> None:
        values = {"id": event.aggregate_id.hex, "text": event.text}
        await connection.execute(text("UPDATE tasks SET text = :text WHERE id = :id"), values)

    @handles(TaskCompleted)
    async def completed(self, connection: AsyncConnection, event: TaskCompleted) -> None:
        values = {"id": event.aggregate_id.hex}
        await connection.execute(text("UPDATE tasks SET done = 1 WHERE id = :id"), values)

    @handles(TaskDeleted)
    async def deleted(self, connection: AsyncConnection, event: TaskDeleted) -> None:
        values = {"id": event.aggregate_id.hex}
        await connection.execute(text("DELETE FROM tasks WHERE id = :id"), values)


async def project_memory(job: Job) -> float:
    async with open_store(job, sqlite=False) as store:
        await fill(store, job.size)
        tasks = MemoryTasks()
        with clock() as spent:
            report = await replay(store, tasks)
        report.raise_for_failures()
        assert len(tasks.documents) == todo.tasks_left(job.size)
        return spent.us(job.size)


async def project_sqlite(job: Job) -> float:
    engine = create_async_engine(f"sqlite+aiosqlite:///{job.folder}/peer.db")
    async with open_store(job, sqlite=True) as store:
        await fill(store, job.size)
        async with engine.begin() as connection:
            await connection.execute(text("CREATE TABLE tasks (id TEXT PRIMARY KEY, text TEXT, done INTEGER)"))
        tasks = SQLiteTasks(async_sessionmaker(engine), checkpoint_repo=SQLCheckpointRepository(engine))
        with clock() as spent:
            report = await replay(store, tasks)
        report.raise_for_failures()
        async with engine.connect() as connection:
            count = (await connection.execute(text("SELECT count(*) FROM tasks"))).scalar()
        assert count == todo.tasks_left(job.size)
    await engine.dispose()
    return spent.us(job.size)


class TaskState(BaseModel):
    text: str = ""
    done: bool = False


class TaskAggregate(DeclarativeAggregate[TaskState]):
    aggregate_type = "Task"

    def _get_initial_state(self) -> TaskState:
        return TaskState()

    @handles(TaskCreated)
    def created(self, event: TaskCreated) -> None:
        self._state = TaskState(text=event.text)

    @handles(TaskUpdated)
    def updated(self, event: TaskUpdated) -> None:
        self._state = TaskState(text=event.text, done=self.state.done)


async def load(job: Job) -> float:
    async with open_store(job, sqlite=False) as store:
        for stream, events, expected in prepared(todo.one_task(job.size)):
            await store.append(stream, events, expected)
        repository = AggregateRepository(store, TaskAggregate)
        times = []
        for _ in range(20):
            with clock() as spent:
                loaded = await repository.load(UUID(int=1))
            assert loaded.version == job.size
            times.append(spent.seconds * 1e6)
        return median(times)


async def bytes_per_event(job: Job) -> float:
    async with open_store(job, sqlite=False) as store:
        with memory_kept() as kept:
            for task, lines in todo.batches(job.size):
                key = UUID(int=task + 1)
                stream = StreamId(key, "Task")
                for line in lines:
                    expected = ExpectedVersion.exact(line.revision - 1)
                    await store.append(stream, [event_of(line, key)], expected)
        return kept.bytes / job.size


def blocking(measure: Callable[[Job], Awaitable[float]]) -> Measure:
    async def main(job: Job) -> float:
        return await measure(job)

    return lambda job: asyncio.run(main(job))


def contestant(_: str) -> Contestant:
    objects = "keeps the event objects: encodes and decodes nothing"
    return Contestant(
        measures={
            "append-memory": blocking(partial(append, False)),
            "append-sqlite": blocking(partial(append, True)),
            "append-100": blocking(append_100),
            "read-memory": blocking(partial(read, False)),
            "read-sqlite": blocking(partial(read, True)),
            "project-memory": blocking(project_memory),
            "project-sqlite": blocking(project_sqlite),
            "load": blocking(load),
            "bytes": blocking(bytes_per_event),
        },
        caveats={
            "append-memory": objects,
            "read-memory": objects,
            "project-memory": objects,
            "load": objects,
            "project-sqlite": "moves the checkpoint in a second transaction: not exactly once",
        },
        cannot={
            "visible": "nothing in it waits for a position",
            "read-your-write": "nothing in it waits for a position",
            "peak": "would take minutes",
        },
    )
