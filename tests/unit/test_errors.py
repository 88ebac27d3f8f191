"""Errors: sorted by what to do, carried across processes whole, with a remedy and without a secret in the message."""

from __future__ import annotations

import inspect
import pickle
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any

import pytest

import eventsource_upstash
from eventsource_upstash import (
    CatchUp,
    ConcurrencyError,
    ConditionFailed,
    CorruptLog,
    EventSourceError,
    IdempotencyKeyReused,
    InvalidEvent,
    LogReplaced,
    LogRewound,
    LogsDiffer,
    LogTrimmed,
    Misuse,
    OutcomeUnknown,
    PartitionsChanged,
    ProjectionStopped,
    ReactorStopped,
    Receipt,
    Recorded,
    Refused,
    RegistrationError,
    SealedEvent,
    StaleView,
    SubjectForgotten,
    TooLarge,
    Unavailable,
    UndecodableDocument,
    UndecodableEvent,
    UnknownEventType,
    ViewNotBuilt,
    connect,
    errors,
)
from eventsource_upstash.domain.registry import Registry


@dataclass(frozen=True)
class TaskCreated:
    id: str


MISSED = (
    Recorded(4, "task-1", 3, "task-created", 1, TaskCreated("1")),
    Recorded(9, "task-1", 4, "task-created", 1, TaskCreated("1"), {"user": "ada"}, ("a",), 5, 6),
)

ERRORS: list[EventSourceError] = [
    ConcurrencyError(stream="task-1", expected=2, actual=4, events=MISSED, complete=False),
    ConditionFailed(stream="task-1", after=3, position=7, receipt=Receipt(requests=1)),
    Unavailable("SQLite file 'x' was locked"),
    OutcomeUnknown("the answer was lost"),
    Refused("the disk is full"),
    TooLarge(what="a commit", size=9, limit=8),
    Misuse("no event"),
    RegistrationError("no class"),
    InvalidEvent("no number"),
    IdempotencyKeyReused("used before"),
    ConditionFailed(stream="task-1", after=3, position=5),
    UnknownEventType(type="task-moved", version=2, known=1, stream="task-1", position=7),
    CorruptLog("damaged"),
    UndecodableEvent(type="task-created", stream="task-1", position=7, reason="no id"),
    SealedEvent(type="customer-moved", stream="customer-1", position=7),
    LogTrimmed(topic="todo", partition=3, first=17, last=99),
    SubjectForgotten(stream="customer-1", subject="1"),
    LogRewound(projection="tasks", checkpoint=9, head=7),
    LogReplaced(
        projection="tasks", checkpoint=9, head=12, where="the view of projection 'tasks'", remedy="copy it all"
    ),
    LogsDiffer("the destination lacks the event 'paid'"),
    PartitionsChanged(projection="tasks", version=2, partitions=4, present=8),
    StaleView(projection="tasks", wanted=9, reached=7, head=9),
    ViewNotBuilt(projection="tasks", version=2, reached=7, head=9, why="no index 'due'"),
    UndecodableDocument("document '1' does not decode: no text; give the projection a version above 1"),
    ProjectionStopped(
        projection="tasks",
        position=7,
        reason="ValueError: no",
        result=CatchUp(3, 6, 9, complete=False),
        others=["counts"],
    ),
    ReactorStopped(reactor="desk", position=7, reason="NoStock: no", result=CatchUp(3, 7, 9, complete=False)),
]


def example(cls: type[EventSourceError]) -> EventSourceError:
    return next(error for error in ERRORS if type(error) is cls)


def test_the_list_above_is_whole() -> None:
    classes = {cls for _, cls in inspect.getmembers(errors, inspect.isclass) if issubclass(cls, EventSourceError)}
    assert classes - {EventSourceError} == {type(error) for error in ERRORS}
    assert set(errors.__all__) == {cls.__name__ for cls in classes}
    assert set(errors.__all__) <= set(eventsource_upstash.__all__)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_an_error_survives_pickling(error: EventSourceError, protocol: int) -> None:
    again = pickle.loads(pickle.dumps(error, protocol))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert vars(again) == vars(error)


def raise_(index: int) -> None:
    raise ERRORS[index]


def test_an_error_crosses_a_process_pool() -> None:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        for index, error in enumerate(ERRORS):
            with pytest.raises(type(error)) as caught:
                pool.submit(raise_, index).result()
            assert vars(caught.value) == vars(error)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_that_has_attributes_names_them_in_its_message(error: EventSourceError) -> None:
    for name, value in vars(error).items():
        if isinstance(value, (str, int)) and not isinstance(value, bool):
            assert str(value) in str(error), name


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (example(ConcurrencyError), "Load the stream again"),
        (example(ConditionFailed), "Read again by the query, and decide on what is there now"),
        (example(UnknownEventType), "Deploy the code that knows it, or declare registry.ignore('task-moved')"),
        (example(PartitionsChanged), "or take partitioned= off and raise the version"),
        (example(UndecodableEvent), "give it a new version and an upcaster"),
        (example(LogRewound), "Restore the log, or rebuild the projection"),
        (LogRewound(projection="tasks", checkpoint=9, head=7, remedy="copy it all"), "Restore the log, or copy it all"),
        (example(LogReplaced), "Go back to the log that it was; or copy it all"),
        (LogRewound(projection="tasks", checkpoint=9, head=7, asked=True), "Read without it"),
        (example(ViewNotBuilt), "Try again when it has caught up"),
        (example(StaleView), "Allow a longer timeout, or read without at_least"),
        (StaleView(projection="tasks", wanted=9, reached=7, head=7), "Is the position from another log?"),
        (example(ReactorStopped), "or give it up: app.reactions.discard"),
        (example(ProjectionStopped), "the next catch-up tries it again. Also stopped: counts"),
    ],
    ids=lambda given: type(given).__name__ if isinstance(given, Exception) else "",
)
def test_a_message_tells_the_remedy(error: EventSourceError, remedy: str) -> None:
    assert remedy in str(error)


@pytest.mark.parametrize(
    ("error", "kinds"),
    [
        (RegistrationError("x"), {Misuse}),
        (InvalidEvent("x"), {Misuse}),
        (IdempotencyKeyReused("x"), {Misuse}),
        (UndecodableDocument("x"), {Misuse}),
        (example(UndecodableEvent), {CorruptLog}),
        (example(UnknownEventType), set[type]()),
        (example(LogRewound), set[type]()),
        (Unavailable("x"), set[type]()),
    ],
)
def test_errors_are_sorted_by_what_to_do(error: EventSourceError, kinds: set[type]) -> None:
    sorts = {ConcurrencyError, ConditionFailed, Unavailable, OutcomeUnknown, Refused, Misuse, CorruptLog} - {
        type(error)
    }
    assert {kind for kind in sorts if isinstance(error, kind)} == kinds


@pytest.mark.parametrize(
    ("expected", "actual", "told"),
    [
        (2, 4, "stream 'task-1' is at revision 4, the append expected revision 2"),
        (0, 4, "stream 'task-1' is at revision 4, the append expected no stream yet"),
        (2, 0, "stream 'task-1' does not exist, the append expected revision 2"),
        ("an existing stream", 0, "stream 'task-1' does not exist, the append expected an existing stream"),
    ],
)
def test_a_conflict_tells_both_sides(expected: Any, actual: int, told: str) -> None:
    assert str(ConcurrencyError(stream="task-1", expected=expected, actual=actual)).startswith(told)


@pytest.mark.parametrize(
    "url",
    ["redis://:hunter2@example.com", "upstash://token:hunter2@example.com", "https://x:hunter2@y", "hunter2", "", ":"],
)
def test_a_url_that_may_hold_a_password_is_not_repeated(url: str) -> None:
    with pytest.raises(
        Misuse, match=r"there is 'memory:', 'sqlite:FILE', 'upstash:' and 'kafka:'|read from the environment"
    ) as caught:
        connect(url, Registry())
    assert "hunter2@" not in str(caught.value)
    assert "example.com" not in str(caught.value)
