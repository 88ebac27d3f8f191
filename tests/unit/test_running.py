"""A worker that folds: what it logs, how long it sleeps and what ends its sleep, and when it does not sleep at all."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, cast

import pytest

from eventsource_upstash import Misuse, Unavailable
from eventsource_upstash._flow.running import check_poll_interval, pause_after, run
from eventsource_upstash._io import blocking
from eventsource_upstash._io.port import Signal


class Worker:
    """A worker whose looks at the log do what the test says, and which is stopped after the last of them.

    Attributes:
        slept: The pauses, each with whether something was set since it looked.
        done: What it did, in order.
    """

    def __init__(self, *looks: Callable[[], object]) -> None:
        self.looks = list(looks)
        self.wake = Signal()
        self.stop = Signal()
        self.slept: list[tuple[float, bool]] = []
        self.done: list[str] = []

    async def catch_up(self, until: int | None, time_budget: float | None) -> object:
        assert (until, time_budget) == (None, None)
        self.done.append("look")
        return self.looks.pop(0)()

    async def go(self) -> object:
        return await self.catch_up(None, None)

    async def end(self) -> None:
        self.done.append("end")

    async def sleep(self, seconds: float, wake: Signal, since: int) -> None:
        assert wake is self.wake
        self.slept.append((seconds, wake.count != since))
        self.done.append("sleep")
        if not self.looks:
            before = wake.count
            self.stop.set()
            assert wake.count == before + 1, "whoever stops it ends its sleep"

    def run(self, poll_interval: float = 1.0, *, shift: bool = False) -> None:
        this = cast("Any", self)
        blocking.run(run(this, this if shift else None, this, self.wake, self.stop, poll_interval))
        assert self.looks == []


def well() -> None:
    """Nothing to be done."""


def failing(error: Exception) -> Callable[[], None]:
    def look() -> None:
        raise error

    return look


def test_each_new_trouble_is_logged_once_whether_it_has_a_text_or_not(caplog: pytest.LogCaptureFixture) -> None:
    away, cause = Unavailable("away"), OSError("refused")
    away.__cause__ = cause
    silent, bug = failing(ConnectionError()), failing(ZeroDivisionError("a bug"))
    looks = [silent, silent, failing(away), failing(away), silent, well, silent, bug, well]
    Worker(*looks).run()
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (logging.ERROR, ""),
        (logging.ERROR, "away"),
        (logging.ERROR, ""),
        (logging.ERROR, ""),
        (logging.ERROR, "a bug"),
    ]
    told = [record.exc_info and record.exc_info[1] for record in caplog.records]
    assert [type(each) for each in told] == [
        ConnectionError,
        OSError,
        ConnectionError,
        ConnectionError,
        ZeroDivisionError,
    ]


def test_it_sleeps_as_long_as_it_is_told_and_longer_while_it_fails() -> None:
    trouble = failing(Unavailable("away"))
    worker = Worker(trouble, trouble, trouble, well, trouble)
    worker.run(0.5)
    assert [seconds for seconds, _ in worker.slept] == [1.0, 2.0, 4.0, 0.5, 1.0]
    patient = Worker(well, trouble, well)
    patient.run(60.0)
    assert [seconds for seconds, _ in patient.slept] == [60.0, 30.0, 60.0]
    assert pause_after(100, 1.0) == 30.0
    assert pause_after(100, 0.001) == 1.024


def test_what_is_set_while_it_looks_ends_its_sleep_and_nothing_else_does() -> None:
    worker = Worker(well)
    worker.looks += [worker.wake.set, well]
    worker.run()
    assert [woken for _, woken in worker.slept] == [False, True, False]


def test_in_a_shift_it_goes_on_without_a_pause_as_long_as_there_is_more_and_hands_over_in_the_end() -> None:
    worker = Worker(lambda: True, lambda: True, lambda: False, failing(Unavailable("away")), lambda: False)
    worker.run(shift=True)
    assert worker.done == ["look", "look", "look", "sleep", "look", "sleep", "look", "sleep", "end"]
    alone = Worker(lambda: True, lambda: True)
    alone.run()
    assert alone.done == ["look", "sleep", "look", "sleep"], "what a catch-up answers is no word that there is more"


def test_who_is_stopped_before_it_begins_looks_at_nothing() -> None:
    worker = Worker()
    worker.stop.set()
    worker.run(shift=True)
    assert worker.done == ["end"]


@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_what_is_no_pause_between_two_looks(seconds: float) -> None:
    with pytest.raises(Misuse, match=r"^poll_interval=.*: it is a number of seconds above 0$"):
        check_poll_interval(seconds)
    with pytest.raises(Misuse, match=r"^poll_interval="):
        Worker().run(seconds)
