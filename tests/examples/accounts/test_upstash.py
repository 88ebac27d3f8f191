"""The functions on an Upstash on this machine: QStash carries what goes between them, and all of it misbehaves."""

from __future__ import annotations

import contextlib
import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from tests.examples.accounts.history import Changed, Decided, violations
from tests.examples.accounts.load import Load, Told, open_accounts

if TYPE_CHECKING:
    from conftest import Functions

    from tests.examples.cloud import Cloud

CALLERS = 3
CALLS = 15
"""Of each caller."""


@contextlib.contextmanager
def served(functions: Functions, name: str) -> Iterator[str]:
    """Serves a function over HTTP on this machine, as its function URL does, for deliveries to arrive at."""

    class Gateway(BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # the name that its base class calls
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            # As a gateway does, it says nothing of where it is itself.
            headers = {name.lower(): value for name, value in self.headers.items() if name.lower() != "host"}
            reply = functions[name].send("POST", self.path, body, headers)
            self.send_response(reply.status)
            for each in ("retry-after", "upstash-nonretryable-error"):
                if each in reply.headers:
                    self.send_header(each, reply.headers[each])
            self.end_headers()
            self.wfile.write(reply.text.encode())

        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Gateway) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def on_upstash(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Iterator[Functions]:
    """The functions on Lambda, over two namespaces of one Redis."""
    from tests.examples.accounts.conftest import Functions

    accounts, orders = cloud.backend(), cloud.backend()
    functions = Functions("lambda", accounts, orders)
    monkeypatch.setenv("ORDERS_URL", cloud.endpoint(orders).removesuffix("/projections"))
    with contextlib.ExitStack() as stack:
        stack.callback(functions.close)
        for name, backend in functions.backends.items():
            with pytest.MonkeyPatch.context() as patch:
                for variable, value in cloud.environment(backend).items():
                    patch.setenv(variable, value)
                assert functions[name]
            if name in {"processor", "orders"}:
                cloud.deliver(backend, stack.enter_context(served(functions, name)))
        yield functions


def test_a_suspension_arrives(on_upstash: Functions, cloud: Cloud) -> None:
    account = on_upstash.open("Tea", "activate")
    cloud.settle()
    assert on_upstash.order(account).status == 201
    suspended = on_upstash["commands"].call("PUT", f"/accounts/{account}/commands/suspend", {"reason": "Does not pay"})
    cloud.settle()
    assert on_upstash.order(account).json()["standing"] == "suspended"
    status = on_upstash["processor"].get("/status")
    assert (status["lag"], status["reactor"]["pending"]) == (0, 0)
    assert on_upstash["queries"].get(f"/accounts/{account}")["revision"] == suspended.json()["revision"] == 3
    cloud.settle()
    assert on_upstash["orders"].get("/standings")["items"][0]["document"]["refused"] == 1


@pytest.mark.parametrize(("name", "path"), [("processor", "/projections"), ("orders", "/jobs/standings")])
def test_what_is_not_signed_is_refused(on_upstash: Functions, name: str, path: str) -> None:
    told = {"account": "a", "standing": "active", "revision": 1}
    assert on_upstash[name].call("POST", path, told).status == 401
    assert on_upstash.head("orders") == 0


def test_everything_misbehaves(on_upstash: Functions, cloud: Cloud) -> None:
    seed = random.randrange(10**6)
    print(f"seed {seed}")  # noqa: T201  shown when it fails

    def call(name: str, method: str, path: str, value: object, key: str) -> tuple[int, Told]:
        while True:
            reply = on_upstash[name].call(method, path, value, idempotency_key=key)
            if reply.status != 503:
                return reply.status, reply.json()

    for name in ("processor", "orders"):  # what covers a notification that was never sent
        on_upstash.blocking[name].app.schedules.ensure_sweep("*/15 * * * *")
    ids = open_accounts(call, 3)
    with cloud.misbehaving() as upstash, ThreadPoolExecutor(CALLERS) as pool:
        for kind in ("lose-request", "lose-answer", "error-500"):
            upstash.faults.add(kind, half="redis", count=None, probability=0.03, seed=seed)
            upstash.faults.add(kind, half="qstash", path="/v2/*", count=3, probability=0.3, seed=seed)
        # Less often than a message is tried again: what has failed for good is for an operator to look at.
        for kind in ("deliver-twice", "deliver-late", "deliver-out-of-order", "lose-delivery", "lose-delivery-answer"):
            count = 3 if kind.startswith("lose") else None
            upstash.faults.add(
                kind, half="qstash", path="https://*", count=count, probability=0.3, seed=seed, seconds=20
            )
        callers = [Load(call, seed + number) for number in range(CALLERS)]
        for each in [pool.submit(caller.run, ids, CALLS) for caller in callers]:
            each.result()
    cloud.settle()
    cloud.wait(3_600)  # all that is late, and all that is tried again
    cloud.settle()
    answers = [answer for caller in callers for answer in caller.answers]
    logs = on_upstash.logs()
    assert violations(*logs, answers) == []
    assert on_upstash["processor"].get("/status")["reactor"]["pending"] == 0
    listed = on_upstash["queries"].get("/accounts")["items"]
    shown = {item["key"]: item["document"]["revision"] for item in listed}
    assert shown == {each.stream.removeprefix("account-"): each.revision for each in logs[0]}
    assert {type(answer) for answer in answers} == {Changed, Decided}
