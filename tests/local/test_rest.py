"""The forms of requests and answers. Sources: the service's page REST API, its troubleshooting pages, and what others
have measured at the service (where a comment says so)."""

from __future__ import annotations

import base64
import json
import socket

import httpx
import pytest

from eventsource_upstash.local import Limits, LocalUpstash
from eventsource_upstash.local.redis.wire import Address, Connection
from tests.local.conftest import Rest

pytestmark = pytest.mark.filterwarnings("error")


def test_command_as_json_array(rest: Rest, key: str) -> None:
    assert rest.result("SET", key, "bar", "EX", 100) == "OK"
    assert rest.result("GET", key) == "bar"
    assert rest.result("GET", f"{key}:none") is None
    assert rest.result("RPUSH", f"{key}:l", "a", "b") == 2
    assert rest.result("LRANGE", f"{key}:l", 0, -1) == ["a", "b"]


def test_command_in_the_path(rest: Rest, key: str) -> None:
    assert rest.client.get(f"/set/{key}/b%2Far%20%23").json() == {"result": "OK"}
    assert rest.client.get(f"/get/{key}").json() == {"result": "b/ar #"}


def test_body_is_the_last_argument_and_the_query_follows_it(rest: Rest, key: str) -> None:
    value = b"\x00\xff \r\n"
    assert rest.client.post(f"/set/{key}?EX=100&NX", content=value).json() == {"result": "OK"}
    assert rest.client.post(f"/set/{key}?EX=100&NX", content=b"other").json() == {"result": None}
    assert rest.result("TTL", key) in range(1, 101)
    answer = rest.client.get(f"/get/{key}", headers={"Upstash-Encoding": "base64"})
    assert base64.b64decode(answer.json()["result"]) == value


@pytest.mark.parametrize("number", ["9007199254740993", "-9223372036854775808", "123456789012345678901234567890"])
def test_integers_beyond_what_floats_hold_arrive_and_return_exactly(rest: Rest, key: str, number: str) -> None:
    assert rest.post(f'["SET", "{key}", {number}]'.encode()).json() == {"result": "OK"}
    assert rest.result("GET", key) == number


@pytest.mark.parametrize("number", ["1000000", "1e6", "1.0E+06", "0.1", "3.0", "1e-7", "123456789.125"])
def test_numbers_are_passed_on_as_they_are_written(rest: Rest, key: str, number: str) -> None:
    rest.post(f'["SET", "{key}", {number}]'.encode())
    assert rest.result("GET", key) == number


def test_integer_replies_are_exact(rest: Rest, key: str) -> None:
    answer = rest.post(["INCRBY", key, 2**63 - 1])
    assert answer.text == '{"result":9223372036854775807}'


def test_booleans_are_words(rest: Rest, key: str) -> None:
    rest.result("RPUSH", key, True, False)
    assert rest.result("LRANGE", key, 0, -1) == ["true", "false"]


def test_base64_encodes_every_string_but_the_status_ok(rest: Rest, key: str) -> None:
    headers = {"Upstash-Encoding": "base64"}
    assert rest.post(["SET", key, "OK"], headers=headers).json() == {"result": "OK"}
    # Only the status: a value that reads OK is a value.
    assert rest.post(["GET", key], headers=headers).json() == {"result": "T0s="}
    assert rest.post(["TYPE", key], headers=headers).json() == {"result": base64.b64encode(b"string").decode()}
    answer = rest.post(["EVAL", "return {1, 'a', false, {'b'}}", 0], headers=headers).json()
    assert answer == {"result": [1, "YQ==", None, ["Yg=="]]}


def test_invalid_utf8_becomes_the_replacement_character(rest: Rest, key: str) -> None:
    rest.client.post(f"/set/{key}", content=b"a\xffb")
    assert rest.result("GET", key) == "a\ufffdb"


def test_lone_surrogates_become_the_replacement_character(rest: Rest, key: str) -> None:
    rest.post(b'["SET", "%s", "\\ud800x"]' % key.encode())
    assert rest.result("GET", key) == "\ufffdx"


def test_resp2(rest: Rest, key: str) -> None:
    headers = {"Upstash-Response-Format": "resp2"}
    answer = rest.post(["SET", key, "bar"], headers=headers)
    assert (answer.content, answer.headers["Content-Type"]) == (b"+OK\r\n", "application/octet-stream")
    assert rest.post(["GET", key], headers=headers).content == b"$3\r\nbar\r\n"
    answer = rest.post(["INCR", key], headers=headers)
    assert answer.status_code == 400
    assert answer.content == b"-ERR value is not an integer or out of range\r\n"
    answer = rest.post([["GET", key], ["GET", f"{key}:none"], ["STRLEN", key]], "/pipeline", headers)
    assert answer.content == b"$3\r\nbar\r\n$-1\r\n:3\r\n"
    # There it "only returns response in JSON format", says the page.
    assert rest.post([["GET", key]], "/multi-exec", headers).json() == [{"result": "bar"}]


@pytest.mark.parametrize(
    "headers",
    [
        {"Upstash-Response-Format": "resp3"},
        {"Upstash-Encoding": "hex"},
        {"Upstash-Response-Format": "resp2", "Upstash-Encoding": "base64"},
    ],
)
def test_formats_that_there_are_not(rest: Rest, key: str, headers: dict[str, str]) -> None:
    answer = rest.post(["SET", key, "1"], headers=headers)
    assert answer.status_code == 400
    assert rest.result("EXISTS", key) == 0


@pytest.mark.parametrize("path", ["/", "/pipeline", "/multi-exec"])
@pytest.mark.parametrize("header", [None, "Bearer wrong", "Bearer", "Basic eA=="])
def test_wrong_token_is_refused_before_anything_runs(
    upstash: LocalUpstash, rest: Rest, key: str, path: str, header: str | None
) -> None:
    command = ["SET", key, "1"]
    answer = httpx.post(
        upstash.redis_url + path,
        json=command if path == "/" else [command],
        headers={} if header is None else {"Authorization": header},
    )
    assert answer.status_code == 401
    assert answer.json()["error"].startswith("WRONGPASS invalid or missing auth token")
    assert rest.result("EXISTS", key) == 0


def test_token_in_the_query(upstash: LocalUpstash, key: str) -> None:
    answer = httpx.post(f"{upstash.redis_url}/set/{key}?EX=50&_token={upstash.redis_token}", content=b"v")
    assert answer.json() == {"result": "OK"}
    answer = httpx.get(f"{upstash.redis_url}/get/{key}?_token={upstash.redis_token}")
    assert answer.json() == {"result": "v"}


def test_read_only_token(upstash: LocalUpstash, rest: Rest, key: str) -> None:
    rest.result("SET", key, "v")

    def ask(*command: object, path: str = "/") -> httpx.Response:
        body = command if path == "/" else [command]
        return httpx.post(
            upstash.redis_url + path, json=body, headers={"Authorization": f"Bearer {upstash.read_only_token}"}
        )

    assert ask("GET", key).json() == {"result": "v"}
    refused: list[tuple[str, ...]] = [
        ("SET", key, "x"),
        ("DEL", key),
        ("EVAL", "return 1", "0"),
        ("PUBLISH", "c", "m"),
        ("FLUSHDB",),
    ]
    # The page says that "some powerful read commands (e.g. SCAN, KEYS)" are kept from it as well.
    refused += [("SCAN", "0"), ("KEYS", "*"), ("SCRIPT", "FLUSH")]
    for command in refused:
        # The words are those that users of the service report.
        expected = f"NOPERM this user has no permissions to run the '{command[0].lower()}' command"
        assert ask(*command).json()["error"].startswith(expected)
        assert ask(*command, path="/pipeline").json()[0]["error"].startswith(expected)
        assert ask(*command, path="/multi-exec").json()["error"].startswith(expected)
    assert rest.result("GET", key) == "v"


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"", "EOF"),
        (b"{}", "expected JSON array"),
        (b'"GET"', "expected JSON array"),
        (b"[]", "ERR empty command"),
        (b"[", "ERR failed to parse command"),
        (b"[NaN]", "ERR failed to parse command"),
        (b'["SET", "k", null]', "ERR null args are not supported"),
        (b'["SET", "k", {"a": 1}]', 'ERR unsupported arg type: "{": json.Delim'),
        (b'["SET", "k", ["a"]]', 'ERR unsupported arg type: "[": json.Delim'),
    ],
)
def test_malformed_requests(rest: Rest, body: bytes, error: str) -> None:
    # The texts for null and for other types, and "EOF", were seen at the service by others.
    answer = rest.post(body)
    assert (answer.status_code, answer.json()) == (400, {"error": error})


def test_deeply_nested_body_is_refused(rest: Rest) -> None:
    assert rest.post(b"[" * 100_000).status_code == 400


@pytest.mark.parametrize("path", ["/pipeline", "/multi-exec"])
def test_malformed_command_refuses_the_whole_request(rest: Rest, key: str, path: str) -> None:
    answer = rest.post([["SET", key, "1"], ["SET", key, None]], path)
    assert (answer.status_code, answer.json()) == (400, {"error": "ERR null args are not supported"})
    assert rest.result("EXISTS", key) == 0


def test_methods(upstash: LocalUpstash, rest: Rest, key: str) -> None:
    for method in ("DELETE", "PATCH"):
        assert rest.client.request(method, f"/set/{key}/1").status_code == 405
    assert rest.client.head("/").status_code == 200
    assert rest.client.put(f"/set/{key}", content=b"v").json() == {"result": "OK"}


@pytest.mark.parametrize("command", ["WATCH", "DISCARD", "AUTH", "CLIENT", "SELECT", "BLPOP", "SUBSCRIBE", "MONITOR"])
def test_commands_that_mean_nothing_over_http(rest: Rest, command: str) -> None:
    expected = f'ERR Command "{command}" is not allowed in REST or it has a special context path'
    assert rest.error(command, "x", "1") == expected
    answer = rest.post([[command, "x", "1"]], "/multi-exec")
    assert (answer.status_code, answer.json()) == (400, {"error": expected})


def test_blocking_option(rest: Rest, key: str) -> None:
    assert "not allowed in REST" in rest.error("XREAD", "BLOCK", 0, "STREAMS", key, "$")
    assert rest.result("XREAD", "COUNT", 1, "STREAMS", key, "0") is None


@pytest.mark.parametrize("command", ["SHUTDOWN", "CONFIG", "DEBUG", "REPLICAOF", "NOSUCHCOMMAND", "JSON.GET", "ACL"])
def test_commands_that_there_are_not(rest: Rest, command: str) -> None:
    assert rest.error(command, "x").startswith(f"ERR Command is not available: '{command}'. See ")


def test_pipeline_goes_on_after_an_error(rest: Rest, key: str) -> None:
    answers = rest.pipeline(["SET", key, "x"], ["INCR", key], ["NOSUCHCOMMAND"], ["AUTH", "a"], ["GET", key])
    assert [list(answer) for answer in answers] == [["result"], ["error"], ["error"], ["error"], ["result"]]
    assert answers[-1] == {"result": "x"}


def test_transaction_runs_all_commands_also_after_an_error(rest: Rest, key: str) -> None:
    script = "redis.call('INCR', KEYS[1]) return redis.call('GET', KEYS[1])"
    answer = rest.post(
        [["SET", key, "1"], ["LPUSH", key, "x"], ["EVAL", script, 1, key], ["EVALSHA", "0" * 40, 0]], "/multi-exec"
    )
    first, second, third, fourth = answer.json()
    assert (first, third) == ({"result": "OK"}, {"result": "2"})
    assert second["error"].startswith("WRONGTYPE")
    assert fourth["error"].startswith("NOSCRIPT")


def test_transaction_is_discarded_when_a_command_cannot_be_queued(rest: Rest, key: str) -> None:
    answer = rest.post([["SET", key, "1"], ["GET"]], "/multi-exec")
    assert answer.status_code == 400
    assert answer.json()["error"].startswith("EXECABORT Transaction discarded")
    assert rest.result("EXISTS", key) == 0


def test_sync_token_comes_with_every_answer_and_moves_with_writes(rest: Rest, key: str) -> None:
    first = rest.post(["SET", key, "1"]).headers["Upstash-Sync-Token"]
    second = rest.post(["SET", key, "2"], headers={"Upstash-Sync-Token": first}).headers["Upstash-Sync-Token"]
    assert first != second
    assert rest.post(["GET"]).headers["Upstash-Sync-Token"]
    assert rest.post(["GET", key], headers={"Upstash-Sync-Token": "nonsense"}).json() == {"result": "2"}
    assert rest.counted()["sync_tokens"] == 2


def test_reply_above_the_limit(rest: Rest, key: str) -> None:
    half = "x" * (6 * 1024 * 1024)
    rest.result("MSET", f"{key}:a", half)
    rest.result("MSET", f"{key}:b", half)
    # Measured by others: the limit is for each command, and such a reply is refused with status 200.
    answer = rest.post(["MGET", f"{key}:a", f"{key}:b"])
    assert answer.status_code == 200
    assert answer.json()["error"].startswith("ERR max request size exceeded. Limit: 10485760 bytes, Actual: 12582912")
    assert "error" not in rest.post([["GET", f"{key}:a"], ["GET", f"{key}:b"]], "/pipeline").json()[1]
    rest.result("DEL", f"{key}:a", f"{key}:b")


def test_request_above_the_limit(rest: Rest, key: str) -> None:
    answer = rest.post(["SET", key, "x" * (10 * 1024 * 1024)])
    assert answer.status_code == 413
    assert answer.json()["error"].startswith("ERR max request size exceeded. Limit: 10485760 bytes")
    assert rest.result("EXISTS", key) == 0


def test_key_above_the_limit(rest: Rest) -> None:
    assert rest.error("SET", "k" * 32769, "1").startswith(
        "ERR max key size exceeded. Limit: 32768 bytes, Actual: 32769"
    )
    assert rest.error("EVAL", "return 1", 1, "k" * 32769).startswith("ERR max key size exceeded")


def test_record_above_the_limit(caller: str, key: str) -> None:
    with LocalUpstash(limits=Limits(record=50_000)) as small:
        rest = Rest(small, caller)
        with rest.client:
            for _ in range(4):
                rest.result("APPEND", key, "x" * 10_000)
            assert rest.error("APPEND", key, "x" * 10_000).startswith(
                "ERR max single record size exceeded. Limit: 50000"
            )
            assert rest.result("STRLEN", key) == 40_000
            script = "return redis.call('APPEND', KEYS[1], ARGV[1])"
            assert rest.error("EVAL", script, 1, key, "x" * 10_000).startswith("ERR max single record size exceeded")
            assert rest.result("APPEND", f"{key}:other", "x" * 10_000) == 10_000


async def _limit_memory(upstash: LocalUpstash) -> None:
    connection = await Connection.open(Address.parse(upstash.engine_url))
    assert await connection.call((b"CONFIG", b"SET", b"maxmemory", b"1")) == b"OK"
    connection.close()


def test_database_at_its_capacity(caller: str, key: str) -> None:
    with LocalUpstash() as own:
        own.run(_limit_memory(own))
        rest = Rest(own, caller)
        with rest.client:
            full = "ERR DB capacity quota exceeded"
            assert rest.error("SET", key, "v").startswith(full)
            assert rest.error("EVAL", "return redis.call('SET', KEYS[1], 'v')", 1, key).startswith(full)
            assert rest.result("GET", key) is None
            assert rest.result("DEL", key) == 0


def test_connections_can_be_hung_up(rest: Rest, key: str) -> None:
    with rest.client.stream("POST", f"/subscribe/{key}", timeout=60) as answer:
        lines = answer.iter_raw()
        assert next(lines)
        rest.upstash.hang_up()
        with pytest.raises(httpx.RemoteProtocolError):
            next(lines)
    assert rest.result("PING") == "PONG"


def test_subscribe_and_publish(upstash: LocalUpstash, rest: Rest, key: str) -> None:
    with rest.client.stream("POST", f"/subscribe/{key}/{key}:2", timeout=60) as answer:
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        lines = (line for line in answer.iter_lines() if line)
        assert next(lines) == f"data: subscribe,{key},1"
        assert next(lines) == f"data: subscribe,{key}:2,2"
        assert httpx.post(
            f"{upstash.redis_url}/publish/{key}/hello?_token={upstash.redis_token}"
        ).json() == {"result": 1}  # fmt: skip
        assert next(lines) == f"data: message,{key},hello"


def test_psubscribe(upstash: LocalUpstash, rest: Rest, key: str) -> None:
    with rest.client.stream("GET", f"/psubscribe/{key}*", timeout=60) as answer:
        lines = (line for line in answer.iter_lines() if line)
        assert next(lines) == f"data: psubscribe,{key}*,1"
        httpx.post(upstash.redis_url, json=["PUBLISH", f"{key}x", "hé"], headers=rest.client.headers)
        assert next(lines) == f"data: pmessage,{key}*,{key}x,hé"


def test_body_above_every_limit_is_not_read(upstash: LocalUpstash) -> None:
    host, port = "127.0.0.1", int(upstash.redis_url.rsplit(":", 1)[1])
    with socket.create_connection((host, port), timeout=60) as connection:
        head = (
            f"POST / HTTP/1.1\r\nHost: {host}:{port}\r\nAuthorization: Bearer {upstash.redis_token}\r\n"
            f"Content-Length: {10**12}\r\n\r\n"
        )
        connection.sendall(head.encode())
        assert b" 413 " in connection.recv(200)


def test_unicode_everywhere(rest: Rest, key: str) -> None:
    text = "ключ 日本語 🎈 \u2028 \x00"
    rest.result("HSET", f"{key}:é", text, text)
    assert rest.result("HGETALL", f"{key}:é") == [text, text]
    assert json.loads(rest.post(["HGETALL", f"{key}:é"]).content) == {"result": [text, text]}
