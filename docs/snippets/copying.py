"""A log that moves house."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

import pytest

from docs.snippets.todo import CreateTask, registry, task
from eventsource_upstash import (
    AsyncLogCopy,
    Copying,
    EventStore,
    LogCopy,
    LogsDiffer,
    Refused,
    SQLite,
    UpstashRedis,
)
from eventsource_upstash.cli import main
from eventsource_upstash.local import LocalUpstash


def filled() -> EventStore:
    store = EventStore(SQLite("todo.db"), registry)
    for number in range(3):
        store.execute(task, f"task-{number}", CreateTask("Do the dishes"))
    return store


def test_from_a_program(in_empty_folder: None, upstash: LocalUpstash) -> None:
    filled()
    # --8<-- [start:program]
    source = SQLite("todo.db")
    destination = UpstashRedis.from_env(namespace="todo")

    def tell(at: Copying) -> None:
        print(f"\r{at.phase}: {at.fraction:.0%}, {at.rate:,.0f}/s", end="", file=sys.stderr)

    copied = LogCopy(source, destination).run(progress=tell)
    assert copied.compared is not None  # read again, and equal: else it had raised LogsDiffer
    print(copied.found, copied.copied, copied.compared.source.digest)
    # --8<-- [end:program]
    assert (copied.found, copied.copied) == (0, 3)
    # --8<-- [start:compare]
    compared = LogCopy(source, destination).compare()
    if not compared.equal:
        print(compared.difference)
    # --8<-- [end:compare]
    assert compared.equal
    one = [(each.id, each.recorded_at) for each in EventStore(source, registry).read()]
    assert [(each.id, each.recorded_at) for each in EventStore(destination, registry).read()] == one


def test_on_an_event_loop(in_empty_folder: None) -> None:
    import asyncio

    filled()
    assert asyncio.run(AsyncLogCopy(SQLite("todo.db"), SQLite("copy.db")).run()).copied == 3


def test_what_goes_wrong(in_empty_folder: None) -> None:
    filled()
    EventStore(SQLite("other.db"), registry).execute(task, "task-9", CreateTask("Not of this log"))
    with pytest.raises(Refused, match="the destination holds the event"):
        LogCopy(SQLite("todo.db"), SQLite("other.db")).run()
    assert issubclass(LogsDiffer, Exception)


def test_the_commands(
    in_empty_folder: None, upstash: LocalUpstash, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command lines of the guide, as they stand there."""
    filled()
    names = ("UPSTASH_REDIS_REST_URL", "UPSTASH_REDIS_REST_TOKEN")
    for name in ("old.env", "new.env"):
        Path(name).write_text("".join(f"{each}={os.environ[each]}\n" for each in names))
    lines = commands(kafka=False)
    assert len(lines) >= 5
    for line in lines:
        if "--follow" not in line:
            assert main(shlex.split(line, comments=True)) == 0, line
    assert "both hold 3 events" in capsys.readouterr().out


def test_the_commands_with_kafka_as_the_tutorial_has_it(
    in_empty_folder: None, tutorial: None, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, start in (("new.env", "UPSTASH_REDIS_"), ("kafka.env", "UPSTASH_KAFKA_")):
        found = {each: value for each, value in os.environ.items() if each.startswith(start)}
        Path(name).write_text("".join(f"{each}={value}\n" for each, value in found.items()))
    filled()
    assert main(["copy", "sqlite:todo.db", "kafka:", "--to-env", "kafka.env"]) == 0
    for line in commands(kafka=True):
        assert main(shlex.split(line, comments=True)) == 0, line
    told = capsys.readouterr().out
    assert told.count("compared: both hold 3 events") == 3
    assert "copied 0 events" in told  # back in the topic where they were


def commands(*, kafka: bool) -> list[str]:
    page = Path(__file__).parents[1] / "guides" / "copying.md"
    start = "$ eventsource-upstash "
    lines = [each for each in page.read_text("utf-8").splitlines() if each.startswith(start)]
    return [each.removeprefix(start) for each in lines if ("kafka:" in each) is kafka]
