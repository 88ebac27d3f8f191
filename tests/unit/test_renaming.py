"""A type that is recorded under other names is one type; a type that is retired is passed over."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import cast

import pytest

from eventsource_upstash import (
    AppendCondition,
    ConcurrencyError,
    ConditionFailed,
    Memory,
    ProjectionStopped,
    Query,
    QueryItem,
    Recorded,
    RegistrationError,
    Registry,
    UndecodableEvent,
    UnknownEventType,
)
from eventsource_upstash.blocking import App
from tests.faults.driving import COLOURS, Colour, Driver


@dataclass(frozen=True)
class TodoAdded:
    text: str


@dataclass(frozen=True)
class TodoNoted:
    title: str


@dataclass(frozen=True)
class TaskCreated:
    title: str
    urgent: bool


@dataclass(frozen=True)
class TaskDropped:
    reason: str


@dataclass(frozen=True)
class Titles:
    titles: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rename:
    title: str


def titled(data: dict[str, object]) -> dict[str, object]:
    return {"title": data["text"]}


def never_urgent(data: dict[str, object]) -> dict[str, object]:
    return {**data, "urgent": False}


def first_release() -> Registry:
    registry = Registry()
    registry.event("todo-added")(TodoAdded)
    registry.event("task-dropped")(TaskDropped)
    return registry


def second_release() -> Registry:
    """A new name, and a new schema version in the same chain."""
    registry = Registry()
    registry.upcast("todo-noted", from_version=1)(titled)
    registry.event("todo-noted", version=2, formerly=("todo-added",))(TodoNoted)
    registry.ignore("task-dropped")
    return registry


def of_today() -> Registry:
    """And once more: three versions, three names."""
    registry = Registry()
    registry.upcast("task-created", from_version=1)(titled)
    registry.upcast("task-created", from_version=2)(never_urgent)
    registry.event("task-created", version=3, formerly=["todo-noted", "todo-added"])(TaskCreated)
    registry.ignore("task-dropped")
    return registry


def written_by_every_release() -> Memory:
    backend = Memory()
    first = App(backend, first_release(), None).event_store
    first.append("task-1", TodoAdded("wash"), TaskDropped("no time"))
    App(backend, second_release(), None).event_store.append("task-1", TodoNoted("dry"))
    App(backend, of_today(), None).event_store.append("task-1", TaskCreated("put away", urgent=True))
    return backend


TODAY = [TaskCreated("wash", urgent=False), TaskCreated("dry", urgent=False), TaskCreated("put away", urgent=True)]


def add(titles: Titles | None, event: TaskCreated) -> Titles:
    return Titles((*(titles or Titles()).titles, event.title))


@pytest.mark.parametrize("colour", COLOURS)
def test_events_under_every_name_are_read_as_the_type_of_today(colour: Colour) -> None:
    driver = Driver(written_by_every_release(), of_today(), colour)
    for recorded in (driver.read(), driver.read_stream("task-1")):
        assert [each.event for each in recorded] == TODAY
        assert [each.type for each in recorded] == ["todo-added", "todo-noted", "task-created"], "as recorded"
        assert [each.version for each in recorded] == [1, 2, 3]
        assert [each.revision for each in recorded] == [1, 3, 4], "the retired one is passed over"


@pytest.mark.parametrize("projections", [1, 2])
def test_events_under_every_name_are_folded(projections: int) -> None:
    registry = of_today()
    types: list[str] = []
    for name in ["one", "two"][:projections]:
        titles = registry.projection(name, Titles)

        @titles.on_recorded(TaskCreated)
        def created(document: Titles | None, recorded: Recorded[TaskCreated]) -> Titles:
            types.append(recorded.type)
            return add(document, recorded.event)

    app = App(written_by_every_release(), registry, None)
    assert app.projector.catch_up().applied == 3 * projections
    assert types == ["todo-added", "todo-noted", "task-created"] * projections
    for projection in registry.projections:
        assert app.projection_store.view(projection).get("task-1") == Titles(("wash", "dry", "put away"))
        assert all(projection.handles(name) for name in ("task-created", "todo-noted", "todo-added"))
        assert not projection.handles("task-dropped")


def test_an_aggregate_folds_them_and_passes_the_retired_type_over() -> None:
    registry = of_today()
    task = registry.aggregate("task", Titles)
    task.on(TaskCreated)(add)
    event_store = App(written_by_every_release(), registry, None).event_store

    @task.decide(Rename)
    def rename(state: Titles | None, command: Rename) -> TaskCreated:
        return TaskCreated(command.title, urgent=False)

    loaded = event_store.load(task, "task-1")
    assert (loaded.state, loaded.revision) == (Titles(("wash", "dry", "put away")), 4)
    executed = event_store.execute(task, "task-1", Rename("rest"))
    assert (executed.state, executed.revision) == (Titles(("wash", "dry", "put away", "rest")), 5)


def test_a_conflict_carries_them_as_the_type_of_today() -> None:
    event_store = App(written_by_every_release(), of_today(), None).event_store
    with pytest.raises(ConcurrencyError) as caught:
        event_store.append("task-1", TaskCreated("late", urgent=True), expected_revision=0)
    assert [each.event for each in caught.value.events] == TODAY
    assert (caught.value.actual, caught.value.complete) == (4, True), "though the retired one is passed over"


@pytest.mark.parametrize("asked", ["task-created", "todo-noted", "todo-added", TaskCreated])
def test_a_query_by_any_name_or_by_class_means_them_all(asked: str | type) -> None:
    the = of_today()
    the.ignore("of-another-app")
    query = Query.of(types=[asked, "of-another-app"], tags=["t"]) | Query.of(tags=["u"])
    assert the.types.resolve(query) == Query(
        (
            QueryItem(frozenset({"task-created", "todo-noted", "todo-added", "of-another-app"}), frozenset({"t"})),
            QueryItem(tags=frozenset({"u"})),
        )
    )


@pytest.mark.parametrize("asked", ["task-created", "todo-noted", "todo-added", TaskCreated])
def test_what_was_recorded_under_a_former_name_is_found_and_counts(asked: str | type) -> None:
    event_store = App(written_by_every_release(), of_today(), None).event_store
    every = [each for each in event_store.read() if isinstance(each.event, TaskCreated)]
    assert len({each.type for each in every}) > 1
    assert list(event_store.read(query=Query.of(types=[asked]))) == every
    with pytest.raises(ConditionFailed):
        event_store.append("task-1", TaskCreated("x", urgent=False), condition=AppendCondition(Query.of(types=[asked])))


def test_a_retired_type_counts_in_a_condition_and_is_passed_over_by_reads() -> None:
    event_store = App(written_by_every_release(), of_today(), None).event_store
    (retired,) = event_store.registry.types.ignored
    query = Query.of(types=[retired])
    assert list(event_store.read(query=query)) == []
    with pytest.raises(ConditionFailed):
        event_store.append("task-1", TaskCreated("x", urgent=False), condition=AppendCondition(query))


def test_code_of_yesterday_stops_at_the_new_name() -> None:
    app = App(written_by_every_release(), first_release(), None)
    with pytest.raises(UnknownEventType, match="event type 'todo-noted' at position 3"):
        list(app.event_store.read())


def test_a_release_may_read_the_name_that_the_next_one_writes() -> None:
    between = Registry()
    between.event("todo-added", formerly=("todo-noted",))(TodoAdded)
    backend = Memory()
    App(backend, between, None).event_store.append("task-1", TodoAdded("wash"))
    after = Registry()
    after.event("todo-noted", formerly=("todo-added",))(TodoAdded)
    App(backend, after, None).event_store.append("task-1", TodoAdded("dry"))
    for registry in (between, after):
        recorded = list(App(backend, registry, None).event_store.read())
        assert [each.type for each in recorded] == ["todo-added", "todo-noted"]
        assert [each.event for each in recorded] == [TodoAdded("wash"), TodoAdded("dry")]


def test_an_upcaster_that_fails_under_a_former_name_is_named() -> None:
    registry = Registry()
    registry.upcast("task-created", from_version=1)(titled)
    registry.upcast("task-created", from_version=2)(lambda data: {"title": data["never"]})
    registry.event("task-created", version=3, formerly=("todo-added", "todo-noted"))(TaskCreated)
    registry.ignore("task-dropped")
    titles = registry.projection("titles", Titles)
    titles.on(TaskCreated)(add)
    app = App(written_by_every_release(), registry, None)
    with pytest.raises(UndecodableEvent, match=r"'todo-added' at position 1 .* the upcaster from version 2: KeyError"):
        list(app.event_store.read())
    with pytest.raises(ProjectionStopped, match="the upcaster from version 2: KeyError: 'never'"):
        app.projector.catch_up()


# --- what cannot be a former name


def refused(text: str, act: Callable[[], object]) -> None:
    with pytest.raises(RegistrationError, match=re.escape(text)):
        act()


@pytest.mark.parametrize("formerly", ["todo-added", 5, None])
def test_former_names_are_several(formerly: object) -> None:
    refused(
        f"event type 'task', formerly={formerly!r}: it is several names, as in formerly=({formerly!r},)",
        lambda: Registry().event("task", formerly=cast("Iterable[str]", formerly)),
    )


@pytest.mark.parametrize("name", ["", "todo added", 5])
def test_a_former_name_that_cannot_be_one(name: object) -> None:
    refused(f"event type {name!r}", lambda: Registry().event("task", formerly=(cast("str", name),)))


@pytest.mark.parametrize("formerly", [("task",), ("old", "old"), ("old", "task")])
def test_a_former_name_that_is_there_twice(formerly: tuple[str, ...]) -> None:
    refused("each name once, and without the present one", lambda: Registry().event("task", formerly=formerly))


def test_a_former_name_that_is_registered() -> None:
    registry = first_release()
    refused(
        "event type 'task', formerly='todo-added': event type 'todo-added' is registered already, for TodoAdded",
        lambda: registry.event("task", formerly=("todo-added",))(TodoNoted),
    )
    assert "task" not in registry.types.by_name, "a failed registration leaves nothing behind"


def test_a_former_name_that_is_ignored() -> None:
    registry = second_release()
    refused(
        "formerly='task-dropped': event type 'task-dropped' was declared as ignored",
        lambda: registry.event("task-left", formerly=("task-dropped",))(TaskDropped),
    )


def test_two_types_with_one_former_name() -> None:
    registry = second_release()
    refused(
        "formerly='todo-added': event type 'todo-added' is registered already, as a former name of 'todo-noted', "
        "for TodoNoted",
        lambda: registry.event("task", formerly=("todo-added",))(TaskCreated),
    )


def test_a_former_name_is_taken() -> None:
    registry = second_release()
    text = "'todo-added' is registered already, as a former name of 'todo-noted'"
    refused(text, lambda: registry.event("todo-added")(TodoAdded))
    refused(
        "'todo-added' is registered, as a former name of 'todo-noted'; an event cannot be ignored as well",
        lambda: registry.ignore("todo-added"),
    )


def test_upcasters_belong_to_the_present_name() -> None:
    registry = Registry()
    registry.upcast("todo-added", from_version=1)(titled)
    refused(
        "declare them as @registry.upcast('todo-noted', ...)",
        lambda: registry.event("todo-noted", version=2, formerly=("todo-added",))(TodoNoted),
    )
    refused(
        "registered already, as a former name of 'todo-noted'",
        lambda: second_release().upcast("todo-added", from_version=2)(titled),
    )


def test_a_registry_counts_types_and_not_names() -> None:
    assert repr(of_today()).startswith("<Registry of 1 event types")
