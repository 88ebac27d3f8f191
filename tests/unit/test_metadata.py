"""Metadata and tags read back as they were given, or are refused."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

import pytest

from eventsource_upstash import InvalidEvent, Misuse, Registry, connect
from eventsource_upstash.domain.codec import decode_tags, encode_metadata, encode_tags


@dataclass(frozen=True)
class Place:
    city: str


NAN, INFINITY = float("nan"), float("inf")


def deep(levels: int) -> object:
    value: object = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize("metadata", [{"user": "1"}, {"a": {"b": [1, 2.5, None, True, "x"]}}, {"": ""}, {}])
def test_metadata_reads_back_as_it_was(metadata: dict[str, object]) -> None:
    registry = Registry()
    registry.event("moved")(Place)
    with connect("memory:", registry) as app:
        app.event_store.append("place-1", Place("Åre"), metadata=metadata, tags=("a", "b", "a"))
        (recorded,) = app.event_store.read()
    assert recorded.metadata == metadata
    assert recorded.tags == ("a", "b")


@pytest.mark.parametrize(
    "metadata",
    [
        {"a": NAN},
        {"a": [INFINITY]},
        {"a": (1, 2)},
        {"a": {1, 2}},
        {1: "a"},
        {"a": {1: 2}},
        {"a": uuid.UUID(int=0)},
        {"a": datetime(2024, 1, 1, tzinfo=timezone.utc)},
        {"a": b"x"},
        {"a": object()},
        {"a": "\ud800"},
        {"a": Place("Åre")},
        pytest.param({"a": deep(100_000)}, id="deep"),
        "user=1",
        ["user"],
        5,
        True,
    ],
    ids=repr,
)
def test_metadata_that_would_not_read_back_as_it_was(metadata: Any) -> None:
    with pytest.raises(InvalidEvent, match="metadata"):
        encode_metadata(metadata)
    registry = Registry()
    registry.event("moved")(Place)
    with connect("memory:", registry) as app:
        with pytest.raises(InvalidEvent, match="metadata"):
            app.event_store.append("place-1", Place("Åre"), metadata=metadata)
        assert app.event_store.head() == 0


def test_no_tags_take_no_place() -> None:
    assert encode_tags(()) is None
    assert decode_tags(None) == ()


@pytest.mark.parametrize(
    "tags", ["ab", ("",), ("a", 5), ("a\n",), ("\ud800",), ("a" * 256,), (None,), b"ab", 5, ([],)], ids=repr
)
def test_tags_that_cannot_be_ones(tags: Any) -> None:
    registry = Registry()
    registry.event("moved")(Place)
    with connect("memory:", registry) as app:
        with pytest.raises(Misuse, match="tag"):
            app.event_store.append("place-1", Place("Åre"), tags=tags)
        assert app.event_store.head() == 0
