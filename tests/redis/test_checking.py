"""`App.check`: what a deployment is told before anything depends on it, on the local Upstash."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator

import httpx
import pytest
import redis

from eventsource_upstash import (
    App,
    AsyncApp,
    Memory,
    Misuse,
    QStash,
    Refused,
    Registry,
    SQLite,
    Unavailable,
    UpstashRedis,
)
from eventsource_upstash._io.blocking import PORT, run
from eventsource_upstash.backends.redis.checking import look_at
from eventsource_upstash.backends.redis.log import RedisLog
from eventsource_upstash.local import LocalUpstash

ENDPOINT = "https://app.example.com/projections"


@pytest.fixture
def own() -> Iterator[LocalUpstash]:
    """A local Upstash that a test may spoil."""
    with LocalUpstash() as running:
        yield running


def described(upstash: LocalUpstash, namespace: str) -> UpstashRedis:
    return UpstashRedis(upstash.redis_url, upstash.redis_token, namespace=namespace)


def notifying(upstash: LocalUpstash, **keys: str | None) -> QStash:
    environment = upstash.environment()
    return QStash(
        ENDPOINT,
        token=environment["QSTASH_TOKEN"],
        url=upstash.qstash_url,
        **{
            "current_signing_key": environment["QSTASH_CURRENT_SIGNING_KEY"],
            "next_signing_key": environment["QSTASH_NEXT_SIGNING_KEY"],
            **keys,
        },
    )


def test_nothing_is_said_where_all_is_well(upstash: LocalUpstash, caplog: pytest.LogCaptureFixture) -> None:
    backend = described(upstash, "check-well")
    with caplog.at_level(logging.WARNING):
        assert App(backend, Registry(), notifying(upstash)).check() == ()
        assert asyncio.run(AsyncApp(backend, Registry(), notifying(upstash)).check()) == ()
    assert not caplog.records


def test_embedded_backends_have_nothing_to_say(tmp_path) -> None:
    for backend in (Memory(), SQLite(tmp_path / "log.db")):
        with App(backend, Registry(), None) as app:
            assert app.check() == ()


def test_it_costs_what_it_says(own: LocalUpstash) -> None:
    app = App(described(own, "check"), Registry(), None)
    app.check()  # the server is sent the scripts
    own.reset_metrics()
    app.check()
    counted = own.metrics()["redis"]["total"]
    assert (counted["requests"], counted["commands"]) == (4, 8)


def test_it_leaves_nothing_behind(own: LocalUpstash) -> None:
    App(described(own, "check"), Registry(), None).check()
    assert redis.Redis.from_url(own.engine_url).keys("*check*") == []


def test_eviction_is_warned_of(own: LocalUpstash, caplog: pytest.LogCaptureFixture) -> None:
    redis.Redis.from_url(own.engine_url).config_set("maxmemory-policy", "allkeys-random")
    (doubt,) = App(described(own, "check"), Registry(), None).check()
    assert "eviction is switched on (allkeys-random)" in doubt
    assert "Switch it off" in doubt
    assert doubt in caplog.text


@pytest.mark.parametrize(("skew", "words"), [(600, "600 s ahead of"), (-600, "600 s behind")])
def test_a_clock_that_is_off_by_ten_minutes_is_warned_of(upstash: LocalUpstash, skew: int, words: str) -> None:
    log = described(upstash, "check-clock").log(PORT)
    assert isinstance(log, RedisLog)
    (doubt,) = run(look_at(log, lambda: time.time() + skew))
    assert words in doubt


def test_a_wrong_token_is_refused(upstash: LocalUpstash) -> None:
    backend = UpstashRedis(upstash.redis_url, "another", namespace="check")
    with pytest.raises(Refused, match="UPSTASH_REDIS_REST_TOKEN") as caught:
        App(backend, Registry(), None).check()
    assert "another" not in str(caught.value).replace("another one", "")


def test_a_read_only_token_is_refused(upstash: LocalUpstash) -> None:
    backend = UpstashRedis(upstash.redis_url, upstash.read_only_token, namespace="check")
    with pytest.raises(Refused, match="read-only token cannot write"):
        App(backend, Registry(), None).check()


def test_a_server_that_is_not_there_is_unavailable(own: LocalUpstash) -> None:
    backend = UpstashRedis(own.redis_url, own.redis_token, namespace="check", total_timeout=0.2)
    own.stop()
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1"):
        App(backend, Registry(), None).check()


@pytest.mark.parametrize("kind", ["text", "list"])
def test_a_namespace_that_something_else_uses_is_refused(own: LocalUpstash, kind: str) -> None:
    engine = redis.Redis.from_url(own.engine_url)
    if kind == "text":
        engine.set("{check}:head", "somebody's")
    else:
        engine.rpush("{check}:head", "somebody's")
    with pytest.raises(Refused, match="Choose another namespace"):
        App(described(own, "check"), Registry(), None).check()


def test_signing_keys_of_another_account_are_refused(upstash: LocalUpstash) -> None:
    transport = notifying(upstash, current_signing_key="sig_other", next_signing_key="sig_others_next")
    with pytest.raises(Refused, match="would be refused") as caught:
        App(Memory(), Registry(), transport).check()
    assert "sig_" not in str(caught.value)


def test_signing_keys_that_are_missing_or_rotated_are_told(upstash: LocalUpstash) -> None:
    for keys, words in (
        ({"next_signing_key": "sig_others_next"}, "was rotated"),
        ({"current_signing_key": None, "next_signing_key": None}, "no signing keys are set"),
    ):
        (doubt,) = App(Memory(), Registry(), notifying(upstash, **keys)).check()
        assert words in doubt
        assert "sig_" not in doubt


def test_a_url_group_that_is_not_there_is_refused(upstash: LocalUpstash) -> None:
    environment = upstash.environment()
    transport = QStash("nobody", token=environment["QSTASH_TOKEN"], url=upstash.qstash_url)
    with pytest.raises(Refused, match="no URL group 'nobody'"):
        App(Memory(), Registry(), transport).check()


def test_a_wrong_token_of_qstash_is_refused(upstash: LocalUpstash) -> None:
    transport = QStash(ENDPOINT, token="another", url=upstash.qstash_url)
    with pytest.raises(Refused, match="token"):
        App(Memory(), Registry(), transport).check()


def test_something_else_at_the_url_of_qstash_is_refused(upstash: LocalUpstash) -> None:
    with pytest.raises((Refused, Misuse)):
        App(Memory(), Registry(), QStash(ENDPOINT, token="t", url=upstash.redis_url)).check()


def test_jobs_that_nothing_can_be_sent_to(own: LocalUpstash) -> None:
    environ = {**own.environment(), "QSTASH_TOPIC": "projections"}
    authorization = {"authorization": f"Bearer {environ['QSTASH_TOKEN']}"}
    endpoints = f"{own.qstash_url}/v2/topics/projections/endpoints"
    httpx.post(endpoints, json={"endpoints": [{"url": ENDPOINT}]}, headers=authorization).raise_for_status()
    backend = described(own, "check-jobs")
    for jobs_url, doubtful in ((None, True), ("https://app.example.com", False)):
        app = App(backend, Registry(), QStash.from_env(environ=environ, jobs_url=jobs_url))
        assert app.check() == ()
        app.job("/workers/report")(lambda job: None)
        doubts = app.check()
        assert bool(doubts) is doubtful
        assert all("messages to jobs cannot be sent" in doubt and "EVENTSOURCE_JOBS_URL" in doubt for doubt in doubts)
        app.close()
