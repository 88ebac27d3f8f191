"""The port against real sockets and real signals: what it answers, and what its failures are called."""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from eventsource_upstash import Misuse, OutcomeUnknown, Signal, Unavailable
from eventsource_upstash._io.blocking import BlockingPort, run
from eventsource_upstash._io.event_loop import EventLoopPort
from eventsource_upstash._io.port import HttpRequest, HttpResponse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Echo(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.path.startswith("/hang-up"):
            self.close_connection = True
            return
        self.send_response(404 if self.path == "/missing" else 200)
        self.send_header("content-length", str(len(body)))
        self.send_header("x-seen", self.headers["x-word"])
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as httpd:
        httpd.daemon_threads = True
        thread = threading.Thread(target=httpd.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{httpd.server_address[1]}"
        finally:
            httpd.shutdown()
            thread.join()


@contextmanager
def nobody_listens() -> Iterator[str]:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # taken, so that nobody else can begin to listen there
        yield f"http://127.0.0.1:{held.getsockname()[1]}"


@pytest.fixture(params=["blocking", "event loop"])
def send(request: pytest.FixtureRequest) -> Callable[[HttpRequest], HttpResponse]:
    if request.param == "blocking":
        port = BlockingPort()
        return lambda message: run(port.send(message))
    loop_port = EventLoopPort()  # one port, a new loop for each request
    return lambda message: asyncio.run(loop_port.send(message))


def message(url: str, body: bytes = b"") -> HttpRequest:
    return HttpRequest("POST", url, {"x-word": "abc"}, body, timeout=10.0)


def test_a_request_arrives_whole_and_its_answer_comes_back(
    server: str, send: Callable[[HttpRequest], HttpResponse]
) -> None:
    body = bytes(range(256)) * 1000
    answer = send(message(f"{server}/echo", body))
    assert (answer.status, answer.headers["x-seen"], answer.body) == (200, "abc", body)


def test_a_status_is_an_answer_not_an_error(server: str, send: Callable[[HttpRequest], HttpResponse]) -> None:
    assert send(message(f"{server}/missing")).status == 404


def test_one_port_serves_several_requests(server: str, send: Callable[[HttpRequest], HttpResponse]) -> None:
    assert [send(message(f"{server}/echo", bytes([n]))).body for n in range(3)] == [b"\0", b"\1", b"\2"]


def test_nobody_there_means_that_nothing_was_sent(send: Callable[[HttpRequest], HttpResponse]) -> None:
    with nobody_listens() as url, pytest.raises(Unavailable, match=r"127\.0\.0\.1 could not be reached"):
        send(message(f"{url}/secret-path"))


def test_a_lost_answer_means_that_the_outcome_is_unknown(
    server: str, send: Callable[[HttpRequest], HttpResponse]
) -> None:
    with pytest.raises(OutcomeUnknown, match="is not known") as caught:
        send(message(f"{server}/hang-up?token=secret"))
    assert "secret" not in str(caught.value)


def test_a_url_that_is_none_is_the_callers_mistake(send: Callable[[HttpRequest], HttpResponse]) -> None:
    with pytest.raises(Misuse, match="https://"):
        send(message("ftp://example.com/"))


def test_a_signal_wakes_sleepers_of_both_colours() -> None:
    async def sleep_beside_a_thread() -> None:
        signal = Signal()
        ready = threading.Event()

        def blocking() -> None:
            ready.set()
            run(BlockingPort().sleep(3600, signal))

        thread = threading.Thread(target=blocking)
        thread.start()
        sleeper = asyncio.create_task(EventLoopPort().sleep(3600, signal))
        await asyncio.to_thread(ready.wait)
        await asyncio.to_thread(signal.set)
        await sleeper
        await asyncio.to_thread(thread.join)

    asyncio.run(sleep_beside_a_thread())


def test_a_signal_lets_nobody_sleep_who_has_not_seen_it() -> None:
    signal = Signal()
    signal.set()
    run(BlockingPort().sleep(3600, signal))
    asyncio.run(EventLoopPort().sleep(3600, signal))
    assert signal.raised
    seen = signal.count
    run(BlockingPort().sleep(0, signal, seen))  # nothing since then: it sleeps, for no time here
    signal.set()
    run(BlockingPort().sleep(3600, signal, seen))
    asyncio.run(EventLoopPort().sleep(3600, signal, seen))


def test_a_port_that_suspends_under_the_blocking_side_is_told_so() -> None:
    async def suspends() -> None:
        await asyncio.sleep(0)

    with pytest.raises(RuntimeError, match="awaits something other than its port"):
        run(suspends())
