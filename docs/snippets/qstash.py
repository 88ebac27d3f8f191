"""Notifications through QStash: wiring, the receiver, proxies, the sweep."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from typing import Any, TypeAlias
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest

from docs.snippets.todo import CreateTask, Task, registry, task, tasks
from eventsource_upstash.local.qstash.settings import Settings
from eventsource_upstash.local.server import LocalUpstash

# Any: WSGI's own types are named from Python 3.11 on only.
Application: TypeAlias = Callable[[Any, Any], Iterable[bytes]]

PUBLIC = "https://app.example.com"


class _Silent(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


class _Site:
    application: Application

    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        return self.application(environ, start_response)


@contextmanager
def _upstash(monkeypatch: pytest.MonkeyPatch) -> Generator[tuple[LocalUpstash, _Site], None, None]:
    """A local Upstash in the environment, and a site that it delivers to."""
    site = _Site()
    with make_server("127.0.0.1", 0, site, handler_class=_Silent) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        mapping = {PUBLIC: f"http://127.0.0.1:{server.server_port}"}
        try:
            with LocalUpstash(qstash=Settings(mapping=mapping)) as upstash:
                for name, value in upstash.environment().items():
                    monkeypatch.setenv(name, value)
                monkeypatch.setenv("EVENTSOURCE_NOTIFY_URL", f"{PUBLIC}/projections")
                yield upstash, site
        finally:
            server.shutdown()
            thread.join()


def test_connect(monkeypatch: pytest.MonkeyPatch) -> None:
    with _upstash(monkeypatch) as (upstash, site):
        # --8<-- [start:connect]
        from eventsource_upstash import connect
        from eventsource_upstash.web import wsgi_app

        app = connect("upstash:", registry)
        projections = wsgi_app(app)  # serve it where EVENTSOURCE_NOTIFY_URL points to
        # --8<-- [end:connect]
        site.application = projections
        app.event_store.execute(task, "task-1", CreateTask("Do the dishes"))
        upstash.run(upstash.qstash.idle())
        assert app.projection_store.view(tasks).get("task-1") == Task("Do the dishes")
        # --8<-- [start:sweep]
        sweep = app.schedules.ensure_sweep("*/5 * * * *")
        print(sweep.schedule_id, sweep.changed)
        # --8<-- [end:sweep]
        assert not app.schedules.ensure_sweep("*/5 * * * *").changed
        # --8<-- [start:schedules]
        mondays = "CRON_TZ=Europe/Berlin 0 8 * * 1"
        app.schedules.create(mondays, "https://app.example.com/report", schedule_id="report")
        app.schedules.pause("report")
        for schedule in app.schedules.list():
            print(schedule.id, schedule.cron, schedule.paused)
        # --8<-- [end:schedules]
        app.close()


def test_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    with _upstash(monkeypatch) as (upstash, site):
        # --8<-- [start:by-hand]
        from eventsource_upstash import (
            Delivery,
            EventStore,
            Memory,
            Notifier,
            ProjectionStore,
            Projector,
            QStash,
        )
        from eventsource_upstash.web import wsgi_app

        transport = QStash.from_env(
            "https://app.example.com/projections",
            namespace="todo",
            delivery=Delivery(parallelism=1, retries=5, timeout=30, label="todo-notifications"),
        )
        backend = Memory()
        event_store = EventStore(backend, registry, notifier=Notifier(transport))
        projector = Projector(event_store, ProjectionStore(backend, registry))
        projections = wsgi_app(projector)
        # --8<-- [end:by-hand]
        site.application = projections
        event_store.execute(task, "task-1", CreateTask("Do the dishes"))
        upstash.run(upstash.qstash.idle())
        assert projector.projection_store.view(tasks).count() == 1
        # --8<-- [start:proxies]
        from eventsource_upstash import TrustedProxies

        proxies = TrustedProxies(hops=1, header="x-forwarded")
        verifier = transport.receiver(proxies=proxies, leeway=5)
        projections = wsgi_app(projector, verifier=verifier)
        # --8<-- [end:proxies]
        # --8<-- [start:public-url]
        projections = wsgi_app(projector, public_url="https://app.example.com/projections")
        # --8<-- [end:public-url]
        site.application = projections
        event_store.execute(task, "task-2", CreateTask("Do the shopping"))
        upstash.run(upstash.qstash.idle())
        assert projector.projection_store.view(tasks).count() == 2


def test_official_client(monkeypatch: pytest.MonkeyPatch) -> None:
    with _upstash(monkeypatch) as (upstash, _):
        url, token = upstash.qstash_url, upstash.environment()["QSTASH_TOKEN"]
        # --8<-- [start:client]
        import qstash

        from eventsource_upstash import QStash

        client = qstash.QStash(token, base_url=url)
        transport = QStash("https://app.example.com/projections", client=client)
        # --8<-- [end:client]
        assert transport.client is client
