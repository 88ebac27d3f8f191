"""Clients of the official SDK as the transport: both of them, from either side, with what they get wrong."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import upstash_redis
import upstash_redis.asyncio

from eventsource_upstash import Misuse, OutcomeUnknown, Receipt, Refused, Unavailable
from eventsource_upstash._io import blocking, event_loop, loops
from eventsource_upstash._io.port import Port
from eventsource_upstash.backends.redis.official import OfficialTransport
from eventsource_upstash.backends.redis.transport import Script
from eventsource_upstash.errors import TooLarge
from tests.faults.driving import Colour
from tests.faults.processes import run
from tests.faults.transport import server as acts
from tests.faults.transport.server import TOKEN, Exchange, Server
from tests.faults.transport.support import SCRIPT, stepped


def encoded(value: Any) -> Any:
    if isinstance(value, list):
        return [encoded(each) for each in value]
    return base64.b64encode(value.encode()).decode() if isinstance(value, str) and value != "OK" else value


def answer(exchange: Exchange) -> None:
    """Do it, and answer with the command itself, in base64 as the SDK asks for."""
    exchange.apply()
    assert exchange.headers["upstash-encoding"] == "base64"
    exchange.result(encoded(exchange.command))


@pytest.fixture
def server(server: Server) -> Server:
    server.otherwise = answer
    return server


@pytest.fixture(params=["blocking client", "suspending client"])
def client(request: pytest.FixtureRequest, server: Server) -> Iterator[Any]:
    if request.param == "blocking client":
        with upstash_redis.Redis(server.url, TOKEN, rest_retry_interval=0) as blocking_client:
            yield blocking_client
    else:
        yield upstash_redis.asyncio.Redis(server.url, TOKEN, rest_retry_interval=0)


class Driven:
    def __init__(self, colour: Colour, client: Any, **options: Any) -> None:
        self.colour = colour
        port: Port = blocking.PORT if colour == "blocking" else event_loop.PORT
        self.transport = OfficialTransport(port, client, draw=lambda: 0.0, **options)

    def calls(self, *commands: tuple[str | int, ...]) -> list[tuple[object, Receipt]]:
        """Each in a loop run of its own, where there is a loop at all: the usual function does that."""
        try:
            return [stepped(self.colour, self._call(command)) for command in commands]
        finally:
            self.close()

    async def _call(self, command: tuple[str | int, ...]) -> tuple[object, Receipt]:
        try:
            if command[0] == "script":
                return await self.transport.script(SCRIPT, ["k"], ["first"], again=["repeat"])
            return await self.transport.command(*command)
        finally:
            await self._drop_connections()

    async def _drop_connections(self) -> None:
        """The SDK keeps sockets beyond the loop that they belong to, and a warning about them would fail the test."""
        http = self.transport._client._http._client  # type: ignore[union-attr]
        if self.colour == "event loop" and hasattr(http, "aclose"):
            for each in list(http._transport._pool.connections):
                await each.aclose()
            http._transport._pool._connections.clear()

    def close(self) -> None:
        client = self.transport._client
        if self.colour == "blocking" and isinstance(client, upstash_redis.asyncio.Redis):
            loops._loop.run(client.close, 10.0)
            loops._loop.close()


def test_commands_and_scripts_go_through_a_client(server: Server, client: Any, colour: Colour) -> None:
    answers = Driven(colour, client).calls(("GET", "ü", 7), ("XRANGE", "k", "-", "+"), ("script",))
    assert [answer for answer, _ in answers] == [
        ["get", "ü", "7"],
        ["xrange", "k", "-", "+"],  # as the server gave it, and not as the SDK makes it up
        ["evalsha", SCRIPT.sha, "1", "k", "repeat"],
    ]
    assert [receipt for _, receipt in answers] == [Receipt(requests=1, commands=1)] * 3


def test_a_script_is_sent_whole_where_it_is_missing_and_refused(server: Server, client: Any, colour: Colour) -> None:
    server.acts = [
        acts.error("NOSCRIPT No matching script"),
        acts.error("ERR Unexpected flag in script shebang: allow-key-locking"),
    ]
    ((answer, receipt),) = Driven(colour, client).calls(("script",))
    assert answer == ["eval", SCRIPT.plain, "1", "k", "repeat"]
    assert receipt == Receipt(requests=3, commands=3)


@pytest.mark.parametrize(
    ("text", "error", "told"),
    [
        ("WRONGPASS invalid or missing auth token", Refused, "UPSTASH_REDIS_REST_TOKEN"),
        ("NOPERM this user has no permissions", Refused, "read-only token"),
        ("ERR max requests limit exceeded. Limit: 1, Usage: 1.", Refused, "quota"),
        ("ERR max request size exceeded. Limit: 1, Actual: 2.", TooLarge, "smaller"),
        ("LOADING Redis is loading the dataset in memory", Unavailable, "nothing was written"),
    ],
)
def test_errors_are_sorted_by_remedy(
    server: Server, client: Any, colour: Colour, text: str, error: type[Exception], told: str
) -> None:
    server.otherwise = acts.error(text)
    with pytest.raises(error, match=told):
        Driven(colour, client).calls(("script",))


@pytest.mark.parametrize(
    "fault",
    [acts.lose_answer, acts.lose_request, acts.cut_off, acts.no_json, acts.half_json, acts.proxy_page(502)],
    ids=["answer lost", "request lost", "cut off", "no JSON", "half a JSON value", "502"],
)
def test_a_lost_answer_is_sent_again_as_a_repeat(server: Server, client: Any, colour: Colour, fault: acts.Act) -> None:
    server.acts = [fault] * 3  # the SDK sends everything twice, and says nothing of it
    ((answer, receipt),) = Driven(colour, client).calls(("script",))
    assert answer == ["evalsha", SCRIPT.sha, "1", "k", "repeat"]
    assert [command[-1] for command in server.commands] == ["repeat"] * 4
    assert (receipt.requests, receipt.retries) == (2, 1)


def test_an_answer_that_never_comes_leaves_the_outcome_unknown(server: Server, client: Any, colour: Colour) -> None:
    server.otherwise = acts.lose_answer
    with pytest.raises(OutcomeUnknown, match=r"^upstash_redis\..*Redis: script 'write': .*3 attempts") as caught:
        Driven(colour, client).calls(("script",))
    assert TOKEN not in str(caught.value)


def test_a_suspending_client_that_gets_no_answer_is_given_up(server: Server, colour: Colour) -> None:
    server.otherwise = acts.keep_waiting
    client = upstash_redis.asyncio.Redis(server.url, TOKEN, rest_retry_interval=0)
    with pytest.raises(OutcomeUnknown, match="TimeoutError"):
        Driven(colour, client, total_timeout=0.1, attempts=1).calls(("script",))


def test_a_suspending_client_serves_many_threads_of_the_blocking_side(server: Server) -> None:
    client = upstash_redis.asyncio.Redis(server.url, TOKEN)
    transport = OfficialTransport(blocking.PORT, client)

    def several(name: str) -> None:
        for number in range(10):
            text = f"{name}-{number}"
            right.append(blocking.run(transport.command("GET", text))[0] == ["get", text])

    right: list[bool] = []
    threads = [threading.Thread(target=several, args=(str(number),)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    loops._loop.run(client.close, 10.0)
    loops._loop.close()
    assert right == [True] * 40


def test_a_suspending_client_is_used_on_one_loop_after_another() -> None:
    # In a process of its own: the SDK leaves sockets open on the loops that are gone.
    run(
        """
import asyncio, warnings
warnings.simplefilter("ignore", ResourceWarning)
import upstash_redis.asyncio
from eventsource_upstash._io import event_loop
from eventsource_upstash.backends.redis.official import OfficialTransport
from eventsource_upstash.backends.redis.transport import Script
from tests.faults.transport.server import TOKEN, Server, Exchange
from tests.faults.transport.test_official import answer

script = Script("write", "return 1")
with Server() as server:
    server.otherwise = answer
    for retries in (0, 1):
        client = upstash_redis.asyncio.Redis(server.url, TOKEN, rest_retries=retries, rest_retry_interval=0)
        transport = OfficialTransport(event_loop.PORT, client)
        for _ in range(4):
            result, _ = asyncio.run(transport.script(script, ["k"], ["first"], again=["repeat"]), debug=False)
            assert result == ["evalsha", script.sha, "1", "k", "repeat"], result
"""
    )


def test_what_is_no_client_is_told_at_once() -> None:
    with pytest.raises(Misuse, match=r"object is no client of Redis"):
        OfficialTransport(blocking.PORT, object())  # type: ignore[arg-type]


def test_a_client_that_only_looks_like_it_will_do() -> None:
    class Recording:
        def execute(self, command: list[str]) -> object:
            return json.dumps(command)

    transport = OfficialTransport(blocking.PORT, Recording())
    assert blocking.run(transport.command("GET", "k"))[0] == '["get", "k"]'
    other = OfficialTransport(event_loop.PORT, Recording())
    assert asyncio.run(other.script(Script("x", "return 1"), [], []))[0] == json.dumps(
        ["evalsha", Script("x", "return 1").sha, "0"]
    )
