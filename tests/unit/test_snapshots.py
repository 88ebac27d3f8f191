"""Snapshots: a state beside its stream saves reading it all, and changes nothing else."""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, make_dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import attrs
import msgspec
import pydantic
import pytest

from eventsource_upstash import (
    Aggregate,
    Appended,
    EventStore,
    Memory,
    Receipt,
    RegistrationError,
    Registry,
    SQLite,
    Unavailable,
)
from eventsource_upstash._flow import executing, handling
from eventsource_upstash._io import blocking
from eventsource_upstash.domain.snapshots import Snapshots, Unusable
from eventsource_upstash.errors import TooLarge
from eventsource_upstash.ports import (
    MAX_SNAPSHOT_BYTES,
    Append,
    Backend,
    Conflict,
    KeyReused,
    Log,
    Snapshot,
    StreamPage,
    Unmet,
)
from eventsource_upstash.testing.wrapping import BackendWrapper, LogWrapper
from tests.faults.driving import COLOURS, Driver
from tests.priced import Till

T = TypeVar("T")


@dataclass(frozen=True)
class Added:
    amount: int


@dataclass(frozen=True)
class Emptied:
    pass


@dataclass(frozen=True)
class Add:
    amounts: tuple[int, ...]


@dataclass(frozen=True)
class Empty:
    pass


@dataclass(frozen=True)
class Sum:
    total: int
    seen: tuple[int, ...] = ()


@dataclass
class MutableSum:
    total: int
    seen: list[int] = field(default_factory=list)


class StructSum(msgspec.Struct, frozen=True):
    total: int
    seen: tuple[int, ...] = ()


@attrs.frozen
class AttrsSum:
    total: int
    seen: tuple[int, ...] = ()


class ModelSum(pydantic.BaseModel):
    total: int
    seen: tuple[int, ...] = ()


CLASSES: list[Any] = [Sum, MutableSum, StructSum, AttrsSum, ModelSum]


class Summing(NamedTuple):
    registry: Registry
    sums: Aggregate[Any]


def summing(state: Any = Sum, *, every: int | None = 3, version: int = 1, step: int = 1) -> Summing:
    """A registry of its own each time, as each process has."""
    registry = Registry()
    registry.event("added")(Added)
    registry.event("emptied")(Emptied)
    sums: Aggregate[Any] = registry.aggregate("sums", state, version=version, snapshot_every=every)

    @sums.on(Added)
    def added(sum_: Any, event: Added) -> Any:
        total, seen = (sum_.total, sum_.seen) if sum_ else (0, ())
        kept = [*seen[-2:], event.amount]
        return state(total=total + event.amount * step, seen=kept if state is MutableSum else tuple(kept))

    @sums.on(Emptied)
    def emptied(sum_: Any, event: Emptied) -> Any:
        return None

    @sums.decide(Add)
    def add(sum_: Any, command: Add) -> list[Added]:
        return [Added(amount) for amount in command.amounts]

    @sums.decide(Empty)
    def empty(sum_: Any, command: Empty) -> Emptied:
        return Emptied()

    return Summing(registry, sums)


class Watched(BackendWrapper):
    """Notes each call to the log."""

    def __init__(self, inner: Backend) -> None:
        super().__init__(inner)
        self.calls: list[str] = []

    async def around(self, call: str, step: Callable[[], Awaitable[T]]) -> T:
        self.calls.append(call.removeprefix("log."))
        return await step()

    def take(self) -> list[str]:
        calls, self.calls = self.calls, []
        return calls


@pytest.fixture(params=["memory", "sqlite"])
def watched(request: pytest.FixtureRequest, tmp_path: Path) -> Watched:
    return Watched(Memory() if request.param == "memory" else SQLite(tmp_path / "log.db", synchronous="NORMAL"))


def kept(backend: Backend, stream: str = "s", name: str = "sums@1") -> Snapshot | None:
    return blocking.run(backend.log(blocking.PORT).read_stream(stream, 0, 1, 1, name)).snapshot


def keep(backend: Backend, snapshot: Snapshot, stream: str = "s") -> None:
    blocking.run(backend.log(blocking.PORT).keep(stream, snapshot))


def fold(backend: Backend, state: Any = Sum, *, step: int = 1, stream: str = "s") -> Any:
    """What the whole stream makes."""
    plain = summing(state, every=None, step=step)
    return EventStore(backend, plain.registry).load(plain.sums, stream).state


# --- what it saves


@pytest.mark.parametrize("colour", COLOURS)
def test_an_aggregate_of_ten_thousand_events_is_executed_in_two_steps(watched: Watched, colour: Any) -> None:
    the = summing(every=100)
    app = Driver(watched, the.registry, colour)
    for _ in range(4):
        app.append("s", *[Added(1)] * 2_500)
    watched.take()
    first = app.execute(the.sums, "s", Add((1,)))
    assert watched.take() == ["read_stream"] * 10 + ["keep", "append"]
    for index in range(2, 202):
        executed = app.execute(the.sums, "s", Add((1,)))
        assert watched.take() == ["read_stream", "append"]
        assert (executed.state.total, executed.revision) == (10_000 + index, 10_000 + index)
    assert first.state.total == 10_001
    assert app.load(the.sums, "s").state == fold(watched)


def test_a_snapshot_goes_along_with_the_append(watched: Watched) -> None:
    the = summing(every=3)
    store = EventStore(watched, the.registry)
    revisions: list[int] = []
    for _ in range(7):
        store.execute(the.sums, "s", Add((1,)))
        assert watched.take() == ["read_stream", "append"]
        snapshot = kept(watched.inner)
        revisions.append(snapshot.revision if snapshot else 0)
    assert revisions == [0, 0, 3, 3, 3, 6, 6]
    store.execute(the.sums, "s", Add((1, 1, 1, 1)))
    snapshot = kept(watched.inner)
    assert snapshot is not None
    assert snapshot.revision == 11, "past a multiple counts, and not only on it"


def test_a_long_load_keeps_one(watched: Watched) -> None:
    the = summing(every=3)
    store = EventStore(watched, the.registry)
    store.append("s", *[Added(1)] * 3)
    watched.take()
    store.load(the.sums, "s")
    assert watched.take() == ["read_stream"], "three events are not too many"
    store.append("s", Added(1))
    watched.take()
    store.load(the.sums, "s")
    assert watched.take() == ["read_stream", "keep"]
    assert store.load(the.sums, "s").state == Sum(4, (1, 1, 1))
    assert watched.take() == ["read_stream"]


def test_a_load_that_is_no_longer_than_from_one_snapshot_to_the_next_keeps_none(watched: Watched) -> None:
    the = summing(every=3)
    EventStore(watched, the.registry).execute(the.sums, "s", Add((1, 1, 1)))
    watched.take()
    for events, keeps in ((3, []), (1, ["keep"])):
        EventStore(watched, the.registry).append("s", *[Added(1)] * events)
        watched.take()
        fresh = EventStore(watched, the.registry)  # with no state in its cache
        fresh.load(the.sums, "s")
        assert watched.take() == ["read_stream", *keeps]


@pytest.mark.parametrize("state", CLASSES)
def test_every_kind_of_class_is_kept(watched: Watched, state: Any) -> None:
    the = summing(state, every=2)
    store = EventStore(watched, the.registry)
    for amount in range(1, 6):
        executed = store.execute(the.sums, "s", Add((amount,)))
        # Another process, with classes and folds of its own.
        other = summing(state, every=2)
        loaded = EventStore(watched, other.registry).load(other.sums, "s")
        assert loaded.state == executed.state == fold(watched, state)
        assert type(loaded.state) is state
    snapshot = kept(watched)
    assert snapshot is not None
    assert snapshot.revision == 4


def test_a_stream_that_is_empty_again_is_kept_too(watched: Watched) -> None:
    the = summing(every=2)
    store = EventStore(watched, the.registry)
    store.execute(the.sums, "s", Add((1,)))
    store.execute(the.sums, "s", Empty())
    snapshot = kept(watched)
    assert snapshot is not None
    assert snapshot.revision == 2
    watched.take()
    loaded = EventStore(watched, the.registry).load(the.sums, "s")
    assert (loaded.state, loaded.revision) == (None, 2)
    assert watched.take() == ["read_stream"]
    assert store.execute(the.sums, "s", Add((5,))).state == Sum(5, (5,))


def test_a_state_is_what_is_read_back_and_not_what_was_handed_over() -> None:
    # 5 is stored as 5 and read back as 5.0: whoever folds the instance itself makes another text of it.
    registry = Registry()

    @registry.event("weighed")
    @dataclass(frozen=True)
    class Weighed:
        kilograms: float

    @dataclass(frozen=True)
    class Label:
        text: str

    labels = registry.aggregate("labels", Label, snapshot_every=1)
    labels.on(Weighed)(lambda label, event: Label((label.text if label else "") + f"{event.kilograms}kg "))
    labels.decide(int)(lambda label, command: Weighed(command))
    memory = Memory()
    store = EventStore(memory, registry, cache=1)
    executed = [store.execute(labels, "s", 5).state for _ in range(2)]
    assert executed == [Label("5.0kg "), Label("5.0kg 5.0kg ")]
    assert EventStore(memory, registry).load(labels, "s").state == executed[-1]


# --- what it must not do


def test_a_snapshot_of_another_version_is_not_found(watched: Watched) -> None:
    old = summing(every=2)
    EventStore(watched, old.registry).execute(old.sums, "s", Add((1, 2, 3)))
    new = summing(every=2, version=2, step=10)
    store = EventStore(watched, new.registry)
    assert store.load(new.sums, "s").state == Sum(60, (1, 2, 3))
    assert store.execute(new.sums, "s", Add((4,))).state == Sum(100, (2, 3, 4))
    # Old code that runs beside the new has its own still.
    assert EventStore(watched, old.registry).load(old.sums, "s").state == Sum(10, (2, 3, 4))


@dataclass(frozen=True)
class Counted:
    """A `Sum` that has gained a field: what was kept of a `Sum` would decode into it, with a count that is wrong."""

    total: int
    seen: tuple[int, ...] = ()
    count: int = 0


@dataclass(frozen=True)
class Renamed:
    """What was kept of a `Sum` does not decode into it."""

    sum: int


class Hooked(pydantic.BaseModel):
    """No JSON schema can tell what it holds."""

    total: int
    hook: Callable[[], int] | None = None


class HookedAndCounted(pydantic.BaseModel):
    total: int
    count: int = 0
    hook: Callable[[], int] | None = None


def test_a_snapshot_of_another_class_without_a_schema_is_not_used() -> None:
    snapshots = Snapshots[Any]("sums@1", Hooked, 2, "a state")
    kept = snapshots.encode(Hooked(total=3), (1, 2))
    assert snapshots.decode(kept) == (Hooked(total=3), (1, 2))
    with pytest.raises(Unusable, match="HookedAndCounted"):
        Snapshots[Any]("sums@1", HookedAndCounted, 2, "a state").decode(kept)


def test_a_snapshot_is_not_used_where_a_class_without_a_schema_inherits_another_field() -> None:
    def state(base: type) -> Any:
        return type("State", (base,), {"__module__": __name__})

    kept = Snapshots[Any]("sums@1", state(Hooked), 2, "a state").encode(None, (1, 2))
    assert Snapshots[Any]("sums@1", state(Hooked), 2, "a state").decode(kept) == (None, (1, 2))
    with pytest.raises(Unusable, match="State"):
        Snapshots[Any]("sums@1", state(HookedAndCounted), 2, "a state").decode(kept)


def _items_of(kind: str, *names: str) -> Any:
    """A class of that kind called Item, which has these fields, each with a default."""
    fields = [(name, int, 0) for name in names]
    if kind == "pydantic":
        return pydantic.create_model("Item", **dict.fromkeys(names, (int, 0)))  # type: ignore[call-overload]
    if kind == "Struct":
        return msgspec.defstruct("Item", fields)
    return make_dataclass("Item", fields)


@pytest.mark.parametrize("kind", ["pydantic", "Struct", "dataclass"])
def test_a_snapshot_is_not_used_where_what_a_state_holds_has_gained_a_field(kind: str) -> None:
    def snapshots(*names: str) -> Snapshots[Any]:
        state = make_dataclass("State", [("items", list[_items_of(kind, *names)])])  # type: ignore[misc]
        return Snapshots[Any]("sums@1", state, 2, "a state")

    kept = snapshots("a").encode(None, (1, 2))
    assert snapshots("a").decode(kept) == (None, (1, 2))
    with pytest.raises(Unusable, match="it is damaged, or the fields of State were others"):
        snapshots("a", "b").decode(kept)


@pytest.mark.parametrize("kind", ["pydantic", "Struct", "dataclass"])
def test_a_snapshot_is_used_whatever_the_order_of_fields(kind: str) -> None:
    one, other = (Snapshots[Any]("sums@1", _items_of(kind, *names), 2, "a state") for names in ("ab", "ba"))
    kept = one.encode(None, (1, 2))
    assert other.decode(kept) == (None, (1, 2))


@dataclass(frozen=True)
class Positive:
    total: int

    def __post_init__(self) -> None:
        if self.total <= least:
            raise ValueError("not enough")


least = 0


def test_a_snapshot_that_its_class_does_not_take_any_more_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    snapshots = Snapshots("sums@1", Positive, 2, "a state")
    kept = snapshots.encode(Positive(3), (1, 2))
    assert snapshots.decode(kept) == (Positive(3), (1, 2))
    monkeypatch.setitem(globals(), "least", 3)
    with pytest.raises(Unusable, match="it does not decode into Positive any more"):
        snapshots.decode(kept)


@pytest.mark.parametrize("state", [Counted, Renamed])
def test_a_snapshot_of_another_schema_is_not_used(
    watched: Watched, state: Any, caplog: pytest.LogCaptureFixture
) -> None:
    old = summing(every=2)
    for stream in ("s", "t"):
        EventStore(watched, old.registry).execute(old.sums, stream, Add((1, 2)))
    registry = Registry()
    registry.event("added")(Added)
    sums: Aggregate[Any] = registry.aggregate("sums", state, snapshot_every=2)

    @sums.on(Added)
    def added(sum_: Any, event: Added) -> Any:
        if state is Renamed:
            return Renamed((sum_.sum if sum_ else 0) + event.amount)
        return replace(sum_ or Counted(0), count=(sum_.count if sum_ else 0) + 1)

    store = EventStore(watched, registry)
    watched.take()
    for stream in ("s", "t"):
        expected: object = Renamed(3) if state is Renamed else Counted(0, (), 2)
        assert store.load(sums, stream).state == expected
        assert watched.take() == ["read_stream", "read_stream", "keep"], "it is replaced"
        assert store.load(sums, stream).state == expected
        assert watched.take() == ["read_stream"]
    (line,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert line.startswith("the snapshot sums@1 of stream s is not used, and replaced: ")
    assert state.__name__ in line


def _flipped(state: bytes) -> bytes:
    return state.replace(b'"total":6', b'"total":7')


@pytest.mark.parametrize(
    "damage",
    [lambda state: b"", lambda state: b"garbage", lambda state: state[:-1], _flipped, lambda state: b"00000000"],
    ids=["nothing", "garbage", "cut short", "another number", "a seal alone"],
)
def test_a_damaged_snapshot_is_not_used(
    watched: Watched, damage: Callable[[bytes], bytes], caplog: pytest.LogCaptureFixture
) -> None:
    the = summing(every=3)
    EventStore(watched, the.registry).execute(the.sums, "s", Add((1, 2, 3)))
    snapshot = kept(watched)
    assert snapshot is not None
    keep(watched, snapshot._replace(state=damage(snapshot.state)))
    store = EventStore(watched, the.registry)
    watched.take()
    executed = store.execute(the.sums, "s", Add((4,)))
    assert executed.state == Sum(10, (2, 3, 4)) == fold(watched)
    assert watched.take()[:4] == ["read_stream", "read_stream", "keep", "append"]
    assert EventStore(watched, the.registry).load(the.sums, "s").state == Sum(10, (2, 3, 4))
    assert kept(watched) == snapshot, "it is as it was"
    assert len(caplog.records) == 1


def test_a_snapshot_beyond_the_stream_is_not_used(watched: Watched) -> None:
    the = summing(every=2)
    store = EventStore(watched, the.registry)
    store.append("s", *[Added(1)] * 3)
    assert the.sums.snapshots is not None
    keep(watched, Snapshot("sums@1", 99, the.sums.snapshots.encode(Sum(99), (1, 1))))
    assert store.load(the.sums, "s").state == Sum(3, (1, 1, 1))
    snapshot = kept(watched)
    assert snapshot is not None
    assert snapshot.revision == 3, "the right one took its place, before the stream could grow up to it"


class Odd(Sum):
    pass


@pytest.mark.parametrize(
    ("state", "why"),
    [
        (Odd(1), "TypeError"),
        (Sum(1, ("secret",)), "state of aggregate 'sums' cannot be stored"),  # type: ignore[arg-type]
        (Sum(10**5000), "cannot be stored"),
        (Sum(1, tuple(range(10**6, 10**6 + 200_000))), f"at most {MAX_SNAPSHOT_BYTES}"),
    ],
    ids=["a subclass", "another type", "a number too long", "too large"],
)
def test_a_state_that_cannot_be_kept_is_left_out(
    watched: Watched, state: Sum, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    registry = Registry()
    registry.event("added")(Added)
    sums = registry.aggregate("sums", Sum, snapshot_every=1)
    sums.on(Added)(lambda sum_, event: state)
    sums.decide(Add)(lambda sum_, command: Added(1))
    store = EventStore(watched, registry)
    executed = store.execute(sums, "s", Add(()))
    assert (executed.state, executed.revision) == (state, 1)
    store.append("s", Added(1))
    assert store.load(sums, "s").state == state
    assert kept(watched) is None
    lines = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(lines) == 2
    assert all(re.search(why, line) and "secret" not in line for line in lines)
    assert {line.partition(":")[0] for line in lines} == {"no snapshot sums@1 of stream s is kept"}


def test_a_state_is_kept_up_to_the_size_that_is_told(
    watched: Watched, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(handling, "_draw", lambda bits: 1 << 50)  # else one state has a digit more than another
    the = summing(every=1)
    store = EventStore(watched, the.registry)
    store.execute(the.sums, "s", Add((1,)))
    first = kept(watched)
    assert first is not None
    monkeypatch.setattr(executing, "MAX_SNAPSHOT_BYTES", len(first.state))
    store.execute(the.sums, "t", Add((1,)))
    assert kept(watched, "t") is not None
    monkeypatch.setattr(executing, "MAX_SNAPSHOT_BYTES", len(first.state) - 1)
    store.execute(the.sums, "u", Add((1,)))
    assert kept(watched, "u") is None
    size = len(first.state)
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING] == [
        f"no snapshot sums@1 of stream u is kept: the state has {size} bytes, at most {size - 1} are kept"
    ]


def test_a_long_load_tells_what_keeping_the_state_has_cost_and_asks_for_it_in_its_first_page(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str | None] = []

    class Asked(LogWrapper):
        async def read_stream(
            self, stream: str, after_revision: int, limit: int, max_bytes: int, snapshot: str | None = None
        ) -> StreamPage:
            asked.append(snapshot)
            return await super().read_stream(stream, after_revision, limit, max_bytes, snapshot)

    class Asking(Till):
        def wrap_log(self, log: Log) -> Log:
            return Asked(log, self.around)

    the, till = summing(every=3), Asking()
    store = EventStore(till, the.registry)
    store.append("s", *[Added(1)] * 5)
    till.calls = 0
    monkeypatch.setattr(executing, "MAX_PAGE_EVENTS", 2)
    assert store.load(the.sums, "s").receipt.requests == till.calls == 4, "three pages, and the snapshot"
    assert asked == ["sums@1", None, None]


def test_a_state_of_a_subclass_is_refused_by_name() -> None:
    with pytest.raises(TypeError, match="a Odd would be read back as a Sum"):
        Snapshots("sums@1", Sum, 2, "a state").encode(Odd(1), (1, 2))


class Refusing(BackendWrapper):
    """Refuses snapshots, in the way that it is told."""

    def wrap_log(self, log: Log) -> Log:
        return _Refusing(log)


class _Refusing(LogWrapper):
    async def append(self, append: Append) -> Appended | Conflict | KeyReused | Unmet:
        if append.snapshot is not None:
            raise TooLarge(what="the append", size=2, limit=1)
        return await self.inner.append(append)

    async def keep(self, stream: str, snapshot: Snapshot) -> Receipt:
        raise Unavailable("not now")


@pytest.mark.parametrize("colour", COLOURS)
def test_a_snapshot_that_the_backend_refuses_is_left_out(colour: Any, caplog: pytest.LogCaptureFixture) -> None:
    the = summing(every=1)
    app = Driver(Refusing(Memory()), the.registry, colour)
    for index in range(1, 4):
        executed = app.execute(the.sums, "s", Add((1,)), idempotency_key=f"key-{index}")
        assert (executed.state.total, executed.revision) == (index, index)
    assert app.head() == 3
    assert {record.getMessage() for record in caplog.records if record.levelno == logging.WARNING} == {
        f"no snapshot of stream s is kept: with it, {TooLarge(what='the append', size=2, limit=1)}",
        "the snapshot sums@1 of stream s is not kept: not now",
    }


@pytest.mark.parametrize("page", [1_000, 2])
def test_what_is_kept_is_made_of_events_though_a_decide_handler_changes_its_state(
    watched: Watched, monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    monkeypatch.setattr(executing, "MAX_PAGE_EVENTS", page)
    the = summing(MutableSum, every=4)

    @the.sums.decide(int)
    def spend(sum_: MutableSum, command: int) -> Added:
        sum_.total -= command  # it should not: its event does
        sum_.seen.clear()
        return Added(-command)

    store = EventStore(watched, the.registry)
    store.append("s", Added(10), Added(20), Added(30))
    revisions: list[int] = []
    for _ in range(9):
        store.execute(the.sums, "s", 1)
        state = store.load(the.sums, "s").state
        assert state == fold(watched, MutableSum)
        snapshot = kept(watched)
        revisions.append(snapshot.revision if snapshot else 0)
    # It goes along with the append; where more was read than is held, none does, and the next long load keeps one.
    assert revisions == ([4, 4, 4, 4, 8, 8, 8, 8, 12] if page == 1_000 else [0, 5, 5, 5, 8, 8, 8, 8, 8])


# --- registration


@pytest.mark.parametrize("every", [0, -1, True, 1.5, "7"])
def test_a_number_of_events_that_is_none(every: Any) -> None:
    with pytest.raises(RegistrationError, match=r"aggregate 'sums': snapshot_every=.* whole number of events from 1"):
        Registry().aggregate("sums", Sum, snapshot_every=every)


@pytest.mark.parametrize("version", [0, True, "2"])
def test_a_version_that_is_none(version: Any) -> None:
    with pytest.raises(RegistrationError, match=r"aggregate 'sums': a version is a whole number from 1"):
        Registry().aggregate("sums", Sum, version=version)


def test_a_state_that_cannot_be_stored_is_refused_at_registration() -> None:
    @dataclass
    class Odd:
        what: complex

    with pytest.raises(RegistrationError, match=r"state of aggregate 'odd'.*complex"):
        Registry().aggregate("odd", Odd, snapshot_every=5)


def test_the_seal_of_a_snapshot_is_written_as_it_always_was() -> None:
    snapshots = Snapshots("sums@1", Sum, 2, "a state")
    sealed = [snapshots.encode(Sum(total), (1, 2)) for total in range(20)]
    assert all(re.fullmatch(rb'[0-9a-f]{8}1\.2 \{"total":\d+.*\}', each) for each in sealed)
    assert any(re.match(rb"[0-9]*[a-f]", each) for each in sealed)
