"""What views cost beyond the keys of their documents: indexes, ends, records, builds; and what a refusal leaves."""

from __future__ import annotations

import itertools
from collections.abc import Coroutine, Iterator, Mapping
from typing import Any

import pytest
import redis

from eventsource_upstash import Refused, TooLarge, UpstashRedis
from eventsource_upstash._io.blocking import PORT, run
from eventsource_upstash.backends.redis.views import RedisViews
from eventsource_upstash.domain.events import Receipt
from eventsource_upstash.domain.indexes import NUMBERS, STRINGS, encode_value
from eventsource_upstash.domain.projections import ProjectionId
from eventsource_upstash.local import LocalUpstash
from eventsource_upstash.ports import Commit, Counted, Entries, Outcome, Pull, Role, Span, Wanted

PLAYERS = ProjectionId("players", 1)
BY_SCORE = Span("score", *NUMBERS)
NOW = 1_000
EVERYTHING = 10**6

_numbers = itertools.count(1)


class Priced:
    """A namespace whose costs are counted, and its views."""

    def __init__(self, upstash: LocalUpstash) -> None:
        self.upstash = upstash
        self.name = f"priced-{next(_numbers)}"
        self.views = self.another()
        self.at = 0

    def another(self) -> RedisViews:
        """The same views, by a process that knows nothing yet."""
        token = self.upstash.token_for(self.name)
        backend = UpstashRedis(self.upstash.redis_url, token, namespace=self.name)
        views = backend.views(PORT, backend.log(PORT))
        assert isinstance(views, RedisViews)
        return views

    def counted(self) -> tuple[int, int]:
        numbers = self.upstash.metrics()["redis"].get(self.name, {})
        return numbers.get("requests", 0), numbers.get("commands", 0)

    def cost(self, answer: Coroutine[Any, Any, tuple[object, ...] | Counted]) -> tuple[int, int]:
        """Requests and commands: on the receipt, and counted by the server."""
        before = self.counted()
        result = run(answer)
        after = self.counted()
        receipt = result.receipt if isinstance(result, Counted) else result[-1]
        assert isinstance(receipt, Receipt)
        assert (receipt.requests, receipt.commands) == (after[0] - before[0], after[1] - before[1])
        return receipt.requests, receipt.commands

    def commit(
        self,
        documents: Mapping[str, bytes | None],
        entries: Mapping[str, Entries] | None = None,
        *,
        before: Mapping[str, Entries] | None = None,
        records: Mapping[str, bytes | None] | None = None,
        generation: int = 1,
        at: int | None = None,
        new: bool = False,
    ) -> Commit:
        start = self.at if at is None else at
        if at is None:
            self.at += 1
        return Commit(
            PLAYERS, generation, start, start + 1, documents, created=list(documents) if new else (),
            entries=entries or {}, before=before or {}, records=records or {},
        )  # fmt: skip


def ranked(counted: Counted) -> tuple[int | None, int]:
    return counted.count, counted.total


def scored(score: float, expires_us: int | None = None, *more: str) -> Entries:
    values = (("score", encode_value(score, "a test")), *[(name, encode_value("x", "a test")) for name in more])
    return Entries(values, expires_us)


@pytest.fixture(scope="module")
def warm(upstash: LocalUpstash) -> LocalUpstash:
    """A server that has been sent every script."""
    priced = Priced(upstash)
    views = priced.views
    run(views.commit([priced.commit({"a": b"1"}, {"a": scored(1, 2 * NOW)}, new=True)], Pull((PLAYERS,), 1, 1)))
    run(views.pull(Pull((PLAYERS,), 1, 1)))
    run(views.progress([PLAYERS]))
    run(views.find(PLAYERS, BY_SCORE, None, 10, EVERYTHING, NOW))
    run(views.rank(PLAYERS, BY_SCORE, "a", NOW))
    run(views.begin(PLAYERS))
    run(views.serve(PLAYERS, 1, 2))
    run(views.drop(PLAYERS, 2, [], 10))
    return upstash


@pytest.fixture
def priced(warm: LocalUpstash) -> Priced:
    return Priced(warm)


def test_an_index_costs_a_commit_two_commands_at_most(priced: Priced) -> None:
    names = [f"p{number}" for number in range(300)]
    first = {name: scored(number) for number, name in enumerate(names)}
    documents: dict[str, bytes | None] = dict.fromkeys(names, b"{}")
    views = priced.views
    # The script, MGET, MSET; and ZADD for keys and scores.
    assert priced.cost(views.commit([priced.commit(documents, first, new=True)], None)) == (1, 3 + 1 + 1)
    # Documents change, and their scores do not: nothing is paid for the index.
    assert priced.cost(views.commit([priced.commit(documents, first, before=first)], None)) == (1, 3)
    second = {name: scored(number + 0.5) for number, name in enumerate(names)}
    assert priced.cost(views.commit([priced.commit(documents, second, before=first)], None)) == (1, 3 + 2)
    third = {name: scored(number, 5 * NOW, "team", "town") for number, name in enumerate(names)}
    assert priced.cost(views.commit([priced.commit(documents, third, before=second)], None)) == (1, 3 + 2 + 3)
    gone = priced.commit(dict.fromkeys(names), before=third)
    assert priced.cost(views.commit([gone], None)) == (1, 3 + 1 + 5)  # DEL; ZREM of keys, three indexes, ends
    assert run(views.count(PLAYERS, BY_SCORE, NOW)).count == 0


def test_records_cost_nothing_more(priced: Priced) -> None:
    views = priced.views
    records = {f"r{number}": b"%d" % number for number in range(50)}
    assert priced.cost(views.commit([priced.commit({"a": b"1"}, records=records)], None)) == (1, 3)
    assert priced.cost(views.records(PLAYERS, list(records))) == (1, 1)
    assert run(views.records(PLAYERS, list(records))).documents == records
    assert priced.cost(views.load([Wanted(PLAYERS, 1, ["a"], list(records))])) == (1, 2)
    assert priced.cost(views.commit([priced.commit({}, records={"r1": None, "r2": b"x"})], None)) == (1, 3 + 1)
    assert run(views.records(PLAYERS, ["r1", "r2"])).documents == {"r2": b"x"}


def test_reads_of_an_index_cost_one_request(priced: Priced) -> None:
    names = [f"p{number:03}" for number in range(300)]
    found_by = {name: scored(number) for number, name in enumerate(names)}
    run(priced.views.commit([priced.commit(dict.fromkeys(names, b"{}"), found_by, new=True)], None))
    for views in (priced.another(), priced.views):
        top = views.find(PLAYERS, BY_SCORE, None, 10, EVERYTHING, NOW, reverse=True)
        assert priced.cost(top) == (1, 3)
        assert priced.cost(views.rank(PLAYERS, BY_SCORE, "p007", NOW)) == (1, 4)
        assert priced.cost(views.count(PLAYERS, BY_SCORE, NOW)) == (1, 3)
        assert priced.cost(views.count(PLAYERS, None, NOW)) == (1, 1)
        assert priced.cost(views.count(PLAYERS, None, NOW, primary=True)) == (1, 2)
        assert priced.cost(views.get_many(PLAYERS, names, NOW)) == (1, 1)
        assert priced.cost(views.get_many(PLAYERS, names, NOW, primary=True)) == (1, 2)
    assert ranked(run(priced.views.rank(PLAYERS, BY_SCORE, "p007", NOW))) == (7, 300)


def test_ends_cost_what_is_said(priced: Priced) -> None:
    views = priced.views
    found_by = {f"p{number:03}": scored(number, NOW + number) for number in range(300)}
    run(views.commit([priced.commit(dict.fromkeys(found_by, b"{}"), found_by, new=True)], None))
    cold = priced.another()
    assert priced.cost(cold.count(PLAYERS, None, NOW - 1)) == (2, 1 + 3)
    assert priced.cost(cold.count(PLAYERS, None, NOW + 9)) == (1, 3)
    assert run(cold.count(PLAYERS, None, NOW + 9)).count == 290
    assert priced.cost(views.rank(PLAYERS, BY_SCORE, "p100", NOW - 1)) == (1, 4 + 1)
    assert priced.cost(views.rank(PLAYERS, BY_SCORE, "p100", NOW + 9)) == (1, 4 + 2)
    assert ranked(run(views.rank(PLAYERS, BY_SCORE, "p100", NOW + 9))) == (90, 290)
    assert priced.cost(views.find(PLAYERS, BY_SCORE, None, 10, EVERYTHING, NOW - 1)) == (1, 3)
    # Ten that have ended stand before: it looks on at once.
    page = run(views.find(PLAYERS, BY_SCORE, None, 10, EVERYTHING, NOW + 9))
    assert [key for key, _ in page.documents] == [f"p{number:03}" for number in range(10, 20)]
    assert (page.receipt.requests, page.receipt.commands) == (1, 3 + 2)
    assert len(run(views.ended(PLAYERS, NOW + 9, 100)).documents) == 10


def test_a_rebuild_costs_little_more_than_its_commits(priced: Priced) -> None:
    views = priced.views
    run(views.commit([priced.commit({"a": b"old"}, {"a": scored(1)}, new=True)], None))
    assert priced.cost(views.begin(PLAYERS)) == (1, 3)
    assert priced.cost(views.begin(PLAYERS)) == (1, 2)
    # At the head: one is written to, and takes the place of the other, for what any commit costs.
    switch = priced.commit({"a": b"new"}, {"a": scored(2)}, generation=2, at=0, new=True)
    assert priced.cost(views.commit([switch], None)) == (1, 3 + 1 + 1)
    assert [each.role for each in run(views.progress([PLAYERS]))[0]] == [Role.SERVING, Role.KEPT]
    # Whoever has not seen it looks once more, and only once.
    reader = priced.another()
    assert priced.cost(reader.get_many(PLAYERS, ["a"], NOW)) == (2, 2)
    assert priced.cost(reader.get_many(PLAYERS, ["a"], NOW)) == (1, 1)
    assert priced.cost(priced.another().find(PLAYERS, BY_SCORE, None, 1, EVERYTHING, NOW)) == (1, 3 + 2)
    assert priced.cost(views.serve(PLAYERS, 2, 1)) == (1, 3)
    assert run(views.get_many(PLAYERS, ["a"], NOW)).documents == {"a": b"old"}
    # SET; ZRANGE, DEL, ZREMRANGEBYRANK; UNLINK, SET.
    assert priced.cost(views.drop(PLAYERS, 2, ["r"], 100)) == (1, 2 + 1 + 3 + 2)
    assert priced.cost(views.drop(PLAYERS, 2, ["r"], 100)) == (1, 2)


def test_a_build_is_dropped_in_parts_and_nothing_of_it_is_left(priced: Priced, engine: redis.Redis) -> None:
    views = priced.views
    found_by = {f"p{number:04}": scored(number, NOW, "team") for number in range(1_500)}
    records: dict[str, bytes | None] = {"r": b"1"}
    documents: dict[str, bytes | None] = dict.fromkeys(found_by, b"{}")
    run(views.commit([priced.commit(documents, found_by, records=records, new=True)], None))
    others = [priced.another(), priced.another()]
    parts = [run(others[part % 2].drop(PLAYERS, 1, ["r"], 400, serving=part == 0))[0] for part in range(5)]
    assert parts == [False, False, False, True, True]
    assert engine.keys(f"{{{priced.name}}}:*") == [f"{{{priced.name}}}:view:players@1"]
    (progress,) = run(views.progress([PLAYERS]))[0]
    assert (progress.generation, progress.checkpoint, progress.role) == (2, 0, Role.SERVING)


def test_what_is_too_large_is_told_before_anything_is_written(priced: Priced) -> None:
    views = priced.views
    small = priced.commit({"a": b"1"}, new=True)
    large = priced.commit({"b": b"\x01" * 3_000_000}, at=1)._replace(projection=ProjectionId("others", 1), expected=0)
    with pytest.raises(TooLarge):
        run(views.commit([small, small._replace(expected=1, checkpoint=2), large], None))
    assert run(views.get_many(PLAYERS, ["a"], NOW)).documents == {}


# What is refused in the middle of a commit.


@pytest.fixture
def engine(upstash: LocalUpstash) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(upstash.engine_url, decode_responses=True) as client:
        yield client


def _changed() -> Commit:
    before = {"a": scored(1, NOW * 9), "b": scored(2)}
    documents = {"a": b"new", "b": None, "c": b"new"}
    entries = {"a": scored(3, NOW * 8), "c": scored(4, NOW * 9, "team")}
    return Commit(PLAYERS, 1, 1, 2, documents, created=["c"], entries=entries, before=before, records={"r": b"new"})


@pytest.mark.parametrize("command", ["mset", "zadd"])
@pytest.mark.parametrize("certain", [True, False])
def test_what_is_refused_leaves_everything_as_it_was(
    priced: Priced, engine: redis.Redis, command: str, certain: bool
) -> None:
    """As a database may be that gets full in the middle of a script: here the engine's rights do it."""
    views = priced.views
    found_by = {"a": scored(1, NOW * 9), "b": scored(2)}
    first = priced.commit({"a": b"old", "b": b"old"}, found_by, records={"r": b"old"}, new=True)
    run(views.commit([first], None))
    everything = _dump(priced, engine)
    user = f"limited-{priced.name}"
    engine.acl_setuser(user, enabled=True, reset=True, passwords=["+x"], keys=["*"], commands=["+@all", f"-{command}"])
    scheme, _, place = priced.upstash.engine_url.partition("://")
    change = _changed()._replace(created=["c"] if certain else None)
    with LocalUpstash(engine_url=f"{scheme}://{user}:x@{place.rpartition('@')[2]}") as limited:
        backend = UpstashRedis(limited.redis_url, limited.redis_token, namespace=priced.name)
        with pytest.raises(Refused):
            run(backend.views(PORT, backend.log(PORT)).commit([change], None))
    engine.acl_deluser(user)
    left = _dump(priced, engine)
    if not certain:  # whether the name of a document was new is not known then; without the document it is passed over
        left[f"{{{priced.name}}}:keys:players@1:1"] = everything[f"{{{priced.name}}}:keys:players@1:1"]
    assert left == everything
    assert run(views.commit([change], None)).outcomes == (Outcome.COMMITTED,)
    assert [key for key, _ in run(views.find(PLAYERS, BY_SCORE, None, 10, EVERYTHING, NOW)).documents] == ["a", "c"]
    assert run(views.count(PLAYERS, None, NOW)).count == 2
    assert run(views.count(PLAYERS, Span("team", *STRINGS), NOW)).count == 1


def _dump(priced: Priced, engine: redis.Redis) -> dict[str, object]:
    found: dict[str, object] = {}
    for key in map(str, engine.keys(f"{{{priced.name}}}:*")):
        found[key] = engine.get(key) if engine.type(key) == "string" else engine.zrange(key, 0, -1)
    return found
