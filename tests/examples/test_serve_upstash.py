"""`make todo-upstash`: both sides by one command, and nothing left behind."""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).parents[2]


@contextmanager
def launched(*arguments: str, **variables: str) -> Iterator[tuple[subprocess.Popen[str], str, str]]:
    """The command at work: its process, the app's URL and the URL of the local Upstash's page."""
    with subprocess.Popen(
        [sys.executable, "-m", "examples.todo.serve_upstash", *arguments],
        cwd=ROOT,
        # Variables of a real Upstash are nothing to it.
        env={**os.environ, "PORT": "0", "EVENTSOURCE_NOTIFY_URL": "https://x.example.com/nowhere", **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        told = process.stdout.readline() + process.stdout.readline()
        urls = re.findall(r"http://127\.0\.0\.1:[0-9]+\S*", told)
        if len(urls) != 2:
            process.kill()
            pytest.fail(f"it did not start: {told}{process.communicate()[1]}")
        try:
            yield process, urls[1], urls[0]
        finally:
            if process.poll() is None:
                process.terminate()


def gone(*urls: str) -> bool:
    """Whether nobody answers there any more."""
    for url in urls:
        try:
            httpx.get(url, trust_env=False)
        except httpx.TransportError:
            continue
        return False
    return True


def child(process: subprocess.Popen[str], module: str) -> int:
    """The process that it started for a module."""
    started = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return next(int(pid) for pid in started if module in Path(f"/proc/{pid}/cmdline").read_text().split("\0"))


@pytest.mark.parametrize("order", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_it_is_told_to_stop(order: signal.Signals) -> None:
    with launched() as (process, app, upstash):
        assert "Local Upstash" in httpx.get(upstash, trust_env=False).text
        reply = httpx.post(f"{app}/api/tasks", json={"text": "On Upstash"}, trust_env=False)
        assert [task["id"] for task in httpx.get(f"{app}/api/tasks", trust_env=False).json()] == [reply.json()["id"]]
        process.send_signal(order)
        output, errors = process.communicate(timeout=60)
        assert (process.returncode, output, errors) == (0, "", "")
        assert gone(app, upstash)


@pytest.mark.parametrize(
    ("victim", "told"),
    [
        ("eventsource_upstash.cli", "The local Upstash has ended."),
        ("examples.todo.serve", "The app has ended."),
    ],
)
def test_when_one_side_dies_the_other_is_stopped(victim: str, told: str) -> None:
    with launched() as (process, app, upstash):
        os.kill(child(process, victim), signal.SIGKILL)
        _, errors = process.communicate(timeout=60)
        assert (process.returncode, errors.splitlines()[-1]) == (1, told)
        assert gone(app, upstash)


def descendants(pid: int) -> list[int]:
    """The processes that it started, and theirs."""
    started = [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return [*started, *(further for each in started for further in descendants(each))]


def test_when_it_is_killed_everything_ends_with_it() -> None:
    with launched() as (process, app, upstash), contextlib.ExitStack() as stack:
        started = descendants(process.pid)
        assert len(started) > 3  # the local Upstash, the engine and its keeper, the app
        watched = [os.pidfd_open(pid) for pid in started]
        for each in watched:
            stack.callback(os.close, each)
        process.kill()
        for each in watched:  # readable when the process has ended
            assert select.select([each], [], [], 60)[0]
        assert gone(app, upstash)
        assert process.communicate(timeout=60)[1] == ""


def test_what_is_kept_is_there_again(tmp_path: Path) -> None:
    with launched("--data", str(tmp_path)) as (_, app, _):
        httpx.post(f"{app}/api/tasks", json={"text": "Kept"}, trust_env=False).raise_for_status()
    with launched("--data", str(tmp_path)) as (_, app, _):
        assert [task["text"] for task in httpx.get(f"{app}/api/tasks", trust_env=False).json()] == ["Kept"]


def test_what_is_wrong_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        said_of(([], port, "Choose another: PORT=8001 make todo-upstash."))
    said_of(([], "none", "PORT='none' is not a port"), (["--redis-port", "nowhere"], "0", "a port is a number"))


def said_of(*cases: tuple[list[str], str, str]) -> None:
    """It does not start, and says so in words."""
    for arguments, port, told in cases:
        done = subprocess.run(
            [sys.executable, "-m", "examples.todo.serve_upstash", *arguments],
            cwd=ROOT,
            env={**os.environ, "PORT": port},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (done.returncode, told in done.stderr, "Traceback" in done.stderr) == (1, True, False)
