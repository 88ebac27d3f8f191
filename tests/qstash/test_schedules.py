"""The sweep, and schedules of the app's own."""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import pytest
import qstash

from eventsource_upstash import (
    App,
    AsyncSchedules,
    InProcess,
    Memory,
    Misuse,
    OutcomeUnknown,
    Receipt,
    Refused,
    Schedules,
    Unavailable,
)
from eventsource_upstash._io.blocking import run
from eventsource_upstash.backends.qstash import Delivery, QStash, Sweep
from eventsource_upstash.backends.qstash.schedules import Sweeping
from eventsource_upstash.local.qstash.settings import TOKEN
from eventsource_upstash.local.server import LocalUpstash
from eventsource_upstash.testing.colours import Colour
from eventsource_upstash.web import Endpoint, Response
from tests.qstash.carrier import TOKEN as CARRIED
from tests.qstash.carrier import Carrier, answer
from tests.qstash.receiving import PUBLIC, Site
from tests.unit.todo import Task, TaskCreated, todo

URL = f"{PUBLIC}/projections"
JOB = f"{PUBLIC}/report"


@pytest.fixture(params=list(Colour), ids=lambda colour: colour.value)
def colour(request: pytest.FixtureRequest) -> Colour:
    value: Colour = request.param
    return value


def transport(upstash: LocalUpstash, **options: Any) -> QStash:
    return QStash.from_env(URL, environ=upstash.environment(), namespace="todo", **options)


class Face:
    """Schedules of either colour, called alike."""

    def __init__(self, colour: Colour, through: QStash | InProcess | None) -> None:
        self._colour = colour
        self._schedules = Schedules(through) if colour is Colour.BLOCKING else AsyncSchedules(through)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._schedules, name)

        def call(*args: object, **options: object) -> Any:
            answered = method(*args, **options)
            return self._colour.run(answered) if isinstance(answered, Coroutine) else answered

        return call


def test_the_sweep_is_there_once(upstash: LocalUpstash, colour: Colour) -> None:
    schedules = Face(colour, transport(upstash))
    first: Sweep = schedules.ensure_sweep()
    assert (first.schedule_id, first.cron, first.changed, first.paused) == ("todo-sweep", "*/5 * * * *", True, False)
    assert (first.receipt.requests, first.receipt.commands) == (2, 0)
    created = schedules.list()
    second = schedules.ensure_sweep()
    assert (second.changed, second.receipt.requests) == (False, 1)
    assert schedules.list() == created
    assert schedules.ensure_sweep("0 * * * *").changed
    (only,) = schedules.list()
    assert (only.id, only.cron, only.destination, only.body) == ("todo-sweep", "0 * * * *", URL, b'{"position":0}')
    assert only.retries == 0


def test_another_destination_or_limit_replaces_it(upstash: LocalUpstash) -> None:
    Schedules(transport(upstash)).ensure_sweep()
    other = QStash.from_env(f"{URL}/2", environ=upstash.environment(), namespace="todo")
    assert Schedules(other).ensure_sweep().changed
    assert not Schedules(other).ensure_sweep().changed
    for parallelism in (1, 2, None):
        through = transport(upstash, delivery=Delivery(parallelism=parallelism))
        assert [Schedules(through).ensure_sweep().changed for _ in range(2)] == [True, False]
    assert len(Schedules(other).list()) == 1


def test_each_namespace_has_its_own(upstash: LocalUpstash) -> None:
    Schedules(transport(upstash)).ensure_sweep()
    Schedules(QStash.from_env(URL, environ=upstash.environment(), namespace="shop")).ensure_sweep()
    assert {one.id for one in Schedules(transport(upstash)).list()} == {"todo-sweep", "shop-sweep"}


def test_somebody_paused_it(upstash: LocalUpstash, colour: Colour) -> None:
    schedules = Face(colour, transport(upstash))
    schedules.ensure_sweep()
    schedules.pause("todo-sweep")
    assert schedules.ensure_sweep()[2:4] == (False, True)
    schedules.resume("todo-sweep")
    assert schedules.ensure_sweep()[2:4] == (False, False)


def test_what_nobody_was_told_of_is_folded_within_one_period(upstash: LocalUpstash, site: Site) -> None:
    given = todo()
    through = transport(upstash)
    app = App(Memory(), given.registry, None)  # as if the process had died before it notified
    site.answer = Endpoint(app, verifier=through.receiver()).handle
    Schedules(through).ensure_sweep()
    app.event_store.append("task-1", TaskCreated("1", "Do the dishes"))
    upstash.run(upstash.qstash.advance(5 * 60))
    assert app.projection_store.view(given.tasks).get("1") == Task("1", "Do the dishes")
    upstash.run(upstash.qstash.advance(10 * 60))
    assert site.statuses == [200] * 3
    assert set(site.bodies) == {b'{"position":0}'}


def test_a_sweep_that_fails_is_not_tried_again(upstash: LocalUpstash, site: Site) -> None:
    site.answer = lambda request: Response(500, {}, b"")
    Schedules(transport(upstash)).ensure_sweep("0 * * * *")
    upstash.run(upstash.qstash.advance(3600))
    assert site.statuses == [500]


def test_through_a_client_of_the_official_package(upstash: LocalUpstash, colour: Colour) -> None:
    async def twice() -> list[Sweep]:
        client: Any
        if colour is Colour.BLOCKING:
            client = qstash.QStash(TOKEN, base_url=upstash.qstash_url, retry=False)
        else:
            client = qstash.AsyncQStash(TOKEN, base_url=upstash.qstash_url, retry=False)
        sweeping = Sweeping(colour.port, QStash(URL, client=client, namespace="todo"))
        sweeps = [
            await sweeping.ensure_sweep(),
            await sweeping.ensure_sweep(),
            await sweeping.ensure_sweep("0 0 * * *"),
        ]
        assert [one.id for one in Schedules(transport(upstash)).list()] == ["todo-sweep"]
        if colour is Colour.BLOCKING:
            client.http._client.close()
        else:
            await client.http._client.aclose()
        return sweeps

    sweeps = colour.run(twice())
    assert [sweep.changed for sweep in sweeps] == [True, False, True]
    assert not Schedules(transport(upstash)).ensure_sweep("0 0 * * *").changed  # ours would make the same


def test_schedules_of_ones_own(upstash: LocalUpstash, site: Site, colour: Colour) -> None:
    schedules = Face(colour, transport(upstash))
    name = schedules.create("0 8 * * *", JOB, b"report", headers={"Content-Type": "text/plain", "x-job": "1"})
    found = schedules.get(name)
    assert (found.cron, found.destination, found.body, found.paused) == ("0 8 * * *", JOB, b"report", False)
    assert found.headers["x-job"] == "1"
    assert schedules.create("CRON_TZ=Europe/Berlin 0 9 * * *", JOB, schedule_id=name, method="PUT", retries=0) == name
    assert (schedules.get(name).method, len(schedules.list())) == ("PUT", 1)
    schedules.pause(name)
    assert schedules.get(name).paused
    schedules.resume(name)
    assert not schedules.get(name).paused
    schedules.delete(name)
    schedules.delete(name)  # it is gone, as was asked
    assert schedules.get(name) is None
    with pytest.raises(Refused, match="404"):
        schedules.pause(name)


@pytest.mark.parametrize(
    "cron", ["", "* * * *", "* * * * * *", "@daily", "* * * * *\n", "*  * * * *", "CRON_TZ= * * * * *", 5]
)
def test_no_cron(cron: str) -> None:
    schedules = Schedules(QStash(URL, token="t"))
    with pytest.raises(Misuse, match="five fields"):
        schedules.ensure_sweep(cron)
    with pytest.raises(Misuse, match="five fields"):
        schedules.create(cron, JOB)


def test_a_cron_that_only_the_service_can_tell_is_none(upstash: LocalUpstash) -> None:
    with pytest.raises(Refused, match="400"):
        Schedules(transport(upstash)).ensure_sweep("99 * * * *")
    with pytest.raises(Refused, match="400"):
        Schedules(transport(upstash)).create("99 * * * *", JOB)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"destination": "two words"}, "destination"),
        ({"schedule_id": "a/b"}, "schedule_id"),
        ({"retries": -1}, "retries"),
        ({"method": "SEND"}, "method"),
    ],
)
def test_no_schedule(given: dict[str, Any], why: str) -> None:
    schedules = Schedules(QStash(URL, token="t"))
    with pytest.raises(Misuse, match=why):
        schedules.create(**{"cron": "* * * * *", "destination": JOB, **given})
    for method in (schedules.get, schedules.delete, schedules.pause, schedules.resume):
        with pytest.raises(Misuse, match="schedule_id"):
            method("../keys")


@pytest.mark.parametrize("face", [Schedules, AsyncSchedules])
def test_notifications_go_elsewhere(face: type[Schedules] | type[AsyncSchedules]) -> None:
    colour = Colour.BLOCKING if face is Schedules else Colour.EVENT_LOOP
    for through in (InProcess(), None):
        with pytest.raises(Misuse, match="there are no schedules here"):
            Face(colour, through).create("* * * * *", JOB)
        with pytest.raises(Misuse, match=r"the sweep needs QStash.* a worker polls"):
            Face(colour, through).ensure_sweep()


def test_the_package_is_not_needed(monkeypatch: pytest.MonkeyPatch, upstash: LocalUpstash) -> None:
    monkeypatch.setitem(sys.modules, "qstash", None)
    schedules = Schedules(transport(upstash))
    assert schedules.ensure_sweep().changed
    assert schedules.create("0 8 * * *", JOB, schedule_id="report") == "report"
    assert [one.id for one in schedules.list()] == ["report", "todo-sweep"]


@pytest.mark.parametrize(
    ("answers", "error", "said"),
    [
        ([answer(401, {"error": "no"})], Refused, "token"),
        ([answer(200, b"<html>")], Refused, "is not QStash"),
        ([answer(200, {"cron": 7})], Refused, "is not QStash"),
        ([answer(404, {}), answer(404, {})], Refused, "Create the URL group"),
        ([answer(404, {}), answer(412, {"error": "too many schedules"})], Refused, "412: too many schedules"),
        ([answer(404, {}), answer(200, {})], Refused, "is not QStash"),
        ([Unavailable("down")] * 3, Unavailable, "down"),
        ([answer(404, {}), *[answer(500)] * 3], OutcomeUnknown, "harmless"),
    ],
)
def test_what_may_go_wrong(answers: list[Any], error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        run(Sweeping(Carrier(*answers), QStash("group", token=CARRIED)).ensure_sweep())


def test_what_the_sweep_is_asked_for_with() -> None:
    carrier = Carrier(answer(404, {}), answer(body={"scheduleId": "todo-sweep"}))
    sweep = run(Sweeping(carrier, QStash(URL, token="t", namespace="todo")).ensure_sweep("0 * * * *"))
    asked, made = carrier.requests
    assert (asked.method, asked.url) == ("GET", "https://qstash.upstash.io/v2/schedules/todo-sweep")
    assert (made.method, made.url) == ("POST", f"https://qstash.upstash.io/v2/schedules/{URL}")
    wanted: Mapping[str, str] = {
        "upstash-cron": "0 * * * *",
        "upstash-schedule-id": "todo-sweep",
        "upstash-retries": "0",
        "upstash-flow-control-key": "todo",
        "content-type": "application/json",
    }
    assert wanted.items() <= made.headers.items()
    assert made.body == b'{"position":0}'
    assert sweep.receipt == Receipt(2, 0, 14, 2 + len(b'{"scheduleId": "todo-sweep"}'), 0)


def test_a_schedule_whose_answer_is_lost_is_made_once(upstash: LocalUpstash, colour: Colour) -> None:
    schedules = Face(colour, transport(upstash))
    struck = upstash.faults.add("lose-answer", half="qstash", path="/v2/schedules/*", count=None)
    with pytest.raises(OutcomeUnknown):
        schedules.create("0 8 * * *", JOB)
    upstash.faults.clear()
    assert struck.struck >= 1
    assert len(schedules.list()) == 1
