"""The views in Redis, compared with those in memory: any calls in any order, with leaves that are full at once."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, ClassVar, TypeAlias

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import run_state_machine_as_test

from eventsource_upstash import Memory, SQLite
from eventsource_upstash._io.blocking import BlockingPort, run
from eventsource_upstash._io.port import Port
from eventsource_upstash.backends.redis import UpstashRedis, commits, finding
from eventsource_upstash.backends.redis.scripts import Script
from eventsource_upstash.backends.redis.views import RedisViews
from eventsource_upstash.domain.indexes import NUMBERS, encode_value
from eventsource_upstash.domain.projections import ProjectionId
from eventsource_upstash.local import LocalUpstash
from eventsource_upstash.ports import Backend, Commit, Counted, Entries, Log, Progress, Role, Span, Views, Wanted
from tests.conformance.separate import SeparateViews
from tests.properties.views_machine import ViewsMachine, walk
from tests.searching import thorough

TASKS = ProjectionId("tasks", 1)


class FewNames(UpstashRedis):
    """As `UpstashRedis`, but two names make a full leaf."""

    def views(self, port: Port, log: Log) -> RedisViews:
        return RedisViews(self.transport(port), self._keys, log, self._archives, leaf_names=2)


class OnRedis(ViewsMachine):
    """Two processes take turns: what one of them has learnt of the leaves is soon out of date."""

    upstash: ClassVar[LocalUpstash]
    of: ClassVar[type[UpstashRedis]] = FewNames

    def open_backend(self) -> Backend:
        namespace = secrets.token_hex(8)
        self.processes = [self._process(namespace), self._process(namespace)]
        return self.processes[0]

    def _process(self, namespace: str) -> Backend:
        return self.of(self.upstash.redis_url, self.upstash.redis_token, namespace=namespace)

    def reopened(self) -> Backend:
        self.processes.reverse()
        return self.processes[0]


class OnRedisInOneLeaf(OnRedis):
    of = UpstashRedis


class OnRedisApart(OnRedis):
    """The log is elsewhere."""

    beside = False

    def open_reference(self) -> Backend:
        return SeparateViews(Memory(), Memory())

    def open_backend(self) -> Backend:
        self.events = SQLite(self.folder / "events.db", synchronous="NORMAL")
        return super().open_backend()

    def _process(self, namespace: str) -> Backend:
        return SeparateViews(self.events, super()._process(namespace))


def compared(examples: int) -> settings:
    return settings(
        max_examples=examples, stateful_step_count=30, print_blob=True, suppress_health_check=list(HealthCheck)
    )


@pytest.fixture
def short_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page looks at few names at once, and soon gives up on what has ended."""
    text = finding.FIND.text.replace("ROUND, MOST = 250, 500", "ROUND, MOST = 1, 3")
    assert text != finding.FIND.text
    monkeypatch.setattr(finding, "FIND", Script("find", text, reads=True))


@pytest.mark.usefixtures("short_rounds")
@pytest.mark.parametrize(
    ("machine", "examples"), [(OnRedis, 10), (OnRedisApart, 4)], ids=["many leaves", "log elsewhere"]
)
def test_views_answer_as_those_in_memory_do(machine: type[OnRedis], examples: int, upstash: LocalUpstash) -> None:
    machine.upstash = upstash
    run_state_machine_as_test(machine, settings=compared(examples * thorough()))


def test_views_in_one_leaf_answer_as_those_in_memory_do(upstash: LocalUpstash) -> None:
    OnRedisInOneLeaf.upstash = upstash
    run_state_machine_as_test(OnRedisInOneLeaf, settings=compared(8 * thorough()))


# The same, with nothing but commits that take effect, and everything asked after each of them.

_KEYS = ("a", "b", "c", "d", "e", "f", "g")
_VALUES = st.sampled_from([encode_value(value, "a test") for value in (-1, 0, 2, "b", "b c")])
_ENTRIES = st.builds(
    lambda by, score, end: Entries((*(("by", value) for value in by), ("score", score)), end),
    st.lists(_VALUES, max_size=1),
    _VALUES,
    st.none() | st.integers(1, 5),
)
Documents: TypeAlias = "dict[str, tuple[bytes, Entries] | None]"
Step: TypeAlias = "tuple[Documents, bool] | str"
_DOCUMENTS = st.dictionaries(
    st.sampled_from(_KEYS),
    st.one_of(st.none(), *[st.tuples(st.binary(min_size=1, max_size=3), _ENTRIES)] * 3),
    min_size=3,
)
_STEP = st.one_of(
    st.tuples(_DOCUMENTS, st.booleans()),
    st.tuples(_DOCUMENTS, st.booleans()),
    st.sampled_from(["begin", "back", "drop"]),
)
_SPANS = (Span("by", *NUMBERS), Span("score", "n", "s\U0010ffff"))


class Twins:
    """Views in memory, and those in Redis that are to be the same: two processes write to them, another one reads."""

    def __init__(self, upstash: LocalUpstash) -> None:
        memory, port = Memory(), BlockingPort()
        self.memory = memory.views(port, memory.log(port))
        namespace = secrets.token_hex(8)
        processes = [FewNames(upstash.redis_url, upstash.redis_token, namespace=namespace) for _ in range(3)]
        # Whoever reads learns, and whoever writes: so nobody does both.
        self.reader, *self.writers = [process.views(port, process.log(port)) for process in processes]

    def take(self, step: Step) -> None:
        builds = run(self.memory.progress([TASKS]))[0]
        kept = [each.generation for each in builds if each.role is Role.KEPT]
        if step == "begin":
            self.same(lambda views: views.begin(TASKS))
        elif step == "back":
            self.same(lambda views: views.serve(TASKS, builds[0].generation, min(kept, default=9)))
        elif isinstance(step, str):
            self.same(lambda views: views.drop(TASKS, max(kept, default=9), ["r"], 2))
        else:
            building = len(builds) > 1 and builds[1].role is Role.BUILDING
            self.commit(builds[1 if building else 0], *step)

    def commit(self, build: Progress, documents: Documents, certain: bool) -> None:
        stored = run(self.memory.load([Wanted(TASKS, build.generation, _KEYS)]))[0][0]
        commit = Commit(
            TASKS,
            build.generation,
            build.checkpoint,
            build.checkpoint + 1,
            {key: each and each[0] for key, each in documents.items()},
            created=[key for key in documents if key not in stored.documents] if certain else None,
            edition=build.edition,
            entries={key: each[1] for key, each in documents.items() if each},
            before={key: each for key, each in stored.entries.items() if key in documents},
            records={"r": b"1"},
        )
        self.same(lambda views: views.commit([commit], None))

    def same(self, ask: Callable[[Views], Coroutine[Any, Any, tuple[object, ...]]]) -> None:
        """Have it done in memory and by one that writes, next time by the other. Receipts come last in answers."""
        self.writers.reverse()
        assert run(ask(self.writers[0]))[:-1] == run(ask(self.memory))[:-1]

    def check(self, now: int, limit: int) -> None:
        assert run(answers(self.reader, now, limit)) == run(answers(self.memory, now, limit))


def but_receipt(counted: Counted) -> tuple[object, ...]:
    return counted.count, counted.total, counted.progress, counted.head


async def answers(views: Views, now: int, limit: int) -> list[object]:
    """Everything that readers can ask of the view."""
    found: list[object] = [(await views.progress([TASKS]))[:-1], (await views.get_many(TASKS, _KEYS, now))[:-1]]
    # What is asked first meets leaves that were split since: the end of an index.
    for span in _SPANS:
        for after, back in itertools.product((None, (encode_value(2, "a test"), "b")), (True, False)):
            page = partial(views.find, TASKS, span, limit=limit, max_bytes=99, now_us=now, reverse=back)
            found.append(await walk(page, after, limit))
        found.append(but_receipt(await views.count(TASKS, span, now)))
        found += [but_receipt(await views.rank(TASKS, span, key, now)) for key in _KEYS[::3]]
    found.append(await walk(lambda at: views.items(TASKS, at and at[1], limit, 99, now), None, limit))
    found.append(but_receipt(await views.count(TASKS, None, now)))
    ended = await views.ended(TASKS, now, 100)
    return [*found, list(ended.documents.items()), ended.progress]


def compare(upstash: LocalUpstash, examples: settings) -> None:
    @examples
    @given(st.lists(st.tuples(_STEP, st.integers(0, 5), st.integers(1, 3)), min_size=2, max_size=9))
    def histories(history: list[tuple[Step, int, int]]) -> None:
        twins = Twins(upstash)
        for step, now, limit in history:
            twins.take(step)
            twins.check(now, limit)

    histories()


@pytest.mark.usefixtures("short_rounds")
def test_any_history_of_commits_is_answered_as_memory_does(upstash: LocalUpstash) -> None:
    compare(upstash, compared(30 * thorough()))


@pytest.mark.parametrize(
    ("module", "name", "right", "wrong"),
    [
        (commits, "COMMIT", "removed[#removed + 1]", "local _"),
        (commits, "COMMIT", "build.version ~= commit.version", "false"),
        (finding, "FIND", "or numbers[at] ~= ARGV[7]", ""),
        (finding, "COUNT", "all = all - 1", ""),
    ],
    ids=["names stay", "stale leaves are written to", "stale leaves are read", "what has ended is counted"],
)
def test_a_script_that_is_wrong_is_found(
    module: object, name: str, right: str, wrong: str, upstash: LocalUpstash, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = getattr(module, name)
    assert isinstance(script, Script)
    text = script.text.replace(right, wrong)
    assert text != script.text
    monkeypatch.setattr(module, name, Script(script.name, text, reads=script.reads))
    searching = settings(compared(100), derandomize=True, phases=[Phase.generate], database=None, print_blob=False)
    with pytest.raises(AssertionError):
        compare(upstash, searching)
