"""Each fault does what it says, as often as it was told, and to whom it was told."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from eventsource_upstash import Refused
from eventsource_upstash._io.port import HttpResponse
from eventsource_upstash.backends.qstash.answers import meaning
from eventsource_upstash.local import Faults, LocalUpstash
from eventsource_upstash.local.faults import KINDS
from eventsource_upstash.local.qstash.clock import Clock
from tests.local.conftest import Rest


@pytest.fixture(scope="module")
def faulty() -> Iterator[LocalUpstash]:
    with LocalUpstash() as running:  # of its own: nobody else is to be struck
        yield running


@pytest.fixture
def struck(faulty: LocalUpstash, caller: str) -> Iterator[Rest]:
    rest = Rest(faulty, caller)
    faulty.faults.clear()
    with rest.client:
        yield rest
    faulty.faults.clear()


def test_lose_request(struck: Rest, key: str) -> None:
    fault = struck.upstash.faults.add("lose-request", command="incr")
    with pytest.raises(httpx.TransportError):
        struck.post(["INCR", key])
    assert fault.struck == 1
    assert struck.result("GET", key) is None
    assert struck.result("INCR", key) == 1


def test_lose_answer(struck: Rest, key: str) -> None:
    struck.upstash.faults.add("lose-answer", command="INCR")
    with pytest.raises(httpx.TransportError):
        struck.post(["INCR", key])
    assert struck.result("GET", key) == "1"
    assert struck.counted()["command:INCR"] == 1


def test_duplicate(struck: Rest, key: str) -> None:
    struck.upstash.faults.add("duplicate")
    assert struck.result("INCR", key) == 2
    assert struck.result("INCR", key) == 3


def test_delay_and_slow_answer_change_nothing_but_time(struck: Rest, key: str) -> None:
    struck.upstash.faults.add("delay", seconds=0.001)
    struck.upstash.faults.add("slow-answer", seconds=0.001)
    assert struck.result("SET", key, "v" * 1000) == "OK"
    assert struck.result("GET", key) == "v" * 1000
    assert struck.upstash.faults.active() == []


def test_delay_is_as_long_as_it_is_told(struck: Rest, key: str) -> None:
    struck.upstash.faults.add("delay", seconds=3600)
    with pytest.raises(httpx.ReadTimeout):
        struck.client.post("/", json=["SET", key, "v"], timeout=0.2)
    assert struck.result("EXISTS", key) == 0


def test_cut_answer(struck: Rest, key: str) -> None:
    struck.result("SET", key, "v" * 1000)
    struck.upstash.faults.add("cut-answer")
    with struck.client.stream("POST", "/", json=["GET", key]) as answer:
        assert answer.status_code == 200
        length = int(answer.headers["Content-Length"])
        pieces: list[bytes] = []
        with pytest.raises(httpx.RemoteProtocolError):
            pieces.extend(answer.iter_raw())
        assert 0 < answer.num_bytes_downloaded < length


@pytest.mark.parametrize(
    ("kind", "status", "kept"),
    [("error-500", 500, "<html>"), ("error-429", 429, "Too Many"), ("quota", 400, "ERR max")],
)
def test_statuses(struck: Rest, key: str, kind: str, status: int, kept: str) -> None:
    struck.upstash.faults.add(kind)
    answer = struck.post(["SET", key, "v"])
    assert answer.status_code == status
    assert kept in answer.text
    assert struck.result("EXISTS", key) == 0


def test_quota_in_the_words_of_the_service(struck: Rest) -> None:
    struck.upstash.faults.add("quota")
    error = struck.post([["GET", "k"]], "/pipeline").json()["error"]
    # As users of the service report it.
    assert error.startswith("ERR max requests limit exceeded. Limit: 500000, Usage: 500000.")


def test_database_full_refuses_what_grows_it_and_nothing_else(struck: Rest, key: str) -> None:
    struck.result("SET", key, "v")
    struck.upstash.faults.add("database-full", count=None)
    full = "ERR DB capacity quota exceeded"
    assert struck.error("SET", key, "w").startswith(full)
    assert struck.error("EVAL", "return redis.call('SET', KEYS[1], 'w')", 1, key).startswith(full)
    assert struck.pipeline(["APPEND", key, "w"], ["GET", key])[1] == {"result": "v"}
    assert struck.result("DEL", key) == 1


FULL = "ERR DB capacity quota exceeded"
LOCKING = "#!lua flags=allow-key-locking\n"


@pytest.mark.parametrize("shebang", ["", LOCKING])
def test_a_script_that_reads_goes_on_when_the_database_is_full(struck: Rest, key: str, shebang: str) -> None:
    struck.result("SET", key, "v")
    fault = struck.upstash.faults.add("database-full")
    reads = f"{shebang}return redis.call('GET', KEYS[1])"
    assert struck.result("EVAL", reads, 1, key) == "v"
    assert struck.result("EVALSHA", struck.result("SCRIPT", "LOAD", reads), 1, key) == "v"
    assert struck.post([["EVAL", reads, 1, key]], "/multi-exec").json() == [{"result": "v"}]
    assert struck.result("EVAL", f"{shebang}return redis.call('DEL', KEYS[1])", 1, key) == 1
    assert (fault.struck, fault.count, struck.upstash.faults.active()) == (0, 1, [fault])
    assert struck.error("EVAL", f"{shebang}return redis.call('set', KEYS[1], 'w')", 1, key).startswith(FULL)
    assert (fault.struck, struck.upstash.faults.active()) == (1, [])


@pytest.mark.parametrize("shebang", ["", LOCKING])
def test_a_script_sees_that_the_database_is_full_at_the_call_that_writes(struck: Rest, key: str, shebang: str) -> None:
    struck.upstash.faults.add("database-full", count=None)
    script = shebang + (
        "local has = redis.call('EXISTS', KEYS[1]) "
        "local ok, raised = pcall(redis.call, 'SET', KEYS[1], 'w') "
        "local told = redis.pcall('APPEND', KEYS[1], 'w') "
        "return {has, tostring(ok), tostring(raised), told.err, redis.call('EXISTS', KEYS[1])}"
    )
    before = struck.counted().get("commands", 0)
    for answer in (struck.post(["EVAL", script, 1, key]), struck.post([["EVAL", script, 1, key]], "/multi-exec")):
        body = answer.json()
        has, ok, raised, told, at_the_end = (body if isinstance(body, dict) else body[0])["result"]
        assert (has, ok, at_the_end) == (0, "false", 0)
        assert raised.startswith(FULL)
        assert told.startswith(FULL)
    assert struck.counted()["commands"] - before == 6, "what was refused was billed"
    half = shebang + "redis.call('DEL', KEYS[1]) redis.call('SET', KEYS[1], 1)"
    refused = struck.post([["EVAL", half, 1, key]], "/pipeline").json()
    assert refused[0]["error"].startswith(FULL)


def test_a_fault_that_is_spared_after_it_was_taken_back_stays_away() -> None:
    faults = Faults()
    fault = faults.add("database-full")
    assert faults.take("redis", ("database-full",)) is fault
    faults.spare(fault)
    assert (faults.active(), fault.struck, fault.count) == ([fault], 0, 1)
    assert faults.take("redis", ("database-full",)) is fault
    faults.clear()
    faults.spare(fault)
    assert faults.active() == []


def test_only_what_matches_is_struck(struck: Rest, key: str) -> None:
    faults = struck.upstash.faults
    faults.add("error-500", command="SET", count=None)
    faults.add("error-429", path="/pipeline", count=None)
    faults.add("quota", half="qstash", count=None)
    assert struck.post(["GET", key]).status_code == 200
    assert struck.post(["set", key, "v"]).status_code == 500
    assert struck.client.get(f"/SET/{key}/v").status_code == 500
    assert struck.post([["GET", key]], "/pipeline").status_code == 429
    assert struck.post([["GET", key], ["SET", key, "v"]], "/multi-exec").status_code == 500


def test_count_and_skip(struck: Rest, key: str) -> None:
    fault = struck.upstash.faults.add("error-500", skip=1, count=2)
    assert [struck.post(["INCR", key]).status_code for _ in range(5)] == [200, 500, 500, 200, 200]
    assert fault.struck == 2


def test_the_same_seed_strikes_the_same_requests(struck: Rest, key: str) -> None:
    def run(seed: int) -> list[int]:
        fault = struck.upstash.faults.add("error-500", probability=0.5, seed=seed, count=None)
        statuses = [struck.post(["GET", key]).status_code for _ in range(40)]
        struck.upstash.faults.remove(fault.id)
        return statuses

    first = run(1)
    assert set(first) == {200, 500}
    assert run(1) == first
    assert run(2) != first


def test_faults_over_http(struck: Rest, key: str) -> None:
    url = f"{struck.upstash.redis_url}/dev/faults"
    added = httpx.post(url, json={"kind": "error-500", "command": "GET", "count": 2})
    assert added.status_code == 201
    assert struck.post(["GET", key]).status_code == 500
    listed = httpx.get(url).json()
    assert [(fault["kind"], fault["count"], fault["struck"]) for fault in listed["faults"]] == [("error-500", 1, 1)]
    assert listed["kinds"].keys() == KINDS.keys()
    assert httpx.delete(url, params={"id": added.json()["id"]}).json() == {"faults": []}
    assert httpx.delete(url, params={"id": added.json()["id"]}).status_code == 404
    assert struck.post(["GET", key]).status_code == 200
    for bad in ({"kind": "nonsense"}, {}, {"kind": "delay", "count": "many"}, [1]):
        assert httpx.post(url, json=bad).status_code == 400
    unknown = httpx.post(url, json={"kind": "delay", "times": 3})
    assert unknown.status_code == 400
    assert "`times`" in unknown.json()["error"]
    assert "kind, half, path, command, count, skip, probability, seed, seconds" in unknown.json()["error"]
    assert httpx.get(url).json()["faults"] == []
    httpx.post(url, json={"kind": "delay"})
    assert httpx.delete(url).json() == {"faults": []}


def test_unknown_kind() -> None:
    with pytest.raises(ValueError, match="lose-answer"):
        Faults().add("nonsense")


def test_the_quota_of_qstash_begins_anew_at_the_next_midnight() -> None:
    noon = 1_795_262_400_000  # 2026-11-21 12:00 UTC
    with LocalUpstash(clock=Clock(frozen_at=noon)) as upstash:
        upstash.faults.add("quota", half="qstash", count=None)
        headers = {"Authorization": f"Bearer {upstash.environment()['QSTASH_TOKEN']}"}
        answer = httpx.post(f"{upstash.qstash_url}/v2/publish/http://127.0.0.1:9/x", headers=headers)
    assert (answer.status_code, answer.headers["RateLimit-Reset"]) == (429, "1795305600")
    said = meaning(HttpResponse(answer.status_code, dict(answer.headers), answer.content), "")
    assert isinstance(said, Refused)
    assert "limit 1000, anew at 2026-11-22 00:00 UTC" in str(said)


def test_lost_answer_of_qstash(faulty: LocalUpstash, struck: Rest) -> None:
    headers = {"Authorization": f"Bearer {faulty.environment()['QSTASH_TOKEN']}", "Upstash-Delay": "1h"}
    before = len(faulty.qstash.broker.store.messages)
    faulty.faults.add("lose-answer", half="qstash")
    with pytest.raises(httpx.TransportError):
        httpx.post(f"{faulty.qstash_url}/v2/publish/http://127.0.0.1:9/x", headers=headers, content=b"{}")
    assert len(faulty.qstash.broker.store.messages) == before + 1
