"""A log that is copied to a real broker, and back from there."""

from __future__ import annotations

from collections.abc import Callable

from eventsource_upstash import Kafka, Memory, NativeTopic
from eventsource_upstash.testing.colours import Colour
from tests.copying.support import HISTORY, Counting, copied, fill
from tests.copying.test_kafka import by_stream


def test_there_and_back(opened: Callable[..., NativeTopic]) -> None:
    one, back = Memory(), Memory()
    topic = Kafka(opened(partitions=3), views=Memory())
    fill(one, HISTORY[:3])
    assert copied(Colour.BLOCKING, one, topic).copied == 6
    fill(one, HISTORY[3:])
    appending = Counting(topic)
    there = copied(Colour.EVENT_LOOP, one, appending)
    assert (there.found, there.copied) == (6, 6)
    assert appending.calls["log.append"] == 5, "what was appended together is one transaction"
    assert by_stream(topic) == by_stream(one)
    returned = copied(Colour.BLOCKING, topic, back)
    assert by_stream(back) == by_stream(one)
    assert there.compared is not None
    assert returned.compared is not None
    assert there.compared.source.digest == returned.compared.destination.digest
