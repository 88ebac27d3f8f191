"""A process that is killed: everything that was accepted is delivered after the next start."""

from __future__ import annotations

import json
import subprocess
import sys

import httpx

from eventsource_upstash.local.qstash.clock import Clock
from eventsource_upstash.local.qstash.settings import TOKEN
from tests.local.qstash.support import APP, START, World, world

SERVER = """
import asyncio, sys
from redis.asyncio import Redis
from eventsource_upstash.local.qstash.app import QStashServer
from eventsource_upstash.local.qstash.settings import Settings

async def main(engine, public, app):
    server = QStashServer(Redis.from_url(engine, db=1), Settings(mapping={public: app}))
    await server.start()
    print(server.url, flush=True)
    await asyncio.Event().wait()

asyncio.run(main(*sys.argv[1:]))
"""


def _start(engine_url: str, app_url: str) -> tuple[subprocess.Popen[str], httpx.Client]:
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER, engine_url, APP, app_url], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    url = process.stdout.readline().strip()
    return process, httpx.Client(base_url=url, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=60)


def _kill(process: subprocess.Popen[str], http: httpx.Client) -> None:
    http.close()
    process.kill()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


def test_what_was_accepted_is_delivered_after_a_kill_amid_deliveries(engine_url: str, qstash: World) -> None:
    # `qstash` lends its app and its clean database; its own server has nothing to do.
    process, http = _start(engine_url, qstash.app.url)
    with http:
        release = qstash.hold()
        batch = [{"destination": f"{APP}/", "body": str(number)} for number in range(300)]
        batch += [{"destination": f"{APP}/", "body": f"q{number}", "queue": "q"} for number in range(20)]
        assert http.post("/v2/batch", json=batch).status_code == 200
        qstash.until_arrived(50)
        _kill(process, http)
    release()
    process, http = _start(engine_url, qstash.app.url)
    with http:
        http.get("/dev/idle")
        assert http.get("/dev/metrics").json()["waiting"] == 0
        _kill(process, http)
    assert set(qstash.app.bodies) == {item["body"] for item in batch}
    in_order = [body for body in qstash.app.bodies if body.startswith("q")]
    assert list(dict.fromkeys(in_order)) == [f"q{number}" for number in range(20)]


def test_everything_outlives_a_restart(engine_url: str) -> None:
    with world(engine_url) as first:
        first.fail(500, 500, 489, headers={"Upstash-NonRetryable-Error": "true"})
        first.publish("/retrying", upstash_retry_delay="60000")
        first.idle()
        first.publish("/queued", upstash_label="unused")  # dies of 500, then waits 12 s
        first.idle()
        first.publish("/dead")
        first.idle()
        first.publish("/delayed", "kept", upstash_delay="10m", upstash_deduplication_id="kept")
        first.post("/v2/queues/q/pause")
        first.post(f"/v2/enqueue/q/{APP}/paused", "x")
        first.post(f"/v2/schedules/{APP}/scheduled", "x", upstash_cron="0 * * * *", upstash_schedule_id="hourly")
        first.http.post("/v2/topics/todo/endpoints", json={"endpoints": [{"url": f"{APP}/1"}]})
        first.post("/v2/flowControl/k/pin?parallelism=7")
        keys = first.http.post("/v2/keys/rotate").json()
        first.advance(1)
        log = first.http.get("/v2/logs").json()

    with world(engine_url, clock=Clock(), flush=False) as second:
        # The clock goes on from where it stood.
        assert second.server.clock.now() == START + 1000
        assert second.http.get("/v2/keys").json() == keys
        assert json.loads(second.http.get("/v2/logs").text)["logs"] == log["logs"]
        assert second.http.get("/v2/flowControl/k").json()["parallelismMax"] == 7
        assert second.http.get("/v2/queues/q").json()["paused"] is True
        assert [letter["url"] for letter in second.dead()] == [f"{APP}/dead"]
        again = second.post(f"/v2/publish/{APP}/delayed", "x", upstash_deduplication_id="kept")
        assert again.status_code == 202
        second.advance(3600)
        assert sorted((one.at // 1000, one.path) for one in second.app.deliveries) == [
            (12, "/queued"),
            (60, "/retrying"),
            (600, "/delayed"),
            (3600, "/scheduled"),
        ]
        second.post("/v2/queues/q/resume")
        second.post("/v2/publish/todo", "x")
        second.idle()
        assert sorted(one.path for one in second.app.deliveries[4:]) == ["/1", "/paused"]
