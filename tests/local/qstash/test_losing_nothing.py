"""Whatever is published, fails, is delayed and crashes, in whatever order: nothing is lost; queues keep their order."""

from __future__ import annotations

from collections import Counter
from typing import Literal

from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.local.qstash.support import APP, Delivery, World, world

RETRIES = 3

publishes = st.tuples(
    st.just("publish"),
    st.integers(0, RETRIES),  # how often its delivery fails
    st.sampled_from(["", "q", "r"]),  # its queue
    st.sampled_from([0, 0, 30, 3600]),  # its delay in seconds
)
advances = st.tuples(st.just("advance"), st.sampled_from([1, 12, 200, 4000]))
crashes = st.tuples(st.just("crash"), st.booleans())  # amid the deliveries, or between them
Step = tuple[Literal["publish"], int, str, int] | tuple[Literal["advance"], int] | tuple[Literal["crash"], bool]


@settings(max_examples=40)
@given(steps=st.lists(st.one_of(publishes, publishes, advances, crashes), min_size=1, max_size=14))
def test_nothing_is_lost_and_queues_keep_their_order(engine_url: str, steps: list[Step]) -> None:
    with world(engine_url) as qstash:
        failures: dict[str, int] = {}
        tries: Counter[str] = Counter()
        done: list[str] = []

        def answering(delivery: Delivery) -> web.Response:
            body = delivery.body.decode()
            tries[body] += 1
            if tries[body] <= failures[body]:
                return web.Response(status=500)
            done.append(body)
            return web.Response()

        qstash.app.answering = answering
        for step in steps:
            if step[0] == "publish":
                _publish(qstash, failures, *step[1:])
            elif step[0] == "advance":
                qstash.advance(step[1])
            else:
                _crash(qstash, failures, amid=step[1])
        # A delivery that was broken off has used up one of its failures without the message counting it.
        qstash.advance(7 * 86_400)
        metrics = qstash.server.metrics()
        assert (metrics.waiting, metrics.in_flight, metrics.dead_letters) == (0, 0, 0)
        assert set(done) == set(failures)
        for queue in ("q", "r"):
            order = [body for body in dict.fromkeys(done) if body.startswith(queue)]
            assert order == [body for body in failures if body.startswith(queue)]


def _publish(qstash: World, failures: dict[str, int], fails: int, queue: str, delay: int) -> None:
    body = f"{queue or 'p'}{len(failures)}"
    failures[body] = fails
    path = f"/v2/enqueue/{queue}/{APP}/" if queue else f"/v2/publish/{APP}/"
    headers = {"upstash_retries": str(RETRIES), "upstash_deduplication_id": body}
    if delay and not queue:
        headers["upstash_delay"] = f"{delay}s"
    answers = [qstash.post(path, body, **headers) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 202]


def _crash(qstash: World, failures: dict[str, int], *, amid: bool) -> None:
    if not amid:
        qstash.crash()
        return
    qstash.idle()
    arrived = len(qstash.app.deliveries)
    release = qstash.hold()
    _publish(qstash, failures, 0, "", 0)
    qstash.until_arrived(arrived + 1)
    qstash.crash()
    release()
