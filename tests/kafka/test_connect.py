"""A URL, or the environment, to a topic and its views: everything that can be wrong is said, and no secret is."""

from __future__ import annotations

import os
from collections.abc import Mapping

import pytest

from eventsource_upstash import InProcess, Kafka, Memory, Misuse, QStash, Registry, RestTopic, SQLite, connect
from eventsource_upstash.backends.redis import UpstashRedis
from eventsource_upstash.connect import backend_of, kafka, parts_of
from eventsource_upstash.domain.positions import Vector
from tests.kafka.memory_topic import MemoryTopic

SECRET = "s3cr3t-of-ours"

REDIS = {"UPSTASH_REDIS_REST_URL": "https://eu1.upstash.io", "UPSTASH_REDIS_REST_TOKEN": SECRET}


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if "KAFKA" in name or "QSTASH" in name or "UPSTASH" in name:
            monkeypatch.delenv(name)


def opened(url: str, environ: Mapping[str, str] = {}) -> Kafka:
    backend = kafka(url, environ)
    assert isinstance(backend, Kafka)
    return backend


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("kafka://b1:9092,b2:9092/todo?views=memory:", "NativeTopic('b1:9092,b2:9092', 'todo')"),
        (f"kafka://ada:{SECRET}@b1:9092/todo?views=memory:", "NativeTopic('b1:9092', 'todo', username='ada')"),
        (
            f"kafkas://ada:{SECRET}@b1:9093/todo?views=memory:&mechanism=SCRAM-SHA-256",
            "NativeTopic('b1:9093', 'todo', username='ada')",
        ),
    ],
)
def test_a_url_names_brokers_and_a_topic(url: str, shown: str) -> None:
    backend = opened(url)
    assert repr(backend.topic) == shown
    assert isinstance(backend.inner, Memory)
    assert backend.capabilities.atomic_appends


def test_a_url_names_a_rest_api_and_a_topic() -> None:
    backend = opened(f"kafka+https://ada:{SECRET}@kafka.example.com/v1/todo?dialect=confluent&views=sqlite:views.db")
    assert isinstance(backend.topic, RestTopic)
    assert backend.topic.name == "todo"
    assert isinstance(backend.inner, SQLite)
    assert not backend.capabilities.atomic_appends
    for shown in (repr(backend), repr(backend.topic)):
        assert SECRET not in shown
        assert "kafka.example.com" in shown
    local = opened("kafka+http://127.0.0.1:8082/todo?views=memory:&beginning=0:5")
    assert isinstance(local.topic, RestTopic)
    panda = opened("kafka+http://127.0.0.1:8082/todo?views=memory:&dialect=redpanda&partitions=12&group=readers").topic
    assert isinstance(panda, RestTopic)
    assert (panda.dialect, panda._partitions, panda._group) == ("redpanda", 12, "readers")


def test_the_environment_names_a_topic_over_rest() -> None:
    environ = {
        "UPSTASH_KAFKA_REST_URL": "https://kafka.example.com",
        "UPSTASH_KAFKA_REST_USERNAME": "ada",
        "UPSTASH_KAFKA_REST_PASSWORD": SECRET,
        "UPSTASH_KAFKA_TOPIC": "todo",
        **REDIS,
    }
    backend = opened("kafka:", environ)
    assert isinstance(backend.topic, RestTopic)
    assert isinstance(backend.inner, UpstashRedis)
    assert SECRET not in repr(backend)
    assert opened("kafka:other", environ).topic.name == "other"
    assert isinstance(opened("kafka:", {**environ, "KAFKA_VIEWS": "memory:"}).inner, Memory)
    assert isinstance(opened("kafka:?views=sqlite:v.db", {**environ, "KAFKA_VIEWS": "memory:"}).inner, SQLite)


def test_the_environment_names_brokers() -> None:
    environ = {"KAFKA_BOOTSTRAP_SERVERS": "b1:9092", "KAFKA_TOPIC": "todo", "KAFKA_VIEWS": "memory:"}
    assert repr(opened("kafka:", environ).topic) == "NativeTopic('b1:9092', 'todo')"
    secured = {**environ, "KAFKA_USERNAME": "ada", "KAFKA_PASSWORD": SECRET, "KAFKA_SASL_MECHANISM": "SCRAM-SHA-512"}
    assert SECRET not in repr(opened("kafka:", secured))
    with pytest.raises(Misuse, match="KAFKA_USERNAME and KAFKA_PASSWORD: one is set") as missing:
        opened("kafka:", {**environ, "KAFKA_PASSWORD": SECRET, "KAFKA_TOPIC": ""})
    assert "KAFKA_TOPIC is not set" in str(missing.value)
    assert SECRET not in str(missing.value)
    with pytest.raises(Misuse, match="KAFKA_SECURITY_PROTOCOL is SASL_SSL, which needs KAFKA_USERNAME"):
        opened("kafka:", {**environ, "KAFKA_SECURITY_PROTOCOL": "sasl_ssl"})
    with pytest.raises(Misuse, match="KAFKA_SECURITY_PROTOCOL is one of"):
        opened("kafka:", {**environ, "KAFKA_SECURITY_PROTOCOL": SECRET})


@pytest.mark.parametrize(
    ("url", "says"),
    [
        (f"kafka://ada:{SECRET}@b1:9092?views=memory:", "names one topic"),
        (f"kafka://ada:{SECRET}@b1:9092/a/b?views=memory:", "names one topic"),
        (f"kafkas:/{SECRET}", "names no host"),
        (
            f"kafka+https://ada:{SECRET}@host/todo?view=memory:",
            "takes beginning, cluster, dialect, group, partitions, views behind",
        ),
        (f"kafka+https://ada:{SECRET}@host/todo?views=memory:&partitions=many", "partitions= is a number"),
        (f"kafka+https://ada:{SECRET}@host/todo?views=memory:&views=memory:", "no name twice"),
        (f"kafka+https://ada:{SECRET}@host/todo?dialect={SECRET}&views=memory:", "dialect= is one of"),
        (f"kafka+https://ada:{SECRET}@host/todo?views=kafka://x/y", "not another topic"),
        (f"kafka+https://ada:{SECRET}@host/todo?views=memory:&beginning=start", "is no position"),
        (f"kafka+https://ada:{SECRET}@host/todo?views", "looks like"),
        (f"kafka+https://ada:{SECRET}@host/todo#x", "no '#'"),
        (f"kafka+https://ada:{SECRET}@host/todo", "keeps no views: say where they are"),
        ("kafka:", "KAFKA_BOOTSTRAP_SERVERS is not set; and .*KAFKA_REST_URL"),
    ],
)
def test_what_is_wrong_is_said_and_no_secret_is(url: str, says: str) -> None:
    with pytest.raises(Misuse, match=says) as wrong:
        opened(url)
    assert SECRET not in str(wrong.value)


def test_an_app_is_wired(monkeypatch: pytest.MonkeyPatch) -> None:
    url = "kafka+http://127.0.0.1:9/todo?views=memory:"
    with connect(url, Registry()) as app:
        assert isinstance(app.backend, Kafka)
    assert isinstance(parts_of(url).transport, InProcess)
    monkeypatch.setenv("QSTASH_TOKEN", SECRET)
    monkeypatch.setenv("QSTASH_CURRENT_SIGNING_KEY", "sig_current")
    monkeypatch.setenv("QSTASH_NEXT_SIGNING_KEY", "sig_next")
    with pytest.raises(Misuse, match=r"EVENTSOURCE_NOTIFY_URL.* Or take QSTASH_TOKEN out of the environment") as wrong:
        parts_of(url)
    assert SECRET not in str(wrong.value)
    monkeypatch.setenv("EVENTSOURCE_NOTIFY_URL", "https://app.example.com/projections")
    assert isinstance(parts_of(url).transport, QStash)


def test_a_log_alone_needs_no_views() -> None:
    backend = backend_of("kafka+http://127.0.0.1:9/todo", {})
    assert isinstance(backend, Kafka)
    assert isinstance(backend.inner, Memory)


def test_arguments_that_cannot_be() -> None:
    with pytest.raises(Misuse, match="hand it a topic"):
        Kafka("todo", views=Memory())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with pytest.raises(Misuse, match="another backend, which keeps views"):
        Kafka(MemoryTopic(), views=Kafka(MemoryTopic(), views=Memory()))
    with pytest.raises(Misuse, match="another backend, which keeps views"):
        Kafka(MemoryTopic(), views="memory:")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with pytest.raises(Misuse, match="a function of a record"):
        Kafka(MemoryTopic(), views=Memory(), foreign="x")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with pytest.raises(Misuse, match="is no position"):
        Kafka(MemoryTopic(), views=Memory(), beginning="start")
    assert Kafka(MemoryTopic(), views=Memory(), beginning=Vector((1, 2))).topic.name == "todo"
