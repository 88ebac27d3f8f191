"""Names and contents that try to be something else: another key, another row, a pattern, a piece of a script."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from eventsource_upstash import InProcess, Memory, Misuse, QStash, Registry, SQLite, UpstashRedis
from eventsource_upstash._io.blocking import run
from eventsource_upstash.backends.redis.keys import ENDS, Keys, index_set
from eventsource_upstash.blocking import App
from eventsource_upstash.domain.names import (
    check_idempotency_key,
    check_key,
    check_part_name,
    check_stream,
    is_namespace,
)
from eventsource_upstash.domain.projections import ProjectionId
from eventsource_upstash.domain.queries import Query
from eventsource_upstash.local import LocalUpstash
from eventsource_upstash.ports import Message
from tests.qstash.carrier import Carrier, answer
from tests.searching import examples

# The pieces that names of keys, patterns, scripts and headers are made of; and what no name may hold.
PIECES = [
    *(":", "{", "}", "@", "-", ".", "_", "*", "?", "[", "]", "^", "%", "\\", "'", '"', ";", "--", " ", "0", "1", "2"),
    *("a", "A", "b", "log", "head", "keys", "doc", "stream", "stream-1", "revision", "once", "leaves", "index-a"),
    *("\u202e", "\u200b", "\u200d", "é", "e\u0301", "ﬁ", "ß", "]]", "redis.call", "{}:", "..", "/", "%00", "%s", "$"),
]
REFUSED = ["\0", "\n", "\r\n", "\t", "\u2028", "\ud800", "\x7f", "x" * 300, ""]
PLAIN = ["a", "A", "b", "0", "1", "2", "-", ".", "_", "log", "keys", "index-a", "stream-1"]


def joined(pieces: list[str], least: int = 1, most: int = 4) -> st.SearchStrategy[str]:
    return st.lists(st.sampled_from(pieces), min_size=least, max_size=most).map("".join)


texts = joined([*PIECES, *REFUSED], 0)
streams = keys = once = tags = joined(PIECES)
parts = namespaces = joined(PLAIN).map(lambda name: f"a{name}")
numbers = st.integers(0, 12)
projections = st.builds(ProjectionId, parts, numbers)


# --- keys of Redis

Named = tuple[str, tuple[Any, ...]]
places: st.SearchStrategy[Named] = st.one_of(
    st.sampled_from(["head", "notice", "log", "marks"]).map(lambda name: (name, ())),
    st.tuples(st.sampled_from(["log_archive", "marks_archive"]), st.tuples(numbers)),
    st.tuples(st.sampled_from(["revision", "stream"]), st.tuples(streams)),
    st.tuples(st.just("snapshot"), st.tuples(streams, parts)),
    st.tuples(st.just("stream_archive"), st.tuples(streams, numbers)),
    st.tuples(st.just("once"), st.tuples(once)),
    st.tuples(st.just("limit"), st.tuples(st.sampled_from(["fixed", "sliding"]), numbers, namespaces)),
    st.tuples(st.just("view"), st.tuples(projections)),
    st.tuples(
        st.just("leaf"),
        st.tuples(projections, numbers, st.one_of(st.just("keys"), st.just(ENDS), parts.map(index_set)), numbers),
    ),
    st.tuples(st.just("leaves"), st.tuples(projections, numbers)),
    st.tuples(st.sampled_from(["documents", "records"]), st.tuples(projections, numbers, keys)),
)


def key_of(namespace: str, place: Named) -> str:
    name, arguments = place
    if name in ("documents", "records"):
        return str(getattr(Keys(namespace), name)(*arguments[:2])) + arguments[2]
    found = getattr(Keys(namespace), name)
    return str(found(*arguments) if arguments else found)


@settings(max_examples=examples(200), suppress_health_check=[HealthCheck.too_slow])
@given(namespaces, places, namespaces, places)
@example("a", ("snapshot", ("s:1", "x")), "a", ("snapshot", ("s", "1:x")))
@example("a", ("stream_archive", ("1:x", 1)), "a", ("stream", ("1:1:x",)))
@example("a", ("log", ()), "a", ("log_archive", (0,)))
def test_no_two_things_meet_in_one_key(namespace: str, place: Named, other: str, another: Named) -> None:
    assume((namespace, place) != (other, another))
    key = key_of(namespace, place)
    assert key != key_of(other, another)
    # Redis takes what stands within the first braces as the slot: the namespace, whatever else a name holds.
    assert key[key.index("{") + 1 : key.index("}")] == namespace


@given(joined(PIECES), joined(PLAIN))
def test_what_the_search_tries_can_be_named_so(name: str, part: str) -> None:
    check_stream(name)
    check_key(name)
    check_idempotency_key(name)
    check_part_name("projection", f"a{part}")
    assert is_namespace(f"a{part}"[:64])


def test_the_search_finds_names_that_meet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Keys, "snapshot", lambda self, stream, name: f"{self.prefix}snapshot:{stream}:{name}")
    with pytest.raises(AssertionError):
        test_no_two_things_meet_in_one_key()


@settings(max_examples=examples(60))
@given(texts)
def test_a_namespace_is_refused_or_harmless(name: str) -> None:
    """Where it becomes a piece of a key, and where it becomes a piece of a header."""
    try:
        prefix = Keys(name).prefix
        transport = QStash("https://app.example.com/p", token="t", namespace=name)
    except Misuse:
        assert not is_namespace(name)
        return
    assert prefix == f"{{{name}}}:"
    carrier = Carrier(answer())
    run(transport.notices(carrier).send(7, 9))
    dedup = carrier.headers()["upstash-deduplication-id"]
    assert dedup == f"{name}-7-9"
    assert dedup.rsplit("-", 2) == [name, "7", "9"], "it can be taken apart again: no two are spelled alike"
    assert ":" not in dedup


@settings(max_examples=examples(60))
@given(texts, texts, texts)
def test_no_header_of_a_message_holds_another(id: str, name: str, value: str) -> None:
    """CR, LF and their like, in an id, in a header's name and in its value."""
    carrier = Carrier(answer())
    transport = QStash("https://app.example.com/p", token="t")
    try:
        run(transport.messages(carrier).publish([Message(id, "https://a.example.com", b"x", {name: value})]))
    except Misuse:
        assert carrier.requests == []
        return
    for spelled, said in carrier.headers().items():
        assert spelled.isascii()
        assert set(f"{spelled}{said}").isdisjoint("\r\n\0")
        assert ":" not in spelled


# --- the same by what an app sees, on each backend


@dataclass(frozen=True)
class Noted:
    key: str
    text: str


@dataclass(frozen=True)
class Note:
    texts: tuple[str, ...] = ()


def opened(kind: str, upstash: LocalUpstash, folder: Path) -> App:
    registry = Registry()
    registry.event("noted")(Noted)
    notes = registry.projection("notes", Note)
    notes.index("first", lambda note: note.texts[0][:9] or None if note.texts and note.texts[0].isprintable() else None)

    @notes.on(Noted, key="key")
    def noted(note: Note | None, event: Noted) -> Note:
        return Note((*(note.texts if note else ()), event.text))

    run_of = secrets.token_hex(8)
    backend = {
        "memory": Memory,
        "sqlite": lambda: SQLite(folder / f"{run_of}.db"),
        "redis": lambda: UpstashRedis(upstash.redis_url, upstash.redis_token, namespace=run_of),
    }[kind]()
    return App(backend, registry, InProcess())


@dataclass(frozen=True)
class Step:
    stream: str
    key: str
    tag: str
    text: str


CONTENTS = [
    *("\0", "]]", "--[[", "]]--", "redis.call('FLUSHALL')", "${x}", "#{x}", "%s%n", "\\u0000", "\r\n", "\ud7ff", "'"),
    *('"', "\n\n", "\nkey 1\n\n", "1e400", "9" * 400, "[" * 2_000, '{"a":' * 500, "", "nil", "null", "cjson.null"),
    *("\u2028", "\ufeff", "a\u0301", "{}", "[]", "\x7f", "🎉", "-0", "NaN", "\t"),
]
steps = st.lists(
    st.builds(Step, streams, keys, tags, st.lists(st.sampled_from(CONTENTS), min_size=1, max_size=3).map("".join)),
    min_size=2,
    max_size=6,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("names")


@pytest.mark.parametrize("kind", ["memory", "sqlite", "redis"])
@settings(
    max_examples=examples(8),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=steps)
@example(steps=[Step("é", "é", "é", "1"), Step("e\u0301", "e\u0301", "e\u0301", "2")])
@example(steps=[Step("a", "a", "a", "1"), Step("A", "A", "A", "2"), Step("a ", "a ", "a ", "3")])
@example(
    steps=[Step("*", "*", "*", "1"), Step("a", "a", "a", "2"), Step("?", "%", "_", "3"), Step("[a]", "b", "b", "")]
)
@example(steps=[Step("s", "k", "t", "[" * 100_000), Step("s", "k", "t", "9" * 5_000), Step("s", "k", "t", "\0")])
def test_each_name_finds_its_own_and_nothing_else(
    kind: str, steps: list[Step], upstash: LocalUpstash, folder: Path
) -> None:
    with opened(kind, upstash, folder) as app:
        for step in steps:
            app.event_store.append(step.stream, Noted(step.key, step.text), tags=(step.tag,))
        app.projector.catch_up()
        (notes,) = app.registry.projections
        view: Any = app.projection_store.view(notes)
        for step in steps:
            assert [each.event for each in app.event_store.read_stream(step.stream)] == [
                Noted(each.key, each.text) for each in steps if each.stream == step.stream
            ]
            assert [each.event for each in app.event_store.read(query=Query.of(tags=[step.tag]))] == [
                Noted(each.key, each.text) for each in steps if each.tag == step.tag
            ]
            assert view.get(step.key) == Note(tuple(each.text for each in steps if each.key == step.key))
        assert {key for key, _ in view.items()} == {step.key for step in steps}
        assert view.count() == len({step.key for step in steps})


@pytest.fixture(scope="module")
def engine(upstash: LocalUpstash) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(upstash.engine_url) as client:
        yield client


def test_what_is_written_under_one_namespace_begins_with_it(upstash: LocalUpstash, engine: redis.Redis) -> None:
    before = set(engine.keys())
    registry = Registry()
    registry.event("noted")(Noted)
    name = f"n-{secrets.token_hex(6)}"
    app = App(UpstashRedis(upstash.redis_url, upstash.redis_token, namespace=name), registry, InProcess())
    for stream in ("}:head", "{other}:head", ":", "*"):
        app.event_store.append(stream, Noted("k", "x"), tags=(stream,), idempotency_key=stream)
    written = set(engine.keys()) - before
    assert written
    assert all(key.startswith(f"{{{name}}}:".encode()) for key in written), written


LUA = Path(__file__).resolve().parents[2] / "src/eventsource_upstash/backends/redis/lua"


@pytest.mark.parametrize("script", sorted(LUA.glob("*.lua")), ids=lambda path: path.stem)
def test_no_script_reads_contents_as_anything(script: Path) -> None:
    """Names and contents come as KEYS and ARGV only: nothing is compiled, decoded or formatted from them."""
    for word in ("cjson", "cmsgpack", "loadstring", "load(", "dofile", "setfenv", "struct.", "%s", "_G"):
        assert word not in "\n".join(
            line for line in script.read_text().splitlines() if not line.lstrip().startswith("--")
        ).replace("%s(%", ""), f"{word} in {script.name}"
