"""A backend's views against those in memory, which are the specification: any calls in any order, one answer."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import msgspec
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from eventsource_upstash import Memory, Misuse
from eventsource_upstash._io.blocking import BlockingPort
from eventsource_upstash._io.blocking import run as run_blocking
from eventsource_upstash._io.port import Port
from eventsource_upstash.domain.events import ANY, FREE
from eventsource_upstash.domain.indexes import NUMBERS, STRINGS, encode_value
from eventsource_upstash.domain.projections import Notes, ProjectionId, Stopped
from eventsource_upstash.ports import (
    Append,
    Backend,
    Commit,
    Entries,
    Listed,
    Log,
    Outcome,
    Progress,
    Pull,
    Role,
    Span,
    Views,
    Wanted,
)

T = TypeVar("T")

PROJECTIONS = (ProjectionId("tasks", 1), ProjectionId("tasks", 2))
KEYS = ("a", "bb", "é", "ﬀ", "🙂")
INDEXES = ("rank", "score")
RECORDS = ("parked", "feed:1")
LATEST = 2

projections = st.sampled_from(PROJECTIONS)
times = st.integers(0, LATEST)
generations = st.integers(1, 6)
numbers = st.sampled_from([-1.5, 2])
strings = st.sampled_from(["ﬀ", "🙂"])
values = st.one_of(numbers, strings).map(lambda value: encode_value(value, "a test"))
entries = st.builds(
    lambda found, end: Entries(tuple(sorted(found.items())), end),
    st.dictionaries(st.sampled_from(INDEXES), values, max_size=2),
    st.none() | times,
)
documents = st.dictionaries(
    st.sampled_from(KEYS), st.none() | st.tuples(st.binary(max_size=9), st.none() | entries | entries), max_size=5
)
records = st.dictionaries(st.sampled_from(RECORDS), st.none() | st.binary(max_size=9))
notes = st.builds(
    Notes,
    stopped=st.none() | st.builds(Stopped, st.integers(1, 9), st.text(max_size=5), times),
    parked=st.integers(0, 2),
    changes=st.integers(0, 2),
    shape=st.sampled_from(["", "score"]),
)
bounds = st.sampled_from([*NUMBERS, *STRINGS, encode_value(-1.5, "a test"), encode_value(2, "a test"), "sb"])
SPANS = [Span(index, NUMBERS[0], STRINGS[1]) for index in INDEXES]
SPANS.append(Span(INDEXES[0], encode_value(-1.5, "a test"), encode_value(2, "a test")))
spans = st.builds(Span, st.sampled_from((*INDEXES, "nothing")), bounds, bounds)
places = st.none() | st.tuples(values, st.sampled_from(KEYS))
limits = st.sampled_from([1, 2, 3, 100])
sizes = st.sampled_from([1, 10, 1_000])


class Side:
    """One of the two, with its log."""

    def __init__(self, backend: Backend, port: Port) -> None:
        self.backend = backend
        self.port = port
        self.open()

    def open(self) -> None:
        self.log: Log = self.backend.log(self.port)
        self.views: Views = self.backend.views(self.port, self.log)


class ViewsMachine(RuleBasedStateMachine):
    """Commits, rebuilds, goes back, drops and reads, in memory and on a backend; each answer is the same."""

    beside: ClassVar[bool] = True
    """Whether the views know their log's head by themselves."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="eventsource-"))
        self.specified = Side(self.open_reference(), BlockingPort())
        self.tested = Side(self.open_backend(), self.open_port())
        self.head = 0

    def open_backend(self) -> Backend:
        raise NotImplementedError

    def open_port(self) -> Port:
        """What the backend waits with."""
        return BlockingPort()

    def open_reference(self) -> Backend:
        """What it is compared with."""
        return Memory()

    def reopened(self) -> Backend:
        """The same storage, as another process would open it."""
        return self.tested.backend

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return run_blocking(work)

    def teardown(self) -> None:
        self.tested.backend.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def both(self, ask: Callable[[Views], Coroutine[Any, Any, T]]) -> T:
        """Ask both, and insist that they answer the same."""
        wanted = self.run(ask(self.specified.views))
        found = self.run(ask(self.tested.views))
        assert found == wanted
        return found

    # what happens to them

    @rule(count=st.integers(1, 3))
    def append(self, count: int) -> None:
        for _ in range(count):
            self.head += 1
            append = Append("a", ANY, [("t", 1, b"{}")], 1_700_000_000_000_000 + self.head, self.head)
            for side in (self.specified, self.tested):
                self.run(side.log.append(append))

    @rule(data=st.data(), count=st.integers(1, 3), then=st.booleans())
    def commit(self, data: st.DataObject, count: int, then: bool) -> None:
        """Some commits, each right or wrong about what was read, and right about what documents were found by."""
        known: dict[tuple[ProjectionId, int], Progress] = {}
        found: dict[tuple[ProjectionId, int], dict[str, Entries]] = {}
        for projection in PROJECTIONS:
            for each in self.builds(projection):
                known[projection, each.generation] = each
                found[projection, each.generation] = self.entries(projection, each.generation)
        commits: list[Commit] = []
        for _ in range(count):
            projection = data.draw(projections)
            there = [generation for of, generation in known if of == projection]
            generation = data.draw(st.sampled_from([*there, *there, there[0], 9]))
            build = known.get((projection, generation)) or Progress(projection, generation, 0)
            fits = data.draw(st.sampled_from([True, True, True, False]))
            expected = build.checkpoint if fits else data.draw(st.integers(0, self.head))
            edition = build.edition if fits else data.draw(st.integers(0, 2))
            checkpoint = data.draw(st.sampled_from([expected, expected + 1, max(expected, self.head)]))
            changed = data.draw(documents)
            before = found.setdefault((projection, generation), {})
            new = {key: each[1] for key, each in changed.items() if each is not None and each[1] is not None}
            created = None
            if data.draw(st.booleans()):
                stored = self.stored(projection, generation)
                earlier = {key for each in commits for key in each.documents if each[:2] == (projection, generation)}
                created = None if earlier & changed.keys() else [key for key in changed if key not in stored]
            commits.append(
                Commit(
                    projection,
                    generation,
                    expected,
                    checkpoint,
                    {key: None if each is None else each[0] for key, each in changed.items()},
                    data.draw(notes),
                    created,
                    edition,
                    new,
                    {key: before[key] for key in changed if key in before},
                    data.draw(records),
                    data.draw(st.integers(0, LATEST)) if self.beside else self.head,
                )
            )
            if (build.checkpoint, build.edition) == (expected, edition):
                moved = checkpoint > expected
                known[projection, generation] = Progress(
                    projection, generation, checkpoint, 0 if moved else edition + 1
                )
                found[projection, generation] = {
                    **{key: each for key, each in before.items() if key not in changed},
                    **{key: each for key, each in new.items() if each != Entries()},
                }
        pull = Pull(PROJECTIONS, 2, 1_000) if then else None
        outcomes, pulled, _ = self.both(lambda views: self.committed(views, commits, pull))
        assert len(outcomes) == count
        assert (pulled is not None) is then

    async def committed(self, views: Views, commits: list[Commit], then: Pull | None) -> tuple[Any, Any, None]:
        """What became of commits, without what it cost."""
        outcomes, pulled, _ = await views.commit(commits, then)
        assert all(isinstance(outcome, Outcome) for outcome in outcomes)
        return outcomes, None if pulled is None else pulled._replace(receipt=FREE), None

    @rule(projection=projections)
    def begin(self, projection: ProjectionId) -> None:
        async def ask(views: Views) -> Progress:
            return (await views.begin(projection))[0]

        self.both(ask)

    @rule(projection=projections, present=generations, wanted=generations, right=st.booleans())
    def serve(self, projection: ProjectionId, present: int, wanted: int, right: bool) -> None:
        if right:
            builds = self.builds(projection)
            present = builds[0].generation
            wanted = next((each.generation for each in builds if each.role is Role.KEPT), wanted)

        async def ask(views: Views) -> bool:
            return (await views.serve(projection, present, wanted))[0]

        self.both(ask)

    @rule(projection=projections, which=st.integers(0, 6), limit=st.integers(1, 4), serving=st.booleans())
    def drop(self, projection: ProjectionId, which: int, limit: int, serving: bool) -> None:
        builds = self.builds(projection)
        generation = builds[-1 - which].generation if which < len(builds) else which

        async def ask(views: Views) -> bool | str:
            try:
                return (await views.drop(projection, generation, RECORDS, limit, serving=serving))[0]
            except Misuse:
                return "refused"

        self.both(ask)

    @rule()
    def reopen(self) -> None:
        self.tested.backend = self.reopened()
        self.tested.open()

    # what is asked of them

    @rule(asked=st.lists(projections, unique=True), rear=st.booleans(), serving=st.booleans(), aside=generations)
    def pull(self, asked: list[ProjectionId], rear: bool, serving: bool, aside: int) -> None:
        put_aside: Mapping[ProjectionId, int] = {PROJECTIONS[0]: aside}
        pull = Pull(asked, 2, 1_000, rear=rear, serving=serving, aside=put_aside)

        async def ask(views: Views) -> tuple[object, ...]:
            return (await views.pull(pull))._replace(receipt=FREE)

        self.both(ask)

    @rule(projection=projections, now_us=times, span=spans, after=places, limit=limits, size=sizes)
    def look(
        self,
        projection: ProjectionId,
        now_us: int,
        span: Span,
        after: tuple[str, str] | None,
        limit: int,
        size: int,
    ) -> None:
        """All that can be asked at one moment."""

        async def listings(views: Views) -> list[object]:
            found: list[object] = [await walk(partial(items, views), after, limit), await walk(partial(items, views))]
            for each in (*SPANS, span):
                for reverse in (False, True):
                    for place in (None, after):
                        ask = partial(views.find, projection, each)
                        found.append(
                            await walk(
                                lambda at, ask=ask, reverse=reverse: ask(at, limit, size, now_us, reverse=reverse),
                                place,
                                limit,
                            )
                        )
            return found

        async def items(views: Views, at: tuple[str, str] | None) -> Listed:
            return await views.items(projection, None if at is None else at[1], limit, size, now_us)

        async def counts(views: Views) -> list[object]:
            counted = [await views.count(projection, each, now_us) for each in (None, *SPANS, span)]
            ranked = [await views.rank(projection, each, key, now_us) for each in (*SPANS, span) for key in KEYS]
            return [msgspec.structs.astuple(each)[:-1] for each in (*counted, *ranked)]

        async def others(views: Views) -> list[object]:
            ended = await views.ended(projection, now_us, limit)
            return [
                (await views.get_many(projection, KEYS, now_us))[:-1],
                (await views.get_many(projection, KEYS[1:2], now_us))[:-1],
                (await views.records(projection, RECORDS))[:-1],
                (list(ended.documents.items()), ended.progress),
            ]

        for ask in (listings, counts, others):
            self.both(ask)

    # what always holds

    @invariant()
    def every_build_is_the_same(self) -> None:
        async def ask(views: Views) -> tuple[object, ...]:
            return (await views.progress(PROJECTIONS))[:-1]

        self.both(ask)
        for projection in PROJECTIONS:
            # A build that is going may lose its documents in any order.
            builds = [each for each in self.builds(projection) if each.role is not Role.DROPPED]
            wanted = [Wanted(projection, generation, KEYS, RECORDS) for generation in [b.generation for b in builds]]

            async def load(views: Views, wanted: list[Wanted] = wanted) -> object:
                return (await views.load(wanted))[0]

            self.both(load)

    def builds(self, projection: ProjectionId) -> tuple[Progress, ...]:
        return self.run(self.specified.views.progress([projection]))[0]

    def entries(self, projection: ProjectionId, generation: int) -> dict[str, Entries]:
        stored, _ = self.run(self.specified.views.load([Wanted(projection, generation, KEYS)]))
        return dict(stored[0].entries)

    def stored(self, projection: ProjectionId, generation: int) -> dict[str, bytes]:
        stored, _ = self.run(self.specified.views.load([Wanted(projection, generation, KEYS)]))
        return stored[0].documents


async def walk(
    page: Callable[[tuple[str, str] | None], Coroutine[Any, Any, Listed]],
    after: tuple[str, str] | None = None,
    limit: int = 100,
) -> tuple[list[tuple[str, bytes]], Progress, int | None]:
    """All pages from a place on, each with its share: where they end is a backend's own affair."""
    found: list[tuple[str, bytes]] = []
    pages = 0
    while True:
        listed = await page(after)
        pages += 1
        assert pages < 100, "the pages do not end"
        assert len(listed.documents) <= limit
        found += listed.documents
        if not listed.more:
            return found, listed.progress, listed.head
        assert listed.last != after, "a page that has gone on from nowhere"
        after = listed.last
