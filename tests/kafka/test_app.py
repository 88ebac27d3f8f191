"""An app on a topic: the look beforehand, what is lost, who reacts; and what holds only because it is looked at."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from eventsource_upstash import (
    Append,
    Execute,
    IdempotencyKeyReused,
    InProcess,
    Kafka,
    LogRewound,
    LogTrimmed,
    Memory,
    MemoryKeys,
    Misuse,
    Personal,
    Reaction,
    ReactorStopped,
    Refused,
    Registry,
)
from eventsource_upstash._io import blocking
from eventsource_upstash.backends.kafka import reading
from eventsource_upstash.backends.kafka.merging import Strip
from eventsource_upstash.backends.kafka.reading import Reading
from eventsource_upstash.blocking import App
from eventsource_upstash.ports import Snapshot
from tests.kafka import test_log
from tests.kafka.memory_topic import MemoryTopic


@dataclass(frozen=True)
class Paid:
    amount: int


@dataclass(frozen=True)
class Moved:
    who: str
    where: Personal[str]


@dataclass(frozen=True)
class Booked:
    amount: int


@dataclass(frozen=True)
class Book:
    amount: int


@dataclass(frozen=True)
class Total:
    amount: int = 0


def a_registry() -> Registry:
    registry = Registry()
    registry.event("paid")(Paid)
    registry.event("booked")(Booked)
    totals = registry.projection("totals", Total)

    @totals.on(Paid, key=lambda _: "all")
    def paid(total: Total | None, event: Paid) -> Total:
        return Total((total or Total()).amount + event.amount)

    assert all((paid,))
    return registry


def an_app(topic: MemoryTopic, registry: Registry | None = None, beginning: str | None = None) -> App:
    return App(Kafka(topic, views=Memory(), beginning=beginning), registry or a_registry(), InProcess())


def test_a_look_beforehand_finds_what_is_wrong() -> None:
    topic = MemoryTopic("todo", partitions=2)
    app = an_app(topic)
    assert app.check() == ()
    for number in range(20):
        app.event_store.append(f"account-{number}", Paid(1))
    assert app.check() == ()
    topic.truncate(1, 3)
    [doubt] = app.check()
    assert "topic 'todo', partition 1: the events before offset 3 are deleted" in doubt
    assert "beginning='1:3'" in doubt
    assert an_app(topic, beginning="1:3").check() == ()

    def missing(step: str) -> None:
        raise Refused("there is no topic 'todo'")

    topic.before = missing
    with pytest.raises(Refused, match="no topic 'todo'"):
        app.check()


def test_what_was_deleted_before_it_was_folded_stops_everything_that_needs_it() -> None:
    topic = MemoryTopic("todo")
    views = Memory()
    app = App(Kafka(topic, views=views), a_registry(), InProcess())
    for _ in range(5):
        app.event_store.append("a", Paid(1))
    app.projector.catch_up()
    for _ in range(5):
        app.event_store.append("a", Paid(1))
    topic.truncate(0, 7)
    with pytest.raises(LogTrimmed, match="the offsets 5 to 6 were to be read"):
        app.projector.catch_up()
    with pytest.raises(LogTrimmed, match="the offsets 0 to 6"):
        list(app.event_store.read())
    declared = App(Kafka(topic, views=views, beginning="0:7"), a_registry(), InProcess())
    assert declared.projector.catch_up().complete
    [status] = declared.projection_store.status()
    assert (status.checkpoint, status.lag) == (10, 0)


def test_what_was_folded_may_be_deleted() -> None:
    topic = MemoryTopic("todo", partitions=2)
    app = an_app(topic)
    for number in range(10):
        app.event_store.append(f"account-{number}", Paid(1))
    app.projector.catch_up()
    for partition in range(2):
        topic.truncate(partition, topic.bounds([partition])[partition].high)
    assert app.projector.catch_up().applied == 0
    app.event_store.append("account-1", Paid(1))
    assert app.projector.catch_up().applied == 1


@pytest.mark.parametrize("partitions", [1, 3])
def test_a_topic_that_was_made_anew_is_no_older_state_of_itself(partitions: int) -> None:
    topic = MemoryTopic("todo", partitions=partitions)
    app = an_app(topic)
    for number in range(10):
        app.event_store.append(f"account-{number}", Paid(1))
    app.projector.catch_up()
    topic.recreate()
    app.event_store.append("account-1", Paid(1))
    with pytest.raises(LogRewound, match="projection 'totals'"):
        app.projector.catch_up()


@pytest.mark.parametrize("partitions", [1, 3])
def test_a_reactor_appends_once_and_cannot_execute(partitions: int) -> None:
    registry = a_registry()
    ledger = registry.aggregate("ledger", Total)

    @ledger.decide(Book)
    def book(state: Total | None, command: Book) -> Booked:
        return Booked(command.amount)

    reactor = registry.reactor("booker")

    @reactor.on(Paid)
    def paid(event: Paid) -> Reaction:
        if event.amount > 99:
            return Execute(ledger, "ledger", Book(event.amount))
        return Append("ledger", Booked(event.amount))

    assert all((book, paid))
    app = an_app(MemoryTopic(partitions=partitions), registry)
    for amount in range(5):
        app.event_store.append(f"account-{amount}", Paid(amount))
    for _ in range(3):
        app.projector.catch_up()
    booked = [each.event for each in app.event_store.read() if each.stream == "ledger"]
    assert sorted(event.amount for event in booked if isinstance(event, Booked)) == [0, 1, 2, 3, 4]
    app.event_store.append("account-9", Paid(100))
    with pytest.raises(ReactorStopped, match=r"execute of stream 'ledger'.*UpstashRedis, SQLite and Memory can"):
        app.projector.catch_up()


# What the tests of the log would find, if it did not hold.


def _forgets_to_look_back(monkeypatch: pytest.MonkeyPatch) -> None:
    async def not_at_all(self: Reading, partitions: object) -> None:
        pass

    monkeypatch.setattr(Reading, "_look_back", not_at_all)


def _takes_what_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if nothing could come in a partition whose records are used up."""
    monkeypatch.setattr(reading, "SHARE", 1)
    before = Strip.fill

    def fill(self: Strip, rows: list[object], end: int, *, ended: bool) -> None:
        before(self, rows, end, ended=ended)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        self.ended = True

    monkeypatch.setattr(Strip, "fill", fill)


def _passes_over_what_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    def miss(self: Reading, out: reading.OutOfRange) -> None:
        self._strips[out.partition].ended = True  # pyright: ignore[reportPrivateUsage]

    monkeypatch.setattr(Reading, "_miss", miss)


def _misses_gaps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Strip, "offset", property(lambda self: self.rows[self.at - 1][2] if self.at else self.start))


@pytest.mark.parametrize(
    ("breaks", "found_by"),
    [
        (_forgets_to_look_back, lambda: test_log.test_a_repeat_is_handed_out_once(1)),
        (_takes_what_is_there, lambda: test_log.test_partitions_are_merged_by_the_time_of_their_events(7)),
        (_passes_over_what_is_gone, test_log.test_what_retention_took_before_it_was_read_is_told),
        (_misses_gaps, test_log.test_gaps_are_passed_over_and_reached),
    ],
)
def test_a_log_that_does_not_hold_is_found(
    breaks: Callable[[pytest.MonkeyPatch], None], found_by: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    found_by()
    breaks(monkeypatch)
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        found_by()


def test_a_log_may_be_read_by_several_threads_at_once() -> None:
    topic = MemoryTopic(partitions=3)
    log = test_log.log_of(topic)
    for at in range(1, 301):
        test_log.append(log, f"s{at % 17}", at=at)
    expected = test_log.payloads(log)
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda limit: test_log.payloads(log, limit=limit), [3, 10, 50, 7] * 4))
    assert all(each == expected for each in found)
    assert int(blocking.run(log.head())[0]) == 300


def test_what_cannot_be_read_has_no_snapshot_either() -> None:
    log = test_log.log_of(MemoryTopic())
    with pytest.raises(Misuse, match="there are no snapshots"):
        blocking.run(log.keep("a", Snapshot("n@1", 1, b"1")))


@pytest.mark.parametrize("partitions", [1, 3])
def test_personal_data_is_encrypted_in_the_topic_and_a_key_knows_its_append(partitions: int) -> None:
    registry = Registry()
    registry.event("moved", subject="who")(Moved)
    places = registry.projection("places", Moved)

    @places.on(Moved, key="who")
    def moved(place: Moved | None, event: Moved) -> Moved:
        return event

    assert all((moved,))
    topic = MemoryTopic(partitions=partitions)
    app = App(Kafka(topic, views=Memory()), registry, InProcess(), keys=MemoryKeys())
    first = app.event_store.append("ada", Moved("ada", "Baker Street"), idempotency_key="move-1")
    again = app.event_store.append("ada", Moved("ada", "Baker Street"), idempotency_key="move-1")
    assert (again.position, again.repeated) == (first.position, True)
    with pytest.raises(IdempotencyKeyReused):
        app.event_store.append("ada", Moved("ada", "Abbey Road"), idempotency_key="move-1")
    assert all(b"Baker" not in (record.value or b"") for record in topic.records())
    view = app.projection_store.view(places)
    assert view.get("ada", at_least=first.position) == Moved("ada", "Baker Street")
    app.event_store.forget("ada")
    [recorded] = app.event_store.read()
    assert recorded.event == Moved("ada", None)
