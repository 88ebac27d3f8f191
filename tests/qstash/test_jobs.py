"""From a message to the job that it is for, through a QStash: published, signed, delivered, verified, worked on."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
import qstash

from eventsource_upstash import App, AsyncApp, Job, Memory, NotRetryable, Receipt, Registry, RetryLater
from eventsource_upstash.backends.qstash import QStash, Receiver
from eventsource_upstash.local.qstash.settings import CURRENT_SIGNING_KEY, NEXT_SIGNING_KEY, TOKEN
from eventsource_upstash.ports import Message, Schedule
from eventsource_upstash.testing.colours import Colour, settled
from eventsource_upstash.web import AsyncJobEndpoint, JobEndpoint, Request
from tests.qstash.receiving import PUBLIC, Place

PATH = "/workers/report"


async def awaited(given: Any) -> Any:
    return await settled(given)


def letters(place: Place) -> list[dict[str, Any]]:
    headers = {"authorization": f"Bearer {TOKEN}"}
    found: list[dict[str, Any]] = httpx.get(f"{place.upstash.qstash_url}/v2/dlq", headers=headers).json()["messages"]
    return found


class Working:
    """An app with one job, whose endpoint the site is, in one of the colours."""

    def __init__(self, colour: Colour, place: Place, through: QStash | None = None, **options: Any) -> None:
        self.colour = colour
        self.place = place
        self.through = through or place.transport()
        self.seen: list[Job] = []
        self.does: Callable[[Job], object] = lambda job: "done"
        self.app: App | AsyncApp
        if colour is Colour.BLOCKING:
            self.app = app = App(Memory(), Registry(), self.through)
            app.job(PATH)(self.work)
            place.site.answer = JobEndpoint(app, **options).handle
        else:
            self.app = async_app = AsyncApp(Memory(), Registry(), self.through)
            async_app.job(PATH)(self.work_async)
            endpoint = AsyncJobEndpoint(async_app, **options)
            place.site.answer = lambda request: asyncio.run(endpoint.handle(request))

    def work(self, job: Job) -> object:
        self.seen.append(job)
        return self.does(job)

    async def work_async(self, job: Job) -> object:
        return self.work(job)

    def publish(self, *messages: Message) -> Receipt:
        carrier = self.through.messages(self.colour.port)
        assert carrier is not None
        return self.colour.run(carrier.publish(messages))

    def schedule(self, schedule: Schedule) -> Receipt:
        timetable = self.through.timetable(self.colour.port)
        assert timetable is not None
        return self.colour.run(timetable.put(schedule))

    @property
    def statuses(self) -> list[int]:
        return self.place.site.statuses


@pytest.fixture
def working(colour: Colour, place: Place) -> Working:
    return Working(colour, place)


def test_a_message_to_a_path_is_worked_on_once(working: Working, place: Place) -> None:
    message = Message("report-1", PATH, b'{"day":1}', {"content-type": "application/json", "x-who": "me"})
    receipt = working.publish(message)
    assert (receipt.requests, receipt.bytes_sent) == (1, 9)
    working.publish(message)  # the answer was lost, say
    place.deliver()
    (job,) = working.seen
    assert (job.path, job.id, job.body, job.attempt, job.schedule_id) == (PATH, "report-1", b'{"day":1}', 1, None)
    assert (job.headers["x-who"], job.headers["content-type"]) == ("me", "application/json")
    assert job.json() == {"day": 1}
    assert working.statuses == [200]


def test_it_is_forgotten_after_ten_minutes(working: Working, place: Place) -> None:
    working.publish(Message("report-1", PATH))
    place.deliver(599)
    working.publish(Message("report-1", PATH))
    place.deliver(2)
    assert len(working.seen) == 1
    working.publish(Message("report-1", PATH))
    place.deliver()
    assert [job.id for job in working.seen] == ["report-1"] * 2


def test_several_go_in_one_request(working: Working, place: Place) -> None:
    messages = [Message(f"report-{number}", PATH, f"{number} ä".encode()) for number in range(40)]
    assert working.publish(*messages, Message("binary", PATH, b"\xff\x00")).requests == 2
    assert working.publish(*messages).requests == 1
    place.deliver()
    assert {job.id: job.body for job in working.seen} == {
        **{message.id: message.body for message in messages},
        "binary": b"\xff\x00",
    }
    assert len(working.seen) == 41


def test_not_before_its_time(working: Working, place: Place) -> None:
    working.publish(
        Message("late", PATH, not_before_us=place.in_seconds(86_400)),
        Message("soon", PATH, not_before_us=place.in_seconds(60)),
        Message("past", PATH, not_before_us=place.in_seconds(-60)),
    )
    for seconds, seen in ((0, ["past"]), (59, ["past"]), (2, ["past", "soon"]), (86_400, ["past", "soon", "late"])):
        place.deliver(seconds)
        assert [job.id for job in working.seen] == seen


def test_a_failure_is_tried_again_under_the_same_id(
    working: Working, place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    def fail_once(job: Job) -> str:
        if job.attempt == 1:
            raise KeyError("a secret of the app")
        return "done"

    working.does = fail_once
    working.publish(Message("report-1", PATH))
    place.deliver(60)
    assert [(job.id, job.attempt) for job in working.seen] == [("report-1", 1), ("report-1", 2)]
    assert working.statuses == [500, 200]
    assert "job /workers/report: message report-1 failed" in caplog.text


def test_retries_end_in_the_dead_letters_where_nothing_is_told(working: Working, place: Place) -> None:
    def fail(job: Job) -> None:
        raise KeyError("a secret of the app")

    working.does = fail
    working.publish(Message("report-1", PATH, retries=1))
    place.deliver(3600)
    assert working.statuses == [500, 500]
    (letter,) = letters(place)
    assert json.loads(letter["responseBody"]) == {"status": 500, "title": "not done yet; try again"}
    assert (letter["label"], letter["header"]["Eventsource-Message-Id"]) == ("todo", ["report-1"])


def test_no_retry_can_help(working: Working, place: Place) -> None:
    def give_up(job: Job) -> None:
        raise NotRetryable("a secret of the app")

    working.does = give_up
    working.publish(Message("report-1", PATH))
    place.deliver(86_400)
    assert working.statuses == [489]
    (letter,) = letters(place)
    assert letter["responseStatus"] == 489
    assert "secret" not in letter["responseBody"]


def test_a_message_that_was_given_up_is_found_and_revived(working: Working, place: Place) -> None:
    def fail(job: Job) -> None:
        raise NotRetryable("no") if job.body == b"never" else KeyError("no")

    colour, carried = working.colour, {"x-who": "me", "content-type": "text/plain"}
    messages = working.app.messages
    working.does = fail
    working.publish(Message("m-1", PATH, b"\xff", carried, retries=1))
    place.deliver(60)
    working.publish(Message("m-2", PATH, b"never"))
    other = QStash.from_env(f"{PUBLIC}/projections", environ=place.upstash.environment(), namespace="shop")
    foreign = other.messages(colour.port)
    assert foreign is not None
    colour.run(foreign.publish([Message("m-3", PATH, b"never")]))
    place.deliver()
    two, one = colour.run(awaited(messages.dead()))
    assert (one.message, one.attempts, one.error) == (
        Message("m-1", f"{PUBLIC}{PATH}", b"\xff", carried, retries=1),
        2,
        "answered 500",
    )
    assert (two.message.id, two.attempts, two.error) == ("m-2", 0, "answered 489")
    assert one.buried_us < two.buried_us <= place.in_seconds(0)
    assert len(colour.run(awaited(messages.dead(1)))) == 1
    working.does = lambda job: None
    working.seen.clear()
    assert colour.run(awaited(messages.revive("m-1")))
    assert not colour.run(awaited(messages.revive("m-3")))  # another app's
    place.deliver()
    assert [(job.id, job.attempt) for job in working.seen] == [("m-1", 1)]
    assert [each.message.id for each in colour.run(awaited(messages.dead()))] == ["m-2"]


def test_a_body_that_is_none_of_the_jobs_is_not_tried_again(working: Working, place: Place) -> None:
    working.does = lambda job: job.json(dict[str, int])
    working.publish(Message("good", PATH, b'{"a":1}'), Message("bad", PATH, b'{"a":"x"}'), Message("none", PATH, b"{"))
    place.deliver(86_400)
    assert sorted(working.statuses) == [200, 489, 489]
    assert len(letters(place)) == 2


@pytest.mark.parametrize(("after", "waited"), [(300.0, 300), (0.5, 1), (86_400, 86_400)])
def test_it_is_tried_again_when_the_handler_says(working: Working, place: Place, after: float, waited: int) -> None:
    def later(job: Job) -> None:
        if job.attempt == 1:
            raise RetryLater("not now", after=after)

    working.does = later
    working.publish(Message("report-1", PATH))
    place.deliver()
    assert working.statuses == [503]
    place.deliver(waited - 0.5)
    assert working.statuses == [503]
    place.deliver(1)
    assert working.statuses == [503, 200]


def test_a_schedule_calls_a_job(working: Working, place: Place) -> None:
    assert working.schedule(Schedule("nightly", "*/10 * * * *", PATH, b'{"n":1}', {"x-who": "me"})).requests == 2
    place.deliver(1200)
    one, other = working.seen
    assert one.id != other.id
    assert {(job.path, job.body, job.schedule_id, job.headers["x-who"]) for job in working.seen} == {
        (PATH, b'{"n":1}', "nightly", "me")
    }
    working.schedule(Schedule("nightly", "*/10 * * * *", PATH, paused=True))
    place.deliver(1200)
    assert len(working.seen) == 2
    working.schedule(Schedule("nightly", "*/10 * * * *", PATH))
    place.deliver(600)
    assert len(working.seen) == 3


def test_jobs_behind_another_url_than_the_destination(colour: Colour, place: Place) -> None:
    through = place.transport("projections", jobs_url=f"{PUBLIC}/api/v1/")
    working = Working(colour, place, through)
    assert through.job_url(PATH) == f"{PUBLIC}/api/v1{PATH}"
    working.publish(Message("report-1", PATH))
    place.deliver()
    assert [job.path for job in working.seen] == [PATH]
    assert place.site.requests[0].url.endswith(f"/api/v1{PATH}")


def test_a_whole_url_with_a_query(working: Working, place: Place) -> None:
    working.publish(Message("report-1", f"{PUBLIC}{PATH}?a=b%20c"))
    place.deliver()
    assert [job.id for job in working.seen] == ["report-1"]


def test_a_path_that_no_job_has_yet_is_tried_again(working: Working, place: Place) -> None:
    working.publish(Message("report-1", "/workers/other", retries=1))
    place.deliver(60)
    assert working.statuses == [404, 404]


def delivered(working: Working, place: Place) -> Request:
    """A genuine delivery, as it arrived."""
    working.publish(Message("report-1", PATH, b'{"n":1}'))
    place.deliver()
    (request,) = place.site.requests
    working.seen.clear()
    return request


@pytest.mark.parametrize(
    "change",
    [
        lambda request: request._replace(body=b'{"n":2}'),
        lambda request: request._replace(body=b""),
        lambda request: request._replace(headers={}),
        lambda request: request._replace(headers={**request.headers, "upstash-signature": "a.b.c"}),
        lambda request: request._replace(url=f"{request.url}?n=2"),
        lambda request: request._replace(url=f"{request.url}?ä"),
        lambda request: request._replace(url=request.url.replace("report", "other")),
    ],
    ids=["body", "no body", "no signature", "forged", "query", "odd query", "other job"],
)
def test_what_was_changed_on_the_way_is_refused(
    working: Working, place: Place, change: Callable[[Request], Request]
) -> None:
    request = delivered(working, place)
    app = App(Memory(), Registry(), working.through)
    for path in (PATH, "/workers/other"):
        app.job(path)(working.work)
    endpoint = JobEndpoint(app)
    assert endpoint.handle(request).status == 200
    working.seen.clear()
    answer = endpoint.handle(change(request))
    assert (answer.status, json.loads(answer.body)) == (
        401,
        {"status": 401, "title": "the message is not signed by whom it has to be"},
    )
    assert working.seen == []


def test_an_old_delivery_is_refused(working: Working, place: Place) -> None:
    request = delivered(working, place)
    later = Receiver(CURRENT_SIGNING_KEY, NEXT_SIGNING_KEY, clock=lambda: time.time_ns() + 301 * 1_000_000_000)
    app = App(Memory(), Registry(), working.through)
    app.job(PATH)(working.work)
    assert JobEndpoint(app, verifier=later).handle(request).status == 401
    assert working.seen == []


def test_one_job_is_not_called_with_anothers_message(place: Place) -> None:
    """Mounted where a path could mean two jobs, the URL that was signed decides."""
    app = App(Memory(), Registry(), place.transport())
    seen: list[str] = []
    app.job("/report")(lambda job: seen.append("short"))
    app.job("/workers/report")(lambda job: seen.append("long"))
    endpoint = JobEndpoint(app)
    place.site.answer = lambda request: endpoint.handle(request, "/report")  # mounted at /workers
    working = Working.__new__(Working)
    working.colour, working.through = Colour.BLOCKING, place.transport()
    working.publish(Message("report-1", "/workers/report"))
    place.deliver()
    assert (seen, place.site.statuses) == (["long"], [200])


def test_through_a_client_of_the_official_package(colour: Colour, place: Place) -> None:
    """The same messages and schedules as ours."""
    due = place.in_seconds(3600)
    message = Message("m-1", PATH, b"a", {"x-who": "me", "content-type": "text/plain"}, due, 2, "PUT")
    several = [
        Message("m-2", PATH, b"b", {"content-type": "text/plain"}, due, 1),
        Message("m-3", PATH, not_before_us=due),
    ]
    schedule = Schedule("nightly", "0 1 * * *", f"{PUBLIC}{PATH}", b"c", {"x-who": "me"}, 1, "PUT", paused=True)
    received: list[list[dict[str, Any]]] = []
    kept: list[list[Schedule]] = []

    async def by(through: QStash) -> None:
        messages, timetable = through.messages(colour.port), through.timetable(colour.port)
        assert messages is not None
        assert timetable is not None
        for batch in ([message], [message], several, several):
            assert (await messages.publish(batch)).requests == 1
        await timetable.put(schedule)
        found = await timetable.all()
        assert found == [await timetable.get("nightly")]
        kept.append(found)
        assert await timetable.pause("nightly", paused=False)
        await timetable.delete("nightly")
        await timetable.delete("nightly")
        assert not await timetable.pause("nightly", paused=False)
        assert await timetable.get("nightly") is None

    async def theirs() -> None:
        client: Any
        if colour is Colour.BLOCKING:
            client = qstash.QStash(TOKEN, base_url=place.upstash.qstash_url)
        else:
            client = qstash.AsyncQStash(TOKEN, base_url=place.upstash.qstash_url)
        await by(QStash(f"{PUBLIC}/projections", client=client, namespace="todo"))
        closing = client.http._client.close() if colour is Colour.BLOCKING else await client.http._client.aclose()
        assert closing is None

    for work in (theirs(), by(place.transport())):
        place.reset()
        colour.run(work)
        headers = {"authorization": f"Bearer {TOKEN}"}
        # None of them is due: what was delivered has no body in the log.
        log = httpx.get(f"{place.upstash.qstash_url}/v2/logs", headers=headers).json()["logs"]
        created = [each for each in log if each["state"] == "CREATED"]
        changing = {"time", "messageId", "nextDeliveryTime"}
        received.append([{k: v for k, v in each.items() if k not in changing} for each in created])
    assert received[0] == received[1]
    assert len(received[0]) == 3
    assert kept[0] == kept[1] == [schedule]
