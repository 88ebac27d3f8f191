"""`make accounts` and `make accounts-upstash`: one command for all, each started again alone, nothing left behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from examples.accounts.function import FUNCTIONS

ROOT = Path(__file__).parents[3]


@contextmanager
def launched(command: str, **variables: str) -> Iterator[tuple[subprocess.Popen[str], str, dict[str, int]]]:
    """The command at work: its process, where the page is, and the processes of the functions."""
    with subprocess.Popen(
        [sys.executable, "-m", f"examples.accounts.{command}"],
        cwd=ROOT,
        env={**os.environ, "PORT": "0", **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        url, running = "", dict[str, int]()
        while len(running) < len(FUNCTIONS):
            line = process.stdout.readline()
            if not line:
                pytest.fail(f"it did not start: {process.communicate()[1]}")
            if found := re.match(r"Accounts: (http://127\.0\.0\.1:[0-9]+)", line):
                url = found[1]
            if found := re.match(r" +(\w+) +process ([0-9]+)", line):
                running[found[1]] = int(found[2])
        try:
            yield process, url, running
        finally:
            if process.poll() is None:
                process.terminate()
                process.communicate(timeout=60)


def files(folder: Path) -> dict[str, str]:
    return {"ACCOUNTS_BACKEND": f"sqlite:{folder / 'a.db'}", "ORDERS_BACKEND": f"sqlite:{folder / 'o.db'}"}


def gone(pids: dict[str, int]) -> bool:
    return not any(Path(f"/proc/{pid}").exists() for pid in pids.values())


def send(http: httpx.Client, method: str, path: str, value: object = None) -> httpx.Response:
    """A call waits until the function is there again, on the same socket; what was under way is sent again."""
    while True:
        reply = http.request(method, path, json=value)
        if reply.status_code != 502:
            return reply


def test_each_function_is_started_again_alone(tmp_path: Path) -> None:
    with launched("serve", **files(tmp_path)) as (process, url, running):
        with httpx.Client(base_url=url, timeout=60, trust_env=False) as http:
            assert "<title>Accounts</title>" in http.get("/").text
            assert http.get("/static/base.css").headers["content-type"].startswith("text/css")
            assert http.get("/nowhere").status_code == 404
            account = http.post("/accounts", json={"name": "Tea"}).json()["id"]
            assert http.put(f"/accounts/{account}/commands/activate", json={}).json()["revision"] == 2
            for name in ("commands", "processor", "queries", "orders"):
                os.kill(running[name], signal.SIGKILL)
            suspended = send(http, "PUT", f"/accounts/{account}/commands/suspend", {"reason": "x"})
            assert suspended.json()["revision"] == 3
            tag = send(http, "GET", f"/accounts/{account}?at_least=3").headers["etag"]
            assert http.get(f"/accounts/{account}", headers={"If-None-Match": tag}).status_code == 304
            for path in ("/standings", "/orders", *(f"/status/{name}" for name in FUNCTIONS if name != "front")):
                assert send(http, "GET", path).status_code == 200
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=60)
        assert process.returncode == 0
        assert len(re.findall(r"process ([0-9]+)", output)) == 4
        assert errors.count("has ended (-9) and is started again") == 4
        assert "Traceback" not in errors
        assert gone(running)


def test_on_an_upstash() -> None:
    with launched("serve_upstash") as (process, url, running):
        with httpx.Client(base_url=url, timeout=60, trust_env=False) as http:
            account = http.post("/accounts", json={"name": "Tea"}).json()["id"]
            assert http.get(f"/accounts/{account}?at_least=1").json()["status"] == "opened"
            assert http.get("/status/queries").json()["billed"] is True
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
        assert (process.returncode, errors) == (0, "")
        assert gone(running)


@pytest.mark.parametrize(
    ("command", "variables", "told"),
    [
        ("serve", {"PORT": "none"}, "PORT='none' is not a port"),
        ("serve", {"ACCOUNTS_BACKEND": "memory:"}, "make accounts-upstash"),
        ("serve", {"ORDERS_BACKEND": "sqlite:/nowhere/o.db"}, "The accounts cannot be served: "),
        ("function", {"ACCOUNTS_BACKEND": "memory:"}, "commands cannot be served: functions share a log"),
    ],
)
def test_what_is_wrong_is_said(command: str, variables: dict[str, str], told: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", f"examples.accounts.{command}", *(["commands"] if command == "function" else [])],
        cwd=ROOT,
        env={**os.environ, "PORT": "0", **files(tmp_path), **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, "Traceback" in done.stderr) == (1, "", False)
    assert told in done.stderr
