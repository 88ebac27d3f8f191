"""The meter against what the engine itself saw."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from eventsource_upstash.local import LocalUpstash
from eventsource_upstash.local.redis.wire import Address, Connection, Reply, Status
from tests.local.conftest import Rest

COMMANDS = [
    ["SET", "{k}", "1"],
    ["GET", "{k}"],
    ["MSET", "{k}1", "a", "{k}2", "b"],
    ["MGET", "{k}1", "{k}2"],
    ["HSET", "{k}h", "a", "1", "b", "2"],
    ["HGETALL", "{k}h"],
    ["XADD", "{k}x", "*", "f", "v"],
    ["XRANGE", "{k}x", "-", "+"],
    ["LPUSH", "{k}", "wrong type"],
    ["ZADD", "{k}z", "1", "m"],
    ["DEL", "{k}", "{k}1", "{k}2", "{k}h", "{k}x", "{k}z"],
]


async def _statistics(url: str) -> Counter[str]:
    connection = await Connection.open(Address.parse(url))
    reply = await connection.call((b"INFO", b"commandstats"))
    connection.close()
    assert isinstance(reply, bytes)
    found = re.findall(rb"cmdstat_([^:|]+)(?:\|[^:]+)?:calls=(\d+)", reply)
    return Counter({name.decode().upper(): int(calls) for name, calls in found})


def statistics(upstash: LocalUpstash) -> Counter[str]:
    return asyncio.run(_statistics(upstash.engine_url))


def test_plain_commands_are_counted_as_the_engine_counts_them(caller: str) -> None:
    with LocalUpstash() as own:  # nobody else's commands among the engine's
        rest = Rest(own, caller)
        with rest.client:
            rest.result("PING")
            before = statistics(own)
            commands = [[word.format(k="k") for word in command] for command in COMMANDS]
            for command in commands:
                rest.post(command)
            rest.pipeline(*commands)
            rest.post(commands, "/multi-exec")
            seen = statistics(own) - before
        counted = rest.counted()
        for name in {command[0] for command in commands}:
            assert counted[f"command:{name}"] == seen[name] == 3 * sum(command[0] == name for command in commands), name
        assert counted["commands"] == 3 * len(commands) + 1
        assert counted["requests"] == len(commands) + 3


def test_calls_inside_scripts_are_counted_as_the_engine_counts_them(caller: str) -> None:
    script = (
        "for i = 1, tonumber(ARGV[1]) do redis.call('RPUSH', KEYS[1], i) end "
        "if redis.call('LLEN', KEYS[1]) > 3 then redis.pcall('INCR', KEYS[1]) end "
        "return redis.call('LRANGE', KEYS[1], 0, -1)"
    )
    with LocalUpstash() as own:
        rest = Rest(own, caller)
        with rest.client:
            before = statistics(own)
            for n in (1, 2, 7):
                rest.result("EVAL", script, 1, f"list{n}", n)
                rest.result("EVAL", "#!lua flags=allow-key-locking\n" + script, 1, f"locked{n}", n)
            seen = statistics(own) - before
        counted = rest.counted()
        for name in ("RPUSH", "LLEN", "INCR", "LRANGE"):
            assert counted[f"command:{name}"] == seen[name], name
        assert counted["commands"] == 6 + sum(seen[name] for name in ("RPUSH", "LLEN", "INCR", "LRANGE"))


def test_refused_requests_cost_no_commands(rest: Rest, key: str) -> None:
    rest.post(["SET", key, None])
    rest.post(["AUTH", "x"])
    rest.post(["NOSUCHCOMMAND"])
    counted = rest.counted()
    assert (counted["requests"], counted.get("commands", 0), counted["errors"]) == (3, 0, 3)


@pytest.mark.parametrize("path", ["/", "/pipeline", "/multi-exec"])
def test_a_script_that_is_to_be_sent_is_no_error(rest: Rest, key: str, path: str) -> None:
    asked: list[object] = ["EVALSHA", "0" * 40, 1, key]
    rest.post(asked if path == "/" else [asked], path)
    counted = rest.counted()
    assert (counted["requests"], counted["commands"], counted["command:EVALSHA"]) == (1, 1, 1)
    assert (counted["scripts_sent"], counted.get("errors", 0)) == (1, 0)
    assert not [name for name in counted if name.startswith("command:") and name != "command:EVALSHA"]


def test_commands_that_fail_are_billed(rest: Rest, key: str) -> None:
    rest.error("GET", key, "too", "many")
    assert rest.counted()["commands"] == 1


def test_bytes(rest: Rest, key: str) -> None:
    body = f'["SET", "{key}", "éé"]'.encode()
    answer = rest.post(body)
    counted = rest.counted()
    assert (counted["bytes_in"], counted["bytes_out"]) == (len(body), len(answer.content))


def test_callers_are_told_apart_by_header_and_by_token(upstash: LocalUpstash, rest: Rest, key: str) -> None:
    rest.result("GET", key)
    rest.post(["GET", key], headers={"X-Dev-Caller": f"{rest.caller}.header"})
    rest.post(["GET", key], headers={"X-Dev-Caller": "no name at all"})
    metrics = upstash.metrics()["redis"]
    assert metrics[rest.caller]["requests"] == 1
    assert metrics[f"{rest.caller}.header"]["requests"] == 1
    assert "no name at all" not in metrics


def test_total_is_the_sum_also_under_threads(caller: str) -> None:
    with LocalUpstash() as own:

        def work(n: int) -> None:
            headers = {"Authorization": f"Bearer {own.token_for(f'{caller}.{n}')}"}
            with httpx.Client(base_url=own.redis_url, headers=headers) as client:
                for _ in range(25):
                    client.post(
                        "/pipeline", json=[["INCR", "n"], ["EVAL", "return redis.call('GET', KEYS[1])", 1, "n"]]
                    )

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(work, range(8)))
        metrics = own.metrics()["redis"]
        assert [metrics[f"{caller}.{n}"]["commands"] for n in range(8)] == [75] * 8
        assert (metrics["total"]["commands"], metrics["total"]["requests"]) == (600, 200)
        own.reset_metrics()
        assert own.metrics()["redis"] == {"total": {}}


def test_metrics_over_http(upstash: LocalUpstash, rest: Rest, key: str) -> None:
    rest.result("GET", key)
    for url in (upstash.redis_url, upstash.qstash_url, upstash.kafka.url):
        metrics = httpx.get(f"{url}/dev/metrics").json()
        assert metrics["redis"][rest.caller]["command:GET"] == 1
        assert set(metrics) == {"redis", "qstash", "kafka"}


def test_transactions_are_isolated(upstash: LocalUpstash, key: str) -> None:
    """Every transaction sees its own commands only, in its own answer and on the engine."""

    def work(n: int) -> None:
        headers = {"Authorization": f"Bearer {upstash.redis_token}"}
        with httpx.Client(base_url=upstash.redis_url, headers=headers) as client:
            for turn in range(30):
                mine = f"{n}:{turn}"
                commands = [["SET", key, mine], ["ECHO", mine], ["GET", key], ["APPEND", key, "!"], ["GET", key]]
                answer = client.post("/multi-exec", json=commands).json()
                results = [each["result"] for each in answer]
                assert results == ["OK", mine, mine, len(mine) + 1, f"{mine}!"]
                # In between: what could get into another's transaction on a shared connection.
                assert client.post("/", json=["SET", key, f"intruder {n}"]).json() == {"result": "OK"}
                assert client.post("/multi-exec", json=[["SET", key, "x"], ["GET"]]).status_code == 400

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))


async def _monitored(upstash: LocalUpstash, key: str) -> list[str]:
    lines: asyncio.Queue[Reply] = asyncio.Queue()
    connection = await Connection.open(Address.parse(upstash.engine_url), lines.put_nowait)
    assert await connection.call((b"MONITOR",)) == b"OK"
    headers = {"Authorization": f"Bearer {upstash.redis_token}"}
    async with httpx.AsyncClient(base_url=upstash.redis_url, headers=headers) as client:
        transaction = [["SET", key, str(n)] for n in range(5)]
        await asyncio.gather(
            *(client.post("/multi-exec", json=transaction) for _ in range(20)),
            *(client.post("/", json=["GET", key]) for _ in range(50)),
        )
        await client.post("/", json=["ECHO", f"end {key}"])
    seen: list[str] = []
    while not seen or f"end {key}" not in seen[-1]:
        line = await lines.get()
        assert isinstance(line, Status)
        seen.append(line.decode())
    connection.close()
    return seen


def test_nobody_gets_between_multi_and_exec(upstash: LocalUpstash, key: str) -> None:
    verbs = [line.split('"')[1].upper() for line in asyncio.run(_monitored(upstash, key))]
    starts = [n for n, verb in enumerate(verbs) if verb == "MULTI"]
    assert len(starts) == 20
    assert verbs.count("GET") == 50
    for start in starts:
        assert verbs[start : start + 7] == ["MULTI", "SET", "SET", "SET", "SET", "SET", "EXEC"]
