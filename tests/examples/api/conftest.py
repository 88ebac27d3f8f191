"""The API on memory and on a local Upstash, with a clock that the tests move."""

from __future__ import annotations

import asyncio
import itertools
import socket
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
import uvicorn
from starlette.testclient import TestClient

from examples.api.asgi_app import create_app
from examples.api.service import Service
from examples.api.settings import Settings
from tests.examples.cloud import Cloud

NAMES = itertools.count(1)
DAY = 86_400


class Site:
    """The API, served somewhere, and what a test can do to it."""

    service: Service

    def __init__(self) -> None:
        self.moved = 0.0

    def clock(self) -> int:
        return time.time_ns() + int(self.moved * 1e9)

    def send(self, method: str, path: str, **options: Any) -> Any:
        raise NotImplementedError

    def call(self, method: str, path: str, value: object = None, **headers: str) -> Any:
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        return self.send(method, path, headers=named, **({} if value is None else {"json": value}))

    def sign_in(self, name: str = "user") -> Person:
        name = f"{name}-{next(NAMES)}"
        answer = self.call("POST", "/session", {"name": name})
        assert answer.status_code == 201, answer.text
        return Person(self, name, answer.json()["token"])

    def settle(self) -> None:
        """Have everything done that is due."""
        raise NotImplementedError

    def wait(self, seconds: float) -> None:
        """Have time pass, with all that becomes due meanwhile."""
        raise NotImplementedError

    def head(self) -> int:
        """Where the log ends. In the tests' own loop: what the service holds is bound to none."""
        return asyncio.run(self.service.app.event_store.head())

    def history(self, stream: str) -> list[str]:
        """The names of a stream's events."""
        return asyncio.run(self._history(stream))

    async def _history(self, stream: str) -> list[str]:
        return [recorded.type async for recorded in self.service.app.event_store.read_stream(stream)]

    def deliver(self, job: str, body: object, id: str) -> None:
        """Deliver a message to a job, as often as it is called."""
        asyncio.run(self.service.app.messages.send(job, body, id=id))


class Person:
    """Somebody who signed in."""

    def __init__(self, site: Site, name: str, token: str) -> None:
        self.site = site
        self.name = name
        self.token = token

    def call(self, method: str, path: str, value: object = None, **headers: str) -> Any:
        return self.site.call(method, path, value, authorization=f"Bearer {self.token}", **headers)

    def get(self, path: str) -> Any:
        answer = self.call("GET", path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def writes(self, text: str) -> str:
        answer = self.call("POST", "/posts", {"text": text})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def again(self) -> Person:
        """The same person, who signs in once more: the session before has ended meanwhile."""
        return Person(self.site, self.name, self.site.call("POST", "/session", {"name": self.name}).json()["token"])

    def likes(self, post: str) -> None:
        assert self.call("PUT", f"/posts/{post}/like").status_code == 200


class Here(Site):
    """In this process, without a worker: what a worker would do happens when a test says so."""

    def __init__(self) -> None:
        super().__init__()
        settings = Settings("memory:", report_takes=timedelta(0))
        self.service = Service(settings, clock=self.clock)
        asyncio.run(self.service.set_up())
        self.http = TestClient(create_app(self.service))  # not entered: its lifespan would start the worker

    def send(self, method: str, path: str, **options: Any) -> Any:
        return self.http.request(method, path, **options)

    def settle(self) -> None:
        asyncio.run(self._settle())

    async def _settle(self) -> None:
        while True:
            await self.service.app.projector.catch_up()
            delivered = await self.service.app.messages.deliver_due()
            if not delivered.delivered and not delivered.failed:
                return

    def wait(self, seconds: float) -> None:
        self.settle()
        self.moved += seconds
        self.settle()


class Remote(Site):
    """On a server of its own, over a local Upstash that delivers to it."""

    def __init__(self, cloud: Cloud) -> None:
        super().__init__()
        self.cloud = cloud
        backend = cloud.backend()
        with pytest.MonkeyPatch.context() as patch:
            for name, value in cloud.environment(backend).items():
                patch.setenv(name, value)
            self.service = Service(Settings(backend, report_takes=timedelta(0)), clock=self.clock)
            self.other = Service(Settings(backend, report_takes=timedelta(0)), clock=self.clock)
        self.listener = socket.create_server(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.server = uvicorn.Server(uvicorn.Config(create_app(self.service), log_level="warning"))
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.listener]})
        cloud.deliver(backend, url)
        self.thread.start()
        self.http = httpx.Client(base_url=url, timeout=60, trust_env=False)

    def send(self, method: str, path: str, **options: Any) -> Any:
        return self.http.request(method, path, **options)

    def settle(self) -> None:
        self.cloud.settle()

    def wait(self, seconds: float) -> None:
        self.settle()
        self.moved += seconds
        self.cloud.wait(seconds)
        self.settle()

    def stop(self) -> None:
        self.http.close()
        self.server.should_exit = True
        self.thread.join(60)


@pytest.fixture(scope="session")
def api_cloud() -> Iterator[Cloud]:
    """A local Upstash whose clock these tests move by days."""
    with Cloud() as cloud:
        yield cloud


@pytest.fixture(scope="session", params=["here", "upstash"])
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    if request.param == "here":
        yield Here()
        return
    site = Remote(request.getfixturevalue("api_cloud"))
    yield site
    site.stop()


@pytest.fixture
def here() -> Here:
    """An API of the test's own, in memory."""
    return Here()
