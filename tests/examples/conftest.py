"""The to-do example under each framework: its own real server in a process of its own, or Lambda events."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.examples.cloud import Cloud

ROOT = Path(__file__).parents[2]


@dataclass
class Reply:
    status: int
    headers: Mapping[str, str]
    text: str

    def json(self) -> Any:
        return json.loads(self.text)


class Caller:
    """Sends requests to the example, whatever serves it."""

    framework: str
    backend: str
    cloud: Cloud

    def send(self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Reply:
        raise NotImplementedError

    def call(self, method: str, path: str, value: object = None, **headers: str) -> Reply:
        body = b"" if value is None else json.dumps(value).encode()
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        reply = self.send(method, path, body, {"content-type": "application/json", **named})
        assert "Traceback" not in reply.text
        return reply

    def graphql(self, query: str, **variables: object) -> Any:
        return self.call("POST", "/graphql", {"query": query, "variables": variables}).json()

    def add(self, text: str) -> str:
        reply = self.call("POST", "/api/tasks", {"text": text})
        assert reply.status == 201, reply.text
        return str(reply.json()["id"])

    def tasks(self) -> dict[str, dict[str, Any]]:
        return {task["id"]: task for task in self.call("GET", "/api/tasks").json()}

    def head(self) -> int:
        return int(self.call("GET", "/api/events?recent=1").json()["status"]["head"])

    def lag(self) -> int:
        return int(self.call("GET", "/api/events?recent=1").json()["status"]["lag"])

    def notify(self, body: bytes) -> Reply:
        """Deliver a notification, signed if that backend wants it."""
        signed = self.cloud.sign(self.backend, body) if self.backend.startswith("upstash:") else {}
        return self.send("POST", "/projections", body, {"content-type": "application/json", **signed})

    def events(self, after: int) -> list[tuple[str, dict[str, Any]]]:
        page = self.call("GET", f"/api/events?after={after}").json()
        return [(event["type"], event["data"]) for event in page["events"]]

    def complaints(self) -> str:
        """What the server wrote to its error stream."""
        return ""


class Server(Caller):
    """A server process of the example, on a port of its own choice."""

    def __init__(self, framework: str, backend: str, errors: Path, cloud: Cloud) -> None:
        self.framework = framework
        self.backend = backend
        self.cloud = cloud
        self._errors = errors
        remote = backend.startswith("upstash:")
        with errors.open("ab") as stream:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "examples.todo.serve", framework],
                cwd=ROOT,
                env={
                    **os.environ,
                    "PORT": "0",
                    "TODO_BACKEND": backend,
                    **(cloud.environment(backend) if remote else {}),
                },
                stdout=subprocess.PIPE,
                stderr=stream,
                text=True,
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        found = re.search(r"http://[0-9.]+:[0-9]+", line)
        self.url = found[0] if found else ""
        self.http = httpx.Client(base_url=self.url, timeout=60, trust_env=False)
        if not found:
            self.end(subprocess.Popen.kill)
            pytest.fail(f"the server did not start: {line}{errors.read_text()}")
        if remote:
            cloud.deliver(backend, self.url)

    def send(self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Reply:
        answer = self.http.request(method, path, content=body, headers=headers)
        return Reply(answer.status_code, answer.headers, answer.text)

    def complaints(self) -> str:
        return self._errors.read_text()

    def end(self, how: Callable[[subprocess.Popen[str]], None] = subprocess.Popen.terminate) -> int:
        """End the process, by default as Ctrl+C would, and wait for it."""
        self.http.close()
        if self.process.poll() is None:
            how(self.process)
        code = self.process.wait(60)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code


class Function(Caller):
    """The AWS Lambda handler, called with events of payload format 2.0, as a function URL sends them."""

    framework = "lambda"

    def __init__(
        self, handler: Callable[[Mapping[str, object], object], dict[str, Any]], backend: str, cloud: Cloud
    ) -> None:
        self.handler = handler
        self.backend = backend
        self.cloud = cloud

    def send(self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Reply:
        target = httpx.URL(path)
        event = {
            "version": "2.0",
            "rawPath": target.raw_path.decode().partition("?")[0],
            "rawQueryString": target.query.decode(),
            "headers": {name.title(): value for name, value in (headers or {}).items()},
            "requestContext": {"stage": "$default", "domainName": "f.example.com", "http": {"method": method}},
            "body": base64.b64encode(body).decode(),
            "isBase64Encoded": True,
        }
        answer = self.handler(event, None)
        lower = {str(name).lower(): str(value) for name, value in answer["headers"].items()}
        return Reply(answer["statusCode"], lower, answer["body"])


@contextmanager
def function_url(function: Function) -> Iterator[str]:
    """Serves a function over HTTP on this machine, as its function URL does, for deliveries to arrive at."""

    class Gateway(BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # the name that its base class calls
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            reply = function.send("POST", self.path, body, dict(self.headers))
            self.send_response(reply.status)
            self.end_headers()
            self.wfile.write(reply.text.encode())

        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Gateway) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


Serve = Callable[..., Server]


@pytest.fixture(scope="session")
def cloud() -> Iterator[Cloud]:
    with Cloud() as cloud:
        yield cloud


@pytest.fixture(params=["sqlite", "upstash"])
def backend(request: pytest.FixtureRequest, cloud: Cloud, tmp_path: Path) -> str:
    """An empty log that outlives its server."""
    return cloud.backend() if request.param == "upstash" else f"sqlite:{tmp_path / 'todo.db'}"


@pytest.fixture
def serve(cloud: Cloud, tmp_path: Path) -> Iterator[Serve]:
    """Starts servers of the example, and ends those that are left at the end of the test."""
    servers: list[Server] = []

    def start(backend: str = "memory:", framework: str = "starlette") -> Server:
        servers.append(Server(framework, backend, tmp_path / "errors.txt", cloud))
        return servers[-1]

    yield start
    for server in servers:
        server.end()


FRAMEWORKS = ["starlette", "fastapi", "flask", "django", "lambda"]


@pytest.fixture(scope="module", params=[f"{name}-{where}" for where in ("here", "upstash") for name in FRAMEWORKS])
def caller(request: pytest.FixtureRequest, cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Caller]:
    """The example under each framework in turn, on this machine and on Upstash, with an empty list at first."""
    framework, _, where = str(request.param).partition("-")
    folder = tmp_path_factory.mktemp("todo")
    backend = cloud.backend() if where == "upstash" else "memory:"
    if framework == "lambda":
        yield from function(backend if where == "upstash" else f"sqlite:{folder / 'todo.db'}", cloud)
        return
    server = Server(framework, backend, folder / "errors.txt", cloud)
    yield server
    server.end()


def function(backend: str, cloud: Cloud) -> Iterator[Function]:
    from examples.todo.app import Todo
    from examples.todo.lambda_app import create_handler

    with pytest.MonkeyPatch.context() as patch:
        for name, value in cloud.environment(backend).items():
            patch.setenv(name, value)
        todo = Todo(backend)
    function = Function(create_handler(todo), backend, cloud)
    with function_url(function) as url:
        cloud.deliver(backend, url)
        yield function
    todo.close()
