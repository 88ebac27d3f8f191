"""The two commands: what they serve, and what they say when they cannot."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).parents[3]


def start(module: str, **variables: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", module],
        cwd=ROOT,
        env={**os.environ, "PORT": "0", "API_REPORT_TAKES": "0s", **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("module", ["examples.api.serve", "examples.api.serve_upstash"])
def test_the_command_serves_the_api_with_all_that_works_behind_it(module: str, tmp_path: Path) -> None:
    with start(module, API_BACKEND=f"sqlite:{tmp_path / 'api.db'}") as process:
        try:
            assert process.stdout is not None
            url = ""
            while not (found := re.match(r"API: (http://127\.0\.0\.1:[0-9]+)", url)):
                url = process.stdout.readline()
                assert url, process.communicate()[1]
            with httpx.Client(base_url=found[1], trust_env=False, timeout=60) as http:
                assert "<title>A small API</title>" in http.get("/").text
                token = http.post("/session", json={"name": "ada"}).json()["token"]
                http.headers["authorization"] = f"Bearer {token}"
                report = http.post("/reports", json={}).headers["location"]
                while http.get(report).json()["state"] != "ready":  # by the worker, or by QStash
                    pass
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 0
        finally:
            if process.poll() is None:
                process.kill()


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"API_BACKEND": "nonsense"}, "sqlite:FILE"),
        ({"API_SESSION": "soon"}, "API_SESSION='soon' is no span of time"),
        ({"PORT": "http"}, "PORT='http' is not a port"),
        ({"API_BACKEND": "sqlite:/nowhere/api.db"}, "/nowhere/api.db"),
    ],
)
def test_what_is_wrong_is_said(variables: dict[str, str], told: str) -> None:
    with start("examples.api.serve", **{"API_BACKEND": "memory:", **variables}) as process:
        _, errors = process.communicate(timeout=60)
    assert process.returncode != 0
    assert errors.startswith("The API cannot be served: ")
    assert told in errors
    assert "Traceback" not in errors
