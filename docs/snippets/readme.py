from dataclasses import dataclass, replace

from eventsource_upstash import NO_STREAM, Registry, connect

registry = Registry()


@registry.event("task-created")  # the name that stands in the log, for good
@dataclass(frozen=True)
class TaskCreated:
    id: str
    text: str


@registry.event("task-completed")
@dataclass(frozen=True)
class TaskCompleted:
    id: str


@dataclass(frozen=True)
class Task:
    id: str
    text: str
    done: bool = False


tasks = registry.projection("tasks", Task)


@tasks.on(TaskCreated, key="id")
def created(task: Task | None, event: TaskCreated) -> Task | None:
    return Task(event.id, event.text)


@tasks.on(TaskCompleted, key="id")
def completed(task: Task | None, event: TaskCompleted) -> Task | None:
    return task and replace(task, done=True)


app = connect("memory:", registry)  # "sqlite:todo.db" keeps it in a file, "upstash:" in Redis
app.event_store.append("task-1", TaskCreated("1", "Do the dishes!"), expected_revision=NO_STREAM)
app.event_store.append("task-1", TaskCompleted("1"), expected_revision=1)

app.projector.catch_up()  # or let app.worker() do it in the background

assert app.projection_store.view(tasks).get("1") == Task("1", "Do the dishes!", done=True)
