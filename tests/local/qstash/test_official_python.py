"""The official Python client, unchanged, in both its colours: everything that an app uses of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from qstash import AsyncQStash, QStash, Receiver
from qstash.errors import QStashError
from qstash.log import LogState
from qstash.schedule import ScheduleState

from eventsource_upstash.local.qstash.settings import CURRENT_SIGNING_KEY, NEXT_SIGNING_KEY, TOKEN
from tests.local.qstash.support import APP, START, World

# Any: the two clients have no type in common, though the same methods.
Scenario = Callable[[Any], Awaitable[None]]


class _Awaited:
    """The blocking client with methods that can be awaited."""

    def __init__(self, client: object) -> None:
        self._client = client

    def __getattr__(self, name: str) -> object:
        found = getattr(self._client, name)
        if not callable(found):
            return _Awaited(found)

        async def call(*args: object, **kwargs: object) -> object:
            return found(*args, **kwargs)

        return call


@pytest.fixture(params=["blocking", "async"])
def play(request: pytest.FixtureRequest, qstash: World) -> Callable[[Scenario], None]:
    """Plays a scenario with a client of either colour."""

    def play(scenario: Scenario) -> None:
        async def with_async_client() -> None:
            client = AsyncQStash(TOKEN, base_url=qstash.url, retry=False)
            async with client.http._client:  # it has no `close` of its own
                await scenario(client)

        if request.param == "async":
            asyncio.run(with_async_client())
            return
        client = QStash(TOKEN, base_url=qstash.url, retry=False)
        with client.http._client:
            asyncio.run(_run(scenario(_Awaited(client))))

    return play


async def _run(scenario: Awaitable[None]) -> None:
    await scenario


Play = Callable[[Scenario], None]


def test_publishing(qstash: World, play: Play) -> None:
    async def scenario(client: Any) -> None:
        first = await client.message.publish(
            url=f"{APP}/raw?a=b",
            body="text",
            content_type="text/plain",
            method="PUT",
            headers={"My-Header": "1"},
            label="l",
            timeout="30s",
            flow_control={"key": "k", "parallelism": 2, "rate": 5, "period": "1m"},
        )
        second = await client.message.publish_json(url=f"{APP}/json", body={"a": 1}, deduplication_id="d", retries=1)
        again = await client.message.publish_json(url=f"{APP}/json", body={"a": 1}, deduplication_id="d")
        assert (first.deduplicated, second.deduplicated, again.deduplicated) == (False, False, True)
        assert again.message_id == second.message_id
        content = [
            await client.message.publish_json(url=f"{APP}/c", body=1, content_based_deduplication=True)
            for _ in range(2)
        ]
        assert [one.deduplicated for one in content] == [False, True]
        # No colon: it is refused, and the words reach the caller.
        with pytest.raises(QStashError, match="deduplication id"):
            await client.message.publish(url=APP, deduplication_id="a:b")

    play(scenario)
    qstash.idle()
    got = {one.path: one for one in qstash.app.deliveries}
    assert set(got) == {"/raw?a=b", "/json", "/c"}
    assert (got["/raw?a=b"].method, got["/raw?a=b"].headers["My-Header"]) == ("PUT", "1")
    assert got["/json"].headers["Content-Type"] == "application/json"
    receiver = Receiver(CURRENT_SIGNING_KEY, NEXT_SIGNING_KEY)
    for path, delivery in got.items():
        receiver.verify(
            signature=delivery.headers["Upstash-Signature"], body=delivery.body.decode(), url=f"{APP}{path}"
        )


def test_a_batch_with_everything(qstash: World, play: Play) -> None:
    async def scenario(client: Any) -> None:
        await client.url_group.upsert_endpoints("todo", [{"url": f"{APP}/1", "name": "one"}, {"url": f"{APP}/2"}])
        answers = await client.message.batch_json(
            [
                {"url": f"{APP}/plain", "body": {"a": 1}, "retries": 2},
                {"url_group": "todo", "body": 2},
                {"queue": "q", "url": f"{APP}/queued", "body": 3},
            ]
        )
        assert isinstance(answers[1], list)
        assert [answer.url for answer in answers[1]] == [f"{APP}/1", f"{APP}/2"]
        assert len({answers[0].message_id, answers[2].message_id}) == 2
        raw = await client.message.batch([{"url": f"{APP}/raw", "delay": "1h", "headers": {"A": "b"}}])
        assert (await client.message.get(raw[0].message_id)).not_before == START + 3_600_000

    play(scenario)
    qstash.idle()
    assert sorted(one.path for one in qstash.app.deliveries) == ["/1", "/2", "/plain", "/queued"]


def test_queues(qstash: World, play: Play) -> None:
    async def scenario(client: Any) -> None:
        await client.queue.upsert("q", parallelism=2, paused=True)
        await client.message.enqueue(queue="q", url=f"{APP}/a", body="1")
        await client.message.enqueue_json(queue="q", url=f"{APP}/b", body={"b": 2})
        queue = await client.queue.get("q")
        assert (queue.name, queue.parallelism, queue.lag, queue.paused) == ("q", 2, 2, True)
        assert [one.name for one in await client.queue.list()] == ["q"]
        await client.queue.resume("q")
        assert not (await client.queue.get("q")).paused
        await client.queue.pause("q")
        assert (await client.queue.get("q")).paused
        await client.queue.resume("q")

    play(scenario)
    qstash.idle()
    assert sorted(one.path for one in qstash.app.deliveries) == ["/a", "/b"]

    async def end(client: Any) -> None:
        await client.queue.delete("q")
        assert await client.queue.list() == []

    play(end)


def test_messages(qstash: World, play: Play) -> None:
    async def scenario(client: Any) -> None:
        published = [
            await client.message.publish(
                url=f"{APP}/{number}",
                body="x",
                delay=60,
                retry_delay="1000 * (1 + retried)",
                callback=f"{APP}/told",
                callback_headers={"Forward-A": "b"},
                failure_callback=f"{APP}/failed",
                flow_control={"key": "k", "rate": 9, "period": 60},
                label="l",
            )
            for number in range(5)
        ]
        shown = await client.message.get(published[0].message_id)
        assert (shown.url, shown.body, shown.method, shown.max_retries) == (f"{APP}/0", "x", "POST", 3)
        assert (shown.callback, shown.failure_callback) == (f"{APP}/told", f"{APP}/failed")
        assert shown.callback_headers == {"Forward-A": ["b"]}
        assert (shown.retry_delay_expression, shown.label) == ("1000 * (1 + retried)", "l")
        assert (shown.flow_control.key, shown.flow_control.rate, shown.flow_control.period) == ("k", 9, 60)
        await client.message.cancel(published[0].message_id)
        assert await client.message.cancel_many([one.message_id for one in published[1:3]]) == 2
        assert await client.message.cancel_all() == 2
        with pytest.raises(QStashError, match="not found"):
            await client.message.get(published[0].message_id)

    play(scenario)
    qstash.advance(3600)
    assert qstash.app.deliveries == []


def test_schedules(qstash: World, play: Play) -> None:
    async def create(client: Any) -> None:
        created = await client.schedule.create_json(
            destination=f"{APP}/sweep",
            cron="CRON_TZ=Europe/Berlin */5 * * * *",
            schedule_id="sweep",
            body={"a": 1},
            retries=2,
            delay="10s",
            timeout=30,
            label="l",
            flow_control={"key": "k", "parallelism": 1},
        )
        assert created == "sweep"
        schedule = await client.schedule.get("sweep")
        assert (schedule.cron, schedule.destination) == ("CRON_TZ=Europe/Berlin */5 * * * *", f"{APP}/sweep")
        assert (schedule.body, schedule.retries, schedule.delay, schedule.timeout) == ('{"a": 1}', 2, 10, 30)
        assert (schedule.paused, schedule.label, schedule.flow_control.parallelism) == (False, "l", 1)
        assert schedule.next_schedule_time == START + 300_000
        await client.schedule.pause("sweep")
        assert (await client.schedule.get("sweep")).paused
        await client.schedule.resume("sweep")

    async def end(client: Any) -> None:
        (schedule,) = await client.schedule.list()
        assert list(schedule.last_schedule_states.values()) == [ScheduleState.SUCCESS]
        await client.schedule.delete("sweep")
        assert await client.schedule.list() == []

    play(create)
    qstash.advance(310)
    assert qstash.app.times == [310]
    play(end)


def test_url_groups(qstash: World, play: Play) -> None:
    async def scenario(client: Any) -> None:
        await client.url_group.upsert_endpoints("todo", [{"url": f"{APP}/1", "name": "one"}, {"url": f"{APP}/2"}])
        group = await client.url_group.get("todo")
        assert [(one.name, one.url) for one in group.endpoints] == [("one", f"{APP}/1"), (None, f"{APP}/2")]
        answers = await client.message.publish_json(url_group="todo", body={})
        assert [answer.url for answer in answers] == [f"{APP}/1", f"{APP}/2"]
        answers = await client.message.enqueue_json(queue="q", url_group="todo", body={})
        assert len(answers) == 2
        await client.url_group.remove_endpoints("todo", [{"name": "one"}])
        assert [one.url for one in (await client.url_group.list())[0].endpoints] == [f"{APP}/2"]
        await client.url_group.delete("todo")
        assert await client.url_group.list() == []

    play(scenario)
    qstash.idle()
    assert len(qstash.app.deliveries) == 4


def test_dead_letters_and_the_log(qstash: World, play: Play) -> None:
    qstash.fail(*[500] * 5)

    async def publish(client: Any) -> None:
        for number in range(5):
            await client.message.publish(url=f"{APP}/{number}", body="x", retries=0, label=f"l{number}")

    async def look(client: Any) -> None:
        first = await client.dlq.list(count=3)
        second = await client.dlq.list(count=3, cursor=first.cursor)
        assert (len(first.messages), len(second.messages), second.cursor) == (3, 2, None)
        letter = first.messages[0]
        assert (letter.response_status, letter.response_body, letter.body) == (500, "no", "x")
        assert (await client.dlq.get(letter.dlq_id)).message_id == letter.message_id
        (found,) = (await client.dlq.list(filter={"label": "l2", "response_status": 500})).messages
        assert found.url == f"{APP}/2"
        await client.dlq.delete(letter.dlq_id)
        assert await client.dlq.delete_many([one.dlq_id for one in second.messages]) == 2
        assert len((await client.dlq.list()).messages) == 2

        log = await client.log.list(filter={"message_id": letter.message_id})
        assert [line.state for line in log.logs] == [
            LogState.FAILED,
            LogState.ERROR,
            LogState.ACTIVE,
            LogState.CREATED,
        ]
        assert (log.logs[1].response_status, log.logs[1].response_body) == (500, "bm8=")
        page = await client.log.list(count=2, filter={"state": LogState.CREATED})
        rest = await client.log.list(cursor=page.cursor, filter={"state": LogState.CREATED})
        assert (len(page.logs), len(rest.logs), rest.cursor) == (2, 3, None)

    play(publish)
    qstash.idle()
    play(look)


def test_keys_and_flow_control(qstash: World, play: Play) -> None:
    async def scenario(client: Any) -> None:
        assert (await client.signing_key.get()).current == CURRENT_SIGNING_KEY
        assert (await client.signing_key.rotate()).current == NEXT_SIGNING_KEY
        await client.flow_control.pin("k", {"parallelism": 3, "rate": 10, "period": 60})
        await client.flow_control.pause("k")
        await client.message.publish(url=f"{APP}/x", flow_control={"key": "k", "parallelism": 1})
        info = await client.flow_control.get("k")
        assert (info.parallelism_max, info.rate_max, info.rate_period, info.is_paused) == (3, 10, 60, True)
        assert (info.is_pinned_parallelism, info.is_pinned_rate) == (True, True)
        await client.flow_control.unpin("k", {"parallelism": True, "rate": True})
        await client.flow_control.reset_rate("k")
        await client.flow_control.resume("k")
        assert not (await client.flow_control.get("k")).is_pinned_rate
        assert (await client.flow_control.get_global_parallelism()).parallelism_max == 100

    play(scenario)
    qstash.idle()
    assert [one.path for one in qstash.app.deliveries] == ["/x"]
