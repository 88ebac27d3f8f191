"""A topic of Kafka over REST on a bad wire: what was appended is handed out once, though the topic has doubles."""

from __future__ import annotations

import random
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest

from eventsource_upstash import App, Kafka, OutcomeUnknown, RestTopic, SQLite, Unavailable
from eventsource_upstash.local import KafkaSettings, LocalUpstash
from eventsource_upstash.testing.proxy import FaultyProxy, Seeded
from tests.searching import thorough
from tests.wire.workload import Noted, Tally, domain

DOUBLING = ("duplicate", "late-duplicate", "late-request", "lose-answer", "error-502")
"""What leaves a record in the topic twice, or would if it were sent again without looking."""


class Appender(threading.Thread):
    def __init__(self, name: str, app: App, steps: int, seed: int) -> None:
        super().__init__()
        self.names = [f"{name}-{number}" for number in range(steps)]
        self.app = app
        self.dice = random.Random(f"{seed}/{name}")
        self.told: dict[str, str] = {}
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            for mark in self.names:
                try:
                    self.app.event_store.append(self.dice.choice(("one", "two")), Noted(mark))
                    self.told[mark] = "ok"
                    if self.dice.random() < 0.3:
                        self.app.projector.catch_up()
                except (OutcomeUnknown, Unavailable) as error:  # noqa: PERF203
                    self.told.setdefault(mark, type(error).__name__)
        except BaseException as error:
            self.error = error
        finally:
            self.app.close()


@pytest.mark.parametrize("seed", range(thorough()))
def test_a_topic_on_a_bad_wire(tmp_path: Path, seed: int) -> None:
    faults = Seeded(seed, probability=0.6, kinds=DOUBLING, seconds=0.1)
    with (
        LocalUpstash(kafka=KafkaSettings(topics={"noted": 1})) as upstash,
        FaultyProxy(upstash.kafka.url, faults=faults) as proxy,
    ):
        the = domain()

        def app(url: str, total: float) -> App:
            half = upstash.kafka
            topic = RestTopic(
                url,
                "noted",
                username=half.username,
                password=half.password,
                read_timeout=0.5,
                total_timeout=total,
            )
            return App(Kafka(topic, views=SQLite(tmp_path / "views.db")), the.registry, None)

        appenders = [Appender(name, app(proxy.url, 2.0), 15, seed) for name in "ab"]
        for appender in appenders:
            appender.start()
        for appender in appenders:
            appender.join()
            assert appender.error is None
        proxy.settle()
        told = {mark: what for appender in appenders for mark, what in appender.told.items()}
        with app(upstash.kafka.url, 20.0) as looking:
            recorded = list(looking.event_store.read())
            assert looking.event_store.head() > len(recorded), "some stand in the topic more than once"
            assert looking.projector.catch_up().complete
            documents = dict(looking.projection_store.view(the.tallies).items())
    sys.stdout.write(f"kafka, seed {seed}: {dict(Counter(told.values()))}; struck: {dict(proxy.struck)}\n")
    marks = [each.event.mark for each in recorded if isinstance(each.event, Noted)]
    assert len(marks) == len(set(marks)) == len(recorded)
    assert {mark for mark, what in told.items() if what == "ok"} <= set(marks)
    assert not {mark for mark, what in told.items() if what == "Unavailable"} & set(marks)
    folded: dict[str, Tally] = {}
    for each in recorded:
        assert isinstance(each.event, Noted)
        folded[each.stream] = folded.get(each.stream, Tally()).and_(each.event.mark)
    assert documents == folded
