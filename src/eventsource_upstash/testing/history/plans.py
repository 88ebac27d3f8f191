"""Workloads and faults drawn by Hypothesis: what each process does, in which order its steps come, what goes wrong.

A plan runs in one thread, step by step, and the same way each time; so what it finds shrinks to the few operations
that show it:

```python
@given(plans())
def test_my_backend(plan: Plan) -> None:
    backend = MyBackend()
    run_plan(plan, lambda: backend).raise_()
```

It needs Hypothesis: `pip install eventsource-upstash[testing]`. When a test fails, Hypothesis prints what runs the same
search again: a seed (`pytest --hypothesis-seed=...`), or a line with `@reproduce_failure`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import count
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeAlias, get_args

from ..._io.blocking import PORT
from ..._io.port import HttpRequest, HttpResponse, Port, Signal
from ...aio import AsyncEventStore
from ...aio.projector import AsyncProjector
from ...aio.views import AsyncProjectionStore
from ...blocking import App
from ...domain.events import ANY, EXISTS, Expectation
from ...errors import ConcurrencyError, OutcomeUnknown, Unavailable
from ...ports import Backend
from ..pausing import Moment, Pause, PausingBackend, pausing
from ..stepping import Actor, drop
from .checking import check
from .faces import entries
from .histories import History
from .recorder import Recorder
from .verdict import Verdict
from .workload import EXPECTED_ERRORS, KEYS, Noted, condition_on, mark_of, tags_of, views, workload

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

What: TypeAlias = Literal["append", "read stream", "read log", "head", "catch up", "view", "checkpoint"]
Fate: TypeAlias = Literal["", "request lost", "answer lost", "crash", "twice", "late", "arrives"]

ON_THE_WIRE: Final = ("twice", "late", "arrives")
"""What happens to requests only: there is a network, which does it."""


class Act(NamedTuple):
    """What a process does.

    Attributes:
        what: What.
        stream: On which stream, from 0; of a view, which document.
        events: An append's events.
        expected: The revision that it expects: in words, or that many more than the process knows of.
        keyed: Whether it has an idempotency key, and is tried again with it when its outcome is unknown; a view is
            read at the last append of the process then.
        unless: An append's condition: a tag that no event may have which has come since the last position that the
            process knows of; None for no condition.
    """

    what: What = "append"
    stream: int = 0
    events: int = 1
    expected: int | Literal["any", "exists", "none"] = "any"
    keyed: bool = False
    unless: int | None = None


class Step(NamedTuple):
    """A process goes on until its next wait.

    Attributes:
        process: Which; one that has ended is passed over for the next.
        fate: What goes wrong at this wait. "request lost": it is not done, and the caller knows. "answer lost": it is
            done, and the caller does not know. "crash": the process ends here. "twice": the request arrives twice, the
            second is answered. "late": the caller is told that nobody knows, and the request "arrives" at a later step.
    """

    process: int
    fate: Fate = ""


class Plan(NamedTuple):
    """Processes, and the steps in which they come; when there are no more, each runs to its end in its turn."""

    processes: tuple[tuple[Act, ...], ...]
    steps: tuple[Step, ...] = ()


def plans(
    *, wire: bool = False, conditions: bool = True, processes: int = 4, acts: int = 12, steps: int = 60
) -> SearchStrategy[Plan]:
    """A strategy of plans.

    Args:
        wire: Whether the backend is asked over HTTP, so that requests arrive twice, or late. See `run_plan`.
        conditions: Whether appends have conditions, which not every log can keep: see `Capabilities`.
        processes: Most processes, from 2.
        acts: Most operations of each.
        steps: Most steps that are drawn.
    """
    from hypothesis import strategies as st

    fates = [fate for fate in get_args(Fate) if fate and (wire or fate not in ON_THE_WIRE)]
    act = st.builds(
        Act,
        # Appends most of all, and what shows what they did.
        st.sampled_from(
            ["append", "append", "append", "catch up", "view", "read stream", "read log", "head", "checkpoint"]
        ),
        st.integers(0, 1),
        st.integers(1, 3),
        st.sampled_from([0, "any", "none", "exists", 1]),
        st.booleans(),
        st.sampled_from([None, None, 0, 1]) if conditions else st.none(),
    )
    step = st.builds(Step, st.integers(0, processes - 1), st.sampled_from(["", "", *fates]))
    return st.builds(
        Plan,
        st.lists(st.lists(act, min_size=1, max_size=acts).map(tuple), min_size=2, max_size=processes).map(tuple),
        # A list of lists, because a list that Hypothesis draws is a short one.
        st.lists(st.lists(step, min_size=1), max_size=steps // 5).map(_flat),
    )


def _flat(parts: Sequence[Sequence[Step]]) -> tuple[Step, ...]:
    return tuple(step for part in parts for step in part)


def run_plan(plan: Plan, backend: Callable[[], Backend], *, wire: bool = False) -> Verdict:
    """Run a plan, and check the history that it makes.

    Args:
        plan: The plan.
        backend: Gives a backend for each process, and one for who looks at the end: the same object, or another one on
            the same storage, which is empty.
        wire: Whether a process waits, and is struck, at each HTTP request of the backend; else at each call to it.
    """
    return _Run(plan, backend, wire=wire).verdict()


class _Wire:
    """The network between a process and a server."""

    def __init__(self) -> None:
        self.fate: Fate = ""
        self.late: list[HttpRequest] = []

    async def send(self, request: HttpRequest) -> HttpResponse:
        fate, self.fate = self.fate, ""
        if fate == "late":
            self.late.append(request)
            raise OutcomeUnknown("the request is late, as the plan says")
        answer = await PORT.send(request)
        return await PORT.send(request) if fate == "twice" else answer

    async def call(self, work: Callable[[], Any]) -> Any:  # as `Port` has it, whatever it answers
        return await PORT.call(work)

    async def sleep(self, seconds: float, wake: Signal | None = None, since: int = 0) -> None:
        raise AssertionError(f"whoever pauses does not sleep: {seconds}, {wake}, {since}")

    async def arrive(self) -> None:
        """Let the oldest of the late requests arrive. Nobody waits for the answer."""
        if self.late:
            await PORT.send(self.late.pop(0))


class _Process:
    """One process of a plan."""

    def __init__(
        self, number: int, acts: Sequence[Act], backend: Backend, clock: Callable[[], int], *, wire: bool
    ) -> None:
        the = workload()
        self.wire = _Wire()
        port: Port = self.wire
        pauses: PausingBackend = pausing(backend, inside=wire, outside=not wire, port=port)
        self.recorder = Recorder(f"p{number}", clock=clock)
        self.store = AsyncEventStore(pauses, the.registry)
        self.views = AsyncProjectionStore(pauses, the.registry)
        self.projector = AsyncProjector(self.store, self.views, page_size=2)
        self.the = the
        self.known: dict[str, int] = {}
        self.token = 0
        self.actor: Actor = self._run(acts)
        self.paused: Pause | None = None
        self.over = False

    def step(self, fate: Fate) -> None:
        """Go on until the next wait, or to the end."""
        paused = self.paused
        error: Exception | None = None
        if paused is not None and paused.call != "sleep":
            if fate == "crash":
                self.over = True  # dropped by whoever looks at what it left
                return
            if fate == "request lost" and paused.moment is Moment.BEFORE:
                error = Unavailable(f"{paused} was lost, as the plan says")
            elif fate == "answer lost" and paused.moment is Moment.AFTER:
                error = OutcomeUnknown(f"the answer of {paused} was lost, as the plan says")
            elif fate in ("twice", "late") and paused.moment is Moment.BEFORE:
                self.wire.fate = fate
        try:
            reached: object = self.actor.send(None) if error is None else self.actor.throw(error)
        except StopIteration:
            self.over = True
        else:
            assert isinstance(reached, Pause)
            self.paused = reached

    async def _run(self, acts: Sequence[Act]) -> None:
        for number, act in enumerate(acts, 1):
            try:
                await self._do(act, f"{self.recorder.process}.{number}")
            except ConcurrencyError as conflict:  # noqa: PERF203  each act may end so
                self.known[conflict.stream] = conflict.actual
            except EXPECTED_ERRORS:
                continue

    async def _do(self, act: Act, mark: str) -> None:
        stream, recorder = f"s{act.stream}", self.recorder
        if act.what == "append":
            await self._append(act, stream, mark)
        elif act.what == "read stream":
            with recorder.read_stream(stream) as call:
                found = [(each.revision, mark_of(each)) async for each in self.store.read_stream(stream)]
                call.ok(found)
            self.known[stream] = len(found)
        elif act.what == "read log":
            with recorder.read_log() as call:
                call.ok([(each.position, mark_of(each)) async for each in self.store.read()])
        elif act.what == "head":
            with recorder.head() as head:
                head.ok(await self.store.head())
        elif act.what == "catch up":
            with recorder.catch_up() as catch_up:
                result = await self.projector.catch_up()
                catch_up.ok(position=result.position, complete=result.complete)
        elif act.what == "view":
            token = self.token if act.keyed and self.token else None
            projection, key = (self.the.shared, f"{act.events % KEYS}") if act.stream else (self.the.streams, "s0")
            with recorder.view(projection.name, key, at_least=token) as view:
                view.ok(await self.views.view(projection).get(key, at_least=token))
        else:
            with recorder.checkpoint("streams") as checkpoint:
                (position,) = [each.checkpoint for each in await self.views.status() if each.name == "streams"]
                checkpoint.ok(position)

    async def _append(self, act: Act, stream: str, mark: str) -> None:
        words: dict[object, int | Expectation] = {"any": ANY, "exists": EXISTS, "none": 0}
        more = act.expected if isinstance(act.expected, int) else 0
        expected = words.get(act.expected, self.known.get(stream, 0) + more)
        condition = None if act.unless is None else condition_on(act.unless, self.token)
        events = [Noted(mark, place) for place in range(1, act.events + 1)]
        for last in (False, True) if act.keyed else (True,):
            with self.recorder.append(
                stream, mark, expected_revision=expected, events=act.events, condition=condition
            ) as call:
                try:
                    appended = await self.store.append(
                        stream,
                        *events,
                        expected_revision=expected,
                        condition=condition,
                        idempotency_key=mark if act.keyed else None,
                        tags=tags_of(mark),
                    )
                except OutcomeUnknown:
                    if last:
                        raise
                    call.unknown()
                    continue
                call.ok(position=appended.position, revision=appended.revision)
            if not appended.repeated:
                self.known[stream] = appended.revision
            self.token = max(self.token, appended.position)
            return


class _Run:
    def __init__(self, plan: Plan, backend: Callable[[], Backend], *, wire: bool) -> None:
        moments = count(1)
        self.plan = plan
        self.clock: Callable[[], int] = lambda: next(moments)
        self.backend = backend
        self.processes = [
            _Process(number, acts, backend(), self.clock, wire=wire) for number, acts in enumerate(plan.processes, 1)
        ]

    def verdict(self) -> Verdict:
        from ..._io.blocking import run

        try:
            for process, fate in self._steps():
                if fate == "arrives":
                    run(process.wire.arrive())
                process.step(fate)
            for process in self.processes:
                while process.wire.late:
                    run(process.wire.arrive())
            return self._checked()
        finally:
            for process in self.processes:
                drop(process.actor)

    def _steps(self) -> Iterator[tuple[_Process, Fate]]:
        for step in self.plan.steps:
            first = step.process % len(self.processes)
            living = [each for each in [*self.processes[first:], *self.processes[:first]] if not each.over]
            if living:
                yield living[0], step.fate
        for process in self.processes:
            while not process.over:
                yield process, ""

    def _checked(self) -> Verdict:
        the = workload()
        last = Recorder("in the end", clock=self.clock)
        app = App(self.backend(), the.registry, None)
        store = last.event_store(app.event_store, mark_of=mark_of)
        last.projector(app.projector).catch_up()
        found = views(app, the)
        log = entries(store.read(), mark_of)
        return check(History.of(*(each.recorder for each in self.processes), last), log, found)
