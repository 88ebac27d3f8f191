"""One local Upstash for every mutant: in a process of its own, since a fork has no threads."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from eventsource_upstash import local


class Running:
    """What a test is given instead of a `LocalUpstash`: where it is. One that asks for more is left out."""

    known: dict[str, str]

    def __init__(self, **others: Any) -> None:
        if others:
            raise NotImplementedError("it runs already, as it is")

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __getattr__(self, name: str) -> str:
        try:
            return self.known[name]
        except KeyError:
            raise AttributeError(name) from None


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
        names = ("redis_url", "redis_token", "engine_url")
        print(json.dumps({name: getattr(running, name) for name in names}), flush=True)  # noqa: T201
        sys.stdin.read()
