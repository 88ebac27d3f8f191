"""The server comes back with an older file: whoever knows more than it is told so, and nothing is silently wrong."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from eventsource_upstash import (
    App,
    ConcurrencyError,
    LogReplaced,
    LogRewound,
    ProjectionStore,
    Projector,
    SQLite,
    UpstashRedis,
)
from eventsource_upstash.local import LocalUpstash
from eventsource_upstash.testing.history import History, Recorder
from tests.wire.valkey import Valkey
from tests.wire.workload import Client, Noted, Run, Tally, domain, judge

_numbers = count(1)


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[Valkey]:
    with Valkey(tmp_path / "data", appendfsync="everysec") as running:
        yield running


@pytest.fixture
def upstash(valkey: Valkey) -> Iterator[LocalUpstash]:
    with LocalUpstash(engine_url=valkey.url) as running:
        yield running


def backend(upstash: LocalUpstash) -> UpstashRedis:
    return UpstashRedis(upstash.redis_url, upstash.redis_token)


def note(app: App, *marks: str) -> int:
    return app.event_store.append("one", *map(Noted, marks)).position


def test_whoever_knows_more_is_told(valkey: Valkey, upstash: LocalUpstash, tmp_path: Path) -> None:
    the = domain()
    app = App(backend(upstash), the.registry, None)
    note(app, "1", "2")
    app.projector.catch_up()
    valkey.copy(tmp_path / "copy")
    token = note(app, "3", "4")
    app.projector.catch_up()
    valkey.restart_with(tmp_path / "copy")
    view = app.projection_store.view(the.tallies)
    with pytest.raises(LogRewound, match=str(token)):
        view.get("one", at_least=token)
    with pytest.raises(ConcurrencyError) as caught:
        app.event_store.append("one", Noted("5"), expected_revision=4)
    assert caught.value.actual == 2
    assert view.get("one") == Tally().and_("1").and_("2"), "log and view went back together"
    assert note(app, "5") == 3
    assert view.get("one", at_least=3) == Tally().and_("1").and_("2").and_("5")


def test_a_view_elsewhere_is_ahead_of_the_log(valkey: Valkey, upstash: LocalUpstash, tmp_path: Path) -> None:
    """It says so for as long as the log is shorter, and still when the log has grown past it with other events."""
    the = domain()
    app = App(backend(upstash), the.registry, None)
    views = SQLite(tmp_path / "views.db")
    store = ProjectionStore(views, the.registry, log_backend=app.backend)
    projector = Projector(app.event_store, store)
    note(app, "1", "2")
    valkey.copy(tmp_path / "copy")
    note(app, "3", "4")
    assert projector.catch_up().position == 4
    valkey.restart_with(tmp_path / "copy")
    with pytest.raises(LogRewound, match="at position 4, but the log ends at 2"):
        projector.catch_up()
    note(app, "5")
    with pytest.raises(LogRewound, match="at position 4, but the log ends at 3"):
        projector.catch_up()
    note(app, "6", "7")
    with pytest.raises(LogReplaced, match="at position 4"):
        projector.catch_up()
    assert store.view(the.tallies).get("one") == Tally().and_("1").and_("2").and_("3").and_("4"), "it is left as it is"
    views.close()


def test_a_history_that_went_back_is_told_as_such(valkey: Valkey, upstash: LocalUpstash, tmp_path: Path) -> None:
    """What no client can know, the checker sees: what was acknowledged after the copy is missing."""
    recorders = [Recorder(f"client-{number}") for number in range(2)]
    clients = [Client(each.process, backend(upstash), each, 1) for each in recorders]
    running = Run(clients, 25)
    with running():
        running.wait(0.3)
        valkey.copy(tmp_path / "copy")
        running.wait(0.6)
        valkey.restart_with(tmp_path / "copy")
    verdict = judge(History.of(*recorders), backend(upstash))
    assert not verdict.ok
    assert any("missing" in each.check or "acknowledged" in each.check for each in verdict.violations), str(verdict)
