"""Workers that share the partitions of a topic, and views that are kept in parts."""

from __future__ import annotations

from dataclasses import dataclass, replace

from docs.snippets.kafka import a_cluster
from eventsource_upstash import App, InProcess, Kafka, Memory, NativeTopic, Registry

registry = Registry()


@registry.event("moved")
@dataclass(frozen=True)
class Moved:
    meters: int
    fleet: str


@dataclass(frozen=True)
class Van:
    meters: int = 0


@dataclass(frozen=True)
class Fleet:
    meters: int = 0


# --8<-- [start:partitioned]
vans = registry.projection("vans", Van, partitioned=True)


@vans.on(Moved)  # no key=: the document is that of the stream
def moved(van: Van | None, event: Moved) -> Van:
    return replace(van or Van(), meters=(van or Van()).meters + event.meters)


vans.index("meters", "meters")
# --8<-- [end:partitioned]

# --8<-- [start:whole]
fleets = registry.projection("fleets", Fleet)  # fed from every partition: folded as a whole


@fleets.on(Moved, key="fleet")
def fleet_moved(fleet: Fleet | None, event: Moved) -> Fleet:
    return Fleet((fleet or Fleet()).meters + event.meters)


# --8<-- [end:whole]


def test_workers_side_by_side() -> None:
    assert all((moved, fleet_moved))
    with a_cluster(partitions=4) as servers:
        topic = NativeTopic(servers, "todo")
        app = App(Kafka(topic, views=Memory()), registry, InProcess())
        # --8<-- [start:worker]
        with app.worker():  # in each process: as many as there are partitions have something to do
            for number in range(8):
                app.event_store.append(f"van-{number}", Moved(number * 100, "north"))
        # --8<-- [end:worker]
        # --8<-- [start:read]
        appended = app.event_store.append("van-3", Moved(500, "north"))

        view = app.projection_store.view(vans)
        # Its part is brought up alone.
        assert view.get("van-3", at_least=appended.position) == Van(800)

        head = app.event_store.head()
        assert view.count(at_least=head) == 8
        assert view.index("meters").top(1) == [("van-3", Van(800))]
        # --8<-- [end:read]
        assert app.projection_store.view(fleets).get("north", at_least=head) == Fleet(3300)
        # --8<-- [start:status]
        [status, _] = app.projection_store.status()
        behind = [part.partition for part in status.parts if part.lag or part.stopped]
        # --8<-- [end:status]
        assert behind == []
        app.close()


def test_a_consumer_group() -> None:
    with a_cluster() as servers:
        # --8<-- [start:group]
        topic = NativeTopic(servers, "todo", group="vans")
        # --8<-- [end:group]
        topic.close()
