"""JSON that is meant to break whoever stores it, or reads it back."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pydantic
import pytest

from eventsource_upstash import InvalidEvent, Memory, Registry, connect
from eventsource_upstash.backends.kafka.records import Records
from eventsource_upstash.backends.kafka.topic import Record
from eventsource_upstash.domain.codec import MAX_DEPTH, check_depth
from eventsource_upstash.web import Request, ViewEndpoint
from tests.web.players import Players, Scored

T = TypeVar("T")


@dataclass(frozen=True)
class Noted:
    data: Any


@dataclass(frozen=True)
class Tree:
    inner: tuple["Tree", ...] = ()  # noqa: UP037  it holds itself
    names: list[str] = field(default_factory=list)


class Loose(pydantic.BaseModel):
    data: Any = None


def nested(depth: int) -> Any:
    value: Any = 1
    for number in range(depth):
        value = [value] if number % 2 else {"a": value}
    return value


def tree(depth: int) -> Tree:
    found = Tree()
    for _ in range(depth):
        found = Tree((found,))
    return found


def below(frames: int, call: Callable[[], T]) -> T:
    """Call from so many calls further down, as in the depth of a web framework."""
    return call() if frames == 0 else below(frames - 1, call)


def registry() -> Registry:
    found = Registry()
    found.event("noted")(Noted)
    found.event("tree")(Tree)
    found.event("loose")(Loose)
    return found


def test_what_is_stored_at_the_top_of_a_stack_is_read_at_its_bottom() -> None:
    """An event that could be stored and then not be read again would stop every projection for good."""
    app = connect(Memory(), registry())
    stored = 0
    for depth in (10, 40, 90, 97, 99, 100, 150, 500, 900, 980, 5_000, 100_000):
        for event in (Noted(nested(depth)), tree(min(depth, 400) // 2), Loose(data=nested(min(depth, 500)))):
            with suppress(InvalidEvent):
                app.event_store.append("s-1", event)
                stored += 1
    assert stored >= 12
    assert len(below(500, lambda: list(app.event_store.read()))) == stored


@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 5_000, 100_000])
def test_metadata_is_not_nested_deeper_either(depth: int) -> None:
    app = connect(Memory(), registry())
    with pytest.raises(InvalidEvent, match="nested too deeply"):
        app.event_store.append("s-1", Noted(1), metadata={"a": nested(depth)})


@pytest.mark.parametrize(
    ("text", "depth"),
    [
        ("[" * 100 + "]" * 100, 100),
        ("[" * 101 + "]" * 101, 101),
        ("[" + ",".join(["[]"] * 5_000) + "]", 2),
        (json.dumps("[" * 5_000), 0),
        (json.dumps(["[" * 200, '"[{\\' * 99, "\\"]), 1),
        ('{"a":' * 60 + "[" * 40 + "]" * 40 + "}" * 60, 100),
        ('{"a":' * 60 + "[" * 41 + "]" * 41 + "}" * 60, 101),
    ],
)
def test_how_deep_it_is(text: str, depth: int) -> None:
    if depth <= MAX_DEPTH:
        check_depth(text.encode())
    else:
        with pytest.raises(ValueError, match="at most 100"):
            check_depth(text.encode())


@pytest.mark.parametrize(
    "value",
    [
        *(b'{"a":' * 100_000, b'{"data":' + b"[" * 5_000, b"[" * 100_000, b'{"specversion":' + b"9" * 10_000 + b"}"),
        *(b'{"\xff":1}', b'{"specversion":"1.0","id":"1","source":"s","type":"\xff"}', b'{"specversion":"\\ud800"}'),
    ],
    ids=lambda value: repr(value[:10]),
)
def test_a_record_of_kafka_that_cannot_be_read_holds_up_nobody(value: bytes) -> None:
    """Whoever may write to a topic could have stopped its readers."""
    found, failed = Records("topic").decode([Record(0, 0, 0, b"k", value), Record(0, 1, 0, b"k", b"{}")])
    assert [row[0] for row in found.rows] == [1, 2]
    assert not failed


@pytest.mark.parametrize("query", ["low=" + "[" * 5_000, "equal=" + "9" * 5_000, 'high={"a":' * 2_000])
def test_a_bomb_in_a_query_is_a_text_like_any_other(query: str, caplog: pytest.LogCaptureFixture) -> None:
    players = Players(Memory())
    players.app.event_store.append("s-1", Scored("a", 1))
    players.app.projector.catch_up()
    endpoint = ViewEndpoint(players.app, players.players)
    with caplog.at_level(logging.ERROR):
        answer = endpoint.handle(Request("GET", f"https://x.example.com/?index=name&{query}", {}, b""), "")
    assert answer.status in (200, 400)
    assert not caplog.records


def test_a_position_that_never_was_wakes_nobody(caplog: pytest.LogCaptureFixture) -> None:
    players = Players(Memory())
    endpoint = ViewEndpoint(players.app, players.players)
    with caplog.at_level(logging.WARNING):
        answer = endpoint.handle(Request("GET", "https://x.example.com/?at_least=99", {}, b""), "")
    assert answer.status == 409
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "Traceback" not in caplog.text
