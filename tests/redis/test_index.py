"""The key index of a view in several leaves: with a leaf full after a few names, so that nearly every commit splits."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eventsource_upstash._io import blocking
from eventsource_upstash._io.port import HttpRequest, HttpResponse, Port, Signal
from eventsource_upstash.backends.redis import UpstashRedis, index
from eventsource_upstash.backends.redis.index import Leaf, Names
from eventsource_upstash.backends.redis.keys import KEYS as OF_KEYS
from eventsource_upstash.backends.redis.keys import Keys, index_set
from eventsource_upstash.backends.redis.records import read_view
from eventsource_upstash.backends.redis.views import RedisViews
from eventsource_upstash.domain.events import Receipt
from eventsource_upstash.domain.names import MAX_KEY, check_key
from eventsource_upstash.domain.projections import ProjectionId
from eventsource_upstash.errors import OutcomeUnknown, Refused, Unavailable
from eventsource_upstash.local import LocalUpstash
from eventsource_upstash.ports import MAX_PAGE_BYTES, Backend, Commit, Committed, Log, Outcome
from eventsource_upstash.testing import Endings, PromisesContract, World, explore
from eventsource_upstash.testing.colours import Colour
from eventsource_upstash.testing.conformance import Lab
from eventsource_upstash.testing.conformance.views_committing import ViewsCommitting
from eventsource_upstash.testing.conformance.views_concurrency import ViewsConcurrency
from eventsource_upstash.testing.conformance.views_reading import KEYS, ViewsReading
from eventsource_upstash.testing.pausing import Pauses, SteppingPort
from tests.redis.test_conformance import OnUpstash, namespace_of
from tests.searching import examples

T = TypeVar("T")

TASKS = ProjectionId("tasks", 1)
OTHERS = ProjectionId("others", 1)
GENERATION = 1
FOUR = 4
LAST = "\U0010ffff"
NOW = 0


class Sleepless:
    """The blocking port, with no time between attempts."""

    async def send(self, request: HttpRequest) -> HttpResponse:
        return await blocking.PORT.send(request)

    async def call(self, work: Callable[[], T]) -> T:
        return await blocking.PORT.call(work)

    async def sleep(self, seconds: float, wake: Signal | None = None, since: int = 0) -> None:
        pass


class SmallLeaves(UpstashRedis):
    """As `UpstashRedis`, but a leaf has four names at most, or as many as are told."""

    leaf_names = FOUR

    def views(self, port: Port, log: Log) -> RedisViews:
        return RedisViews(self.transport(port), self._keys, log, self._archives, leaf_names=self.leaf_names)


class Process:
    """One process: views with caches of their own, over one port. Each wait is over at once."""

    def __init__(self, kept: Kept, port: Port | None = None) -> None:
        self.port = port or Sleepless()
        self.backend = SmallLeaves(kept.upstash.redis_url, kept.token, namespace=kept.namespace, total_timeout=60.0)
        self.backend.leaf_names = kept.leaf_names
        self.views = self.backend.views(self.port, self.backend.log(self.port))

    def page(self, after: str | None, limit: int = 1_000, max_bytes: int = MAX_PAGE_BYTES) -> tuple[list[str], Receipt]:
        listed = blocking.run(self.views.items(TASKS, after, limit, max_bytes, NOW))
        return [name for name, _ in listed.documents], listed.receipt

    def listed(self, after: str | None = None, limit: int = 1_000) -> list[tuple[str, bytes]]:
        return blocking.run(listing(self.views, after, limit))


class Kept:
    """A namespace, what its view has to hold, and processes that use it."""

    _numbers = itertools.count(1)

    def __init__(self, upstash: LocalUpstash, leaf_names: int = FOUR) -> None:
        self.upstash = upstash
        self.leaf_names = leaf_names
        self.namespace = f"index-{next(self._numbers)}"
        self.token = upstash.token_for(self.namespace)
        self.keys = Keys(self.namespace)
        self.documents: dict[str, bytes] = {}
        self.checkpoint = 0
        self.one = Process(self)

    def another(self, port: Port | None = None) -> Process:
        return Process(self, port)

    def commit_of(self, documents: Mapping[str, bytes | None], *, certain: bool = True) -> Commit:
        created = [name for name in documents if name not in self.documents] if certain else None
        return Commit(TASKS, GENERATION, self.checkpoint, self.checkpoint + 1, documents, created=created)

    def note(self, commit: Commit) -> None:
        self.checkpoint = commit.checkpoint
        for name, document in commit.documents.items():
            if document is None:
                self.documents.pop(name, None)
            else:
                self.documents[name] = document

    def commit(
        self, documents: Mapping[str, bytes | None], *, by: Process | None = None, certain: bool = True
    ) -> Receipt:
        commit = self.commit_of(documents, certain=certain)
        committed = blocking.run((by or self.one).views.commit([commit], None))
        assert committed.outcomes == (Outcome.COMMITTED,)
        self.note(commit)
        return committed.receipt

    def fill(self, names: Sequence[str], *, at_once: int = FOUR + 1, by: Process | None = None) -> None:
        for start in range(0, len(names), at_once):
            self.commit({name: name[:20].encode() for name in names[start : start + at_once]}, by=by)

    def asked(self, *command: str | int) -> object:
        return blocking.run(self.one.backend.transport(self.one.port).command(*command))[0]

    def leaves(self) -> list[list[str]]:
        """What is in each leaf, checked against the directory, the record and the documents."""
        record, lines = cast(
            "list[str | None]", self.asked("MGET", self.keys.view(TASKS), self.keys.leaves(TASKS, GENERATION))
        )
        view = read_view(TASKS, record)
        assert (view.builds.serving.checkpoint, view.count) == (self.checkpoint, len(self.documents))
        pairs = [(0, "")]
        for line in (lines or "").splitlines():
            set_, place, start = line.split(" ", 2)
            assert set_ == OF_KEYS
            pairs.append((int(place), start))
        assert sorted(number for number, _ in pairs) == list(range(len(pairs)))
        assert view.version.partition("-")[0] == str(len(pairs) - 1)
        firsts = [first for _, first in pairs]
        found: list[list[str]] = []
        for (number, first), end in zip(pairs, [*firsts[1:], LAST], strict=True):
            names = cast("list[str]", self.asked("ZRANGE", self.keys.leaf(TASKS, GENERATION, OF_KEYS, number), 0, -1))
            assert all(first <= name < end for name in names), f"leaf {number}, from {first!r} to {end!r}: {names}"
            found.append(names)
        assert [name for names in found for name in names] == sorted(self.documents)
        return found

    def check(self) -> None:
        """All is there, at its place, listed, and no leaf is too large, by more than what one commit adds."""
        assert max(map(len, self.leaves())) <= 2 * self.leaf_names
        assert self.another().listed() == sorted(self.documents.items())


async def listing(views: RedisViews, after: str | None = None, limit: int = 1_000) -> list[tuple[str, bytes]]:
    found: list[tuple[str, bytes]] = []
    more = True
    while more:
        page = await views.items(TASKS, after, limit, MAX_PAGE_BYTES, NOW)
        assert len(page.documents) <= limit
        found += page.documents
        more = page.more
        if more:
            assert page.last is not None
            after = page.last[1]
    return found


def warm_up(upstash: LocalUpstash) -> None:
    """Have the server know the scripts."""
    kept = Kept(upstash)
    kept.fill(numbered(12))
    kept.check()
    blocking.run(kept.one.views.progress([TASKS]))


@pytest.fixture
def kept(upstash: LocalUpstash) -> Kept:
    return Kept(upstash)


def numbered(count: int, *, start: int = 0) -> list[str]:
    """Names, in an order that goes to and fro."""
    return [f"{(start + index) * 37 % 1_000:03}" for index in range(count)]


# What every view does, with many leaves.


class TestManyLeaves(OnUpstash, ViewsCommitting, ViewsReading, ViewsConcurrency, PromisesContract):
    colours = Colour.BLOCKING

    @pytest.fixture
    def lab(self, tmp_path: Path) -> Iterator[Lab]:
        with self._lab(self.colours, tmp_path) as lab:
            yield lab

    def open_backend(self, folder: Path) -> Backend:
        backend = SmallLeaves(self.upstash.redis_url, self.upstash.redis_token, namespace=namespace_of(folder))
        backend.leaf_names = 2
        return backend


# Listings.


def test_a_listing_is_whole_from_any_place_and_in_pages_of_any_size(kept: Kept) -> None:
    kept.fill(numbered(60))
    assert len(kept.leaves()) >= 15
    kept.check()
    names = sorted(kept.documents)
    for after in [None, "", *names, *(f"{name}x" for name in names), "zzz"]:
        rest = [(name, kept.documents[name]) for name in names if name > (after or "")]
        assert kept.one.page(after)[0] == [name for name, _ in rest]
        assert kept.one.page(after, limit=7)[0] == [name for name, _ in rest[:7]]
        assert kept.one.page(after, max_bytes=7)[0] == [name for name, _ in rest[:3]]  # of three bytes each
    for limit in (1, 2, 3, FOUR, 50):
        assert kept.one.listed(limit=limit) == sorted(kept.documents.items())


def test_a_listing_passes_leaves_without_a_name(kept: Kept) -> None:
    names = sorted(numbered(60))
    kept.fill(names)
    kept.commit(dict.fromkeys(names[3:50]))
    assert [] in kept.leaves()
    for after in (None, *names):
        assert kept.one.page(after)[0] == [name for name in names[:3] + names[50:] if name > (after or "")]
    kept.commit(dict.fromkeys([*names[:3], *names[50:]]))
    assert kept.one.page(None)[0] == []
    kept.fill(names)
    kept.check()
    assert [] not in kept.leaves(), "a leaf that was empty is not filled again"


def test_documents_that_were_never_written_do_not_end_a_listing(kept: Kept) -> None:
    """Names are added first: a database that was full left some of them without a document."""
    kept.fill([f"{number:04}" for number in range(8)])
    stray = list(itertools.chain.from_iterable(("0", f"b{number:03}") for number in range(600)))
    kept.asked("ZADD", kept.keys.leaf(TASKS, GENERATION, OF_KEYS, len(kept.leaves()) - 1), *stray)
    kept.asked("ZADD", kept.keys.leaf(TASKS, GENERATION), "0", "0000a")
    kept.commit({"a": b"a", "c": b"c"})
    assert kept.one.listed() == sorted(kept.documents.items())
    assert kept.one.listed("a", limit=1) == [("c", b"c")]


def test_names_of_any_characters_are_in_order_and_in_their_leaves(kept: Kept) -> None:
    wide = ["\U0010fffd" * length for length in (1, 2, MAX_KEY - 1, MAX_KEY)]
    names = [*KEYS, *wide, " 7", "7 ", "7 7", "1 a", "0 ", "\U0010fffdz", "\ue000", "\ud7ff", "\xa0", "Z\u0301"]
    for name in names:
        check_key(name)
    kept.fill(names, at_once=3)
    assert len(kept.leaves()) > len(names) // (FOUR + 1)
    kept.check()
    other = kept.another()
    for after in names:
        assert other.page(after)[0] == sorted(name for name in names if name > after)
    kept.commit(dict.fromkeys(names[::2]), by=other)
    kept.check()


# Histories.

_NAMES = st.one_of(
    st.text("ab", min_size=1, max_size=4),
    st.sampled_from(KEYS),
    st.text(st.characters(categories=("L", "N", "P", "S", "Zs")), min_size=1, max_size=3),
)
_STEP = st.tuples(
    st.dictionaries(_NAMES, st.one_of(st.none(), st.binary(max_size=3)), max_size=8),
    st.booleans(),
    st.integers(0, 1),
    st.one_of(st.none(), _NAMES),
    st.integers(1, 9),
)


@settings(max_examples=examples(40), suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.lists(_STEP, max_size=25))
def test_any_history_is_listed_as_a_dict_would(
    upstash: LocalUpstash, history: list[tuple[dict[str, bytes | None], bool, int, str | None, int]]
) -> None:
    kept = Kept(upstash)
    processes = (kept.one, kept.another())
    for documents, certain, which, after, limit in history:
        known = {name: each for name, each in documents.items() if each is not None or name in kept.documents}
        kept.commit(known if certain else documents, by=processes[which], certain=certain)
        rest = [item for item in sorted(kept.documents.items()) if after is None or item[0] > after]
        assert processes[1 - which].page(after, limit)[0] == [name for name, _ in rest[:limit]]
        assert blocking.run(processes[which].views.count(TASKS, None, NOW)).count == len(kept.documents)
    kept.leaves()
    for process in processes:
        assert process.listed(limit=3) == sorted(kept.documents.items())


def test_two_processes_with_stale_caches_take_turns(kept: Kept) -> None:
    two = kept.another()
    for turn, start in enumerate(range(0, 120, 6)):
        kept.fill(numbered(6, start=start), by=(kept.one, two)[turn % 2])
        for process in (kept.one, two):
            assert process.listed() == sorted(kept.documents.items())
    kept.check()
    for turn, name in enumerate(list(kept.documents)[::3]):
        kept.commit({name: None}, by=(kept.one, two)[turn % 2])
    kept.leaves()


def test_several_views_in_one_commit_have_an_index_each(kept: Kept) -> None:
    two = kept.another()
    kept.fill(numbered(20))

    def both(process: Process, checkpoint: int, names: Sequence[str]) -> Committed:
        documents = dict.fromkeys(names, b"x")
        mine = kept.commit_of(documents)
        committed = blocking.run(
            process.views.commit([mine, Commit(OTHERS, GENERATION, checkpoint, checkpoint + 1, documents)], None)
        )
        if committed.outcomes[0] is Outcome.COMMITTED:
            kept.note(mine)
        return committed

    for checkpoint in range(6):
        names = numbered(6, start=100 + 6 * checkpoint)
        assert both((kept.one, two)[checkpoint % 2], checkpoint, names).outcomes == (Outcome.COMMITTED,) * 2
        kept.check()
    # The one that lost writes nothing, whatever it takes the index to be, and the other one is written all the same.
    late = kept.another()
    assert both(late, 3, numbered(6, start=200)).outcomes == (Outcome.COMMITTED, Outcome.AHEAD)
    kept.check()
    assert len(blocking.run(late.views.items(OTHERS, None, 1_000, MAX_PAGE_BYTES, NOW)).documents) == 36


def test_a_view_that_was_set_back_and_split_otherwise_is_not_taken_for_the_one_that_is_known(kept: Kept) -> None:
    kept.fill(["a", "b", "c", "d", "e"])
    kept.asked("DEL", kept.keys.view(TASKS), kept.keys.leaves(TASKS, GENERATION))
    kept.asked("DEL", *[kept.keys.leaf(TASKS, GENERATION, OF_KEYS, leaf) for leaf in (0, 1)])
    kept.documents.clear()
    kept.checkpoint = 0
    kept.fill(["p", "q", "r", "s", "t"], by=kept.another())
    assert len(kept.leaves()) == 2
    kept.commit({"f": b"f"})  # by the first process, to which it belongs to the second leaf
    kept.check()
    kept.asked("DEL", kept.keys.view(TASKS), kept.keys.leaves(TASKS, GENERATION))
    kept.asked("DEL", *[kept.keys.leaf(TASKS, GENERATION, OF_KEYS, leaf) for leaf in (0, 1)])
    kept.documents.clear()
    kept.checkpoint = 0
    kept.commit({"z": b"z"})  # and now there is one leaf
    kept.check()


# How large a leaf may be.


def test_a_commit_of_many_names_is_split_until_every_leaf_is_small(kept: Kept) -> None:
    kept.fill(numbered(100), at_once=100)
    for start in range(100, 200):
        kept.fill(numbered(1, start=start))
    assert max(map(len, kept.leaves())) < 60
    assert len(kept.leaves()) > 20


def test_long_names_make_small_leaves(upstash: LocalUpstash, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "LEAF_BYTES", 3_000)
    kept = Kept(upstash, leaf_names=index.LEAF_NAMES)
    kept.fill([f"{number:03}" for number in range(20)], at_once=1)
    assert len(kept.leaves()) == 1
    kept.fill([f"{number:03}{'x' * 1_000}" for number in range(20)], at_once=1)
    assert max(map(len, kept.leaves())) <= 29  # of the short ones
    assert max(sum(len(name) for name in names if len(name) > 3) for names in kept.leaves()) <= 3_000
    assert kept.one.listed() == sorted(kept.documents.items())


def test_bytes_are_what_counts_of_a_name(upstash: LocalUpstash) -> None:
    kept = Kept(upstash, leaf_names=index.LEAF_NAMES)

    def largest(*names: str) -> int:
        keys = Names(kept.one.backend.transport(kept.one.port), kept.keys)
        return keys.spread(TASKS, GENERATION, {OF_KEYS: (list(names), ["x"])}).leaves[0].largest

    assert largest("task-1") == largest() == index.LEAF_NAMES
    assert largest("task-1", "k" * MAX_KEY) == index.LEAF_BYTES // (MAX_KEY + index.NAME_BYTES)
    assert largest("🙂" * MAX_KEY) == index.LEAF_BYTES // (4 * MAX_KEY + index.NAME_BYTES)


@pytest.mark.parametrize(("drawn", "looks"), [(0.0, True), (0.3, True), (0.34, False), (0.99, False)])
def test_a_leaf_is_looked_at_the_likelier_the_more_was_added(kept: Kept, drawn: float, looks: bool) -> None:
    keys = Names(kept.one.backend.transport(kept.one.port), kept.keys, leaf_names=480, draw=lambda: drawn)
    names = [f"a{number}" for number in range(10)]
    (one,) = keys.spread(TASKS, GENERATION, {OF_KEYS: (names, [])}).leaves
    assert not one.look, "of one leaf it is known"
    (other,) = keys.spread(TASKS, GENERATION, {index_set("score"): (names, [])}).leaves
    assert other.look is looks, "not every document stands in an index"
    keys.learn(TASKS, GENERATION, "1-0", "keys 1 b\n")
    (first, second) = keys.spread(TASKS, GENERATION, {OF_KEYS: (names, ["c"])}).leaves
    assert (first.number, first.created, first.look) == (0, names, looks)
    assert (second.number, second.deleted, second.look) == (1, ["c"], False)


# What goes wrong.


@pytest.mark.parametrize("kind", ["lose-answer", "lose-request", "duplicate"])
def test_whatever_is_lost_on_the_way_everything_is_there(upstash: LocalUpstash, kind: str) -> None:
    """The same history again and again, with the fault one request later each time."""
    for skip in itertools.count():
        kept = Kept(upstash)
        two = kept.another()
        fault = upstash.faults.add(kind, half="redis", command="EVALSHA", skip=skip)
        try:
            for turn in range(4):
                documents: dict[str, bytes | None] = dict.fromkeys(numbered(5, start=5 * turn), b"x")
                commit = kept.commit_of(documents)
                committed = blocking.run((kept.one, two)[turn % 2].views.commit([commit], None))
                # An answer was lost, and the same sent again: it is there already.
                assert committed.outcomes[0] in (Outcome.COMMITTED, Outcome.ALREADY)
                kept.note(commit)
                assert kept.one.listed() == sorted(kept.documents.items())
        finally:
            upstash.faults.remove(fault.id)
        # Where it was the commit's own answer, nobody was told to split: the next one does.
        kept.fill(["z1", "z2", "z3", "z4", "z5"], at_once=1)
        kept.leaves()
        assert two.listed() == sorted(kept.documents.items())
        if not fault.struck:
            assert skip >= 14
            break


def test_a_split_that_fails_denies_no_commit_and_is_done_by_the_next(
    kept: Kept, caplog: pytest.LogCaptureFixture
) -> None:
    kept.fill(["a", "b", "c", "d"])
    fault = kept.upstash.faults.add("error-500", half="redis", command="EVALSHA", count=None, skip=1)
    try:
        with caplog.at_level(logging.WARNING, "eventsource_upstash.view"):
            kept.commit({"e": b"e"})
    finally:
        kept.upstash.faults.remove(fault.id)
    assert "tasks v1: a leaf of its keys was not split" in caplog.text
    assert len(kept.leaves()) == 1
    assert kept.one.listed() == sorted(kept.documents.items())
    kept.commit({"a": b"again"})
    assert len(kept.leaves()) == 1, "no name was new"
    kept.commit({"f": b"f"})
    assert len(kept.leaves()) == 2
    kept.check()


def test_a_split_that_was_refused_half_way_is_as_if_it_had_not_begun(kept: Kept) -> None:
    kept.fill(["a", "b", "c", "d"])
    # As far as it gets before the directory and the record change: in one command.
    kept.asked("ZRANGESTORE", kept.keys.leaf(TASKS, GENERATION, OF_KEYS, 1), kept.keys.leaf(TASKS, GENERATION), 1, 3)
    assert kept.one.listed(limit=3) == sorted(kept.documents.items())
    kept.commit({"c": None})
    assert kept.one.listed() == sorted(kept.documents.items())
    kept.commit({"e": b"e"})
    kept.commit({"f": b"f"})
    assert len(kept.leaves()) == 2
    kept.check()


def test_a_directory_that_is_gone_is_told_and_never_taken_for_the_end(kept: Kept) -> None:
    kept.fill(numbered(30))
    kept.asked("DEL", kept.keys.leaves(TASKS, GENERATION))
    cold = kept.another()
    for call in (
        cold.listed,
        lambda: cold.page("500"),
        lambda: kept.commit({"new": b"x"}, by=cold),
    ):
        with pytest.raises(Refused, match=r"leaves:tasks@1:1' is gone.*switch eviction off"):
            call()


# In every order of steps.


class Stepped:
    """A view that is nearly full, and actors that stop at each request."""

    def __init__(self, upstash: LocalUpstash) -> None:
        self.kept = Kept(upstash)
        self.kept.fill(["b", "d", "f", "h"])

    def views(self) -> RedisViews:
        return self.kept.another(SteppingPort(Pauses(after=False, inside=True))).views

    async def commit(self, *names: str) -> None:
        """Until they are in."""
        views = self.views()
        while True:
            (progress,), _, _ = await views.progress([TASKS])
            at = progress.checkpoint
            commit = Commit(TASKS, GENERATION, at, at + 1, dict.fromkeys(names, b"x"), created=names)
            if (await views.commit([commit], None)).outcomes[0] is Outcome.COMMITTED:
                self.kept.documents |= dict.fromkeys(names, b"x")
                self.kept.checkpoint = max(self.kept.checkpoint, at + 1)
                return

    async def list(self) -> None:
        """Page by page: what was there all the time is listed."""
        found = [name for name, _ in await listing(self.views(), limit=2)]
        assert found == sorted(set(found))
        assert set("bdfh") <= set(found), f"only {found} was listed"

    def check(self, endings: Endings) -> None:
        assert all(ending.ok for ending in endings.values())
        self.kept.leaves()
        assert self.kept.another().listed() == sorted(self.kept.documents.items())


def test_two_that_commit_and_split_in_any_order_of_steps(upstash: LocalUpstash) -> None:
    warm_up(upstash)

    def world() -> World:
        view = Stepped(upstash)
        return World({"left": view.commit("a", "c", "g"), "right": view.commit("e", "i", "j")}, view.check)

    assert explore(world, switches=3).schedules >= 30


def test_a_listing_while_leaves_are_split_in_any_order_of_steps(upstash: LocalUpstash) -> None:
    warm_up(upstash)

    def world() -> World:
        view = Stepped(upstash)
        return World({"writer": view.commit("a", "c", "e", "g", "i"), "reader": view.list()}, view.check)

    assert explore(world, switches=3).schedules >= 30


@pytest.mark.parametrize("trouble", ["crashes", "lost_answers", "refusals"])
def test_a_crash_a_lost_answer_or_a_refusal_at_any_step_harms_nothing(upstash: LocalUpstash, trouble: str) -> None:
    warm_up(upstash)

    def world() -> World:
        kept = Kept(upstash)
        kept.fill(["b", "d", "f", "h"])
        commit = kept.commit_of(dict.fromkeys(("a", "c", "e", "g"), b"x"))

        async def commits() -> Outcome:
            views = kept.another(SteppingPort(Pauses(after=True, inside=True))).views
            return (await views.commit([commit], None)).outcomes[0]

        def check(endings: Endings) -> None:
            for ending in endings.values():
                assert ending.crashed or ending.ok or isinstance(ending.error, (OutcomeUnknown, Unavailable))
            record = cast("str | None", kept.asked("GET", kept.keys.view(TASKS)))
            if read_view(TASKS, record).builds.serving.checkpoint == commit.checkpoint:
                kept.note(commit)
            kept.leaves()
            kept.fill(["w", "x", "y", "z"], at_once=1, by=kept.another())
            kept.check()

        return World({"left": commits(), "right": commits()}, check)

    explored = explore(world, **{trouble: 1}, switches=1)
    assert getattr(explored, trouble) >= 10


def test_a_leaf_that_two_split_at_once_is_split_once(upstash: LocalUpstash) -> None:
    warm_up(upstash)

    def world() -> World:
        kept = Kept(upstash, leaf_names=1_000)
        kept.fill([f"{number:02}" for number in range(20)], at_once=20)

        async def splits(drawn: float) -> None:
            process = kept.another(SteppingPort(Pauses(after=True, inside=True)))
            keys = Names(process.backend.transport(process.port), kept.keys, draw=lambda: drawn)
            await keys.split(TASKS, GENERATION, Leaf(OF_KEYS, 0, [], [], largest=10))

        def check(endings: Endings) -> None:
            assert all(ending.ok for ending in endings.values())
            assert len(kept.leaves()) == 2
            assert kept.one.listed() == sorted(kept.documents.items())

        return World({"left": splits(0.25), "right": splits(0.75)}, check)

    assert explore(world, lost_answers=1, switches=2).lost_answers >= 10


# What it costs.


def spent(kept: Kept, action: Callable[[], Receipt]) -> tuple[int, int]:
    """Requests and commands of an action: on its receipt, and counted by the server."""

    def counted() -> tuple[int, int]:
        numbers = kept.upstash.metrics()["redis"].get(kept.namespace, {})
        return numbers.get("requests", 0), numbers.get("commands", 0)

    before = counted()
    receipt = action()
    after = counted()
    assert (receipt.requests, receipt.commands) == (after[0] - before[0], after[1] - before[1])
    return receipt.requests, receipt.commands


def test_a_small_view_pays_nothing_for_what_a_large_one_needs(upstash: LocalUpstash) -> None:
    warm_up(upstash)
    kept = Kept(upstash, leaf_names=index.LEAF_NAMES)
    names = [f"{number:03}" for number in range(400)]
    cold = kept.another()
    new, changed, gone = (dict.fromkeys(names, each) for each in (b"1", b"2", None))
    assert spent(kept, lambda: kept.commit(new, by=cold)) == (1, 4)  # the script, MGET, ZADD, MSET
    assert spent(kept, lambda: kept.commit(changed, by=kept.another())) == (1, 3)
    assert spent(kept, lambda: kept.another().page(None)[1]) == (1, 3)  # the script, ZRANGEBYLEX, MGET
    assert spent(kept, lambda: kept.another().page("249")[1]) == (1, 3)
    assert spent(kept, lambda: kept.another().page("399")[1]) == (1, 3)
    assert spent(kept, lambda: kept.commit(gone, by=kept.another())) == (1, 5)  # and DEL, ZREM
    assert spent(kept, lambda: blocking.run(kept.one.views.count(TASKS, None, NOW)).receipt) == (1, 1)
    assert kept.asked("EXISTS", kept.keys.leaves(TASKS, GENERATION)) == 0


def test_what_several_leaves_cost(upstash: LocalUpstash) -> None:
    warm_up(upstash)
    kept = Kept(upstash, leaf_names=100)
    names = [f"{number:03}" for number in range(0, 400, 2)]
    kept.fill(names, at_once=100)
    assert [len(leaf) for leaf in kept.leaves()] == [100, 100]
    cold = kept.another()
    assert spent(kept, lambda: cold.page(None, limit=99)[1]) == (1, 3)
    assert spent(kept, lambda: cold.page(None, limit=100)[1]) == (1, 3 + 1)  # is there anything behind this leaf?
    assert spent(kept, lambda: cold.page(None, limit=101)[1]) == (1, 3 + 2)  # the second leaf
    assert spent(kept, lambda: cold.page("300")[1]) == (1, 3)
    assert spent(kept, lambda: kept.another().page("300")[1]) == (1, 3 + 2)  # the leaf was another one
    assert spent(kept, lambda: kept.another().page("398")[1]) == (1, 3 + 1)
    kept.leaf_names = 1_000
    cold = kept.another()
    cold.views._names._draw = lambda: 0.999  # so that nothing is looked at by chance
    assert spent(kept, lambda: kept.commit({"000": b"2"}, by=cold)) == (1, 3), "no name is new"
    late = kept.commit_of({"001": b"1"})._replace(expected=0)
    lost = blocking.run(cold.views.commit([late], None))
    assert (lost.outcomes, lost.receipt.requests) == ((Outcome.MISMATCH,), 1), "who writes nothing needs no leaves"
    assert spent(kept, lambda: kept.commit({"001": b"1"}, by=cold)) == (1 + 1, 4 + 3), "it has to learn of the leaves"
    assert spent(kept, lambda: kept.commit({"003": b"1"}, by=cold)) == (1, 4)
    assert spent(kept, lambda: kept.commit({"005": b"1", "301": b"1"}, by=cold)) == (1, 4 + 1)
    assert spent(kept, lambda: kept.commit({"005": None, "301": None}, by=cold)) == (1, 5 + 1)
    kept.leaves()


def test_a_page_after_any_name_begins_in_the_leaf_of_that_name(kept: Kept) -> None:
    warm_up(kept.upstash)
    kept.fill(numbered(60))
    first, *others = kept.leaves()

    def page(after: str) -> Receipt:
        return kept.one.page(after, limit=1)[1]

    for leaf in (leaf for leaf in others if len(leaf) > 2):
        for after in leaf[:-2]:
            assert spent(kept, partial(page, after)) == (1, 3)
    for after in first[:-2]:
        assert spent(kept, partial(page, after)) == (1, 3)


def test_what_a_split_costs(kept: Kept) -> None:
    warm_up(kept.upstash)
    kept.fill(["a", "b", "c", "d"])
    assert spent(kept, lambda: kept.commit({"e": b"1"})) == (1 + 1, 4 + 7)
    kept.fill(["f"], at_once=1)
    assert len(kept.leaves()) == 2
    assert spent(kept, lambda: kept.commit({"g": b"1", "h": b"1"})) == (1 + 1, 4 + 1 + 7), "the leaf is looked at"
    kept.check()
