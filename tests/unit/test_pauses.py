"""Whoever stays tries again after a pause that grows, and says the same trouble once, until it went well."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from typing import Any, cast

import pytest

from eventsource_upstash import Misuse, Unavailable
from eventsource_upstash._flow import delivering, running
from eventsource_upstash._flow.delivering import MAX_IDLE, Delivered, Delivering
from eventsource_upstash._io.blocking import run
from eventsource_upstash._io.port import Port, Signal
from eventsource_upstash.domain.events import CatchUp


class Napping:
    """A port that notes how long it is asked to sleep, and stops after so many times."""

    def __init__(self, naps: int) -> None:
        self.stop = Signal()
        self.slept: list[float] = []
        self._naps = naps

    async def sleep(self, seconds: float, wake: Signal | None = None, since: int = 0) -> None:
        self.slept.append(seconds)
        if len(self.slept) == self._naps:
            self.stop.set()


def raising(steps: Sequence[Exception | None]) -> Callable[..., Any]:
    """What raises these, one after another."""
    left = iter(steps)

    async def step(*_: object) -> CatchUp:
        error = next(left)
        if error is not None:
            raise error
        return CatchUp(0, 0, 0, complete=True)

    return step


class Folding:
    def __init__(self, steps: Sequence[Exception | None]) -> None:
        self.catch_up = raising(steps)


def caused() -> Exception:
    error = Unavailable("not now")
    error.__cause__ = OSError("the line")
    return error


TROUBLES = [caused(), Unavailable("not now"), Unavailable("gone"), ValueError("odd"), None, None, Unavailable("gone")]


def told(caplog: pytest.LogCaptureFixture) -> list[tuple[str, object]]:
    """Each line, and the exception whose trace stands below it."""
    return [(each.getMessage(), each.exc_info[1] if each.exc_info else None) for each in caplog.records]


def check_told(caplog: pytest.LogCaptureFixture) -> None:
    first, second, third, fourth = told(caplog)
    assert (first[0], repr(first[1])) == ("not now", "OSError('the line')")
    assert second == ("gone", None)  # an error of the library's own tells all in its line
    assert (third[0], repr(third[1])) == ("odd", "ValueError('odd')")
    assert fourth == ("gone", None)  # news again, since it went well meanwhile


def test_the_pause_of_a_worker_doubles_with_each_failure_and_is_short_again_after_a_success(
    caplog: pytest.LogCaptureFixture,
) -> None:
    port = Napping(len(TROUBLES))
    folding = cast("Any", Folding(TROUBLES))
    run(running.run(folding, None, cast("Port", port), Signal(), port.stop, 0.5))
    assert port.slept == [1.0, 2.0, 4.0, 8.0, 0.5, 0.5, 1.0]
    check_told(caplog)


def test_no_pause_of_a_worker_is_longer_than_the_longest() -> None:
    port = Napping(40)
    folding = cast("Any", Folding([Unavailable("not now")] * 40))
    run(running.run(folding, None, cast("Port", port), Signal(), port.stop, 0.5))
    assert port.slept[:7] == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    assert set(port.slept[7:]) == {30.0}
    assert running.pause_after(10, 0.001) == running.pause_after(11, 0.001) == 1.024


class Deliveries(Delivering):
    """Delivers nothing: each round ends as it is told to."""

    def __init__(self, steps: Sequence[Exception | None], due: datetime | None = None) -> None:
        self.steps = iter(steps)
        self.due = due

    @property
    def now_us(self) -> int:
        return 1_000_000_000_000

    async def deliver_due(self, stop: Signal | None = None, limit: int | None = None) -> Delivered:
        error = next(self.steps)
        if error is not None:
            raise error
        return Delivered(0, 0, 0, self.due, 0)


def test_the_pause_of_a_deliverer_doubles_with_each_failure_and_is_short_again_after_a_success(
    caplog: pytest.LogCaptureFixture,
) -> None:
    port = Napping(len(TROUBLES))
    run(Deliveries(TROUBLES).run(cast("Port", port), Signal(), port.stop, 0.5))
    assert port.slept == [1.0, 2.0, 4.0, 8.0, 0.5, 0.5, 1.0]
    check_told(caplog)


def test_a_schedule_that_cannot_be_told_slows_no_delivery_down() -> None:
    port = Napping(3)
    run(Deliveries([Misuse("no such zone")] * 3).run(cast("Port", port), Signal(), port.stop, 0.5))
    assert port.slept == [0.5, 0.5, 0.5]


@pytest.mark.parametrize(("in_seconds", "slept"), [(0.125, 0.125), (-3, 0.0), (0, 0.0), (100, 0.5)])
def test_a_deliverer_sleeps_until_the_next_message_is_due(in_seconds: float, slept: float) -> None:
    port = Napping(1)
    due = datetime.fromtimestamp(1_000_000 + in_seconds, timezone.utc)
    run(Deliveries([None], due).run(cast("Port", port), Signal(), port.stop, 0.5))
    assert port.slept == [slept]


def test_a_deliverer_looks_now_and_then_however_long_it_might_sleep() -> None:
    port = Napping(2)
    run(Deliveries([None, Unavailable("not now")]).run(cast("Port", port), Signal(), port.stop, 1e9))
    assert port.slept == [MAX_IDLE, MAX_IDLE]


def test_what_nobody_delivers_is_looked_for_once_a_minute() -> None:
    looking = Deliveries([])
    looking._looked_us = None
    left = delivering.LEFT_US
    assert looking._to_look(5)
    assert [looking._to_look(at) for at in (5, 6, 4 + left, 5 + left, 5 + left, 4)] == [
        False, False, False, True, False, True,
    ]  # fmt: skip
