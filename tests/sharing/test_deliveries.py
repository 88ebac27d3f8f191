"""Deliveries side by side: whoever answers that a position is folded has seen to it, whatever becomes of the others."""

from __future__ import annotations

import json
from collections import defaultdict
from functools import partial
from typing import cast

from eventsource_upstash import AsyncEventStore, AsyncProjectionStore, AsyncProjector, Memory
from eventsource_upstash._flow.sharing import LEASE, Sharing
from eventsource_upstash._io.blocking import PORT, run
from eventsource_upstash._io.port import Port
from eventsource_upstash.backends.kafka.backend import Kafka
from eventsource_upstash.domain.positions import join
from eventsource_upstash.ports import Log
from eventsource_upstash.testing.pausing import Pauses, SteppingPort, pausing
from eventsource_upstash.testing.stepping import Endings, World, explore
from eventsource_upstash.web.endpoint import Handling, Request, Response
from tests.kafka.memory_topic import MemoryTopic
from tests.sharing.support import Clock, Game, Scored, app, in_partition, kafka


class Still(Kafka):
    """A topic that answers at once: only what is asked of the views is a step."""

    def log(self, port: Port) -> Log:
        return super().log(PORT)


class Scene:
    """A topic of two partitions with two events in each, and deliveries that fold one event at a time."""

    def __init__(self, *, after: bool) -> None:
        self.clock = Clock()
        self.game = Game(index=False)
        self.topic = MemoryTopic("game", 2)
        self.views = Memory()
        self.plain = app(self.game, Kafka(self.topic, views=self.views), self.clock)
        self.after = after
        self.model: defaultdict[str, list[int]] = defaultdict(list)
        self.last = 0
        run(self.plain.projector.flow.catch_up(None, None))  # that there are two parts is noted
        for partition in (0, 1):
            (player,) = in_partition(self.plain, partition)
            for number in range(2):
                self.last = join(self.last, self.plain.event_store.append(player, Scored(number)).position)
                self.model[player].append(number)

    def projector(self) -> AsyncProjector:
        backend = Still(self.topic, views=pausing(self.views, after=self.after))
        store = AsyncProjectionStore(backend, self.game.registry, clock=self.clock)
        assert store.partitions is not None
        store.partitions.port = SteppingPort(Pauses(after=False, inside=True))
        events = AsyncEventStore(backend, self.game.registry, clock=self.clock)
        return AsyncProjector(events, store, page_size=1, clock=self.clock)

    async def deliver(self, position: int) -> Response:
        projector = self.projector()
        handling = Handling(
            projector.flow, projector.event_store.notifier.flow, None, None, 1e9, transport=None, public=False
        )
        return await handling.handle(Request("POST", "http://x/", {}, json.dumps({"position": position}).encode()))

    def folded(self) -> dict[str, tuple[int, ...]]:
        view = self.plain.projection_store.view(self.game.players)
        return {key: player.folded for key, player in view.items()}

    def check(self, endings: Endings) -> None:
        folded = self.folded()
        for player, points in self.model.items():
            # Each event once and in order, as far as it goes; all of them, where anybody said so.
            assert folded.get(player, ()) == tuple(points)[: len(folded.get(player, ()))]
        answers = [cast("Response", ending.returned) for ending in endings.values() if ending.ok]
        if any(answer.status == 200 for answer in answers):
            assert folded == {player: tuple(points) for player, points in self.model.items()}
        if not self.after and not any(ending.crashed for ending in endings.values()):
            assert {answer.status for answer in answers} == {200}  # else the sender may have to try again


def world(after: bool, *, held: str | None = None) -> World:
    scene = Scene(after=after)
    if held is not None:
        run(Sharing(scene.views.views(PORT, scene.views.log(PORT)), scene.clock, "gone").visit([held]))
    (first, *_), (second, *_) = [in_partition(scene.plain, partition) for partition in (0, 1)]
    tokens = {"a": position_of(scene, 0), "b": position_of(scene, 1)}
    assert first != second
    return World({name: scene.deliver(position) for name, position in tokens.items()}, scene.check)


def position_of(scene: Scene, partition: int) -> int:
    from eventsource_upstash.domain.positions import position_at

    return position_at(partition, 2)


def test_two_deliveries_in_every_order_leave_nothing_unfolded() -> None:
    assert explore(partial(world, False), switches=2).schedules > 300


def test_a_delivery_that_crashes_amid_its_lease_holds_up_nobody() -> None:
    assert explore(partial(world, False), switches=0, crashes=1).crashes > 20


def test_a_lost_answer_loses_and_doubles_nothing() -> None:
    assert explore(partial(world, True), switches=0, lost_answers=1).lost_answers > 20


def test_a_lease_of_somebody_who_is_gone_is_not_waited_for() -> None:
    assert explore(partial(world, False, held="1"), switches=1).schedules > 20


def test_a_catch_up_waits_for_who_goes_on_and_does_not_fold_it_again() -> None:
    """Another one holds a partition and folds it page by page: nothing of it is folded here."""
    scene = Scene(after=False)
    other = app(scene.game, Kafka(scene.topic, views=scene.views), scene.clock)
    other.projector.flow = type(other.projector.flow)(
        other.projection_store.views, scene.game.registry, scene.clock, 1, other.projection_store.partitions
    )
    run(Sharing(scene.views.views(PORT, scene.views.log(PORT)), scene.clock, "other").visit(["1"]))

    class Waits:
        """Sleeping lets the other one fold a page."""

        slept = 0

        async def sleep(self, seconds: float, *_: object) -> None:
            self.slept += 1
            await folding.catch_up(position_of(scene, 1) - 2 + self.slept, None, reach)

    parting = other.projector.flow.parting
    assert parting is not None
    folding = parting.folding(1)
    partitions = other.projection_store.partitions
    assert partitions is not None
    part = partitions.part(scene.game.players, 1, 2)  # type: ignore[arg-type]
    from eventsource_upstash._flow.passes import Reach

    reach = Reach((part,))
    projector = scene.projector()
    assert projector.projection_store.partitions is not None
    waits = Waits()
    projector.projection_store.partitions.port = cast("Port", waits)
    catching = projector.flow.catch_up(None, None)
    answered = None
    try:
        while True:
            catching.send(None)
    except StopIteration as stop:
        answered = stop.value
    assert answered.complete
    assert answered.applied == 2  # those of partition 0
    assert waits.slept == 2
    assert scene.folded() == {player: tuple(points) for player, points in scene.model.items()}


def test_less_than_a_page_is_folded_without_asking_who_else_does() -> None:
    game, views = Game(), Memory()
    one = app(game, kafka(2, views))
    one.event_store.append("player-1", Scored(1))
    assert one.projector.catch_up().complete
    assert not [each for each in views._state.builds if each.name == "~shares"]
    assert LEASE > 0
