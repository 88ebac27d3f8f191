"""What may be the name of a stream, the key of a document, an idempotency key."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventsource_upstash import InProcess, Memory, Misuse, ProjectionStopped, Registry, SQLite, connect
from eventsource_upstash.blocking import App
from eventsource_upstash.domain.names import (
    MAX_KEY,
    MAX_NAME,
    check_idempotency_key,
    check_key,
    check_stream,
    check_tags,
    is_name,
)

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
    "👩\u200d👩\u200d👧",
    "❤\ufe0f",
    "🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",  # Scotland, spelled with tag characters
    "10\u00a0000\u202f€",
    "می\u200cخواهم",  # noqa: RUF001  # Persian, with a non-joiner
    "\u200e",
    "a\u00adb",
    "\ufeff",
    "\ue000",  # private use
    "\u0378",  # assigned to nothing yet
    "\U0001fae9",  # a face with bags under its eyes, since Unicode 16
    "\ufffd",
    "e\u0301",
    "é",
]
BAD = ["", "\n", "a\tb", "a\0", "a\x7f", "a\u2028", "\ud800", "a\udfff", "\x85", "a\ufdd0", "\uffff", "\U0010fffe"]


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


@pytest.mark.parametrize("key", GOOD, ids=ascii)
def test_what_can_be_an_idempotency_key(key: str) -> None:
    with app() as the:
        first = the.event_store.append("notes", Noted("k"), idempotency_key=key)
        again = the.event_store.append("notes", Noted("k"), idempotency_key=key)
        assert (again.position, again.repeated) == (first.position, True)


@pytest.mark.parametrize("key", GOOD, ids=ascii)
def test_tags_and_streams_and_keys_round_trip_through_a_file(key: str, tmp_path: Path) -> None:
    registry = app().registry
    (notes,) = registry.projections
    for _ in range(2):  # the second time the file is read only
        with connect(f"sqlite:{tmp_path / 'log.db'}", registry) as the:
            if not the.event_store.head():
                the.event_store.append(key, Noted(key, "x"), tags=[key])
                the.projector.catch_up()
            (recorded,) = the.event_store.read_stream(key)
            assert (recorded.stream, recorded.tags, recorded.event) == (key, (key,), Noted(key, "x"))
            assert the.projection_store.view(notes).get(key) == Note("x")
            assert list(the.projection_store.view(notes).items()) == [(key, Note("x"))]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("a\tb", "stream name 'a\\tb': U+0009 at index 1 cannot be part of it; control characters are not allowed"),
        ("\x9b", "U+009B at index 0 cannot be part of it; control characters"),
        ("👩\u200d👧\u2029", "U+2029 at index 3 cannot be part of it; line breaks"),
        ("\u2028", "U+2028 at index 0 cannot be part of it; line breaks"),
        ("ab\ud83d", "U+D83D at index 2 cannot be part of it; lone surrogates"),
        ("\udfff", "U+DFFF at index 0 cannot be part of it; lone surrogates"),
        ("a" * (MAX_NAME - 1) + "\n", "U+000A at index 254 cannot be part of it; control characters"),
        ("\U0001fffe", "U+1FFFE at index 0 cannot be part of it; Unicode's noncharacters"),
    ],
    ids=ascii,
)
def test_the_message_names_the_character(name: str, told: str) -> None:
    with pytest.raises(Misuse) as caught:
        check_stream(name)
    assert told in str(caught.value)


def verdicts(check: Callable[[str], None]) -> str:
    """One mark for each character that Unicode has room for: whether it may be part of a name."""

    def verdict(code: int) -> str:
        try:
            check(chr(code))
        except Misuse:
            return "-"
        return "+"

    return "".join(map(verdict, range(sys.maxunicode + 1)))


@pytest.mark.parametrize(
    "check",
    [check_stream, check_key, lambda tag: check_tags((tag,)), check_idempotency_key],
    ids=["stream", "key", "tag", "idempotency key"],
)
def test_every_character_is_judged_alike_on_every_python(check: Callable[[str], None]) -> None:
    planes = [plane << 16 for plane in range(17)]
    refused = [
        *[(0x00, 0x1F), (0x7F, 0x9F), (0x2028, 0x2029), (0xD800, 0xDFFF), (0xFDD0, 0xFDEF)],
        *[(plane + 0xFFFE, plane + 0xFFFF) for plane in planes],
    ]
    expected = ["+"] * (sys.maxunicode + 1)
    for first, last in refused:
        expected[first : last + 1] = "-" * (last + 1 - first)
    assert verdicts(check) == "".join(expected)


@given(text=st.text(min_size=1, max_size=LONGEST_STREAM))
def test_every_name_that_is_accepted_comes_back(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    try:
        check_stream(text)
    except Misuse:
        assert re.search("[\x00-\x1f\x7f-\x9f\u2028\u2029\ufdd0-\ufdef]", text) or any(
            ord(character) & 0xFFFE == 0xFFFE for character in text
        )
        return
    # One file for all the examples: names that are alike are kept apart in it.
    file = tmp_path_factory.getbasetemp() / "names.db"
    for backend in (Memory(), SQLite(file, synchronous="NORMAL")):
        with App(backend, app().registry, InProcess()) as the:
            before = the.event_store.head()
            the.event_store.append(text, Noted(text, "x"), tags=[text])
            (recorded,) = the.event_store.read(after=before)
            assert (recorded.stream, recorded.tags, recorded.event) == (text, (text,), Noted(text, "x"))
            (notes,) = the.registry.projections
            the.projector.catch_up()
            assert the.projection_store.view(notes).get(text) == Note("x")
            assert (text, Note("x")) in list(the.projection_store.view(notes).items())


def test_a_key_and_a_tag_of_the_greatest_length() -> None:
    check_key("k" * MAX_KEY)
    check_tags(("t" * MAX_NAME,))
    check_idempotency_key("i" * MAX_NAME)
    check_stream("s" * MAX_NAME)
    for refused in (lambda: check_key("k" * (MAX_KEY + 1)), lambda: check_tags(("t" * (MAX_NAME + 1),))):
        with pytest.raises(Misuse, match=rf"({MAX_KEY + 1}|{MAX_NAME + 1}) characters"):
            refused()


def test_what_others_name_is_judged_as_what_we_do() -> None:
    assert all(is_name(name) for name in (*GOOD, "s", "s" * MAX_NAME))
    assert not any(is_name(name) for name in (*BAD, "", "s" * (MAX_NAME + 1)))


def test_of_a_name_too_long_the_beginning_is_told() -> None:
    with pytest.raises(Misuse) as caught:
        check_stream("0123456789" * 26)
    assert str(caught.value) == f"stream name {'0123456789' * 4!r}...: 260 characters, at most 255 are allowed"
