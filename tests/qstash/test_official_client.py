"""A client of the official package that is handed in: what it is asked for, and what its failures mean."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import Any

import httpx
import pytest
import qstash
from qstash.errors import DailyMessageLimitExceededError, QStashError, RateLimitExceededError

from eventsource_upstash import (
    App,
    AsyncApp,
    Memory,
    Misuse,
    OutcomeUnknown,
    Receipt,
    Refused,
    Schedules,
    Unavailable,
)
from eventsource_upstash._io.blocking import run
from eventsource_upstash.backends.qstash import Delivery, QStash
from tests.qstash.carrier import TOKEN, Carrier
from tests.unit.todo import TaskCreated, todo

URL = "https://app.example.com/projections"


class Messages:
    def __init__(self, failure: Exception | None) -> None:
        self.failure = failure
        self.asked: list[dict[str, object]] = []

    def publish(self, **options: object) -> object:
        self.asked.append(options)
        if self.failure is not None:
            raise self.failure
        return object()


class Client:
    """Has the shape of `qstash.QStash`."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.message = Messages(failure)
        self.schedule = self.message


class AsyncMessages(Messages):
    async def publish(self, **options: object) -> object:
        return super().publish(**options)


class AsyncClient:
    """Has the shape of `qstash.AsyncQStash`."""

    def __init__(self) -> None:
        self.message = AsyncMessages(None)
        self.schedule = self.message


def test_what_it_is_asked_for() -> None:
    client = Client()
    delivery = Delivery(parallelism=2, retries=5, retry_delay="1000", timeout=30, label="x")
    transport = QStash(URL, client=client, namespace="todo", delivery=delivery)
    assert run(transport.notices(Carrier()).send(42, 7)) == Receipt(1, 0, 15)
    assert client.message.asked == [
        {
            "url": URL,
            "url_group": None,
            "body": b'{"position":42}',
            "content_type": "application/json",
            "retries": 5,
            "retry_delay": "1000",
            "timeout": 30,
            "label": "x",
            "flow_control": {"key": "todo", "parallelism": 2},
            "deduplication_id": "todo-42-7",
        }
    ]


def test_a_url_group_without_a_limit() -> None:
    client = Client()
    run(QStash("group", client=client, delivery=Delivery(parallelism=None)).notices(Carrier()).send(1, 2))
    (asked,) = client.message.asked
    assert (asked["url"], asked["url_group"], asked["flow_control"]) == (None, "group", None)


@pytest.mark.parametrize(
    ("failure", "error", "said"),
    [
        (DailyMessageLimitExceededError("1000", "0", "1"), Refused, "used up"),
        (RateLimitExceededError("1", "0", "1"), Unavailable, "this second"),
        (QStashError(f"Request failed with status: 401, body: {TOKEN}"), Refused, r"token \(401\)"),
        (QStashError("Request failed with status: 400, body: x"), Refused, r"\(400\).*cause"),
        (QStashError("Request failed with status: 404, body: x"), Refused, "404"),
        (QStashError("Request failed with status: 503, body: x"), OutcomeUnknown, "503"),
        (httpx.ConnectError(TOKEN), Unavailable, r"could not be reached \(ConnectError\)"),
        (httpx.ReadTimeout(TOKEN), OutcomeUnknown, r"did not answer \(ReadTimeout\)"),
        (ValueError(TOKEN), OutcomeUnknown, r"did not answer \(ValueError\)"),
        (Misuse("mine"), Misuse, "mine"),
        (TypeError("publish() got an unexpected keyword"), TypeError, "unexpected"),
    ],
)
def test_what_its_failures_mean(failure: Exception, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said) as raised:
        run(QStash(URL, client=Client(failure)).notices(Carrier()).send(1, 2))
    assert TOKEN not in str(raised.value)


def test_one_for_event_loops_needs_one() -> None:
    client = AsyncClient()
    transport = QStash(URL, client=client)
    with pytest.raises(Misuse, match="AsyncQStash needs an event loop"):
        App(Memory(), todo().registry, transport)
    app = AsyncApp(Memory(), todo().registry, transport)
    asyncio.run(app.event_store.append("task-1", TaskCreated("1", "Do the dishes")))
    assert len(client.message.asked) == 1


@pytest.mark.parametrize("client", ["token", object(), httpx.Client])
def test_no_client(client: Any) -> None:
    with pytest.raises(Misuse, match=r"it is a qstash\.QStash or qstash\.AsyncQStash"):
        QStash(URL, client=client)


@pytest.mark.parametrize("options", [{"token": TOKEN}, {"url": "https://qstash.upstash.io"}])
def test_a_client_and_what_it_has_of_its_own(options: dict[str, Any]) -> None:
    with pytest.raises(Misuse, match="client has a token and a URL of its own"):
        QStash(URL, client=Client(), **options)


def test_the_real_ones_have_that_shape() -> None:
    for client in (qstash.QStash("token"), qstash.AsyncQStash("token")):
        assert QStash(URL, client=client).client is client


def test_schedules_of_one_for_event_loops() -> None:
    with pytest.raises(Misuse, match="AsyncQStash needs an event loop"):
        Schedules(QStash(URL, client=AsyncClient()))


def test_nobody_pays_for_what_is_not_used() -> None:
    """Publishing needs no event loop, no HTTP client and no signing; the receiver no HTTP client either."""
    program = """
import sys
from eventsource_upstash.backends.qstash import QStash
transport = QStash("https://app.example.com/", token="t", current_signing_key="a", next_signing_key="b")
assert not {"asyncio", "httpx", "qstash", "hmac", "ssl"} & set(sys.modules), sorted(sys.modules)
transport.receiver()
assert not {"asyncio", "httpx", "qstash", "jwt", "ssl"} & set(sys.modules), sorted(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
