"""The state machine of a whole app, on the Redis backend: in both colours, and with faults on the wire."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from typing import ClassVar, TypeVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule, run_state_machine_as_test

from eventsource_upstash import EventSourceError
from eventsource_upstash._io.port import HttpRequest, HttpResponse, Port, Signal
from eventsource_upstash.backends.redis import UpstashRedis, commits, log
from eventsource_upstash.backends.redis.scripts import Script
from eventsource_upstash.local import LocalUpstash
from eventsource_upstash.ports import Backend, Log, Views
from eventsource_upstash.testing import BackendWrapper
from eventsource_upstash.testing.colours import Colour
from tests.properties.machine import AppMachine
from tests.searching import thorough

T = TypeVar("T")

KINDS = ("lose-answer", "lose-request", "duplicate", "error-500", "error-429", "cut-answer")

MOST_IN_A_ROW = 3
"""With the two of `misbehave` this is less than the attempts that the transport makes before it gives up."""


class Wire:
    """What is to go wrong with each request that writes: else the many reads of the invariants meet it all."""

    def __init__(self, upstash: LocalUpstash) -> None:
        self.upstash = upstash
        self.plan: list[str | None] = []
        self.in_a_row = 0

    def about_to_send(self, body: bytes) -> None:
        if self.plan and any(script.sha.encode() in body for script in (log.APPEND, commits.COMMIT)):
            kind = self.plan.pop(0)
            if kind is None or self.in_a_row == MOST_IN_A_ROW or self.upstash.faults:
                self.in_a_row = 0
            else:
                self.in_a_row += 1
                self.upstash.faults.add(kind, half="redis")


class Sleepless:
    """A port whose pauses take no time: what is tried again is tried at once."""

    def __init__(self, port: Port, wire: Wire) -> None:
        self._port = port
        self._wire = wire

    async def send(self, request: HttpRequest) -> HttpResponse:
        self._wire.about_to_send(request.body)
        return await self._port.send(request)

    async def call(self, work: Callable[[], T]) -> T:
        return await self._port.call(work)

    async def sleep(self, seconds: float, wake: Signal | None = None, since: int = 0) -> None:
        return


class Awake(BackendWrapper):
    """A backend that never sleeps."""

    def __init__(self, inner: Backend, wire: Wire) -> None:
        super().__init__(inner)
        self._wire = wire
        self._ports: dict[int, Sleepless] = {}

    def _awake(self, port: Port) -> Port:
        return self._ports.setdefault(id(port), Sleepless(port, self._wire))

    def log(self, port: Port) -> Log:
        return super().log(self._awake(port))

    def views(self, port: Port, log: Log) -> Views:
        return super().views(self._awake(port), log)


class OnRedis(AppMachine):
    """Each example in a namespace of its own; small keys, so that they roll over on the way."""

    colour = Colour.BLOCKING
    upstash: ClassVar[LocalUpstash]

    def open_backend(self) -> Backend:
        self.namespace = secrets.token_hex(8)
        self.wire = Wire(self.upstash)
        return self.reopened()

    def reopened(self) -> Backend:
        redis = UpstashRedis(
            self.upstash.redis_url, self.upstash.redis_token, namespace=self.namespace, roll_at=600, total_timeout=60.0
        )
        return Awake(redis, self.wire)


class OnRedisInAnEventLoop(OnRedis):
    colour = Colour.EVENT_LOOP


class OnAnUnreliableWire(OnRedis):
    """Much of what goes over the wire goes wrong. No caller notices, and nothing is done twice or lost."""

    tries_again = True

    @initialize(plan=st.lists(st.none() | st.sampled_from(KINDS), min_size=10, max_size=40))
    def plan(self, plan: list[str | None]) -> None:
        self.wire.plan = plan

    @rule(kind=st.sampled_from(KINDS), skip=st.integers(0, 12), count=st.integers(1, 2))
    def misbehave(self, kind: str, skip: int, count: int) -> None:
        if not self.upstash.faults:
            self.upstash.faults.add(kind, half="redis", skip=skip, count=count)

    def teardown(self) -> None:
        self.upstash.faults.clear()
        super().teardown()


class OnAnUnreliableWireInAnEventLoop(OnAnUnreliableWire):
    colour = Colour.EVENT_LOOP


def _settings(examples: int) -> settings:
    return settings(
        max_examples=examples, stateful_step_count=20, print_blob=True, suppress_health_check=list(HealthCheck)
    )


@pytest.fixture(scope="module")
def own_upstash() -> Iterator[LocalUpstash]:
    """One that no other test is told of: it misbehaves."""
    with LocalUpstash() as running:
        yield running


@pytest.mark.parametrize(
    ("machine", "examples"),
    [(OnRedis, 8), (OnRedisInAnEventLoop, 4), (OnAnUnreliableWire, 20), (OnAnUnreliableWireInAnEventLoop, 6)],
    ids=lambda each: each.__name__ if isinstance(each, type) else "",
)
def test_the_app_is_what_the_model_says(machine: type[OnRedis], examples: int, own_upstash: LocalUpstash) -> None:
    machine.upstash = own_upstash
    run_state_machine_as_test(machine, settings=_settings(examples * thorough()))


def test_the_machine_finds_an_append_that_does_not_know_itself(
    own_upstash: LocalUpstash, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sent again after its answer was lost, or doubled on the way, it is written twice."""
    text = log.APPEND.text.replace("== identity", "== ''")
    assert text != log.APPEND.text
    monkeypatch.setattr(log, "APPEND", Script("append", text))
    OnAnUnreliableWire.upstash = own_upstash
    searching = settings(_settings(100), derandomize=True, phases=[Phase.generate], database=None, print_blob=False)
    with pytest.raises((AssertionError, EventSourceError)):
        run_state_machine_as_test(OnAnUnreliableWire, settings=searching)
