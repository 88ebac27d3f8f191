"""What may be the name of a stream, the key of a document, an idempotency key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from eventsource_upstash import Misuse, ProjectionStopped, Registry, connect
from eventsource_upstash.blocking import App

LONGEST_STREAM = 255
LONGEST_KEY = 1024


@dataclass(frozen=True)
class Noted:
    key: Any
    text: str = ""


@dataclass(frozen=True)
class Note:
    text: str


def app() -> App:
    registry = Registry()
    registry.event("noted")(Noted)
    notes = registry.projection("notes", Note)

    @notes.on(Noted, key="key")
    def noted(note: Note | None, event: Noted) -> Note:
        return Note(event.text)

    return connect("memory:", registry)


GOOD = [
    "a",
    "task-1",
    "Ünï/cödé:7",
    "a b",
    "日本語",
    "🎉",
    "{}",
    "*",
    "..",
    "%00",
    "'; DROP TABLE events; --",
    "\\",
    '"',
]
BAD = ["", "\n", "a\tb", "a\0", "a\x7f", "a\u2028", "\ud800", "a\udfff", "\x85", "\u200e"]


@pytest.mark.parametrize("name", [*GOOD, "a" * LONGEST_STREAM, "🎉" * LONGEST_STREAM], ids=ascii)
def test_a_stream_name(name: str) -> None:
    with app() as the:
        the.event_store.append(name, Noted("k"))
        assert [recorded.stream for recorded in the.event_store.read_stream(name)] == [name]


@pytest.mark.parametrize("name", [*BAD, "a" * (LONGEST_STREAM + 1), None, 5, b"a", True], ids=ascii)
def test_what_cannot_be_a_stream_name(name: Any) -> None:
    with app() as the:
        for act in (
            lambda: the.event_store.append(name, Noted("k")),
            lambda: list(the.event_store.read_stream(name)),
            lambda: the.event_store.append(name, Noted("k"), idempotency_key="1"),
        ):
            with pytest.raises(Misuse, match="stream name") as caught:
                act()
            assert str(caught.value).isprintable(), "the message itself goes to a log"
        assert the.event_store.head() == 0


def test_a_name_too_long_is_not_repeated_at_length() -> None:
    with app() as the, pytest.raises(Misuse, match="10000 characters, at most 255 are allowed") as caught:
        the.event_store.append("a" * 10_000, Noted("k"))
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("key", [*GOOD, "a" * LONGEST_KEY], ids=ascii)
def test_a_document_key(key: str) -> None:
    with app() as the:
        (notes,) = the.registry.projections
        the.event_store.append("notes", Noted(key, "x"))
        the.projector.catch_up()
        assert the.projection_store.view(notes).get(key) == Note("x")
        assert list(the.projection_store.view(notes).items()) == [(key, Note("x"))]


@pytest.mark.parametrize("key", [*BAD, "a" * (LONGEST_KEY + 1), None, 5, b"a"], ids=ascii)
def test_what_cannot_be_a_document_key_to_read(key: Any) -> None:
    with app() as the:
        (notes,) = the.registry.projections
        view = the.projection_store.view(notes)
        with pytest.raises(Misuse, match="document key"):
            view.get(key)
        with pytest.raises(Misuse, match="document key"):
            view.get_many(["a", key])
        if key is not None:
            with pytest.raises(Misuse, match="document key"):
                list(view.items(after=key))


@pytest.mark.parametrize(
    "key", ["", "a\n", "a" * (LONGEST_KEY + 1), None, 1.5, True, {"a": "b"}, ["a", None]], ids=ascii
)
def test_what_cannot_be_a_document_key_to_write_stops_the_projection(key: Any) -> None:
    with app() as the:
        (notes,) = the.registry.projections
        the.event_store.append("notes", Noted("first"))
        the.event_store.append("notes", Noted(key))
        with pytest.raises(ProjectionStopped, match=r"'notes' stopped at position 2: .*handler noted") as told:
            the.projector.catch_up()
        assert "key" in str(told.value)
        assert dict(the.projection_store.view(notes).items()) == {"first": Note("")}


@pytest.mark.parametrize(
    ("key", "keys"), [(7, ["7"]), (-1, ["-1"]), (["a", "b"], ["a", "b"]), ([], []), ([1, ["x"]], ["1", "x"])]
)
def test_keys_that_are_turned_into_strings(key: Any, keys: list[str]) -> None:
    with app() as the:
        (notes,) = the.registry.projections
        the.event_store.append("notes", Noted(key))
        the.projector.catch_up()
        assert sorted(key for key, _ in the.projection_store.view(notes).items()) == sorted(keys)


@pytest.mark.parametrize("key", [*BAD, "a" * 256, 5, b"a", True], ids=ascii)
def test_what_cannot_be_an_idempotency_key(key: Any) -> None:
    with app() as the:
        with pytest.raises(Misuse, match="idempotency_key"):
            the.event_store.append("notes", Noted("k"), idempotency_key=key)
        assert the.event_store.head() == 0
