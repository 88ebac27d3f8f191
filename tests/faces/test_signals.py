"""A signal wakes sleepers of either colour, from any thread, and none is missed."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, TypeAlias

import pytest

from eventsource_upstash import Signal
from eventsource_upstash._io import blocking, event_loop

HOUR = 3600.0

Tracer: TypeAlias = "Callable[[FrameType, str, Any], Tracer | None]"  # Any: as `sys.settrace` has it


def test_a_signal_counts_how_often_it_was_set() -> None:
    signal = Signal()
    assert (signal.raised, signal.count) == (False, 0)
    signal.set()
    signal.set()
    assert (signal.raised, signal.count) == (True, 2)


def test_a_listener_is_called_once() -> None:
    signal, calls = Signal(), list[int]()
    assert signal.listen(lambda: calls.append(1), 0)
    signal.set()
    signal.set()
    assert calls == [1]


def test_a_listener_that_comes_too_late_is_told_so() -> None:
    signal, calls = Signal(), list[int]()
    signal.set()
    assert not signal.listen(lambda: calls.append(1), 0)
    assert signal.listen(lambda: calls.append(2), 1)
    signal.set()
    assert calls == [2]


def test_a_listener_that_was_taken_back_is_not_called() -> None:
    signal, calls = Signal(), list[int]()

    def listener() -> None:
        calls.append(1)

    signal.listen(listener, 0)
    signal.forget(listener)
    signal.forget(listener)
    signal.set()
    assert calls == []


def test_a_listener_may_use_the_signal_itself() -> None:
    # As a handler of the operating system's signals does, which interrupts its own thread.
    signal, calls = Signal(), list[int]()

    def listener() -> None:
        calls.append(signal.count)
        if len(calls) < 3:
            signal.listen(listener, signal.count)
            signal.set()

    signal.listen(listener, 0)
    signal.set()
    assert calls == [1, 2, 3]


def sleep_blocking(signal: Signal, since: int = 0) -> None:
    blocking.run(blocking.PORT.sleep(HOUR, signal, since))


def sleep_on_a_loop(signal: Signal, since: int = 0) -> None:
    async def sleep() -> None:
        await event_loop.PORT.sleep(HOUR, signal, since)

    asyncio.run(sleep())


@pytest.mark.parametrize("sleep", [sleep_blocking, sleep_on_a_loop])
def test_a_sleeper_is_not_put_to_sleep_by_a_signal_that_was_set(sleep: Callable[[Signal], None]) -> None:
    signal = Signal()
    signal.set()
    sleep(signal)


@pytest.mark.parametrize("sleep", [sleep_blocking, sleep_on_a_loop])
def test_any_number_of_sleepers_wake(sleep: Callable[[Signal], None]) -> None:
    signal = Signal()
    sleepers = [threading.Thread(target=sleep, args=(signal,)) for _ in range(8)]
    for sleeper in sleepers:
        sleeper.start()
    # Whether they sleep already or not: nobody is missed.
    signal.set()
    for sleeper in sleepers:
        sleeper.join()
    assert signal._wakers == []


def test_sleepers_of_both_colours_share_a_signal() -> None:
    signal = Signal()
    sleepers = [
        threading.Thread(target=sleep, args=(signal,)) for sleep in (sleep_blocking, sleep_on_a_loop) for _ in range(3)
    ]
    for sleeper in sleepers:
        sleeper.start()
    signal.set()
    for sleeper in sleepers:
        sleeper.join()
    assert signal._wakers == []


def setting(signal: Signal, left: list[int]) -> Tracer:
    """Sets a signal when so many lines have been run, and once."""

    def trace(frame: FrameType, event: str, arg: object) -> Tracer:
        left[0] -= 1
        if left[0] == -1:
            signal.set()
        return trace

    return trace


def test_a_handler_may_set_a_signal_at_any_line_of_a_sleep() -> None:
    # A handler of the operating system's signals runs between two steps of the thread that it interrupts, whatever lock
    # that holds. Here it runs at each line of a sleep in turn, of this library and of the standard one.
    set_at = 0
    while True:
        signal = Signal()

        before = sys.gettrace()
        sys.settrace(setting(signal, [set_at]))
        try:
            blocking.run(blocking.PORT.sleep(0, signal))
        finally:
            sys.settrace(before)
        assert signal._wakers == []
        if not signal.raised:
            break
        set_at += 1
    assert set_at > 20  # a look at every line, not at none


def test_sleeping_without_a_signal_ends_by_itself() -> None:
    blocking.run(blocking.PORT.sleep(0))
    blocking.run(blocking.PORT.sleep(0, Signal()))

    async def sleep() -> None:
        await event_loop.PORT.sleep(0)
        await event_loop.PORT.sleep(0, Signal())

    asyncio.run(sleep())


def test_a_sleeper_that_is_cancelled_listens_no_longer() -> None:
    signal = Signal()

    async def cancel() -> None:
        sleeper = asyncio.ensure_future(event_loop.PORT.sleep(HOUR, signal))
        while not signal._wakers:  # noqa: ASYNC110  # nothing tells that it sleeps
            await asyncio.sleep(0)
        sleeper.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sleeper

    asyncio.run(cancel())
    assert signal._wakers == []
    signal.set()


def test_a_signal_that_is_set_after_its_loop_was_closed() -> None:
    signal = Signal()
    loop = asyncio.new_event_loop()
    sleeper = loop.create_task(event_loop.PORT.sleep(HOUR, signal))
    while not signal._wakers:
        loop.run_until_complete(asyncio.sleep(0))
    wakers = list(signal._wakers)
    sleeper.cancel()
    loop.run_until_complete(asyncio.gather(sleeper, return_exceptions=True))
    loop.close()
    for wake in wakers:
        wake()  # as by a thread that took it from the list just before
    signal.set()
