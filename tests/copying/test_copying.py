"""What a copy holds, what it refuses, and what it costs."""

from __future__ import annotations

import itertools
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import TypeVar

import pytest

from eventsource_upstash import (
    AsyncLogCopy,
    Copying,
    EventStore,
    LogCopy,
    Memory,
    MemoryKeys,
    Misuse,
    OutcomeUnknown,
    Personal,
    Query,
    Refused,
    Registry,
    Signal,
    TooLarge,
)
from eventsource_upstash._flow import copying
from eventsource_upstash._flow.copying import LogCopying
from eventsource_upstash._io.blocking import PORT, BlockingPort, run
from eventsource_upstash.domain.events import FREE, Appended, Receipt
from eventsource_upstash.ports import Append, Backend, Capabilities, Conflict, KeyReused, Log, Page, Unmet
from eventsource_upstash.testing.colours import Colour
from eventsource_upstash.testing.wrapping import BackendWrapper, LogWrapper
from tests.copying.conftest import Make
from tests.copying.support import (
    HISTORY,
    Counting,
    InParts,
    NarrowBackend,
    TakesSeveral,
    copied,
    fill,
    rows_of,
    written,
)
from tests.priced import Till

T = TypeVar("T")

KINDS = ("memory", "sqlite", "upstash")
COLOURS = pytest.mark.parametrize("colour", Colour, ids=lambda colour: colour.value)


@COLOURS
@pytest.mark.parametrize(("source", "destination"), list(itertools.product(KINDS, KINDS)))
def test_a_copy_is_what_its_source_is(make: Make, source: str, destination: str, colour: Colour) -> None:
    one, other = make(source), make(destination)
    fill(one)
    done = copied(colour, one, other)
    assert rows_of(other) == rows_of(one), "positions and revisions too"
    assert (done.found, done.copied, done.position, done.head) == (0, 12, 12, 12)
    assert done.compared is not None
    assert done.compared.equal
    assert done.compared.source.events == 12
    assert len(done.compared.source.digest) == 32
    again = copied(colour, one, other)
    assert (again.found, again.copied, again.head) == (12, 0, 12)


@pytest.mark.parametrize("kind", KINDS)
def test_events_are_found_by_their_tags_in_a_copy(make: Make, kind: str) -> None:
    one, other = Memory(), make(kind)
    fill(one)
    copied(Colour.BLOCKING, one, other)

    async def found() -> list[int]:
        page = await other.log(Colour.BLOCKING.port).read(0, 10, 10**6, Query.of(tags=["x"]))
        return [row[0] for row in page.events]

    assert Colour.BLOCKING.run(found()) == [5, 6, 7]


def test_what_was_appended_together_is_appended_together() -> None:
    one, other = Memory(), Counting(Memory())
    fill(one)
    copied(Colour.BLOCKING, one, other)
    assert other.calls["log.append"] == len(HISTORY)


def test_what_goes_on_in_the_next_page_is_appended_together() -> None:
    one, other = Memory(), Counting(Memory())
    fill(one, [written("a", b"{}", number=1), written("b", *[b"{}"] * 1_500, number=2)])
    copied(Colour.BLOCKING, one, other)
    assert rows_of(other) == rows_of(one)
    # Events 1 to 1,000 of the 1,500 are as many as are appended at once.
    assert other.calls["log.append"] == 3


@pytest.mark.parametrize("most", [1, 3])
def test_what_is_too_large_at_once_is_appended_in_parts(most: int) -> None:
    one, other = Memory(), Memory()
    fill(one, [written("a", *[b'{"n":%d}' % n for n in range(20)], number=2, tags=[None, b'["x"]'] * 10)])
    copied(Colour.BLOCKING, one, NarrowBackend(other, most))
    assert rows_of(other) == rows_of(one)
    fill(one, [written("a", b" " * 101, number=200)])
    with pytest.raises(TooLarge):
        copied(Colour.BLOCKING, one, NarrowBackend(other))
    assert len(rows_of(other)) == 20


@dataclass(frozen=True)
class Moved:
    customer: str
    street: Personal[str]


def test_personal_data_stays_encrypted_and_is_read_with_the_same_keys() -> None:
    registry, keys, one, other = Registry(), MemoryKeys(), Memory(), Memory()
    registry.event("moved", subject="customer")(Moved)
    EventStore(one, registry, keys=keys).append("c-1", Moved("c-1", "Lindenstraße 1"))
    copied(Colour.BLOCKING, one, other)
    assert "Lindenstraße".encode() not in rows_of(other)[0][9]
    (read,) = EventStore(other, registry, keys=keys).read()
    assert read.event == Moved("c-1", "Lindenstraße 1")


@COLOURS
@pytest.mark.parametrize("kind", KINDS)
def test_a_copy_goes_on_from_what_is_there(make: Make, kind: str, colour: Colour) -> None:
    one, other = Memory(), make(kind)
    for end in (0, 1, 3, 5, len(HISTORY)):
        fresh = Memory()
        fill(fresh, HISTORY[:end])
        before = len(rows_of(other))
        done = copied(colour, fresh, other)
        assert (done.found, done.found + done.copied) == (before, len(rows_of(fresh)))
        one = fresh
    assert rows_of(other) == rows_of(one)


def test_a_part_of_an_append_is_gone_on_with() -> None:
    one, other = Memory(), Memory()
    fill(one)
    fill(other, [HISTORY[0], written("b", b'{"amount":2}', number=20, metadata=HISTORY[1].metadata)])
    done = copied(Colour.BLOCKING, one, other)
    assert (done.found, done.copied) == (2, 10)
    assert rows_of(other) == rows_of(one)


@COLOURS
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "others",
    [
        [written("own", b"{}", number=7)],
        [*HISTORY[:2], written("a", b"{}", number=7)],
        [*HISTORY, written("own", b"{}", number=7)],
        [HISTORY[1], HISTORY[0]],
    ],
    ids=["others", "others after a part", "others after all", "another order"],
)
def test_a_destination_with_other_events_is_refused(
    make: Make, kind: str, others: list[Append], colour: Colour
) -> None:
    one, other = Memory(), make(kind)
    fill(one)
    fill(other, others)
    before = rows_of(other)
    with pytest.raises(Refused, match=r"the destination holds the event '.*' .*; nothing was written"):
        copied(colour, one, other)
    assert rows_of(other) == before


def test_a_dry_run_writes_nothing() -> None:
    one, other = Memory(), Memory()
    fill(one)
    fill(other, HISTORY[:2])
    done = copied(Colour.BLOCKING, one, other, dry_run=True)
    assert (done.found, done.copied, done.head, done.compared) == (4, 8, 4, None)
    assert len(rows_of(other)) == 4


def test_nobody_need_compare() -> None:
    one, other = Memory(), Counting(Memory())
    fill(one)
    assert copied(Colour.BLOCKING, one, other, verify=False).compared is None
    assert "log.read" not in other.calls


@COLOURS
@pytest.mark.parametrize("kind", KINDS)
def test_somebody_else_in_between_is_an_error_and_no_mixture(make: Make, kind: str, colour: Colour) -> None:
    for stream in ("own", "b"):  # a stream of theirs, and one that the next append is about
        one, other = Memory(), make(kind)
        fill(one)
        theirs = [written(stream, b"{}", number=7)]
        disturbed = Counting(other, "log.append", 4, partial(fill, other, theirs))
        with pytest.raises(Refused, match=r"somebody else writes to the destination: .* was not copied"):
            copied(colour, one, disturbed)
        rows = rows_of(other)
        assert rows[:6] == rows_of(one)[:6]
        assert rows[6][1] == stream
        assert len(rows) == 7, "nothing was written after theirs"
        with pytest.raises(Refused, match="the destination holds the event 'paid'"):
            copied(colour, one, other)


@pytest.mark.parametrize(
    ("stream", "told"), [("own", "its log has moved on"), ("b", "stream 'b' is elsewhere than it was here")]
)
def test_it_is_told_what_somebody_else_has_written_and_what_was_not_copied(stream: str, told: str) -> None:
    one, other = Memory(), Memory()
    fill(one)
    disturbed = Counting(other, "log.append", 6, partial(fill, other, [written(stream, b"{}", number=7)]))
    first = r"the event 'paid' \S+ of stream 'b' \(position 10\)"
    with pytest.raises(Refused, match=rf"writes to the destination: {told}\. {first} was not copied"):
        copied(Colour.BLOCKING, one, disturbed)


class Written(LogWrapper):
    """A log to which somebody appends whenever it was read to its end."""

    def __init__(self, inner: Log, append: Callable[[], object]) -> None:
        super().__init__(inner)
        self.write = append

    async def read(self, after: int, limit: int, max_bytes: int, query: Query | None = None) -> Page:
        page = await super().read(after, limit, max_bytes, query)
        if not page.events:
            self.write()
        return page


class WrittenTo(BackendWrapper):
    def __init__(self, inner: Backend, append: Callable[[], object]) -> None:
        super().__init__(inner)
        self.write = append

    def wrap_log(self, log: Log) -> Log:
        return Written(log, self.write)


@COLOURS
def test_a_source_that_is_written_to_is_followed_until_told_to_end(colour: Colour) -> None:
    one, other, stop = Memory(), Memory(), Signal()
    fill(one, HISTORY[:2])
    left = HISTORY[2:]

    def write() -> None:
        if left:
            fill(one, [left.pop(0)])
        if len(left) == 1 and not stop.raised:
            stop.set()
            fill(one, [left.pop(0)])  # before anybody could see that it is set

    done = copied(colour, WrittenTo(one, write), other, follow=stop, poll_interval=1e-6, verify=False)
    assert not left
    assert rows_of(other) == rows_of(one)
    assert (len(rows_of(one)), done.copied) == (12, 12)


def test_who_is_told_to_end_while_it_reads_the_end_reads_what_was_there_by_then() -> None:
    one, other, stop = Memory(), Memory(), Signal()
    fill(one, HISTORY[:2])
    left = HISTORY[2:3]

    def write() -> None:
        if left:
            stop.set()
            fill(one, [left.pop()])

    copied(Colour.BLOCKING, WrittenTo(one, write), other, follow=stop, poll_interval=30.0, verify=False)
    assert rows_of(other) == rows_of(one)
    assert len(rows_of(one)) == 6


class Sleepy(BlockingPort):
    """Is told to end as it goes to sleep for the second time.

    Attributes:
        slept: How long it slept each time.
    """

    def __init__(self) -> None:
        self.stop = Signal()
        self.slept: list[float] = []

    async def sleep(self, seconds: float, wake: Signal | None = None, since: int = 0) -> None:
        if self.slept:
            self.stop.set()
        began = time.monotonic()
        await super().sleep(seconds, wake, since)
        self.slept.append(time.monotonic() - began)


def test_who_follows_sleeps_between_two_looks_and_wakes_when_it_is_told_to_end() -> None:
    one, port = Memory(), Sleepy()
    fill(one)
    flow = LogCopying(one, Memory(), port)
    run(flow.run(verify=False, dry_run=False, follow=port.stop, poll_interval=0.2, progress=None))
    assert [seconds > 0.15 for seconds in port.slept] == [True, False]


class Unsure(LogWrapper):
    """A log whose answers to the first appends are lost; each of them is written all the same."""

    def __init__(self, inner: Log, lost: int, tried: list[int]) -> None:
        super().__init__(inner)
        self._lost = lost
        self._tried = tried

    async def append(self, append: Append) -> Appended | Conflict | KeyReused | Unmet:
        self._tried.append(append.number)
        answer = await super().append(append)
        if len(self._tried) <= self._lost:
            raise OutcomeUnknown("as the test says")
        return answer


class UnsureBackend(BackendWrapper):
    def __init__(self, lost: int, *, conditions: bool = True) -> None:
        super().__init__(Memory())
        self.lost = lost
        self.tried: list[int] = []
        self._can = Capabilities(conditions=conditions)

    @property
    def capabilities(self) -> Capabilities:
        return self._can

    def wrap_log(self, log: Log) -> Log:
        return Unsure(log, self.lost, self.tried)


@pytest.mark.parametrize(("lost", "conditions", "tries"), [(2, True, 3), (3, True, 3), (1, False, 1)])
def test_an_append_whose_answer_is_lost_is_sent_again_where_it_is_known_again(
    lost: int, conditions: bool, tries: int
) -> None:
    one, other = Memory(), UnsureBackend(lost, conditions=conditions)
    fill(one, HISTORY[:1])
    if lost < tries:
        assert copied(Colour.BLOCKING, one, other).copied == 1
    else:
        with pytest.raises(OutcomeUnknown):
            copied(Colour.BLOCKING, one, other)
    assert other.tried == [10] * tries


def test_how_far_a_copy_is_is_told_no_more_often_than_can_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    moment = [1_000.0]
    monkeypatch.setattr(copying, "EVERY", 2.0)
    monkeypatch.setattr(copying, "time", SimpleNamespace(monotonic=lambda: moment[0]))

    class Slow(BackendWrapper):
        async def around(self, call: str, step: Callable[[], Awaitable[T]]) -> T:
            moment[0] += call == "log.append"
            return await step()

    one, told = Memory(), list[Copying]()
    fill(one, [written(f"s{n}", b"{}", number=100 * n) for n in range(1, 6)])
    LogCopy(one, Slow(Memory())).run(progress=told.append, verify=False)
    assert [(each.done, each.elapsed) for each in told] == [(0, 0), (2, 2), (4, 4), (5, 5)]


def test_a_stream_that_nobody_could_have_named_is_not_copied() -> None:
    one, other = Memory(), Memory()
    fill(one, [written("a", b"{}", number=1), written("\0", b"{}", number=2)])
    with pytest.raises(Misuse, match="stream name"):
        copied(Colour.BLOCKING, InParts(one), other)
    assert len(rows_of(other)) == 1


def test_what_comes_after_the_copy_is_not_compared() -> None:
    one, other = Memory(), Memory()
    fill(one)
    numbers = itertools.count(100)
    source = WrittenTo(one, lambda: fill(one, [written("later", b"{}", number=next(numbers))]))
    done = copied(Colour.BLOCKING, source, other)
    assert done.compared is not None
    assert done.compared.source.events == done.position == 12
    assert len(rows_of(one)) > 12


@pytest.mark.parametrize("kind", KINDS)
def test_how_far_it_is_is_told(make: Make, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "EVERY", 0.0)
    one, other = Memory(), make(kind)
    fill(one)
    fill(other, HISTORY[:2])
    told: list[Copying] = []
    copied(Colour.BLOCKING, one, other, progress=told.append)
    phases = ("looking", "copying", "comparing")
    assert [phase for phase, _ in itertools.groupby(each.phase for each in told)] == list(phases)
    for phase, total in zip(phases, (4, 8, 24), strict=True):
        mine = [each for each in told if each.phase == phase]
        assert [each.done for each in mine] == sorted(each.done for each in mine)
        assert (mine[-1].done, mine[-1].total, mine[-1].fraction) == (total, total, 1.0)
        assert mine[0].remaining is None
        assert mine[-1].remaining == 0
        assert mine[-1].rate > 0


def test_what_it_costs(make: Make) -> None:
    one, other = Memory(), make("upstash")
    fill(one)
    copied(Colour.BLOCKING, one, make("upstash"))  # the server knows the scripts from here on
    first = copied(Colour.BLOCKING, one, other, verify=False).receipt
    # The head; the first append, and six more in one request; the last one, which might have gone on.
    assert (first.requests, first.commands) == (1 + 2 + 1, 2 + 6 * len(HISTORY))
    again = copied(Colour.BLOCKING, one, other, verify=False).receipt
    assert again.requests == 3, "the head, a page, and that there is no other"


class Parts(LogWrapper):
    """A log that is in two partitions, and takes several appends at once."""

    async def append_many(self, appends: Sequence[Append]) -> list[Appended | Conflict | KeyReused | Unmet]:
        return [await self.append(each) for each in appends]

    async def partitions(self) -> tuple[int, Receipt]:
        async def two() -> tuple[int, Receipt]:
            return 2, FREE

        return await self.around("log.partitions", two)

    def partition_of(self, stream: str, partitions: int) -> int:
        return ord(stream[0]) % partitions


class PartsTill(Till):
    capabilities = InParts.capabilities

    def wrap_log(self, log: Log) -> Log:
        return Parts(log, self.around)


@pytest.mark.parametrize("kind", [Till, PartsTill])
def test_the_receipt_of_a_copy_tells_what_was_asked_of_both_logs(kind: type[Till]) -> None:
    one, other = Till(), kind()
    fill(one)
    fill(other, HISTORY[:2])
    one.calls = other.calls = 0
    done = copied(Colour.BLOCKING, one, other)
    assert (done.found, done.copied) == (4, 8)
    assert done.receipt.requests == one.calls + other.calls


def test_what_cannot_be_is_refused() -> None:
    for wrong in ("memory:", None):
        with pytest.raises(Misuse, match="is no backend"):
            LogCopy(Memory(), wrong)  # type: ignore[arg-type]
        with pytest.raises(Misuse, match="is no backend"):
            AsyncLogCopy(wrong, Memory())  # type: ignore[arg-type]
    with pytest.raises(Misuse, match="poll_interval=0: it is a number of seconds above 0"):
        LogCopy(Memory(), Memory()).run(poll_interval=0)
    assert repr(LogCopy(Memory(), Memory())) == "LogCopy(Memory() of 0 events, Memory() of 0 events)"
    assert repr(AsyncLogCopy(Memory(), Memory())) == "AsyncLogCopy(Memory() of 0 events, Memory() of 0 events)"


def test_the_registry_is_not_asked() -> None:
    """Types that no code knows any more are copied as well."""
    one, other = Memory(), Memory()
    fill(one, [written("a", b"{}", number=1, type_="nobody-knows")])
    copied(Colour.BLOCKING, one, other)
    assert EventStore(other, Registry()).head() == 1


def test_how_far_a_copy_is_is_told_phase_by_phase(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "EVERY", 0.0)
    one, other = Memory(), Memory()
    fill(one, [written("s", *[b"{}"] * 7, number=100 * n) for n in range(1, 401)])
    fill(other, [written("s", *[b"{}"] * 7, number=100)])
    told: list[Copying] = []
    done = LogCopy(one, other).run(progress=told.append)
    assert (done.found, done.copied, done.position, done.head) == (7, 2793, 2800, 2800)
    phases = {phase: [each for each in told if each.phase == phase] for phase in ("looking", "copying", "comparing")}
    assert [each.phase for each in told] == [each.phase for found in phases.values() for each in found]
    for phase, total in (("looking", 7), ("copying", 2793), ("comparing", 5600)):
        found = phases[phase]
        assert (found[0].done, found[0].fraction) == (0, 0.0)
        assert (found[-1].done, found[-1].fraction) == (total, 1.0)
        assert {each.total for each in found} == {total}
        assert [each.done for each in found] == sorted(each.done for each in found)
        assert all(each.elapsed >= 0 for each in found)


def test_how_far_a_comparison_is_is_told_of_what_is_compared() -> None:
    one, other = Memory(), Memory()
    fill(one)
    told: list[Copying] = []
    copied(Colour.BLOCKING, one, other)
    fill(one, [written("later", b"{}", number=900)])
    run(LogCopying(one, other, PORT).compare(told.append, 12))
    assert {(each.phase, each.total) for each in told} == {("comparing", 24)}


@pytest.mark.parametrize(
    ("done", "total", "elapsed", "fraction", "rate", "remaining"),
    [
        (0, 0, 0.0, 1.0, 0.0, None),
        (0, 8, 2.0, 0.0, 0.0, None),
        (2, 8, 4.0, 0.25, 0.5, 12.0),
        (9, 8, 3.0, 1.0, 3.0, 0.0),
    ],
)
def test_what_is_told_of_a_pace(
    done: int, total: int, elapsed: float, fraction: float, rate: float, remaining: float | None
) -> None:
    told = Copying("copying", done, total, elapsed)
    assert (told.fraction, told.rate, told.remaining) == (fraction, rate, remaining)


def test_events_of_one_append_stay_together_up_to_a_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "MAX_APPEND_BYTES", 20)
    one, other = Memory(), Counting(Memory())
    fill(one, [written("a", *[b"1234567890"] * 4, number=200), written("a", b"x", number=300)])
    copied(Colour.BLOCKING, one, other, verify=False)
    assert other.calls["log.append"] == 3, "two by two, twenty bytes each; and one"
    assert rows_of(other) == rows_of(one)


def test_several_appends_at_once_are_each_on_condition_that_nobody_else_writes() -> None:
    one, other = Memory(), TakesSeveral(Memory())
    fill(one)
    assert copied(Colour.BLOCKING, one, other).copied == 12
    assert rows_of(other) == rows_of(one)
    assert other.taken == [[0, 1, 4, 6, 8, 9, 10]], "where each finds the log; the last one is sent by itself"


def test_several_appends_that_never_fit_together_are_made_one_by_one() -> None:
    one, other = Memory(), TakesSeveral(Memory(), 1)
    fill(one)
    assert copied(Colour.BLOCKING, one, other).copied == 12
    assert rows_of(other) == rows_of(one)


def test_as_many_appends_are_handed_over_as_were_taken_and_now_and_then_more() -> None:
    one, other = Memory(), TakesSeveral(Memory(), room=3)
    fill(one, [written(f"s{n}", b"{}", number=100 * n) for n in range(1, 22)])
    assert copied(Colour.BLOCKING, one, other).copied == 21
    assert rows_of(other) == rows_of(one)
    assert [len(each) for each in other.taken] == [20, 3, 6, 3, 6, 3, 2]


def test_an_append_that_is_too_large_is_tried_once_before_it_is_parted() -> None:
    one, other = Memory(), NarrowBackend(Memory())
    fill(one, [written(f"s{n}", *[b"{}"] * events, number=100 * n) for n, events in enumerate((1, 1, 4, 1, 1), 1)])
    assert copied(Colour.BLOCKING, one, other).copied == 8
    assert other.tried == [1, 1, 4, 2, 2, 1, 1]


def test_several_appends_that_are_too_large_together_are_halved_until_they_fit() -> None:
    one, other = Memory(), TakesSeveral(Memory(), 3)
    fill(one, [written(f"s{n}", b"{}", number=100 * n) for n in range(1, 22)])
    assert copied(Colour.BLOCKING, one, other).copied == 21
    assert rows_of(other) == rows_of(one)
    # And now and then it is tried with more.
    assert [len(each) for each in other.taken[:6]] == [20, 10, 5, 2, 4, 2]


def test_a_difference_between_logs_in_partitions_is_told_of_the_event_that_it_is_in() -> None:
    one = Memory()
    fill(one, [written("a", b"1", number=1), written("b", b"2", number=3), written("a", b"3", number=5)])
    other = InParts(Memory())
    fill(other.inner, [written("b", b"2", number=3), written("a", b"1", number=1), written("a", b"4", number=5)])
    compared = LogCopy(one, other).compare()
    assert compared.difference is not None
    assert "of stream 'a' (position 3) differs in the destination, by its payload" in compared.difference


def test_what_is_written_meanwhile_counts_to_what_there_is_to_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "EVERY", 0.0)
    one, told = Memory(), list[Copying]()
    fill(one, HISTORY[:2])
    left = list(HISTORY[2:])
    source = WrittenTo(one, lambda: fill(one, [left.pop(0)]) if left else None)
    stop = Signal()

    def tell(copying: Copying) -> None:
        told.append(copying)
        if not left:
            stop.set()

    LogCopy(source, Memory()).run(progress=tell, follow=stop, poll_interval=1e-6, verify=False)
    assert all(each.done <= each.total for each in told)
    assert (told[-1].done, told[-1].total) == (12, 12)
