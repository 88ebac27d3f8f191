"""One local Upstash for every mutant: in a process of its own, since a fork has no threads."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import pytest
import redis

from eventsource_upstash import local


class Running:
    """What a test is given instead of a `LocalUpstash`: where it is, what it counts, and that it can misbehave.

    One that asks for more is left out. A clock is not asked for its time.
    """

    known: dict[str, str]

    def __init__(self, *, clock: object = None, **others: Any) -> None:
        if others:
            raise NotImplementedError("it runs already, as it is")
        self.faults = Faults()

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __getattr__(self, name: str) -> str:
        try:
            return self.known[name]
        except KeyError:
            raise AttributeError(name) from None

    def token_for(self, caller: str) -> str:
        return f"{self.known['redis_token']}~{caller}"

    def environment(self) -> dict[str, str]:
        return {name: value for name, value in self.known.items() if name.isupper()}

    def metrics(self) -> Any:
        return _asked("GET", "metrics")

    def reset_metrics(self) -> None:
        _asked("POST", "metrics/reset")


class Faults:
    """The faults in force. What one has struck so far is not known here."""

    def add(self, kind: str, **fields: Any) -> Any:
        return SimpleNamespace(id=_asked("POST", "faults", {"kind": kind, **fields})["id"])

    def remove(self, number: int) -> None:
        _asked("DELETE", f"faults?id={number}")

    def clear(self) -> None:
        _asked("DELETE", "faults")

    def __len__(self) -> int:
        return len(_asked("GET", "faults")["faults"])


class Emptied:
    """A test finds nothing in Redis, and no faults: what it leaves there is not to be found by its next run."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        if not item.nodeid.startswith("tests/unit/"):
            with redis.Redis.from_url(Running.known["engine_url"]) as client:
                client.flushall()
            _asked("DELETE", "faults")


def _asked(method: str, path: str, content: Mapping[str, object] | None = None) -> Any:
    body = None if content is None else json.dumps(content).encode()
    url = f"{Running.known['redis_url']}/dev/{path}"
    request = urllib.request.Request(url, body, method=method)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


@contextlib.contextmanager
def local_upstash() -> Iterator[None]:
    """Has tests find one that runs, whenever they start one."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.mutants.beside"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        Running.known = json.loads(process.stdout.readline())
        local.LocalUpstash = Running  # type: ignore[assignment, misc]
        try:
            yield
        finally:
            process.stdin.close()


if __name__ == "__main__":
    with local.LocalUpstash() as running:
        names = ("redis_url", "redis_token", "engine_url", "qstash_url")
        known = {name: getattr(running, name) for name in names} | running.environment()
        print(json.dumps(known), flush=True)  # noqa: T201
        sys.stdin.read()
