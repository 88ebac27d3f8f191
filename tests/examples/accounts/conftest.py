"""The functions of the accounts example, called as a server calls them (ASGI), or as AWS Lambda does."""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient

from eventsource_upstash import Recorded
from examples.accounts import commands, processor, queries
from examples.accounts.hosting import Handler, lambda_handler, starlette
from examples.accounts.orders import service
from examples.accounts.plain import AsyncFunction, Function

MAKERS: dict[str, tuple[Callable[[str], AsyncFunction], Callable[[str], Function]]] = {
    "commands": (commands.AsyncCommands, commands.Commands),
    "processor": (processor.AsyncProcessor, processor.Processor),
    "queries": (queries.AsyncQueries, queries.Queries),
    "orders": (service.AsyncOrders, service.Orders),
}


@dataclass
class Reply:
    status: int
    headers: Mapping[str, str]
    text: str

    def json(self) -> Any:
        return json.loads(self.text)


Send = Callable[[str, str, bytes, Mapping[str, str]], Reply]


class Caller:
    """Sends requests to one function, whatever serves it."""

    def __init__(self, send: Send) -> None:
        self.send = send

    def call(self, method: str, path: str, value: object = None, **headers: str) -> Reply:
        body = b"" if value is None else json.dumps(value).encode()
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        reply = self.send(method, path, body, {"content-type": "application/json", **named})
        assert "Traceback" not in reply.text
        if reply.status >= 400:
            problem = reply.json()
            assert reply.headers["content-type"] == "application/problem+json"
            assert problem["status"] == reply.status
            assert problem["title"]
        return reply

    def get(self, path: str, **headers: str) -> Any:
        reply = self.call("GET", path, **headers)
        assert reply.status == 200, reply.text
        return reply.json()


def over_asgi(client: TestClient) -> Send:
    def send(method: str, path: str, body: bytes, headers: Mapping[str, str]) -> Reply:
        answer = client.request(method, path, content=body, headers=dict(headers))
        return Reply(answer.status_code, answer.headers, answer.text)

    return send


def over_lambda(handler: Handler, host: str = "f.example.com") -> Send:
    """Events of payload format 2.0, as a function URL sends them."""

    def send(method: str, path: str, body: bytes, headers: Mapping[str, str]) -> Reply:
        target = httpx.URL(path)
        event = {
            "version": "2.0",
            "rawPath": target.raw_path.decode().partition("?")[0],
            "rawQueryString": target.query.decode(),
            "headers": {name.title(): value for name, value in headers.items()},
            "requestContext": {"stage": "$default", "domainName": host, "http": {"method": method}},
            "body": base64.b64encode(body).decode(),
            "isBase64Encoded": True,
        }
        answer: dict[str, Any] = handler(event, None)
        lower = {str(name).lower(): str(value) for name, value in answer["headers"].items()}
        return Reply(int(answer["statusCode"]), lower, str(answer["body"]))

    return send


class Functions:
    """The functions, each made when it is first called, over two logs."""

    def __init__(self, face: str, accounts: str, orders: str) -> None:
        self.face = face
        self.backends = {"commands": accounts, "processor": accounts, "queries": accounts, "orders": orders}
        self.handlers: dict[str, Handler] = {}
        self.blocking: dict[str, Any] = {}  # Any: each has an app
        self._made: dict[str, Caller] = {}
        self._open = contextlib.ExitStack()

    def __getitem__(self, name: str) -> Caller:
        if name not in self._made:
            self._made[name] = Caller(self._send(name))
        return self._made[name]

    def _send(self, name: str) -> Send:
        awaits, blocks = MAKERS[name]
        if self.face == "asgi":
            return over_asgi(self._open.enter_context(TestClient(starlette(awaits(self.backends[name])))))
        function = blocks(self.backends[name])
        self._open.callback(function.close)
        self.blocking[name] = function
        self.handlers[name] = lambda_handler(function)
        return over_lambda(self.handlers[name])

    def head(self, name: str) -> int:
        return int(self[name].get("/status")["head"])

    def open(self, name: str = "Tea & Co", *then: str) -> str:
        """Open an account, and have commands follow."""
        account = str(self["commands"].call("POST", "/accounts", {"name": name}).json()["id"])
        for command in then:
            reply = self["commands"].call("PUT", f"/accounts/{account}/commands/{command}", {"reason": "Because"})
            assert reply.status == 200, reply.text
        return account

    def learn(self, account: str, standing: str, revision: int, id: str | None = None) -> Reply:
        """Have the order service told."""
        told = {"account": account, "standing": standing, "revision": revision}
        message = id or f"m-{account}-{revision}"
        return self["orders"].call("POST", "/jobs/standings", told, eventsource_message_id=message)

    def order(self, account: str, item: str = "Tea", quantity: int = 1, **headers: str) -> Reply:
        wanted = {"account": account, "item": item, "quantity": quantity}
        return self["orders"].call("POST", "/orders", wanted, **headers)

    def logs(self) -> tuple[list[Recorded[object]], list[Recorded[object]]]:
        """Both logs, read by the functions on Lambda."""
        stores = [self.blocking[name].app.event_store for name in ("commands", "orders")]
        return list(stores[0].read()), list(stores[1].read())

    def close(self) -> None:
        self._open.close()


@pytest.fixture(params=["asgi", "lambda"])
def functions(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Functions]:
    functions = Functions(request.param, f"sqlite:{tmp_path / 'accounts.db'}", f"sqlite:{tmp_path / 'orders.db'}")
    yield functions
    functions.close()
