"""What is told of a delivery: in the log, beside what was given up, and to other deliverers while it lasts."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any, cast

import pytest

from eventsource_upstash import (
    App,
    Job,
    Memory,
    Misuse,
    NotRetryable,
    Refused,
    Registry,
    RetryLater,
    Schedule,
    TooLarge,
    Unavailable,
    connect,
)
from eventsource_upstash._flow.delivering import Delivered, Delivering, Posting
from eventsource_upstash._flow.scheduling import Timing
from eventsource_upstash._flow.working import Jobs
from eventsource_upstash._io.blocking import PORT, BlockingPort, run
from eventsource_upstash._io.port import Signal
from eventsource_upstash.ports import MAX_MESSAGE_BYTES, URLS, Claimed, Message
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
        None,
        silent,
    ]

    class Counting(BlockingPort):
        async def sleep(self, seconds: float, wake: Signal | None = None, since: int = 0) -> None:
            slept.append(seconds)
            if not errors:
                stop.set()

    mailbox = Failing(Memory().mailbox(PORT), errors)
    delivering = Delivering(mailbox, Jobs(awaits=None), PORT, clock)
    run(delivering.run(Counting(), Signal(), stop, 1.0))
    assert caplog.messages == ["", "down", "no zone", "x", "x", ""], "also one whose text is empty"
    told = [each.exc_info[1] if each.exc_info else None for each in caplog.records]
    assert told == [silent, cause, None, None, None, silent]
    assert slept == [2.0, 4.0, 8.0, 16.0, 1.0, 32.0, 1.0, 2.0, 1.0, 2.0]


def test_pauses_of_a_deliverer_grow_to_a_thousand_times_the_first(clock: Clock) -> None:
    stop, slept = Signal(), list[float]()
    errors: list[Exception | None] = [Unavailable("x")] * 12

    class Counting(BlockingPort):
        async def sleep(self, seconds: float, wake: Signal | None = None, since: int = 0) -> None:
            slept.append(seconds)
            if not errors:
                stop.set()

    delivering = Delivering(Failing(Memory().mailbox(PORT), errors), Jobs(awaits=None), PORT, clock)
    run(delivering.run(Counting(), Signal(), stop, 0.01))
    assert slept == [0.01 * 2 ** min(number, 10) for number in range(1, 13)]


def test_a_deliverer_ends_after_the_message_in_hand(clock: Clock) -> None:
    stop, got = Signal(), list[str]()

    def work(job: Job) -> None:
        got.append(job.id)
        stop.set()

    app = opened("memory:", clock, work)
    for name in "ab":
        app.messages.send("/work", id=name)
    delivering = Delivering(app.backend.mailbox(PORT), app.jobs, PORT, clock)
    run(delivering.run(PORT, Signal(), stop, 1.0))
    assert got == ["a"]


def test_a_look_counts_each_failure_and_what_is_given_up_of_them(clock: Clock) -> None:
    answers: list[Exception] = [NotRetryable("never"), RetryLater("busy", after=0.5), ArithmeticError("by zero")]

    def work(job: Job) -> None:
        raise answers.pop(0)

    app = opened("memory:", clock, work)
    for name in "abc":
        app.messages.send("/work", id=name)
    done = app.messages.deliver_due()
    assert done == Delivered(0, 3, 1, EIGHT + timedelta(seconds=0.5))


def test_whatever_nobody_has_a_job_for_is_given_up_and_counted(clock: Clock) -> None:
    app = opened("memory:", clock, lambda job: None)
    for name in "abc":
        app.messages.send(f"/gone/{name}", id=name)
    clock.move(days=7)
    assert app.messages.deliver_due() == Delivered(0, 0, 3, None)
    assert sorted(each.message.id for each in app.messages.dead()) == ["a", "b", "c"]


def test_what_is_given_up_is_so_though_a_schedule_cannot_be_told(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    app = opened("memory:", clock, lambda job: None)
    app.schedules.create("CRON_TZ=Europe/Berlin 0 * * * *", "/work")
    app.messages.send("/gone", id="a")
    clock.move(days=8)

    def unknown(name: str) -> None:
        raise KeyError(name)

    monkeypatch.setattr("zoneinfo.ZoneInfo", unknown)
    with pytest.raises(Misuse, match="'Europe/Berlin' is not known here"):
        app.messages.deliver_due()
    assert [each.message.id for each in app.messages.dead()] == ["a"]


def test_nobody_else_is_handed_what_is_being_delivered(clock: Clock) -> None:
    app = opened("memory:", clock, lambda job: None)
    app.job("/slow", lease=3600)(lambda job: None)
    app.messages.send("/work")
    mailbox = Noting(app.backend.mailbox(PORT))
    run(Delivering(mailbox, app.jobs, PORT, clock).deliver_due())
    minutes = {URLS: 2, "/work": 15, "/slow": 60}
    assert mailbox.claims == [(clock.us, 1, {place: clock.us + n * 60_000_000 for place, n in minutes.items()})]


def test_what_is_tried_again_is_noted_with_the_reason(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    app = opened("memory:", clock, raising(RetryLater("busy", after=1.5)))
    app.messages.send("/work", id="a")
    mailbox = Noting(app.backend.mailbox(PORT))
    run(Delivering(mailbox, app.jobs, PORT, clock).deliver_due())
    assert mailbox.agains == [("a", clock.us + 1_500_000, "RetryLater: busy")]
    assert caplog.messages[0].endswith("; again in 2 s")


def test_a_job_is_handed_the_headers_of_its_message(clock: Clock) -> None:
    got: list[Job] = []
    app = opened("memory:", clock, got.append)
    app.messages.send("/work", {}, headers={"X-A": "b"}, id="a")
    app.messages.deliver_due()
    assert dict(got[0].headers) == {"content-type": "application/json", "x-a": "b", "eventsource-message-id": "a"}


def test_who_took_longer_than_the_lease_is_told_with_the_message(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    mailbox = Memory().mailbox(PORT)
    jobs = Jobs(awaits=None)

    @jobs.at("/work")
    def work(job: Job) -> None:
        clock.move(minutes=16)
        assert run(mailbox.claim(clock.us, 1, {"/work": clock.us + 1}))

    run(mailbox.put([Message("a", "/work", b"")], clock.us))
    assert run(Delivering(mailbox, jobs, PORT, clock).deliver_due()).delivered == 1
    assert caplog.messages == ["message a took longer than its lease: somebody else may have delivered it too"]
    assert callable(work)


def test_of_many_jobs_that_are_missing_ten_are_named(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    app = opened("memory:", clock, lambda job: None)
    paths = [f"/gone/{number:02}" for number in range(12)]
    for path in paths:
        app.messages.send(path)
    clock.move(minutes=1)
    assert app.messages.deliver_due().left == 12
    (said,) = caplog.messages
    named = ", ".join(f"1 for {path!r} since 60 s" for path in paths[:10])
    assert f"does not have: {named}, and for 2 more jobs. Register" in said


def test_messages_wait_from_whole_microseconds_on() -> None:
    puts: list[object] = []

    class Putting:
        async def put(self, messages: object, now_us: int) -> None:
            puts.append((now_us, type(now_us)))

    posting: Any = Posting(Putting(), lambda: 1_700_000_000_000_000_999)  # type: ignore[arg-type]  # only puts
    run(posting.publish([Message("m", "/work", b"")]))
    assert puts == [(1_700_000_000_000_000, int)]
    run(posting.publish([]))
    assert len(puts) == 1


def test_schedules_are_kept_with_whole_microseconds_and_wake_who_delivers() -> None:
    told: list[object] = []

    class Keeping:
        async def save(self, schedule: Schedule, now_us: int) -> None:
            told.append((schedule.id, now_us, type(now_us)))

        async def rest(self, id: str, now_us: int, *, paused: bool) -> bool:
            told.append((id, now_us, type(now_us), paused))
            return paused

    signal = Signal()
    timing = Timing(cast("Any", Keeping()), lambda: 1_700_000_000_000_000_999, signal)
    run(timing.put(Schedule("s", "0 * * * *", "/work", b"", {}, None, "POST", False)))
    assert [run(timing.pause("s", paused=paused)) for paused in (True, False)] == [True, False]
    now = (1_700_000_000_000_000, int)
    assert told == [("s", *now), ("s", *now, True), ("s", *now, False)]
    assert signal.count == 3


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


def test_who_has_no_mailbox_has_no_schedules() -> None:
    with pytest.raises(Misuse, match=r"^there are no schedules here: "):
        connect(Silent(Memory()), Registry()).schedules.list()


@pytest.mark.parametrize("limit", [0, -1, True, 1.5, "3", None])
def test_a_number_of_dead_letters_that_is_none(limit: Any) -> None:
    with pytest.raises(Misuse, match=f"^limit={limit!r}: it is a whole number from 1$"):
        connect("memory:", Registry()).messages.dead(limit=limit)


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
    assert [re.fullmatch("scd-[0-9a-f]{32}", each.id) is not None for each in app.schedules.list()] == [False, True]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"retries": -1}, r"retries=-1: it is a whole number from 0"),
        ({"retries": True}, r"retries=True: it is a whole number from 0"),
        ({"method": "SEND"}, r"method='SEND': it is one of .*POST"),
        ({"method": "PUT"}, r"method='PUT': a job, as '/work', is called by POST only"),
    ],
)
def test_what_a_schedule_cannot_have_is_told(given: dict[str, Any], told: str, clock: Clock) -> None:
    schedules = opened("memory:", clock, lambda job: None).schedules
    with pytest.raises(Misuse, match=f"^{told}"):
        schedules.create("0 * * * *", "/work", **given)
    assert schedules.list() == []


def test_a_schedule_that_is_not_there_cannot_be_paused(clock: Clock) -> None:
    schedules = opened("memory:", clock, lambda job: None).schedules
    for ask in (schedules.pause, schedules.resume):
        with pytest.raises(Refused, match=r"^there is no schedule 'gone' \(404\)$"):
            ask("gone")


def test_a_body_may_have_so_many_bytes_and_no_more(clock: Clock) -> None:
    app = opened("memory:", clock, lambda job: None)
    most = b"x" * MAX_MESSAGE_BYTES
    app.messages.send("/work", most)
    app.schedules.create("0 * * * *", "/work", most)
    for create, what in (
        (lambda: app.messages.send("/work", most + b"x"), "the body of a message"),
        (lambda: app.schedules.create("0 * * * *", "/work", most + b"x"), "the body of a schedule"),
    ):
        with pytest.raises(TooLarge) as caught:
            create()
        error = caught.value
        assert (error.what, error.size, error.limit) == (what, MAX_MESSAGE_BYTES + 1, MAX_MESSAGE_BYTES)
    assert len(app.schedules.list()) == 1
    assert app.messages.deliver_due().delivered == 1


def test_a_message_says_what_its_body_is_and_who_sends_it_what_it_is_called() -> None:
    carrier = Carrier()
    app = App(Memory(), Registry(), carrier)
    sent = [app.messages.send("https://example.com/", body) for body in ("text", b"\x00", {"a": 1}, b"")]
    assert [message.headers.get("content-type") for message in carrier.sent] == [
        "text/plain; charset=utf-8",
        "application/octet-stream",
        "application/json",
        None,
    ]
    assert [each.id for each in sent] == carrier.ids
