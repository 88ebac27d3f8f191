"""Messages, delays and schedules, delivered in process."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from eventsource_upstash import Job, Registry, connect

registry = Registry()


def test_messages() -> None:
    # --8<-- [start:send]
    now = datetime(2026, 1, 1, tzinfo=timezone.utc)
    app = connect("memory:", registry, clock=lambda: round(now.timestamp()) * 1_000_000_000)
    reminded: list[object] = []

    @app.job("/workers/remind")
    def remind(job: Job) -> None:
        reminded.append(job.json())

    app.messages.send("/workers/remind", {"post": 1}, delay=timedelta(hours=24))
    # --8<-- [end:send]
    # --8<-- [start:deliver]
    assert app.messages.deliver_due().delivered == 0
    now += timedelta(hours=24)
    assert app.messages.deliver_due().delivered == 1
    # --8<-- [end:deliver]
    # --8<-- [start:schedule]
    app.schedules.create(
        "CRON_TZ=Europe/Berlin 0 3 * * *", "/workers/remind", {"post": 0}, schedule_id="nightly"
    )
    now += timedelta(days=3)
    assert app.messages.deliver_due().delivered == 1
    # --8<-- [end:schedule]
    # --8<-- [start:dead]
    app.messages.send("/workers/remind", b"not JSON", id="lost")
    app.messages.deliver_due()
    (dead,) = app.messages.dead()
    assert app.messages.revive(dead.message.id)
    # --8<-- [end:dead]
    assert reminded == [{"post": 1}, {"post": 0}]
