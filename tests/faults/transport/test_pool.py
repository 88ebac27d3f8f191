"""Connections are kept and used again, each within its process and its event loop, and none is left open."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from msgspec.structs import replace

from eventsource_upstash import Misuse, OutcomeUnknown, Unavailable
from eventsource_upstash._io import blocking, event_loop, pool
from eventsource_upstash._io.port import HttpRequest
from tests.faults.driving import Colour
from tests.faults.processes import run
from tests.faults.transport import server as acts
from tests.faults.transport.server import Exchange, Server
from tests.faults.transport.support import Driven, stepped


def ping(server: Server, **options: float) -> HttpRequest:
    return HttpRequest("POST", server.url, {}, b'["PING"]', options.pop("timeout", 30.0), **options)


async def until(condition: threading.Event) -> None:
    await asyncio.get_running_loop().run_in_executor(None, condition.wait)


@contextmanager
def held(server: Server) -> Iterator[tuple[threading.Event, threading.Event]]:
    """The next request is kept waiting: whether it has arrived, and what lets it go on."""
    arrived, go_on = threading.Event(), threading.Event()

    def hold(exchange: Exchange) -> None:
        arrived.set()
        go_on.wait()
        acts.answer(exchange)

    server.acts.append(hold)
    try:
        yield arrived, go_on
    finally:
        go_on.set()


def test_one_connection_serves_many_requests_of_the_blocking_side(server: Server) -> None:
    for _ in range(5):
        assert blocking.run(blocking.PORT.send(ping(server))).status == 200
    assert blocking.run(blocking.BlockingPort().send(ping(server))).status == 200  # whichever port sends
    assert server.connections == 1


def test_one_connection_serves_many_requests_of_a_loop(server: Server) -> None:
    async def several() -> None:
        for _ in range(5):
            await event_loop.PORT.send(ping(server))

    asyncio.run(several())
    assert server.connections == 1


def test_each_loop_has_connections_of_its_own_and_leaves_none(server: Server) -> None:
    for number in range(1, 4):
        assert asyncio.run(event_loop.PORT.send(ping(server))).status == 200
        assert server.connections == number
    gc.collect()  # would tell of what was left open
    assert not list(pool.POOLS._loops)


def test_loops_in_threads_do_not_meet(server: Server) -> None:
    def several() -> None:
        async def send() -> None:
            answers = await asyncio.gather(*[event_loop.PORT.send(ping(server)) for _ in range(4)])
            statuses.extend(answer.status for answer in answers)

        for _ in range(3):
            asyncio.run(send())

    statuses: list[int] = []
    threads = [threading.Thread(target=several) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * 48


def test_threads_share_the_client_and_get_their_own_answers(server: Server) -> None:
    def several(name: str) -> None:
        driven = Driven("blocking", server.url)
        answers.extend(
            driven.command("GET", f"{name}-{number}")[0] == ["GET", f"{name}-{number}"] for number in range(25)
        )

    answers: list[bool] = []
    threads = [threading.Thread(target=several, args=(str(number),)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [True] * 200
    assert server.connections <= 8


def test_tasks_share_the_client_and_get_their_own_answers(server: Server) -> None:
    driven = Driven("event loop", server.url)

    async def several() -> list[bool]:
        answers = await asyncio.gather(*[driven.transport.command("GET", number) for number in range(50)])
        return [answer == ["GET", str(number)] for number, (answer, _) in enumerate(answers)]

    assert asyncio.run(several()) == [True] * 50


def test_closing_closes_the_connections_and_the_next_request_opens_another(server: Server) -> None:
    blocking.run(blocking.PORT.send(ping(server)))
    blocking.PORT.close()
    blocking.PORT.close()
    blocking.run(blocking.PORT.send(ping(server)))
    assert server.connections == 2

    async def close_between() -> None:
        await event_loop.PORT.send(ping(server))
        await event_loop.PORT.close()
        await event_loop.PORT.close()
        await event_loop.PORT.send(ping(server))

    asyncio.run(close_between())
    assert server.connections == 4


def test_closing_lets_a_request_of_another_thread_come_to_its_end(server: Server) -> None:
    statuses: list[int] = []
    with held(server) as (arrived, go_on):
        sender = threading.Thread(target=lambda: statuses.append(blocking.run(blocking.PORT.send(ping(server))).status))
        sender.start()
        arrived.wait()
        client = pool.POOLS._client
        assert client is not None
        blocking.PORT.close()
        assert not client.http.is_closed
        go_on.set()
        sender.join()
    assert statuses == [200]
    assert client.http.is_closed


def test_closing_lets_a_request_of_another_task_come_to_its_end(server: Server) -> None:
    async def close_between() -> None:
        with held(server) as (arrived, go_on):
            sender = asyncio.create_task(event_loop.PORT.send(ping(server)))
            await until(arrived)
            (client,) = pool.POOLS._loops.values()
            await event_loop.PORT.close()
            assert not client.http.is_closed
            go_on.set()
            assert (await sender).status == 200
            assert client.http.is_closed

    asyncio.run(close_between())


def test_a_task_that_is_cancelled_leaves_no_connection_in_the_middle_of_an_answer(server: Server) -> None:
    async def cancel() -> bytes:
        with held(server) as (arrived, go_on):
            sender = asyncio.create_task(event_loop.PORT.send(ping(server)))
            await until(arrived)
            sender.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sender
            go_on.set()
        return (await event_loop.PORT.send(replace(ping(server), body=b'["ECHO"]'))).body

    assert asyncio.run(cancel()) == b'{"result": ["ECHO"]}'


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The clock on the wall, to be moved."""
    ahead = [0.0]
    real = time.time
    monkeypatch.setattr(pool.time, "time", lambda: real() + ahead[0])
    return ahead


@pytest.mark.parametrize("moved", [61.0, 3600.0, -3600.0])
def test_after_a_freeze_a_new_connection_is_opened(
    server: Server, colour: Colour, wall: list[float], moved: float
) -> None:
    async def freeze_between() -> None:
        port = blocking.PORT if colour == "blocking" else event_loop.PORT
        await port.send(ping(server))
        wall[0] += 30.0
        await port.send(ping(server))
        assert server.connections == 1
        wall[0] += moved
        await port.send(ping(server))
        assert server.connections == 2

    stepped(colour, freeze_between())


def test_after_a_freeze_a_request_that_is_under_way_is_not_cut_off(server: Server, wall: list[float]) -> None:
    statuses: list[int] = []
    blocking.run(blocking.PORT.send(ping(server)))
    with held(server) as (arrived, go_on):
        sender = threading.Thread(target=lambda: statuses.append(blocking.run(blocking.PORT.send(ping(server))).status))
        sender.start()
        arrived.wait()
        wall[0] += 3600.0
        assert blocking.run(blocking.PORT.send(ping(server))).status == 200
        go_on.set()
        sender.join()
    assert statuses == [200]


def test_a_connection_that_the_server_closed_while_idle_is_no_error(server: Server, colour: Colour) -> None:
    server.otherwise = acts.answer_and_hang_up

    async def several() -> None:
        port = blocking.PORT if colour == "blocking" else event_loop.PORT
        for _ in range(3):
            assert (await port.send(ping(server))).status == 200
            server.wait_until_all_is_closed()

    stepped(colour, several())
    assert server.connections == 3


def test_a_connection_that_the_server_closes_just_then_is_no_error_to_a_caller(server: Server, colour: Colour) -> None:
    driven = Driven(colour, server.url)

    async def several() -> None:
        await driven.transport.command("SET", "k", "1")
        server.acts = [acts.lose_request]  # it has closed the connection already, and does not read what comes there
        _, receipt = await driven.transport.command("SET", "k", "2")
        assert receipt.retries == 1

    stepped(colour, several())
    assert [command[-1] for command in server.applied] == ["1", "2"]
    assert server.connections == 2


def test_what_was_not_begun_to_be_sent_is_unavailable(colour: Colour) -> None:
    # A listener whose queue is full, or a host that says nothing: here one that takes the connection and no TLS.
    with Server() as server:
        port = blocking.PORT if colour == "blocking" else event_loop.PORT
        request = replace(ping(server, connect_timeout=0.05), url=server.url.replace("http:", "https:"))
        with pytest.raises(Unavailable, match=r"127\.0\.0\.1 could not be reached \(Connect.*nothing was sent"):
            stepped(colour, port.send(request))
    blocking.PORT.close()


@pytest.mark.parametrize("timeouts", [{"read_timeout": 0.05}, {"timeout": 0.3}], ids=["read", "total"])
def test_a_silent_server_leaves_the_outcome_unknown(server: Server, colour: Colour, timeouts: dict[str, float]) -> None:
    port = blocking.PORT if colour == "blocking" else event_loop.PORT

    async def hurried() -> None:
        await port.send(ping(server))  # from here on the connection is there
        server.acts = [acts.keep_waiting]
        await port.send(ping(server, **timeouts))

    with pytest.raises(OutcomeUnknown, match=r"127\.0\.0\.1 did not answer \((ReadTimeout|TimeoutError)\)"):
        stepped(colour, hurried())


@pytest.mark.parametrize(
    "url", ["https://[half", "https://host:port/", "nonsense", "ftp://example.com/", "https://a..b/"]
)
def test_a_url_that_is_none_is_misuse(colour: Colour, url: str) -> None:
    port = blocking.PORT if colour == "blocking" else event_loop.PORT
    with pytest.raises(Misuse, match="https://"):
        stepped(colour, port.send(HttpRequest("POST", url, {}, b"", 1.0)))


def test_a_header_that_cannot_be_sent_is_misuse_and_not_repeated(server: Server, colour: Colour) -> None:
    port = blocking.PORT if colour == "blocking" else event_loop.PORT
    with pytest.raises(Misuse, match="header") as caught:
        stepped(colour, port.send(replace(ping(server), headers={"authorization": "Bearer secret-word\nx"})))
    assert caught.value.__cause__ is None
    assert "secret-word" not in str(caught.value)
    blocking.PORT.close()


def test_a_proxy_of_the_environment_is_used(server: Server, colour: Colour, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTP_PROXY", server.url)
    blocking.PORT.close()  # a client reads the environment when it is made
    port = blocking.PORT if colour == "blocking" else event_loop.PORT
    request = replace(ping(server), url="http://redis.example.invalid/")
    assert stepped(colour, port.send(request)).status == 200
    assert (server.seen[0].path, server.seen[0].headers["host"]) == (request.url, "redis.example.invalid")
    blocking.PORT.close()


def test_closing_what_was_never_used_imports_nothing() -> None:
    run(
        "import asyncio, sys\n"
        "from eventsource_upstash._io import blocking, event_loop\n"
        "blocking.PORT.close()\n"
        "asyncio.run(event_loop.PORT.close())\n"
        "assert not {'httpx', 'anyio', 'eventsource_upstash._io.pool'} & set(sys.modules)\n"
    )
