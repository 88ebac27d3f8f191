"""The broker that the tests run on keeps what it is given, and is gone with all that it held when it is killed."""

from __future__ import annotations

from tests.kafka.broker import Broker


def test_topics_are_there_until_it_is_killed() -> None:
    with Broker() as broker:
        name = broker.topic(4)
        assert len(broker.admin.list_topics(timeout=10).topics[name].partitions) == 4
        broker.kill()
        broker.start()
        assert broker.admin.list_topics(timeout=10).topics == {}


def test_records_come_back(broker: Broker) -> None:
    from confluent_kafka import Consumer, Producer, TopicPartition

    topic = broker.topic()
    producer = Producer({"bootstrap.servers": broker.address})
    producer.produce(topic, b"value", b"key")
    assert producer.flush(30) == 0
    with Consumer({"bootstrap.servers": broker.address, "group.id": "nobody"}) as consumer:
        consumer.assign([TopicPartition(topic, 0, 0)])
        message = consumer.poll(30)
        assert message is not None
        assert (message.key(), message.value()) == (b"key", b"value")
