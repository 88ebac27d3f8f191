"""What views in parts cost: a step for each part that is touched, and no more than one to see that nothing is new."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import TypeVar, cast

import pytest

from eventsource_upstash import AsyncWorker, Memory, Unavailable, connect_async
from eventsource_upstash._io.blocking import PORT
from eventsource_upstash._io.port import Port
from eventsource_upstash.ports import Log, Views
from eventsource_upstash.testing import BackendWrapper
from tests.kafka.memory_topic import MemoryTopic
from tests.sharing.support import Clock, Game, Scored, app, in_partition, kafka, names

T = TypeVar("T")


class Steps(BackendWrapper):
    """Counts what is asked of the views."""

    def __init__(self) -> None:
        super().__init__(Memory())
        self.steps: Counter[str] = Counter()

    async def around(self, call: str, step: Callable[[], Awaitable[T]]) -> T:
        self.steps[call.removeprefix("views.")] += 1
        return await step()


def test_what_is_asked_of_the_views_and_of_the_topic() -> None:
    steps, game = Steps(), Game()
    backend = kafka(4, steps)
    topic = cast("MemoryTopic", backend.topic)
    one = app(game, backend)
    for name in names(20):
        one.event_store.append(name, Scored(1))
    one.projector.catch_up()
    view = one.projection_store.view(game.players)
    view.get("player-1")  # from here on it is known how many parts there are

    def asked(doing: Callable[[], object]) -> tuple[dict[str, int], dict[str, int]]:
        steps.steps.clear()
        topic.calls.clear()
        doing()
        return dict(steps.steps), dict(Counter(topic.calls))

    same = [*in_partition(one, 1, 2)]
    assert asked(lambda: view.get("player-1")) == ({"get_many": 1}, {})
    assert asked(lambda: view.get_many(same)) == ({"get_many": 1}, {})
    assert asked(lambda: view.get_many(names(20))) == ({"get_many": 4}, {})
    assert asked(lambda: list(view.items())) == ({"items": 4}, {})
    assert asked(view.count) == ({"count": 4}, {})
    assert asked(lambda: view.index("score").top(3)) == ({"find": 4}, {})
    assert asked(lambda: view.index("score").rank("player-1")) == ({"get_many": 1, "count": 8}, {})
    assert asked(one.projector.catch_up) == ({"progress": 1}, {"partitions": 2, "bounds": 1})
    token = one.event_store.append("player-1", Scored(1)).position
    used, read = asked(lambda: view.get("player-1", at_least=token))
    assert used == {"get_many": 2, "progress": 2, "load": 1, "commit": 1}
    assert read["fetch"] <= 2
    one.event_store.append("player-1", Scored(1))
    used, _ = asked(one.projector.catch_up)
    assert used == {"progress": 2, "load": 1, "commit": 1}


def test_what_is_asked_of_the_parts_to_look_after_them() -> None:
    steps, game = Steps(), Game(on_error="park")
    one = app(game, kafka(3, steps))
    bad = in_partition(one, 1)[0]
    game.bad.add(bad)
    one.event_store.append(bad, Scored(1))
    one.projector.catch_up()

    def asked(doing: Callable[[], object]) -> dict[str, int]:
        steps.steps.clear()
        doing()
        return dict(steps.steps)

    assert asked(lambda: list(one.projector.parked(game.players))) == {"progress": 3, "load": 2}
    assert asked(lambda: list(one.projector.parked(game.players, key=bad))) == {"progress": 1, "load": 2}
    for doing in (one.projector.retry_parked, one.projector.discard_parked):
        assert asked(lambda doing=doing: doing(game.players, key="player-1")) == {"progress": 1}  # type: ignore[misc]
    game.bad.clear()
    one.projector.retry_parked(game.players)
    one.projector.rebuild(game.players)
    assert asked(lambda: one.projector.drop_generations(game.players)) == {"progress": 3, "drop": 3}


def test_a_read_of_one_document_folds_its_part_alone() -> None:
    steps, game = Steps(), Game()
    one = app(game, kafka(3, steps))
    keys = [in_partition(one, number)[0] for number in range(3)]
    view = one.projection_store.view(game.players)
    for key in keys * 2:
        one.event_store.append(key, Scored(1))
    one.projector.catch_up()
    for key in keys:
        one.event_store.append(key, Scored(1))
    steps.steps.clear()
    found = view.get(keys[1], at_least=one.event_store.head())
    assert found is not None
    assert found.score == 3
    assert steps.steps["commit"] == 1
    assert [each.score for each in view.get_many(keys).values()] == [2, 3, 2]


def test_what_works_on_a_partition_is_opened_once() -> None:
    """Views may learn what they would have to ask for anew: how the names of large sets are stored, on Redis."""

    ports: list[Port] = []

    class Opened(BackendWrapper):
        def views(self, port: Port, log: Log) -> Views:
            ports.append(port)
            return super().views(port, log)

    game, opened = Game(on_error="park"), Opened(Memory())
    one = app(game, kafka(3, opened))
    for name in names(9):
        one.event_store.append(name, Scored(1))
    for _ in range(2):
        one.projector.catch_up()
        one.projector.rebuild(game.players)
        one.projector.retry_parked(game.players)
        one.projector.drop_generations(game.players)
    assert ports == [PORT] * 4  # of the whole log, and of each partition


def test_a_worker_with_nothing_to_do_looks_at_the_table_and_at_how_far_its_parts_are() -> None:
    steps, game = Steps(), Game()
    one = app(game, kafka(4, steps))
    flow = one.projector.flow
    assert flow.parting is not None
    from eventsource_upstash._io.blocking import run

    shift = flow.parting.shift(flow, one.registry.subscriptions, 1.0)
    run(shift.go())
    steps.steps.clear()
    run(shift.go())
    assert steps.steps == {"records": 1, "progress": 1}
    run(shift.end())


class Slow(BackendWrapper):
    """Every answer waits until as many have been asked for as there are parts; one of them may fail."""

    def __init__(self, parts: int) -> None:
        super().__init__(Memory())
        self.parts = parts
        self.asked = 0
        self.most = 0
        self.ended = 0
        self.fails = False
        self.on = False
        self.all = asyncio.Event()

    async def around(self, call: str, step: Callable[[], Awaitable[T]]) -> T:
        if not self.on:
            return await step()
        self.asked += 1
        self.most = max(self.most, self.asked)
        try:
            if self.asked == self.parts:
                self.all.set()
            await self.all.wait()
            if self.fails:
                self.fails = False
                raise Unavailable("not this part")
            await asyncio.sleep(0)
            return await step()
        finally:
            self.ended += 1


def test_in_an_event_loop_the_parts_are_asked_side_by_side() -> None:
    async def main() -> None:
        slow, game = Slow(4), Game()
        one = connect_async(kafka(4, slow), game.registry, clock=Clock())
        for name in names(12):
            await one.event_store.append(name, Scored(1))
        await one.projector.catch_up()
        view = one.projection_store.view(game.players)
        await view.get("player-1")
        slow.on = True
        assert await view.count() == 12
        assert slow.most == 4
        slow.asked = slow.ended = 0
        slow.all.clear()
        slow.fails = True
        with pytest.raises(Unavailable, match="not this part"):
            await view.count()
        assert slow.ended == 4  # nobody is left behind
        await one.close()

    asyncio.run(main())


def test_a_worker_in_an_event_loop_shares_and_hands_over() -> None:
    async def main() -> None:
        game, backend, clock = Game(), kafka(4), Clock()
        one = connect_async(backend, game.registry, clock=clock)
        other = connect_async(backend, game.registry, clock=clock)
        worker: AsyncWorker
        async with one.worker(poll_interval=0.01) as worker, other.worker(poll_interval=0.01):
            for name in names(12):
                await one.event_store.append(name, Scored(1))
            assert await one.projection_store.view(game.players).count(at_least=await one.event_store.head()) == 12
            await worker.stop()
            late = await one.event_store.append("player-1", Scored(2))
            seen = await other.projection_store.view(game.players).get("player-1", at_least=late.position)
            assert seen is not None
            assert seen.folded == (1, 2)
        await one.close()

    asyncio.run(main())
