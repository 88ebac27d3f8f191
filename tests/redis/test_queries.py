"""Queries, conditions and snapshots in Redis: against what a look at every event says, with keys that are soon full."""

from __future__ import annotations

import random
import secrets
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eventsource_upstash import CorruptLog, OutcomeUnknown, Refused
from eventsource_upstash._io import blocking
from eventsource_upstash._io.port import HttpRequest, HttpResponse, Signal
from eventsource_upstash.backends.redis.archives import Archives
from eventsource_upstash.backends.redis.keys import Keys
from eventsource_upstash.backends.redis.log import RedisLog
from eventsource_upstash.backends.redis.transport import HttpTransport
from eventsource_upstash.domain.codec import decode_tags, encode_tags
from eventsource_upstash.domain.events import ANY, Appended, Expectation, StoredEvent
from eventsource_upstash.domain.queries import AppendCondition, Query, QueryItem
from eventsource_upstash.local import LocalUpstash
from eventsource_upstash.ports import MAX_PAGE_BYTES, Append, Conflict, KeyReused, Snapshot, Unmet
from tests.searching import examples

T = TypeVar("T")
NOW = 1_800_000_000_000_000


def log_of(upstash: LocalUpstash, namespace: str, *, roll_at: int = 16_000_000) -> RedisLog:
    transport = HttpTransport(blocking.PORT, upstash.redis_url, upstash.redis_token)
    return RedisLog(transport, Keys(namespace), Archives(), roll_at=roll_at, lost_after_us=60_000_000)


@pytest.fixture
def namespace() -> str:
    return f"queries-{secrets.token_hex(6)}"


@pytest.fixture
def log(upstash: LocalUpstash, namespace: str) -> RedisLog:
    return log_of(upstash, namespace)


@pytest.fixture
def engine(upstash: LocalUpstash) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(upstash.engine_url, decode_responses=True) as client:
        yield client


def item(types: str = "", tags: str = "") -> QueryItem:
    return QueryItem(frozenset(types.split()), frozenset(tags.split()))


def query(*items: QueryItem) -> Query:
    return Query(items)


def an(
    number: int,
    *events: tuple[str, str],
    stream: str = "s",
    expected: int | Expectation = ANY,
    condition: AppendCondition | None = None,
    snapshot: Snapshot | None = None,
    key: str | None = None,
) -> Append:
    """An append of events, each with a type and tags."""
    return Append(
        stream,
        expected,
        [(type_, 1, b"%d.%d" % (number, index)) for index, (type_, _) in enumerate(events)],
        NOW + number,
        number * 10_000,
        tags=[encode_tags(tuple(tags.split())) for _, tags in events],
        condition=condition,
        snapshot=snapshot,
        key=key,
        digest=b"%d" % number,
    )


def append(log: RedisLog, what: Append) -> Appended:
    answer = blocking.run(log.append(what))
    assert isinstance(answer, Appended), answer
    return answer


def everything(log: RedisLog, wanted: Query | None = None, *, limit: int = 1_000, after: int = 0) -> list[StoredEvent]:
    rows: list[StoredEvent] = []
    while True:
        page = blocking.run(log.read(after, limit, MAX_PAGE_BYTES, wanted))
        assert len(page.events) <= limit
        rows += page.events
        reached = page.reached
        if reached is None:
            reached = page.events[-1][0] if page.events else page.head
        assert after < reached <= page.head or after == page.head
        if reached >= page.head:
            return rows
        after = reached


def meant(rows: Sequence[StoredEvent], wanted: Query, after: int = 0) -> list[StoredEvent]:
    return [row for row in rows if row[0] > after and wanted.matches(row[5], decode_tags(row[8]))]


WORDS = st.frozensets(st.sampled_from(["a", "a:b", "b", "ab", "é", "a\U0001f642"]), max_size=3)
ITEMS = st.builds(QueryItem, st.frozensets(st.sampled_from(["t", "u", "t:u"]), max_size=2), WORDS)
QUERIES = st.builds(Query, st.lists(ITEMS, min_size=1, max_size=3).map(tuple))
EVENTS = st.lists(st.tuples(st.sampled_from(["t", "u", "t:u"]), WORDS.map(" ".join)), min_size=1, max_size=4)


@settings(max_examples=examples(25), deadline=None, suppress_health_check=list(HealthCheck))
@given(
    appends=st.lists(EVENTS, min_size=1, max_size=10),
    queries=st.lists(st.tuples(QUERIES, st.integers(0, 30)), min_size=1, max_size=4),
    roll_at=st.sampled_from([1, 300, 16_000_000]),
    limit=st.sampled_from([1, 2, 1_000]),
)
def test_a_query_finds_what_a_look_at_every_event_finds(
    upstash: LocalUpstash,
    appends: list[list[tuple[str, str]]],
    queries: list[tuple[Query, int]],
    roll_at: int,
    limit: int,
) -> None:
    log = log_of(upstash, secrets.token_hex(8), roll_at=roll_at)
    for number, events in enumerate(appends):
        append(log, an(number, *events))
    rows = everything(log)
    assert [row[9] for row in rows] == [b"%d.%d" % (n, i) for n, each in enumerate(appends) for i in range(len(each))]
    assert [set(decode_tags(row[8])) for row in rows] == [set(tags.split()) for each in appends for _, tags in each]
    for number, (wanted, after) in enumerate(queries):
        found = meant(rows, wanted, after)
        if after < len(rows):
            assert everything(log, wanted, limit=limit, after=after) == found
        knows_nothing = log_of(upstash, log.keys.namespace, roll_at=roll_at)
        answer = blocking.run(
            knows_nothing.append(an(1_000 + number, ("x", ""), condition=AppendCondition(wanted, after)))
        )
        if found:
            assert isinstance(answer, Unmet)
            assert answer.position in [row[0] for row in found]
            assert everything(log) == rows, "something was written"
        else:
            assert isinstance(answer, Appended)
            rows = everything(log)


@pytest.mark.parametrize("seed", range(3))
def test_words_of_very_different_frequency(upstash: LocalUpstash, namespace: str, seed: int) -> None:
    """More events under each word than are looked at at once, and hardly any under all of them."""
    draw = random.Random(seed)
    log = log_of(upstash, namespace, roll_at=draw.choice([40_000, 16_000_000]))
    for number in range(4):
        events = [
            (
                draw.choice(["often", "often", "often", "rare"]) if draw.random() < 0.02 else "often",
                " ".join(tag for tag, share in (("all", 1), ("half", 0.5), ("few", 0.01)) if draw.random() < share),
            )
            for _ in range(700)
        ]
        append(log, an(number, *events))
    rows = everything(log)
    number = 10
    for wanted in (
        query(item("rare", "all")),
        query(item("", "all few")),
        query(item("", "all half few")),
        query(item("rare often", "few half")),
        query(item("often rare"), item("", "few")),
        query(item("", "few"), item("rare")),
        query(item("nobody", "all")),
        query(item("", "all nobody")),
    ):
        assert everything(log, wanted) == meant(rows, wanted)
        assert everything(log, wanted, limit=7) == meant(rows, wanted)
        for after in (0, 1_000, 2_750):
            expected = [row[0] for row in meant(rows, wanted, after)]
            number += 1
            answer = blocking.run(log.append(an(number, ("x", ""), condition=AppendCondition(wanted, after))))
            if expected:
                assert isinstance(answer, Unmet)
                assert answer.position in expected
            else:
                assert isinstance(answer, Appended)


# An append's own earlier attempt.


@pytest.mark.parametrize("roll_at", [1, 16_000_000])
@pytest.mark.parametrize("key", [None, "k"])
def test_an_append_does_not_exclude_itself(
    upstash: LocalUpstash, namespace: str, roll_at: int, key: str | None
) -> None:
    """Sent again, doubled, or late: behind others, of its stream or not."""
    log = log_of(upstash, namespace, roll_at=roll_at)
    own = an(5, ("t", "a"), ("t", ""), key=key, condition=AppendCondition(query(item("t", "a"))))
    first = append(log, own)
    assert not first.repeated
    for other in (an(6, ("t", "a"), stream="other"), an(7, ("t", "a")), an(2, ("t", "a"))):
        again = append(log, own)
        assert (again.position, again.revision, again.repeated) == (2, 2, True)
        append(log, other)
    assert append(log, own).repeated
    answer = blocking.run(log.append(an(9, ("t", "a"), condition=own.condition)))
    assert isinstance(answer, Unmet)
    assert len(everything(log)) == 5


def test_the_order_of_what_is_checked(log: RedisLog) -> None:
    """Key, revision, condition: the first that says no is what is answered."""
    append(log, an(1, ("t", "a"), key="k"))
    condition = AppendCondition(query(item("t")))
    assert isinstance(blocking.run(log.append(an(2, ("t", ""), key="k", condition=condition, expected=7))), KeyReused)
    assert isinstance(blocking.run(log.append(an(3, ("t", ""), condition=condition, expected=7))), Conflict)
    assert isinstance(blocking.run(log.append(an(4, ("t", ""), condition=condition, expected=1))), Unmet)
    append(log, an(5, ("t", ""), condition=AppendCondition(condition.query, 1)))


class Sleepless:
    """A port whose pauses take no time: what is tried again is tried at once."""

    async def send(self, request: HttpRequest) -> HttpResponse:
        return await blocking.PORT.send(request)

    async def call(self, work: Callable[[], T]) -> T:
        return await blocking.PORT.call(work)

    async def sleep(self, seconds: float, wake: Signal | None = None, since: int = 0) -> None:
        return


@pytest.fixture(scope="module")
def own() -> Iterator[LocalUpstash]:
    """One that no other test is told of: it misbehaves."""
    with LocalUpstash() as running:
        yield running


FAULTS = st.sampled_from([None, "lose-answer", "lose-request", "duplicate", "error-500", "cut-answer"])
STEPS = st.tuples(EVENTS, QUERIES, st.integers(0, 12), st.sampled_from(["any", "number", "key"]), FAULTS)


@settings(max_examples=examples(40), deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=st.lists(STEPS, min_size=2, max_size=10), roll_at=st.sampled_from([400, 16_000_000]))
def test_conditions_hold_on_an_unreliable_wire(
    own: LocalUpstash, steps: list[tuple[list[tuple[str, str]], Query, int, str, str | None]], roll_at: int
) -> None:
    """Written is what no event stood against, once, whatever was lost or doubled on the way."""
    transport = HttpTransport(Sleepless(), own.redis_url, own.redis_token)
    archives = Archives()
    log = RedisLog(transport, Keys(secrets.token_hex(8)), archives, roll_at=roll_at, lost_after_us=60_000_000)
    written: list[tuple[str, frozenset[str], bytes]] = []
    revisions = {"s0": 0, "s1": 0}
    for number, (events, wanted, back, how, fault) in enumerate(steps):
        after = max(0, len(written) - back)
        stream = f"s{number % 2}"
        what = an(
            number,
            *events,
            stream=stream,
            expected=revisions[stream] if how == "number" else ANY,
            key=f"k{number}" if how == "key" else None,
            condition=AppendCondition(wanted, after),
        )
        if fault is not None:
            own.faults.add(fault, half="redis")
        stands_against = any(wanted.matches(type_, tags) for type_, tags, _ in written[after:])
        try:
            answer = blocking.run(log.append(what))
        except OutcomeUnknown:
            # After a lost answer, on a stream that was cut a moment ago: it says so rather than guess.
            assert how == "any"
            assert fault is not None
            assert roll_at == 400
            continue
        finally:
            own.faults.clear()
        assert isinstance(answer, Unmet if stands_against else Appended), (answer, written)
        if not stands_against:
            written += [
                (type_, frozenset(tags.split()), b"%d.%d" % (number, index))
                for index, (type_, tags) in enumerate(events)
            ]
            revisions[stream] += len(events)
    rows = everything(log)
    assert [(row[5], frozenset(decode_tags(row[8])), row[9]) for row in rows] == written


# Damage.


@pytest.mark.parametrize("lost", [4, 6])
def test_a_mark_without_its_event(log: RedisLog, engine: redis.Redis, lost: int) -> None:
    for number in range(6):
        append(log, an(number, ("t", "a" if number % 2 else "")))
    engine.xdel(log.keys.log, f"{lost}-0")
    with pytest.raises(CorruptLog, match=f"no event at position {lost}"):
        everything(log, query(item("", "a")))
    page = blocking.run(log.read(0, 10, MAX_PAGE_BYTES, query(item("", "a"))))
    assert ([row[0] for row in page.events], page.reached) == ([*range(2, lost, 2)], lost - 2)


def test_a_record_of_a_stream_that_is_lost_or_not_ours(log: RedisLog, engine: redis.Redis) -> None:
    append(log, an(1, ("t", "")))
    append(log, an(2, ("t", "")))
    record = log.keys.revision("s")
    engine.delete(record)
    with pytest.raises(CorruptLog, match="stream 's' holds an event of revision 2"):
        append(log, an(3, ("t", "")))
    engine.set(record, "somebody's")
    for refused in (
        lambda: append(log, an(3, ("t", ""))),
        lambda: blocking.run(log.read_stream("s", 0, 10, 1_000)),
        lambda: blocking.run(log.keep("s", Snapshot("n", 1, b"x"))),
    ):
        with pytest.raises(Refused, match="revision:s"):
            refused()
    assert [row[2] for row in everything(log)] == [1, 2]


@pytest.fixture(scope="module")
def limited(upstash: LocalUpstash) -> Iterator[LocalUpstash]:
    """Over the same engine, as a user who may do what a test says."""
    scheme, _, place = upstash.engine_url.partition("://")
    with redis.Redis.from_url(upstash.engine_url) as engine:
        _allow(engine, "+@all")
        with LocalUpstash(engine_url=f"{scheme}://limited:x@{place.rpartition('@')[2]}") as running:
            yield running
        engine.acl_deluser("limited")


def _allow(engine: redis.Redis, *commands: str) -> None:
    engine.acl_setuser("limited", enabled=True, reset=True, passwords=["+x"], keys=["*"], commands=[*commands])


@pytest.mark.parametrize("command", ["xadd", "zadd", "mset", "msetnx", "renamenx"])
@pytest.mark.parametrize("roll_at", [1, 16_000_000])
@pytest.mark.parametrize("before", [0, 2])
def test_nothing_remains_of_an_append_that_is_refused_on_its_way(
    upstash: LocalUpstash,
    limited: LocalUpstash,
    namespace: str,
    engine: redis.Redis,
    command: str,
    roll_at: int,
    before: int,
) -> None:
    log = log_of(upstash, namespace, roll_at=roll_at)
    for number in range(before):
        append(log, an(number, ("t", "a")))
    stored = _stored(engine, namespace)
    _allow(engine, "+@all", f"-{command}")
    last = an(7, ("t", "a"), ("u", "b"), key="k", snapshot=Snapshot("n", before + 2, b"state"))
    try:
        append(log_of(limited, namespace, roll_at=roll_at), last)
        refused = False
    except Refused:
        refused = True
    assert refused == (
        command in ("xadd", "zadd")
        or command == ("mset" if before else "msetnx")
        or (command == "renamenx" and roll_at == 1 and before > 0)
    )
    if refused:
        assert _stored(engine, namespace) == stored
        append(log, last)
    rows = everything(log)
    assert [row[2] for row in rows] == list(range(1, before + 3))
    assert everything(log, query(item("", "a"))) == rows[:-1]
    page = blocking.run(log.read_stream("s", 0, 10, 1_000, "n"))
    assert page.snapshot == Snapshot("n", before + 2, b"state")


def _stored(engine: redis.Redis, namespace: str) -> dict[str, object]:
    """All that there is in a namespace."""
    found: dict[str, object] = {}
    for key in engine.scan_iter(match=f"{{{namespace}}}:*".replace("{", "\\{")):
        kind = engine.type(key)
        if kind == "string":
            found[key] = engine.get(key)
        elif kind == "zset":
            found[key] = engine.zrange(key, 0, -1)
        else:
            found[key] = engine.xrange(key)
    return found


# Snapshots.


@pytest.mark.parametrize("roll_at", [1, 16_000_000])
def test_a_snapshot_and_the_events_behind_it_come_together(upstash: LocalUpstash, namespace: str, roll_at: int) -> None:
    log = log_of(upstash, namespace, roll_at=roll_at)
    binary = bytes(range(256))
    for number in range(3):
        append(log, an(number, ("t", ""), snapshot=Snapshot("task:1", number + 1, b"%d" % number + binary)))
    append(log, an(4, ("t", "")))
    page = blocking.run(log.read_stream("s", 0, 10, 1_000, "task:1"))
    assert page.snapshot == Snapshot("task:1", 3, b"2" + binary)
    assert [row[2] for row in page.events] == [4]
    assert page.revision == 4
    for name, after in (("task:1", 3), ("task:2", 0), ("1", 0)):
        assert blocking.run(log.read_stream("s", after, 10, 1_000, name)).snapshot is None
    for revision, kept in ((2, 3), (4, 4), (4, 4), (5, 4)):
        blocking.run(log.keep("s", Snapshot("task:1", revision, b"kept")))
        found = blocking.run(log.read_stream("s", 0, 10, 1_000, "task:1")).snapshot
        if revision <= 4:
            assert found is not None
            assert found.revision == kept
        else:
            assert found is None, "a snapshot of what is not there yet"


def test_a_snapshot_of_a_stream_that_was_restored_is_given_up(log: RedisLog) -> None:
    append(log, an(1, ("t", "")))
    blocking.run(log.keep("s", Snapshot("n", 9, b"from a time that is gone")))
    blocking.run(log.keep("s", Snapshot("n", 1, b"now")))
    assert blocking.run(log.read_stream("s", 0, 10, 1_000, "n")).snapshot == Snapshot("n", 1, b"now")


def test_a_snapshot_that_fills_a_reply_is_no_end_of_the_stream(log: RedisLog) -> None:
    append(log, an(1, ("t", "")))
    blocking.run(log.keep("s", Snapshot("n", 1, b"\\" * 3_500_000)))
    event = Append("s", ANY, [("t", 1, b"\\" * 1_500_000)], NOW + 2, 7)
    append(log, event)
    page = blocking.run(log.read_stream("s", 0, 10, MAX_PAGE_BYTES, "n"))
    assert page.snapshot is not None
    assert [row[2] for row in page.events] == [2]
    assert page.receipt.requests == 2
