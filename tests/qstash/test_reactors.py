"""From the event to the job that a reactor sends for it, through a QStash; and what a crash in between makes of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from eventsource_upstash import App, AsyncApp, Job, Memory, Reaction, Registry, Send
from eventsource_upstash.local.qstash.settings import TOKEN
from eventsource_upstash.ports import ID_HEADER, Backend
from eventsource_upstash.testing.colours import Colour, settled
from eventsource_upstash.testing.conformance.desk import Died, Interrupted
from eventsource_upstash.web import AsyncEndpoint, AsyncJobEndpoint, Endpoint, JobEndpoint, Request, Response
from tests.qstash.receiving import PUBLIC, Place

PATH = "/workers/mail"


@dataclass(frozen=True)
class Placed:
    order: str


class Shop:
    """An app whose reactor sends a job, and a message to somebody else, for each order; the site is all three."""

    def __init__(self, colour: Colour, place: Place, backend: Backend, **more: Any) -> None:
        self.place = place
        self.jobs: list[Job] = []
        self.elsewhere: list[Request] = []
        self.decided: list[str] = []
        self.down = False
        registry = Registry()
        registry.event("placed")(Placed)
        self.reactor = registry.reactor("desk")
        self.reactor.on_recorded(Placed)(self.decide)
        through = place.transport()
        clock = lambda: place.clock.now() * 1_000_000  # noqa: E731
        self.handle: Callable[[Request], Response]
        self.work: Callable[[Request], Response]
        self.app: App | AsyncApp
        if colour is Colour.BLOCKING:
            self.app = app = App(backend, registry, through, clock=clock)
            app.job(PATH)(self.jobs.append)
            self.handle = Endpoint(app).handle
            self.work = JobEndpoint(app).handle
        else:
            self.app = async_app = AsyncApp(backend, registry, through, clock=clock)
            async_app.job(PATH)(self.jobs.append)
            endpoint, job_endpoint = AsyncEndpoint(async_app), AsyncJobEndpoint(async_app)
            self.handle = lambda request: asyncio.run(endpoint.handle(request))
            self.work = lambda request: asyncio.run(job_endpoint.handle(request))
        self.colour = colour
        place.site.answer = self.answer

    def decide(self, recorded: Any) -> list[Reaction]:
        self.decided.append(recorded.id)
        return [
            Send(PATH, {"order": recorded.event.order}),
            Send(f"{PUBLIC}/hooks", "grüße", delay=60, headers={"X-Who": "desk"}),
        ]

    def answer(self, request: Request) -> Response:
        if self.down:
            return Response(503, {}, b"")
        if request.url.endswith("/hooks"):
            self.elsewhere.append(request)
            return Response(200, {}, b"")
        if request.url.endswith(PATH):
            return self.work(request)
        try:
            return self.handle(request)
        except Died:  # the platform answers for a process that died
            return Response(502, {}, b"")

    def place_order(self, order: str) -> None:
        async def append() -> None:
            await settled(self.app.event_store.append(f"order-{order}", Placed(order)))

        self.colour.run(append())

    @property
    def pending(self) -> int:
        async def status() -> Any:
            return await settled(self.app.reactions.status(self.reactor))

        return int(self.colour.run(status()).pending)


def test_what_a_reactor_sends_arrives_signed_in_time_and_with_its_id(colour: Colour, place: Place) -> None:
    shop = Shop(colour, place, Memory())
    shop.place_order("1")
    place.deliver()
    (job,) = shop.jobs
    (event,) = shop.decided
    assert (job.id, job.json(), job.headers["content-type"]) == (f"desk-{event}-0", {"order": "1"}, "application/json")
    assert job.headers[ID_HEADER] == job.id
    assert shop.elsewhere == []
    place.deliver(61)
    (request,) = shop.elsewhere
    assert (request.headers[ID_HEADER], request.headers["x-who"]) == (f"desk-{event}-1", "desk")
    assert (request.headers["content-type"], request.body) == ("text/plain; charset=utf-8", "grüße".encode())
    assert shop.pending == 0


def dies_after_it_published(inner: Backend) -> Backend:
    commits: list[int] = []

    async def die() -> None:
        commits.append(1)
        if len(commits) == 2:  # the first one decides, the second one takes out what was sent
            raise Died

    return Interrupted(inner, "views.commit", die, after=False)


@pytest.mark.parametrize("minutes", [0, 11])
def test_a_crash_between_publish_and_commit_sends_again_under_one_id(
    colour: Colour, place: Place, minutes: int
) -> None:
    shop = Shop(colour, place, dies_after_it_published(Memory()))
    shop.place_order("1")
    place.deliver()
    assert sorted(place.site.statuses) == [200, 502], "it died, and its message arrived all the same"
    assert shop.pending == 1
    shop.down = minutes > 0
    if shop.down:
        place.deliver(minutes * 60)
        shop.down = False
    place.deliver(2 * 3600)  # the notification that was not answered comes again
    assert len(shop.decided) == 1
    assert shop.pending == 0
    (event,) = shop.decided
    # QStash knows an id for ten minutes; after that the receiver has to, who sees it in the header.
    assert [job.id for job in shop.jobs] == [f"desk-{event}-0"] * (2 if minutes else 1)
    assert {each.headers[ID_HEADER] for each in shop.elsewhere} == {f"desk-{event}-1"}


def test_an_answer_of_qstash_that_is_lost_sends_nothing_twice(colour: Colour, place: Place) -> None:
    shop = Shop(colour, place, Memory())
    struck = place.upstash.faults.add("lose-answer", half="qstash", path="/v2/batch")
    shop.place_order("1")
    place.deliver(3600)
    assert struck.struck == 1
    assert [len(shop.jobs), len(shop.elsewhere), shop.pending] == [1, 1, 0]


def test_a_reactor_that_is_stopped_costs_one_delivery_and_is_found_in_the_dead_letters(
    colour: Colour, place: Place
) -> None:
    shop = Shop(colour, place, Memory())
    refusals = [
        place.upstash.faults.add("quota", half="qstash", path=path, count=None) for path in ("/v2/batch", f"*{PATH}")
    ]
    shop.place_order("1")
    place.deliver(3 * 3600)
    assert place.site.statuses == [489], "it is not tried again, and paid for, four times"
    answer = httpx.get(f"{place.upstash.qstash_url}/v2/dlq", headers={"authorization": f"Bearer {TOKEN}"}).json()
    (letter,) = answer["messages"]
    assert json.loads(letter["responseBody"])["title"] == "a reactor has stopped"
    assert shop.pending == 1
    assert [each.struck for each in refusals] == [1, 1], "what comes after it is not tried"
    place.upstash.faults.clear()
    shop.place_order("2")  # the next notification tries again
    place.deliver(60)
    assert sorted(job.body for job in shop.jobs) == [b'{"order":"1"}', b'{"order":"2"}']
    assert shop.pending == 0
