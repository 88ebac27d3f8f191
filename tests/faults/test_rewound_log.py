"""A view ahead of its log, because the log was restored from a backup or lost writes, is detected."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from eventsource_upstash import App, LogReplaced, LogRewound, Memory, ProjectionStore, Projector, SQLite
from tests.faults.driving import Colour, Driver
from tests.unit.todo import Task, TaskCreated, Todo, todo


def task(number: int) -> TaskCreated:
    return TaskCreated(str(number), f"task {number}")


def refuses(app: Driver, the: Todo, *, checkpoint: int, head: int) -> None:
    for act in (app.catch_up, lambda: app.catch_up(until=1), lambda: app.get(the.tasks, "1", at_least=checkpoint + 1)):
        with pytest.raises(LogRewound) as caught:
            act()
        error = caught.value
        assert (error.projection, error.checkpoint, error.head) == ("tasks", checkpoint, head)
        assert f"projection 'tasks' is at position {checkpoint}, but the log ends at {head}" in str(error)
        assert "Restore the log, or rebuild the projection" in str(error)
    status = app.status()["tasks"]
    assert (status.state, status.checkpoint, status.head, status.lag) == ("rewound", checkpoint, head, 0)


def test_a_log_that_lost_its_last_events(tmp_path: Path, colour: Colour) -> None:
    the = todo()
    backend = SQLite(tmp_path / "log.db")
    app = Driver(backend, the.registry, colour)
    app.append("tasks", *map(task, range(5)))
    app.catch_up()
    with closing(sqlite3.connect(tmp_path / "log.db")) as connection, connection:
        assert connection.execute("DELETE FROM events WHERE position > 3").rowcount == 2
    refuses(app, the, checkpoint=5, head=3)
    assert app.count(the.tasks) == 5, "the view is left as it is"
    assert app.append("tasks", task(7), expected_revision=3).position == 4
    refuses(app, the, checkpoint=5, head=4)
    assert app.count(the.tasks) == 5
    backend.close()


def test_a_log_that_lost_everything(tmp_path: Path, colour: Colour) -> None:
    the = todo()
    backend = SQLite(tmp_path / "log.db")
    app = Driver(backend, the.registry, colour)
    app.append("tasks", *map(task, range(5)))
    app.catch_up()
    with closing(sqlite3.connect(tmp_path / "log.db")) as connection, connection:
        connection.execute("DELETE FROM events")
    refuses(app, the, checkpoint=5, head=0)
    backend.close()


def test_a_new_version_of_the_projection_is_built_anew(tmp_path: Path, colour: Colour) -> None:
    the = todo()
    backend = SQLite(tmp_path / "log.db")
    app = Driver(backend, the.registry, colour)
    app.append("tasks", *map(task, range(5)))
    app.catch_up()
    with closing(sqlite3.connect(tmp_path / "log.db")) as connection, connection:
        connection.execute("DELETE FROM events WHERE position > 3")

    another = todo()
    registry = another.registry
    del registry._projections[another.tasks.id]  # the code of before is gone
    tasks = registry.projection("tasks", Task, version=2)

    @tasks.on(TaskCreated, key="id")
    def created(task: Task | None, event: TaskCreated) -> Task:
        return Task(event.id, event.text)

    app = Driver(backend, registry, colour)
    assert app.catch_up().complete
    assert list(app.items(tasks)) == ["0", "1", "2"]
    backend.close()


def test_views_beside_another_log(tmp_path: Path) -> None:
    # Views that outlive their log: the log was in memory, and its process is gone.
    the = todo()
    views = SQLite(tmp_path / "views.db")
    for lives in range(2):
        log = App(Memory(), the.registry, None).event_store
        store = ProjectionStore(views, the.registry, log_backend=log.backend)
        projector = Projector(log, store)
        if lives == 0:
            log.append("tasks", *map(task, range(5)))
            projector.catch_up()
        else:
            log.append("tasks", task(9))
            with pytest.raises(LogRewound, match="at position 5, but the log ends at 1"):
                projector.catch_up()
        assert store.view(the.tasks).count() == 5
    views.close()


class Elsewhere:
    """A log in memory, with its view in another backend."""

    def __init__(self, views: Memory | SQLite, the: Todo, *numbers: int) -> None:
        self.the = the
        self.log = App(Memory(), the.registry, None).event_store
        self.store = ProjectionStore(views, the.registry, log_backend=self.log.backend)
        self.projector = Projector(self.log, self.store)
        self.append(*numbers)

    def append(self, *numbers: int) -> None:
        self.log.append("tasks", *map(task, numbers))

    @property
    def keys(self) -> list[str]:
        return [key for key, _ in self.store.view(self.the.tasks).items()]


@pytest.fixture(params=["memory", "sqlite"])
def views(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Memory | SQLite]:
    backend = Memory() if request.param == "memory" else SQLite(tmp_path / "views.db")
    yield backend
    backend.close()


def test_views_beside_another_log_that_is_longer(views: Memory | SQLite) -> None:
    the = todo()
    first = Elsewhere(views, the, 0, 1)
    assert first.projector.catch_up(until=1).position == 1
    assert first.projector.catch_up().complete
    first.append(2)
    assert first.projector.catch_up().complete
    other = Elsewhere(views, the, 5, 6, 7, 8)
    fresh = the.registry.projection("fresh", Task)

    @fresh.on(TaskCreated, key="id")
    def created(task: Task | None, event: TaskCreated) -> Task:
        return Task(event.id, event.text)

    for _ in range(2):
        with pytest.raises(LogReplaced, match=r"projection 'tasks' is at position 3 .*raise its version"):
            other.projector.catch_up()
    with pytest.raises(LogReplaced):
        other.store.view(the.tasks, consistency="strong").count()
    assert other.keys == ["0", "1", "2"], "it is left as it is"
    assert other.store.view(fresh).count() == 4, "and holds up nobody else"
    first.append(3)
    assert first.store.view(the.tasks, consistency="strong").count() == 4, "the log that it was is welcome"


def test_views_beside_another_log_are_built_of_it_by_a_higher_version(views: Memory | SQLite) -> None:
    Elsewhere(views, todo(), 0, 1).projector.catch_up()
    the = todo()
    del the.registry._projections[the.tasks.id]
    tasks = the.registry.projection("tasks", Task, version=2)

    @tasks.on(TaskCreated, key="id")
    def created(task: Task | None, event: TaskCreated) -> Task:
        return Task(event.id, event.text)

    other = Elsewhere(views, the, 5, 6, 7)
    assert other.projector.catch_up().complete
    assert sorted(key for key, _ in other.store.view(tasks).items()) == ["5", "6", "7"]
    other.append(8)
    assert other.projector.catch_up().complete


def test_one_rewound_view_does_not_hold_up_another(tmp_path: Path, colour: Colour) -> None:
    the = todo()
    backend = SQLite(tmp_path / "log.db")
    app = Driver(backend, the.registry, colour)
    app.append("tasks", *map(task, range(5)))
    app.catch_up()
    with closing(sqlite3.connect(tmp_path / "log.db")) as connection, connection:
        connection.execute("DELETE FROM events WHERE position > 3")
    new = the.registry.projection("new", Task)  # and so it is not ahead of anything

    @new.on(TaskCreated, key="id")
    def created(task: Task | None, event: TaskCreated) -> Task:
        return Task(event.id, event.text)

    with pytest.raises(LogRewound, match="'tasks'"):
        app.catch_up()
    assert app.count(new) == 3
    backend.close()
