"""Requests and answers that are lost, cut off, late or somebody else's: on real sockets, in both colours."""

from __future__ import annotations

import pytest

from eventsource_upstash import OutcomeUnknown, Receipt, Refused, Unavailable
from tests.faults.driving import Colour
from tests.faults.transport import server as acts
from tests.faults.transport.server import TOKEN, Act, Exchange, Server
from tests.faults.transport.support import SCRIPT, Driven, stepped

UNANSWERED: dict[str, Act] = {
    "the request is lost": acts.lose_request,
    "the answer is lost": acts.lose_answer,
    "the connection is reset": acts.reset,
    "the answer is cut off": acts.cut_off,
    "the answer is cut off in its head": acts.cut_off_head,
    "the answer is half a JSON value": acts.half_json,
    "the answer is no JSON": acts.no_json,
    "the answer is another JSON": acts.other_json,
    "the answer is no HTTP": acts.no_http,
    "the answer cannot be unpacked": acts.bad_gzip,
    "a proxy answers 500": acts.proxy_page(500),
    "a proxy answers 502": acts.proxy_page(502),
    "a proxy answers 503": acts.proxy_page(503, done=False),
    "a proxy answers 504": acts.proxy_page(504),
    "a proxy answers a page with status 200": acts.proxy_page(200, done=False),
    "the server answers 500": acts.error("ERR internal error", 500),
}


@pytest.fixture(params=UNANSWERED.values(), ids=UNANSWERED.keys())
def fault(request: pytest.FixtureRequest) -> Act:
    act: Act = request.param
    return act


def test_a_write_without_an_answer_is_sent_again_as_a_repeat(server: Server, colour: Colour, fault: Act) -> None:
    server.acts = [fault]
    result, receipt = Driven(colour, server.url).script(["k"], ["first"], again=["repeat"])
    assert result == ["EVALSHA", SCRIPT.sha, "1", "k", "repeat"]
    assert [command[-1] for command in server.commands] == ["first", "repeat"]
    assert (receipt.requests, receipt.commands, receipt.retries) == (2, 2, 1)
    assert receipt.bytes_sent == sum(len(each.body) for each in server.seen)


def test_a_write_that_is_never_answered_has_an_unknown_outcome(server: Server, colour: Colour, fault: Act) -> None:
    server.otherwise = fault
    driven = Driven(colour, server.url, attempts=3)
    with pytest.raises(OutcomeUnknown, match=r"^127\.0\.0\.1: script 'write': .*3 attempts.* is not known") as caught:
        driven.script(["k"], ["first"], again=["repeat"])
    assert TOKEN not in str(caught.value)
    assert [command[-1] for command in server.commands] == ["first", "repeat", "repeat"]
    assert driven.port.slept == [0.05, 0.1]  # half of what a pause is at most, as it was drawn


def test_a_read_that_is_never_answered_is_unavailable(server: Server, colour: Colour, fault: Act) -> None:
    server.otherwise = fault
    with pytest.raises(Unavailable, match="nothing was written"):
        Driven(colour, server.url, attempts=2).command("MGET", "k")


def test_one_attempt_is_one_request(server: Server, colour: Colour, fault: Act) -> None:
    server.otherwise = fault
    with pytest.raises(OutcomeUnknown, match="1 attempt"):
        Driven(colour, server.url, attempts=1).command("SET", "k", "v")
    assert len(server.seen) == 1


@pytest.mark.parametrize("quiet", [acts.keep_waiting, acts.drip], ids=["silent", "a drip"])
def test_a_server_that_takes_too_long_is_given_up(server: Server, colour: Colour, quiet: Act) -> None:
    driven = Driven(colour, server.url)

    def with_patience_next_time(exchange: Exchange) -> None:
        driven.transport._read_timeout = 10.0
        driven.port.now -= 20.0
        quiet(exchange)

    async def hurried() -> tuple[object, Receipt]:
        await driven.transport.command("GET", "k")  # from here on the connection is there
        server.acts = [with_patience_next_time]
        if quiet is acts.drip:
            driven.transport._total_timeout = 0.3
        else:
            driven.transport._read_timeout = 0.05
        return await driven.transport.script(SCRIPT, ["k"], ["first"], again=["repeat"])

    result, receipt = stepped(colour, hurried())
    assert result == ["EVALSHA", SCRIPT.sha, "1", "k", "repeat"]
    assert receipt.retries == 1
    assert sorted(command[-1] for command in server.applied) == ["first", "k", "repeat"]


def test_too_many_requests_are_sent_later_and_were_not_done(server: Server, colour: Colour) -> None:
    server.acts = [acts.proxy_page(429, done=False, retry_after="2")] * 2
    driven = Driven(colour, server.url)
    result, receipt = driven.script(["k"], ["first"], again=["repeat"])
    assert result == ["EVALSHA", SCRIPT.sha, "1", "k", "first"]
    assert driven.port.slept == [2.05, 2.1]
    assert (receipt.requests, receipt.retries) == (3, 2)


def test_too_many_requests_for_too_long_are_unavailable(server: Server, colour: Colour) -> None:
    server.otherwise = acts.proxy_page(429, done=False, retry_after="15")
    driven = Driven(colour, server.url)
    with pytest.raises(Unavailable, match=r"status 429 .*2 attempts, 15\.\d s\); nothing was written"):
        driven.script(["k"], ["first"])
    assert driven.port.slept == [15.05]  # another such pause does not fit into the 20 seconds


def test_after_a_lost_answer_a_refusal_is_no_answer_either(server: Server, colour: Colour) -> None:
    server.acts = [acts.lose_answer, acts.error("ERR max requests limit exceeded. Limit: 500000, Usage: 500000")]
    with pytest.raises(OutcomeUnknown, match=r"before it was written is not known.*quota"):
        Driven(colour, server.url).script(["k"], ["first"], again=["repeat"])
    assert len(server.seen) == 2  # a quota is never tried again


def test_after_a_lost_answer_a_read_may_be_refused(server: Server, colour: Colour) -> None:
    server.acts = [acts.lose_answer, acts.error("ERR max requests limit exceeded. Limit: 500000, Usage: 500000")]
    with pytest.raises(Refused, match="quota"):
        Driven(colour, server.url).command("MGET", "k")


def test_a_redirect_is_not_followed(server: Server, colour: Colour) -> None:
    with Server() as elsewhere:
        server.acts = [acts.proxy_page(308, done=False, location=f"{elsewhere.url}/")]
        with pytest.raises(Refused, match=r"status 308.*Check UPSTASH_REDIS_REST_URL"):
            Driven(colour, server.url).command("GET", "k")
        assert not elsewhere.seen  # where the token would have gone


def test_a_lost_script_is_sent_whole_with_the_arguments_of_a_repeat(server: Server, colour: Colour) -> None:
    server.acts = [acts.lose_answer, acts.error("NOSCRIPT No matching script. Please use EVAL.")]
    result, receipt = Driven(colour, server.url).script(["k"], ["first"], again=["repeat"])
    assert result == ["EVAL", SCRIPT.text, "1", "k", "repeat"]
    assert (receipt.requests, receipt.commands, receipt.retries) == (3, 3, 1)
