"""Only this machine, and only its own pages."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from urllib.parse import urlsplit

import httpx
import pytest
from aiohttp import web

from eventsource_upstash.local import LocalUpstash
from eventsource_upstash.local.guarding import guard, is_loopback


@pytest.fixture(params=["redis", "qstash", "kafka"])
def url(request: pytest.FixtureRequest, upstash: LocalUpstash) -> str:
    return {"redis": upstash.redis_url, "qstash": upstash.qstash_url, "kafka": upstash.kafka.url}[request.param]


def test_listens_on_the_loopback_interface_only(upstash: LocalUpstash, url: str) -> None:
    port = urlsplit(url).port
    # Every other address of this machine, 127.0.0.2 among them, is free of it.
    for host in ("127.0.0.2", socket.gethostbyname(socket.gethostname())):
        if host != "127.0.0.1":
            with socket.socket() as probe:
                assert probe.connect_ex((host, port)) != 0


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80", "10.0.0.1", "["]
)
def test_foreign_host_name_is_refused(url: str, host: str) -> None:
    for path in ("/", "/dev/metrics"):
        assert httpx.get(url + path, headers={"Host": host}).status_code == 403


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1.evil.example"])
def test_pages_of_other_sites_are_refused(url: str, origin: str) -> None:
    for path in ("/dev/faults", "/dev/metrics/reset", "/v2/publish/http://127.0.0.1:9/x", "/"):
        assert httpx.post(url + path, headers={"Origin": origin}, content=b"{}").status_code == 403
    assert httpx.get(url + "/dev/state", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403


def test_another_page_of_this_machine_may_use_the_api_but_not_dev(upstash: LocalUpstash, key: str) -> None:
    origin = {"Origin": "http://localhost:3000"}
    url = upstash.redis_url
    preflight = httpx.options(url, headers=origin | {"Access-Control-Request-Headers": "authorization"})
    assert preflight.status_code == 200
    assert "DELETE" in preflight.headers["Access-Control-Allow-Methods"]
    assert preflight.headers["Access-Control-Allow-Headers"] == "authorization"
    answer = httpx.post(url, json=["GET", key], headers=origin | {"Authorization": f"Bearer {upstash.redis_token}"})
    assert answer.json() == {"result": None}
    assert answer.headers["Access-Control-Allow-Origin"] == "http://localhost:3000"
    assert httpx.post(f"{url}/dev/faults", json={"kind": "delay"}, headers=origin).status_code == 403
    assert httpx.get(f"{url}/dev/faults", headers={"Origin": url}).status_code == 200


@pytest.mark.parametrize(
    ("host", "ours"),
    [
        ("localhost", True),
        ("app.localhost", True),
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("localhost.", False),
        ("notlocalhost", False),
        ("0.0.0.0", False),
        ("", False),
        (None, False),
    ],
)
def test_names_of_this_machine(host: str | None, ours: bool) -> None:
    assert is_loopback(host) is ours


def test_page_is_whole_and_in_nobodys_frame(url: str) -> None:
    answer = httpx.get(url, headers={"Accept": "text/html"})
    assert "development only" in answer.text
    assert "http://" not in answer.text
    assert "https://" not in answer.text
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert httpx.get(f"{url}/dev").text == answer.text


def test_api_at_the_root_is_not_hidden_by_the_page(upstash: LocalUpstash) -> None:
    headers = {"Accept": "text/html", "Authorization": f"Bearer {upstash.redis_token}"}
    assert httpx.get(upstash.redis_url, headers=headers).json() == {"error": "EOF"}
    assert httpx.get(upstash.redis_url).status_code == 401


def test_secrets_are_in_no_repr(upstash: LocalUpstash) -> None:
    from eventsource_upstash.local.redis.wire import Address

    assert "hidden" not in repr(Address.parse("redis://user:hidden@127.0.0.1:1/0"))
    assert upstash.redis_token not in repr(upstash)
    assert upstash.kafka.password not in repr(upstash.kafka)


def test_importing_the_command_needs_nothing_of_the_extra() -> None:
    code = (
        "import sys; from eventsource_upstash.cli import main; "
        "assert not {'aiohttp', 'redis', 'httpx', 'confluent_kafka'} & set(sys.modules), sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_client_that_ends_amid_its_request_is_no_error_here(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        reading, ended = asyncio.Event(), asyncio.Event()

        async def handle(request: web.Request) -> web.Response:
            reading.set()
            try:
                return web.Response(body=await request.read())
            finally:
                ended.set()

        app = web.Application(middlewares=[guard])
        app.router.add_post("/", handle)
        runner = web.AppRunner(app, handler_cancellation=False)  # as the local Upstash has it
        await runner.setup()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            await web.SockSite(runner, listener).start()
            _, writer = await asyncio.open_connection(*listener.getsockname())
            writer.write(b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 10\r\n\r\nhalf")
            await reading.wait()
            writer.transport.abort()
            await ended.wait()
            await runner.cleanup()

    asyncio.run(scenario())
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []
