"""Load, decide, append: what `execute` does when somebody else is quicker, and what it never does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pydantic
import pytest

from eventsource_upstash import (
    Appended,
    ConcurrencyError,
    IdempotencyKeyReused,
    InvalidEvent,
    Memory,
    Misuse,
    Receipt,
    Registry,
    connect,
)
from eventsource_upstash._flow import executing, handling
from eventsource_upstash.blocking import App
from eventsource_upstash.ports import Append, Conflict, KeyReused, Log, StreamPage, Unmet
from eventsource_upstash.testing.wrapping import BackendWrapper, LogWrapper
from tests.faults.driving import COLOURS, Driver
from tests.priced import Till
from tests.unit.todo import (
    CompleteTask,
    CreateTask,
    Refusal,
    Task,
    TaskCompleted,
    TaskCreated,
    TaskDeleted,
    Todo,
    todo,
)


class Between(BackendWrapper):
    """Lets somebody else write between a load and the append that follows it."""

    def __init__(self, inner: Memory) -> None:
        super().__init__(inner)
        self.meanwhile: list[Callable[[], object]] = []
        self.after: list[int] = []
        self.recalled: list[str] = []

    @property
    def reads(self) -> int:
        return len(self.after)

    def wrap_log(self, log: Log) -> Log:
        return _Between(log, self)


class _Between(LogWrapper):
    def __init__(self, inner: Log, between: Between) -> None:
        super().__init__(inner)
        self.between = between

    async def append(self, append: Append) -> Appended | Conflict | KeyReused | Unmet:
        if self.between.meanwhile:
            self.between.meanwhile.pop(0)()
        return await self.inner.append(append)

    async def recall(self, stream: str, key: str) -> Appended | KeyReused | Receipt:
        self.between.recalled.append(key)
        return await self.inner.recall(stream, key)

    async def read_stream(
        self, stream: str, after_revision: int, limit: int, max_bytes: int, snapshot: str | None = None
    ) -> StreamPage:
        self.between.after.append(after_revision)
        return await self.inner.read_stream(stream, after_revision, limit, max_bytes, snapshot)


class Crowded:
    """An app, and another writer on the same log."""

    def __init__(self, colour: Any, the: Todo) -> None:
        memory = Memory()
        self.the = the
        self.between = Between(memory)
        self.app = Driver(self.between, the.registry, colour)
        self.other = App(memory, the.registry, None).event_store

    def meanwhile(self, *writes: Callable[[], object]) -> None:
        self.between.meanwhile.extend(writes)


@pytest.fixture(params=COLOURS)
def crowded(request: pytest.FixtureRequest) -> Crowded:
    return Crowded(request.param, todo())


def test_a_command_becomes_events(crowded: Crowded) -> None:
    app, task = crowded.app, crowded.the.task
    executed = app.execute(task, "task-1", CreateTask("1", "Do the dishes!"), metadata={"user": "ada"}, tags=["a"])
    assert executed.state == Task("1", "Do the dishes!")
    assert (executed.revision, executed.position, executed.repeated) == (1, 1, False)
    assert executed.events == (TaskCreated("1", "Do the dishes!"),)
    (recorded,) = app.read()
    assert (recorded.event, recorded.metadata, recorded.tags) == (executed.events[0], {"user": "ada"}, ("a",))
    executed = app.execute(task, "task-1", CompleteTask())
    assert executed.state == Task("1", "Do the dishes!", done=True)
    loaded = app.load(task, "task-1")
    assert (loaded.state, loaded.revision) == (executed.state, 2)


def test_a_command_with_nothing_to_do_writes_nothing(crowded: Crowded) -> None:
    app, task = crowded.app, crowded.the.task
    app.append("task-1", TaskCreated("1", "x"), TaskCompleted("1"))
    executed = app.execute(task, "task-1", CompleteTask())
    assert (executed.events, executed.position, executed.revision) == ((), None, 2)
    assert executed.state == Task("1", "x", done=True)
    assert app.head() == 2


def test_a_refusal_reaches_the_caller_as_it_is(crowded: Crowded) -> None:
    app, task = crowded.app, crowded.the.task
    with pytest.raises(Refusal, match="there is no such task"):
        app.execute(task, "task-1", CompleteTask())
    with pytest.raises(Refusal, match="a task needs a text"):
        app.execute(task, "task-1", CreateTask("1", ""))
    assert app.head() == 0


def test_a_command_without_a_handler(crowded: Crowded) -> None:
    with pytest.raises(Misuse, match=r"aggregate 'task' has no decide handler for str .*CompleteTask, CreateTask"):
        crowded.app.execute(crowded.the.task, "task-1", "complete")
    with pytest.raises(Misuse, match=r"it has: CompleteTask, CreateTask\); register one with @task\.decide\(str\)$"):
        crowded.app.execute(crowded.the.task, "task-1", "complete")
    with pytest.raises(
        Misuse, match=r"^CreateTask is the class of a command; hand over an instance: CreateTask\(\.\.\.\)"
    ):
        crowded.app.execute(crowded.the.task, "task-1", CreateTask)
    undecided = crowded.the.registry.aggregate("undecided", Task)
    with pytest.raises(Misuse, match=r"no decide handler for CreateTask \(it has: none\)"):
        crowded.app.execute(undecided, "task-1", CreateTask("1", "a"))


def test_it_decides_again_on_what_somebody_else_wrote(crowded: Crowded) -> None:
    app, task = crowded.app, crowded.the.task
    app.append("task-1", TaskCreated("1", "x"))
    crowded.meanwhile(lambda: crowded.other.append("task-1", TaskCompleted("1")))
    executed = app.execute(task, "task-1", CompleteTask())
    assert (executed.events, executed.revision) == ((), 2), "it was done already when it decided again"
    assert app.head() == 2
    assert crowded.between.reads == 1, "what it had missed came with the conflict"


def test_a_refusal_on_second_thought(crowded: Crowded) -> None:
    app, task = crowded.app, crowded.the.task
    app.append("task-1", TaskCreated("1", "x"))
    crowded.meanwhile(lambda: crowded.other.append("task-1", TaskDeleted("1")))
    with pytest.raises(Refusal, match="there is no such task"):
        app.execute(task, "task-1", CompleteTask())
    assert app.head() == 2


@pytest.mark.parametrize(("retries", "rivals", "wins"), [(3, 3, True), (3, 4, False), (0, 1, False), (0, 0, True)])
def test_it_tries_again_as_often_as_it_is_told(crowded: Crowded, retries: int, rivals: int, wins: bool) -> None:
    app, task = crowded.app, crowded.the.task
    app.append("task-1", TaskCreated("1", "x"))
    crowded.meanwhile(*[lambda: crowded.other.append("task-1", TaskCreated("1", "y"))] * rivals)
    if wins:
        executed = app.execute(task, "task-1", CompleteTask(), retries=retries)
        assert executed.revision == 1 + rivals + 1
        assert executed.state == app.load(task, "task-1").state
    else:
        with pytest.raises(ConcurrencyError) as caught:
            app.execute(task, "task-1", CompleteTask(), retries=retries)
        assert (caught.value.stream, caught.value.actual) == ("task-1", 1 + rivals)
        assert not any(isinstance(each.event, TaskCompleted) for each in app.read())


def test_more_is_missed_than_a_conflict_can_carry(crowded: Crowded) -> None:
    app, task = crowded.app, crowded.the.task
    app.append("task-1", TaskCreated("1", "x"))
    crowd = [TaskCreated("1", str(number)) for number in range(2500)]
    crowded.meanwhile(lambda: crowded.other.append("task-1", *crowd))
    executed = app.execute(task, "task-1", CompleteTask())
    assert executed.state == Task("1", "2499", done=True)
    assert executed.revision == 2502
    assert crowded.between.after == [0, 1001, 2001], "what came with the conflict is not read again"
    assert app.load(task, "task-1").state == executed.state


def test_what_the_rest_of_a_conflict_is_read_from_is_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    """By one more page, and not by being refused again and again."""
    the, till = todo(), Till()
    store = App(till, the.registry, None).event_store
    store.append("task-1", TaskCreated("1", "x"))
    crowd = [TaskCreated("1", str(number)) for number in range(1_500)]

    @the.task.decide(str)
    def rename(task: Task | None, command: str) -> TaskCreated:
        if crowd:
            store.append("task-1", *crowd)
            crowd.clear()
        return TaskCreated("1", command)

    before = till.calls
    executed = store.execute(the.task, "task-1", "y", retries=1)
    assert (executed.state, executed.revision) == (Task("1", "y"), 1_502)
    # Read, refused, read on, written; and the crowd's own append.
    assert executed.receipt.requests == till.calls - before - 1 == 4


def test_a_refusal_for_good_is_no_reason_to_look_for_the_key(crowded: Crowded) -> None:
    app, task = crowded.app, crowded.the.task
    crowded.meanwhile(lambda: crowded.other.append("task-1", TaskCreated("1", "y")))
    with pytest.raises(ConcurrencyError):
        app.execute(task, "task-1", CreateTask("1", "x"), idempotency_key="k", retries=0)
    assert crowded.between.recalled == ["k"], "once, before it was decided"


@pytest.mark.parametrize("retries", [-1, True, 1.5, "3", None])
def test_a_number_of_retries_that_is_none(retries: Any) -> None:
    the = todo()
    with pytest.raises(Misuse, match=f"^retries={retries!r}: it is a whole number from 0$"):
        connect("memory:", the.registry).event_store.execute(the.task, "task-1", CompleteTask(), retries=retries)


def test_what_is_no_aggregate_is_named() -> None:
    store = connect("memory:", todo().registry).event_store
    for use in (lambda: store.load("task", "task-1"), lambda: store.execute("task", "task-1", CompleteTask())):  # type: ignore[arg-type]
        with pytest.raises(Misuse, match=r"^'task' is no aggregate; hand over what registry.aggregate"):
            use()


def test_what_a_type_declares_as_tags_goes_with_what_was_decided() -> None:
    registry = Registry()
    registry.event("put", tags=lambda event: (f"item:{event.item}",))(Put)
    basket = registry.aggregate("basket", Basket)
    basket.on(Put)(lambda basket, event: basket)
    basket.decide(PutIn)(lambda basket, command: Put(command.item))
    store = connect("memory:", registry).event_store
    store.execute(basket, "basket-1", PutIn("plum"))
    store.execute(basket, "basket-1", PutIn("pear"), tags=["urgent"])
    assert [set(each.tags) for each in store.read()] == [{"item:plum"}, {"item:pear", "urgent"}]


# --- under an idempotency key


def test_the_same_execution_again_does_nothing(crowded: Crowded) -> None:
    app, task = crowded.app, crowded.the.task
    first = app.execute(task, "task-1", CreateTask("1", "x"), idempotency_key="k")
    app.append("task-1", TaskCompleted("1"))
    # Decided anew it would be refused: there is such a task already.
    again = app.execute(task, "task-1", CreateTask("1", "x"), idempotency_key="k")
    assert (again.repeated, again.events, again.position) == (True, (), first.position)
    assert (again.state, again.revision) == (Task("1", "x", done=True), 2)
    assert app.head() == 2


def test_a_key_of_another_stream(crowded: Crowded) -> None:
    app, task = crowded.app, crowded.the.task
    app.execute(task, "task-1", CreateTask("1", "x"), idempotency_key="k")
    with pytest.raises(IdempotencyKeyReused, match=r"'k' .* stream 'task-2'"):
        app.execute(task, "task-2", CreateTask("2", "x"), idempotency_key="k")
    assert app.head() == 1


def test_the_twin_was_quicker_and_decided_otherwise(crowded: Crowded) -> None:
    app, task = crowded.app, crowded.the.task
    crowded.meanwhile(lambda: crowded.other.append("task-1", TaskCreated("1", "the twin's"), idempotency_key="k"))
    executed = app.execute(task, "task-1", CreateTask("1", "mine"), idempotency_key="k")
    assert executed.repeated
    assert executed.state == Task("1", "the twin's")
    assert app.head() == 1


def test_the_twin_was_quicker_and_decided_alike(crowded: Crowded) -> None:
    app, task = crowded.app, crowded.the.task
    twin = TaskCreated("1", "x")
    crowded.meanwhile(lambda: crowded.other.append("task-1", twin, idempotency_key="k"))
    executed = app.execute(task, "task-1", CreateTask("1", "x"), idempotency_key="k")
    assert (executed.repeated, executed.state, executed.revision) == (True, Task("1", "x"), 1)
    assert app.head() == 1


# --- states that can be changed


@dataclass
class Basket:
    items: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Put:
    item: str


@dataclass(frozen=True)
class PutIn:
    item: str


def test_a_state_that_can_be_changed_is_made_anew_for_each_try() -> None:
    registry = Registry()
    registry.event("put")(Put)
    basket = registry.aggregate("basket", Basket)
    assert not basket.immutable
    seen: list[list[str]] = []

    @basket.on(Put)
    def put(basket: Basket | None, event: Put) -> Basket:
        basket = basket or Basket()
        basket.items.append(event.item)
        return basket

    @basket.decide(PutIn)
    def put_in(basket: Basket | None, command: PutIn) -> Put:
        seen.append(list(basket.items) if basket else [])
        if basket:
            basket.items.clear()  # it should not, and it does no harm to the next try
        return Put(command.item)

    memory = Memory()
    between = Between(memory)
    store = App(between, registry, None).event_store
    other = App(memory, registry, None).event_store
    store.append("basket-1", Put("apple"))
    between.meanwhile.append(lambda: other.append("basket-1", Put("pear")))
    executed = store.execute(basket, "basket-1", PutIn("plum"))
    assert between.reads == 1, "what it was made of is here still"
    assert seen == [["apple"], ["apple", "pear"]]
    assert executed.revision == 3
    assert store.load(basket, "basket-1").state == Basket(["apple", "pear", "plum"])


@pytest.mark.parametrize(
    ("every", "reads"),
    [
        (None, [0, 2, 4, 0, 2, 4]),  # more than a page is not kept: it is read again
        (3, [0]),  # from the snapshot, with what came after it
        (4, [0]),
        (5, [0]),
    ],
    ids=["three pages", "two events after a snapshot", "one event", "a snapshot alone"],
)
def test_it_is_made_anew_of_what_it_was_made_of(
    every: int | None, reads: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = Registry()
    registry.event("put")(Put)
    basket = registry.aggregate("basket", Basket, snapshot_every=every)

    @basket.on(Put)
    def put(basket: Basket | None, event: Put) -> Basket:
        basket = basket or Basket()
        basket.items.append(event.item)
        return basket

    @basket.decide(PutIn)
    def put_in(basket: Basket | None, command: PutIn) -> Put:
        assert basket is not None
        item = f"{command.item} to {len(basket.items)}"
        if between.meanwhile:
            basket.items.clear()  # it should not, and it does no harm to the next try
        return Put(item)

    memory = Memory()
    between = Between(memory)
    store = App(between, registry, None).event_store
    other = App(memory, registry, None).event_store
    store.append("basket-1", Put("a"))
    for item in "bcde":
        other.execute(basket, "basket-1", PutIn(item))
    between.after.clear()
    monkeypatch.setattr(executing, "MAX_PAGE_EVENTS", 2)
    between.meanwhile.append(lambda: other.append("basket-1", Put("X")))
    executed = store.execute(basket, "basket-1", PutIn("f"))
    assert executed.state == Basket(["a", "b to 1", "c to 2", "d to 3", "e to 4", "X", "f to 6"])
    assert between.after == reads
    assert store.load(basket, "basket-1").state == executed.state


# --- what a decide handler may answer


@pytest.mark.parametrize(
    ("answer", "stored"),
    [
        (Put("a"), 1),
        ([Put("a"), Put("b")], 2),
        ((Put("a"),), 1),
        ((Put(item) for item in "abc"), 3),
        ([], 0),
        ((), 0),
        (None, 0),
    ],
    ids=["one", "list", "tuple", "iterator", "empty list", "empty tuple", "None"],
)
def test_what_a_decide_handler_may_answer(answer: object, stored: int) -> None:
    with deciding(answer) as (app, basket):
        assert len(app.event_store.execute(basket, "basket-1", PutIn("x")).events) == stored
        assert app.event_store.head() == stored


class PutModel(pydantic.BaseModel):
    item: str


def test_an_event_that_can_be_iterated_over_is_one_event() -> None:
    registry = Registry()
    registry.event("put")(PutModel)
    basket = registry.aggregate("basket", Basket)
    basket.decide(PutIn)(lambda _, command: PutModel(item=command.item))
    with connect("memory:", registry) as app:
        assert app.event_store.execute(basket, "basket-1", PutIn("x")).events == (PutModel(item="x"),)


@pytest.mark.parametrize(
    "answer",
    ["put", b"put", 5, True, PutIn("a"), [Put("a"), "put"], [[Put("a")]], {"put": "a"}, Put, [Put("a"), None]],
    ids=repr,
)
def test_what_a_decide_handler_may_not_answer(answer: object) -> None:
    with deciding(answer) as (app, basket):
        with pytest.raises(Misuse, match=r"is not registered as an event type|hand over|handed over"):
            app.event_store.execute(basket, "basket-1", PutIn("x"))
        assert app.event_store.head() == 0


def test_an_event_that_cannot_be_stored_keeps_the_others_out() -> None:
    with deciding([Put("a"), Put(5)]) as (app, basket):  # type: ignore[arg-type]
        with pytest.raises(InvalidEvent, match="event type 'put'"):
            app.event_store.execute(basket, "basket-1", PutIn("x"))
        assert app.event_store.head() == 0


class deciding:  # noqa: N801  # reads as a function
    def __init__(self, answer: object) -> None:
        registry = Registry()
        registry.event("put")(Put)
        self.basket = registry.aggregate("basket", Basket)
        self.basket.decide(PutIn)(lambda state, command: answer)
        self.app = connect("memory:", registry)

    def __enter__(self) -> tuple[App, Any]:
        return self.app, self.basket

    def __exit__(self, *error: object) -> None:
        self.app.close()


def test_a_fold_that_cannot_take_the_new_event_keeps_it_out() -> None:
    # The state after the event is part of the answer; an answer that cannot be given must not follow a write.
    registry = Registry()
    registry.event("put")(Put)
    basket = registry.aggregate("basket", Basket)
    basket.decide(PutIn)(lambda state, command: Put(command.item))

    @basket.on(Put)
    def put(basket: Basket | None, event: Put) -> Basket:
        raise ZeroDivisionError

    with connect("memory:", registry) as app:
        with pytest.raises(ZeroDivisionError):
            app.event_store.execute(basket, "basket-1", PutIn("x"))
        assert app.event_store.head() == 0


def test_a_state_of_another_class_is_no_state() -> None:
    the = todo()
    wrong: Any = the.registry.aggregate("wrong", Task)
    wrong.on(TaskCreated)(lambda _, event: event.text)
    wrong.decide(CreateTask)(lambda _, command: TaskCreated(command.id, command.text))
    app = connect("memory:", the.registry)
    for act in (
        lambda: app.event_store.load(wrong, "task-1"),
        lambda: app.event_store.execute(wrong, "task-2", CreateTask("2", "b")),
        lambda: wrong.fold_events(None, [TaskCreated("1", "a")]),
    ):
        app.event_store.append("task-1", TaskCreated("1", "a"))
        with pytest.raises(TypeError, match=r"^aggregate 'wrong': <lambda> answered a str, not a Task or None$"):
            act()
    assert app.event_store.head() == 3


def test_a_state_of_a_subclass_is_gone_on_from() -> None:
    @dataclass(frozen=True)
    class Urgent(Task):
        """A task of another kind."""

    the = todo()
    kinds = the.registry.aggregate("kinds", Task)
    kinds.on(TaskCreated)(lambda _, event: Urgent(event.id, event.text))
    kinds.on(TaskDeleted)(lambda *_: None)
    app = connect("memory:", the.registry)
    app.event_store.append("task-1", TaskCreated("1", "a"))
    assert app.event_store.load(kinds, "task-1").state == Urgent("1", "a")
    app.event_store.append("task-1", TaskDeleted("1"))
    assert app.event_store.load(kinds, "task-1").state is None


def test_a_stream_is_read_page_by_page_and_no_further_than_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handling, "MAX_PAGE_EVENTS", 2)
    between = Between(Memory())
    app = connect(between, todo().registry)
    app.event_store.append("task-1", *[TaskCreated("1", str(number)) for number in range(5)])
    assert [each.revision for each in app.event_store.read_stream("task-1")] == [1, 2, 3, 4, 5]
    assert between.after == [0, 2, 4]
    for limit, asked in ((0, []), (1, [0]), (2, [0]), (4, [0, 2])):
        between.after.clear()
        assert [each.revision for each in app.event_store.read_stream("task-1", limit=limit)] == [1, 2, 3, 4][:limit]
        assert between.after == asked, "what is enough is not asked for more"
