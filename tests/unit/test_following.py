"""What follows the log is brought up at the end of each catch-up, after the views, and holds up nobody."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest

from eventsource_upstash import (
    App,
    CatchUp,
    Memory,
    MemoryKeys,
    Misuse,
    Personal,
    ProjectionStopped,
    Rebuilt,
    Receipt,
    Registry,
    Unavailable,
    connect,
    connect_async,
)
from eventsource_upstash._io.port import Port
from eventsource_upstash.backends.memory import InProcess
from eventsource_upstash.ports import Backend, Followed, Log
from eventsource_upstash.testing.colours import Colour, Face
from eventsource_upstash.testing.wrapping import LogWrapper
from tests.priced import Till
from tests.unit.todo import TaskCreated, todo


class Counts:
    """Follows the log by counting its events."""

    def __init__(self, name: str, *, page: int = 1000, error: Exception | None = None) -> None:
        self.name = name
        self.checkpoint = 0
        self.payloads: list[bytes] = []
        self.page = page
        self.error = error

    async def follow(self, port: Port, log: Log, head: int, deadline: float | None) -> Followed:
        if self.error is not None:
            raise self.error
        applied = 0
        while self.checkpoint < head:
            found = await log.read(self.checkpoint, self.page, 1 << 20)
            rows = [row for row in found.events if row[0] <= head]
            self.payloads += [row[9] for row in rows]
            applied += len(rows)
            self.checkpoint = rows[-1][0]
            if deadline is not None:
                break
        return Followed(applied, self.checkpoint, self.checkpoint >= head)


@pytest.fixture(params=list(Colour))
def face(request: pytest.FixtureRequest) -> Face:
    return Face(request.param, Memory(), todo().registry, InProcess())


async def catch_up(face: Face, *, until: int | None = None, time_budget: float | None = None) -> CatchUp:
    answer = face.app.projector.catch_up(until=until, time_budget=time_budget)
    return answer if isinstance(answer, CatchUp) else await answer


def test_who_follows_is_brought_up_with_the_views(face: Face) -> None:
    async def work() -> None:
        one, other = Counts("one"), Counts("other")
        face.app.projector.follow(one)
        face.app.projector.follow(other)
        await face.append("task-1", TaskCreated("1", "a"), TaskCreated("2", "b"))
        result = await catch_up(face)
        assert (result.applied, result.position, result.complete) == (6, 2, True)
        assert (one.checkpoint, other.checkpoint) == (2, 2)
        await face.append("task-3", TaskCreated("3", "c"), TaskCreated("4", "d"))
        result = await catch_up(face, until=3)
        assert (result.position, result.complete, one.checkpoint) == (3, True, 3)

    face.colour.run(work())


def test_who_follows_is_left_alone_by_a_rebuild(face: Face) -> None:
    async def work() -> None:
        one = Counts("one")
        face.app.projector.follow(one)
        await face.append("task-1", TaskCreated("1", "a"))
        answer = face.app.projector.rebuild(face.app.registry.projections[0])
        assert (answer if isinstance(answer, Rebuilt) else await answer).complete
        assert one.checkpoint == 0

    face.colour.run(work())


def test_a_catch_up_is_complete_only_when_all_that_follow_are_there(face: Face) -> None:
    async def work() -> None:
        slow = Counts("slow", page=1)
        face.app.projector.follow(slow)
        await face.append("task-1", TaskCreated("1", "a"), TaskCreated("2", "b"))
        result = await catch_up(face, time_budget=60.0)
        assert (result.position, result.head, result.complete) == (1, 2, False)
        assert (await catch_up(face, time_budget=60.0)).complete

    face.colour.run(work())


def test_one_that_fails_holds_up_nobody(face: Face) -> None:
    async def work() -> None:
        gone, well = Counts("gone", error=Unavailable("the database is away")), Counts("well")
        face.app.projector.follow(gone)
        face.app.projector.follow(well)
        await face.append("task-1", TaskCreated("1", "a"))
        with pytest.raises(Unavailable, match="the database is away"):
            await catch_up(face)
        assert well.checkpoint == 1
        view = face.app.projection_store.view(face.app.registry.projections[0])
        answer = view.count()
        assert (answer if isinstance(answer, int) else await answer) == 1

        stopped = CatchUp(0, 0, 0, complete=False)
        gone.error = ProjectionStopped(projection="gone", position=1, reason="why", result=stopped)
        with pytest.raises(ProjectionStopped) as raised:
            await catch_up(face)
        assert raised.value.result.head == 1
        gone.error = None
        assert (await catch_up(face)).complete

    face.colour.run(work())


def test_a_projection_that_stops_is_told_first_and_the_others_follow() -> None:
    registry = todo().registry

    def fold(document: object, event: TaskCreated) -> None:
        raise ValueError("no")

    bad = registry.projection("bad", TaskCreated)
    bad.on(TaskCreated)(fold)
    app = connect("memory:", registry)
    well, gone = Counts("well"), Counts("gone", error=Unavailable("away"))
    app.projector.follow(gone)
    app.projector.follow(well)
    app.event_store.append("task-1", TaskCreated("1", "a"))
    with pytest.raises(ProjectionStopped, match="'bad' stopped at position 1"):
        app.projector.catch_up()
    assert well.checkpoint == 1


def test_without_a_projection_they_are_brought_up_all_the_same() -> None:
    registry = Registry()
    registry.event("task-created")(TaskCreated)
    app = connect("memory:", registry)
    assert app.projector.catch_up() == CatchUp(0, 0, 0, complete=True)
    counts = Counts("counts")
    app.projector.follow(counts)
    app.event_store.append("task-1", *[TaskCreated(str(n), "a") for n in range(5)])
    result = app.projector.catch_up(until=3)
    assert (result.applied, result.position, result.complete) == (3, 3, True)
    result = app.projector.catch_up()
    assert (result.applied, result.position, result.head, result.complete) == (2, 5, 5, True)


def alone(*followers: Counts, backend: Backend | None = None) -> App:
    """An app without a projection, which is followed."""
    registry = Registry()
    registry.event("task-created")(TaskCreated)
    app = connect(backend or Memory(), registry)
    for each in followers:
        app.projector.follow(each)
    return app


def test_alone_they_are_told_of_as_far_as_the_rearmost_of_them_is() -> None:
    one, slow = Counts("one"), Counts("slow", page=2)
    app = alone(one, slow)
    assert app.projector.catch_up() == CatchUp(0, 0, 0, complete=True)
    app.event_store.append("task-1", *[TaskCreated(str(n), "a") for n in range(5)])
    result = app.projector.catch_up(time_budget=60.0)  # a page each
    assert (result.applied, result.position, result.head, result.complete) == (5 + 2, 2, 5, False)
    result = app.projector.catch_up(until=5, time_budget=60.0)
    assert (result.applied, result.position, result.complete) == (2, 4, False)
    result = app.projector.catch_up(until=5)
    assert (result.applied, result.position, result.complete) == (1, 5, True)
    result = app.projector.catch_up(until=9)
    assert (result.position, result.head, result.complete) == (5, 5, False)  # nothing is there yet


def test_alone_their_receipt_tells_all_that_was_asked() -> None:
    class Priced(Counts):
        async def follow(self, port: Port, log: Log, head: int, deadline: float | None) -> Followed:
            followed = await super().follow(port, log, head, deadline)
            return followed._replace(receipt=Receipt(commands=7))

    till = Till()
    app = alone(Priced("one"), Priced("other"), backend=till)
    app.event_store.append("task-1", *[TaskCreated(str(n), "a") for n in range(5)])
    for until, reads in ((3, 2), (None, 2), (None, 0)):
        till.calls = 0
        receipt = app.projector.catch_up(until=until).receipt
        assert (receipt.requests, receipt.commands) == (till.calls - reads, 14)  # who follows pays for its own reads


def test_alone_they_stop_where_one_fails_and_go_on_later() -> None:
    gone, well = Counts("gone", error=Unavailable("away")), Counts("well")
    app = alone(gone, well)
    app.event_store.append("task-1", TaskCreated("1", "a"))
    gone.error = ProjectionStopped(projection="gone", position=1, reason="why", result=CatchUp(0, 0, 0, complete=False))
    with pytest.raises(ProjectionStopped) as raised:
        app.projector.catch_up()
    assert raised.value.result == CatchUp(1, 0, 1, complete=False), "nothing is known to be reached by all"
    assert well.checkpoint == 1
    gone.error = None
    assert app.projector.catch_up().complete


def test_alone_they_settle_once_all_of_them_are_at_the_head_and_not_before() -> None:
    settled: list[int] = []

    class Settling(Till):
        def wrap_log(self, log: Log) -> Log:
            return Noted(log, self.around)

    class Noted(LogWrapper):
        async def settle(self, position: int) -> tuple[int, Receipt]:
            settled.append(position)
            return await super().settle(position)

    app = alone(Counts("one"), Counts("slow", page=1), backend=Settling())
    app.event_store.append("task-1", TaskCreated("1", "a"), TaskCreated("2", "b"))
    for until, time_budget, complete in ((1, None, True), (2, None, True), (None, None, True)):
        assert app.projector.catch_up(until=until, time_budget=time_budget).complete is complete
    app.event_store.append("task-1", TaskCreated("3", "c"), TaskCreated("4", "d"))
    assert not app.projector.catch_up(time_budget=60.0).complete, "a page each"
    assert settled == [2], "only who was to bring them up to the head, and did"
    app.projector.catch_up()
    assert settled == [2, 4]


def test_one_that_fails_is_logged_with_the_reason_and_nobody_is_said_to_have_followed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    stopped = ProjectionStopped(projection="gone", position=1, reason="why", result=CatchUp(0, 0, 0, complete=False))
    registry = todo().registry
    app = connect("memory:", registry)
    app.projector.follow(Counts("gone", error=stopped))
    app.projector.follow(Counts("slow", page=1))
    app.event_store.append("task-1", TaskCreated("1", "a"), TaskCreated("2", "b"))
    with pytest.raises(ProjectionStopped) as raised:
        app.projector.catch_up(time_budget=60.0)
    assert raised.value.result.position == 2, "as far as the views are: how far all follow is not known"
    assert not raised.value.result.complete
    (warning,) = [record for record in caplog.records if record.levelname == "WARNING"]
    assert warning.getMessage() == f"gone could not follow the log: {stopped}"


def test_what_is_appended_while_they_follow_alone_is_not_missed() -> None:
    registry = Registry()
    registry.event("task-created")(TaskCreated)
    app = connect("memory:", registry)

    class Late(Counts):
        async def follow(self, port: Port, log: Log, head: int, deadline: float | None) -> Followed:
            followed = await super().follow(port, log, head, deadline)
            if self.checkpoint == 1:  # when it has looked already
                app.event_store.append("task-2", TaskCreated("2", "b"))
            return followed

    late = Late("late")
    app.projector.follow(late)
    app.event_store.append("task-1", TaskCreated("1", "a"))
    result = app.projector.catch_up()
    assert (result.applied, result.position, result.complete) == (2, 2, True)
    assert late.checkpoint == 2


def test_what_is_appended_while_they_follow_alone_is_told_when_the_time_is_out() -> None:
    class Late(Counts):
        async def follow(self, port: Port, log: Log, head: int, deadline: float | None) -> Followed:
            followed = await super().follow(port, log, head, deadline)
            app.event_store.append("task-1", TaskCreated("1", "a"))
            return followed

    late = Late("late")
    app = alone(late)
    app.event_store.append("task-1", TaskCreated("1", "a"))
    result = app.projector.catch_up(time_budget=0)
    assert (result.applied, result.position, result.head, result.complete) == (1, 1, 2, False)


def test_personal_data_reaches_them_in_clear() -> None:
    registry = Registry()

    @registry.event("named", subject="id")
    @dataclass(frozen=True)
    class Named:
        id: str
        name: Personal[str | None]

    app = connect("memory:", registry, keys=MemoryKeys())
    counts = Counts("counts")
    app.projector.follow(counts)
    app.event_store.append("person-1", Named("1", "Ada"))
    app.projector.catch_up()
    assert b"Ada" in counts.payloads[0]


def test_what_cannot_follow_is_refused() -> None:
    app = connect("memory:", todo().registry)
    app.projector.follow(Counts("one"))
    with pytest.raises(Misuse, match="a follower is called 'one' already"):
        app.projector.follow(Counts("one"))
    with pytest.raises(Misuse, match="that is no follower"):
        app.projector.follow(object())  # type: ignore[arg-type]
    other = connect_async("memory:", todo().registry)
    with pytest.raises(Misuse, match="that is no follower"):
        other.projector.follow(object())  # type: ignore[arg-type]
    asyncio.run(other.close())
