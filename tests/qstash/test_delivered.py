"""From the append to the fold, through a QStash: published, signed, delivered, verified, folded."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx
import pytest
import qstash

from eventsource_upstash import App, AsyncApp, Memory, OutcomeUnknown, Receipt, Refused, Registry, Signal, Unavailable
from eventsource_upstash._io.port import HttpRequest, HttpResponse, Port
from eventsource_upstash.backends.qstash import Delivery, QStash, Receiver
from eventsource_upstash.local.qstash.settings import CURRENT_SIGNING_KEY, NEXT_SIGNING_KEY, TOKEN, Settings
from eventsource_upstash.local.server import LocalUpstash
from eventsource_upstash.ports import Unverified
from eventsource_upstash.testing.colours import Colour
from eventsource_upstash.web import AsyncEndpoint, Endpoint, Request, Response
from tests.qstash.receiving import PUBLIC, Site
from tests.unit.todo import Task, TaskCreated, todo

T = TypeVar("T")

URL = f"{PUBLIC}/projections"


@pytest.fixture(params=list(Colour), ids=lambda colour: colour.value)
def colour(request: pytest.FixtureRequest) -> Colour:
    value: Colour = request.param
    return value


def transport(upstash: LocalUpstash, destination: str = URL, **options: Any) -> QStash:
    environ = {**upstash.environment(), "EVENTSOURCE_NAMESPACE": "todo"}
    return QStash.from_env(destination, environ=environ, **options)


class Hasty:
    """A port that does not wait between two attempts."""

    def __init__(self, port: Port) -> None:
        self._port = port

    async def send(self, request: HttpRequest) -> HttpResponse:
        return await self._port.send(request)

    async def call(self, work: Callable[[], T]) -> T:
        return await self._port.call(work)

    async def sleep(self, seconds: float, wake: Signal | None = None, since: int = 0) -> None:
        pass


def send(colour: Colour, through: QStash, position: int, raised_us: int = 1) -> Receipt:
    return colour.run(through.notices(Hasty(colour.port)).send(position, raised_us))


def deliver(upstash: LocalUpstash, seconds: float = 0) -> None:
    if seconds:
        upstash.run(upstash.qstash.advance(seconds))
    upstash.run(upstash.qstash.idle())


def serve(site: Site, upstash: LocalUpstash) -> App:
    """An app whose endpoint the site is."""
    through = transport(upstash)
    app = App(Memory(), todo().registry, through)
    site.answer = Endpoint(app, verifier=through.receiver()).handle
    return app


def test_an_append_is_folded(upstash: LocalUpstash, site: Site) -> None:
    given = todo()
    through = transport(upstash)
    app = App(Memory(), given.registry, through)
    site.answer = Endpoint(app).handle  # which verifies with the transport's keys, without being told to
    appended = app.event_store.append("task-1", TaskCreated("1", "Do the dishes"))
    deliver(upstash)
    assert app.projection_store.view(given.tasks).get("1") == Task("1", "Do the dishes")
    assert site.statuses == [200]
    assert json.loads(site.bodies[0]) == {"position": appended.position}
    assert (appended.receipt.requests, appended.receipt.commands) == (1, 0)


def test_in_both_colours_over_one_description(upstash: LocalUpstash, site: Site, colour: Colour) -> None:
    receipt = send(colour, transport(upstash), 7)
    deliver(upstash)
    (request,) = site.requests
    assert (request.body, request.headers["content-type"]) == (b'{"position":7}', "application/json")
    transport(upstash).receiver().verify(request.headers, request.body, request.url)
    Receiver(CURRENT_SIGNING_KEY, NEXT_SIGNING_KEY).verify(request.headers, request.body, URL)
    assert (receipt.requests, receipt.commands, receipt.bytes_sent, receipt.retries) == (1, 0, 14, 0)


def test_a_repeat_of_one_notification_is_dropped_and_another_is_not(upstash: LocalUpstash, site: Site) -> None:
    through = transport(upstash)
    for position, raised_us in ((7, 1), (7, 1), (7, 2), (8, 1), (7, 1)):
        send(Colour.BLOCKING, through, position, raised_us)
        deliver(upstash)
    assert site.bodies == [b'{"position":7}', b'{"position":7}', b'{"position":8}']


@pytest.mark.parametrize(
    ("fault", "arrived"),
    [("lose-request", 1), ("lose-answer", 1), ("cut-answer", 1), ("error-500", 1), ("error-429", 1), ("duplicate", 1)],
)
def test_whatever_happens_on_the_way_it_is_sent_once(
    upstash: LocalUpstash, site: Site, colour: Colour, fault: str, arrived: int
) -> None:
    struck = upstash.faults.add(fault, half="qstash", path="/v2/publish/*")
    receipt = send(colour, transport(upstash), 7)
    deliver(upstash)
    assert struck.struck == 1
    assert len(site.requests) == arrived
    assert receipt.retries == (0 if fault == "duplicate" else 1)


@pytest.mark.parametrize(
    ("fault", "error"), [("lose-answer", OutcomeUnknown), ("error-429", Unavailable), ("error-500", OutcomeUnknown)]
)
def test_what_stays_wrong_has_an_error(upstash: LocalUpstash, fault: str, error: type[Exception]) -> None:
    struck = upstash.faults.add(fault, half="qstash", path="/v2/publish/*", count=None)
    with pytest.raises(error):
        send(Colour.BLOCKING, transport(upstash), 7)
    assert struck.struck == 3


def test_a_quota_is_not_tried_again(upstash: LocalUpstash) -> None:
    struck = upstash.faults.add("quota", half="qstash", path="/v2/publish/*", count=None)
    with pytest.raises(Refused, match="used up"):
        send(Colour.BLOCKING, transport(upstash), 7)
    assert struck.struck == 1


def test_an_append_does_not_fail_with_its_notification(upstash: LocalUpstash, site: Site) -> None:
    app = serve(site, upstash)
    upstash.faults.add("quota", half="qstash", path="/v2/publish/*")
    assert app.event_store.append("task-1", TaskCreated("1", "Do the dishes")).position == app.event_store.head()


def test_a_wrong_token(upstash: LocalUpstash, colour: Colour) -> None:
    with pytest.raises(Refused, match=r"refused the token \(401.*QSTASH_TOKEN") as refused:
        send(colour, QStash(URL, token="wrong-token", url=upstash.qstash_url), 7)
    assert "wrong-token" not in str(refused.value)


def test_a_loopback_destination(upstash: LocalUpstash) -> None:
    with pytest.raises(Refused, match=r"this machine or a private network.*eventsource-upstash dev"):
        send(Colour.BLOCKING, transport(upstash, "http://localhost:3000/"), 7)


def test_nobody_listens_there() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(Unavailable, match="could not be reached"):
            send(Colour.BLOCKING, QStash(URL, token="t", url=url), 7)


def test_a_url_group(upstash: LocalUpstash, site: Site) -> None:
    with pytest.raises(Refused, match="Create the URL group"):
        send(Colour.BLOCKING, transport(upstash, "projections"), 7)
    official(
        upstash, lambda client: client.url_group.upsert_endpoints("projections", [{"url": URL}, {"url": f"{URL}/2"}])
    )
    send(Colour.BLOCKING, transport(upstash, "projections"), 7)
    deliver(upstash)
    by = transport(upstash, "projections").receiver()
    for request in site.requests:
        by.verify(request.headers, request.body, PUBLIC + request.url.removeprefix(site.url))
    assert len(site.requests) == 2


def official(upstash: LocalUpstash, work: Any) -> Any:
    client = qstash.QStash(TOKEN, base_url=upstash.qstash_url, retry=False)
    try:
        return work(client)
    finally:
        client.http._client.close()


def rotate(upstash: LocalUpstash) -> tuple[str, str]:
    keys = official(upstash, lambda client: client.signing_key.rotate())
    return keys.current, keys.next


def test_a_rotation_of_keys_loses_nothing(upstash: LocalUpstash, site: Site, caplog: pytest.LogCaptureFixture) -> None:
    app = App(Memory(), todo().registry, transport(upstash))
    before = Endpoint(app, verifier=transport(upstash).receiver())
    site.answer = before.handle
    current, following = rotate(upstash)
    assert current == NEXT_SIGNING_KEY
    send(Colour.BLOCKING, transport(upstash), 0, 1)  # signed by the key that was the next one
    deliver(upstash)
    assert site.statuses == [200]
    rotate(upstash)  # the app missed it: its keys are both gone
    send(Colour.BLOCKING, transport(upstash), 0, 2)
    deliver(upstash)
    assert site.statuses == [200, 401]
    assert "neither the current nor the next key" in caplog.text
    site.answer = Endpoint(
        app, verifier=Receiver(following, "sig_after", url=URL)
    ).handle  # it is deployed with new ones
    deliver(upstash, 60)  # and QStash tries again
    assert site.statuses == [200, 401, 200]


@pytest.mark.parametrize(
    ("fault", "seconds", "status", "said"),
    [
        ("sign-with-next-key", 0, 200, ""),
        ("sign-with-wrong-key", 0, 401, "neither the current nor the next key"),
        ("sign-skewed", 600, 401, "not valid for another"),
        ("sign-skewed", -600, 401, "expired 30"),
        ("sign-skewed", -200, 200, ""),
    ],
)
def test_signatures_that_are_odd(
    upstash: LocalUpstash,
    site: Site,
    caplog: pytest.LogCaptureFixture,
    fault: str,
    seconds: float,
    status: int,
    said: str,
) -> None:
    serve(site, upstash)
    upstash.faults.add(fault, half="qstash", seconds=seconds)
    send(Colour.BLOCKING, transport(upstash), 0)
    deliver(upstash)
    assert site.statuses == [status]
    assert said in caplog.text


def test_a_clock_ten_minutes_off_is_met_by_leeway(upstash: LocalUpstash, site: Site) -> None:
    upstash.faults.add("sign-skewed", half="qstash", seconds=-600)
    send(Colour.BLOCKING, transport(upstash), 0)
    deliver(upstash)
    (request,) = site.requests
    transport(upstash).receiver(leeway=600).verify(request.headers, request.body, request.url)


def test_an_old_delivery_is_sent_again_by_somebody(upstash: LocalUpstash, site: Site) -> None:
    send(Colour.BLOCKING, transport(upstash), 0)
    deliver(upstash)
    (request,) = site.requests
    transport(upstash).receiver().verify(request.headers, request.body, request.url)
    later = Receiver(CURRENT_SIGNING_KEY, NEXT_SIGNING_KEY, url=URL, clock=lambda: time.time_ns() + 301 * 1_000_000_000)
    with pytest.raises(Unverified, match="an old delivery sent again"):
        later.verify(request.headers, request.body, request.url)


def test_a_body_that_a_framework_wrote_again(
    upstash: LocalUpstash, site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    app = App(Memory(), todo().registry, transport(upstash))
    endpoint = Endpoint(app, verifier=transport(upstash).receiver())
    site.answer = lambda request: endpoint.handle(request._replace(body=json.dumps(json.loads(request.body)).encode()))
    send(Colour.BLOCKING, transport(upstash), 0)
    deliver(upstash)
    assert site.statuses == [401]
    assert "Hand over the raw bytes" in caplog.text


@pytest.mark.parametrize("parallelism", [1, 3])
def test_deliveries_of_one_app_do_not_pile_up(upstash: LocalUpstash, site: Site, parallelism: int) -> None:
    """While as many as allowed are being folded, the others wait."""
    serve(site, upstash)
    handle, all_in, go_on = site.answer, threading.Barrier(parallelism + 1), threading.Event()

    def answer(request: Request) -> Response:
        if not go_on.is_set():
            all_in.wait(30)
            go_on.wait(30)
        return handle(request)

    site.answer = answer
    through = transport(upstash, delivery=Delivery(parallelism=parallelism))
    for raised_us in range(10):
        send(Colour.BLOCKING, through, 0, raised_us)
    all_in.wait(30)
    flow = official(upstash, lambda client: client.flow_control.get("todo"))
    assert (flow.parallelism_max, flow.parallelism_count, flow.wait_list_size) == (
        parallelism,
        parallelism,
        10 - parallelism,
    )
    assert len(site.requests) == parallelism
    go_on.set()
    deliver(upstash)
    assert site.statuses == [200] * 10


def test_a_region_of_its_own(site: Site) -> None:
    with LocalUpstash(qstash=Settings(mapping={PUBLIC: site.url}, region="US-EAST-1")) as upstash:
        environ = {
            "QSTASH_REGION": "US_EAST_1",
            "QSTASH_CURRENT_SIGNING_KEY": "sig_of_another_region_1",
            "QSTASH_NEXT_SIGNING_KEY": "sig_of_another_region_2",
            **{
                f"US_EAST_1_{name}": value for name, value in upstash.environment().items() if name.startswith("QSTASH")
            },
        }
        through = QStash.from_env(URL, environ=environ)
        send(Colour.BLOCKING, through, 0)
        deliver(upstash)
    (request,) = site.requests
    through.receiver().verify(request.headers, request.body, request.url)
    elsewhere = {name: value for name, value in request.headers.items() if name != "upstash-region"}
    with pytest.raises(Unverified, match="neither"):
        through.receiver().verify(elsewhere, request.body, request.url)


def test_a_client_of_the_official_package(upstash: LocalUpstash, site: Site, colour: Colour) -> None:
    """The same message as ours, in every header that the destination or the console sees."""

    async def publish() -> None:
        token = TOKEN
        client: Any
        if colour is Colour.BLOCKING:
            client = qstash.QStash(token, base_url=upstash.qstash_url)
        else:
            client = qstash.AsyncQStash(token, base_url=upstash.qstash_url)
        through = QStash(URL, client=client, namespace="todo")
        await through.notices(colour.port).send(7, 1)
        await through.notices(colour.port).send(7, 1)
        closing = client.http._client.close() if colour is Colour.BLOCKING else await client.http._client.aclose()
        assert closing is None

    colour.run(publish())
    deliver(upstash)
    send(colour, transport(upstash), 7, 2)
    deliver(upstash)
    theirs, ours = site.requests
    changing = {"upstash-signature", "upstash-message-id", "user-agent"}
    assert {k: v for k, v in theirs.headers.items() if k not in changing} == {
        k: v for k, v in ours.headers.items() if k not in changing
    }
    assert theirs.body == ours.body
    logs = httpx.get(f"{upstash.qstash_url}/v2/logs", headers={"authorization": f"Bearer {TOKEN}"}).json()
    created = [one for one in logs["logs"] if one["state"] == "CREATED"]
    assert len(created) == 2
    assert len({(one.get("label"), one.get("flowControlKey"), one["url"]) for one in created}) == 1


def test_a_refused_client_of_the_official_package(upstash: LocalUpstash) -> None:
    client = qstash.QStash("wrong-token", base_url=upstash.qstash_url)
    with pytest.raises(Refused, match=r"refused the token \(401\)") as refused:
        send(Colour.BLOCKING, QStash(URL, client=client), 7)
    client.http._client.close()
    assert "wrong-token" not in str(refused.value)


def test_an_append_is_folded_in_an_event_loop(upstash: LocalUpstash, site: Site) -> None:
    given = todo()
    app = AsyncApp(Memory(), given.registry, transport(upstash))
    endpoint = AsyncEndpoint(app)
    site.answer = lambda request: asyncio.run(endpoint.handle(request))
    asyncio.run(app.event_store.append("task-1", TaskCreated("1", "Do the dishes")))
    deliver(upstash)
    assert asyncio.run(app.projection_store.view(given.tasks).get("1")) == Task("1", "Do the dishes")
    assert site.statuses == [200]


@dataclass(frozen=True)
class Count:
    folded: int


@pytest.mark.parametrize(
    "fault", ["deliver-twice", "deliver-late", "deliver-out-of-order", "lose-delivery", "lose-delivery-answer"]
)
def test_deliveries_that_go_astray(upstash: LocalUpstash, site: Site, fault: str) -> None:
    registry = Registry()
    registry.event("task-created")(TaskCreated)
    counts = registry.projection("counts", Count)

    @counts.on(TaskCreated, key="id")
    def count(before: Count | None, event: TaskCreated) -> Count:
        return Count(before.folded + 1 if before else 1)

    app = App(Memory(), registry, transport(upstash))
    site.answer = Endpoint(app).handle
    struck = upstash.faults.add(fault, half="qstash", count=2)
    for number in range(4):
        app.event_store.append(f"task-{number}", TaskCreated(str(number), "Do the dishes"))
    deliver(upstash, 60)  # past the first retry
    assert struck.struck
    assert dict(app.projection_store.view(counts).items()) == {str(number): Count(1) for number in range(4)}
    assert set(site.statuses) == {200}
