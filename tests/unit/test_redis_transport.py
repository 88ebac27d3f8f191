"""Several scripts in one request, whose answers are the primary's, what failures say: by a server that answers so."""

from __future__ import annotations

import contextvars
import json
from collections.abc import Callable
from typing import Any

import pytest

from eventsource_upstash import OutcomeUnknown, Receipt, Refused, Unavailable
from eventsource_upstash._io.port import HttpResponse
from eventsource_upstash.backends.redis import replies, sync_tokens
from eventsource_upstash.backends.redis.replies import Refusal, Reply
from eventsource_upstash.backends.redis.scripts import Script
from eventsource_upstash.backends.redis.sync_tokens import SyncTokens
from eventsource_upstash.backends.redis.transport import ATTEMPTS, HttpTransport
from eventsource_upstash.backends.sending import Trouble
from eventsource_upstash.errors import TooLarge
from tests.faults.transport.support import SCRIPT, Said
from tests.unit.answering import LOST, Answering, run
from tests.unit.test_http_replies import LOST as NO_ANSWER
from tests.unit.test_http_replies import URL, WHERE, error, result, said

SYNC = "upstash-sync-token"
LOOK = Script("look", "return 1", reads=True)
CALLS = [(["a", "b"], [1, "x"]), (["c"], [2])]


def several(*answers: object) -> HttpResponse:
    return HttpResponse(200, {SYNC: "t1"}, json.dumps(list(answers)).encode())


def alone(work: Callable[[], None]) -> None:
    """As a caller of its own, who has seen nothing."""
    contextvars.copy_context().run(work)


class TestSeveral:
    """A script that is run several times in one request."""

    def test_each_has_its_result_and_one_that_was_refused_none(self) -> None:
        port, transport = said(several({"result": ["ok", 1]}, {"error": "OOM"}))
        results, receipt = run(transport.scripts(SCRIPT, CALLS))
        assert results == [["ok", 1], None]
        (sent,) = port.sent
        assert (sent.method, sent.url) == ("POST", f"{URL}/pipeline")
        commands = [["EVALSHA", SCRIPT.sha, "2", "a", "b", "1", "x"], ["EVALSHA", SCRIPT.sha, "1", "c", "2"]]
        assert json.loads(sent.body) == commands
        answered = len(several({"result": ["ok", 1]}, {"error": "OOM"}).body)
        assert receipt == Receipt(1, 2, len(sent.body), answered, 0)

    def test_where_the_first_line_is_refused_it_is_called_by_the_other_name(self) -> None:
        missing, refused = error("NOSCRIPT No matching script"), error("ERR Unexpected flag in script shebang: x")
        port, transport = said(missing, refused, result("OK"), several({"result": 1}))
        run(transport.script(SCRIPT, ["k"], []))
        run(transport.scripts(SCRIPT, CALLS[:1]))
        assert json.loads(port.sent[-1].body)[0][1] == SCRIPT.plain_sha

    def test_it_is_not_sent_again_when_it_may_have_been_done(self) -> None:
        port, transport = said(NO_ANSWER, several({"result": 1}))
        told = rf"{WHERE}: script 'write', 2 times: .*1 attempt, .*It was not sent again, since it would count twice"
        with pytest.raises(OutcomeUnknown, match=told):
            run(transport.scripts(SCRIPT, CALLS))
        assert len(port.sent) == 1

    def test_it_is_sent_again_when_it_was_not_done(self) -> None:
        _, transport = said(Unavailable("not there"), error("LOADING"), several({"result": 1}, {"result": 2}))
        results, receipt = run(transport.scripts(SCRIPT, CALLS))
        assert results == [1, 2]
        assert (receipt.requests, receipt.commands, receipt.retries) == (2, 4, 1)

    def test_one_that_reads_is_unavailable(self) -> None:
        with pytest.raises(Unavailable):
            run(said(NO_ANSWER)[1].scripts(LOOK, CALLS))

    def test_a_refusal_of_all_of_it_is_raised(self) -> None:
        with pytest.raises(Refused, match=r"script 'write', 2 times: the server refused it: .*Check the token"):
            run(said(error("WRONGPASS no", 401))[1].scripts(SCRIPT, CALLS))

    @pytest.mark.parametrize("answer", [several({"result": 1}), several({"result": 1}, {"result": 2}, {"result": 3})])
    def test_an_answer_to_something_else_is_none(self, answer: HttpResponse) -> None:
        with pytest.raises(OutcomeUnknown):
            run(said(answer)[1].scripts(SCRIPT, CALLS))

    @pytest.mark.parametrize(
        ("status", "body", "outcome"),
        [
            (200, b'[{"result":1},{"error":"no"}]', [Reply(1), Refusal("no")]),
            (400, b'{"error":"ERR no"}', Refusal("ERR no")),
            (200, b'{"result":1}', Trouble),
            (299, b'[{"result":1},{"result":2}]', [Reply(1), Reply(2)]),
            (300, b'[{"result":1},{"result":2}]', Trouble),
            (199, b'[{"result":1},{"result":2}]', Trouble),
            (500, b'[{"result":1},{"result":2}]', Trouble),
            (200, b'[{"result":1}]', Trouble),
            (200, b"no JSON", Trouble),
            (200, b"[" * 100_000, Trouble),
            (200, b"\xff", Trouble),
        ],
    )
    def test_what_an_answer_says_of_each(self, status: int, body: bytes, outcome: object) -> None:
        found = replies.read_many(status, {}, body, 2)
        assert isinstance(found, Trouble) if outcome is Trouble else found == outcome


class TestAnswers:
    """What an answer says about the one command that was sent."""

    @pytest.mark.parametrize(
        ("status", "body", "outcome"),
        [
            (200, b'{"result":null}', Reply(None)),
            (299, b'{"result":1}', Reply(1)),
            (300, b'{"result":1}', None),
            (199, b'{"result":1}', None),
            (200, b"{}", None),
            (200, b"no JSON", None),
            (200, b"[" * 100_000, None),
            (200, b'{"error":"ERR no"}', Refusal("ERR no")),
            (400, b'{"error":"ERR no"}', Refusal("ERR no")),
            (499, b'{"error":"ERR no"}', Refusal("ERR no")),
            (500, b'{"error":"ERR no"}', None),
            (500, b'{"error":"OOM"}', Refusal("OOM")),
            (500, b'{"error":"NOSCRIPT"}', Refusal("NOSCRIPT")),
            (401, b'{"error":"who"}', Refusal("WRONGPASS who")),
            (401, b'{"error":"NOPERM"}', Refusal("NOPERM")),
            (402, b'{"error":"who"}', Refusal("who")),
            (429, b'{"error":"slow"}', None),
            (429, b'{"error":"OOM"}', Refusal("OOM")),
            (428, b'{"error":"slow"}', Refusal("slow")),
            (200, b'{"error":7,"result":1}', Reply(1)),
            (500, b'{"error":"x in script shebang"}', Refusal("x in script shebang")),
            (500, b'{"error":"compiling script near \'#\'"}', Refusal("compiling script near '#'")),
            (500, b'{"error":"compiling script"}', None),
            (500, b'{"error":"near \'#\'"}', None),
            (500, b'{"error":"a NOSCRIPT"}', None),
        ],
    )
    def test_what_it_says(self, status: int, body: bytes, outcome: object) -> None:
        found = replies.read(status, {}, body)
        assert isinstance(found, Trouble) if outcome is None else found == outcome

    @pytest.mark.parametrize("status", [401, 403])
    def test_an_answer_to_nobody_tells_what_to_check(self, status: int) -> None:
        found = replies.read(status, {"content-type": "text/html"}, b"<html>")
        assert isinstance(found, Trouble)
        assert found.text == f"answered status {status} (text/html)"
        assert found.remedy.startswith(replies.CHECK_TOKEN)

    def test_an_answer_of_something_else_tells_what_to_check(self) -> None:
        found = replies.read(404, {}, b"")
        assert isinstance(found, Trouble)
        assert found.remedy == replies.CHECK_URL
        odd = replies.read(200, {}, b"")
        assert isinstance(odd, Trouble)
        assert odd.text.endswith("that is no reply of a Redis REST API")


class TestSeen:
    """Which answers tell what everybody is sent on with: the primary's."""

    def newest(self, work: Callable[[HttpTransport], Any], answer: HttpResponse) -> str:
        tokens, found = SyncTokens(), []
        port = Said(HttpResponse(answer.status, {SYNC: "t1"}, answer.body))
        transport = HttpTransport(port, URL, "token", tokens=tokens)
        alone(lambda: run(work(transport)))
        alone(lambda: found.append(tokens.begin().token))
        return found[0]

    @pytest.mark.parametrize(("command", "primary"), [(("SET", "k", "v"), True), (("GET", "k"), False)])
    def test_a_write_is_answered_by_the_primary_and_a_read_by_whom_ever(
        self, command: tuple[str, ...], primary: bool
    ) -> None:
        assert self.newest(lambda transport: transport.command(*command), result(1)) == ("t1" if primary else "")

    @pytest.mark.parametrize("script", [SCRIPT, LOOK])
    def test_scripts_are_answered_by_the_primary(self, script: Script) -> None:
        assert self.newest(lambda transport: transport.script(script, ["k"], []), result(1)) == "t1"

    @pytest.mark.parametrize(
        ("answers", "primary"),
        [
            ([{"result": 1}, {"error": "OOM"}], True),
            ([{"error": "OOM"}, {"error": "OOM"}], False),
        ],
    )
    def test_several_are_where_one_was_done(self, answers: list[object], primary: bool) -> None:
        found = self.newest(lambda transport: transport.scripts(SCRIPT, CALLS), several(*answers))
        assert found == ("t1" if primary else "")

    def test_what_was_seen_is_sent_along(self) -> None:
        port = Said(HttpResponse(200, {SYNC: "t1"}, b'{"result":1}'), result(1))
        transport = HttpTransport(port, URL, "a-token")

        def twice() -> None:
            run(transport.command("SET", "k", "v"))
            run(transport.command("GET", "k"))

        alone(twice)
        assert [request.headers.get(SYNC) for request in port.sent] == [None, "t1"]
        assert {request.headers["authorization"] for request in port.sent} == {"Bearer a-token"}
        assert {request.headers["content-type"] for request in port.sent} == {"application/json"}

    def test_a_fork_lets_go_of_the_lock(self) -> None:
        tokens = SyncTokens()
        held = tokens._lock
        sync_tokens._after_fork()
        assert tokens._lock is not held
        assert tokens.begin() == ("", -1, 1)

    def test_moments_are_counted(self) -> None:
        tokens = SyncTokens()

        def work() -> None:
            first = tokens.begin()
            assert first == ("", -1, 1)
            tokens.answered(first, "t1", by_primary=True)
            assert tokens.begin() == ("t1", 1, 3)

        alone(work)
        alone(lambda: _same(tokens.begin(), ("t1", 1, 4)))


def _same(found: object, wanted: object) -> None:
    assert found == wanted


class TestFailures:
    """What a failure says, and how it is sorted."""

    def test_a_write_that_may_have_been_done_is_unknown(self) -> None:
        again = "The same call with the same idempotency key is safe"
        with pytest.raises(OutcomeUnknown, match=rf"^the-server: script 'write': did not answer .*{again}"):
            run(Answering(*[LOST] * 6).script(SCRIPT, ["k"], []))
        with pytest.raises(OutcomeUnknown, match=r"1 attempt, .*It was not sent again"):
            run(Answering(LOST).script(SCRIPT, ["k"], [], once=True))

    def test_a_refusal_after_a_lost_answer_says_nothing_of_that_one(self) -> None:
        with pytest.raises(OutcomeUnknown, match=r"refused it: 'OOM'\. Whether an attempt before it .* is full"):
            run(Answering(LOST, Refusal("OOM")).script(SCRIPT, ["k"], []))
        with pytest.raises(Refused, match=r"command GET: the server refused it: 'OOM'\. The database is full"):
            run(Answering(LOST, Refusal("OOM")).command("GET", "k"))

    def test_after_a_lost_answer_the_other_arguments_are_sent(self) -> None:
        server = Answering(LOST, Refusal("NOSCRIPT"), 1)
        run(server.script(SCRIPT, ["k"], ["first"], again=["later", 2]))
        assert [asked.arguments for asked in server.asked] == [["first"], ["later", "2"], ["later", "2"]]
        twice = Answering(1, sends_twice=True)
        run(twice.script(SCRIPT, ["k"], ["first"], again=["later"]))
        assert twice.asked[0].arguments == ["later"]

    def test_what_is_not_known_is_a_bug(self) -> None:
        with pytest.raises(Refused, match=r"'ERR what'. If it is not known what this means, it is a bug"):
            run(Answering(Refusal("ERR what")).command("GET", "k"))

    @pytest.mark.parametrize(
        ("keys", "told"),
        [
            ("ab", r"The keys are 'a', 'b'$"),
            ("abc", r"The keys are 'a', 'b', 'c'$"),
            ("abcd", r"The keys are 'a', 'b', 'c', \.\.\.$"),
            ("", r"a namespace of its own$"),
        ],
    )
    def test_keys_of_something_else_are_named(self, keys: str, told: str) -> None:
        with pytest.raises(Refused, match=told):
            run(Answering(Refusal("WRONGTYPE Operation")).script(SCRIPT, list(keys), []))
        with pytest.raises(Refused, match=r"plan, or remove what is not needed$"):
            run(Answering(Refusal("OOM")).script(SCRIPT, list(keys), []))

    def test_of_a_command_its_first_key_is_named(self) -> None:
        with pytest.raises(Refused, match=r"The keys are 'k'$"):
            run(Answering(Refusal("WRONGTYPE Operation")).command("GET", "k", "l"))

    def test_a_reply_that_is_too_large_has_no_size(self) -> None:
        with pytest.raises(TooLarge, match=r"^the-server: script 'look': the request, or the reply") as caught:
            run(Answering(Refusal("ERR max request size exceeded")).script(LOOK, ["k"], []))
        assert (caught.value.size, caught.value.limit) == (None, 10_000_000)

    def test_what_stays_away_is_told_with_the_servers_words(self) -> None:
        told = r"answered 'LOADING it' \(6 attempts, .*; nothing was written\. The server is not ready: try again later"
        with pytest.raises(Unavailable, match=told):
            run(Answering(*[Refusal("LOADING it")] * 6).command("SET", "k", "v"))

    def test_the_steps_of_a_script_are_one_attempt(self) -> None:
        shebang = Refusal("ERR Unexpected flag in script shebang: x")
        server = Answering(LOST, Refusal("NOSCRIPT"), LOST, shebang, *[LOST] * 4)
        with pytest.raises(OutcomeUnknown, match="6 attempts"):
            run(server.script(SCRIPT, ["k"], []))
        assert server.answers == []

    def test_a_script_may_have_less_time(self) -> None:
        port, transport = said(NO_ANSWER, takes=1.0)
        with pytest.raises(Unavailable):
            run(transport.script(LOOK, ["k"], [], total_timeout=2.5))
        assert round(port.sent[0].timeout, 3) == 2.5
        assert len(port.sent) == 3

    def test_it_has_six_attempts_and_twenty_seconds(self) -> None:
        port = Said(result(1))
        run(HttpTransport(port, URL, "t", clock=port.clock).command("PING"))
        (sent,) = port.sent
        assert (sent.timeout, sent.connect_timeout, sent.read_timeout, ATTEMPTS) == (20.0, 3.0, 10.0, 6)

    def test_the_words_of_a_server_are_told_without_the_token(self) -> None:
        port = Said(error("ERR you said a-token, a-token"))
        with pytest.raises(Refused, match=r"'ERR you said \(token\), \(token\)'"):
            run(HttpTransport(port, URL, "a-token").command("GET", "k"))
        port = Said(error("LOADING a-token"))
        with pytest.raises(Unavailable, match=r"answered 'LOADING \(token\)'"):
            run(HttpTransport(port, URL, "a-token", clock=port.clock).command("GET", "k"))
