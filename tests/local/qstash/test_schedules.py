"""Schedules: when they fire, and what they publish."""

from __future__ import annotations

from datetime import datetime, timezone
from zoneinfo import ZoneInfo

import pytest

from eventsource_upstash.local.qstash.errors import ApiError
from eventsource_upstash.local.qstash.scheduling import next_time
from tests.local.qstash.support import APP, START, World


def _schedule(qstash: World, cron: str, id: str = "sweep", **headers: str) -> None:
    answer = qstash.post(f"/v2/schedules/{APP}/sweep?a=b", "x", upstash_cron=cron, upstash_schedule_id=id, **headers)
    assert (answer.status_code, answer.json()) == (200, {"scheduleId": id}), answer.text


def test_a_schedule_publishes_at_its_times(qstash: World) -> None:
    _schedule(qstash, "*/5 * * * *", upstash_method="PUT", upstash_forward_a="1", upstash_label="s")
    qstash.advance(15 * 60)
    assert qstash.app.times == [300, 600, 900]
    delivery = qstash.app.deliveries[0]
    assert (delivery.method, delivery.path, delivery.body) == ("PUT", "/sweep?a=b", b"x")
    assert (delivery.headers["Upstash-Schedule-Id"], delivery.headers["A"]) == ("sweep", "1")
    assert delivery.verified(f"{APP}/sweep?a=b")
    shown = qstash.http.get("/v2/schedules/sweep").json()
    assert (shown["lastScheduleTime"], shown["nextScheduleTime"]) == (START + 900_000, START + 1_200_000)
    assert list(shown["lastScheduleStates"].values()) == ["SUCCESS"]


def test_a_schedule_delays_what_it_publishes(qstash: World) -> None:
    _schedule(qstash, "0 * * * *", upstash_delay="90s")
    qstash.advance(3 * 3600)
    assert qstash.app.times == [3690, 7290]


def test_a_paused_schedule_lets_its_times_go_by(qstash: World) -> None:
    # "When a schedule is paused, the cron trigger will simply be ignored" (vendor's description).
    _schedule(qstash, "*/5 * * * *")
    qstash.http.patch("/v2/schedules/sweep/pause")
    qstash.advance(12 * 60)
    assert (qstash.app.times, qstash.http.get("/v2/schedules/sweep").json()["isPaused"]) == ([], True)
    qstash.http.post("/v2/schedules/sweep/resume")
    qstash.advance(5 * 60)
    assert qstash.app.times == [900]


def test_the_same_id_gives_a_schedule_new_settings(qstash: World) -> None:
    _schedule(qstash, "*/5 * * * *")
    created = qstash.http.get("/v2/schedules/sweep").json()["createdAt"]
    qstash.advance(60)
    _schedule(qstash, "*/20 * * * *")
    (shown,) = qstash.http.get("/v2/schedules").json()
    assert (shown["cron"], shown["createdAt"]) == ("*/20 * * * *", created)
    qstash.advance(3600)
    assert qstash.app.times == [1200, 2400, 3600]


def test_a_deleted_schedule_fires_no_more(qstash: World) -> None:
    _schedule(qstash, "*/5 * * * *")
    qstash.advance(300)
    assert qstash.http.delete("/v2/schedules/sweep").status_code == 200
    qstash.advance(3600)
    assert qstash.app.times == [300]
    assert qstash.http.get("/v2/schedules/sweep").status_code == 404


def test_a_schedule_of_a_queue_and_of_a_url_group(qstash: World) -> None:
    qstash.http.post("/v2/topics/todo/endpoints", json={"endpoints": [{"url": f"{APP}/1"}, {"url": f"{APP}/2"}]})
    headers = {"Upstash-Cron": "0 9 * * *", "Upstash-Queue-Name": "q"}
    schedule = qstash.http.post("/v2/schedules/todo", headers=headers).json()["scheduleId"]
    assert schedule.startswith("scd_")
    qstash.advance(3600)
    assert [(one.path, one.headers["Upstash-Queue-Name"]) for one in qstash.app.deliveries] == [
        ("/1", "q"),
        ("/2", "q"),
    ]
    qstash.http.delete("/v2/topics/todo")
    qstash.advance(86400)
    assert "not found" in qstash.http.get(f"/v2/schedules/{schedule}").json()["error"]


def test_a_failed_delivery_marks_its_schedule(qstash: World) -> None:
    qstash.fail(500)
    _schedule(qstash, "0 9 * * *", upstash_retries="0")
    qstash.advance(3600)
    assert list(qstash.http.get("/v2/schedules/sweep").json()["lastScheduleStates"].values()) == ["FAIL"]
    assert qstash.dead()[0]["scheduleId"] == "sweep"


@pytest.mark.parametrize(
    "cron",
    ["", "* * * *", "* * * * * *", "61 * * * *", "CRON_TZ=Nowhere/At_All 0 0 * * *", "0 0 30 2 *", "CRON_TZ=UTC"],
)
def test_what_is_no_cron_expression_is_refused(qstash: World, cron: str) -> None:
    answer = qstash.post(f"/v2/schedules/{APP}", "", upstash_cron=cron)
    assert (answer.status_code, "ron" in answer.json()["error"]) == (400, True), answer.text


def _times(cron: str, zone: str, start: datetime, count: int) -> list[str]:
    moment, times = round(start.timestamp() * 1000), []
    for _ in range(count):
        moment = next_time(cron, moment)
        times.append(datetime.fromtimestamp(moment / 1000, ZoneInfo(zone)).strftime("%m-%d %H:%M %Z"))
    return times


def test_times_are_in_utc_unless_the_expression_names_a_zone() -> None:
    start = datetime(2026, 7, 1, tzinfo=timezone.utc)
    assert _times("30 4 * * *", "UTC", start, 1) == ["07-01 04:30 UTC"]
    assert _times("CRON_TZ=America/New_York 30 4 * * *", "UTC", start, 1) == ["07-01 08:30 UTC"]


def test_a_daily_time_that_is_left_out_when_clocks_go_forward_fires_after_the_gap() -> None:
    # 29 March 2026, Berlin: 02:00 becomes 03:00.
    start = datetime(2026, 3, 28, 12, tzinfo=timezone.utc)
    assert _times("CRON_TZ=Europe/Berlin 30 2 * * *", "Europe/Berlin", start, 2) == [
        "03-29 03:00 CEST",
        "03-30 02:30 CEST",
    ]


def test_a_daily_time_that_comes_twice_when_clocks_go_back_fires_once() -> None:
    # 25 October 2026, Berlin: 03:00 becomes 02:00.
    start = datetime(2026, 10, 24, 12, tzinfo=timezone.utc)
    assert _times("CRON_TZ=Europe/Berlin 30 2 * * *", "Europe/Berlin", start, 2) == [
        "10-25 02:30 CEST",
        "10-26 02:30 CET",
    ]


def test_every_five_minutes_is_every_five_minutes_whatever_clocks_do() -> None:
    for start in (datetime(2026, 3, 28, 23, tzinfo=timezone.utc), datetime(2026, 10, 24, 23, tzinfo=timezone.utc)):
        moment = round(start.timestamp() * 1000)
        for _ in range(60):
            later = next_time("CRON_TZ=Europe/Berlin */5 * * * *", moment)
            assert later - moment == 300_000
            moment = later


def test_an_expression_that_makes_no_sense_names_itself() -> None:
    with pytest.raises(ApiError, match="hourly"):
        next_time("hourly", START)
