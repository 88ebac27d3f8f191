"""Given these events, when this command or event comes, then that: scenarios for aggregates and projections.

```python
def test_a_task_is_completed_once() -> None:
    given(task, TaskCreated("1", "Dishes")).when(Complete("1")).then(TaskCompleted("1")).then_state(
        Task("1", "Dishes", done=True)
    )
    given(task, TaskCreated("1", "Dishes"), TaskCompleted("1")).when(Complete("1")).then_nothing()
    given(task).when(Complete("1")).then_raises(UnknownTask, match="1")


def test_the_list_of_tasks() -> None:
    given(tasks, TaskCreated("1", "Dishes")).when(TaskCompleted("1")).then_documents(
        {"1": Task("1", "Dishes", done=True)}
    )
    given(tasks, in_stream("task-1", TaskCreated("1", "Dishes"), metadata={"user": "me"})).then_document(
        "1", Task("1", "Dishes")
    )
```

Nothing is stored, and everything is encoded and decoded on its way, as a backend would do it: an event that could not
be stored fails here already. A handler that changes its argument is found out and named: it must not, because what it
was given may be in use elsewhere. So is one whose result depends on anything but its arguments.

Each step raises `AssertionError` when it is not so, with what was expected and what came.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from typing import Generic, TypeVar, overload

from typing_extensions import Self

from ..domain.aggregates import Aggregate
from ..domain.projections import Folded, Projection
from .handlers import AggregateHandlers, ProjectionHandlers
from .recording import History, InStream, in_stream
from .telling import difference, listed, same

S = TypeVar("S")
D = TypeVar("D")

__all__ = ["Decision", "GivenAggregate", "GivenProjection", "InStream", "given", "in_stream"]


@overload
def given(subject: Aggregate[S], *events: object) -> GivenAggregate[S]: ...
@overload
def given(subject: Projection[D], *events: object) -> GivenProjection[D]: ...
def given(subject: Aggregate[S] | Projection[D], *events: object) -> GivenAggregate[S] | GivenProjection[D]:
    """Begin a scenario: these events have happened.

    Args:
        subject: The aggregate or the projection that it is about.
        *events: Events, in their order. `in_stream(...)` says of which stream they are, and with what metadata, tags
            and time; without it they are all of one stream, `scenario`.

    Raises:
        AssertionError: An event does not read back as it is, or a handler changes its argument.
        Misuse: An event is not registered, or cannot be stored.
    """
    if isinstance(subject, Aggregate):
        return GivenAggregate(subject, events)
    return GivenProjection(subject, events)


class GivenAggregate(Generic[S]):
    """An aggregate of which some events have happened."""

    def __init__(self, aggregate: Aggregate[S], events: Sequence[object]) -> None:
        self._handlers = AggregateHandlers(aggregate)
        self._history = History(self._handlers.types)
        self._state = self._handlers.fold(None, self._history.add(events))

    def when(self, command: object) -> Decision[S]:
        """A command comes."""
        return Decision(self._handlers, self._history, self._state, command)

    def then_state(self, state: S | None) -> Self:
        """The events make this state; None when there is none."""
        _check_state(state, self._state)
        return self


class Decision(Generic[S]):
    """What an aggregate decided on a command. Each `then` may be followed by another, or by the next `when`."""

    def __init__(self, handlers: AggregateHandlers[S], history: History, state: S | None, command: object) -> None:
        self._handlers = handlers
        self._history = history
        self._command = command
        self._state = state
        self._events: tuple[object, ...] = ()
        self._error: Exception | None = None
        comparable = copy.deepcopy(command)
        comparable = comparable if comparable == command else None
        try:
            decided = handlers.decide(state, command)
        except AssertionError:
            raise
        except Exception as error:  # a refusal, to be looked at by `then_raises`
            self._error = error
        else:
            rows = history.add(decided)
            self._events = tuple(history.decoded(rows))
            self._state = handlers.fold(state, rows)
        if comparable is not None and comparable != command:
            raise AssertionError(f"{handlers.decider(command)} changed the command:\n{difference(comparable, command)}")

    def then(self, *events: object) -> Self:
        """These events are decided, and no others."""
        decided = self._decided()
        expected = tuple(self._history.decoded(self._history.rows(events)))
        if len(expected) != len(decided) or not all(map(same, expected, decided)):
            raise AssertionError(f"on {self._command!r} other events are decided:\n{difference(expected, decided)}")
        return self

    def then_nothing(self) -> Self:
        """Nothing is decided, and the command is not refused either."""
        if decided := self._decided():
            raise AssertionError(f"on {self._command!r} nothing is expected, and decided is {listed(decided)}")
        return self

    def then_raises(self, error: type[Exception], match: str | None = None) -> Self:
        """The command is refused.

        Args:
            error: With an exception of this class.
            match: A regular expression that is found in its text.
        """
        if self._error is None:
            raise AssertionError(
                f"on {self._command!r} a {error.__name__} is expected, and decided is {listed(self._events)}"
            )
        if not isinstance(self._error, error):
            raise AssertionError(  # noqa: TRY004  a test fails by it
                f"on {self._command!r} a {error.__name__} is expected, and raised is {self._error!r}"
            ) from self._error
        if match is not None and not re.search(match, str(self._error)):
            raise AssertionError(f"{match!r} is not found in {str(self._error)!r}") from self._error
        return self

    def then_state(self, state: S | None) -> Self:
        """What was decided makes this state of the aggregate; None when there is none."""
        self._decided()
        _check_state(state, self._state)
        return self

    def when(self, command: object) -> Decision[S]:
        """After that, another command comes."""
        self._decided()
        return Decision(self._handlers, self._history, self._state, command)

    def _decided(self) -> tuple[object, ...]:
        if self._error is not None:
            raise AssertionError(f"{self._command!r} is refused with {self._error!r}") from self._error
        return self._events


def _check_state(expected: object, actual: object) -> None:
    if not same(expected, actual):
        raise AssertionError(f"the state is another:\n{difference(expected, actual)}")


class GivenProjection(Generic[D]):
    """A projection that some events have reached."""

    def __init__(self, projection: Projection[D], events: Sequence[object]) -> None:
        self._projection = projection
        self._handlers = ProjectionHandlers(projection)
        self._history = History(self._handlers.types)
        self._history.add(events)

    def when(self, *events: object) -> Self:
        """More events come. The same as if they had been given, and often easier to read."""
        self._history.add(events)
        return self

    def then_documents(self, documents: Mapping[str, D]) -> Self:
        """The view holds these documents by key, and no others."""
        actual = self._documents()
        if actual.keys() != documents.keys() or not all(same(documents[key], actual[key]) for key in documents):
            raise AssertionError(f"the view holds other documents:\n{difference(documents, actual)}")
        return self

    def then_document(self, key: str, document: D | None) -> Self:
        """The view holds this document under a key; None for none. There may be others."""
        actual = self._documents()
        if not same(document, actual.get(key)):
            raise AssertionError(
                f"the view holds another document under {key!r} (it has the keys {sorted(actual)}):\n"
                f"{difference(document, actual.get(key))}"
            )
        return self

    def then_nothing(self) -> Self:
        """The view holds no document."""
        return self.then_documents({})

    def then_stops(self, error: type[Exception] = Exception, match: str | None = None) -> Self:
        """The projection stops at an event, because a fold handler raises. It holds what it held before that event.

        Args:
            error: What the handler raises, or the library at an event that nobody registered.
            match: A regular expression that is found in its text.
        """
        folded = self._handlers.fold(self._history.all)
        raised = None if folded.error is None else folded.error.__cause__ or folded.error
        if raised is None:
            raise AssertionError(f"the projection is expected to stop, and folds all {folded.applied} events")
        if not isinstance(raised, error):
            raise AssertionError(  # noqa: TRY004  a test fails by it
                f"a {error.__name__} is expected, and raised is {raised!r}"
            ) from raised
        if match is not None and not re.search(match, str(raised)):
            raise AssertionError(f"{match!r} is not found in {str(raised)!r}") from raised
        return self

    def _documents(self) -> dict[str, D]:
        folded: Folded = self._handlers.fold(self._history.all)
        if folded.error is not None:
            raise AssertionError(
                f"the projection stops at event {folded.checkpoint + 1}, {self._history.name(folded.checkpoint)}: "
                f"{folded.error}"
            ) from folded.error
        stored = [(key, document) for key, document in folded.documents.items() if document is not None]
        return dict(self._projection.documents(stored))
