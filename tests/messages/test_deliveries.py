"""What is told of a delivery: in the log, beside what was given up, and to other deliverers while it lasts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from eventsource_upstash import App, Job, Memory, Misuse, NotRetryable, Registry, RetryLater, Unavailable, connect
from eventsource_upstash._flow.delivering import Delivered, Delivering
from eventsource_upstash._flow.working import Jobs
from eventsource_upstash._io.blocking import PORT, BlockingPort, run
from eventsource_upstash._io.port import Signal
from eventsource_upstash.ports import Claimed, Message
from eventsource_upstash.testing import BackendWrapper
from tests.messages.test_messages import EIGHT, Answering, Broken, Clock, opened
from tests.reactors.support import Carrier


@pytest.fixture
def clock() -> Clock:
    return Clock()


def raising(error: BaseException) -> Callable[[Job], None]:
    def work(job: Job) -> None:
        raise error

    return work


@pytest.mark.parametrize(
    ("error", "kept", "logged"),
    [
        (RetryLater("busy", after=60), "RetryLater: busy", []),
        (NotRetryable("no such user"), "NotRetryable: no such user", []),
        (ArithmeticError("by\n zero"), "ArithmeticError: by zero", ["job /work failed with message a"]),
        (Broken(), "Broken: (its text cannot be made)", ["job /work failed with message a"]),
        (ArithmeticError("x" * 400), f"ArithmeticError: {'x' * 283}", ["job /work failed with message a"]),
    ],
)
def test_why_a_job_failed_is_kept_and_logged(
    error: Exception, kept: str, logged: list[str], clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    app = opened("memory:", clock, raising(error))
    app.messages.send("/work", retries=0, id="a")
    assert app.messages.deliver_due() == Delivered(0, 1, 1, None)
    assert [each.error for each in app.messages.dead()] == [kept]
    assert caplog.messages == [*logged, f"message a was given up after attempt 1: {kept}"]
    assert [each.exc_info[1] for each in caplog.records[:-1] if each.exc_info] == [error] * len(logged)


@pytest.mark.parametrize(
    ("answer", "kept", "logged"),
    [
        ((404, {}), "it was answered with status 404", []),
        (Misuse("no URL"), "Misuse: no URL", []),
        (Unavailable("down"), "Unavailable: down", []),
        (UnicodeError("label empty"), "UnicodeError: label empty", ["message m could not be sent"]),
    ],
)
def test_why_a_message_could_not_be_sent_is_kept_and_logged(
    answer: Any, kept: str, logged: list[str], clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    mailbox = Memory().mailbox(PORT)
    run(mailbox.put([Message("m", "https://example.com/hook", b"{}", retries=0)], clock.us))
    delivering = Delivering(mailbox, Jobs(awaits=None), Answering(answer), clock)
    assert run(delivering.deliver_due()) == Delivered(0, 1, 1, None)
    assert [each.error for each in run(mailbox.buried(9))] == [kept]
    assert caplog.messages == [*logged, f"message m was given up after attempt 1: {kept}"]
    assert [each.exc_info[1] for each in caplog.records[:-1] if each.exc_info] == [answer] * len(logged)


def test_a_delivery_that_is_tried_again_is_logged_with_the_pause(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    app = opened("memory:", clock, raising(RetryLater("busy", after=61)))
    app.messages.send("/work", id="a")
    app.messages.deliver_due()
    assert caplog.messages == ["message a was not delivered, attempt 1: RetryLater: busy; again in 61 s"]


def test_messages_are_claimed_one_at_a_time(clock: Clock) -> None:
    # The lease of one begins when its delivery does: meanwhile whoever else comes by may deliver the next.
    backend, got = Memory(), list[tuple[str, str]]()

    def first(job: Job) -> None:
        got.append(("first", job.id))
        clock.move(minutes=1)
        assert other.messages.deliver_due().delivered == 1

    app = opened(backend, clock, first)
    other = opened(backend, clock, lambda job: got.append(("other", job.id)))
    app.messages.send("/work", id="a")
    app.messages.send("/work", id="b")
    assert app.messages.deliver_due().delivered == 1
    assert got == [("first", "a"), ("other", "b")]


class Noting:
    """A mailbox that notes what is claimed, and until when, and what is tried again."""

    def __init__(self, inner: Any) -> None:  # Any: a mailbox
        self.inner = inner
        self.claims: list[tuple[int, int, dict[str, int]]] = []
        self.agains: list[tuple[str, int, str]] = []

    def __getattr__(self, name: str) -> Any:  # Any: of the mailbox
        return getattr(self.inner, name)

    async def claim(self, now_us: int, limit: int, places: dict[str, int]) -> list[Claimed]:
        self.claims.append((now_us, limit, places))
        found: list[Claimed] = await self.inner.claim(now_us, limit, places)
        return found

    async def again(self, claimed: Claimed, at_us: int, error: str) -> bool:
        self.agains.append((claimed.message.id, at_us, error))
        done: bool = await self.inner.again(claimed, at_us, error)
        return done


def test_nobody_else_is_handed_for_a_minute_what_is_being_given_up(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    mailbox = Noting(Memory().mailbox(PORT))
    run(mailbox.put([Message(f"m{number}", "/gone", b"") for number in range(3)], clock.us))
    clock.move(days=7)
    delivering = Delivering(mailbox, Jobs(awaits=None), PORT, clock)
    assert run(delivering.deliver_due()) == Delivered(0, 0, 3, None)
    put_us = round(EIGHT.timestamp()) * 1_000_000
    assert mailbox.claims[0] == (put_us, 100, {"/gone": clock.us + 60_000_000})
    assert caplog.messages[1:] == ["3 messages were given up: no process had the job /gone in a week"]
    assert {(each.error, each.buried_us) for each in run(mailbox.buried(9))} == {
        ("no process had the job /gone in a week", clock.us)
    }


def test_an_interrupted_delivery_is_noted_as_one(clock: Clock) -> None:
    app = opened("memory:", clock, raising(KeyboardInterrupt()))
    app.messages.send("/work", id="a")
    mailbox = Noting(app.backend.mailbox(PORT))
    delivering = Delivering(mailbox, app.jobs, PORT, clock)
    with pytest.raises(KeyboardInterrupt):
        run(delivering.deliver_due())
    assert mailbox.agains == [("a", clock.us + 12_182_494, "interrupted")]


class Failing:
    """A mailbox whose look at what is due fails, time after time."""

    def __init__(self, inner: Any, errors: list[Exception | None]) -> None:  # Any: a mailbox
        self.inner = inner
        self.errors = errors

    def __getattr__(self, name: str) -> Any:  # Any: of the mailbox
        return getattr(self.inner, name)

    async def next_due(self, places: Any) -> int | None:
        error = self.errors.pop(0)
        if error is not None:
            raise error
        return None


def test_each_new_trouble_of_a_deliverer_is_logged_once(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    stop, slept = Signal(), list[float]()
    cause, silent = OSError("cable"), ValueError()
    caused = Unavailable("down")
    caused.__cause__ = cause
    errors: list[Exception | None] = [
        silent,
        silent,
        caused,
        caused,
        Misuse("no zone"),
        Unavailable("x"),
        None,
        Unavailable("x"),
    ]

    class Counting(BlockingPort):
        async def sleep(self, seconds: float, wake: Signal | None = None, since: int = 0) -> None:
            slept.append(seconds)
            if not errors:
                stop.set()

    mailbox = Failing(Memory().mailbox(PORT), errors)
    delivering = Delivering(mailbox, Jobs(awaits=None), PORT, clock)
    run(delivering.run(Counting(), Signal(), stop, 1.0))
    assert caplog.messages == ["", "down", "no zone", "x", "x"], "also one whose text is empty"
    assert [each.exc_info[1] if each.exc_info else None for each in caplog.records] == [silent, cause, None, None, None]
    assert slept == [2.0, 4.0, 8.0, 16.0, 1.0, 32.0, 1.0, 2.0]


class Silent(BackendWrapper):
    """A backend without a mailbox."""

    def mailbox(self, port: object) -> None:
        return None


@pytest.mark.parametrize("ask", ["deliver_due", "dead", "revive"])
def test_who_delivers_nothing_itself_says_what_was_asked(ask: str) -> None:
    def asked(app: App) -> None:
        getattr(app.messages, ask)(*(["a"] if ask == "revive" else []))

    with pytest.raises(Misuse, match=rf"^messages\.{ask}: nobody carries messages here$"):
        asked(connect(Silent(Memory()), Registry()))
    with pytest.raises(Misuse, match=rf"^messages\.{ask}: this app does not deliver its messages itself"):
        asked(App(Memory(), Registry(), Carrier()))


def test_a_schedule_says_what_its_body_is(clock: Clock) -> None:
    schedules = opened("memory:", clock, lambda job: None).schedules
    for body in ("text", b"\x00", {"a": 1}, b""):
        schedules.create("0 * * * *", "/work", body, headers={"X-A": "b"}, schedule_id="s", retries=2)
        (found,) = schedules.list()
        told = {"text": "text/plain; charset=utf-8", b"\x00": "application/octet-stream", b"": None}
        wanted = "application/json" if isinstance(body, dict) else told[body]
        assert (found.headers.get("content-type"), found.headers["x-a"], found.retries) == (wanted, "b", 2)
    for pausing in (schedules.pause, schedules.resume):
        with pytest.raises(Misuse, match=r"^schedule_id='a b'"):
            pausing("a b")


def test_a_schedule_without_a_name_is_new(clock: Clock) -> None:
    app = opened("memory:", clock, lambda job: None)
    timetable = app.schedules.flow.timetable
    asked: list[str] = []

    async def get(id: str) -> None:
        asked.append(id)

    timetable.get = get
    app.schedules.create("0 * * * *", "/work")
    assert asked == [], "to look for it would cost a request"
    app.schedules.create("0 * * * *", "/work", schedule_id="s")
    assert asked == ["s"]
