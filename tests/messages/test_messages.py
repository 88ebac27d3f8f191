"""Messages and schedules in process: what is sent arrives, whatever happens to those who deliver it."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from eventsource_upstash import (
    App,
    Job,
    Memory,
    Misuse,
    NotRetryable,
    RegistrationError,
    Registry,
    RetryLater,
    SQLite,
    Unavailable,
    connect,
    connect_async,
)
from eventsource_upstash._flow.delivering import Delivering
from eventsource_upstash._flow.working import Jobs
from eventsource_upstash._io.blocking import PORT, BlockingPort, run
from eventsource_upstash._io.port import HttpRequest, HttpResponse, Signal
from eventsource_upstash.domain.cron import next_due
from eventsource_upstash.domain.jobs import LEASE
from eventsource_upstash.ports import Message

EIGHT = datetime(2026, 3, 28, 8, tzinfo=timezone.utc)  # the day before clocks are put forward in Berlin


class Clock:
    def __init__(self) -> None:
        self.now = EIGHT

    def __call__(self) -> int:
        return self.us * 1000

    @property
    def us(self) -> int:
        return round(self.now.timestamp()) * 1_000_000

    def move(self, **by: float) -> None:
        self.now += timedelta(**by)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def opened(where: Any, clock: Clock, work: Callable[[Job], object]) -> App:
    app = connect(where, Registry(), clock=clock)
    app.job("/work")(work)
    return app


def test_what_waits_in_a_file_outlives_the_process(tmp_path: Path, clock: Clock) -> None:
    got: list[Job] = []
    with opened(f"sqlite:{tmp_path / 'a.db'}", clock, got.append) as app:
        app.messages.send("/work", {"a": 1}, delay=timedelta(hours=24), id="later")
        app.schedules.create("0 * * * *", "/work", "by the clock", schedule_id="hourly")
        assert app.messages.deliver_due().next_due == EIGHT + timedelta(hours=1)
    clock.move(hours=25, minutes=30)  # a day with nobody there: of its 25 moments one message is sent
    with opened(f"sqlite:{tmp_path / 'a.db'}", clock, got.append) as app:
        done = app.messages.deliver_due()
        assert (done.delivered, done.failed, done.next_due) == (2, 0, EIGHT + timedelta(hours=26))
        assert sorted((job.id.split("-")[0], job.body, job.schedule_id) for job in got) == [
            ("hourly", b"by the clock", "hourly"),
            ("later", b'{"a":1}', None),
        ]
        clock.move(hours=1)
        assert app.messages.deliver_due().delivered == 1


@pytest.mark.parametrize("make", [lambda folder: Memory(), lambda folder: SQLite(folder / "a.db")])
def test_who_is_killed_amid_a_delivery_loses_no_message(
    make: Callable[[Path], Any], tmp_path: Path, clock: Clock
) -> None:
    attempts: list[int] = []
    app = opened(make(tmp_path), clock, lambda job: attempts.append(job.attempt))
    app.messages.send("/work", retries=0)
    mailbox = app.backend.mailbox(PORT)
    assert mailbox is not None
    run(mailbox.claim(clock.us, 1, {"/work": clock.us + round(LEASE * 1_000_000)}))  # and then it was killed
    assert app.messages.deliver_due().delivered == 0
    clock.move(minutes=15)
    assert app.messages.deliver_due().delivered == 1
    assert attempts == [2]


def test_a_job_says_for_how_long_nobody_else_is_handed_its_messages(tmp_path: Path, clock: Clock) -> None:
    url = f"sqlite:{tmp_path / 'a.db'}"
    told: list[datetime | None] = []

    def work(job: Job) -> None:
        with opened(url, clock, print) as other:  # another process, and what it would find after this one was killed
            other.job("/short")(print)
            told.append(other.messages.deliver_due().next_due)

    with opened(url, clock, work) as app:
        app.job("/short", lease=timedelta(minutes=1))(work)
        app.messages.send("/work")
        assert app.messages.deliver_due().delivered == 1
        app.messages.send("/short")
        assert app.messages.deliver_due().delivered == 1
    assert told == [clock.now + timedelta(minutes=15), clock.now + timedelta(minutes=1)]


@pytest.mark.parametrize("lease", [0, -1, 0.5, 8 * 86_400, timedelta(0), timedelta(days=8), float("nan"), True, "60"])
def test_what_no_lease_can_be(lease: Any, clock: Clock) -> None:
    with pytest.raises(RegistrationError, match="job /report: lease="):
        connect("memory:", Registry()).job("/report", lease=lease)


def test_a_message_that_kills_whoever_delivers_it_is_given_up(clock: Clock) -> None:
    app = opened("memory:", clock, lambda job: None)
    app.messages.send("/work", retries=1)
    mailbox = app.backend.mailbox(PORT)
    assert mailbox is not None
    for _ in range(7):
        assert run(mailbox.claim(clock.us, 1, {"/work": clock.us + round(LEASE * 1_000_000)}))
        clock.move(minutes=15)
    assert app.messages.deliver_due().buried == 1
    assert "the process ended" in app.messages.dead()[0].error


def test_a_message_is_delivered_though_many_were_killed_over_it(clock: Clock) -> None:
    got: list[Job] = []
    app = opened("memory:", clock, got.append)
    app.messages.send("/work", retries=1)
    mailbox = app.backend.mailbox(PORT)
    assert mailbox is not None
    for _ in range(6):
        assert run(mailbox.claim(clock.us, 1, {"/work": clock.us + round(LEASE * 1_000_000)}))
        clock.move(minutes=15)
    assert app.messages.deliver_due().delivered == 1
    assert [job.attempt for job in got] == [7]


def test_a_job_that_takes_longer_than_the_lease_is_done_when_the_first_is_through(tmp_path: Path, clock: Clock) -> None:
    attempts: list[int] = []

    def work(job: Job) -> None:
        attempts.append(job.attempt)
        clock.move(minutes=16)
        if job.attempt == 1:  # meanwhile another process is handed it, and is at it when this one is through
            assert run(mailbox.claim(clock.us, 1, {"/work": clock.us + round(LEASE * 1_000_000)}))

    app = opened(SQLite(tmp_path / "a.db"), clock, work)
    mailbox = app.backend.mailbox(PORT)
    app.messages.send("/work")
    assert app.messages.deliver_due().delivered == 1
    clock.move(hours=1)
    assert app.messages.deliver_due() == (0, 0, 0, None, 0)
    assert attempts == [1]
    app.close()


def test_an_interrupted_delivery_is_tried_again_soon(clock: Clock) -> None:
    def interrupted(job: Job) -> None:
        if job.attempt == 1:
            raise KeyboardInterrupt

    app = opened("memory:", clock, interrupted)
    app.messages.send("/work")
    with pytest.raises(KeyboardInterrupt):
        app.messages.deliver_due()
    clock.move(seconds=13)
    assert app.messages.deliver_due().delivered == 1


def test_two_deliverers_never_deliver_one_message_at_once(tmp_path: Path) -> None:
    got: list[str] = []
    path = tmp_path / "a.db"
    apps = [opened(SQLite(path), Clock(), lambda job: got.append(job.id)) for _ in range(2)]
    for number in range(40):
        apps[0].messages.send("/work", id=f"m{number}")
    threads = [threading.Thread(target=app.messages.deliver_due) for app in apps]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got) == sorted(f"m{number}" for number in range(40))
    for app in apps:
        app.close()


def test_it_is_tried_again_as_qstash_does_and_then_given_up(clock: Clock) -> None:
    def fails(job: Job) -> None:
        raise ValueError("no\nluck")

    app = opened("memory:", clock, fails)
    app.messages.send("/work", id="a")
    pauses: list[int] = []
    for _ in range(3):
        due = app.messages.deliver_due().next_due
        assert due is not None
        pauses.append(round((due - clock.now).total_seconds()))
        clock.now = due + timedelta(seconds=1)
    assert pauses == [12, 148, 1808]
    assert app.messages.deliver_due()[:3] == (0, 1, 1)
    (dead,) = app.messages.dead()
    assert (dead.message.id, dead.attempts, dead.error) == ("a", 4, "ValueError: no luck")
    assert app.messages.revive("a")
    assert not app.messages.revive("a")
    assert app.messages.deliver_due()[:3] == (0, 1, 0)


def test_a_handler_says_how_to_go_on(clock: Clock) -> None:
    answers: list[Exception] = [RetryLater("busy", after=60), NotRetryable("never")]

    def work(job: Job) -> None:
        raise answers.pop(0)

    app = opened("memory:", clock, work)
    app.messages.send("/work")
    assert app.messages.deliver_due().next_due == EIGHT + timedelta(seconds=60)
    clock.move(seconds=60)
    assert app.messages.deliver_due()[:3] == (0, 1, 1)


def test_a_message_waits_for_a_process_that_has_its_job(
    tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    got: list[Job] = []
    mine = opened(SQLite(tmp_path / "a.db"), clock, got.append)
    theirs = connect(SQLite(tmp_path / "a.db"), Registry(), clock=clock)
    mine.messages.send("/other", "theirs", retries=0)
    mine.messages.send("/work", "mine")
    assert mine.messages.deliver_due() == (1, 0, 0, None, 1)
    assert caplog.messages == []  # whoever has it may be about to
    clock.move(minutes=1)
    for _ in range(3):
        assert mine.messages.deliver_due() == (0, 0, 0, None, 1)
    (said,) = caplog.messages
    assert said.startswith("messages wait for jobs that this process does not have: 1 for '/other' since 60 s.")
    clock.move(minutes=10)
    mine.messages.deliver_due()
    assert len(caplog.messages) == 2
    looking = mine.messages.flow.delivering
    assert looking is not None
    assert [run(looking.deliver_due(Signal())).left for _ in range(3)] == [1, 0, 0]  # a worker looks once in a minute
    theirs.job("/other")(got.append)
    assert theirs.messages.deliver_due() == (1, 0, 0, None, 0)
    assert [(job.body, job.attempt) for job in got] == [(b"mine", 1), (b"theirs", 1)]
    mine.close()
    theirs.close()


def test_a_message_that_no_process_had_the_job_for_in_a_week_is_given_up(clock: Clock) -> None:
    app = opened("memory:", clock, lambda job: None)
    app.messages.send("/gone", id="a")
    app.schedules.create("0 0 * * *", "/gone", schedule_id="daily")
    clock.move(days=6)
    assert app.messages.deliver_due()[:3] == (0, 0, 0)
    clock.move(days=1)
    done = app.messages.deliver_due()
    assert (done.buried, done.left) == (1, 2)
    (dead,) = app.messages.dead()
    assert (dead.message.id, dead.error) == ("a", "no process had the job /gone in a week")
    app.job("/gone")(lambda job: None)
    assert app.messages.revive("a")
    assert app.messages.deliver_due().delivered == 3


class Answering(BlockingPort):
    def __init__(self, *answers: tuple[int, Mapping[str, str]] | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[HttpRequest] = []

    async def send(self, request: HttpRequest) -> HttpResponse:
        self.asked.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return HttpResponse(*answer, b"")


@pytest.mark.parametrize(
    ("answer", "outcome", "pause"),
    [
        ((200, {}), (1, 0, 0), None),
        ((299, {}), (1, 0, 0), None),
        ((300, {}), (0, 1, 0), 12),
        ((302, {}), (0, 1, 0), 12),
        ((404, {}), (0, 1, 0), 12),
        ((503, {"retry-after": "90"}), (0, 1, 0), 90),
        ((489, {"upstash-nonretryable-error": "true"}), (0, 1, 1), None),
        ((489, {}), (0, 1, 0), 12),
        (UnicodeError("label empty"), (0, 1, 0), 12),
        (Unavailable("down"), (0, 1, 0), 12),
        (Misuse("no URL"), (0, 1, 1), None),
    ],
)
def test_what_an_answer_means(answer: Any, outcome: tuple[int, int, int], pause: int | None, clock: Clock) -> None:
    port, mailbox = Answering(answer), Memory().mailbox(PORT)
    url = "https://example.com/hook?a=b"
    run(mailbox.put([Message("m", url, b"{}", {"x-a": "b"})], clock.us))
    done = run(Delivering(mailbox, Jobs(awaits=None), port, clock).deliver_due())
    assert done[:3] == outcome
    assert (done.next_due is None) if pause is None else (done.next_due is not None)
    if done.next_due is not None:
        assert round((done.next_due - clock.now).total_seconds()) == pause
    (asked,) = port.asked
    wanted = {"content-type": "application/json", "x-a": "b", "eventsource-message-id": "m"}
    assert (asked.method, asked.url, asked.headers, asked.body, asked.timeout) == ("POST", url, wanted, b"{}", 30)


def test_an_answer_may_name_the_moment_when_to_try_again(clock: Clock) -> None:
    port = Answering((503, {"retry-after": "Sat, 28 Mar 2026 08:05:00 GMT"}))
    mailbox = Memory().mailbox(PORT)
    run(mailbox.put([Message("m", "https://example.com/hook", b"{}")], clock.us))
    done = run(Delivering(mailbox, Jobs(awaits=None), port, clock).deliver_due())
    assert done.next_due == EIGHT + timedelta(minutes=5)


def test_a_deliverer_that_is_told_to_stop_does_not_sleep_on(clock: Clock) -> None:
    wake, stop = Signal(), Signal()
    slept: list[float] = []

    class Sleeping(BlockingPort):
        async def sleep(self, seconds: float, wake: Signal | None = None, since: int = 0) -> None:
            slept.append(seconds)
            stop.set()
            assert wake is not None
            assert wake.count > since, "nothing would end its sleep"

    app = opened(Memory(), clock, lambda job: None)
    run(Delivering(app.backend.mailbox(PORT), app.jobs, PORT, clock).run(Sleeping(), wake, stop, 20.0))
    assert slept == [20.0]


@pytest.mark.parametrize(
    ("where", "options"),
    [
        ("example.com/x", {}),
        ("//example.com", {}),
        ("ftp://example.com", {}),
        ("https://user:secret@example.com/", {}),
        ("https://example.com/a b", {}),
        ("https://api..example.com/", {}),
        (f"https://{'a' * 64}.example.com/", {}),
        ("/work", {"delay": -1}),
        ("/work", {"delay": float("nan")}),
        ("/work", {"delay": True}),
        ("/work", {"delay": 1, "not_before": 1}),
        ("/work", {"not_before": datetime(2026, 1, 1)}),  # noqa: DTZ001  that is what is wrong with it
        ("/work", {"not_before": 1e30}),
        ("/work", {"headers": {"Host": "x"}}),
        ("/work", {"headers": {"a": "b\r\nc: d"}}),
        ("/work", {"headers": {"a": "1", "A": "2"}}),
        ("/work", {"headers": {"Upgrade": "h2c"}}),
        ("/work", {"headers": [("a", "1")]}),
        ("/work", {"id": ".."}),
        ("/work", {"retries": -1}),
        ("/work", {"id": "a:b"}),
        ("/work", {"body": {1, object()}}),
    ],
)
def test_no_message(where: str, options: dict[str, Any]) -> None:
    app = connect("memory:", Registry())
    with pytest.raises(Misuse) as misuse:
        app.messages.send(where, options.pop("body", b""), **options)
    assert "secret" not in str(misuse.value)
    assert app.messages.deliver_due().next_due is None


def test_the_last_moment_that_there_is(clock: Clock) -> None:
    app = opened("memory:", clock, lambda job: None)
    end = datetime.max.replace(tzinfo=timezone.utc)
    app.messages.send("/work", delay=end - clock.now)
    assert app.messages.deliver_due().next_due == end
    with pytest.raises(Misuse, match="delay="):
        app.messages.send("/work", delay=end - clock.now + timedelta(microseconds=1))


def test_a_worker_delivers_and_ends_after_the_message_in_hand() -> None:
    begun, go, got = threading.Event(), threading.Event(), list[str]()

    def work(job: Job) -> None:
        begun.set()
        go.wait()
        got.append(job.id)

    app = connect("memory:", Registry())
    app.job("/work")(work)
    worker = app.worker(poll_interval=60.0)
    with worker:
        app.messages.send("/work", id="a")
        begun.wait()  # woken by what was sent, not by the clock
        app.messages.send("/work", id="b")
        stopping = threading.Thread(target=worker.stop)
        stopping.start()
        go.set()
        stopping.join()
        assert got[:1] == ["a"]
    assert got == ["a", "b"][: len(got)]


def test_schedules_come_and_go(clock: Clock) -> None:
    got: list[Job] = []
    app = opened("memory:", clock, got.append)
    name = app.schedules.create("*/10 * * * *", "/work", {"a": 1})
    found = app.schedules.get(name)
    assert found is not None
    assert (found.cron, found.body, found.paused) == ("*/10 * * * *", b'{"a":1}', False)
    app.schedules.pause(name)
    assert app.schedules.create("*/10 * * * *", "/work", schedule_id=name) == name
    assert [each.paused for each in app.schedules.list()] == [True]
    clock.move(hours=1)
    assert app.messages.deliver_due().delivered == 0
    app.schedules.resume(name)
    clock.move(minutes=10)
    assert app.messages.deliver_due().delivered == 1
    app.schedules.delete(name)
    assert app.schedules.list() == []
    with pytest.raises(Misuse, match="a worker polls"):
        app.schedules.ensure_sweep()
    with pytest.raises(Misuse, match="by POST only"):
        app.schedules.create("* * * * *", "/work", method="GET")
    for cron in ("* * * *", "99 * * * *", "0 0 30 2 *", "CRON_TZ=Mars/Base 0 0 * * *"):
        with pytest.raises(Misuse, match=r"as in|'0 8 \* \* 1-5'"):
            app.schedules.create(cron, "/work")
    with pytest.raises(Misuse, match=r"cron='99 \* \* \* \*': Bad minute\. It has"):
        app.schedules.create("99 * * * *", "/work")


def test_what_is_replaced_or_deleted_while_it_is_paused_stays_so(clock: Clock) -> None:
    app = opened("memory:", clock, lambda job: None)
    timetable = app.messages.flow.timetable
    assert timetable is not None
    app.schedules.create("0 * * * *", "/work", "old", schedule_id="s")
    found = app.schedules.get("s")
    app.schedules.create("5 * * * *", "/work", "new", schedule_id="s")
    app.schedules.pause("s")
    assert found is not None
    run(timetable.put(found))  # by somebody who looked before
    assert [(each.body, each.paused) for each in app.schedules.list()] == [(b"old", True)]
    app.schedules.delete("s")
    assert not run(timetable.pause("s", paused=False))
    assert app.schedules.list() == []


def moments(cron: str, begin: datetime, count: int) -> list[str]:
    at = round(begin.timestamp()) * 1_000_000
    found: list[str] = []
    for _ in range(count):
        at = next_due(cron, at)
        found.append(datetime.fromtimestamp(at // 1_000_000, timezone.utc).strftime("%d %H:%M"))
    return found


def test_clocks_are_put_forward_and_back() -> None:
    spring, autumn = datetime(2026, 3, 28, 12, tzinfo=timezone.utc), datetime(2026, 10, 24, 12, tzinfo=timezone.utc)
    # 2:30 is left out on 29 March: it comes at once after the gap, at 3:00 in Berlin; on 25 October it comes once.
    assert moments("CRON_TZ=Europe/Berlin 30 2 * * *", spring, 2) == ["29 01:00", "30 00:30"]
    assert moments("CRON_TZ=Europe/Berlin 30 2 * * *", autumn, 2) == ["25 00:30", "26 01:30"]
    assert moments("CRON_TZ=Europe/Berlin 0 8 * * *", spring, 2) == ["29 06:00", "30 06:00"]
    assert moments("0 8 * * *", spring, 2) == ["29 08:00", "30 08:00"]


def test_clocks_are_put_back_at_no_full_hour_or_by_half_of_one() -> None:
    # In Chatham 3:45 becomes 2:45, on Lord Howe 2:00 becomes 1:30; what is due by the hour follows the time that goes.
    chatham = datetime(2026, 4, 4, 13, 15, tzinfo=timezone.utc)
    howe = datetime(2026, 4, 4, 14, 30, tzinfo=timezone.utc)
    assert moments("CRON_TZ=Pacific/Chatham */15 3-17 * * *", chatham, 4) == [
        "04 13:30",
        "04 13:45",
        "04 14:15",
        "04 14:30",
    ]
    assert moments("CRON_TZ=Australia/Lord_Howe */30 1-2 * * *", howe, 4) == [
        "04 15:00",
        "04 15:30",
        "04 16:00",
        "05 14:30",
    ]
    assert moments("CRON_TZ=Australia/Lord_Howe */4 14 * * *", howe, 2) == ["05 03:30", "05 03:34"]
    assert moments("CRON_TZ=Australia/Lord_Howe 45 * * * *", howe, 3) == ["04 14:45", "04 15:15", "04 16:15"]


def test_what_is_due_by_the_hour_in_a_zone_behind_utc() -> None:
    begin = datetime(2026, 7, 1, 12, 40, tzinfo=timezone.utc)
    assert moments("CRON_TZ=America/New_York */30 * * * *", begin, 2) == ["01 13:00", "01 13:30"]
    assert moments("CRON_TZ=America/New_York 15 9,10 * * *", begin, 3) == ["01 13:15", "01 14:15", "02 13:15"]


def test_no_moment_is_before_the_one_that_it_follows() -> None:
    # In the second of two hours alike: 2:43 was in the first of them, and tomorrow's first is at 1:43.
    second = datetime(2026, 10, 25, 1, 6, 36, tzinfo=timezone.utc)
    assert moments("CRON_TZ=Europe/Berlin 43 1,2 * * *", second, 2) == ["26 00:43", "26 01:43"]


def test_what_was_due_an_hour_before_clocks_went_back_comes_once(clock: Clock) -> None:
    got: list[Job] = []
    app = opened("memory:", clock, got.append)
    clock.now = datetime(2026, 10, 25, 0, 30, tzinfo=timezone.utc)
    app.schedules.create("CRON_TZ=Europe/Berlin 59 2 * * *", "/work")
    clock.move(minutes=45)  # 2:15 on the clock on the wall, for the second time
    assert app.messages.deliver_due().next_due == datetime(2026, 10, 26, 1, 59, tzinfo=timezone.utc)
    assert len(got) == 1


def test_a_machine_without_time_zones_loses_no_schedule(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    got: list[Job] = []
    app = opened("memory:", clock, got.append)
    app.schedules.create("CRON_TZ=Europe/Berlin 0 * * * *", "/work")
    app.messages.send("/work", "not by the clock")
    clock.move(hours=1)

    def unknown(name: str) -> None:
        raise KeyError(name)

    with monkeypatch.context() as without:
        without.setattr("zoneinfo.ZoneInfo", unknown)
        with pytest.raises(Misuse, match=r"'Europe/Berlin' is not known here.*tzdata"):
            app.messages.deliver_due()
        assert [job.body for job in got] == [b"not by the clock"]  # and it keeps nothing else back
    assert app.messages.deliver_due().delivered == 1
    assert app.messages.deliver_due().next_due == clock.now + timedelta(hours=1)


class Broken(Exception):
    def __str__(self) -> str:
        raise ValueError


def ends(job: Job) -> object:
    return next(iter(()))


def breaks(job: Job) -> None:
    raise Broken


def leaves(job: Job) -> None:
    raise SystemExit(2)


def gives_up(job: Job) -> None:
    raise asyncio.CancelledError


async def cancelled(job: Job) -> None:
    raise asyncio.CancelledError


async def closes(job: Job) -> None:
    raise GeneratorExit


@pytest.mark.parametrize(
    ("handler", "error"),
    [
        (ends, "StopIteration"),
        (breaks, "Broken: "),
        (leaves, r"SystemExit\(2\)"),
        (gives_up, r"CancelledError\(\)"),
        (cancelled, "cancelled from within"),
        (closes, r"GeneratorExit\(\)"),
    ],
)
def test_whatever_a_handler_raises_is_a_failed_delivery(
    handler: Callable[[Job], object], error: str, clock: Clock
) -> None:
    async def main() -> None:
        app = connect_async("memory:", Registry(), clock=clock)
        app.job("/work")(handler)
        await app.messages.send("/work", retries=0)
        assert (await asyncio.wait_for(app.messages.deliver_due(), 30)).buried == 1
        (dead,) = await app.messages.dead()
        assert re.search(error, dead.error)

    asyncio.run(main())


@pytest.mark.parametrize("handler", [leaves, gives_up])
def test_a_handler_that_ends_its_thread_does_not_end_the_worker(handler: Callable[[Job], None], clock: Clock) -> None:
    app = opened("memory:", clock, handler)
    app.messages.send("/work", retries=0)
    thread = threading.Thread(target=app.messages.deliver_due)
    thread.start()
    thread.join()
    assert [each.attempts for each in app.messages.dead()] == [1]


def test_a_delivery_that_is_cancelled_cancels_the_handler_and_is_tried_again_soon(clock: Clock) -> None:
    ended: list[str] = []

    async def main() -> None:
        app = connect_async("memory:", Registry(), clock=clock)
        began = asyncio.Event()

        @app.job("/work")
        async def work(job: Job) -> None:
            began.set()
            try:
                await asyncio.sleep(3600)
            finally:
                ended.append(job.id)

        await app.messages.send("/work", id="one")
        delivering = asyncio.ensure_future(app.messages.deliver_due())
        await began.wait()
        delivering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await delivering
        assert ended == ["one"]
        assert (await app.messages.deliver_due()).next_due == clock.now + timedelta(microseconds=12_182_494)

    asyncio.run(main())


def test_a_plain_handler_that_goes_on_after_its_delivery_was_cancelled_is_not_called_twice_at_once(
    clock: Clock,
) -> None:
    begun, go = threading.Event(), threading.Event()

    def work(job: Job) -> None:
        begun.set()
        go.wait()

    async def main() -> None:
        app = connect_async("memory:", Registry(), clock=clock)
        app.job("/work")(work)
        await app.messages.send("/work")
        delivering = asyncio.ensure_future(app.messages.deliver_due())
        await asyncio.to_thread(begun.wait)
        delivering.cancel()
        try:
            with pytest.raises(asyncio.CancelledError):
                await delivering
            assert (await app.messages.deliver_due()).next_due == clock.now + timedelta(seconds=LEASE)
        finally:
            go.set()

    asyncio.run(main())


@pytest.mark.parametrize("id", ["", "a b", "..", "a" * 201])
def test_what_can_be_no_schedule_is_refused_by_each_of_them(id: str, clock: Clock) -> None:
    schedules = opened(Memory(), clock, lambda job: None).schedules
    with pytest.raises(Misuse, match=r"^schedule_id="):
        schedules.create("0 * * * *", "/work", schedule_id=id)
    if len(id) > 200:
        return  # none is called so: there is nothing to find
    for ask in (schedules.get, schedules.delete, schedules.pause, schedules.resume):
        with pytest.raises(Misuse, match=r"^schedule_id="):
            ask(id)
