"""What each action costs: its receipt is what the local Upstash counted, and within the bounds that are promised."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import msgspec
import pytest

from eventsource_upstash import EventStore, ProjectionStore, Projector, Registry
from eventsource_upstash._flow.passes import Reach
from eventsource_upstash._io.port import Port
from eventsource_upstash.backends.qstash import QStash
from eventsource_upstash.backends.redis import UpstashRedis, pulling
from eventsource_upstash.backends.redis.log import ROLL_AT
from eventsource_upstash.backends.redis.scripts import Script
from eventsource_upstash.backends.redis.views import RedisViews
from eventsource_upstash.domain.codec import encode_tags
from eventsource_upstash.domain.events import ANY, Appended, Receipt
from eventsource_upstash.domain.queries import AppendCondition, Query, QueryItem
from eventsource_upstash.local import LocalUpstash
from eventsource_upstash.local.qstash.clock import Clock
from eventsource_upstash.ports import Append, Commit, Committed, Log, Pull, Snapshot, Unmet, Views
from eventsource_upstash.testing.colours import Colour, Face, settled

NOWHERE = "http://127.0.0.1/projections"


@dataclass(frozen=True)
class TaskCreated:
    id: str
    text: str = "Do the dishes!"


@dataclass(frozen=True)
class TaskCompleted:
    id: str


@dataclass(frozen=True)
class TaskDeleted:
    id: str


@dataclass(frozen=True)
class Task:
    id: str
    text: str
    done: bool = False


def created(_: Task | None, event: TaskCreated) -> Task | None:
    return Task(event.id, event.text)


def completed(task: Task | None, _: TaskCompleted) -> Task | None:
    return task and replace(task, done=True)


def deleted(_task: Task | None, _: TaskDeleted) -> Task | None:
    return None


def registry_of(*names: str) -> Registry:
    registry = Registry()
    for event in (TaskCreated, TaskCompleted, TaskDeleted):
        registry.event(event.__name__)(event)
    for name in names:
        tasks = registry.projection(name, Task)
        tasks.on(TaskCreated, key="id")(created)
        tasks.on(TaskCompleted, key="id")(completed)
        tasks.on(TaskDeleted, key="id")(deleted)
    return registry


@pytest.fixture(scope="module")
def server() -> Iterator[LocalUpstash]:
    # One of its own: a test that flushes another one's scripts would add a request here. Its clock stands still, and
    # each delivery is lost: nothing is sent anywhere, or tried again.
    with LocalUpstash(clock=Clock(frozen_at=1_800_000_000_000)) as running:
        running.faults.add("lose-delivery", count=None)
        yield running


_numbers = itertools.count(1)


class Counted:
    """What the local Upstash counts for one namespace, which is also the caller's name."""

    def __init__(self, server: LocalUpstash) -> None:
        self.name = f"costs-{next(_numbers)}"
        self._server = server
        self._before = self._now()

    def backend(self, *, token: str | None = None, roll_at: int = ROLL_AT) -> UpstashRedis:
        return UpstashRedis(
            self._server.redis_url,
            token or self._server.token_for(self.name),
            namespace=self.name,
            total_timeout=60.0,
            roll_at=roll_at,
        )

    def qstash(self) -> QStash:
        token = self._server.environment()["QSTASH_TOKEN"]
        return QStash(NOWHERE, token=token, url=self._server.qstash_url, namespace=self.name)

    def _now(self) -> Mapping[str, int]:
        metrics = self._server.metrics()
        numbers = dict(metrics["redis"].get(self.name, {}))
        for name, number in metrics["qstash"]["total"].items():
            numbers[f"qstash:{name}"] = number
        return numbers

    def spent(self) -> Receipt:
        """Since the last time that it was asked."""
        now = self._now()
        since = {name: number - self._before.get(name, 0) for name, number in now.items()}
        self._before = now
        return Receipt(
            since.get("requests", 0) + since.get("qstash:requests", 0),
            since.get("commands", 0),
            since.get("bytes_in", 0) + since.get("qstash:bytes_in", 0),
            since.get("bytes_out", 0) + since.get("qstash:bytes_out", 0),
        )


def check(receipt: Receipt, counted: Receipt, *, requests: int, commands: int) -> None:
    """The receipt is what was counted, no more and no less; and it is within the bounds."""
    assert replace_retries(receipt) == counted, "the receipt is not what was counted"
    within(receipt, requests=requests, commands=commands)


def within(receipt: Receipt, *, requests: int, commands: int) -> None:
    assert receipt.requests == requests, f"{receipt.requests} requests, not {requests}"
    assert 1 <= receipt.commands <= commands, f"{receipt.commands} commands, above {commands}"


def replace_retries(receipt: Receipt) -> Receipt:
    """What was sent again is counted as any other request by the one who gets it."""
    return Receipt(receipt.requests, receipt.commands, receipt.bytes_sent, receipt.bytes_received)


def minus(one: Receipt, other: Receipt) -> Receipt:
    return Receipt(
        one.requests - other.requests,
        one.commands - other.commands,
        one.bytes_sent - other.bytes_sent,
        one.bytes_received - other.bytes_received,
    )


@pytest.fixture(scope="module", autouse=True)
def _scripts_are_there(server: LocalUpstash) -> None:
    """A script costs one more request, and one more command, when the server sees it for the first time."""
    face = Face(Colour.BLOCKING, Counted(server).backend(), registry_of("tasks"))

    async def warm_up() -> None:
        await face.append("task-1", TaskCreated("1"))
        await face.catch_up()
        await face.append("task-1", TaskCompleted("1"))
        await face.catch_up()
        await face.items(face.app.registry.projections[0])
        await face.read()
        await face.read_stream("task-1")
        log = face.app.event_store.flow.log
        await log.settle(0)
        await log.keep("task-1", Snapshot("n", 1, b"{}"))
        await log.read(0, 1, 1, Query((QueryItem(tags=frozenset(["a"])),)))

    Colour.BLOCKING.run(warm_up())


@pytest.fixture
def counted(server: LocalUpstash) -> Counted:
    return Counted(server)


@pytest.fixture(params=list(Colour), ids=lambda colour: colour.value)
def colour(request: pytest.FixtureRequest) -> Colour:
    found = request.param
    assert isinstance(found, Colour)
    return found


def tasks_of(numbers: Sequence[int]) -> list[TaskCreated]:
    return [TaskCreated(str(number), f'"Dishes", número {number}') for number in numbers]


async def fill(face: Face, numbers: Sequence[int]) -> None:
    for event in tasks_of(numbers):
        await face.append(f"task-{event.id}", event)


# Appends.


@pytest.mark.parametrize("events", [1, 100])
def test_an_append_costs_one_request_and_six_commands(colour: Colour, counted: Counted, events: int) -> None:
    """Whatever is written with the events, and however many they are."""
    face = Face(colour, counted.backend(), registry_of("tasks"))

    async def scenario() -> None:
        if events > 1:
            await face.append("first", *tasks_of([0]))
            counted.spent()
        first = await face.append("list", *tasks_of(range(events)), expected_revision=0)
        check(first.receipt, counted.spent(), requests=1, commands=6)
        again = await face.append(
            "list",
            *tasks_of(range(events)),
            expected_revision=events,
            metadata={"user": "me"},
            tags=[f"list:{number}" for number in range(5)],
            idempotency_key="k",
        )
        check(again.receipt, counted.spent(), requests=1, commands=6)
        await face.close()

    colour.run(scenario())


def test_several_events_that_begin_a_log_cost_one_command_more(counted: Counted) -> None:
    face = Face(Colour.BLOCKING, counted.backend(), registry_of("tasks"))

    async def scenario() -> None:
        first = await face.append("list", *tasks_of(range(3)))
        check(first.receipt, counted.spent(), requests=1, commands=7)

    Colour.BLOCKING.run(scenario())


def test_an_append_with_a_key_costs_nothing_more(colour: Colour, counted: Counted) -> None:
    face = Face(colour, counted.backend(), registry_of("tasks"))

    async def scenario() -> None:
        once = await face.append("task-1", TaskCreated("1"), idempotency_key="a", tags=("home",))
        check(once.receipt, counted.spent(), requests=1, commands=6)
        plain = await face.append("task-2", TaskCreated("2"), idempotency_key="b")
        check(plain.receipt, counted.spent(), requests=1, commands=6)
        twice = await face.append("task-1", TaskCreated("1"), idempotency_key="a", tags=("home",))
        assert twice.repeated
        check(twice.receipt, counted.spent(), requests=1, commands=2)
        await face.close()

    colour.run(scenario())


def test_a_notification_that_is_owed_costs_one_request_and_no_command(colour: Colour, counted: Counted) -> None:
    face = Face(colour, counted.backend(), registry_of("tasks"), counted.qstash())

    async def scenario() -> None:
        owing = await face.append("task-1", TaskCreated("1"))
        assert owing.owes_notification
        check(owing.receipt, counted.spent(), requests=2, commands=6)
        silent = await face.append("task-2", TaskCreated("2"))
        assert not silent.owes_notification
        check(silent.receipt, counted.spent(), requests=1, commands=6)
        await face.close()

    colour.run(scenario())


def test_what_an_append_costs_does_not_depend_on_the_streams_last_event(counted: Counted) -> None:
    """Its bytes on the wire least of all: the engine does not even read that event."""
    face = Face(Colour.BLOCKING, counted.backend(), registry_of("tasks"))

    async def scenario() -> None:
        await face.append("list", TaskCreated("1"))
        await face.append("list", TaskCreated("2", "x" * 1_000_000))
        counted.spent()
        check((await face.append("list", TaskCreated("3"))).receipt, counted.spent(), requests=1, commands=6)

    Colour.BLOCKING.run(scenario())


# Conditions, queries and snapshots. The receipts are those of the port.


def tagged(number: int, *tags: str, type: str = "t", condition: AppendCondition | None = None) -> Append:
    encoded = encode_tags(tags)
    return Append(
        "s", ANY, [(type, 1, b"{}")], 1_800_000_000_000_000 + number, number, tags=encoded, condition=condition
    )


def item(types: Sequence[str] = (), tags: Sequence[str] = ()) -> QueryItem:
    return QueryItem(frozenset(types), frozenset(tags))


QUERIED: Final = {
    "a tag": (Query((item(tags=["z"]),)), 1),
    "three tags, nothing under the first": (Query((item(tags=["0", "b", "c"]),)), 1),
    "three tags, something under the first": (Query((item(tags=["a", "b", "z"]),)), 2),
    "two types": (Query((item(["x", "y"]),)), 2),
    "two types and a tag": (Query((item(["x", "y"], ["a"]),)), 2),
    "two items": (Query((item(["x"]), item(tags=["b", "z"]))), 3),
    "every event": (Query((item(),)), 0),
}
"""Queries that find nothing, and their commands."""


@pytest.mark.parametrize("name", QUERIED)
def test_a_condition_costs_no_request_and_as_many_commands_as_it_says(
    colour: Colour, counted: Counted, name: str
) -> None:
    log = counted.backend().log(colour.port)
    query, commands = QUERIED[name]

    async def scenario() -> None:
        for number in range(20):
            await log.append(tagged(number, "a", "b", "c"))
        counted.spent()
        met = await log.append(tagged(20, condition=AppendCondition(query, 20 if name == "every event" else 0)))
        assert isinstance(met, Appended)
        check(met.receipt, counted.spent(), requests=1, commands=6 + commands)
        assert met.receipt.commands == 6 + commands
        nothing = await log.append(tagged(21, condition=AppendCondition(query, 21)))
        assert isinstance(nothing, Appended)
        check(nothing.receipt, counted.spent(), requests=1, commands=6)
        unmet = await log.append(tagged(22, condition=AppendCondition(Query((item(tags=["a", "b", "c"]),)), 3)))
        assert isinstance(unmet, Unmet)
        check(unmet.receipt, counted.spent(), requests=1, commands=5)

    colour.run(scenario())


def test_a_query_costs_one_request_and_a_command_for_each_event_far_from_the_one_before(counted: Counted) -> None:
    log = counted.backend().log(Colour.BLOCKING.port)

    async def scenario() -> None:
        for number in range(200):
            await log.append(tagged(number, *(["few"] if number % 20 == 0 else ["many"]), type="t"))
        counted.spent()
        for query, found, commands in (
            (Query((item(tags=["few"]),)), 10, 2 + 1 + 10),
            (Query((item(["t"]),)), 200, 2 + 1 + 1),
            (Query((item(["t"], ["few"]),)), 10, 2 + 2 + 10),
            (Query((item(tags=["nobody"]),)), 0, 2 + 1),
        ):
            page = await log.read(0, 1_000, 1_000_000, query)
            assert (len(page.events), page.reached) == (found, 200)
            check(page.receipt, counted.spent(), requests=1, commands=commands)
            assert page.receipt.commands == commands
        check((await log.read(200, 10, 1_000, query)).receipt, counted.spent(), requests=1, commands=2)

    Colour.BLOCKING.run(scenario())


def test_a_query_goes_by_the_word_that_is_rarest(counted: Counted) -> None:
    log = counted.backend().log(Colour.BLOCKING.port)

    async def scenario() -> None:
        for number in range(3):
            tags = [encode_tags(("a-often", "z-rare") if index == 999 else ("a-often",)) for index in range(1_000)]
            events = [("t", 1, b"{}")] * 1_000
            await log.append(Append("s", ANY, events, 1_800_000_000_000_000 + number, number * 10_000, tags=tags))
        counted.spent()
        page = await log.read(0, 10, 1_000, Query((item(["t"], ["a-often", "z-rare"]),)))
        assert [row[0] for row in page.events] == [1_000, 2_000, 3_000]
        check(page.receipt, counted.spent(), requests=1, commands=2 + 2 + 1 + 3)

    Colour.BLOCKING.run(scenario())


def test_a_page_of_a_query_has_bounded_commands(counted: Counted) -> None:
    log = counted.backend().log(Colour.BLOCKING.port)

    async def scenario() -> None:
        for number in range(200):
            events = [("t", 1, b"{}")] * 20
            tags = [encode_tags(("few",)) if index == 7 else None for index in range(20)]
            await log.append(Append("s", ANY, events, 1_800_000_000_000_000 + number, number * 100, tags=tags))
        for limit, pages in ((1_000, 2), (50, 4)):
            after, found = 0, 0
            for _ in range(pages):
                page = await log.read(after, limit, 1_000_000, Query((item(tags=["few"]),)))
                assert page.receipt.requests == 1
                assert page.receipt.commands <= 3 + len(page.events) <= 160
                assert page.reached is not None
                after = page.reached
                found += len(page.events)
            assert found == 200

    Colour.BLOCKING.run(scenario())


def test_a_condition_that_reaches_back_costs_a_command_for_each_key_of_the_log(counted: Counted) -> None:
    """And one more request where the log was cut since the last look at it."""
    backend = counted.backend(roll_at=1_000)
    log = backend.log(Colour.BLOCKING.port)
    never = Query((item(tags=["never"]),))

    async def scenario() -> None:
        number = 0
        while len(backend._archives.cuts) < 6:
            number += 1
            await log.append(tagged(number))
        keys = len(backend._archives.cuts) + 1
        counted.spent()
        for first in (True, False):
            other = log if first else counted.backend(roll_at=1_000).log(Colour.BLOCKING.port)
            near = await other.append(tagged(100 + 2 * (not first), condition=AppendCondition(never, number)))
            assert isinstance(near, Appended)
            check(near.receipt, counted.spent(), requests=1, commands=6 + 1)
            far = await other.append(tagged(101 + 2 * (not first), condition=AppendCondition(never, 0)))
            assert isinstance(far, Appended)
            check(far.receipt, counted.spent(), requests=1 if first else 2, commands=6 + keys + 2 * (not first))
            found = await other.read(0, 1_000, 1_000_000, never)
            assert found.reached == found.head
            check(found.receipt, counted.spent(), requests=1, commands=2 + keys)

    Colour.BLOCKING.run(scenario())


def test_a_snapshot_costs_nothing_more(colour: Colour, counted: Counted) -> None:
    log = counted.backend().log(colour.port)

    async def scenario() -> None:
        await log.append(tagged(1))
        counted.spent()
        kept = await log.append(msgspec.structs.replace(tagged(2), snapshot=Snapshot("n", 2, b"state")))
        assert isinstance(kept, Appended)
        check(kept.receipt, counted.spent(), requests=1, commands=6)
        page = await log.read_stream("s", 0, 10, 1_000, "n")
        assert page.snapshot == Snapshot("n", 2, b"state")
        check(page.receipt, counted.spent(), requests=1, commands=2)
        await log.append(tagged(3))
        counted.spent()
        page = await log.read_stream("s", 0, 10, 1_000, "n")
        assert len(page.events) == 1
        check(page.receipt, counted.spent(), requests=1, commands=3)
        check(await log.keep("s", Snapshot("n", 3, b"state")), counted.spent(), requests=1, commands=3)
        check(await log.keep("s", Snapshot("n", 1, b"state")), counted.spent(), requests=1, commands=2)

    colour.run(scenario())


# Catch-up.


def test_a_page_over_existing_documents_costs_three_requests_and_at_most_ten_commands(
    colour: Colour, counted: Counted
) -> None:
    face = Face(colour, counted.backend(), registry_of("tasks"))

    async def scenario() -> None:
        await fill(face, range(20))
        await face.catch_up()
        for number in range(20):
            await face.append(f"task-{number}", TaskCompleted(str(number)))
        counted.spent()
        caught_up = await face.catch_up()
        assert caught_up.applied == 20
        check(caught_up.receipt, counted.spent(), requests=3, commands=10)
        await face.close()

    colour.run(scenario())


def test_a_page_with_new_and_deleted_documents_costs_three_requests_and_at_most_twelve_commands(
    colour: Colour, counted: Counted
) -> None:
    face = Face(colour, counted.backend(), registry_of("tasks"))

    async def scenario() -> None:
        await fill(face, range(20))
        await face.catch_up()
        await fill(face, range(20, 40))
        for number in range(10):
            await face.append(f"task-{number}", TaskDeleted(str(number)))
            await face.append(f"task-{10 + number}", TaskCompleted(str(10 + number)))
        counted.spent()
        caught_up = await face.catch_up()
        assert caught_up.applied == 40
        check(caught_up.receipt, counted.spent(), requests=3, commands=12)
        assert await face.count(face.app.registry.projections[0]) == 30
        await face.close()

    colour.run(scenario())


def test_the_commands_of_a_page_do_not_depend_on_its_events_or_documents(counted: Counted) -> None:
    """Up to a thousand documents: beyond that the engine takes them in several commands."""
    face = Face(Colour.BLOCKING, counted.backend(), registry_of("tasks"))

    async def scenario() -> None:
        costs: list[int] = []
        for events in (1, 10, 1_000):
            await face.append(f"list-{events}", *tasks_of(range(events * 10, events * 11)))
            costs.append((await face.catch_up()).receipt.commands)
        assert len(set(costs)) == 1, costs

    Colour.BLOCKING.run(scenario())


@pytest.mark.parametrize("settles", [True, False], ids=["a notification is outstanding", "none is"])
def test_each_further_page_costs_two_requests_and_at_most_ten_commands(counted: Counted, settles: bool) -> None:
    face = Face(Colour.BLOCKING, counted.backend(), registry_of("tasks"), counted.qstash() if settles else None)

    async def scenario() -> None:
        receipts: list[Receipt] = []
        for pages in (1, 2, 5):
            await fill(face, range(pages * 100, pages * 110))
            counted.spent()
            caught_up = await face.catch_up(page_size=10)
            assert caught_up.applied == 10 * pages
            # Counted once: the page that a commit answers is in the commit's receipt.
            assert caught_up.receipt == counted.spent()
            receipts.append(caught_up.receipt)
        one, two, five = receipts
        within(minus(two, one), requests=2, commands=10)
        within(minus(five, two), requests=3 * 2, commands=3 * 10)

    Colour.BLOCKING.run(scenario())


def test_pages_within_one_large_append_cost_one_command_more_at_most(counted: Counted) -> None:
    """The page that ends within an entry is looked for by its events first, and then by its entry."""
    face = Face(Colour.BLOCKING, counted.backend(), registry_of("tasks"))

    async def scenario() -> None:
        await face.append("list", *tasks_of(range(20)))
        counted.spent()
        two = await face.catch_up(page_size=10)
        assert two.receipt == counted.spent()
        await face.append("list", *tasks_of(range(100, 150)))
        counted.spent()
        five = await face.catch_up(page_size=10)
        assert five.receipt == counted.spent()
        assert (two.applied, five.applied) == (20, 50)
        within(minus(five.receipt, two.receipt), requests=3 * 2, commands=3 * 10)
        await face.append("list", *tasks_of(range(200, 210)))
        counted.spent()
        check((await face.catch_up()).receipt, counted.spent(), requests=3, commands=12)
        assert [event.position for event in await face.read(limit=15)] == list(range(1, 16))
        assert [event.revision for event in await face.read_stream("list", after_revision=15, limit=15)] == list(
            range(16, 31)
        )

    Colour.BLOCKING.run(scenario())


def test_to_have_nothing_to_do_costs_one_request_and_at_most_three_commands(colour: Colour, counted: Counted) -> None:
    face = Face(colour, counted.backend(), registry_of("tasks"))

    async def scenario() -> None:
        check((await face.catch_up()).receipt, counted.spent(), requests=1, commands=3)
        await fill(face, range(3))
        await face.catch_up()
        counted.spent()
        check((await face.catch_up()).receipt, counted.spent(), requests=1, commands=3)
        await face.close()

    colour.run(scenario())


def test_nothing_to_do_settles_a_notification_within_the_same_bounds(counted: Counted) -> None:
    registry = registry_of("tasks")
    face = Face(Colour.BLOCKING, counted.backend(), registry, counted.qstash())
    silent = Face(Colour.BLOCKING, counted.backend(), registry)

    async def scenario() -> None:
        await face.append("task-1", TaskCreated("1"))
        only = silent.app.projector.flow
        await only.catch_up(None, None, Reach(registry.projections))  # some projections only: that settles nothing
        counted.spent()
        check((await face.catch_up()).receipt, counted.spent(), requests=1, commands=3)
        assert (await face.append("task-2", TaskCreated("2"))).owes_notification

    Colour.BLOCKING.run(scenario())


def test_each_further_projection_costs_no_request_and_at_most_six_commands(server: LocalUpstash) -> None:
    async def cost_of(projections: int) -> tuple[Receipt, Receipt]:
        counted = Counted(server)
        face = Face(
            Colour.BLOCKING, counted.backend(), registry_of(*(f"tasks-{index}" for index in range(projections)))
        )
        await fill(face, range(20))
        await face.catch_up()
        await fill(face, range(20, 40))
        for number in range(10):
            await face.append(f"task-{number}", TaskDeleted(str(number)))
            await face.append(f"task-{10 + number}", TaskCompleted(str(10 + number)))
        counted.spent()
        caught_up = await face.catch_up()
        assert caught_up.receipt == counted.spent()
        nothing = await face.catch_up()
        assert nothing.receipt == counted.spent()
        return caught_up.receipt, nothing.receipt

    async def scenario() -> None:
        (one, idle), (two, _), (five, idle_five) = [await cost_of(projections) for projections in (1, 2, 5)]
        assert one.requests == two.requests == five.requests == 3
        assert two.commands - one.commands <= 6
        assert five.commands - one.commands <= 4 * 6
        assert idle_five.requests == idle.requests == 1
        assert idle_five.commands - idle.commands <= 4 * 6

    Colour.BLOCKING.run(scenario())


# Reads. The faces answer documents, so the receipts are those of the port.


def test_reads_of_documents_cost_one_request_and_one_command(colour: Colour, counted: Counted) -> None:
    backend = counted.backend()
    registry = registry_of("tasks")
    face = Face(colour, backend, registry)
    tasks = registry.projections[0]
    store = backend.views(colour.port, backend.log(colour.port))

    async def scenario() -> None:
        await fill(face, range(300))
        await face.catch_up()
        view = face.app.projection_store.view(tasks)
        counted.spent()
        check((await store.get_many(tasks.id, ["7"], 0)).receipt, counted.spent(), requests=1, commands=1)
        assert await settled(view.get("7")) is not None
        within(counted.spent(), requests=1, commands=1)
        got = await store.get_many(tasks.id, [str(number) for number in range(250, 350)], 0)
        assert len(got.documents) == 50
        check(got.receipt, counted.spent(), requests=1, commands=1)
        assert len(await settled(view.get_many(["1", "2"]))) == 2
        within(counted.spent(), requests=1, commands=1)
        found = await store.count(tasks.id, None, 0)
        assert found.count == 300
        check(found.receipt, counted.spent(), requests=1, commands=1)
        assert await face.count(tasks) == 300
        within(counted.spent(), requests=1, commands=1)
        await face.close()

    colour.run(scenario())


def test_a_page_of_a_listing_costs_one_request_and_at_most_three_commands(colour: Colour, counted: Counted) -> None:
    backend = counted.backend()
    registry = registry_of("tasks")
    face = Face(colour, backend, registry)
    tasks = registry.projections[0]
    store = backend.views(colour.port, backend.log(colour.port))

    async def scenario() -> None:
        await fill(face, range(20))
        await face.catch_up()
        counted.spent()
        for after, found in ((None, 10), ("18", 9), ("9", 0)):
            page = await store.items(tasks.id, after, 10, 1_000_000, 0)
            assert len(page.documents) == found
            check(page.receipt, counted.spent(), requests=1, commands=3)
        for limit, found in ((10, 10), (100, 20), (None, 20)):
            assert len(await face.items(tasks, limit=limit)) == found
            within(counted.spent(), requests=1, commands=3)
        await face.close()

    colour.run(scenario())


def test_reads_of_the_log_cost_one_request_a_page(counted: Counted) -> None:
    backend = counted.backend()
    face = Face(Colour.BLOCKING, backend, registry_of("tasks"))
    log = backend.log(Colour.BLOCKING.port)

    async def scenario() -> None:
        await face.append("list", *tasks_of(range(20)))
        counted.spent()
        check((await log.read(0, 1_000, 1_000_000)).receipt, counted.spent(), requests=1, commands=3)
        check((await log.read_stream("list", 0, 1_000, 1_000_000)).receipt, counted.spent(), requests=1, commands=3)
        check((await log.head())[1], counted.spent(), requests=1, commands=2)
        check((await log.settle(20))[1], counted.spent(), requests=1, commands=3)

    Colour.BLOCKING.run(scenario())


# What is sent again.


@pytest.mark.parametrize(
    ("fault", "unseen"),
    [
        ("lose-answer", 5),  # what the script had called stood in the answer that was lost
        ("lose-request", -1),  # here it is not billed; whether the service bills it is not known
        ("error-500", -1),
    ],
)
def test_what_is_sent_again_is_on_the_receipt(server: LocalUpstash, counted: Counted, fault: str, unseen: int) -> None:
    face = Face(Colour.BLOCKING, counted.backend(), registry_of("tasks"))

    async def scenario() -> None:
        await face.append("task-1", TaskCreated("1"), expected_revision=0)
        counted.spent()
        struck = server.faults.add(fault, half="redis")
        receipt = (await face.append("task-1", TaskCompleted("1"), expected_revision=1)).receipt
        assert struck.struck == 1
        assert (receipt.requests, receipt.retries) == (2, 1)
        assert counted.spent().commands == receipt.commands + unseen

    Colour.BLOCKING.run(scenario())


# Guards: a wrong count does not go unnoticed.


def test_guard_a_command_that_a_script_does_not_count_is_found(
    counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = pulling.PULL.text.replace("calls = calls + 1\nreturn redis.call", "return redis.call")
    assert text != pulling.PULL.text
    monkeypatch.setattr(pulling, "PULL", Script("pull", text))
    face = Face(Colour.BLOCKING, counted.backend(), registry_of("tasks"))

    async def scenario() -> None:
        await face.catch_up()  # the server does not know the script yet
        counted.spent()
        with pytest.raises(AssertionError, match="not what was counted"):
            check((await face.catch_up()).receipt, counted.spent(), requests=1, commands=3)

    Colour.BLOCKING.run(scenario())


def test_guard_an_action_that_costs_more_than_promised_is_found(
    counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = pulling.PULL.text.replace(
        "local records, views = {}, {}\n", "local records, views = {}, {}\n" + "call('GET', KEYS[1])\n" * 3
    )
    assert text != pulling.PULL.text
    monkeypatch.setattr(pulling, "PULL", Script("pull", text))
    face = Face(Colour.BLOCKING, counted.backend(), registry_of("tasks"))

    async def scenario() -> None:
        await face.catch_up()
        counted.spent()
        with pytest.raises(AssertionError, match="commands, above 3"):
            check((await face.catch_up()).receipt, counted.spent(), requests=1, commands=3)

    Colour.BLOCKING.run(scenario())


class _CountsTwice(RedisViews):
    """Adds what the page cost that a commit answers, though the commit's receipt holds it already."""

    async def commit(self, commits: Sequence[Commit], then: Pull | None) -> Committed:
        committed = await super().commit(commits, then)
        assert committed.pulled is not None
        return committed._replace(receipt=committed.receipt + committed.pulled.receipt)


class _CountingTwice(UpstashRedis):
    def views(self, port: Port, log: Log) -> Views:
        return _CountsTwice(self.transport(port), self._keys, log, self._archives)


def test_guard_a_page_that_is_counted_twice_is_found(server: LocalUpstash, counted: Counted) -> None:
    backend = _CountingTwice(server.redis_url, server.token_for(counted.name), namespace=counted.name)
    registry = registry_of("tasks")
    store = EventStore(backend, registry)
    store.append("list", *tasks_of(range(20)))
    projector = Projector(store, ProjectionStore(backend, registry), page_size=10)
    counted.spent()
    with pytest.raises(AssertionError, match="not what was counted"):
        check(projector.catch_up().receipt, counted.spent(), requests=5, commands=100)
