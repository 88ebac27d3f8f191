"""The endpoint on plain values: every status that it answers, and that it says nothing to a stranger."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping
from typing import Any

import pytest

from eventsource_upstash import App, Append, AsyncApp, Memory, Misuse, Projector
from eventsource_upstash.web import (
    AsyncEndpoint,
    Endpoint,
    Request,
    Response,
    Unverified,
    asgi_app,
    lambda_handler,
    wsgi_app,
)
from tests.faults.driving import COLOURS, Colour
from tests.unit.todo import Task, TaskCreated, todo
from tests.web.support import SECRETS, URL, Posted, Public, Signed, post, signed, with_tasks


@pytest.fixture(params=COLOURS)
def colour(request: pytest.FixtureRequest) -> Colour:
    colour: Colour = request.param
    return colour


def handle(colour: Colour, app: App, coloured: AsyncApp, request: Request, **options: Any) -> Response:
    options.setdefault("verifier", Signed())
    if colour == "blocking":
        response = Endpoint(app, **options).handle(request)
    else:
        response = asyncio.run(AsyncEndpoint(coloured, **options).handle(request))
    told = f"{response.headers}{response.body.decode()}"
    assert not [secret for secret in SECRETS if secret in told]
    assert len(response.headers["content-type"]) > 5
    body = json.loads(response.body)
    if response.status != 200:
        assert response.headers["content-type"] == "application/problem+json"
        assert body["status"] == response.status
        assert body.keys() == {"status", "title"}
    return response


def test_200_when_every_projection_reached_the_position(colour: Colour) -> None:
    app, coloured, the = with_tasks()
    response = handle(colour, app, coloured, post(b'{"position": 3}'))
    assert (response.status, response.headers["content-type"]) == (200, "application/json")
    assert json.loads(response.body) == {"applied": 3, "position": 3, "head": 3}
    assert app.projection_store.view(the.tasks).count() == 3
    again = handle(colour, app, coloured, post(b'{"position": 3}'))
    assert json.loads(again.body) == {"applied": 0, "position": 3, "head": 3}
    older = handle(colour, app, coloured, post(b'{"position": 1}'))
    assert older.status == 200


@pytest.mark.parametrize(
    "body", [b"", b"{}", b'{"position": 0}', b'{"position": 1, "more": [1, 2]}', b' {"position":1}\n']
)
def test_200_for_any_hint(colour: Colour, body: bytes) -> None:
    app, coloured, the = with_tasks()
    assert handle(colour, app, coloured, post(body)).status == 200
    assert app.projection_store.view(the.tasks).count() == 3


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD", "OPTIONS", "post", ""])
def test_405_for_anything_but_a_post(colour: Colour, method: str) -> None:
    app, coloured, the = with_tasks()
    response = handle(colour, app, coloured, post(b"{}")._replace(method=method))
    assert (response.status, response.headers["allow"]) == (405, "POST")
    assert app.projection_store.view(the.tasks).count() == 0


def test_413_for_what_is_too_long_for_a_notification(colour: Colour) -> None:
    app, coloured, the = with_tasks()
    longest = b'{"position": 3}'.ljust(64 * 1024)
    assert handle(colour, app, coloured, post(longest)).status == 200
    app, coloured, the = with_tasks()
    assert handle(colour, app, coloured, post(longest + b" ")).status == 413
    assert app.projection_store.view(the.tasks).count() == 0


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"upstash-signature": ""},
        {"upstash-signature": "x"},
        signed(b'{"position": 4}'),
        signed(b"{}", URL + "/other"),
    ],
)
def test_401_for_what_was_not_signed(colour: Colour, headers: dict[str, str], caplog: pytest.LogCaptureFixture) -> None:
    app, coloured, the = with_tasks()
    response = handle(colour, app, coloured, Request("POST", URL, headers, b'{"position": 3}'))
    assert response.status == 401
    assert app.projection_store.view(the.tasks).count() == 0
    assert "refused a notification: the signature does not match" in caplog.text


@pytest.mark.parametrize(
    "body",
    [
        *(b"{", b"[]", b"3", b"null", b'"3"', b'{"position": "3"}', b'{"position": 3.5}', b'{"position": -1}'),
        *(b'{"position": null}', b'{"position": true}', b"\xff", b"\x00", b"position=3"),
        pytest.param(b'{"x": ' + b"[" * 60_000, id="deep"),
        pytest.param(b'{"x": ' + b"[" * 30_000 + b"]" * 30_000 + b"}", id="deep and whole"),
    ],
)
def test_489_for_what_no_retry_can_mend(colour: Colour, body: bytes) -> None:
    app, coloured, the = with_tasks()
    response = handle(colour, app, coloured, post(body))
    assert (response.status, response.headers["upstash-nonretryable-error"]) == (489, "true")
    assert app.projection_store.view(the.tasks).count() == 0


@pytest.mark.parametrize("position", [4, 10**6, 2**63 - 1])
def test_500_for_a_position_that_the_log_does_not_have_yet(colour: Colour, position: int) -> None:
    app, coloured, the = with_tasks()
    assert handle(colour, app, coloured, post(b'{"position": %d}' % position)).status == 500
    assert app.projection_store.view(the.tasks).count() == 3, "what is there is folded all the same"


def failing() -> tuple[App, AsyncApp, Any]:
    the = todo()
    counts = the.registry.projection("failing", Task)

    @counts.on(TaskCreated, key="id")
    def created(task: Task | None, event: TaskCreated) -> Task:
        if event.id == "1":
            raise ZeroDivisionError("only we know this")
        return Task(event.id, event.text)

    backend = Memory()
    app = App(backend, the.registry, None)
    for number in range(3):
        app.event_store.append(f"task-{number}", TaskCreated(str(number), "x"))
    return app, AsyncApp(backend, the.registry, None), the


def test_500_without_a_word_for_a_projection_that_is_stopped(colour: Colour, caplog: pytest.LogCaptureFixture) -> None:
    app, coloured, the = failing()
    for _ in range(2):
        response = handle(colour, app, coloured, post(b'{"position": 3}'))
        assert (response.status, json.loads(response.body)["title"]) == (500, "not folded yet; try again")
    assert app.projection_store.view(the.tasks).count() == 3
    assert "ZeroDivisionError: only we know this" in caplog.text, "the operator is told"


def test_489_once_for_a_reactor_that_is_stopped_at_a_reaction(colour: Colour, caplog: pytest.LogCaptureFixture) -> None:
    the = todo()
    backend = Memory()
    reactor = the.registry.reactor("copies")
    reactor.on(TaskCreated)(lambda _: Append("copy", TaskCreated("1", "x"), expected_revision=7))
    app = App(backend, the.registry, None)
    coloured = AsyncApp(backend, the.registry, None)
    app.event_store.append("task-1", TaskCreated("1", "x"))
    for _ in range(2):
        response = handle(colour, app, coloured, post(b'{"position": 1}'))
        assert (response.status, response.headers["upstash-nonretryable-error"]) == (489, "true")
        assert json.loads(response.body)["title"] == "a reactor has stopped"
        assert not any(secret in response.body.decode() for secret in SECRETS)
    assert app.projection_store.view(the.tasks).count() == 1, "everybody else is at the position"
    assert "reactor 'copies' stopped at the reaction to the event at position 1" in caplog.text, "the operator is told"
    app.reactions.discard(reactor)
    assert handle(colour, app, coloured, post(b'{"position": 1}')).status == 200


class Broken:
    def __init__(self, error: Exception) -> None:
        self.error = error

    def verify(self, headers: Mapping[str, str], body: bytes, url: str) -> None:
        raise self.error


@pytest.mark.parametrize("error", [KeyError("only we know this"), RuntimeError("only we know this"), Misuse("task-1")])
def test_500_without_a_word_for_a_verifier_that_fails(
    colour: Colour, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    app, coloured, the = with_tasks()
    assert handle(colour, app, coloured, post(b"{}"), verifier=Broken(error)).status == 500
    assert app.projection_store.view(the.tasks).count() == 0, "what is not verified is not acted on"
    assert type(error).__name__ in caplog.text


def test_out_of_time_it_hands_the_rest_to_another_delivery(colour: Colour) -> None:
    posted = Posted()
    app, coloured, the = with_tasks(2500, posted)
    deliveries = 0
    while True:
        deliveries += 1
        response = handle(colour, app, coloured, post(b'{"position": 2500}'), time_budget=1e-9)
        assert response.status == 200
        if not posted.positions:
            break
        assert posted.positions.pop() == 2500
        assert app.projection_store.status()[0].checkpoint == 1000 * deliveries, "each makes some headway"
    assert deliveries == 3
    assert app.projection_store.view(the.tasks).count() == 2500


def test_500_when_the_rest_cannot_be_handed_on(colour: Colour, caplog: pytest.LogCaptureFixture) -> None:
    class Unreachable(Posted):
        async def send(self, position: int, raised_us: int) -> Any:
            if self.positions:
                raise ConnectionError("only we know this")
            return await super().send(position, raised_us)

    posted = Unreachable()
    app, coloured, _ = with_tasks(2500, None)
    posted.positions.append(0)
    app = App(app.backend, app.registry, posted)
    coloured = AsyncApp(app.backend, app.registry, posted)
    assert handle(colour, app, coloured, post(b'{"position": 2500}'), time_budget=1e-9).status == 500
    assert "ConnectionError" in caplog.text


# --- what it refuses to start with


@pytest.mark.parametrize("make", [Endpoint, wsgi_app, lambda_handler])
def test_it_refuses_to_run_open_on_a_public_backend(make: Any) -> None:
    the = todo()
    app = App(Public(Memory()), the.registry, None)
    for given in (app, app.projector, Projector(app.event_store, app.projection_store)):
        with pytest.raises(Misuse, match=r"would be open to everybody: .*no verifier is configured"):
            make(given)
        make(given, verifier=Signed())


@pytest.mark.parametrize("make", [AsyncEndpoint, asgi_app])
def test_it_refuses_to_run_open_on_a_public_backend_in_the_other_colour(make: Any) -> None:
    the = todo()
    app = AsyncApp(Public(Memory()), the.registry, None)
    for given in (app, app.projector):
        with pytest.raises(Misuse, match=r"would be open to everybody: .*no verifier is configured"):
            make(given)
        make(given, verifier=Signed())


def test_in_one_process_nobody_need_sign() -> None:
    app, _, _ = with_tasks()
    assert Endpoint(app).handle(Request("POST", URL, {}, b"")).status == 200
    assert Endpoint(app.projector).handle(Request("POST", URL, {}, b"")).status == 200


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"public_url": ""}, "public_url= is no whole URL"),
        ({"public_url": "/projections"}, "public_url= is no whole URL"),
        ({"public_url": "app.example.com"}, "public_url= is no whole URL"),
        ({"time_budget": 0}, "time_budget=0: it is a number of seconds above 0"),
        ({"time_budget": -1}, "time_budget=-1"),
        ({"time_budget": float("nan")}, "time_budget=nan"),
    ],
)
@pytest.mark.parametrize("make", [Endpoint, wsgi_app, lambda_handler])
def test_options_that_cannot_be_ones(make: Any, options: dict[str, Any], told: str) -> None:
    app, _, _ = with_tasks(0)
    with pytest.raises(Misuse) as caught:
        make(app, **options)
    assert told in str(caught.value)


# --- what the verifier is given


class Noting:
    def __init__(self) -> None:
        self.seen: list[tuple[Mapping[str, str], bytes, str]] = []

    def verify(self, headers: Mapping[str, str], body: bytes, url: str) -> None:
        self.seen.append((headers, body, url))
        raise Unverified


def test_the_verifier_is_given_the_url_that_was_addressed(colour: Colour) -> None:
    app, coloured, _ = with_tasks()
    noting = Noting()
    inside = Request("POST", "http://10.0.0.7:8080/internal", {"a": "b"}, b"{}")
    assert handle(colour, app, coloured, inside, verifier=noting).status == 401
    assert handle(colour, app, coloured, inside, verifier=noting, public_url=URL).status == 401
    assert noting.seen == [({"a": "b"}, b"{}", inside.url), ({"a": "b"}, b"{}", URL)]


def test_a_proxy_that_changes_the_url_needs_the_public_one(colour: Colour) -> None:
    app, coloured, _ = with_tasks()
    behind = post(b"{}")._replace(url="http://10.0.0.7:8080/internal")
    assert handle(colour, app, coloured, behind).status == 401
    assert handle(colour, app, coloured, behind, public_url=URL).status == 200


def test_nothing_is_logged_of_a_body_that_is_no_notification(colour: Colour, caplog: pytest.LogCaptureFixture) -> None:
    app, coloured, _ = with_tasks()
    with caplog.at_level(logging.INFO):
        handle(colour, app, coloured, post(b'{"position": "my password"}'))
    assert "my password" not in caplog.text
