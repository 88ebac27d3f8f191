"""What a newcomer sees: one line per step, in the order in which a command travels; and nothing when all is well."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from eventsource_upstash import InProcess, ProjectionStopped, Receipt, connect, connect_async
from eventsource_upstash._io.port import Port, Signal
from eventsource_upstash.backends.memory import Memory
from eventsource_upstash.blocking import App
from eventsource_upstash.web import AsyncEndpoint, Endpoint, Request, Unverified
from tests.unit.todo import CreateTask, TaskCreated, todo

NOTIFICATION = Request("POST", "https://app.example.com/projections", {}, b'{"position": 1}')


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Iterator[Lines]:
    with caplog.at_level(logging.INFO, logger="eventsource_upstash"):
        yield Lines(caplog)


class Lines:
    """Logger and message of each line, as far as they are ours."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self.caplog = caplog

    def take(self) -> list[tuple[str, str]]:
        taken = [
            (record.name.removeprefix("eventsource_upstash."), record.getMessage())
            for record in self.caplog.records
            if record.name.startswith("eventsource_upstash")
        ]
        self.caplog.clear()
        return taken


@dataclass(frozen=True)
class Broke:
    id: str


# The projector closes the pass, when what it folded is in the view.
WALK = ["store", "notifier", "handler", "view", "projector"]


@pytest.mark.parametrize("url", ["memory:", "sqlite:{}/log.db"])
def test_one_line_per_step_in_the_order_in_which_a_command_travels(url: str, lines: Lines, tmp_path: Path) -> None:
    the = todo()
    with connect(url.format(tmp_path), the.registry) as app:
        app.event_store.append("task-1", TaskCreated("1", "Do the dishes!"))
        assert Endpoint(app).handle(NOTIFICATION).status == 200
    walked = lines.take()
    assert [name for name, _ in walked] == WALK
    told = dict(walked)
    assert told["store"] == "appended task-created to task-1: revision 1, position 1"
    assert "position 1" in told["notifier"]
    assert told["handler"] == "notified of position 1"
    assert "1 event" in told["projector"]
    assert told["view"] == "tasks v1: checkpoint 0 -> 1, documents written: 1"


def test_the_same_lines_on_an_event_loop(lines: Lines) -> None:
    the = todo()

    async def walk() -> None:
        async with connect_async("memory:", the.registry) as app:
            await app.event_store.execute(the.task, "task-1", CreateTask("1", "Do the dishes!"))
            assert (await AsyncEndpoint(app).handle(NOTIFICATION)).status == 200

    asyncio.run(walk())
    assert [name for name, _ in lines.take()] == WALK


def test_nothing_is_said_at_warning_when_all_is_well(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    the = todo()
    with caplog.at_level(logging.WARNING), connect(f"sqlite:{tmp_path / 'log.db'}", the.registry) as app:
        app.event_store.append("task-1", TaskCreated("1", "Do the dishes!"))
        app.event_store.execute(the.task, "task-2", CreateTask("2", "Rest"))
        app.projector.catch_up()
        app.projection_store.view(the.tasks).get("1", at_least=2)
        Endpoint(app).handle(NOTIFICATION)
        with app.worker():
            app.event_store.append("task-1", TaskCreated("1", "Do the dishes!"))
    assert caplog.records == []


def test_nothing_at_all_is_said_when_nothing_is_new(lines: Lines) -> None:
    the = todo()
    with connect("memory:", the.registry) as app:
        app.event_store.append("task-1", TaskCreated("1", "Do the dishes!"))
        app.projector.catch_up()
        lines.take()
        app.projector.catch_up()
        app.event_store.head()
        list(app.event_store.read())
        app.projection_store.status()
        assert lines.take() == []


def test_a_repeated_append_says_so(lines: Lines) -> None:
    the = todo()
    with connect("memory:", the.registry) as app:
        for _ in range(2):
            app.event_store.append("task-1", TaskCreated("1", "x"), idempotency_key="k")
    told = [text for name, text in lines.take() if name == "store"]
    assert "there already" not in told[0]
    assert "it was there already" in told[1]


class Broken(InProcess):
    """A carrier that fails."""

    signal: Signal | None = None

    async def check(self, port: Port) -> tuple[str, ...]:
        return ()

    def verifier(self, public_url: str | None) -> None:
        return None

    def notices(self, port: Port) -> Broken:
        return self

    async def send(self, position: int, raised_us: int) -> Receipt:
        raise ConnectionError("no route to host")


def test_a_notification_that_fails_is_a_warning_and_no_error(lines: Lines) -> None:
    the = todo()
    app = App(Memory(), the.registry, Broken())
    assert app.event_store.append("task-1", TaskCreated("1", "x")).position == 1
    (warning,) = [record for record in lines.caplog.records if record.levelno >= logging.WARNING]
    assert (warning.name, warning.levelname) == ("eventsource_upstash.notifier", "WARNING")
    assert "position 1 was not sent" in warning.getMessage()
    assert "no route to host" in str(warning.exc_info)
    app.projector.catch_up()
    assert app.projection_store.view(the.tasks).count() == 1
    with pytest.raises(ConnectionError):
        app.notifier.notify(1)  # asked for by itself, it is not hidden


def test_the_endpoint_tells_the_operator_what_it_does_not_tell_the_caller(lines: Lines) -> None:
    the = todo()

    class Nobody:
        def verify(self, headers: object, body: bytes, url: str) -> None:
            raise Unverified("signed by a stranger")

    the.registry.event("broke")(Broke)

    @the.tasks.on(Broke, key="id")
    def broke(task: object, event: Broke) -> None:
        raise ZeroDivisionError("of a task")

    with connect("memory:", the.registry) as app:
        app.event_store.append("task-1", Broke("1"))
        lines.take()
        Endpoint(app, verifier=Nobody()).handle(NOTIFICATION)
        assert lines.take() == [("handler", "refused a notification: signed by a stranger")]
        Endpoint(app).handle(NOTIFICATION._replace(body=b"{"))
        assert lines.take() == [("handler", "refused a notification: its body is not a position")]
        Endpoint(app).handle(NOTIFICATION)
        (error,) = [record for record in lines.caplog.records if record.levelno >= logging.ERROR]
        assert error.name == "eventsource_upstash.handler"
        assert error.exc_info
        assert isinstance(error.exc_info[1], ProjectionStopped)
