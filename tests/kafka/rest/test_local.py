"""Each dialect over a real broker, by the REST APIs of the local Upstash."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from eventsource_upstash import Memory, Refused
from eventsource_upstash._io import blocking
from eventsource_upstash.backends.kafka import Kafka
from eventsource_upstash.backends.kafka.rest import Dialect, RestTopic
from eventsource_upstash.backends.kafka.topic import Bounds, NewRecord, OutOfRange
from eventsource_upstash.local import LocalUpstash
from tests.kafka.rest.double import DIALECTS
from tests.kafka.rest.test_topic import everything, offsets, run
from tests.stepping.subject import Paid, catch_up, check_view, store

MEGABYTES = 4 * 1024**2

Opened = Callable[..., RestTopic]


@pytest.fixture(params=DIALECTS)
def dialect(request: pytest.FixtureRequest) -> Dialect:
    found: Dialect = request.param
    return found


@pytest.fixture
def opened(rest_server: LocalUpstash, dialect: Dialect) -> Iterator[Opened]:
    half = rest_server.kafka

    def open_topic(partitions: int = 1, *, name: str | None = None, **options: Any) -> RestTopic:
        if name is None:
            name = f"rest-{dialect}-{secrets.token_hex(8)}"
            assert half.create_topic(name, partitions)
        url = half.url if dialect == "upstash" else f"{half.url}/confluent"
        login = {"username": half.username, "password": half.password, **options}
        return RestTopic(url, name, dialect=dialect, **login)

    yield open_topic
    rest_server.faults.clear()


def record(number: int) -> NewRecord:
    value = f'{{"number":{number},"text":"/ # % ü"}}'.encode()
    return NewRecord(b"key-%d" % number, value, 1_700_000_000_000)


def test_records_come_back(opened: Opened, dialect: Dialect) -> None:
    client = opened(2).client(blocking.PORT)
    assert run(client.partitions())[0] == 2
    assert [run(client.produce(1, [record(number)]))[0] for number in range(9)] == [[number] for number in range(9)]
    assert run(client.bounds([0, 1]))[0] == {0: Bounds(0, 0), 1: Bounds(0, 9)}
    assert everything(client, {0: 0, 1: 0}, 4) == {0: [], 1: list(range(9))}
    fetched = run(client.fetch({0: 0, 1: 7}, 100, MEGABYTES))
    assert [(each.key, each.value) for each in fetched.records] == [record(number)[:2] for number in (7, 8)]
    assert (fetched.reached, fetched.ended) == ({0: 0, 1: 9}, frozenset({0, 1}))
    with pytest.raises(OutOfRange) as caught:
        run(client.fetch({1: 17}, 100, MEGABYTES))
    assert caught.value.bounds == Bounds(0, 9)


def test_an_app_over_it(opened: Opened) -> None:
    backend = Kafka(opened(2), views=Memory())
    for number, stream in enumerate("abcd"):
        assert store(backend).append(stream, Paid(number)).revision >= 1
    again = [store(backend).append("a", Paid(9), idempotency_key="key-1") for _ in range(2)]
    assert again[0].position == again[1].position
    catch_up(backend)
    check_view(backend)
    amounts = [each.event.amount for each in store(backend).read() if isinstance(each.event, Paid)]
    assert sorted(amounts) == [0, 1, 2, 3, 9]


def test_a_lost_answer_is_looked_for(opened: Opened, rest_server: LocalUpstash) -> None:
    topic = opened()
    backend = Kafka(topic, views=Memory())
    store(backend).append("a", Paid(1))
    fault = rest_server.faults.add("lose-answer", half="kafka", command="produce")
    appended = store(backend).append("a", Paid(2))
    assert (appended.position, appended.repeated, fault.struck) == (2, True, 1)
    rest_server.faults.add("lose-request", half="kafka", command="produce")
    assert store(backend).append("a", Paid(3)).position == 3
    assert offsets(run(topic.client(blocking.PORT).fetch({0: 0}, 100, MEGABYTES))) == [0, 1, 2]


def test_nobody_who_may_and_nothing_there(opened: Opened) -> None:
    with pytest.raises(Refused, match="password"):
        run(opened(password="wrong").client(blocking.PORT).partitions())
    with pytest.raises(Refused, match="topic"):
        run(opened(name="absent").client(blocking.PORT).partitions())
