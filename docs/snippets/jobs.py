"""Jobs of the app's own: registering them, sending to them, and serving them in web frameworks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import pytest

from eventsource_upstash import Job, Registry, connect, connect_async


@dataclass(frozen=True)
class Reported:
    month: str
    rows: int


registry = Registry()
registry.event("reported")(Reported)


def rows_of(month: str) -> int:
    return len(month)


def test_job() -> None:
    # --8<-- [start:job]
    from dataclasses import dataclass

    from eventsource_upstash import connect

    @dataclass(frozen=True)
    class Wanted:
        month: str

    app = connect("memory:", registry)

    @app.job("/workers/report")
    def report(job: Job) -> None:
        wanted = job.json(Wanted)
        reported = Reported(wanted.month, rows_of(wanted.month))
        app.event_store.append(f"report-{wanted.month}", reported, idempotency_key=job.id)

    # --8<-- [end:job]
    # --8<-- [start:send]
    app.messages.send("/workers/report", Wanted("2026-11"))
    # --8<-- [end:send]
    delivered = app.messages.deliver_due()
    assert (delivered.delivered, delivered.failed) == (1, 0)
    (recorded,) = app.event_store.read_stream("report-2026-11")
    assert recorded.event == Reported("2026-11", 7)
    app.close()


def test_errors() -> None:
    app = connect("memory:", registry)
    printer: dict[str, object] = {"busy": True}
    # --8<-- [start:errors]
    from eventsource_upstash import Job, NotRetryable, RetryLater

    @app.job("/workers/print")
    def print_page(job: Job) -> str:
        if len(job.body) > 100:
            raise NotRetryable("the page is too long for this printer")
        if printer["busy"]:
            raise RetryLater("the printer is busy", after=60)
        return "printed"

    # --8<-- [end:errors]
    with pytest.raises(RetryLater):
        print_page(Job("/workers/print", "m-1"))
    printer["busy"] = False
    assert print_page(Job("/workers/print", "m-1")) == "printed"
    with pytest.raises(NotRetryable):
        print_page(Job("/workers/print", "m-1", b"x" * 101))
    app.close()


class Worker:
    """A job that keeps the ids of its messages."""

    def __init__(self) -> None:
        self.done: list[str] = []

    def __call__(self, job: Job) -> None:
        self.done.append(job.id)


def posted(client: Any) -> list[int]:
    """The statuses of a notification, a message for a job, and one for a job that is not there."""
    headers = {"eventsource-message-id": "m-1"}
    paths = ("/projections", "/workers/report", "/workers/other")
    return [client.post(path, headers=headers).status_code for path in paths]


def test_starlette() -> None:
    app = connect_async("memory:", registry)
    worker = Worker()
    app.job("/workers/report")(worker)
    # --8<-- [start:starlette]
    from starlette.applications import Starlette
    from starlette.routing import Mount, Route

    from eventsource_upstash.web import asgi_app, asgi_jobs

    site = Starlette(
        routes=[
            Route("/projections", asgi_app(app), methods=["POST"]),
            Mount("/workers", asgi_jobs(app)),
        ]
    )
    # --8<-- [end:starlette]
    from starlette.testclient import TestClient

    with cast("Any", TestClient(site)) as client:
        assert client.post("/projections").status_code == 200
        assert (
            client.post("/workers/report", headers={"eventsource-message-id": "m-1"}).status_code
            == 200
        )
        assert client.post("/workers/other").status_code == 404
    assert worker.done == ["m-1"]


def test_flask() -> None:
    app = connect("memory:", registry)
    worker = Worker()
    app.job("/workers/report")(worker)
    # --8<-- [start:flask]
    import flask
    from werkzeug.middleware.dispatcher import DispatcherMiddleware

    from eventsource_upstash.web import wsgi_app, wsgi_jobs

    site = flask.Flask("reports")
    site.wsgi_app = DispatcherMiddleware(  # type: ignore[method-assign]  # as Flask's own docs do
        site.wsgi_app, {"/projections": wsgi_app(app), "/workers": wsgi_jobs(app)}
    )
    # --8<-- [end:flask]
    client = site.test_client()
    assert client.post("/projections").status_code == 200
    assert (
        client.post("/workers/report", headers={"eventsource-message-id": "m-1"}).status_code == 200
    )
    assert worker.done == ["m-1"]
    app.close()


def test_lambda() -> None:
    app = connect("memory:", registry)
    worker = Worker()
    app.job("/workers/report")(worker)
    # --8<-- [start:lambda]
    from eventsource_upstash.web import lambda_handler, lambda_jobs

    notified, worked = lambda_handler(app), lambda_jobs(app)

    def handler(event: dict[str, object], context: object) -> dict[str, object]:
        serve = notified if event["rawPath"] == "/projections" else worked
        return serve(event, context)

    # --8<-- [end:lambda]
    for path in ("/projections", "/workers/report"):
        event: dict[str, object] = {
            "version": "2.0",
            "rawPath": path,
            "headers": {"host": "reports.example.com", "eventsource-message-id": "m-1"},
            "requestContext": {"http": {"method": "POST"}},
        }
        assert handler(event, None)["statusCode"] == 200
    assert worker.done == ["m-1"]
    app.close()


def test_later() -> None:
    now = 1_795_244_434
    app = connect("memory:", registry, clock=lambda: now * 1_000_000_000)
    worker = Worker()
    app.job("/workers/report")(worker)
    # --8<-- [start:later]
    tomorrow = 24 * 3600
    app.messages.send("/workers/report", {"month": "2026-11"}, id="report-2026-11", delay=tomorrow)
    # --8<-- [end:later]
    assert app.messages.deliver_due().delivered == 0
    now += tomorrow
    assert app.messages.deliver_due().delivered == 1
    assert worker.done == ["report-2026-11"]
    app.close()
