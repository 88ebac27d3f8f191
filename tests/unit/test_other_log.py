"""Views that are kept elsewhere know the log that they were folded from by the event at their checkpoint."""

from __future__ import annotations

import pytest

from eventsource_upstash import App, LogReplaced, LogRewound, Memory, Registry
from tests.conformance.separate import SeparateViews
from tests.unit.todo import Task, TaskCreated


def registry_of(kind: str) -> Registry:
    registry = Registry()
    registry.event("task-created")(TaskCreated)
    if kind == "reactor":
        registry.reactor("desk").on(TaskCreated)(lambda _: [])
        return registry
    for name in ("tasks", "others"):
        registry.projection(name, Task).on(TaskCreated, key="id")(lambda _, event: Task(event.id, event.text))
    return registry


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("projection", r"the view of projection '(tasks|others)' is at position 2.*raise its version"),
        ("reactor", r"position 2.*drop_version\('reactor~desk', 1\), and put it back with since="),
    ],
)
def test_it_is_told_where_the_other_log_is_as_long(kind: str, told: str) -> None:
    views = Memory()
    one = App(SeparateViews(Memory(), views), registry_of(kind), None)
    one.event_store.append("task-1", TaskCreated("1", "a"), TaskCreated("2", "b"))
    one.projector.catch_up()
    other = App(SeparateViews(Memory(), views), registry_of(kind), None)
    other.event_store.append("task-1", *[TaskCreated(str(n), "z") for n in range(5)])
    with pytest.raises(LogReplaced, match=told) as raised:
        other.projector.catch_up()
    assert (raised.value.checkpoint, raised.value.head) == (2, 5)
    shorter = App(SeparateViews(Memory(), views), registry_of(kind), None)
    shorter.event_store.append("task-1", TaskCreated("1", "a"))
    with pytest.raises(LogRewound):
        shorter.projector.catch_up()


def test_the_same_log_is_gone_on_with_and_one_that_is_new_to_a_view_is_begun() -> None:
    log, views = Memory(), Memory()
    one = App(SeparateViews(log, views), registry_of("projection"), None)
    one.projector.catch_up()  # of an empty log there is no event to know it by
    one.event_store.append("task-1", TaskCreated("1", "a"))
    for text in "bcd":
        assert App(SeparateViews(log, views), registry_of("projection"), None).projector.catch_up().complete
        one.event_store.append("task-1", TaskCreated(text, text))
    assert one.projector.catch_up().position == 4
