"""`python -m examples.todo.serve`: what it says when it cannot start, and that nothing acknowledged is ever lost."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

if TYPE_CHECKING:
    from conftest import Serve

    from tests.examples.cloud import Cloud

ROOT = Path(__file__).parents[2]


def refused(*arguments: str, **variables: str) -> str:
    """What the server says when it does not start."""
    done = subprocess.run(
        [sys.executable, "-m", "examples.todo.serve", *arguments],
        cwd=ROOT,
        env={**os.environ, "PORT": "0", "TODO_BACKEND": "memory:", **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    return done.stderr


def test_a_port_that_is_taken_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert f"port {port} is taken" in refused(PORT=port)


@pytest.mark.parametrize("port", ["http", "-1", "65536", "8000x", "٣"])
def test_a_port_that_is_none_is_named(port: str) -> None:
    assert f"PORT={port!r} is not a port" in refused(PORT=port)


@pytest.mark.parametrize("url", ["nonsense", "redis://user:secret@example.com", "sqlite:", "memory"])
def test_a_backend_that_is_none_is_named_without_its_secrets(url: str) -> None:
    said = refused(TODO_BACKEND=url)
    assert said.startswith("The to-do list cannot be served: ")
    assert "sqlite:FILE" in said
    assert "secret" not in said


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "todo.db"
    broken.write_bytes(b"this is no database, and never was" * 100)
    assert "todo.db" in refused(TODO_BACKEND=f"sqlite:{broken}")
    assert "todo.db" in refused(TODO_BACKEND=f"sqlite:{tmp_path / 'nowhere' / 'todo.db'}")


NAMES = ["UPSTASH_REDIS_REST_URL", "UPSTASH_REDIS_REST_TOKEN", "QSTASH_TOKEN", "EVENTSOURCE_NOTIFY_URL"]


def test_an_environment_without_upstash_is_told_all_it_lacks() -> None:
    said = refused(TODO_BACKEND="upstash:", **dict.fromkeys([*NAMES, "QSTASH_URL", "QSTASH_TOPIC"], ""))
    assert [name for name in NAMES if name not in said] == []


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"EVENTSOURCE_NOTIFY_URL": "https://todo.example.com/"}, "has to end with /projections"),
        ({"EVENTSOURCE_NOTIFY_URL": "todo.example.com/projections"}, "EVENTSOURCE_NOTIFY_URL is no whole URL"),
        (
            {"EVENTSOURCE_NOTIFY_URL": "http://localhost:8000/projections", "QSTASH_URL": ""},
            "this machine, which QStash cannot reach",
        ),
        ({"QSTASH_TOPIC": "todo"}, "both set"),
        ({"QSTASH_CURRENT_SIGNING_KEY": "", "QSTASH_NEXT_SIGNING_KEY": ""}, "no signing keys"),
        ({"QSTASH_NEXT_SIGNING_KEY": ""}, "QSTASH_NEXT_SIGNING_KEY is not set"),
        ({"UPSTASH_REDIS_REST_TOKEN": "secret_of_another"}, "UPSTASH_REDIS_REST_TOKEN"),
        ({"UPSTASH_REDIS_REST_URL": "http://127.0.0.1:9"}, "could not be reached"),
    ],
)
def test_what_is_wrong_with_upstash_is_named_without_its_secrets(
    cloud: Cloud, changed: dict[str, str], told: str
) -> None:
    backend = cloud.backend()
    said = refused(TODO_BACKEND=backend, **{**cloud.environment(backend), **changed})
    assert said.startswith("The to-do list cannot be served: ")
    assert told in said
    assert "secret" not in said
    assert "sig_" not in said


def test_it_listens_on_this_machine_only_and_stops_while_pages_are_open(serve: Serve) -> None:
    server = serve()
    assert server.url.startswith("http://127.0.0.1:")
    with server.http.stream("GET", "/api/tasks", headers={"accept": "text/event-stream"}) as stream:
        lines = stream.iter_lines()
        assert next(lines) == "retry: 2000"
        server.process.send_signal(signal.SIGINT)
        assert list(lines) is not None  # the stream comes to its end
    server.process.wait(60)
    assert server.complaints() == ""


def test_what_was_acknowledged_survives_kill_9(serve: Serve, backend: str) -> None:
    acknowledged: dict[str, str] = {}
    finished: set[str] = set()
    for round_ in range(3):
        server = serve(backend)
        kept = server.tasks()
        assert acknowledged.items() <= {key: task["text"] for key, task in kept.items()}.items()
        assert finished <= {key for key, task in kept.items() if task["done"]}

        enough = threading.Event()

        def add(name: str, url: str = server.url, enough: threading.Event = enough) -> None:
            with httpx.Client(base_url=url, trust_env=False, timeout=60) as http:
                for number in range(10_000):
                    try:
                        task = http.post("/api/tasks", json={"text": f"{name}.{number}"}).raise_for_status().json()
                        acknowledged[task["id"]] = task["text"]
                        http.patch(f"/api/tasks/{task['id']}", json={"done": True}).raise_for_status()
                        finished.add(task["id"])
                    except httpx.TransportError:
                        return  # killed
                    if number == 10:
                        enough.set()

        writers = [threading.Thread(target=add, args=(f"{round_}.{writer}",)) for writer in range(3)]
        for writer in writers:
            writer.start()
        assert enough.wait(60)
        server.end(subprocess.Popen.kill)  # SIGKILL, in the middle of it
        for writer in writers:
            writer.join()
    kept = serve(backend).tasks()
    assert acknowledged.items() <= {key: task["text"] for key, task in kept.items()}.items()
    assert finished <= {key for key, task in kept.items() if task["done"]}
    assert len(finished) >= 30


def test_two_servers_over_one_log_show_the_same_list(serve: Serve, backend: str) -> None:
    one, other = serve(backend), serve(backend, "flask")
    with other.http.stream("GET", "/api/tasks", headers={"accept": "text/event-stream"}) as stream:
        task_id = one.add("Seen from the other side")
        assert any(task_id in line for line in stream.iter_lines())
    assert other.tasks() == one.tasks()
