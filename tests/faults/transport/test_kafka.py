"""Kafka over REST on real sockets, in both colours: requests and answers that are lost, cut off, or somebody else's."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest

from eventsource_upstash import OutcomeUnknown, Unavailable
from eventsource_upstash._io import blocking, event_loop
from eventsource_upstash._io.port import HttpRequest
from eventsource_upstash.backends.kafka.rest import Dialect, RestTopic
from eventsource_upstash.backends.kafka.rest.topic import RestClient
from eventsource_upstash.backends.kafka.topic import NewRecord
from tests.faults.driving import COLOURS, Colour
from tests.faults.transport import server as acts
from tests.faults.transport.server import Act, Exchange, Server
from tests.faults.transport.support import Clocked, stepped
from tests.faults.transport.test_lost import UNANSWERED
from tests.kafka.memory_topic import MemoryTopic
from tests.kafka.rest.double import PASSWORD, SERVERS, USER

T = TypeVar("T")

RECORD = NewRecord(b"k", b'{"n":1}', 1)


class Served:
    """A topic behind a server on a socket."""

    def __init__(self, server: Server, dialect: Dialect, colour: Colour) -> None:
        self.topic = MemoryTopic(partitions=2, atomic=False)
        self.colour = colour
        self._kafka = SERVERS[dialect](self.topic)
        server.otherwise = self.answer
        self.port = Clocked(blocking.PORT if colour == "blocking" else event_loop.PORT)
        described = RestTopic(f"{server.url}/base", "todo", dialect=dialect, username=USER, password=PASSWORD)
        self.client: RestClient = described.client(self.port)

    def answer(self, exchange: Exchange) -> None:
        url = f"https://kafka.example.com{exchange.path}"
        answer = self._kafka.answer(HttpRequest(exchange.method, url, exchange.headers, exchange.body, 1.0))
        exchange.reply(answer.body, status=answer.status)

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        return stepped(self.colour, work)


@pytest.fixture(params=COLOURS)
def colour(request: pytest.FixtureRequest) -> Colour:
    found: Colour = request.param
    return found


@pytest.mark.parametrize("dialect", ["upstash", "confluent", "confluent-v3", "redpanda"])
def test_there_and_back(server: Server, dialect: Dialect, colour: Colour) -> None:
    served = Served(server, dialect, colour)
    assert served.do(served.client.produce(1, [RECORD]))[0] == [0]
    (record,) = served.do(served.client.fetch({0: 0, 1: 0}, 10, 1_000_000)).records
    assert (record.partition, record.key, record.value) == (1, b"k", b'{"n":1}')
    assert served.do(served.client.partitions())[0] == 2
    assert server.connections == (1 if colour == "blocking" else 3)  # each `asyncio.run` is a loop of its own


@pytest.mark.parametrize("fault", UNANSWERED)
def test_an_append_without_an_answer_is_not_sent_again(server: Server, fault: str, colour: Colour) -> None:
    served = Served(server, "upstash", colour)
    server.acts = [UNANSWERED[fault]]
    with pytest.raises(OutcomeUnknown, match=r"^127\.0\.0\.1: append to topic 'todo', partition 0: "):
        served.do(served.client.produce(0, [RECORD]))
    assert len(server.seen) == 1


@pytest.mark.parametrize("fault", UNANSWERED)
def test_a_read_without_an_answer_is_asked_again(server: Server, fault: str, colour: Colour) -> None:
    served = Served(server, "upstash", colour)
    act: Act = UNANSWERED[fault]
    server.acts = [act, act]
    count, receipt = served.do(served.client.partitions())
    assert (count, receipt.requests, receipt.retries) == (2, 3, 2)


def test_a_server_that_is_not_there(server: Server, colour: Colour) -> None:
    served = Served(server, "upstash", colour)
    server.__exit__()
    with pytest.raises(Unavailable, match=r"could not be reached.*nothing was written"):
        served.do(served.client.produce(0, [RECORD]))
    assert len(served.port.slept) == 5


def test_an_idle_connection_that_was_closed_is_made_anew(server: Server, colour: Colour) -> None:
    served = Served(server, "upstash", colour)

    def answer_and_hang_up(exchange: Exchange) -> None:
        served.answer(exchange)
        exchange.hang_up()

    server.acts = [answer_and_hang_up]
    assert served.do(served.client.partitions())[0] == 2
    server.wait_until_all_is_closed()
    assert served.do(served.client.produce(0, [RECORD]))[0] == [0]
    assert len(served.topic.records()) == 1


def test_a_page_of_somebody_else(server: Server, colour: Colour) -> None:
    served = Served(server, "upstash", colour)
    server.otherwise = acts.proxy_page(200)
    with pytest.raises(Unavailable, match=r"no reply of Kafka's REST API.*Check the URL"):
        served.do(served.client.partitions())
