"""Appends and catch-ups over each dialect, in every order and with a fault at every wait: every request is a step."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import pytest

from eventsource_upstash import AsyncEventStore, Memory, OutcomeUnknown, Signal, Unavailable
from eventsource_upstash._io.port import Port
from eventsource_upstash.backends.kafka import Kafka
from eventsource_upstash.backends.kafka.rest import Dialect, RestTopic
from eventsource_upstash.backends.kafka.rest.topic import RestClient
from eventsource_upstash.backends.kafka.rest.transport import Ask, RestTransport
from eventsource_upstash.backends.sending import Call, Trouble
from eventsource_upstash.ports import Backend
from eventsource_upstash.testing import Endings, ScheduleFailed, World, explore, pausing
from tests.kafka.memory_topic import MemoryTopic
from tests.kafka.rest.double import DIALECTS, doubled
from tests.stepping.subject import Paid, catch_up, check_view, checkpoints, stepped_projector, stepped_store, store
from tests.stepping.test_appends import insisting

Note = Callable[[str, object], None]

STREAMS: Final = ("a", "b", "c", "d")
"""In two partitions both have some of them."""


class Awake:
    """A topic over a port that does not sleep: a pause is no request, and nothing there can be lost or refused."""

    def __init__(self, topic: RestTopic) -> None:
        self.topic = topic
        self.name = topic.name
        self.atomic = topic.atomic

    def client(self, port: Port) -> RestClient:
        class Sleepless:
            send, call = port.send, port.call

            async def sleep(self, seconds: float, wake: Signal | None = None, since: int = 0) -> None:
                pass

        return self.topic.client(Sleepless())

    def close(self) -> None:
        self.topic.close()


class Stage:
    """A topic of two partitions with some events in it, reached over a dialect with pauses, and without from aside."""

    def __init__(self, dialect: Dialect, streams: Sequence[str] = STREAMS, *, lost: int = 0) -> None:
        self.topic = MemoryTopic(partitions=2, atomic=False)
        self.dialect = dialect
        _, self.port = doubled(self.topic, dialect)
        self.views = views = Memory()
        self.aside = Kafka(self.topic, views=views)
        for number, stream in enumerate(streams):
            store(self.aside).append(stream, Paid(number))
        if lost:
            self.port.before = self._losing(lost)

    @staticmethod
    def _losing(number: int) -> Callable[[int], None]:
        def before(sent: int) -> None:
            if sent == number:
                raise OutcomeUnknown("the request was lost, as the schedule says")

        return before

    def stepped(self) -> Backend:
        """Opened by another process, which knows nothing of what this one has learned about the cluster."""
        described, _ = doubled(self.topic, self.dialect)
        return pausing(Kafka(Awake(described), views=self.views), inside=True, outside=False, port=self.port)

    def appending(self) -> AsyncEventStore:
        return stepped_store(self.stepped())

    def written(self) -> Counter[int]:
        """How often each amount stands in the topic, whatever a reader makes of it."""
        return Counter([json.loads(record.value or b"")["data"]["amount"] for record in self.topic.records()])

    def check_folded(self) -> None:
        """The view is the fold of the log, and with another catch-up of all of it."""
        check_view(self.aside)
        catch_up(self.aside)
        check_view(self.aside)
        assert checkpoints(self.aside)["balances"] == store(self.aside).head()


def check_append(stage: Stage, endings: Endings, name: str, amount: int) -> None:
    """An append that returned is there once; one that did not is not there, unless it crashed."""
    ending, times = endings[name], stage.written()[amount]
    assert times <= 1, f"written {times} times"
    if ending.ok:
        assert times == 1, "it returned, and is not there"
        position = ending.returned.position  # type: ignore[attr-defined]
        (found,) = [each for each in store(stage.aside).read() if each.event == Paid(amount)]
        assert found.position == position, "it told another position"
    elif not ending.crashed:
        assert isinstance(ending.error, Unavailable), f"{ending.error!r}: what became of it could have been told"
        assert times == 0, "it said that nothing was written"


def an_append(dialect: Dialect, *, lost: int = 0, key: str | None = None) -> Callable[[], World]:
    def world() -> World:
        stage = Stage(dialect, lost=lost)

        def check(endings: Endings) -> None:
            check_append(stage, endings, "appending", 70)
            stage.check_folded()

        return World({"appending": stage.appending().append("a", Paid(70), idempotency_key=key)}, check)

    return world


def an_append_beside_a_catch_up(
    dialect: Dialect, streams: Sequence[str] = STREAMS, *, lost: int = 0
) -> Callable[[], World]:
    def world() -> World:
        stage = Stage(dialect, streams, lost=lost)

        def check(endings: Endings) -> None:
            check_append(stage, endings, "appending", 70)
            stage.check_folded()

        return World(
            {
                "appending": stage.appending().append("a", Paid(70)),
                "projecting": stepped_projector(stage.stepped(), page_size=3).catch_up(),
            },
            check,
        )

    return world


def two_appends_under_one_key(dialect: Dialect) -> Callable[[], World]:
    """Of a caller that crashed, and one that takes over: Kafka compares nothing, so the topic may hold it twice."""

    def world() -> World:
        stage = Stage(dialect)

        def check(endings: Endings) -> None:
            seen = [each.event for each in store(stage.aside).read()].count(Paid(70))
            assert seen == 1 if any(ending.ok for ending in endings.values()) else seen <= 1, f"seen {seen} times"
            stage.check_folded()

        def appending() -> Any:
            return insisting(lambda: stage.appending().append("a", Paid(70), idempotency_key="key-1"))

        return World({"first": appending(), "again": appending()}, check)

    return world


ALONE: Final[Mapping[str, Mapping[str, Any]]] = {
    "answers lost": {"lost_answers": 2},
    "refused": {"refusals": 2},
    "both": {"lost_answers": 1, "refusals": 1},
}
BESIDE: Final[Mapping[str, Mapping[str, Any]]] = {
    "in every order": {"switches": 1},
    "answers lost": {"switches": 0, "lost_answers": 1},
    "refused": {"switches": 0, "refusals": 1},
    "crashed": {"switches": 0, "crashes": 1},
}


def tried(world: Callable[[], World], bounds: Mapping[str, Any], least: int, note: Note) -> None:
    explored = explore(world, merging=True, **bounds)
    note("schedules", explored.schedules)
    print(explored)  # noqa: T201  how many schedules there were is part of the claim
    assert explored.schedules >= least


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("faults", ALONE)
def test_an_append_is_there_once_or_not_at_all_and_tells_which(
    dialect: Dialect, faults: str, record_property: Note
) -> None:
    tried(an_append(dialect), ALONE[faults], 5, record_property)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_an_append_under_a_key_likewise(dialect: Dialect, record_property: Note) -> None:
    tried(an_append(dialect, key="key-1"), {"lost_answers": 1}, 6, record_property)


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("faults", BESIDE)
def test_a_catch_up_beside_an_append_misses_nothing_and_folds_nothing_twice(
    dialect: Dialect, faults: str, record_property: Note
) -> None:
    tried(an_append_beside_a_catch_up(dialect), BESIDE[faults], 12, record_property)


def test_the_same_with_a_lost_answer_in_every_order(record_property: Note) -> None:
    tried(an_append_beside_a_catch_up("upstash"), {"switches": 1, "lost_answers": 1}, 200, record_property)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_requests_that_are_lost_on_their_way(dialect: Dialect) -> None:
    """They may have arrived, for all that the sender knows; and they have not."""
    for number in range(1, 40):
        for world in (an_append(dialect, lost=number), an_append_beside_a_catch_up(dialect, lost=number)):
            assert explore(world, switches=0).schedules <= 2


def test_a_key_is_seen_once_whoever_appends_it(record_property: Note) -> None:
    tried(two_appends_under_one_key("upstash"), {"switches": 1, "crashes": 1}, 100, record_property)


# --- the guards: what is wrong is found


def test_a_dialect_that_sends_an_append_again_blindly_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    proper = RestTransport.call

    def blind(transport: RestTransport, what: str, *, writes: bool = False) -> Call:
        return proper(transport, what)

    monkeypatch.setattr(RestTransport, "call", blind)
    for dialect in DIALECTS:
        with pytest.raises(ScheduleFailed, match="written 2 times"):
            explore(an_append(dialect), lost_answers=1)


def test_a_consumer_that_goes_on_after_a_lost_answer_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    proper = RestTransport.attempt

    async def careless(transport: RestTransport, call: Call, ask: Ask, *more: Any) -> Any:
        outcome = await proper(transport, call, ask, *more)
        return [] if isinstance(outcome, Trouble) and "/records?" in ask.path else outcome

    monkeypatch.setattr(RestTransport, "attempt", careless)
    with pytest.raises(ScheduleFailed, match="the view holds"):
        # In one partition more than the proxy answers at once.
        explore(an_append_beside_a_catch_up("confluent", "a" * 9), switches=0, lost_answers=1)
