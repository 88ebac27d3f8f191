"""What goes wrong at a cluster is told as what the caller can do about it, in time, and without a secret."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from eventsource_upstash import Misuse, NativeTopic, OutcomeUnknown, Refused, TooLarge, Unavailable
from eventsource_upstash._io.blocking import PORT, run
from eventsource_upstash.backends.kafka.topic import NewRecord
from eventsource_upstash.testing.colours import Colour
from tests.kafka.broker import ONE_RECORD_A_BATCH, Broker
from tests.kafka.native.tls import speaking_tls

Opened = Callable[..., NativeTopic]
MEGABYTE = 1024 * 1024

colours = pytest.mark.parametrize("colour", list(Colour), ids=lambda colour: colour.name.lower())


def new(value: str = "a") -> NewRecord:
    return NewRecord(b"task-1", value.encode(), 1_700_000_000_000)


@pytest.fixture
def own() -> Iterator[Broker]:
    """A broker of the test's own, to be killed."""
    with Broker() as running:
        yield running


@colours
def test_nobody_at_the_address(colour: Colour, own: Broker) -> None:
    own.kill()
    topic = NativeTopic(own.address, "todo", timeout=0.3)

    async def work() -> None:
        client = topic.client(colour.port)
        for attempt in (
            client.partitions(),
            client.bounds([0]),
            client.fetch({0: 0}, 10, MEGABYTE),
            client.produce(0, [new()]),
            client.produce(0, [new(), new()]),
        ):
            with pytest.raises(Unavailable, match=r"nothing was written\. Try again"):
                await attempt

    colour.run(work())
    topic.close()


@colours
def test_a_broker_that_stands_still(colour: Colour, own: Broker) -> None:
    """What was sent may have been written; what is only asked for can be asked for again."""
    topic = NativeTopic(own.address, own.topic(), timeout=0.5, options=ONE_RECORD_A_BATCH)

    async def work() -> None:
        client = topic.client(colour.port)
        await client.produce(0, [new("before")])
        await client.fetch({0: 0}, 10, MEGABYTE)
        own.pause()
        with pytest.raises(OutcomeUnknown, match="the answer to a write was lost"):
            await client.produce(0, [new("meanwhile")])
        with pytest.raises(Unavailable):
            await client.bounds([0])
        own.resume()
        (bounds, _) = await client.bounds([0])
        found = await client.fetch({0: 0}, 10, MEGABYTE)
        assert [record.value for record in found.records][:1] == [b"before"]
        assert bounds[0].high in (1, 2), "it was written, or not: nobody could tell"
        (offset,), _ = await client.produce(0, [new("after")])
        assert offset >= bounds[0].high

    colour.run(work())
    topic.close()


@colours
def test_a_broker_that_stands_still_in_a_transaction(colour: Colour, own: Broker) -> None:
    topic = NativeTopic(own.address, own.topic(), timeout=1.0, options=ONE_RECORD_A_BATCH)

    async def work() -> None:
        client = topic.client(colour.port)
        await client.produce(0, [new("a"), new("b")])
        own.pause()
        with pytest.raises((OutcomeUnknown, Unavailable)):
            await client.produce(0, [new("c"), new("d")])
        own.resume()
        first, _ = await client.produce(0, [new("e"), new("f")])
        assert len(first) == 2

    colour.run(work())
    topic.close()


def test_a_broker_that_is_killed_amid_writes_and_comes_back_empty(own: Broker) -> None:
    """Whoever was answered has written; whoever was not is told what is known. Then the same objects go on."""
    name = own.topic()
    topic = NativeTopic(own.address, name, timeout=1.5, options=ONE_RECORD_A_BATCH)
    written: list[int] = []
    errors: list[BaseException] = []
    enough = threading.Event()

    def write() -> None:
        client = topic.client(PORT)
        while not errors:
            try:
                offsets, _ = run(client.produce(0, [new()]))
            except (OutcomeUnknown, Unavailable) as error:  # noqa: PERF203  one try after the other
                errors.append(error)
            else:
                written.extend(offsets)
                if len(written) > 50:
                    enough.set()

    threads = [threading.Thread(target=write) for _ in range(3)]
    for thread in threads:
        thread.start()
    assert enough.wait(30)
    own.kill()
    for thread in threads:
        thread.join()
    assert len(errors) >= 1
    assert sorted(written) == list(range(len(written)))
    own.start()
    client = topic.client(PORT)
    with pytest.raises(Refused, match="is not there"):
        run(client.produce(0, [new()]))
    own.topic(name=name)
    assert run(client.produce(0, [new()]))[0] == [0]
    assert [record.offset for record in run(client.fetch({0: 0}, 10, MEGABYTE)).records] == [0]
    topic.close()


@colours
def test_a_record_that_is_too_large(colour: Colour, opened: Opened) -> None:
    topic = opened(options={**ONE_RECORD_A_BATCH, "message.max.bytes": 20_000})

    async def work() -> None:
        client = topic.client(colour.port)
        for records in ([new("x" * 30_000)], [new(), new("x" * 30_000)]):
            with pytest.raises(TooLarge, match="at most 20000 bytes") as raised:
                await client.produce(0, records)
            assert raised.value.size == 30_006
        assert (await client.bounds([0]))[0][0].high in (0, 1), "at most the mark of what was given up"
        await client.produce(0, [new()])

    colour.run(work())


@colours
def test_a_broker_that_asks_for_a_user(colour: Colour, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with Broker("--authentication") as strict:

        def attempt(**settings: object) -> str:
            topic = NativeTopic(strict.address, "todo", timeout=1.0, **settings)  # type: ignore[arg-type]
            with pytest.raises((Refused, Unavailable)) as raised:
                colour.run(topic.client(colour.port).produce(0, [new()]))
            topic.close()
            assert "s3cret" not in repr(topic) + repr(raised.value) + str(raised.value.__cause__) + caplog.text
            return f"{type(raised.value).__name__}: {raised.value}"

        for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512", "PLAIN"):
            said = attempt(username="alice", password="s3cret", mechanism=mechanism)
            assert said.startswith("Refused: ")
            assert "the broker does not take the user name and password; nothing was written" in said
            assert f"and the mechanism ({mechanism})" in said
        assert "Unavailable" in attempt()


@colours
def test_tls(colour: Colour, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with Broker(advertised=port) as broker, speaking_tls(listener, broker.port, tmp_path) as trusted:
            name = "todo"
            address = f"127.0.0.1:{port}"

            def opened(**settings: object) -> NativeTopic:
                settings = {"options": ONE_RECORD_A_BATCH, "timeout": 2.0, **settings}
                return NativeTopic(address, name, **settings)  # type: ignore[arg-type]

            from confluent_kafka.admin import AdminClient, NewTopic

            admin = AdminClient(
                {
                    "bootstrap.servers": address,
                    "security.protocol": "SSL",
                    "ssl.ca.location": str(trusted),
                    "log_level": 0,
                }
            )
            (made,) = admin.create_topics([NewTopic(name, 1, 1)]).values()
            made.result(30)
            del admin, made

            for ca in (str(trusted), trusted.read_text()):
                topic = opened(tls=True, ca=ca)
                colour.run(topic.client(colour.port).produce(0, [new()]))
                topic.close()
            stranger = opened(tls=True)
            with pytest.raises(Refused, match=r"no encrypted connection; .* which authority signed"):
                colour.run(stranger.client(colour.port).partitions())
            stranger.close()
            plain = opened(timeout=0.5)
            with pytest.raises(Unavailable, match="check the addresses, and whether the brokers want TLS"):
                colour.run(plain.client(colour.port).partitions())
            plain.close()


def test_options_that_librdkafka_does_not_know(opened: Opened) -> None:
    for options, said in (
        ({"no.such.option": 1}, "No such configuration property"),
        ({"linger.ms": "soon"}, 'Invalid value for configuration property "queue.buffering.max.ms"'),
        ({"ssl.key.password": "s3cret", "queued.min.messages": "s3cret"}, "Invalid value .*queued.min.messages"),
    ):
        topic = opened(options=options)
        with pytest.raises(Misuse, match=said) as raised:
            run(topic.client(PORT).produce(0, [new()]))
        assert "CONFIGURATION.md" in str(raised.value)
        if "ssl.key.password" in options:
            assert "s3cret" not in str(raised.value)
