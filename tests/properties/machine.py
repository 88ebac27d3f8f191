"""A whole app against a model of it that fits on a page, in any order of what can happen to it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, precondition, rule

from eventsource_upstash import (
    ANY,
    EXISTS,
    NO_STREAM,
    AsyncEventStore,
    AsyncProjectionStore,
    AsyncProjector,
    ConcurrencyError,
    EventSourceError,
    Expectation,
    IdempotencyKeyReused,
    InProcess,
    LogRewound,
    OutcomeUnknown,
    Projection,
    ProjectionStopped,
)
from eventsource_upstash.ports import Backend
from eventsource_upstash.testing import pausing
from eventsource_upstash.testing.colours import Colour, Face
from tests.properties.app import Account, App, Balance, Closed, Event, Noted, Paid, Withdrawn, counted, moved

T = TypeVar("T")

STREAMS = st.sampled_from(["account-1", "account-2", "ä 🙂"])
EVENTS = st.one_of(
    st.builds(Paid, st.integers(1, 9)),
    st.builds(Withdrawn, st.integers(1, 9)),
    st.builds(Closed, st.text(max_size=3)),
    st.builds(Noted, st.text(max_size=3)),
)
SEVERAL = st.lists(EVENTS, min_size=1, max_size=3)
PAGE_SIZES = st.sampled_from([1, 2, 3, 1_000])


class Keyed(NamedTuple):
    """What was appended under an idempotency key."""

    key: str
    stream: str
    events: tuple[Event, ...]
    position: int
    revision: int


class AppMachine(RuleBasedStateMachine):
    """Appends, catches up, fails, restarts and reads; after each step the app is what the model says."""

    colour: ClassVar[Colour]
    tries_again: ClassVar[bool] = False
    """Whether the backend itself may send an append again, and then finds that it was written."""
    keyed = Bundle("keyed")

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="eventsource-"))
        self.backend = self.open_backend()
        self.log: list[tuple[str, Event]] = []
        self.keys = 0
        self.checkpoints = {"balances": 0, "fragile": 0, "ledger": 0}

    def open_backend(self) -> Backend:
        raise NotImplementedError

    def reopened(self) -> Backend:
        """The same storage, as another process would open it."""
        raise NotImplementedError

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.colour.run(work)

    @initialize()
    def begin(self) -> None:
        self.app = App()
        self.face = Face(self.colour, self.backend, self.app.registry, InProcess())

    def teardown(self) -> None:
        self.backend.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    # the model

    def stream(self, stream: str) -> list[Event]:
        return [event for name, event in self.log if name == stream]

    def made_of(self, projection: Projection[Balance], checkpoint: int) -> dict[str, Balance]:
        """What the log makes of a view, up to a position."""
        documents: dict[str, Balance | None] = {}
        for position, (stream, event) in enumerate(self.log[:checkpoint], 1):
            for key in ("all", "twin") if projection is self.app.ledger else (stream,):
                documents[key] = moved(documents.get(key), event, position)
        return {key: document for key, document in documents.items() if document is not None}

    def stops_at(self) -> int | None:
        """The position that `fragile` cannot get beyond now."""
        if not self.app.broken:
            return None
        start = self.checkpoints["fragile"]
        later = enumerate(self.log[start:], start + 1)
        return next((position - 1 for position, (_, event) in later if isinstance(event, Withdrawn)), None)

    # what happens to it

    @rule(
        stream=STREAMS,
        events=SEVERAL,
        expected=st.sampled_from(["any", "exists", "none", "right", "lower", "future"]),
        with_key=st.booleans(),
    )
    def append(self, stream: str, events: list[Event], expected: str, with_key: bool) -> None:
        before = self.stream(stream)
        revision = len(before)
        forms: dict[str, int | Expectation] = {
            "any": ANY,
            "exists": EXISTS,
            "none": NO_STREAM,
            "right": revision,
            "lower": max(0, revision - 2),
            "future": revision + 3,
        }
        form = forms[expected]
        fits = form is ANY or form == revision or (form is EXISTS and revision > 0)
        key = self.new_key() if with_key else None
        call = self.face.append(stream, *events, expected_revision=form, idempotency_key=key, metadata={"by": "me"})
        if not fits:
            conflict = self.failing(call)
            if self.tries_again and isinstance(conflict, OutcomeUnknown):
                assert form is EXISTS or (isinstance(form, int) and form > revision), (
                    "a late attempt would not fit either"
                )
                return
            assert isinstance(conflict, ConcurrencyError)
            assert (conflict.actual, conflict.complete) == (revision, True)
            missed = before[form:] if isinstance(form, int) else []
            assert [each.event for each in conflict.events] == missed
            return
        answer = self.run(call)
        self.log += [(stream, event) for event in events]
        assert (answer.position, answer.revision) == (len(self.log), revision + len(events))
        assert self.tries_again or not answer.repeated

    @rule(target=keyed, stream=STREAMS, events=SEVERAL)
    def append_under_a_key(self, stream: str, events: list[Event]) -> Keyed:
        key = self.new_key()
        answer = self.run(self.face.append(stream, *events, idempotency_key=key))
        self.log += [(stream, event) for event in events]
        assert (answer.position, answer.revision) == (len(self.log), len(self.stream(stream)))
        return Keyed(key, stream, tuple(events), answer.position, answer.revision)

    @rule(known=keyed)
    def append_again(self, known: Keyed) -> None:
        answer = self.run(self.face.append(known.stream, *known.events, idempotency_key=known.key))
        assert (answer.position, answer.revision, answer.repeated) == (known.position, known.revision, True)

    @rule(known=keyed, stream=STREAMS, events=SEVERAL)
    def append_something_else_under_the_key(self, known: Keyed, stream: str, events: list[Event]) -> None:
        if (stream, tuple(events)) == (known.stream, known.events):
            return
        error = self.failing(self.face.append(stream, *events, idempotency_key=known.key))
        assert isinstance(error, IdempotencyKeyReused)

    def new_key(self) -> str:
        self.keys += 1
        return f"key-{self.keys}"

    @rule(page_size=PAGE_SIZES)
    def catch_up(self, page_size: int) -> None:
        stop = self.stops_at()
        if stop is None:
            caught = self.run(self.face.catch_up(page_size=page_size))
            assert (caught.position, caught.head, caught.complete) == (len(self.log), len(self.log), True)
        else:
            error = self.failing(self.face.catch_up(page_size=page_size))
            assert isinstance(error, ProjectionStopped)
            assert (error.projection, error.position) == ("fragile", stop + 1)
        head = len(self.log)
        self.checkpoints = {"balances": head, "ledger": head, "fragile": head if stop is None else stop}
        told = {each.name: each.stopped and each.stopped.position for each in self.run(self.face.status())}
        assert told == {"balances": None, "ledger": None, "fragile": None if stop is None else stop + 1}

    @rule(page_size=PAGE_SIZES, part=st.floats(0, 1))
    def catch_up_until(self, page_size: int, part: float) -> None:
        until = round(part * len(self.log))
        stop = self.stops_at()
        if stop is None or stop >= until:
            assert self.run(self.face.catch_up(page_size=page_size, until=until)).complete
        else:
            assert isinstance(self.failing(self.face.catch_up(page_size=page_size, until=until)), ProjectionStopped)
        goals = {"balances": until, "ledger": until, "fragile": until if stop is None else min(stop, until)}
        self.checkpoints = {name: max(now, goals[name]) for name, now in self.checkpoints.items()}

    @rule(page_size=PAGE_SIZES, part=st.none() | st.floats(0, 1))
    def catch_up_a_page(self, page_size: int, part: float | None) -> None:
        """Without any time, one page is folded; unless everybody is there, it gets somebody on."""
        until = None if part is None else round(part * len(self.log))
        before = dict(self.checkpoints)
        goal = len(self.log) if until is None else until
        try:
            caught = self.run(self.face.catch_up(page_size=page_size, time_budget=0, until=until))
        except ProjectionStopped:
            assert self.stops_at() is not None
            self.note_progress()
        else:
            self.note_progress()
            assert caught.complete is (min(self.checkpoints.values()) >= goal)
            assert self.checkpoints != before or min(before.values()) >= goal, "it gets nobody on"

    @rule(data=st.data(), page_sizes=st.tuples(PAGE_SIZES, PAGE_SIZES), crash=st.booleans())
    def two_projectors(self, data: st.DataObject, page_sizes: tuple[int, int], crash: bool) -> None:
        """Two projectors at once, in an order of steps that is drawn; one of them may crash."""
        backend = pausing(self.backend, after=False)
        store = AsyncEventStore(backend, self.app.registry)
        views = AsyncProjectionStore(backend, self.app.registry)
        running = [AsyncProjector(store, views, page_size=size).catch_up() for size in page_sizes]
        try:
            while running:
                turn = data.draw(st.integers(0, len(running) - 1), label="turn") if len(running) > 1 else 0
                if crash and len(running) > 1 and data.draw(st.integers(0, 9), label="crash") == 0:
                    running.pop(turn).close()
                    continue
                try:
                    running[turn].send(None)
                except StopIteration:
                    del running[turn]
                except ProjectionStopped:
                    assert self.stops_at() is not None
                    del running[turn]
        finally:
            for each in running:
                each.close()
        stop = self.stops_at()
        self.note_progress()
        assert self.checkpoints["balances"] == len(self.log)
        assert self.checkpoints["fragile"] == (len(self.log) if stop is None else stop)

    @rule()
    def restart(self) -> None:
        self.backend.close()
        self.backend = self.reopened()
        broken = self.app.broken
        self.app = App()
        self.app.broken = broken
        self.face = Face(self.colour, self.backend, self.app.registry, InProcess())

    @rule(part=st.floats(0, 2))
    def notification_again(self, part: float) -> None:
        self.run(self.face.notify(round(part * len(self.log))))

    @rule()
    def break_or_mend_a_handler(self) -> None:
        self.app.broken = not self.app.broken

    # what is asked of it

    @precondition(lambda self: self.log)
    @rule(stream=STREAMS, part=st.floats(0, 1))
    def read_at_least(self, stream: str, part: float) -> None:
        at_least = round(part * len(self.log))
        reading = self.face.get(self.app.balances, stream, at_least=at_least)
        document = self.run(reading)
        self.checkpoints["balances"] = max(self.checkpoints["balances"], at_least)
        self.note_progress(only="balances", at_least=at_least)
        assert document == self.made_of(self.app.balances, self.checkpoints["balances"]).get(stream)

    @rule()
    def read_beyond_the_head(self) -> None:
        beyond = len(self.log) + 1
        reading = self.face.get(self.app.balances, "account-1", at_least=beyond, timeout=0)
        assert isinstance(self.failing(reading), LogRewound)
        self.note_progress(only="balances")

    @rule(part=st.floats(0, 1.2), limit=st.none() | st.integers(0, 4))
    def read(self, part: float, limit: int | None) -> None:
        after = round(part * len(self.log))
        recorded = self.run(self.face.read(after=after, limit=limit))
        expected = self.log[after:][:limit]
        assert [(each.stream, each.event) for each in recorded] == expected
        assert [each.position for each in recorded] == list(range(after + 1, after + 1 + len(expected)))

    @rule(stream=STREAMS, after=st.integers(0, 5), limit=st.none() | st.integers(0, 4))
    def read_stream(self, stream: str, after: int, limit: int | None) -> None:
        recorded = self.run(self.face.read_stream(stream, after_revision=after, limit=limit))
        assert [each.event for each in recorded] == self.stream(stream)[after:][:limit]
        assert [each.revision for each in recorded] == list(range(after + 1, after + 1 + len(recorded)))

    @rule(stream=STREAMS)
    def load(self, stream: str) -> None:
        state: Account | None = None
        for event in self.stream(stream):
            state = counted(state, event)
        loaded = self.run(self.face.load(self.app.account, stream))
        assert (loaded.state, loaded.revision) == (state, len(self.stream(stream)))

    # what always holds

    @invariant()
    def each_view_is_the_fold_of_the_log(self) -> None:
        status = {each.name: each for each in self.run(self.face.status())}
        assert {name: each.checkpoint for name, each in status.items()} == self.checkpoints
        assert {each.head for each in status.values()} == {len(self.log)}
        for projection in (self.app.balances, self.app.fragile, self.app.ledger):
            expected = self.made_of(projection, self.checkpoints[projection.name])
            assert self.run(self.face.items(projection)) == sorted(expected.items())
            assert self.run(self.face.count(projection)) == len(expected)

    def note_progress(self, *, only: str | None = None, at_least: int = 0) -> None:
        """Take over how far the views are, where it depends on what a step is; never back, and never too far."""
        for each in self.run(self.face.status()):
            before = self.checkpoints[each.name]
            assert max(before, at_least if each.name == only else 0) <= each.checkpoint <= len(self.log)
            assert only in {None, each.name} or each.checkpoint == before
            self.checkpoints[each.name] = each.checkpoint

    def failing(self, work: Coroutine[Any, Any, object]) -> EventSourceError:
        try:
            answer = self.run(work)
        except EventSourceError as error:
            return error
        raise AssertionError(f"it had to fail, and answered {answer!r}")
