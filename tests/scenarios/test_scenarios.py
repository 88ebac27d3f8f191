"""given, when, then: what holds passes, and what does not is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

import msgspec
import pytest

from eventsource_upstash import InvalidEvent, Misuse, Recorded, Registry, UnknownEventType
from eventsource_upstash.testing import given, in_stream
from tests.scenarios.todo import (
    Complete,
    Create,
    Entry,
    Labels,
    Relabel,
    Task,
    TaskCompleted,
    TaskCreated,
    TaskDeleted,
    TaskLabelled,
    UnknownTask,
    audit,
    task,
    tasks,
)

CREATED = TaskCreated("1", "Dishes")


def fails(message: str) -> pytest.RaisesExc[AssertionError]:
    return pytest.RaisesExc(AssertionError, match=message)


class TestAggregates:
    def test_an_event_is_decided(self) -> None:
        given(task, CREATED).when(Complete("1")).then(TaskCompleted("1"))

    def test_several_events_are_decided(self) -> None:
        given(task).when(Create("1", "done already")).then(TaskCreated("1", "done already"), TaskCompleted("1"))

    def test_nothing_is_decided(self) -> None:
        given(task, CREATED, TaskCompleted("1")).when(Complete("1")).then_nothing().then()

    def test_a_command_is_refused(self) -> None:
        given(task).when(Complete("1")).then_raises(UnknownTask, match="no task 1")
        given(task, CREATED, TaskDeleted("1")).when(Complete("1")).then_raises(UnknownTask)

    def test_the_state_is_folded(self) -> None:
        given(task).then_state(None)
        given(task, CREATED).then_state(Task("1", "Dishes"))
        given(task, CREATED).when(Complete("1")).then_state(Task("1", "Dishes", done=True))
        given(task, CREATED, TaskDeleted("1")).then_state(None)

    def test_commands_follow_one_another(self) -> None:
        given(task).when(Create("1", "Dishes")).then(CREATED).when(Complete("1")).then(TaskCompleted("1")).when(
            Complete("1")
        ).then_nothing().then_state(Task("1", "Dishes", done=True))

    def test_another_event_is_told_as_a_difference(self) -> None:
        with fails(r"(?s)Complete\(id='1'\).*- TaskCompleted\(id='2'\).*\+ TaskCompleted\(id='1'\)"):
            given(task, CREATED).when(Complete("1")).then(TaskCompleted("2"))
        with fails(r"(?s)- TaskCreated.*  TaskCompleted"):
            given(task, CREATED).when(Complete("1")).then(CREATED, TaskCompleted("1"))
        with fails(r"(?s)- TaskCompleted\(id='1'\).*\+ nothing"):
            given(task, CREATED, TaskCompleted("1")).when(Complete("1")).then(TaskCompleted("1"))

    def test_an_event_that_is_not_expected_is_told(self) -> None:
        with fails(r"decided is TaskCompleted\(id='1'\)"):
            given(task, CREATED).when(Complete("1")).then_nothing()

    def test_a_refusal_that_is_not_expected_is_told(self) -> None:
        checks: list[Callable[[], object]] = [
            lambda: given(task).when(Complete("1")).then(TaskCompleted("1")),
            lambda: given(task).when(Complete("1")).then_nothing(),
            lambda: given(task).when(Complete("1")).then_state(None),
            lambda: given(task).when(Complete("1")).when(Complete("2")),
        ]
        for check in checks:
            with fails("is refused with UnknownTask") as caught:
                check()
            assert isinstance(caught.value.__cause__, UnknownTask)

    def test_a_refusal_that_is_missing_is_told(self) -> None:
        with fails("an? UnknownTask is expected, and decided is TaskCompleted"):
            given(task, CREATED).when(Complete("1")).then_raises(UnknownTask)
        with fails("decided is nothing"):
            given(task, CREATED, TaskCompleted("1")).when(Complete("1")).then_raises(UnknownTask)

    def test_another_refusal_is_told(self) -> None:
        with fails("raised is UnknownTask"):
            given(task).when(Complete("1")).then_raises(KeyError)
        with fails("'no list' is not found in 'there is no task 1'"):
            given(task).when(Complete("1")).then_raises(UnknownTask, match="no list")

    def test_another_state_is_told(self) -> None:
        with fails(r"(?s)- Task\(id='1', text='Dishes', done=True\).*\+ Task\(id='1', text='Dishes', done=False\)"):
            given(task, CREATED).then_state(Task("1", "Dishes", done=True))
        with fails(r"(?s)- Task.*\+ None"):
            given(task).then_state(Task("1", "x"))

    def test_a_command_without_a_handler_is_told(self) -> None:
        given(task).when(Relabel([])).then_raises(Misuse, match="no decide handler for Relabel")

    def test_an_event_that_cannot_be_stored_is_told(self) -> None:
        with pytest.raises(InvalidEvent):
            given(task, TaskCreated("1", "\ud800"))
        with pytest.raises(InvalidEvent):
            given(task).when(Create("1", "\ud800"))
        with pytest.raises(Misuse, match="not registered"):
            given(task, Complete("1"))


class TestProjections:
    def test_documents_are_folded(self) -> None:
        given(tasks, CREATED, TaskCompleted("1"), TaskCreated("2", "Laundry")).then_documents(
            {"1": Task("1", "Dishes", done=True), "2": Task("2", "Laundry")}
        )
        given(tasks, CREATED).when(TaskDeleted("1")).then_nothing()
        given(tasks).then_documents({})

    def test_one_document_is_folded(self) -> None:
        view = given(tasks, CREATED, TaskCreated("2", "Laundry")).when(TaskCompleted("2"))
        view.then_document("1", Task("1", "Dishes")).then_document("2", Task("2", "Laundry", done=True))
        view.then_document("3", None)

    def test_what_is_recorded_with_an_event(self) -> None:
        noon = datetime(2025, 1, 1, 12, tzinfo=timezone(timedelta(hours=1)))
        given(
            audit,
            CREATED,
            in_stream("task-1", CREATED, CREATED, metadata={"user": "me"}, tags=["a", "b"], recorded_at=noon),
        ).then_documents(
            {
                "scenario": Entry("nobody", "scenario", 1, 1, datetime(2024, 1, 1, 0, 0, 1, tzinfo=timezone.utc)),
                "task-1": Entry("me", "task-1", 3, 2, noon, ("a", "b")),
            }
        )

    def test_other_documents_are_told(self) -> None:
        with fails(r"(?s)- '1': Task\(id='1', text='Dishes', done=True\).*\+ '1': Task\(id='1', text='Dishes'"):
            given(tasks, CREATED).then_documents({"1": Task("1", "Dishes", done=True)})
        with fails(r"(?s)\+ '1': Task"):
            given(tasks, CREATED).then_nothing()
        with fails(r"(?s)- '2': Task"):
            given(tasks).then_documents({"2": Task("2", "x")})
        with fails(r"(?s)another document under '2' \(it has the keys \['1'\]\).*- Task.*\+ None"):
            given(tasks, CREATED).then_document("2", Task("2", "x"))

    def test_a_stop_is_expected(self) -> None:
        given(tasks, CREATED, TaskCompleted("2")).then_stops()
        given(tasks, CREATED, TaskCompleted("2")).then_stops(LookupError, match="before it was created: 2")

    def test_a_stop_that_is_not_expected_is_told(self) -> None:
        checks: list[Callable[[], object]] = [
            lambda: given(tasks, CREATED, TaskCompleted("2")).then_documents({"1": Task("1", "Dishes")}),
            lambda: given(tasks, CREATED, TaskCompleted("2")).then_document("1", Task("1", "Dishes")),
        ]
        for check in checks:
            with fails("stops at event 2, 'task-completed' in stream 'scenario': .*handler completed: LookupError"):
                check()

    def test_a_stop_that_is_missing_or_another_is_told(self) -> None:
        with fails("folds all 1 events"):
            given(tasks, CREATED).then_stops()
        with fails("raised is LookupError"):
            given(tasks, TaskCompleted("2")).then_stops(UnknownEventType)
        with fails("'nothing' is not found"):
            given(tasks, TaskCompleted("2")).then_stops(match="nothing")

    def test_a_time_without_a_zone_is_refused(self) -> None:
        with pytest.raises(ValueError, match="no time zone"):
            in_stream("task-1", CREATED, recorded_at=datetime(2025, 1, 1))  # noqa: DTZ001  that is the point


class TestHandlersThatDoNotKeepTheRules:
    """Each is named, with what it has changed."""

    def test_a_fold_that_changes_the_state(self) -> None:
        aggregate = _registry().aggregate("labels", Labels)

        @aggregate.on(TaskLabelled)
        def in_place(state: Labels | None, event: TaskLabelled) -> Labels:
            state = state or Labels()
            state.names += event.labels
            return state

        given(aggregate, TaskLabelled("1", ["a"])).then_state(Labels(["a"]))
        with fails(r"(?s)aggregate 'labels', fold handler in_place changed the state.*- Labels.*'a'\].*\+ .*'b'"):
            given(aggregate, TaskLabelled("1", ["a"]), TaskLabelled("1", ["b"]))

    def test_a_fold_that_changes_the_event(self) -> None:
        aggregate = _registry().aggregate("labels", Labels)

        @aggregate.on(TaskLabelled)
        def sorting(state: Labels | None, event: TaskLabelled) -> Labels:
            event.labels.sort()
            return Labels(event.labels)

        given(aggregate, TaskLabelled("1", ["a", "b"])).then_state(Labels(["a", "b"]))
        with fails("fold handler sorting changed the event"):
            given(aggregate, TaskLabelled("1", ["b", "a"]))

    def test_a_decision_that_changes_the_state_or_the_command(self) -> None:
        aggregate = _registry().aggregate("labels", Labels)

        @aggregate.on(TaskLabelled)
        def labelled(state: Labels | None, event: TaskLabelled) -> Labels:
            return Labels([*event.labels])

        @aggregate.decide(Relabel)
        def greedy(state: Labels | None, command: Relabel) -> TaskLabelled:
            if state:
                state.names.clear()
                raise UnknownTask
            return TaskLabelled("1", [command.labels.pop()])

        with fails("aggregate 'labels', decide handler greedy changed the command"):
            given(aggregate).when(Relabel(["a"]))
        with fails("aggregate 'labels', decide handler greedy changed the state"):
            given(aggregate, TaskLabelled("1", ["a"])).when(Relabel(["b"]))

    def test_a_projection_that_changes_the_document(self) -> None:
        projection = _registry().projection("labels", Labels)

        @projection.on(TaskLabelled, key="id")
        def appending(document: Labels | None, event: TaskLabelled) -> Labels:
            if document is None:
                return Labels([*event.labels])
            document.names.extend(event.labels)
            return document

        given(projection, TaskLabelled("1", ["a"])).then_documents({"1": Labels(["a"])})
        with fails(r"(?s)projection 'labels', handler appending changed the document.*- .*'a'\].*\+ .*'a', 'b'"):
            given(projection, TaskLabelled("1", ["a"]), TaskLabelled("1", ["b"])).then_documents({})

    def test_a_projection_that_changes_the_event_and_then_fails(self) -> None:
        projection = _registry().projection("labels", Labels)

        @projection.on(TaskLabelled, key="id")
        def popping(document: Labels | None, event: TaskLabelled) -> Labels:
            while True:
                event.labels.pop()

        with fails("handler popping changed the event"):
            given(projection, TaskLabelled("1", ["a"])).then_stops()

    def test_a_projection_that_changes_metadata(self) -> None:
        projection = _registry().projection("labels", Labels)

        @projection.on_recorded(TaskLabelled, key="id")
        def meddling(document: Labels | None, recorded: Recorded[TaskLabelled]) -> Labels:
            recorded.metadata["by"] = "me"  # type: ignore[index]  # pyright: ignore[reportIndexIssue]  that is the point
            return Labels()

        with fails("handler meddling changed the metadata"):
            given(projection, in_stream("s", TaskLabelled("1", ["a"]), metadata={"by": "you"})).then_nothing()

    def test_a_projection_that_depends_on_something_else(self) -> None:
        projection = _registry().projection("labels", Labels)
        calls: list[str] = []

        @projection.on(TaskLabelled, key="id")
        def counting(document: Labels | None, event: TaskLabelled) -> Labels:
            calls.append("again")
            return Labels([*calls])

        with fails("folded twice, made different documents"):
            given(projection, TaskLabelled("1", ["a"])).then_documents({"1": Labels(["again"])})

    def test_an_event_that_does_not_read_back_as_it_is(self) -> None:
        registry = Registry()

        @registry.event("named")
        @dataclass(frozen=True)
        class Named:
            who: Person

        aggregate = registry.aggregate("a", Labels)
        given(aggregate, Named(Person("x")))
        with pytest.raises((AssertionError, InvalidEvent)):
            given(aggregate, Named(Employee("x", 3)))

    def test_classes_without_equality_are_compared_by_what_they_hold(self) -> None:
        registry = Registry()

        @registry.event("noted")
        class Noted(msgspec.Struct, eq=False):
            text: str

        class Note(msgspec.Struct, eq=False):
            text: str

        aggregate = registry.aggregate("notes", Note)

        @aggregate.on(Noted)
        def noted(state: Note | None, event: Noted) -> Note:
            return Note(event.text)

        @aggregate.decide(Relabel)
        def note(state: Note | None, command: Relabel) -> Noted:
            return Noted(command.labels[0])

        given(aggregate).when(Relabel(["x"])).then(Noted("x")).then_state(Note("x"))
        with fails("other events are decided"):
            given(aggregate).when(Relabel(["x"])).then(Noted("y"))


@dataclass(frozen=True)
class Person:
    name: str


@dataclass(frozen=True)
class Employee(Person):
    number: int


def _registry() -> Registry:
    registry = Registry()
    registry.event("task-labelled")(TaskLabelled)
    return registry
