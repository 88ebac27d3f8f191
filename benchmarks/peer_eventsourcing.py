"""The peer `eventsourcing`: its default JSON transcoder, and a mapper for msgspec structs.

The second is the example of its documentation, and the fastest that it can be. Events are made
before the clock starts, with their id, version and timestamp: so the envelope, which the floor and
this library make inside, is free here. They are saved with `Application.save`, as in each of its
examples. SQLite: WAL and synchronous=FULL, which are its defaults.
"""

# mypy: disable-error-code="import-not-found, misc, no-any-return, untyped-decorator"
# pyright: basic, reportMissingImports=false
# Why: the peer is installed in an environment of its own, where neither checker looks.

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING
from uuid import UUID

import msgspec
from eventsourcing.application import Application
from eventsourcing.dispatch import singledispatchmethod
from eventsourcing.domain import Aggregate
from eventsourcing.domain import event as emits
from eventsourcing.persistence import Tracking
from eventsourcing.popo import POPOTrackingRecorder
from eventsourcing.projection import ApplicationSubscription, Projection, ProjectionRunner
from eventsourcing.sqlite import SQLiteTrackingRecorder

from benchmarks import todo
from benchmarks.measuring import (
    Contestant,
    clock,
    in_another_process,
    median,
    memory_kept,
    peak_memory,
)
from benchmarks.peer_eventsourcing_events import (
    StructCompleted,
    StructCreated,
    StructDeleted,
    StructEvent,
    StructUpdated,
    TaskCompleted,
    TaskCreated,
    TaskDeleted,
    TaskUpdated,
    events_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from benchmarks.measuring import Job

PAGE = 500  # its own subscriptions select as many


def environment(transcoder: str, job: Job | None) -> dict[str, str]:
    env = {}
    if transcoder == "msgspec":
        env["MAPPER_TOPIC"] = "benchmarks.peer_eventsourcing_events:MsgspecMapper"
    if job is not None:
        env["PERSISTENCE_MODULE"] = "eventsourcing.sqlite"
        env["SQLITE_DBNAME"] = str(job.folder / "peer.db")
    return env


class TodoList(Application[UUID]):
    pass


def fill(app: TodoList, transcoder: str, size: int) -> None:
    """In batches, since nobody times it; they may span aggregates."""
    events = events_of(transcoder, todo.lines(size))
    for start in range(0, len(events), 1_000):
        app.events.put(events[start : start + 1_000])


def append(transcoder: str, sqlite: bool, job: Job) -> float:
    with TodoList(environment(transcoder, job if sqlite else None)) as app:
        events = events_of(transcoder, todo.lines(job.size + todo.WARM_UP))
        save = app.save
        for event in events[: todo.WARM_UP]:
            save(event)
        with clock() as spent:
            for event in events[todo.WARM_UP :]:
                save(event)
        return spent.us(job.size)


def append_100(transcoder: str, job: Job) -> float:
    with TodoList(environment(transcoder, job)) as app:
        batches = [events_of(transcoder, lines) for _, lines in todo.batches(job.size)]
        with clock() as spent:
            for batch in batches:
                app.save(*batch)
        return spent.us(job.size)


def read(transcoder: str, sqlite: bool, job: Job) -> float:
    with TodoList(environment(transcoder, job if sqlite else None)) as app:
        fill(app, transcoder, job.size)
        to_domain_event = app.mapper.to_domain_event
        count = 0
        with clock() as spent:
            while True:
                page = app.recorder.select_notifications(count + 1, PAGE)
                for notification in page:
                    to_domain_event(notification)
                count += len(page)
                if len(page) < PAGE:
                    break
        assert count == job.size
        return spent.us(job.size)


class MemoryTasks(POPOTrackingRecorder):
    """The view: plain objects, never encoded."""

    def __init__(self) -> None:
        super().__init__()
        self.documents: dict[UUID, todo.Task] = {}

    def change(self, key: UUID, fold: Callable[..., todo.Task | None], tracking: Tracking) -> None:
        with self._database_lock:
            self._assert_tracking_uniqueness(tracking)
            document = fold(self.documents.get(key))
            if document is None:
                self.documents.pop(key, None)
            else:
                self.documents[key] = document
            self._insert_tracking(tracking)

    def create(self, event: TaskCreated, tracking: Tracking) -> None:
        key = event.originator_id
        self.change(key, lambda _: todo.Task(key.hex, event.text), tracking)

    def update(self, event: TaskUpdated, tracking: Tracking) -> None:
        self.change(
            event.originator_id,
            lambda task: task and todo.Task(task.id, event.text, task.done),
            tracking,
        )

    def complete(self, event: TaskCompleted, tracking: Tracking) -> None:
        self.change(
            event.originator_id,
            lambda task: task and todo.Task(task.id, task.text, True),
            tracking,
        )

    def delete(self, event: TaskDeleted, tracking: Tracking) -> None:
        self.change(event.originator_id, lambda _: None, tracking)

    def count(self) -> int:
        return len(self.documents)


class SQLiteTasks(SQLiteTrackingRecorder):
    """The view and its tracking record change in one transaction an event."""

    def construct_create_table_statements(self) -> list[str]:
        table = "CREATE TABLE IF NOT EXISTS tasks (id TEXT PRIMARY KEY, text TEXT, done INTEGER)"
        return [*super().construct_create_table_statements(), table]

    def change(self, statement: str, values: tuple[object, ...], tracking: Tracking) -> None:
        with self.datastore.transaction(commit=True) as cursor:
            cursor.execute(statement, values)
            self._insert_tracking(cursor, tracking)

    def create(self, event: TaskCreated, tracking: Tracking) -> None:
        values = (event.originator_id.hex, event.text)
        self.change("INSERT OR REPLACE INTO tasks VALUES (?, ?, 0)", values, tracking)

    def update(self, event: TaskUpdated, tracking: Tracking) -> None:
        values = (event.text, event.originator_id.hex)
        self.change("UPDATE tasks SET text = ? WHERE id = ?", values, tracking)

    def complete(self, event: TaskCompleted, tracking: Tracking) -> None:
        values = (event.originator_id.hex,)
        self.change("UPDATE tasks SET done = 1 WHERE id = ?", values, tracking)

    def delete(self, event: TaskDeleted, tracking: Tracking) -> None:
        values = (event.originator_id.hex,)
        self.change("DELETE FROM tasks WHERE id = ?", values, tracking)

    def count(self) -> int:
        with self.datastore.transaction(commit=False) as cursor:
            cursor.execute("SELECT count(*) FROM tasks")
            return cursor.fetchone()[0]


class Tasks(Projection["MemoryTasks | SQLiteTasks"]):
    @singledispatchmethod
    def process_event(self, domain_event: object, tracking: Tracking) -> None:
        raise NotImplementedError

    @process_event.register(TaskCreated)
    @process_event.register(StructCreated)
    def _(self, event: TaskCreated, tracking: Tracking) -> None:
        self.view.create(event, tracking)

    @process_event.register(TaskUpdated)
    @process_event.register(StructUpdated)
    def _(self, event: TaskUpdated, tracking: Tracking) -> None:
        self.view.update(event, tracking)

    @process_event.register(TaskCompleted)
    @process_event.register(StructCompleted)
    def _(self, event: TaskCompleted, tracking: Tracking) -> None:
        self.view.complete(event, tracking)

    @process_event.register(TaskDeleted)
    @process_event.register(StructDeleted)
    def _(self, event: TaskDeleted, tracking: Tracking) -> None:
        self.view.delete(event, tracking)


def project_memory(transcoder: str, job: Job) -> float:
    """The loop of its `ProjectionRunner`, without the thread that it runs in."""
    with TodoList(environment(transcoder, None)) as app:
        fill(app, transcoder, job.size)
        tasks = Tasks(MemoryTasks())
        with clock() as spent, ApplicationSubscription(app) as subscription:
            for event, tracking in subscription:
                tasks.process_event(event, tracking)
                if tracking.notification_id == job.size:
                    break
        assert tasks.view.count() == todo.tasks_left(job.size)
        return spent.us(job.size)


def fold_sqlite(app: TodoList) -> SQLiteTasks:
    """Its SQLite recorder has no subscriptions: pages are selected, as its followers do."""
    tasks = Tasks(app.factory.tracking_recorder(SQLiteTasks))
    position = 0
    while True:
        page = app.recorder.select_notifications(position + 1, PAGE)
        for notification in page:
            event = app.mapper.to_domain_event(notification)
            tasks.process_event(event, Tracking(app.name, notification.id))
        position += len(page)
        if len(page) < PAGE:
            return tasks.view


def project_sqlite(transcoder: str, job: Job) -> float:
    with TodoList(environment(transcoder, job)) as app:
        fill(app, transcoder, job.size)
        with clock() as spent:
            view = fold_sqlite(app)
        assert view.count() == todo.tasks_left(job.size)
        return spent.us(job.size)


def catch_up_peak(transcoder: str, job: Job) -> float:
    def prepare() -> None:
        with TodoList(environment(transcoder, job)) as app:
            fill(app, transcoder, job.size)

    in_another_process(prepare)
    with peak_memory() as peak, TodoList(environment(transcoder, job)) as app:
        fold_sqlite(app)
    return peak.megabytes


class TaskAggregate(Aggregate):
    """The aggregate as its documentation writes it."""

    @emits("Created")
    def __init__(self, text: str) -> None:
        self.text = text
        self.done = False

    @emits("Updated")
    def update(self, text: str) -> None:
        self.text = text


class StructTask(msgspec.Struct, frozen=True):
    """The immutable aggregate of its documentation's msgspec example."""

    id: UUID
    version: int
    text: str
    done: bool = False


def project_struct(state: StructTask | None, events: Iterable[StructEvent]) -> StructTask | None:
    for event in events:
        if isinstance(event, StructCreated):
            state = StructTask(event.originator_id, event.originator_version, event.text)
        elif isinstance(event, StructUpdated) and state is not None:
            state = StructTask(state.id, event.originator_version, event.text, state.done)
    return state


def load(transcoder: str, job: Job) -> float:
    with TodoList(environment(transcoder, None)) as app:
        if transcoder == "json":
            aggregate = TaskAggregate(text="Do the dishes!")
            for attempt in range(2, job.size + 1):
                aggregate.update(text=f"Do the dishes! {attempt}")
            app.save(aggregate)
            get = partial(app.repository.get, aggregate.id)
        else:
            app.events.put(events_of(transcoder, todo.one_task(job.size)))
            get = partial(app.repository.get, UUID(int=1), projector_func=project_struct)
        times = []
        for _ in range(20):
            with clock() as spent:
                loaded = get()
            assert loaded.version == job.size
            times.append(spent.seconds * 1e6)
        return median(times)


def bytes_per_event(transcoder: str, job: Job) -> float:
    with TodoList(environment(transcoder, None)) as app:
        with memory_kept() as kept:
            for _, lines in todo.batches(job.size):
                for event in events_of(transcoder, lines):
                    app.save(event)
        return kept.bytes / job.size


def visible(transcoder: str, job: Job) -> float:
    """Until its `wait` returns, which looks, and sleeps a tenth of a second, and looks again."""
    env = environment(transcoder, None)
    times = []
    with ProjectionRunner(
        application_class=TodoList, projection_class=Tasks, view_class=MemoryTasks, env=env
    ) as runner:
        for event in events_of(transcoder, todo.lines(job.size)):
            started = time.perf_counter()
            recordings = runner.app.save(event)
            runner.wait(recordings[-1].notification.id)
            times.append((time.perf_counter() - started) * 1e6)
    return median(times)


def contestant(name: str) -> Contestant:
    transcoder = name.removeprefix("eventsourcing-")
    return Contestant(
        measures={
            "append-memory": partial(append, transcoder, False),
            "append-sqlite": partial(append, transcoder, True),
            "append-100": partial(append_100, transcoder),
            "read-memory": partial(read, transcoder, False),
            "read-sqlite": partial(read, transcoder, True),
            "project-memory": partial(project_memory, transcoder),
            "project-sqlite": partial(project_sqlite, transcoder),
            "load": partial(load, transcoder),
            "bytes": partial(bytes_per_event, transcoder),
            "read-your-write": partial(visible, transcoder),
            "peak": partial(catch_up_peak, transcoder),
        },
        cannot={"visible": "has only the polling `wait`, timed in the row below"},
    )
