"""What answers mean, how long anything is tried, what never stands in a message: on a port that answers by itself."""

from __future__ import annotations

import json
import re
from datetime import datetime, timezone
from email.utils import format_datetime
from typing import Any

import msgspec
import pytest

from eventsource_upstash import EventSourceError, Misuse, OutcomeUnknown, Receipt, Refused, Unavailable
from eventsource_upstash._io import blocking
from eventsource_upstash._io.port import HttpResponse
from eventsource_upstash._io.retrying import Budget, retry_after
from eventsource_upstash.backends.redis.replies import MAX_REQUEST_BYTES
from eventsource_upstash.backends.redis.transport import HttpTransport, Script
from eventsource_upstash.errors import TooLarge
from tests.faults.transport.server import TOKEN
from tests.faults.transport.support import SCRIPT, Said

URL = "https://eu1-good-fish-12345.upstash.example"
WHERE = "eu1-good-fish-12345.upstash.example"
UNREACHED = Unavailable("could not be reached; nothing was sent")
LOST = OutcomeUnknown("did not answer")


def result(value: object) -> HttpResponse:
    return HttpResponse(200, {"content-type": "application/json"}, json.dumps({"result": value}).encode())


def error(text: str, status: int = 400) -> HttpResponse:
    return HttpResponse(status, {"content-type": "application/json"}, json.dumps({"error": text}).encode())


def said(*answers: HttpResponse | Exception, takes: float = 0.0, **options: Any) -> tuple[Said, HttpTransport]:
    port = Said(*answers, takes=takes)
    return port, HttpTransport(port, URL, TOKEN, clock=port.clock, draw=lambda: 0.5, **options)


def commands(port: Said) -> list[list[str]]:
    return [json.loads(request.body) for request in port.sent]


def write(transport: HttpTransport, **options: Any) -> tuple[object, Receipt]:
    return blocking.run(transport.script(SCRIPT, ["todo:log:1", "todo:head"], [7, "first"], **options))


@pytest.mark.parametrize("value", ["text", "", "OK", 7, None, 2**63, [], ["a", 1, None, ["ü\U0001f600"]], "\\u0000"])
def test_a_result_comes_back_as_it_is(value: object) -> None:
    _, transport = said(result(value))
    assert blocking.run(transport.command("GET", "k"))[0] == value


def test_everything_is_sent_as_a_string() -> None:
    port, transport = said(result(1))
    blocking.run(transport.command("SET", "ü", 2**60, "a\n\0b"))
    assert commands(port) == [["SET", "ü", str(2**60), "a\n\0b"]]
    assert port.sent[0].headers["authorization"] == f"Bearer {TOKEN}"
    assert port.sent[0].url == URL


def test_the_times_of_a_request_are_within_the_times_of_the_call() -> None:
    port, transport = said(LOST, result(1), takes=12.0, connect_timeout=2.0, read_timeout=7.0)
    blocking.run(transport.command("GET", "k"))
    assert [(r.connect_timeout, r.read_timeout) for r in port.sent] == [(2.0, 7.0)] * 2
    assert [round(r.timeout, 3) for r in port.sent] == [20.0, 7.95]


REFUSALS = {
    "WRONGPASS invalid or missing auth token": "UPSTASH_REDIS_REST_TOKEN",
    "Unauthorized": "UPSTASH_REDIS_REST_TOKEN",
    "NOPERM this user has no permissions to run the 'evalsha' command or its subcommand": "read-only token",
    "ERR max requests limit exceeded. Limit: 500000, Usage: 500000. See https://upstash.com/docs": "quota",
    "ERR max daily request limit exceeded. Limit: 10000, Usage: 10000.": "quota",
    "ERR max single record size exceeded. Limit: 104857600 bytes": "raise the plan",
    "ERR DB capacity quota exceeded. Limit: 268435456 bytes": "database is full",
    "OOM command not allowed when used memory > 'maxmemory'.": "database is full",
    "ERR max key size exceeded. Limit: 32768 bytes": "Shorten the names",
    "WRONGTYPE Operation against a key holding the wrong kind of value": "namespace of its own.*'todo:log:1'",
}


@pytest.mark.parametrize(("text", "remedy"), REFUSALS.items())
@pytest.mark.parametrize(
    "wrapped",
    ["{}", "ERR Error running script: {}", "ERR Error running script (call to f_abc): @user_script:12: {}"],
)
@pytest.mark.parametrize("status", [200, 400, 401, 429, 500])
def test_a_refusal_is_not_tried_again_and_names_the_remedy(text: str, remedy: str, wrapped: str, status: int) -> None:
    port, transport = said(error(wrapped.format(text), status))
    with pytest.raises(Refused, match=f"(?s)^{re.escape(WHERE)}: script 'write': .*{remedy}") as caught:
        write(transport)
    assert len(port.sent) == 1
    assert port.slept == []
    assert not isinstance(caught.value, TooLarge)


def test_an_error_that_is_not_known_counts_by_its_status() -> None:
    for status in (200, 400, 404):
        with pytest.raises(Refused, match=r"FROB.*please report"):
            write(said(error("ERR unknown command 'FROB'", status))[1])
    with pytest.raises(Refused, match="UPSTASH_REDIS_REST_TOKEN"):
        write(said(error("who are you?", 401))[1])
    with pytest.raises(OutcomeUnknown):
        write(said(error("something went wrong", 500))[1])
    with pytest.raises(Unavailable):
        write(said(error("slow down", 429))[1])


@pytest.mark.parametrize("status", [401, 403, 407, 404, 405, 301, 413])
def test_a_page_with_a_status_that_stays_is_refused(status: int) -> None:
    port, transport = said(HttpResponse(status, {"content-type": "text/html; charset=utf-8"}, b"<html>"))
    with pytest.raises(Refused, match=rf"answered status {status} \(text/html\) \(1 attempt, .*nothing was written"):
        write(transport)
    assert len(port.sent) == 1


@pytest.mark.parametrize(
    "text",
    [
        "LOADING Redis is loading the dataset in memory",
        "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
        "READONLY You can't write against a read only replica.",
        "ERR Error running script: READONLY You can't write against a read only replica. script: abc",
        "CLUSTERDOWN The cluster is down",
    ],
)
def test_a_server_that_is_not_ready_is_tried_again(text: str) -> None:
    port, transport = said(error(text), error(text), result("OK"))
    value, receipt = write(transport, again=["repeat"])
    assert (value, receipt.requests, receipt.retries, len(port.slept)) == ("OK", 3, 2, 2)
    assert [command[-1] for command in commands(port)] == ["first"] * 3  # nothing was done: it is no repeat
    with pytest.raises(Unavailable, match=r"6 attempts.*nothing was written"):
        write(said(error(text))[1])


def test_nobody_there_is_tried_again_and_costs_nothing() -> None:
    port, transport = said(UNREACHED, UNREACHED, result(1))
    _, receipt = write(transport, again=["repeat"])
    assert (receipt.requests, receipt.commands, receipt.retries) == (1, 1, 0)
    assert [command[-1] for command in commands(port)] == ["first"] * 3
    with pytest.raises(Unavailable, match=r"could not be reached.*6 attempts.*nothing was written"):
        write(said(UNREACHED)[1])


def test_nobody_there_after_a_lost_answer_leaves_the_outcome_unknown() -> None:
    with pytest.raises(OutcomeUnknown, match="is not known"):
        write(said(LOST, UNREACHED)[1])


def test_pauses_grow_and_are_drawn() -> None:
    port, transport = said(UNREACHED, attempts=8)
    with pytest.raises(Unavailable):
        write(transport)
    assert port.slept == [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 1.6]
    port = Said(UNREACHED)
    with pytest.raises(Unavailable):
        write(HttpTransport(port, URL, TOKEN, clock=port.clock, draw=lambda: 0.0))
    assert port.slept == [0.0] * 5


def test_nothing_begins_after_the_time_is_over() -> None:
    port, transport = said(LOST, takes=8.0, total_timeout=20.0)
    with pytest.raises(OutcomeUnknown, match=r"3 attempts, 24\.\d s"):
        write(transport)
    assert [round(request.timeout, 2) for request in port.sent] == [20.0, 11.95, 3.85]


def test_a_transport_draws_its_pauses_at_random() -> None:
    slept = set()
    for _ in range(8):
        port = Said(UNREACHED, result(1))
        blocking.run(HttpTransport(port, URL, TOKEN, clock=port.clock).command("GET", "k"))
        slept.add(port.slept[0])
    assert len(slept) > 1
    assert all(0.0 <= pause < 0.1 for pause in slept)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("", 0.0),
        ("3", 3.0),
        (" 120 ", 120.0),
        ("-1", 0.0),
        ("soon", 0.0),
        ("9" * 400, 999999999.0),
        (format_datetime(datetime(2026, 1, 1, 0, 0, 30, tzinfo=timezone.utc), usegmt=True), 30.0),
        (format_datetime(datetime(2025, 1, 1, tzinfo=timezone.utc), usegmt=True), 0.0),
    ],
)
def test_retry_after_is_a_number_or_a_date(text: str, seconds: float) -> None:
    now = datetime(2026, 1, 1, tzinfo=timezone.utc).timestamp()
    assert retry_after({"retry-after": text}, lambda: now) == seconds


def test_a_budget_counts_its_attempts_and_its_time() -> None:
    port = Said(UNREACHED)
    budget = Budget(port, 10.0, 2, port.clock, lambda: 0.5)
    budget.tried += 1
    assert blocking.run(budget.pause(4.0))
    assert (round(budget.left, 3), round(budget.spent, 3)) == (5.95, 4.05)
    assert not blocking.run(budget.pause(6.0))
    budget.tried += 1
    assert not blocking.run(budget.pause())
    assert port.slept == [4.05]


def test_a_script_is_sent_by_its_name_and_whole_when_it_is_missing() -> None:
    port, transport = said(error("NOSCRIPT No matching script. Please use EVAL."), result("OK"))
    _, receipt = write(transport)
    keys_and_args = ["2", "todo:log:1", "todo:head", "7", "first"]
    assert commands(port) == [["EVALSHA", SCRIPT.sha, *keys_and_args], ["EVAL", SCRIPT.text, *keys_and_args]]
    assert (receipt.requests, receipt.commands, receipt.retries) == (2, 2, 0)
    assert receipt.bytes_sent == sum(len(request.body) for request in port.sent)
    assert port.slept == []


def test_the_steps_of_a_missing_script_are_one_attempt() -> None:
    port, transport = said(error("NOSCRIPT No matching script"), LOST, attempts=2)
    with pytest.raises(OutcomeUnknown, match="2 attempts"):
        write(transport)
    assert [command[0] for command in commands(port)] == ["EVALSHA", "EVAL", "EVAL"]


def test_a_script_that_is_missing_is_not_sent_when_the_time_is_over() -> None:
    port, transport = said(error("NOSCRIPT No matching script"), takes=20.0)
    with pytest.raises(Unavailable, match=r"no time left.*nothing was written"):
        write(transport)
    assert len(port.sent) == 1


@pytest.mark.parametrize(
    "text",
    [
        "ERR Unexpected flag in script shebang: allow-key-locking",
        "ERR Error compiling script (new function): user_script:1: unexpected symbol near '#'",
    ],
)
def test_the_first_line_is_dropped_once_and_for_all(text: str) -> None:
    missing = error("NOSCRIPT No matching script")
    port, transport = said(missing, error(text), result("OK"), missing, result("OK"), result("OK"))
    write(transport)
    other = Script("other", "#!lua flags=allow-key-locking\n\nreturn 1")
    blocking.run(transport.script(other, [], []))
    blocking.run(transport.script(other, [], []))
    assert [command[:2] for command in commands(port)] == [
        ["EVALSHA", SCRIPT.sha],
        ["EVAL", SCRIPT.text],
        ["EVAL", SCRIPT.plain],
        ["EVALSHA", other.plain_sha],
        ["EVAL", other.plain],
        ["EVALSHA", other.plain_sha],
    ]
    assert other.plain == "\n\nreturn 1"
    assert "#!" not in SCRIPT.plain


def test_a_script_without_a_first_line_stays_as_it_is() -> None:
    script = Script("plain", "return 1\n")
    assert (script.plain, script.plain_sha) == (script.text, script.sha)


def test_a_reading_script_that_gets_no_answer_is_unavailable() -> None:
    _, transport = said(LOST)
    with pytest.raises(Unavailable, match="nothing was written"):
        blocking.run(transport.script(Script("look", "return 1", reads=True), ["k"], []))


def test_a_request_that_is_too_large_is_not_sent() -> None:
    port, transport = said(result(1))
    fits = MAX_REQUEST_BYTES - len(msgspec.json.encode(["SET", "k", ""]))
    blocking.run(transport.command("SET", "k", "x" * fits))
    assert len(port.sent[0].body) == MAX_REQUEST_BYTES
    with pytest.raises(TooLarge, match="command SET") as caught:
        blocking.run(transport.command("SET", "k", "x" * (fits + 1)))
    assert (caught.value.size, caught.value.limit) == (MAX_REQUEST_BYTES + 1, MAX_REQUEST_BYTES)
    assert len(port.sent) == 1


def test_a_reply_that_is_too_large_is_told_from_other_refusals() -> None:
    port, transport = said(error("ERR max request size exceeded. Limit: 10485760 bytes, Actual: 12000000 bytes"))
    with pytest.raises(TooLarge, match="the request, or the reply to it") as caught:
        blocking.run(transport.command("MGET", "k"))
    assert caught.value.limit == 10_000_000
    assert len(port.sent) == 1


@pytest.mark.parametrize(
    "answer",
    [
        error(f"WRONGPASS no user has the token {TOKEN}", 401),
        error(f"ERR unknown command {TOKEN}"),
        error("x" * 5000),
        HttpResponse(502, {"content-type": "text/html"}, TOKEN.encode()),
        HttpResponse(200, {"content-type": TOKEN * 5}, b""),
    ],
)
def test_no_message_holds_the_token_or_everything_that_a_server_says(answer: HttpResponse) -> None:
    with pytest.raises(EventSourceError) as caught:
        write(said(answer)[1])
    assert TOKEN not in str(caught.value)
    assert len(str(caught.value)) < 700
    assert WHERE in str(caught.value)


def test_a_transport_does_not_show_its_token() -> None:
    _, transport = said(result(1))
    assert repr(transport) == f"HttpTransport('{WHERE}')"


@pytest.mark.parametrize(
    ("url", "token", "told"),
    [
        ("", "t", "no URL"),
        ("redis://host:6379", "t", "'redis'"),
        ("https://", "t", "no URL"),
        ("https://host:99999", "t", "no URL"),
        ("https://[half", "t", "no URL"),
        ("https://user:secret-word@host", "t", "password"),
        ("https://host/?_token=secret-word", "t", "query"),
        ("https://host\n", "t", "no URL"),
        ("https://host", "", "empty"),
        ("https://host", "secret-word\n", "no token"),
        ("https://host", "secret-word x", "no token"),
        ("https://host", "secret-word…", "no token"),
    ],
)
def test_what_cannot_be_url_or_token_is_told_without_repeating_it(url: str, token: str, told: str) -> None:
    with pytest.raises(Misuse, match=told) as caught:
        HttpTransport(Said(result(1)), url, token)
    assert "secret-word" not in str(caught.value)


@pytest.mark.parametrize(
    "options", [{"connect_timeout": 0}, {"read_timeout": -1}, {"total_timeout": float("nan")}, {"attempts": 0}]
)
def test_times_that_are_none_are_misuse(options: dict[str, Any]) -> None:
    with pytest.raises(Misuse):
        said(result(1), **options)


def test_a_slash_at_the_end_of_the_url_does_not_matter() -> None:
    port = Said(result(1))
    blocking.run(HttpTransport(port, f"{URL}/", TOKEN).command("PING"))
    assert port.sent[0].url == URL
