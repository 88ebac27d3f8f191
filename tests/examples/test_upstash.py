"""The to-do list on Upstash: who may notify, a burst, and chaos. Nothing sleeps: QStash's clock is moved by hand."""

from __future__ import annotations

import threading
from collections import Counter
from subprocess import Popen
from typing import TYPE_CHECKING, Any
from zlib import crc32

import httpx
import pytest

from eventsource_upstash import connect
from eventsource_upstash.web import Request
from examples.todo.app import AsyncTodo, Todo
from examples.todo.domain import CreateTask, Task, new_id, registry, tasks

if TYPE_CHECKING:
    from conftest import Caller, Serve, Server

    from tests.examples.cloud import Cloud

on_upstash = pytest.mark.parametrize(
    "caller", [f"{name}-upstash" for name in ("starlette", "fastapi", "flask", "django", "lambda")], indirect=True
)


@pytest.fixture
def backend(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty log, for this process too."""
    backend = cloud.backend()
    for name, value in cloud.environment(backend).items():
        monkeypatch.setenv(name, value)
    return backend


# -- Deliveries --


@on_upstash
def test_a_delivery_folds_what_nobody_asked_for(caller: Caller) -> None:
    caller.add("Folded by a delivery")
    caller.cloud.settle()
    assert caller.lag() == 0


@on_upstash
def test_who_is_not_qstash_is_refused(caller: Caller) -> None:
    caller.cloud.settle()
    body = b'{"position": 0}'
    good = caller.cloud.sign(caller.backend, body)
    forged = [
        {},
        {"upstash-signature": "x.y.z"},
        caller.cloud.sign(caller.backend, body, "sig_of_somebody_else"),
        caller.cloud.sign("upstash:another", body),
        caller.cloud.sign(caller.backend, b'{"position": 1}'),
    ]
    replies = [caller.send("POST", "/projections", body, headers) for headers in forged]
    assert [reply.status for reply in replies] == [401] * len(forged)
    assert all("sig_" not in reply.text for reply in replies)
    assert caller.send("POST", "/projections", body, good).status == 200
    assert caller.send("GET", "/projections", headers=good).status != 200


def test_a_delivery_wakes_the_feeds_and_a_forged_one_does_not(backend: str, cloud: Cloud) -> None:
    todo = Todo(backend)
    woken = todo.feed.flow.signal
    url, body = cloud.endpoint(backend), b'{"position": 0}'
    assert todo.notified(Request("POST", url, {}, body)).status == 401
    assert woken.count == 0
    assert todo.notified(Request("POST", url, cloud.sign(backend, body), body)).status == 200
    assert woken.count == 1
    todo.close()


async def woken_by_deliveries(backend: str, cloud: Cloud) -> list[int]:
    url, body = cloud.endpoint(backend), b'{"position": 0}'
    async with AsyncTodo(backend) as todo:
        woken = todo.feed.flow.signal
        await todo.notified(Request("POST", url, {}, body))
        refused = woken.count
        await todo.notified(Request("POST", url, cloud.sign(backend, body), body))
        return [refused, woken.count]


def test_the_same_for_event_loops(backend: str, cloud: Cloud) -> None:
    import asyncio

    assert asyncio.run(woken_by_deliveries(backend, cloud)) == [0, 1]


def test_no_worker_looks_at_the_log(backend: str) -> None:
    def workers() -> set[str]:
        return {thread.name for thread in threading.enumerate() if thread.name.startswith("eventsource-upstash-")}

    todo = Todo("memory:").start()
    assert workers()
    todo.close()
    todo = Todo(backend).start()
    assert not workers()
    todo.close()


def test_one_s_own_command_is_seen_although_no_delivery_arrives(serve: Serve, cloud: Cloud) -> None:
    backend = cloud.backend()
    server = serve(backend, "flask")
    with cloud.misbehaving() as upstash:
        upstash.faults.add("lose-delivery", count=None)
        task_id = server.add("Mine")
        cloud.settle()
        assert server.lag() == 1
        assert server.tasks()[task_id]["text"] == "Mine"
        assert server.lag() == 0


def test_what_another_process_acknowledged_is_seen_from_the_first_query_on(backend: str, cloud: Cloud) -> None:
    with cloud.misbehaving() as upstash:
        upstash.faults.add("lose-delivery", count=None)
        todo = Todo(backend)
        created = todo.perform(CreateTask(new_id(), "By another")).task
        other = Todo(backend)
        assert other.tasks() == [created]
        todo.close()
        other.close()


def test_the_page_asks_rarely(caller: Caller) -> None:
    billed = caller.backend.startswith("upstash:")
    assert caller.call("GET", "/api/events").json()["every"] == (5.0 if billed else 1.5)


# -- Many at a time --


class Clients:
    """Clients at work, each of which sends a request again, under its key, until it is answered."""

    def __init__(self, server: Server, texts: list[list[str]], *, changing: bool) -> None:
        self._changing = changing
        self._moved = threading.Condition()
        self._url = server.url
        self._done = 0
        self._lost: list[str] = []
        self._threads = [threading.Thread(target=self._work, args=each) for each in enumerate(texts)]
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        for thread in self._threads:
            thread.join()
        assert self._lost == []

    def move(self, server: Server) -> None:
        """There is a new server."""
        with self._moved:
            self._url = server.url
            self._moved.notify_all()

    def wait(self, count: int) -> None:
        """Until so many requests were answered."""
        with self._moved:
            assert self._moved.wait_for(lambda: self._done >= count or bool(self._lost), 60)

    def _work(self, client: int, texts: list[str]) -> None:
        try:
            with httpx.Client(trust_env=False, timeout=60) as http:
                for number, text in enumerate(texts):
                    self._live(http, f"{client} {number}", number, text)
        except Exception as error:
            with self._moved:
                self._lost.append(f"client {client}: {error!r}")
                self._moved.notify_all()

    def _live(self, http: httpx.Client, key: str, number: int, text: str) -> None:
        """Every task is created. If they change, every second one is ticked, and every third one deleted then."""
        task = self._send(http, f"{key} create", "POST", "/api/tasks", {"text": text})
        where = f"/api/tasks/{task['id']}"
        if self._changing and number % 2 == 0:
            self._send(http, f"{key} tick", "PATCH", where, {"done": True})
        if self._changing and number % 3 == 0:
            self._send(http, f"{key} delete", "DELETE", where, None)

    def _send(self, http: httpx.Client, key: str, method: str, path: str, value: object) -> Any:
        refusals = 0
        deaf = self._changing and crc32(key.encode()) % 3 == 0  # the first answer is lost on its way
        while True:
            url = self._url
            try:
                reply = http.request(method, url + path, json=value, headers={"Idempotency-Key": key})
            except httpx.TransportError:
                with self._moved:  # killed: until there is another
                    assert self._moved.wait_for(lambda url=url: self._url != url, 60)  # type: ignore[misc]
                continue
            if reply.status_code == 503 and refusals < 100:
                refusals += 1
                continue
            assert reply.status_code in {200, 201, 204}, f"{key}: {reply.status_code} {reply.text}"
            if deaf:
                deaf = False
                continue
            with self._moved:
                self._done += 1
                self._moved.notify_all()
            return reply.json() if reply.content else None


def expected(texts: list[str], *, changing: bool) -> tuple[Counter[tuple[str, bool]], dict[str, list[str]]]:
    """The list, and each text's events."""
    if not changing:
        return Counter((text, False) for text in texts), {text: ["create-task"] for text in texts}
    left = Counter((text, number % 2 == 0) for number, text in enumerate(texts) if number % 3)
    told = {
        text: ["create-task", *["update-task"] * (number % 2 == 0), *["delete-task"] * (number % 3 == 0)]
        for number, text in enumerate(texts)
    }
    return left, told


def assert_complete_and_exact(backend: str, server: Server, texts: list[list[str]], *, changing: bool) -> None:
    """View, log and what the server shows are what the clients did, each task once; and nobody's query helped."""
    with connect(backend, registry) as app:
        (status,) = app.projection_store.status()
        assert (status.state, status.lag) == ("current", 0)
        stored = list(app.projection_store.view(tasks).items())
        recorded = list(app.event_store.read())
    left: Counter[tuple[str, bool]] = Counter()
    told: dict[str, list[str]] = {}
    for each in texts:
        more, events = expected(each, changing=changing)
        left += more
        told |= events
    assert Counter((task.text, task.done) for _, task in stored) == left
    streams: dict[str, list[str]] = {}
    for event in recorded:
        streams.setdefault(event.stream, []).append(event.type)
    names = {event.stream: event.event.text for event in recorded if event.type == "create-task"}  # type: ignore[attr-defined]
    assert {names[stream]: types for stream, types in streams.items()} == told
    assert [event.position for event in recorded] == list(range(1, status.head + 1))
    assert [Task(**task) for task in server.tasks().values()] == [task for _, task in stored]


def test_a_burst_of_500_tasks_from_8_clients(serve: Serve, backend: str, cloud: Cloud) -> None:
    server = serve(backend)
    texts = [[f"{client}.{number}" for number in range(62 + client % 2)] for client in range(8)]
    assert sum(map(len, texts)) == 500
    Clients(server, texts, changing=False).join()
    cloud.settle()
    assert_complete_and_exact(backend, server, texts, changing=False)
    assert server.complaints() == ""


REQUESTS = ["lose-request", "lose-answer", "cut-answer", "duplicate", "error-500"]
PUBLISHES = ["lose-answer", "duplicate", "error-500", "lose-request", "lose-request", "lose-request"]
DELIVERIES = ["deliver-twice", "deliver-late", "lose-delivery-answer", "deliver-out-of-order", "lose-delivery"]


@pytest.mark.parametrize("framework", ["starlette", "flask"])
def test_chaos(serve: Serve, backend: str, cloud: Cloud, framework: str) -> None:
    """Requests and answers lost, deliveries late, twice, out of order; and the app killed, twice."""
    server = serve(backend, framework)
    with connect(backend, registry) as app:
        app.schedules.ensure_sweep("*/5 * * * *")
    texts = [[f"{client}.{number}" for number in range(12)] for client in range(4)]
    requests = sum(len(types) for each in texts for types in expected(each, changing=True)[1].values())
    with cloud.misbehaving() as upstash:
        for seed, kind in enumerate(REQUESTS):
            upstash.faults.add(kind, half="redis", count=None, probability=0.03, seed=seed)
        for kind in PUBLISHES:  # in turn, each once
            upstash.faults.add(kind, half="qstash", path="/v2/publish/*")
        for kind in DELIVERIES * 2:
            upstash.faults.add(kind, half="qstash", path="https://*", seconds=20)
        clients = Clients(server, texts, changing=True)
        for round_ in range(1, 3):
            clients.wait(requests * round_ // 3)
            server.end(Popen.kill)
            cloud.wait(40)  # what arrives now finds nobody
            server = serve(backend, framework)
            clients.move(server)
        clients.join()
        cloud.wait(15 * 60)  # retries, what is late, and sweeps
        left = upstash.faults.active()
    # How many notifications are owed depends on who is quick: the first one of each turn is certain, retries included.
    assert sum(fault.struck for fault in left if fault.half == "redis") >= len(REQUESTS)
    assert [fault.path for fault in left].count("/v2/publish/*") < len(PUBLISHES) - 1
    assert [fault.path for fault in left].count("https://*") <= len(DELIVERIES)
    assert_complete_and_exact(backend, server, texts, changing=True)
