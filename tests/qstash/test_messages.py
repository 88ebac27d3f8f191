"""What QStash is asked for messages and schedules with, and what its answers mean; where jobs are."""

from __future__ import annotations

import json
from typing import Any

import pytest

from eventsource_upstash import Misuse, OutcomeUnknown, Receipt, Refused, TooLarge, Unavailable
from eventsource_upstash._io.blocking import run
from eventsource_upstash.backends.qstash import QStash
from eventsource_upstash.backends.qstash.messages import Publisher
from eventsource_upstash.ports import MAX_MESSAGE_BYTES, Message, Messages, Schedule, Timetable
from tests.qstash.carrier import DESTINATION, TOKEN, Carrier, answer

PATH = "/workers/report"
DUE = 1_795_244_434_000_001


def transport(**options: Any) -> QStash:
    return QStash(DESTINATION, token=TOKEN, namespace="todo", **options)


def publish(carrier: Carrier, *messages: Message, through: QStash | None = None) -> Receipt:
    found: Messages | None = (through or transport()).messages(carrier)
    assert found is not None
    return run(found.publish(messages))


def timetable(carrier: Carrier) -> Timetable:
    found = transport().timetable(carrier)
    assert found is not None
    return found


def batch(*items: object) -> Any:
    return answer(body=list(items))


def test_one_message() -> None:
    carrier = Carrier(answer())
    headers = {"content-type": "text/plain", "x-who": "me"}
    receipt = publish(carrier, Message("m-1", PATH, b"a", headers, DUE, 5, "PUT"))
    (request,) = carrier.requests
    assert (request.method, request.body) == ("POST", b"a")
    assert request.url == "https://qstash.upstash.io/v2/publish/https://app.example.com/workers/report"
    assert request.headers == {
        "authorization": f"Bearer {TOKEN}",
        "upstash-method": "PUT",
        "upstash-deduplication-id": "todo-m-1",
        "upstash-not-before": "1795244435",  # in whole seconds, and not before its time
        "upstash-label": "todo",
        "upstash-retries": "5",
        "upstash-forward-eventsource-message-id": "m-1",
        "upstash-forward-x-who": "me",
        "content-type": "text/plain",
    }
    assert (receipt.requests, receipt.bytes_sent) == (1, 1)


def test_none_is_no_request() -> None:
    assert publish(Carrier()) == Receipt(0, 0)


def test_several_messages() -> None:
    carrier = Carrier(batch({"messageId": "1"}, {"messageId": "2", "deduplicated": True}))
    publish(carrier, Message("m-1", PATH, "ä".encode()), Message("m-2", "https://b.example.com/?a=b"))
    (request,) = carrier.requests
    assert request.url == "https://qstash.upstash.io/v2/batch"
    one, other = json.loads(request.body)
    assert (one["destination"], one["body"]) == ("https://app.example.com/workers/report", "ä")
    assert (other["destination"], other["body"]) == ("https://b.example.com/?a=b", "")
    assert one["headers"] == {
        "upstash-method": "POST",
        "upstash-deduplication-id": "todo-m-1",
        "upstash-label": "todo",
        "upstash-forward-eventsource-message-id": "m-1",
    }


def test_how_many_go_in_one_request() -> None:
    big = b"a" * (MAX_MESSAGE_BYTES // 2)
    messages = [Message(f"m-{number}", PATH) for number in range(101)]
    messages += [Message(f"big-{number}", PATH, big) for number in range(3)]
    answers = [batch(*[{"messageId": "1"}] * 100), batch(*[{"messageId": "1"}] * 3), answer()]
    carrier = Carrier(*answers)
    assert publish(carrier, *messages).requests == 3
    assert [request.url.rpartition("/v2/")[2].partition("/")[0] for request in carrier.requests] == [
        "batch",
        "batch",
        "publish",
    ]


TWO = (Message("m-1", PATH), Message("m-2", f"https://b.example.com{PATH}?key=hidden"))


@pytest.mark.parametrize(
    ("answers", "error", "said"),
    [
        (
            [batch({"messageId": "1"}, {"error": f"quota of {TOKEN}\x1b"})],
            Refused,
            r"took 1 of 2 messages, and refused m-2 to https://b\.example\.com/\S+\?\.\.\. \(quota of \*\*\* \)",
        ),
        ([batch({}, [{"error": "no"}])], Refused, r"took 0 of 2 .*m-1 to /workers/report; m-2 .*\(no\)"),
        ([batch({"messageId": "1"})], Refused, "answered for 1 messages of 2"),
        ([answer(body=b"<html>")], Refused, "is not QStash"),
        ([answer(404)], Refused, "knows no batches"),
        ([answer(401, {"error": TOKEN})], Refused, "refused the token"),
        ([answer(400, {"error": "max delay"})], Refused, "400: max delay"),
        ([answer(429, {}, ratelimit_limit="1000")], Refused, "used up"),
        ([Unavailable("down")] * 3, Unavailable, "down"),
        ([answer(500)] * 3, OutcomeUnknown, "harmless"),
    ],
)
def test_what_may_go_wrong_with_several(answers: list[Any], error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said) as raised:
        publish(Carrier(*answers), *TWO)
    assert TOKEN not in str(raised.value)
    assert "hidden" not in str(raised.value)


def test_unavailable_after_some_were_taken_is_not_known() -> None:
    messages = [Message(f"m-{number}", PATH) for number in range(101)]
    with pytest.raises(OutcomeUnknown, match="took some of the messages"):
        publish(Carrier(batch(*[{"messageId": "1"}] * 100), *[Unavailable("down")] * 3), *messages)


def test_an_answer_that_was_lost_is_asked_for_again_under_the_same_ids() -> None:
    carrier = Carrier(OutcomeUnknown("lost"), batch({"messageId": "1"}, {"messageId": "2"}))
    assert publish(carrier, *TWO).retries == 1
    assert carrier.requests[0].body == carrier.requests[1].body


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (Message("a:b", PATH), "letters, digits"),
        (Message("m", "workers"), "whole URL"),
        (Message("m", "/../keys"), "dots"),
        (Message("m", "https://a.example.com/#b"), "fragment"),
        (Message("m", "https://me:hidden@a.example.com"), "password"),
        (Message("m", PATH, headers={"a b": "c"}), "name"),
        (Message("m", PATH, headers={"a": "hidden\r\nb"}), "value"),
        (Message("m", PATH, headers={"eventsource-message-id": "other"}), "set by whoever sends"),
        (Message("m", PATH, retries=-1), "retries"),
        (Message("m", PATH, method="BREW"), "method"),
        (Message("m", PATH, not_before_us=-1), "not_before_us"),
    ],
)
def test_no_message(message: Message, said: str) -> None:
    carrier = Carrier()
    with pytest.raises(Misuse, match=said) as raised:
        publish(carrier, Message("good", PATH), message)
    assert "hidden" not in str(raised.value)
    assert carrier.requests == []


def test_a_body_that_is_too_large_for_every_plan() -> None:
    with pytest.raises(TooLarge, match="message 'm'"):
        publish(Carrier(), Message("m", PATH, b"a" * (MAX_MESSAGE_BYTES + 1)))


def test_where_jobs_are() -> None:
    assert transport().job_url(PATH) == f"https://app.example.com{PATH}"
    for given in ("https://jobs.example.com/api", "https://jobs.example.com/api/"):
        assert transport(jobs_url=given).job_url(PATH) == f"https://jobs.example.com/api{PATH}"
    with pytest.raises(Misuse, match=r"URL group 'projections'.*EVENTSOURCE_JOBS_URL.*jobs_url="):
        QStash("projections", token=TOKEN).job_url(PATH)
    with pytest.raises(Misuse, match="job"):
        transport().job_url("workers")


@pytest.mark.parametrize("given", ["app.example.com", "https://a.example.com/?b", "https://a:b@c.example.com", ""])
def test_jobs_are_nowhere(given: str) -> None:
    with pytest.raises(Misuse, match="jobs_url"):
        transport(jobs_url=given)


def test_where_jobs_are_from_the_environment() -> None:
    environ = {"QSTASH_TOKEN": TOKEN, "QSTASH_TOPIC": "projections", "EVENTSOURCE_JOBS_URL": "https://a.example.com"}
    assert QStash.from_env(environ=environ).job_url(PATH) == f"https://a.example.com{PATH}"
    given = QStash.from_env(environ=environ, jobs_url="https://b.example.com")
    assert given.job_url(PATH) == f"https://b.example.com{PATH}"
    with pytest.raises(Misuse, match=r"EVENTSOURCE_JOBS_URL has a query"):
        QStash.from_env(environ={**environ, "EVENTSOURCE_JOBS_URL": "https://a.example.com/?b"})


def test_a_schedule() -> None:
    carrier = Carrier(answer(body={"scheduleId": "nightly"}), answer(body=b""))
    run(timetable(carrier).put(Schedule("nightly", "0 1 * * *", PATH, b"a", {"x-who": "me"}, 0)))
    made, resumed = carrier.requests
    assert made.url == "https://qstash.upstash.io/v2/schedules/https://app.example.com/workers/report"
    assert made.headers == {
        "authorization": f"Bearer {TOKEN}",
        "upstash-cron": "0 1 * * *",
        "upstash-schedule-id": "nightly",
        "upstash-method": "POST",
        "upstash-label": "todo",
        "upstash-retries": "0",
        "upstash-forward-x-who": "me",
    }
    assert (resumed.method, resumed.url) == ("PATCH", "https://qstash.upstash.io/v2/schedules/nightly/resume")


def test_what_a_schedule_is_read_as() -> None:
    stored = {"scheduleId": "b", "cron": "0 1 * * *", "destination": "https://a.example.com", "bodyBase64": "/w=="}
    more = {"scheduleId": "a", "cron": "* * * * *", "destination": "group", "isPaused": True, "retries": 3}
    carrier = Carrier(batch({**stored, "header": {"X-Who": ["me"], "X-None": []}}, more))
    assert run(timetable(carrier).all()) == [
        Schedule("a", "* * * * *", "group", retries=3, paused=True),
        Schedule("b", "0 1 * * *", "https://a.example.com", b"\xff", {"x-who": "me"}),
    ]


@pytest.mark.parametrize(
    ("answers", "error", "said"),
    [
        ([answer(404)], Refused, "no destination"),
        ([answer(200, b"<html>")], Refused, "is not QStash"),
        ([answer(412, {"error": "too many schedules"})], Refused, "too many schedules"),
        ([Unavailable("down")] * 3, Unavailable, "down"),
    ],
)
def test_what_may_go_wrong_with_a_schedule(answers: list[Any], error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        run(timetable(Carrier(*answers)).put(Schedule("nightly", "0 1 * * *", PATH)))


@pytest.mark.parametrize(
    ("schedule", "said"),
    [
        (Schedule("a/b", "0 1 * * *", PATH), "schedule_id"),
        (Schedule("a", "@daily", PATH), "five fields"),
        (Schedule("a", "0 1 * * *", "group"), "whole URL"),
        (Schedule("a", "0 1 * * *", PATH, method="BREW"), "method"),
    ],
)
def test_no_schedule(schedule: Schedule, said: str) -> None:
    with pytest.raises(Misuse, match=said):
        run(timetable(Carrier()).put(schedule))


def test_an_id_that_would_be_another_path() -> None:
    for call in (timetable(Carrier()).get, timetable(Carrier()).delete):
        with pytest.raises(Misuse, match="schedule_id"):
            run(call("../keys"))
    with pytest.raises(Misuse, match="schedule_id"):
        run(timetable(Carrier()).pause("../keys", paused=True))


LETTER = {"dlqId": "1795244434000-7", "messageId": "msg_1", "url": "https://a.example.com"}


def test_dead_letters_are_looked_through_page_by_page() -> None:
    letters = [{**LETTER, "messageId": f"msg_{number}"} for number in range(150)]
    carrier = Carrier(
        answer(body={"messages": letters[:100], "cursor": "next page"}),
        answer(body={"messages": letters[100:]}),
        answer(body={"messageId": "msg_151"}),
    )
    publisher = Publisher(carrier, transport())
    assert run(publisher.revive("msg_120"))
    assert [request.url.removeprefix("https://qstash.upstash.io/v2/dlq") for request in carrier.requests] == [
        "?label=todo&count=100",
        "?label=todo&count=100&cursor=next%20page",
        "/retry/1795244434000-7",
    ]


@pytest.mark.parametrize(
    ("answers", "error", "said"),
    [
        ([answer(body=b"<html>")], Refused, "is not QStash"),
        ([answer(body={"messages": [{**LETTER, "dlqId": "../keys"}]})], Refused, "is not QStash"),
        ([answer(401)], Refused, "token"),
        ([Unavailable("down")] * 3, Unavailable, "down"),
    ],
)
def test_what_may_go_wrong_with_dead_letters(answers: list[Any], error: type[Exception], said: str) -> None:
    publisher = Publisher(Carrier(*answers), transport())
    with pytest.raises(error, match=said):
        run(publisher.revive("msg_1"))
