"""What the type checkers infer of the public face. Checked by mypy and pyright, both strict; never run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, replace
from uuid import UUID

from typing_extensions import assert_type

from eventsource_upstash import (
    ANY,
    EXISTS,
    NO_STREAM,
    Aggregate,
    App,
    Appended,
    AsyncApp,
    AsyncEventStore,
    AsyncProjectionStore,
    AsyncProjector,
    AsyncView,
    AsyncWorker,
    CatchUp,
    ConcurrencyError,
    EventStore,
    Executed,
    Expectation,
    Loaded,
    Memory,
    MemoryKeys,
    Personal,
    Projection,
    ProjectionStatus,
    ProjectionStopped,
    ProjectionStore,
    Projector,
    Receipt,
    Recorded,
    Registry,
    SQLite,
    View,
    Worker,
    connect,
    connect_async,
)

registry = Registry()


@registry.event("task-created")
@dataclass(frozen=True)
class TaskCreated:
    id: str
    text: str


@registry.event("task-completed", version=1)
@dataclass(frozen=True)
class TaskCompleted:
    id: str


@dataclass(frozen=True)
class Task:
    id: str
    text: str
    done: bool = False


@dataclass(frozen=True)
class CreateTask:
    id: str
    text: str


# The decorator answers the class itself, not a wrapper of it.
assert_type(TaskCreated("1", "x"), TaskCreated)

tasks = registry.projection("tasks", Task)
assert_type(tasks, Projection[Task])
task_aggregate = registry.aggregate("task", Task)
assert_type(task_aggregate, Aggregate[Task])


@registry.upcast("task-renamed", from_version=1)
def renamed(data: dict[str, object]) -> dict[str, object]:
    return {**data, "text": data["name"]}


# --- handlers that are right


@tasks.on(TaskCreated, key="id")
@task_aggregate.on(TaskCreated)
def created(task: Task | None, event: TaskCreated) -> Task | None:
    return Task(event.id, event.text)


@tasks.on(TaskCompleted, key=lambda event: event.id)
def completed(task: Task | None, event: TaskCompleted) -> Task | None:
    return task and replace(task, done=True)


# One that is told its key; a lambda infers what it is given.


@tasks.on(TaskCompleted, key=lambda event: [event.id, "last"])
def keyed(task: Task | None, event: TaskCompleted, key: str) -> Task | None:
    return task and replace(task, id=key)


@tasks.on_recorded(TaskCompleted)
def keyed_and_recorded(task: Task | None, recorded: Recorded[TaskCompleted], key: str) -> Task:
    return Task(key, recorded.event.id)


tasks.on(TaskCompleted)(lambda task, event: task and replace(task, id=event.id))
assert_type(keyed(None, TaskCompleted("1"), "last"), Task | None)
assert_type(completed(None, TaskCompleted("1")), Task | None)


# A handler that never deletes says so; one that takes more than it is given is fine too.
archive = registry.projection("archive", Task)


@archive.on(TaskCreated, key=lambda event: [event.id, event.text])
def archived(task: Task | None, event: TaskCreated) -> Task:
    return Task(event.id, event.text)


@archive.on(TaskCompleted, key=lambda event: (event.id,))
def touched(task: Task | None, event: object) -> Task | None:
    return task


times = registry.projection("times", Task, version=2)


@times.on_recorded(TaskCreated, key=lambda event: UUID(event.id))
def created_at(task: Task | None, recorded: Recorded[TaskCreated]) -> Task | None:
    assert_type(recorded.event, TaskCreated)
    assert_type(recorded.position, int)
    assert_type(recorded.tags, tuple[str, ...])
    return Task(recorded.event.id, str(recorded.recorded_at))


@task_aggregate.decide(CreateTask)
def create(task: Task | None, command: CreateTask) -> TaskCreated | None:
    return TaskCreated(command.id, command.text) if task is None else None


@dataclass(frozen=True)
class CreateTwice:
    id: str


@task_aggregate.decide(CreateTwice)
def create_twice(task: Task | None, command: CreateTwice) -> list[TaskCreated | TaskCompleted]:
    return [TaskCreated(command.id, ""), TaskCompleted(command.id)]


# What was registered can still be called, as a test of one's own would.
assert_type(created(None, TaskCreated("1", "x")), Task | None)
assert_type(created_at, Callable[[Task | None, Recorded[TaskCreated]], Task | None])


# --- the blocking face


def blocking() -> None:
    app = connect("memory:", registry)
    assert_type(app, App)
    with app as same, app.worker(poll_interval=0.5) as worker:
        assert_type(same, App)
        assert_type(worker, Worker)
    assert_type(app.event_store, EventStore)
    assert_type(app.projection_store, ProjectionStore)
    assert_type(app.projector, Projector)

    appended = app.event_store.append("task-1", TaskCreated("1", "x"), TaskCompleted("1"), expected_revision=NO_STREAM)
    assert_type(appended, Appended)
    assert_type(appended.position, int)
    app.event_store.append("task-1", TaskCompleted("1"), expected_revision=EXISTS, metadata={"user": "ada"})
    app.event_store.append("task-1", TaskCompleted("1"), expected_revision=ANY, tags=["a"], idempotency_key="k")

    assert_type(app.event_store.read(), Iterator[Recorded[object]])
    assert_type(app.event_store.read_stream("task-1", after_revision=1, limit=5), Iterator[Recorded[object]])
    assert_type(app.event_store.head(), int)

    loaded = app.event_store.load(task_aggregate, "task-1")
    assert_type(loaded, Loaded[Task])
    assert_type(loaded.state, Task | None)
    executed = app.event_store.execute(task_aggregate, "task-1", CreateTask("1", "x"), retries=1)
    assert_type(executed, Executed[Task])
    assert_type(executed.state, Task | None)
    assert_type(executed.position, int | None)
    assert_type(executed.events, tuple[object, ...])

    view = app.projection_store.view(tasks)
    assert_type(view, View[Task])
    assert_type(view.get("1", at_least=appended.position), Task | None)
    assert_type(view.get_many(["1", "2"]), dict[str, Task])
    assert_type(view.items(after="1", limit=10), Iterator[tuple[str, Task]])
    assert_type(view.count(), int)
    assert_type(app.projection_store.status(), tuple[ProjectionStatus, ...])
    assert_type(app.projector.catch_up(until=5, time_budget=1.0), CatchUp)


# --- the event-loop face


async def event_loop() -> None:
    app = connect_async("memory:", registry)
    assert_type(app, AsyncApp)
    async with app as same, app.worker(poll_interval=0.5) as worker:
        assert_type(same, AsyncApp)
        assert_type(worker, AsyncWorker)
    assert_type(app.event_store, AsyncEventStore)
    assert_type(app.projection_store, AsyncProjectionStore)
    assert_type(app.projector, AsyncProjector)

    appended = await app.event_store.append("task-1", TaskCreated("1", "x"), expected_revision=NO_STREAM)
    assert_type(appended, Appended)
    assert_type(app.event_store.read(), AsyncIterator[Recorded[object]])
    assert_type(await app.event_store.head(), int)
    assert_type(await app.event_store.load(task_aggregate, "task-1"), Loaded[Task])
    assert_type(await app.event_store.execute(task_aggregate, "task-1", CreateTask("1", "x")), Executed[Task])

    view = app.projection_store.view(tasks)
    assert_type(view, AsyncView[Task])
    assert_type(await view.get("1", at_least=appended.position), Task | None)
    assert_type(await view.get_many(["1", "2"]), dict[str, Task])
    assert_type(view.items(), AsyncIterator[tuple[str, Task]])
    assert_type(await view.count(), int)
    assert_type(await app.projection_store.status(), tuple[ProjectionStatus, ...])
    assert_type(await app.projector.catch_up(), CatchUp)


# --- parts by hand, and errors


def parts() -> None:
    backend = SQLite("todo.db", timeout=1, synchronous="NORMAL")
    event_store = EventStore(backend, registry)
    projection_store = ProjectionStore(Memory(), registry, log_backend=backend)
    assert_type(Projector(event_store, projection_store, page_size=10).catch_up(), CatchUp)
    expected: int | Expectation = ANY
    event_store.append("task-1", TaskCreated("1", "x"), expected_revision=expected)


def errors(conflict: ConcurrencyError, stopped: ProjectionStopped) -> None:
    assert_type(conflict.actual, int)
    assert_type(conflict.expected, int | str)
    assert_type(conflict.events, tuple[Recorded[object], ...])
    assert_type(stopped.others, tuple[str, ...])


@dataclass(frozen=True)
class Moved:
    id: str
    address: Personal[str]
    phones: Personal[list[str]] = None


async def personal(store: EventStore, twin: AsyncEventStore) -> None:
    registry.event("moved", subject="id", formerly=("relocated",))(Moved)
    registry.event("moved-again", subject=lambda event: event.id)(Moved)
    assert_type(Moved("1", "Rome").address, str | None)
    assert_type(Moved("1", None).phones, list[str] | None)
    assert_type(store.forget("1"), Receipt)
    assert_type(await twin.readmit(1), Receipt)
    EventStore(Memory(), registry, keys=MemoryKeys())
