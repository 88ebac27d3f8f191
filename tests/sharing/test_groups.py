"""A consumer group in the place of leases, its coordinator driven by hand.

A real broker does the same; to join its group takes the one that the tests have some twenty seconds each time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import confluent_kafka
import pytest
from confluent_kafka import KafkaError, TopicPartition

from eventsource_upstash import Memory, Misuse, NativeTopic, Refused, Registry, Unavailable, connect
from eventsource_upstash._io.blocking import PORT, run
from eventsource_upstash._io.port import Port
from eventsource_upstash.backends.kafka.backend import Kafka
from eventsource_upstash.backends.kafka.native.group import Member
from tests.kafka.memory_topic import MemoryTopic, MemoryTopicClient
from tests.sharing.support import Clock
from tests.sharing.test_workers import PLAYERS, Model, Process

Callback = Callable[[Any, "list[TopicPartition]"], None]


class Coordinator:
    """Shares partitions among consumers. What it says reaches a consumer when that polls."""

    def __init__(self, partitions: int) -> None:
        self.partitions = partitions
        self.members: list[Consumer] = []
        self.broken: KafkaError | None = None

    def share(self) -> None:
        for index, member in enumerate(self.members):
            member.told = [each for each in range(self.partitions) if each % len(self.members) == index]


class Message:
    def __init__(self, error: KafkaError) -> None:
        self._error = error

    def error(self) -> KafkaError:
        return self._error


class Consumer:
    """As much of confluent-kafka's as a member uses."""

    coordinator: Coordinator

    def __init__(self, settings: dict[str, object]) -> None:
        self.settings = settings
        self.told: list[int] | None = None
        self.has: list[int] = []
        self.paused: list[int] = []
        self.closed = False

    def subscribe(self, topics: list[str], on_assign: Callback, on_revoke: Callback, on_lost: Callback) -> None:
        self.assign_to, self.revoke_from = on_assign, on_revoke
        self.coordinator.members.append(self)
        self.coordinator.share()

    def poll(self, timeout: float) -> Message | None:
        if self.coordinator.broken is not None:
            return Message(self.coordinator.broken)
        if self.told is not None and self.told != self.has:
            told, self.told = self.told, None
            if self.has:
                self.revoke_from(self, [TopicPartition("game", each) for each in self.has])
            self.has = told
            self.assign_to(self, [TopicPartition("game", each) for each in told])
        return None

    def assign(self, partitions: list[TopicPartition]) -> None:
        self.paused = []

    def unassign(self) -> None:
        self.paused = []

    def pause(self, partitions: list[TopicPartition]) -> None:
        self.paused = [each.partition for each in partitions]

    def close(self) -> None:
        self.closed = True
        self.coordinator.members.remove(self)
        self.coordinator.share()


class GroupedClient(MemoryTopicClient):
    def membership(self) -> Member:
        member = NativeTopic("127.0.0.1:1", "game", group="workers").client(PORT).membership()
        assert member is not None
        return member


class GroupedTopic(MemoryTopic):
    def client(self, port: Port) -> MemoryTopicClient:
        return GroupedClient(self, port)


@pytest.fixture
def coordinator(monkeypatch: pytest.MonkeyPatch) -> Coordinator:
    coordinator = Coordinator(4)
    monkeypatch.setattr(confluent_kafka, "Consumer", Consumer)
    monkeypatch.setattr(Consumer, "coordinator", coordinator, raising=False)
    return coordinator


def member() -> Member:
    found = NativeTopic("127.0.0.1:1", "game", group="workers").client(PORT).membership()
    assert found is not None
    return found


ALL = ["0", "1", "2", "3", "*"]


def test_the_brokers_say_whose_a_partition_is_and_nothing_is_read_by_it(coordinator: Coordinator) -> None:
    one, other = member(), member()
    assert run(one.tend(ALL)) == set(ALL)
    assert run(other.tend(ALL)) == {"1", "3"}
    assert run(one.tend(ALL)) == {"0", "2", "*"}
    for consumer in coordinator.members:
        assert consumer.paused == consumer.has
        assert consumer.settings["group.id"] == "workers"
        assert consumer.settings["enable.auto.commit"] is False
    run(one.leave())
    assert run(other.tend(ALL)) == set(ALL)
    run(other.leave())
    assert coordinator.members == []


def test_a_group_that_cannot_be_joined_is_told(coordinator: Coordinator) -> None:
    coordinator.broken = KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED, "no", False, False, False)
    with pytest.raises(Refused):
        run(member().tend(ALL))
    for code in (KafkaError._FATAL, KafkaError.GROUP_AUTHORIZATION_FAILED):
        coordinator.broken = KafkaError(code, "no", code == KafkaError._FATAL, False, False)
        with pytest.raises(Unavailable, match="group 'workers' cannot be joined"):
            run(member().tend(ALL))


def test_a_name_that_no_group_can_have_is_refused() -> None:
    with pytest.raises(Misuse, match="group is 1 to 249"):
        NativeTopic("127.0.0.1:1", "game", group="no group")
    assert NativeTopic("127.0.0.1:1", "game").client(PORT).membership() is None


def test_a_url_names_a_group() -> None:
    for end, grouped in (("", False), ("&group=workers", True)):
        app = connect(f"kafka://127.0.0.1:1/game?views=memory:{end}", Registry())
        partitions = app.projection_store.partitions
        assert partitions is not None
        assert (partitions.membership() is not None) is grouped
        app.close()


def test_a_rebalance_during_a_commit_loses_and_doubles_nothing(
    coordinator: Coordinator, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend, clock, model = Kafka(GroupedTopic("game", 4), views=Memory()), Clock(), Model()
    one, other = Process(backend, clock), Process(backend, clock)
    for player in PLAYERS:
        model.append(one.app, player)
    amid = 0
    fold = type(one.game.players).fold

    def slowly(*arguments: Any) -> Any:
        """Once its page is read, the brokers take the partition away, and the other one folds it."""
        nonlocal amid
        if arguments[0].types is one.game.registry.types and amid < 3:
            amid += 1
            other.round()
        return fold(*arguments)

    monkeypatch.setattr(type(one.game.players), "fold", slowly)
    for process in (one, one, other, one, other):
        process.round()
    assert amid == 3
    model.check(one)
    one.leave()
    for player in PLAYERS:
        model.append(one.app, player)
    other.round()
    model.check(other)
