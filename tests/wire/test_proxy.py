"""Each fault of the proxy does what it says, to the request that it was told to strike, and is counted."""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
from collections.abc import Iterator
from itertools import count

import httpx
import pytest

from eventsource_upstash.local import LocalUpstash
from eventsource_upstash.local.faults import HTTP_FAULTS
from eventsource_upstash.local.redis.commands import QUOTA_EXCEEDED
from eventsource_upstash.testing.proxy import KINDS, FaultyProxy, Listed, Seeded, Strike
from eventsource_upstash.testing.proxy.__main__ import main

_numbers = count(1)

SENT = dict.fromkeys(("delay", "slow-answer", "slow-request", "reorder", "hang-up", "half-close"), (1, None))
"""For each kind: how often what was asked is done, and what is seen: nothing special, a status, or an error."""
EFFECTS: dict[str, tuple[int, int | type[Exception] | None]] = {
    **SENT,
    "lose-request": (0, httpx.RemoteProtocolError),
    "lose-answer": (1, httpx.RemoteProtocolError),
    "duplicate": (2, None),
    "error-500": (0, 500),
    "error-429": (0, 429),
    "error-429-now": (0, 429),
    "error-503": (0, 503),
    "error-502": (1, 502),
    "quota": (0, 400),
    "cut-answer": (1, httpx.RemoteProtocolError),
    "late-request": (1, httpx.RemoteProtocolError),
    "late-duplicate": (2, None),
    "reset-request": (0, httpx.TransportError),
    "reset-answer": (1, httpx.TransportError),
    "garbage": (1, httpx.RemoteProtocolError),
}


@pytest.fixture
def proxy(upstash: LocalUpstash) -> Iterator[FaultyProxy]:
    with FaultyProxy(upstash.redis_url) as running:
        yield running


@pytest.fixture
def client(upstash: LocalUpstash, proxy: FaultyProxy) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {upstash.redis_token}"}
    with httpx.Client(base_url=proxy.url, headers=headers, trust_env=False) as running:
        yield running


@pytest.fixture
def key() -> str:
    return f"proxied-{next(_numbers)}"


def ask(client: httpx.Client, *command: object) -> object:
    answer = client.post("/", json=command)
    assert answer.status_code == 200, answer.text
    return answer.json()["result"]


def test_what_is_not_struck_goes_through_unchanged(
    upstash: LocalUpstash, proxy: FaultyProxy, client: httpx.Client, key: str
) -> None:
    with httpx.Client(base_url=upstash.redis_url, headers=client.headers, trust_env=False) as direct:
        for method, path, content in (
            ("POST", "/", json.dumps(["SET", key, "é/%2F?#"]).encode()),
            ("GET", f"/set/{key}/a%2Fb?EX=100", None),
            ("GET", f"/get/{key}", None),
            ("HEAD", f"/get/{key}", None),
            ("POST", f"/append/{key}", b"\xff\x00"),
            ("PUT", f"/append/{key}", b""),
            ("POST", "/pipeline", json.dumps([["GET", key], ["NOSUCH"]]).encode()),
            ("POST", "/", b"no json"),
            ("DELETE", "/", None),
        ):
            one, other = (each.request(method, path, content=content) for each in (client, direct))
            if "append" not in path:
                assert (one.status_code, one.content) == (other.status_code, other.content), path
            apart = {"date": "", "upstash-sync-token": "", "transfer-encoding": ""}  # which a HEAD may tell or not
            mine, its = ({**each.headers, **apart} for each in (one, other))
            assert mine == its, path
    assert ask(client, "GET", key) == "a/b" + 2 * "\ufffd\x00"
    assert (proxy.requests, proxy.passed_on, proxy.struck) == (10, 10, {})


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_does_what_it_says(proxy: FaultyProxy, client: httpx.Client, key: str, kind: str) -> None:
    done, seen = EFFECTS[kind]
    proxy.faults = Listed([None, Strike(kind, 0.02)])
    assert ask(client, "APPEND", key, "x") == 1
    if isinstance(seen, type):
        with pytest.raises(seen):
            ask(client, "APPEND", key, "y")
    else:
        answer = client.post("/", json=["APPEND", key, "y"])
        assert answer.status_code == (seen or 200)
    proxy.settle()
    assert ask(client, "GET", key) == "x" + done * "y"
    struck = kind != "reorder"  # nobody came behind it
    assert proxy.struck == ({kind: 1} if struck else {})
    assert proxy.strikes == ([(2, Strike(kind, 0.02))] if struck else [])


def test_the_words_are_those_of_the_local_upstash(proxy: FaultyProxy, client: httpx.Client, key: str) -> None:
    assert set(HTTP_FAULTS) < set(KINDS)
    proxy.faults = Listed(["quota", "error-429", "error-429-now"])
    assert client.post("/", json=["GET", key]).json() == {"error": QUOTA_EXCEEDED}
    assert [client.post("/", json=["GET", key]).headers.get("retry-after") for _ in range(2)] == ["1", None]


@pytest.mark.parametrize("late", ["late-request", "delay"])
def test_a_request_arrives_when_its_caller_has_gone(
    proxy: FaultyProxy, client: httpx.Client, key: str, late: str
) -> None:
    proxy.faults = Listed([Strike(late, 3600.0)])
    with pytest.raises(httpx.TransportError):
        client.post("/", json=["SET", key, "first"], timeout=0.05)
    assert ask(client, "SET", key, "second") == "OK"
    assert ask(client, "GET", key) == "second"
    proxy.settle()
    assert ask(client, "GET", key) == "first"


def test_two_concurrent_requests_change_places(
    upstash: LocalUpstash, proxy: FaultyProxy, client: httpx.Client, key: str
) -> None:
    proxy.faults = Listed([Strike("reorder", 30.0)])
    first = threading.Thread(target=lambda: ask(client, "APPEND", key, "1"))
    first.start()
    while proxy.requests < 1:
        pass
    assert ask(client, "APPEND", key, "2") == 1
    first.join()
    assert ask(client, "GET", key) == "21"
    assert proxy.struck == {"reorder": 1}


def test_a_large_body_is_cut_in_its_middle(proxy: FaultyProxy, client: httpx.Client, key: str) -> None:
    proxy.faults = Listed(["reset-request", None, "reset-answer", "cut-answer", Strike("slow-request", 0.001)])
    large = "x" * 5_000_000
    with pytest.raises(httpx.TransportError):  # which one, depends on whether it is seen while it sends or afterwards
        ask(client, "SET", key, large)
    assert ask(client, "SET", key, large) == "OK"
    for _ in range(2):
        with client.stream("POST", "/", json=["GET", key]) as answer:
            assert answer.status_code == 200
            with pytest.raises(httpx.TransportError):
                answer.read()
    assert ask(client, "SET", key, large[1:]) == "OK"
    assert ask(client, "STRLEN", key) == len(large) - 1


def test_a_half_closed_connection_answers_nothing_any_more(upstash: LocalUpstash, proxy: FaultyProxy, key: str) -> None:
    proxy.faults = Listed([Strike("half-close", 30.0)])
    body = json.dumps(["INCR", key])
    request = (
        f"POST / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {upstash.redis_token}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    ).encode()
    with socket.create_connection(("127.0.0.1", httpx.URL(proxy.url).port or 0)) as connection:
        connection.sendall(request)
        answer = b""
        while chunk := connection.recv(4096):
            answer += chunk
        assert answer.endswith(b'{"result":1}'), "and then the end"
        connection.sendall(request)  # taken, and that was all
    proxy.settle()
    assert proxy.requests == proxy.passed_on == 1


def test_what_is_no_http_is_hung_up_on(proxy: FaultyProxy) -> None:
    with socket.create_connection(("127.0.0.1", httpx.URL(proxy.url).port or 0)) as connection:
        connection.sendall(b"\x16\x03\x01 hello\r\n\r\n")
        assert connection.recv(4096) == b""
    assert proxy.requests == 0


def test_a_server_that_is_not_there(upstash: LocalUpstash) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with FaultyProxy(f"http://127.0.0.1:{port}") as proxy, pytest.raises(httpx.RemoteProtocolError):
        httpx.post(proxy.url, json=["PING"])


def test_hanging_up(proxy: FaultyProxy, client: httpx.Client, key: str) -> None:
    assert ask(client, "INCR", key) == 1
    proxy.hang_up()
    assert ask(client, "INCR", key) == 2


def test_one_seed_is_one_schedule() -> None:
    def drawn(seed: int) -> list[Strike | None]:
        seeded = Seeded(seed, probability=0.5)
        return [seeded.strike(number) for number in range(1, 200)]

    assert drawn(7) == drawn(7) != drawn(8)
    struck = [each for each in drawn(7) if each is not None]
    assert 70 < len(struck) < 130
    assert {each.kind for each in struck} == set(KINDS) - {"quota"}
    patient = Seeded(7, probability=0.9, in_a_row=2)
    rows = "".join("x" if patient.strike(number) else " " for number in range(1, 200)).split()
    assert max(map(len, rows)) == 2


def test_a_schedule_is_checked_when_it_is_made() -> None:
    with pytest.raises(ValueError, match="there is no fault 'lose-mind'; there are: lose-request"):
        Listed([None, "lose-mind"])
    with pytest.raises(ValueError, match="no fault"):
        Seeded(1, kinds=["lose-mind"])
    with pytest.raises(ValueError, match="from 0 to 1"):
        Seeded(1, probability=2)
    with pytest.raises(ValueError, match="https://"):
        FaultyProxy("redis://localhost")


def test_the_command_says_where_it_listens_and_what_struck(
    upstash: LocalUpstash, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    stop = threading.Event()
    arguments = [upstash.redis_url, "--seed", "7", "--probability", "1", "--kinds", "error-503"]
    running = threading.Thread(target=main, args=(arguments,), kwargs={"stop": stop}, daemon=True)
    reading, writing = os.pipe()
    with os.fdopen(reading) as said, os.fdopen(writing, "w") as output:
        monkeypatch.setattr(sys, "stdout", output)
        running.start()
        url, _, rest = said.readline().partition(" ")
        assert rest == "(seed 7)\n"
        assert httpx.post(url, json=["INCR", key]).status_code == 503
        stop.set()
        running.join()
        output.flush()
        assert said.readline() == "1 requests, 0 passed on; faults: error-503 1\n"


def test_the_command_refuses_what_cannot_be(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["redis://x"], ["https://x", "--probability", "2"], ["https://x", "--kinds", "lose-mind"]):
        with pytest.raises(SystemExit, match="2"):
            main(arguments)
    assert "lose-mind" in capsys.readouterr().err
