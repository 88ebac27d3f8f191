"""Servers that mean harm, on real sockets, in both colours: bounded time, bounded memory, and nobody else is asked."""

from __future__ import annotations

import asyncio
import gzip
import tracemalloc
import zlib
from contextlib import suppress
from http.cookiejar import Cookie

import pytest

from eventsource_upstash import OutcomeUnknown, QStash, Refused
from eventsource_upstash._io import blocking, event_loop
from eventsource_upstash._io.bodies import AnswerGarbled, AnswerTooLarge, Body
from eventsource_upstash._io.pool import POOLS
from eventsource_upstash._io.port import HttpRequest, HttpResponse
from tests.faults.driving import COLOURS, Colour
from tests.faults.transport.server import TOKEN, Act, Exchange, Server
from tests.faults.transport.support import stepped

MIB = 1024 * 1024
LIMIT = MIB
ZEROS = bytes(64 * MIB)
BOMB = gzip.compress(ZEROS, 1)
"""A few hundred kilobytes that become 64 MiB."""


@pytest.fixture(params=COLOURS)
def colour(request: pytest.FixtureRequest) -> Colour:
    found: Colour = request.param
    return found


def ask(server: Server, colour: Colour, *, timeout: float = 5.0) -> HttpResponse:
    headers = {"authorization": f"Bearer {TOKEN}"}
    request = HttpRequest("POST", server.url, headers, b'["GET","k"]', timeout, max_answer=LIMIT)

    async def exchange() -> HttpResponse:
        return await (blocking.PORT if colour == "blocking" else event_loop.PORT).send(request)

    return stepped(colour, exchange())


def for_ever(head: bytes, piece: bytes, pause: float = 0.0) -> Act:
    """The same again and again, until the test is over or nobody listens."""

    def act(exchange: Exchange) -> None:
        exchange.hang_up()
        with suppress(OSError):
            exchange.raw(head)
            while not exchange.server.stopping.wait(pause):
                exchange.raw(piece)

    return act


def packed(body: bytes, how: str) -> Act:
    return lambda exchange: exchange.reply(body, content_encoding=how)


ENDLESS: dict[str, Act] = {
    "a byte of a header now and then": for_ever(b"HTTP/1.1 200 -\r\nx: ", b"x", 0.001),
    "early hints": for_ever(b"", b"HTTP/1.1 103 -\r\nlink: </a>\r\n\r\n", 0.001),
    "go on": for_ever(b"", b"HTTP/1.1 100 -\r\n\r\n", 0.001),
    "bytes of a chunk's length": for_ever(b"HTTP/1.1 200 -\r\ntransfer-encoding: chunked\r\n\r\n1", b"0", 0.001),
    "nothing, packed": for_ever(
        b"HTTP/1.1 200 -\r\ncontent-encoding: gzip\r\ntransfer-encoding: chunked\r\n\r\n",
        b"5\r\n\x00\x00\x00\xff\xff\r\n",
        0.001,
    ),
}
"""A drip, which no timeout of a read ever meets."""


@pytest.mark.parametrize("act", ENDLESS.values(), ids=ENDLESS)
def test_what_never_ends_is_given_up(colour: Colour, act: Act) -> None:
    with Server() as server:
        server.otherwise = act
        with pytest.raises(OutcomeUnknown, match=r"127\.0\.0\.1 did not answer"):
            ask(server, colour, timeout=0.3)


LARGE: dict[str, Act] = {
    "chunks without an end": for_ever(
        b"HTTP/1.1 200 -\r\ntransfer-encoding: chunked\r\n\r\n", b"10000\r\n" + bytes(65536) + b"\r\n"
    ),
    "a body until the connection ends": for_ever(b"HTTP/1.1 200 -\r\nconnection: close\r\n\r\n", bytes(65536)),
    "a length of a gigabyte": for_ever(b"HTTP/1.1 200 -\r\ncontent-length: 1000000000\r\n\r\n", bytes(65536)),
    "a length of forty digits": for_ever(b"HTTP/1.1 200 -\r\ncontent-length: %d\r\n\r\n" % 10**18, bytes(65536)),
    "a bomb": packed(BOMB, "gzip"),
    "a bomb within a bomb": packed(gzip.compress(BOMB, 1), "gzip, gzip"),
    "a bomb by another name": packed(BOMB, "x-gzip"),
    "a bomb deflated": packed(zlib.compress(ZEROS, 1), "deflate"),
    "what is behind the end of what was packed": for_ever(
        b"HTTP/1.1 200 -\r\ncontent-encoding: gzip\r\n\r\n" + gzip.compress(b"{}"), bytes(65536)
    ),
    "headers": for_ever(b"HTTP/1.1 200 -\r\n", b"x-header: " + bytes([120]) * 1000 + b"\r\n"),
    "one header": for_ever(b"HTTP/1.1 200 -\r\nx: ", b"x" * 65536),
    "trailers": for_ever(
        b"HTTP/1.1 200 -\r\ntransfer-encoding: chunked\r\n\r\n0\r\n", b"x-header: " + bytes([120]) * 1000 + b"\r\n"
    ),
}


@pytest.mark.parametrize("act", LARGE.values(), ids=LARGE)
def test_what_is_too_large_is_not_held(colour: Colour, act: Act) -> None:
    with Server() as server:
        server.otherwise = act
        tracemalloc.start()
        try:
            with pytest.raises(OutcomeUnknown, match=r"127\.0\.0\.1 (did not answer|answered with more than 1048576)"):
                ask(server, colour)
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert most < 8 * LIMIT


def test_the_measure_of_memory_sees_a_bomb_go_off() -> None:
    """The proof that the test above can fail."""
    tracemalloc.start()
    try:
        gzip.decompress(BOMB)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most > 8 * LIMIT


def test_as_much_as_was_agreed_arrives(colour: Colour) -> None:
    with Server() as server:
        for body in (b"", b"x", bytes(LIMIT)):
            server.acts = [packed(body, "identity"), packed(gzip.compress(body), "gzip")]
            assert ask(server, colour).body == body
            assert ask(server, colour).body == body
            assert server.seen[-1].headers["accept-encoding"] == "gzip"


@pytest.mark.parametrize("how", ["gzip", "br", "zstd", "gzip, gzip", "identity, gzip", "x"])
def test_what_cannot_be_unpacked_is_no_answer(colour: Colour, how: str) -> None:
    with Server() as server:
        server.otherwise = packed(b'{"result":1}', how)
        with pytest.raises(OutcomeUnknown, match=r"AnswerGarbled"):
            ask(server, colour)


def test_half_of_what_was_packed_is_no_answer(colour: Colour) -> None:
    with Server() as server:
        server.otherwise = packed(gzip.compress(b'{"result":1}')[:-9], "gzip")
        with pytest.raises(OutcomeUnknown, match=r"AnswerGarbled"):
            ask(server, colour)


@pytest.mark.parametrize("pieces", [1, 7, 100_000])
def test_pieces_of_any_size(pieces: int) -> None:
    content = bytes(range(256)) * 300

    def unpacked(limit: int) -> bytes:
        body = Body({"content-encoding": "GZIP "}, limit)
        whole = gzip.compress(content)
        for at in range(0, len(whole), pieces):
            body.add(whole[at : at + pieces])
        return body.whole()

    assert unpacked(len(content)) == content
    with pytest.raises(AnswerTooLarge):
        unpacked(len(content) - 1)
    with pytest.raises(AnswerGarbled):
        Body({"content-encoding": "rot13"}, 5)


def redirect(status: int, where: str) -> Act:
    return lambda exchange: exchange.reply(b"", status=status, location=where, refresh=f"0; url={where}")


@pytest.mark.parametrize("status", [300, 301, 302, 303, 307, 308])
def test_nobody_else_gets_the_token(colour: Colour, status: int) -> None:
    with Server() as server, Server() as elsewhere:
        for where in (elsewhere.url, f"{elsewhere.url}/x", f"//{elsewhere.url.partition('//')[2]}/", server.url):
            server.acts = [redirect(status, where)]
            assert ask(server, colour).status == status
        assert not elsewhere.seen
        assert len(server.seen) == 4


def test_a_redirect_of_qstash_is_refused() -> None:
    with Server() as server, Server() as elsewhere:
        server.otherwise = lambda exchange: exchange.reply(b"", status=307, location=f"{elsewhere.url}/v2/publish/")
        transport = QStash("https://app.example.com/projections", token=TOKEN, url=server.url)
        with pytest.raises(Refused, match="redirection"):
            stepped("blocking", transport.notices(blocking.PORT).send(1, 1))
        assert not elsewhere.seen


def test_cookies_are_neither_kept_nor_sent_back(colour: Colour) -> None:
    with Server() as server:
        server.otherwise = lambda exchange: exchange.reply(
            b"{}", set_cookie=f"c{exchange.number}-{len(exchange.server.seen)}=v; Path=/; Max-Age=86400"
        )
        if colour == "blocking":
            for _ in range(3):
                ask(server, colour)
            client = POOLS.take()
            kept = list(client.http.cookies.jar)
            POOLS.give_back(client)
        else:

            async def several() -> list[Cookie]:
                request = HttpRequest("POST", server.url, {}, b"[]", 5.0)
                for _ in range(3):
                    await event_loop.PORT.send(request)
                opened = await POOLS.take_async()
                await POOLS.give_back_async(opened)
                return list(opened.http.cookies.jar)

            kept = asyncio.run(several())
        assert not kept
        assert all("cookie" not in each.headers for each in server.seen)
        assert len(server.seen) == 3
