"""Processes over a real broker, with their views in one SQLite file: they come, stop and are killed under load."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections import defaultdict
from pathlib import Path

import msgspec

from eventsource_upstash import App, InProcess, NativeTopic, SQLite
from eventsource_upstash._flow.sharing import SHARES, TABLE
from eventsource_upstash._io.blocking import run
from eventsource_upstash.backends.kafka.backend import Kafka
from tests.kafka.broker import ONE_RECORD_A_BATCH, Broker
from tests.sharing.support import Game, Scored, names

ROOT = Path(__file__).resolve().parents[2]
PLAYERS = names(20)


def start(servers: str, topic: str, file: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.sharing.working", servers, topic, str(file)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def shared_by(app: App, *counts: int) -> None:
    """Return when the partitions are in the hands of so many workers."""
    partitions = app.projection_store.partitions
    assert partitions is not None
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        got = run(partitions.whole.records(SHARES, (TABLE,)))
        if len(set(msgspec.json.decode(got.documents.get(TABLE, b"{}")).get("held", {}).values())) in counts:
            return
    raise AssertionError(f"the partitions did not come to {counts} workers")


def says(worker: subprocess.Popen[str], line: str) -> None:
    assert worker.stdout is not None
    assert worker.stdout.readline() == line


def test_processes_that_come_stop_and_are_killed_lose_and_double_nothing(broker: Broker, tmp_path: Path) -> None:
    topic, file = broker.topic(4), tmp_path / "views.db"
    game = Game(teams=True, index=False)
    backend = Kafka(NativeTopic(broker.address, topic, options=ONE_RECORD_A_BATCH), views=SQLite(file))
    app = App(backend, game.registry, InProcess())
    expected: defaultdict[str, list[int]] = defaultdict(list)

    def load(count: int) -> None:
        for _ in range(count):
            number = sum(map(len, expected.values()))
            player = PLAYERS[number % len(PLAYERS)]
            app.event_store.append(player, Scored(number))
            expected[player].append(number)

    workers = [start(broker.address, topic, file) for _ in range(3)]
    try:
        load(60)
        for worker in workers:
            says(worker, "ready\n")
        shared_by(app, 3)
        folding = [threading.Thread(target=says, args=(worker, "folded\n")) for worker in workers]
        for thread in folding:
            thread.start()
        deadline = time.monotonic() + 60
        while any(thread.is_alive() for thread in folding):  # until each of them has had its share
            assert time.monotonic() < deadline, "a worker folds nothing"
            load(20)
        workers[0].kill()  # and what it had is nobody's until its lease is over
        load(60)
        workers[1].communicate(timeout=60)
        shared_by(app, 1, 2)  # the one that is left; and the one that was killed, as long as its lease lasts
        load(60)
        workers[2].communicate(timeout=60)
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()
    assert (workers[1].returncode, workers[2].returncode) == (0, 0)
    view = app.projection_store.view(game.players, consistency="strong")
    assert {key: player.folded for key, player in view.items()} == {
        key: tuple(points) for key, points in expected.items()
    }
    assert game.teams is not None
    team = app.projection_store.view(game.teams, consistency="strong").get("red")
    assert team is not None
    assert team.events == sum(map(len, expected.values()))
    app.close()
