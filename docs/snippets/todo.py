"""The quickstart: a to-do list, step by step."""

# --8<-- [start:events]
from dataclasses import dataclass, replace

from eventsource_upstash import Registry, connect

registry = Registry()


@registry.event("task-created")
@dataclass(frozen=True)
class TaskCreated:
    text: str


@registry.event("task-completed")
@dataclass(frozen=True)
class TaskCompleted:
    pass


# --8<-- [end:events]


# --8<-- [start:view]
@dataclass(frozen=True)
class Task:
    text: str
    done: bool = False


tasks = registry.projection("tasks", Task)


@tasks.on(TaskCreated)
def created(task: Task | None, event: TaskCreated) -> Task:
    return Task(event.text)


@tasks.on(TaskCompleted)
def completed(task: Task | None, event: TaskCompleted) -> Task | None:
    return task and replace(task, done=True)


# --8<-- [end:view]


# --8<-- [start:aggregate]
@dataclass(frozen=True)
class CreateTask:
    text: str


@dataclass(frozen=True)
class CompleteTask:
    pass


class TaskError(Exception):
    """The command was refused."""


task = registry.aggregate("task", Task)
task.on(TaskCreated)(created)  # the same folds as the view's, here over one stream
task.on(TaskCompleted)(completed)


@task.decide(CreateTask)
def create(state: Task | None, command: CreateTask) -> TaskCreated:
    if state is not None:
        raise TaskError("there is such a task already")
    return TaskCreated(command.text)


@task.decide(CompleteTask)
def complete(state: Task | None, command: CompleteTask) -> TaskCompleted | None:
    if state is None:
        raise TaskError("there is no such task")
    return None if state.done else TaskCompleted()


# --8<-- [end:aggregate]


def test_append_and_read(in_empty_folder: None) -> None:
    # --8<-- [start:append]
    app = connect("sqlite:todo.db", registry)

    appended = app.event_store.append("task-1", TaskCreated("Do the dishes"))
    assert (appended.position, appended.revision) == (1, 1)
    # --8<-- [end:append]
    # --8<-- [start:read]
    (recorded,) = app.event_store.read()
    assert recorded.event == TaskCreated("Do the dishes")
    assert (recorded.position, recorded.stream, recorded.type) == (1, "task-1", "task-created")
    # --8<-- [end:read]
    # --8<-- [start:catch_up]
    caught_up = app.projector.catch_up()
    assert caught_up.complete

    view = app.projection_store.view(tasks)
    assert view.get("task-1") == Task("Do the dishes")
    # --8<-- [end:catch_up]
    # --8<-- [start:worker]
    with app.worker():  # a thread that catches up after each append
        appended = app.event_store.append("task-2", TaskCreated("Water the plants"))
        assert view.get("task-2", at_least=appended.position) == Task("Water the plants")
    # --8<-- [end:worker]
    # --8<-- [start:execute]
    executed = app.event_store.execute(task, "task-1", CompleteTask())
    assert executed.events == (TaskCompleted(),)
    assert executed.state == Task("Do the dishes", done=True)

    try:
        app.event_store.execute(task, "task-7", CompleteTask())
    except TaskError as refused:
        assert str(refused) == "there is no such task"
    # --8<-- [end:execute]
    # --8<-- [start:again]
    app.close()

    app = connect("sqlite:todo.db", registry)  # another day, another process
    view = app.projection_store.view(tasks)
    head = app.event_store.head()
    assert dict(view.items(at_least=head)) == {
        "task-1": Task("Do the dishes", done=True),
        "task-2": Task("Water the plants"),
    }
    # --8<-- [end:again]
    app.close()


async def test_async(in_empty_folder: None) -> None:
    # --8<-- [start:async]
    from eventsource_upstash import connect_async

    app = connect_async("sqlite:todo.db", registry)  # not awaited: it opens nothing yet
    async with app, app.worker():
        executed = await app.event_store.execute(task, "task-1", CreateTask("Do the dishes"))
        view = app.projection_store.view(tasks)
        assert await view.get("task-1", at_least=executed.position) == Task("Do the dishes")
        assert [recorded.revision async for recorded in app.event_store.read_stream("task-1")] == [
            1
        ]
    # --8<-- [end:async]
