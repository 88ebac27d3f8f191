"""Positions in a log of several partitions: tokens, vectors, documents fed from several."""

from __future__ import annotations

# --8<-- [start:views]
from dataclasses import dataclass

from eventsource_upstash import App, Kafka, Registry, RestTopic, SQLite, Vector, join, read_position
from eventsource_upstash.local import KafkaSettings, LocalUpstash

registry = Registry()


@registry.event("moved")
@dataclass(frozen=True)
class Moved:
    product: str
    pieces: int


@dataclass(frozen=True)
class Stock:
    pieces: int = 0


stocks = registry.projection("stocks", Stock)


@stocks.on(Moved, key="product")  # its streams are warehouses: each may have moved this product
def moved(stock: Stock | None, event: Moved) -> Stock:
    return Stock((stock or Stock()).pieces + event.pieces)


# --8<-- [end:views]


def test_tokens(in_empty_folder: None) -> None:
    with LocalUpstash(kafka=KafkaSettings(topics={"shop": 4})) as upstash:
        url, username, password = upstash.kafka.url, upstash.kafka.username, upstash.kafka.password
        topic = RestTopic(url, "shop", dialect="upstash", username=username, password=password)
        app = App(Kafka(topic, views=SQLite("views.db")), registry, None)
        # --8<-- [start:token]
        appended = app.event_store.append("berlin", Moved("bolts", 40))
        stock = app.projection_store.view(stocks).get("bolts", at_least=appended.position)
        # --8<-- [end:token]
        assert stock == Stock(40)
        # --8<-- [start:join]
        left = app.event_store.append("berlin", Moved("bolts", -10))
        arrived = app.event_store.append("oslo", Moved("bolts", 10))

        token = join(left.position, arrived.position)
        stock = app.projection_store.view(stocks).get("bolts", at_least=token)
        # --8<-- [end:join]
        assert stock == Stock(40)
        # --8<-- [start:vector]
        head = app.event_store.head()
        text = str(head)  # such as "2:2,3:1": two events in partition 2, one in partition 3
        assert isinstance(head, Vector)
        assert read_position(text) == head
        assert left.position <= head
        # --8<-- [end:vector]
        assert text.count(":") == 2
        # --8<-- [start:status]
        status = app.projection_store.status()[0]
        assert status.lag == int(status.head) - int(status.checkpoint) == 0
        # --8<-- [end:status]
        app.close()
