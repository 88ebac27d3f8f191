"""The command: several processes on a backend, and its verdict."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from eventsource_upstash import Memory, Misuse, connect
from eventsource_upstash.testing.history import running
from eventsource_upstash.testing.history.running import Run, run
from tests.conformance.broken_log import BrokenLog, IgnoresTheExpectedRevision
from tests.history.upstash import run_on_upstash
from tests.searching import thorough
from tests.unit.todo import TaskCreated, todo


def test_threads_in_memory(tmp_path: Path) -> None:
    ran = run(Run("memory:", tmp_path, processes=3, seconds=0.2 * thorough(), seed=1))
    assert ran.ok, ran
    assert ran.verdict.counts["processes"] == 4


def test_a_broken_backend_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "Memory", lambda: BrokenLog(IgnoresTheExpectedRevision, Memory()))
    ran = run(Run("memory:", tmp_path, processes=2, seconds=0.2, seed=1))
    assert not ran.ok
    assert {violation.check for violation in ran.verdict.violations} == {"each stream is linearizable"}


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "eventsource_upstash.testing.history", *arguments],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_processes_that_are_killed_on_a_file(tmp_path: Path) -> None:
    url, seconds = f"sqlite:{tmp_path / 'log.db'}", f"{1.0 * thorough()}"
    done = command(url, "--processes", "2", "--seconds", seconds, "--seed", "3", "--kill")
    assert (done.returncode, done.stderr) == (0, ""), done
    assert done.stdout.startswith("seed 3, ")
    assert ", 0 kills" not in done.stdout
    assert done.stdout.endswith("no violation\n")
    again = command(url)
    assert again.returncode == 2
    assert "the log is not empty" in again.stderr


def test_a_misbehaving_upstash(tmp_path: Path) -> None:
    ran = run_on_upstash(tmp_path, 0.5 * thorough(), seed=4, processes=1)
    assert ran.ok, ran


def test_a_process_that_falls_is_told(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    (tmp_path / "history").mkdir()
    the = todo()
    with connect(f"sqlite:{path}", the.registry) as app:
        app.event_store.append("tasks", TaskCreated("1", "x"))
    done = command(f"sqlite:{path}", "--folder", str(tmp_path / "history"), "--seed", "1", "--as", "process 1")
    assert done.returncode == 1
    assert "UnknownEventType" in done.stderr


@pytest.mark.parametrize(
    ("url", "kill", "words"),
    [
        ("memory:", True, "threads cannot be killed"),
        ("upstash:", False, "a namespace of its own"),
        ("kafka:", False, "runs on memory:"),
    ],
)
def test_what_it_cannot_run_on(tmp_path: Path, url: str, kill: bool, words: str) -> None:
    with pytest.raises(Misuse, match=words):
        run(Run(url, tmp_path, kill=kill))
