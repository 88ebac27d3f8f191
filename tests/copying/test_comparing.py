"""A copy that loses, doubles, reorders or alters events is caught, and told where."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from msgspec.structs import replace

from eventsource_upstash import ANY, AsyncLogCopy, LogCopy, LogsDiffer, Memory, Refused
from eventsource_upstash._flow import comparing
from eventsource_upstash._flow.comparing import Fingerprints, Side
from eventsource_upstash._flow.copying import LogCopying
from eventsource_upstash._io.blocking import PORT, run
from eventsource_upstash.domain.events import Appended
from eventsource_upstash.ports import Append, Capabilities, Conflict, KeyReused, Log, Unmet
from eventsource_upstash.testing.colours import Colour
from eventsource_upstash.testing.wrapping import BackendWrapper, LogWrapper
from tests.copying.support import HISTORY, Counting, InParts, copied, fill, written
from tests.kafka.partitioned import Partitioned

PAID = HISTORY[2]
"""Events 5 and 6: of the stream that event 1 is of, too."""

Instead = Callable[[Append], Sequence[Append]]

# What is written instead of the third append; and what is told of it.
FAULTS: dict[str, tuple[Instead, str]] = {
    "loses an append": (lambda _: [], "the destination holds the event .* where the source holds the event"),
    "loses an event": (
        lambda append: [replace(append, events=append.events[:1])],
        "the destination holds the event .* where the source holds the event",
    ),
    "doubles it": (
        lambda append: [append, replace(append, number=append.number + 1000)],
        "the destination holds the event .* where the source holds the event",
    ),
    "doubles it under its id": (lambda append: [append, append], "the destination holds the event .* twice"),
    "doubles it in another stream": (
        lambda append: [append, replace(append, stream="other")],
        "the destination holds the event .* where the source holds the event",
    ),
    "another stream": (
        lambda append: [replace(append, stream="A")],
        "the destination holds the event .* of stream 'A' .* where the source holds the event .* of stream 'a'",
    ),
    "another time": (
        lambda append: [replace(append, recorded_us=append.recorded_us + 1)],
        "the destination holds the event .* where the source holds the event",
    ),
    "another number": (
        lambda append: [replace(append, number=append.number + 1)],
        "the destination holds the event .* where the source holds the event",
    ),
    "another type": (
        lambda append: [replace(append, events=[("Paid", *event[1:]) for event in append.events])],
        "the event 'paid' .* differs in the destination, by its type",
    ),
    "another version": (
        lambda append: [replace(append, events=[(event[0], 9, event[2]) for event in append.events])],
        "the event 'paid' .* differs in the destination, by its version",
    ),
    "another payload": (
        lambda append: [replace(append, events=[(*event[:2], event[2] + b" ") for event in append.events])],
        "the event 'paid' .* differs in the destination, by its payload",
    ),
    "no tags": (lambda append: [replace(append, tags=None)], "differs in the destination, by its tags"),
    "other tags": (lambda append: [replace(append, tags=b'["x"]')], "differs in the destination, by its tags"),
    "metadata": (lambda append: [replace(append, metadata=b"{}")], "differs in the destination, by its metadata"),
    "tags into the payload": (
        lambda append: [
            replace(append, tags=None, events=[(*event[:2], b'["x"]' + event[2]) for event in append.events])
        ],
        "differs in the destination, by its tags and its payload",
    ),
    "a part into the next field": (
        lambda append: [replace(append, metadata=append.tags, tags=None)],
        "differs in the destination, by its metadata and its tags",
    ),
    "the other way round": (
        lambda append: [
            replace(append, events=[append.events[1]], number=append.number + 1),
            replace(append, events=[append.events[0]]),
        ],
        "the destination holds the event .* where the source holds the event",
    ),
}


class BrokenLog(LogWrapper):
    """A log that writes something else than its third append, or writes it later, and does not say so."""

    def __init__(self, inner: Log, instead: Instead) -> None:
        super().__init__(inner)
        self._instead = instead

    async def append(self, append: Append) -> Appended | Conflict | KeyReused | Unmet:
        append = replace(append, condition=None, expected=ANY)
        answer: Appended | Conflict | KeyReused | Unmet = Appended(1, 1)
        for each in self._instead(append) if append.number == PAID.number else [append]:
            answer = await super().append(each)
        return answer


class Broken(BackendWrapper):
    def __init__(self, instead: Instead, capabilities: Capabilities) -> None:
        super().__init__(Memory())
        self._instead = instead
        self._capabilities = capabilities

    @property
    def capabilities(self) -> Capabilities:
        return self._capabilities

    def wrap_log(self, log: Log) -> Log:
        return BrokenLog(log, self._instead)


IN_ORDER = Capabilities()
IN_PARTITIONS = Capabilities(expected_revisions=False, conditions=False, partitions=True)


@pytest.mark.parametrize("capabilities", [IN_ORDER, IN_PARTITIONS], ids=["in order", "in partitions"])
@pytest.mark.parametrize("colour", Colour, ids=lambda colour: colour.value)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_copy_that_is_not_what_its_source_is(fault: str, colour: Colour, capabilities: Capabilities) -> None:
    instead, told = FAULTS[fault]
    one, other = Memory(), Broken(instead, capabilities)
    fill(one)
    with pytest.raises(LogsDiffer, match="the copy is not what its source is: ") as caught:
        copied(colour, one, other)
    if capabilities is IN_ORDER:
        caught.match(told)
    assert "amount" not in str(caught.value), "no data of a user's"
    compared = (
        LogCopy(one, other).compare() if colour is Colour.BLOCKING else colour.run(AsyncLogCopy(one, other).compare())
    )
    assert not compared.equal
    assert compared.source != compared.destination
    assert compared.difference == caught.value.difference


def test_without_a_fault_it_is_equal() -> None:
    """The faults above are what is caught, and not the way in which they are made."""
    for capabilities in (IN_ORDER, IN_PARTITIONS):
        one, other = Memory(), Broken(lambda append: [append], capabilities)
        fill(one)
        done = copied(Colour.BLOCKING, one, other)
        assert done.compared is not None
        assert done.compared.equal


def test_the_order_of_streams_among_each_other_makes_a_difference_only_where_there_is_one() -> None:
    one = Memory()
    fill(one, [written("a", b"1", number=1), written("b", b"2", number=3), written("a", b"3", number=5)])
    other = Broken(lambda append: [append], IN_PARTITIONS)
    fill(other.inner, [written("b", b"2", number=3), written("a", b"1", number=1), written("a", b"3", number=5)])
    assert LogCopy(one, other).compare().equal
    turned = Broken(lambda append: [append], IN_PARTITIONS)
    fill(turned.inner, [written("b", b"2", number=3), written("a", b"3", number=5), written("a", b"1", number=1)])
    compared = LogCopy(one, turned).compare()
    assert not compared.equal
    assert compared.difference is not None
    assert "differs in the destination, by its order in its stream" in compared.difference


def test_the_order_of_all_makes_a_difference_where_both_have_one() -> None:
    one, other = Memory(), Memory()
    fill(one, HISTORY[:2])
    fill(other, [HISTORY[1], HISTORY[0]])
    compared = LogCopy(one, other).compare()
    assert compared.source == compared.destination, "it is no part of the digest"
    assert compared.difference is not None
    assert "the destination holds the event 'paid'" in compared.difference


def test_the_digest_is_the_same_wherever_the_events_are() -> None:
    """So that what was noted of one machine can be compared with what another one says."""
    digests = set()
    for capabilities in (IN_ORDER, IN_PARTITIONS):
        other = Broken(lambda append: [append], capabilities)
        fill(other.inner)
        digests.add(LogCopy(other, Memory()).compare().source.digest)
    assert len(digests) == 1


def test_what_is_missing_at_the_end_is_told() -> None:
    one, other = Memory(), Memory()
    fill(one)
    fill(other, HISTORY[:-1])
    compared = LogCopy(one, other).compare()
    assert (compared.source.events, compared.destination.events) == (12, 11)
    assert compared.difference is not None
    assert compared.difference.startswith("the destination lacks the event 'paid'")
    compared = LogCopy(other, one).compare()
    assert compared.difference is not None
    assert "which the source does not hold there" in compared.difference
    assert LogCopy(Memory(), Memory()).compare().equal


def test_a_fingerprint_tells_apart_what_reads_the_same_when_it_is_joined() -> None:
    side = Side(Memory(), PORT, "a log")
    fields = [(None, None, b"ab"), (b"a", None, b"b"), (b"", b"a", b"b"), (None, b"a", b"b"), (b"ab", b"", b"")]
    fields += [(None, b"", b"ab"), (b"", None, b"ab"), (b"a", b"b", b""), (None, b"ab", b"")]
    marks = [
        Fingerprints(side)((1, "s", 1, 1, 1, "paid", 1, metadata, tags, payload)) for metadata, tags, payload in fields
    ]
    assert len(set(marks)) == len(fields)
    assert max(marks) < 1 << 128  # 16 bytes: what sums of them are cut to


def test_a_fingerprint_counts_the_events_of_a_stream_where_its_log_does_not() -> None:
    side = Side(Broken(lambda append: [append], IN_PARTITIONS), PORT, "a topic")
    counted = Fingerprints(Side(Memory(), PORT, "a log"))
    fingerprint = Fingerprints(side)
    for stream, revision in (("a", 1), ("b", 1), ("a", 2), ("a", 3)):
        mark = counted((9, stream, revision, 7, 1, "paid", 1, None, None, b"{}"))
        assert fingerprint((9, stream, 0, 7, 1, "paid", 1, None, None, b"{}")) == mark


def test_the_digest_of_a_log_is_the_same_in_every_release() -> None:
    """Whoever has noted it compares with it what comes out of a backup in five years."""
    one = Memory()
    fill(one)
    assert LogCopy(one, Memory()).compare().source.digest == "a4e5e7ad51358211c5dcc137c132c3a2"


def test_another_order_long_ago_is_told() -> None:
    one, other = Memory(), Memory()
    later = written("later", *[b"{}"] * 300, number=1_000)
    fill(one, [HISTORY[0], HISTORY[1], later])
    fill(other, [HISTORY[1], HISTORY[0], later])
    assert LogCopy(one, other).compare().difference is not None


def test_what_a_gap_in_a_partition_hides_is_copied() -> None:
    one, other = Partitioned(1), Memory()
    fill(one, HISTORY[:1])
    one.partitions.gap(0, 4)
    fill(one, HISTORY[1:2])
    one.partitions.window = 2  # so that a page may hold nothing, though there is something behind it
    assert copied(Colour.BLOCKING, one, other).copied == 4


def test_what_is_there_already_is_known_by_its_stream_and_id() -> None:
    one, other = Memory(), Memory()
    fill(one)
    fill(other, [replace(HISTORY[0], events=[("paid", 1, b"redacted")])])
    assert copied(Colour.BLOCKING, one, other, verify=False).found == 1
    with pytest.raises(LogsDiffer, match=r"\(position 1\) differs in the destination, by its payload"):
        copied(Colour.BLOCKING, one, other)


def reads(backend: Counting) -> int:
    return backend.calls["log.read"]


def test_a_destination_with_other_events_is_seen_by_the_first_page_of_each() -> None:
    one, other = Counting(Memory()), Counting(Memory())
    fill(one, [written("a", *[b"{}"] * 2_500, number=1)])
    fill(other, [written("own", b"{}", number=7)])
    one.calls.clear()
    with pytest.raises(Refused):
        copied(Colour.BLOCKING, one, other)
    assert (reads(one), reads(other)) == (1, 1)


def test_what_is_lacking_is_told_from_the_page_that_it_is_on() -> None:
    one, other = Counting(Memory()), Memory()
    fill(one, [written("a", *[b"{}"] * 3_500, number=1)])
    fill(other, [written("a", *[b"{}"] * 1_000, number=1)])
    one.calls.clear()
    difference = LogCopy(one, other).compare().difference
    assert difference is not None
    assert "lacks" in difference
    assert "(position 1001)" in difference
    assert reads(one) == 5 + 2, "all of it for the digest, and then as far as the first that is lacking"


def test_no_more_is_read_than_up_to_what_is_compared() -> None:
    one, other = Counting(Memory()), Memory()
    fill(one)
    fill(other)
    run(LogCopying(one, other, PORT).compare(None, 12))
    assert reads(one) == 1


def test_what_the_destination_has_beyond_what_is_compared_is_told() -> None:
    one, other = Memory(), Memory()
    for each in (one, other):
        fill(each, [*HISTORY, written("later", b"{}", number=900)])
    difference = run(LogCopying(one, other, PORT).compare(None, 12)).difference
    assert difference is not None
    assert "(position 13), which the source does not hold there" in difference


def test_an_event_waits_for_its_other_half_among_so_many_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparing, "APART", 1_000)
    one, other = Memory(), InParts(Memory())
    fill(one, [written("a", *[b"{}"] * 1_000, number=1), written("b", b"{}", number=7)])
    fill(other.inner, [written("b", b"{}", number=7)])
    assert copied(Colour.BLOCKING, one, other, verify=False).found == 1
    fill(one, [written("a", *[b"{}"] * 1_000, number=3_000), written("b", b"{}", number=9_000)])
    fresh = InParts(Memory())
    fill(fresh.inner, [written("b", b"{}", number=9_000)])
    with pytest.raises(Refused, match="which the source does not hold there"):
        copied(Colour.BLOCKING, one, fresh, verify=False)
