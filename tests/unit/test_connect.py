"""A URL to an app: only wiring, which opens nothing."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from eventsource_upstash import App, AsyncApp, InProcess, Memory, Misuse, Registry, SQLite, connect, connect_async

registry = Registry()


@registry.event("ticked")
@dataclass(frozen=True)
class Ticked:
    count: int = 0


@pytest.mark.parametrize("how", ["sqlite:{}", "sqlite:///{}"])
def test_a_file_is_opened_when_it_is_first_used(how: str, tmp_path: Path) -> None:
    file = tmp_path / "log with spaces & ünï?.db"
    with connect(how.format(file), registry) as app:
        assert isinstance(app, App)
        assert isinstance(app.backend, SQLite)
        assert not file.exists()
        app.event_store.append("clock-1", Ticked())
        assert file.exists()
    with connect(how.format(file), registry) as again:
        assert again.event_store.head() == 1


def test_a_relative_file_is_beside_the_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for url in ("sqlite:a.db", "sqlite:///b.db"):
        with connect(url, registry) as app:
            app.event_store.append("clock-1", Ticked())
    assert {path.name for path in tmp_path.glob("*.db")} == {"a.db", "b.db"}


def test_both_colours_are_made_at_once() -> None:
    app = connect_async("memory:", registry)
    assert isinstance(app, AsyncApp)
    assert isinstance(app.backend, Memory)

    async def use() -> int:
        async with app:
            await app.event_store.append("clock-1", Ticked())
            return await app.event_store.head()

    assert asyncio.run(use()) == 1


@pytest.mark.parametrize(
    "url", ["", "memory", "memory:x", "sqlite", "sqlite:", "sqlite:///", "mysql:x", "/tmp/x.db", "sqlite::memory:"]
)
@pytest.mark.parametrize("connect", [connect, connect_async])
def test_a_url_that_names_no_backend(connect: Any, url: str) -> None:
    with pytest.raises(Misuse):
        connect(url, registry)


@pytest.mark.parametrize("path", ["", ":memory:", "file:x?mode=memory"])
def test_a_path_that_is_no_file(path: str) -> None:
    with pytest.raises(Misuse, match="for a log in memory there is Memory"):
        SQLite(path)


@pytest.mark.parametrize("synchronous", ["OFF", "full", "", None, 2])
def test_a_durability_that_is_not_offered(synchronous: Any) -> None:
    with pytest.raises(Misuse, match="'FULL', 'NORMAL' or 'EXTRA'"):
        SQLite("x.db", synchronous=synchronous)


@pytest.mark.parametrize("timeout", [math.nan, math.inf, -0.001, -1, "5", None, True, b"1", 2e6 + 1, 10**400])
def test_a_timeout_that_is_no_number_of_seconds(timeout: Any) -> None:
    with pytest.raises(Misuse, match=r"SQLite\(timeout=.*seconds from 0 to 2,000,000"):
        SQLite("x.db", timeout=timeout)


@pytest.mark.parametrize("timeout", [0, 0.0, 1, 2.5, 2_000_000])
def test_a_timeout(timeout: float, tmp_path: Path) -> None:
    with App(SQLite(tmp_path / "log.db", timeout=timeout), registry, InProcess()) as app:
        app.event_store.append("clock-1", Ticked())
        assert app.event_store.head() == 1


def test_two_memories_are_two_logs() -> None:
    one, other = connect("memory:", registry), connect("memory:", registry)
    one.event_store.append("clock-1", Ticked())
    assert (one.event_store.head(), other.event_store.head()) == (1, 0)


def test_closing_twice_and_using_again(tmp_path: Path) -> None:
    app = connect(f"sqlite:{tmp_path / 'log.db'}", registry)
    app.event_store.append("clock-1", Ticked())
    app.close()
    app.close()
    assert app.event_store.head() == 1
    app.close()


def test_reprs_name_the_backend() -> None:
    app = connect("memory:", registry)
    assert repr(app) == "App(Memory() of 0 events)"
    assert repr(connect_async("memory:", registry)) == "AsyncApp(Memory() of 0 events)"
    assert repr(SQLite("todo.db")) == "SQLite('todo.db')"
    assert repr(app.event_store) == "EventStore(Memory() of 0 events)"
    assert repr(app.projection_store) == "ProjectionStore(Memory() of 0 events)"
    assert repr(app.projector) == "Projector(ProjectionStore(Memory() of 0 events))"
    assert repr(app.notifier) == "Notifier(InProcess())"
