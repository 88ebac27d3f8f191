"""An append to a topic whose answer is lost: written once, or told not to be known, in every order of steps."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from eventsource_upstash import Kafka, Memory, OutcomeUnknown, Refused, TooLarge, Unavailable
from eventsource_upstash._io import blocking
from eventsource_upstash.backends.kafka import log as logs
from eventsource_upstash.backends.kafka.appending import Appending
from eventsource_upstash.backends.kafka.log import KafkaLog, Known
from eventsource_upstash.backends.kafka.repeats import REPEAT_WINDOW
from eventsource_upstash.domain.events import FREE, Appended, Receipt
from eventsource_upstash.ports import Append
from eventsource_upstash.testing import Endings, ScheduleFailed, World, explore, pausing
from tests.kafka.memory_topic import MemoryTopic
from tests.kafka.test_log import an_append, log_of, payloads, run


def appending(*appends: tuple[str, Append]) -> World:
    """Each of some appends, sent once, by a caller of its own."""
    topic = MemoryTopic()
    backend = Kafka(topic, views=Memory())
    log = pausing(backend, inside=True, outside=False).log(blocking.PORT)

    def check(endings: Endings) -> None:
        told = run(log_of(topic).read(0, 1_000, 10**6)).events
        for name, append in appends:
            times = [row[9] for row in told if row[1] == append.stream].count(append.events[0][2])
            ending = endings[name]
            if ending.ok:
                assert isinstance(ending.returned, Appended)
                assert times == 1, f"{name} was told that it is written, and it is there {times} times"
                assert ending.returned.position <= run(log_of(topic).head())[0]
            elif isinstance(ending.error, Unavailable) and append.key is None:
                assert times == 0, f"{name} was told that it is not written"
            else:
                assert ending.crashed or isinstance(ending.error, (OutcomeUnknown, Unavailable))
                assert times <= 1, f"{name} is there {times} times"

    return World({name: log.append(append) for name, append in appends}, check)


def one_alone() -> World:
    return appending(("one", an_append("a", at=1)))


def one_beside_another() -> World:
    return appending(("one", an_append("a", at=1)), ("other", an_append("b", at=2)))


def two_under_one_key() -> World:
    append = replace(an_append("a", b"same", at=1, key="key"), digest=b"same")
    return appending(("one", append), ("other", replace(append, recorded_us=2, number=2 << 20)))


@pytest.mark.parametrize(("world", "losses"), [(one_alone, 3), (one_beside_another, 1), (two_under_one_key, 1)])
def test_whatever_is_lost_or_refused_an_append_is_there_once_or_not_at_all(
    world: Callable[[], World], losses: int
) -> None:
    explored = explore(world, lost_answers=losses, refusals=1, crashes=1, switches=1)
    assert explored.lost_answers >= 10
    assert explored.refusals >= 4
    assert explored.crashes >= 8


def test_the_orders_find_an_append_that_is_sent_again_blindly(monkeypatch: pytest.MonkeyPatch) -> None:
    async def blindly(self: Appending, *_: object) -> tuple[int | None, Receipt]:
        return None, FREE

    monkeypatch.setattr(Appending, "_look", blindly)
    # Ids alone would hide it from a reader: this is about what is in the topic.
    topic = MemoryTopic()
    lost = [True]

    def lose(step: str) -> None:
        if step == "produce" and lost.pop() if lost else False:
            raise OutcomeUnknown("lost")

    topic.after = lose
    run(log_of(topic).append(an_append("a", at=1)))
    assert len(topic.records()) == 2
    monkeypatch.setattr("eventsource_upstash.backends.kafka.repeats.REPEAT_WINDOW", 0)
    with pytest.raises(ScheduleFailed, match="it is there 2 times"):
        explore(one_beside_another, lost_answers=1)


def losing(topic: MemoryTopic, times: int, *, written: bool) -> None:
    """Have the next answers to `produce` lost: of what was written, or of what was not."""
    left = [times]

    def lose(step: str) -> None:
        if step == "produce" and left[0]:
            left[0] -= 1
            raise OutcomeUnknown("lost")

    if written:
        topic.after = lose
    else:
        topic.before = lose


def test_an_append_is_looked_for_before_it_is_sent_again() -> None:
    for written, sent in ((True, 1), (False, 2)):
        topic = MemoryTopic()
        log = log_of(topic)
        run(log.append(an_append("a", at=1)))
        topic.calls.clear()
        losing(topic, 1, written=written)
        answer = run(log.append(an_append("a", b"x", b"y", at=2)))
        assert answer == Appended(3, 3, repeated=written)
        assert topic.calls.count("produce") == sent
        assert payloads(log) == [b"1", b"x", b"y"]


def test_what_remains_unknown_is_told() -> None:
    topic = MemoryTopic()
    log = log_of(topic)
    losing(topic, 2, written=False)
    with pytest.raises(OutcomeUnknown):
        run(log.append(an_append("a", at=1)))
    assert topic.calls.count("produce") == 2
    assert payloads(log) == []

    def down(step: str) -> None:
        if step != "produce":
            raise Unavailable("down")

    losing(topic, 1, written=True)
    topic.before = down
    with pytest.raises(OutcomeUnknown):
        run(log.append(an_append("a", at=2)))
    topic.before = lambda _: None
    assert payloads(log) == [b"2"]


def test_it_is_not_sent_again_where_too_much_was_written_since_to_tell() -> None:
    topic = MemoryTopic()
    others = log_of(topic)

    def busy(step: str) -> None:
        if step == "produce":
            topic.before = lambda _: None
            for at in range(REPEAT_WINDOW + 1):
                run(others.append(an_append("b", at=100 + at)))
            raise OutcomeUnknown("lost")

    topic.before = busy
    with pytest.raises(OutcomeUnknown):
        run(log_of(topic).append(an_append("a", at=50)))
    assert len(topic.records()) == REPEAT_WINDOW + 1


def test_a_clock_that_is_behind_does_not_make_it_sent_again() -> None:
    topic = MemoryTopic()
    others = log_of(topic)
    append_ours = an_append("a", at=100_000_000)

    def busy(step: str) -> None:
        if step == "produce":
            topic.after = lambda _: None
            for at in range(REPEAT_WINDOW + 1):
                run(others.append(an_append("b", at=100_000_001 + at - (30_000_000 if at == 900 else 0))))
            raise OutcomeUnknown("lost")

    topic.after = busy
    with pytest.raises(OutcomeUnknown):
        run(log_of(topic).append(append_ours))
    assert [record.key for record in topic.records()].count(b"a") == 1


def test_an_append_is_found_in_a_topic_that_was_made_anew() -> None:
    topic = MemoryTopic()
    log = log_of(topic)
    for at in range(1, 4):
        run(log.append(an_append("a", at=at)))
    topic.recreate()
    losing(topic, 1, written=True)
    assert run(log.append(an_append("a", at=4))) == Appended(1, 1, repeated=True)
    assert len(topic.records()) == 1


@pytest.mark.parametrize("error", [Refused("no rights"), TooLarge(what="a record", size=2, limit=1), Unavailable("no")])
def test_what_was_refused_is_not_sent_again(error: Exception) -> None:
    topic = MemoryTopic()

    def refuse(step: str) -> None:
        if step == "produce":
            raise error

    topic.before = refuse
    with pytest.raises(type(error)):
        run(log_of(topic).append(an_append("a", at=1)))
    assert topic.calls.count("produce") == 1


def test_what_an_append_costs() -> None:
    topic = MemoryTopic(partitions=2)
    topic.receipt = Receipt(requests=1)
    log = log_of(topic)
    first = run(log.append(an_append("a", at=1)))
    assert first.receipt == Receipt(requests=2)  # how many partitions there are is asked once
    assert run(log.append(an_append("a", at=2))).receipt == Receipt(requests=1)
    topic.calls.clear()
    assert run(log.append(an_append("a", at=3, key="key"))).receipt == Receipt(requests=3)
    assert topic.calls == ["bounds", "fetch", "produce"]


def test_an_append_asks_again_how_many_partitions_there_are_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    known = Known(lambda: now[0])
    topic = MemoryTopic()
    log = log_of(topic)
    monkeypatch.setattr(log, "_known", known)
    assert isinstance(log, KafkaLog)
    for at, asked in ((0.0, 1), (logs.PARTITIONS_KNOWN_FOR - 1, 1), (logs.PARTITIONS_KNOWN_FOR, 2)):
        now[0] = at
        run(log.append(an_append("a", at=1)))
        assert topic.calls.count("partitions") == asked
