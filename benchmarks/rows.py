"""The rows of the table: what is measured, on how many events, and what is aimed at."""

from __future__ import annotations

from dataclasses import dataclass, field

FLOOR, OURS = "floor", "ours"
JSON, MSGSPEC, PY = "eventsourcing-json", "eventsourcing-msgspec", "eventsource-py"
REDIS_SDK, QSTASH_SDK = "upstash-redis", "qstash"
PEERS = (JSON, MSGSPEC, PY)
CONTESTANTS = (FLOOR, OURS, *PEERS)

# What a program imports to begin with, from each.
IMPORTS = {
    FLOOR: "import msgspec",
    # It loads its parts when they are first asked for, so that the name alone would tell less than the peers' do.
    OURS: "from eventsource_upstash import Registry, connect; connect('memory:', Registry()).projector",
    JSON: "import eventsourcing.application",
    MSGSPEC: "import eventsourcing.application, msgspec",
    PY: "from eventsource import DomainEvent, InMemoryEventStore, register_event",
}
REST_IMPORTS = {
    FLOOR: "import httpx, msgspec",
    OURS: (
        "from eventsource_upstash import Registry, UpstashRedis, connect; "
        "connect(UpstashRedis('https://redis.example', 'token'), Registry()).projector"
    ),
    REDIS_SDK: "from upstash_redis import Redis",
    QSTASH_SDK: "from qstash import QStash",
}


@dataclass(frozen=True)
class Row:
    """`size` events, `quick` with --quick, fewer for a slow peer. Microseconds, unless said."""

    name: str
    title: str
    measure: str
    size: int
    quick: int
    unit: str = "µs"
    on_disk: bool = False
    fewer: dict[str, int] = field(default_factory=dict[str, int])
    # What is aimed at: at most so many times the floor; at least so many times faster than the best
    # peer; at most so much; at most so much over the floor; at most a quarter over another row.
    times_floor: float | None = None
    times_faster: float | None = None
    at_most: float | None = None
    over_floor: float | None = None
    flat_with: str | None = None
    only_with: str | None = None
    over_rest: bool = False
    on_kafka: bool = False

    @property
    def faster(self) -> str:
        times = self.times_faster or 1
        return f"≥ {times:g}x faster" if times > 1 else "below every peer"

    @property
    def target(self) -> str:
        parts: list[str] = []
        if self.times_floor is not None:
            parts.append(f"≤ {self.times_floor:g}x floor")
        if self.over_floor is not None:
            parts.append(f"≤ floor + {self.over_floor:g}")
        if self.times_faster is not None:
            parts.append(self.faster)
        if self.at_most is not None:
            parts.append(f"≤ {self.at_most:,g}")
        if self.flat_with is not None:
            parts.append("flat")
        return ", ".join(parts) or "-"


SLOW_SQLITE = {JSON: 5_000, MSGSPEC: 5_000, PY: 500}

ROWS = (
    Row(
        "append-memory",
        "append 1, memory",
        "append-memory",
        50_000,
        10_000,
        times_floor=3,
        times_faster=5,
    ),
    Row(
        "append-sqlite",
        "append 1, SQLite on tmpfs",
        "append-sqlite",
        5_000,
        2_000,
        fewer={PY: 1_000},
        times_floor=1.3,
    ),
    Row(
        "append-sqlite-disk",
        "append 1, SQLite on disk, fsync",
        "append-sqlite",
        1_500,
        500,
        on_disk=True,
        fewer={PY: 500},
        times_floor=1.15,
    ),
    Row(
        "append-100",
        "append 100 at once, SQLite",
        "append-100",
        20_000,
        10_000,
        fewer={PY: 5_000},
        times_floor=1.5,
    ),
    Row("read-memory", "read typed, memory", "read-memory", 50_000, 20_000, times_floor=3),
    Row(
        "read-sqlite",
        "read typed, SQLite",
        "read-sqlite",
        50_000,
        20_000,
        fewer={PY: 5_000},
        times_floor=1.7,
    ),
    Row(
        "project-memory",
        "project 100,000 in memory",
        "project-memory",
        100_000,
        20_000,
        times_floor=1.7,
        times_faster=8,
    ),
    Row(
        "project-sqlite",
        "project to an SQLite view, exactly once",
        "project-sqlite",
        50_000,
        10_000,
        fewer=SLOW_SQLITE,
        times_floor=1.5,
        times_faster=20,
    ),
    Row("load", "load an aggregate of 1,000, in all", "load", 1_000, 1_000, times_floor=1.5),
    Row(
        "bytes",
        "bytes per stored event, memory",
        "bytes",
        20_000,
        5_000,
        unit="bytes",
        fewer={PY: 5_000},
        at_most=300,
    ),
    Row("visible", "append to visible, worker alone", "visible", 100, 20, at_most=1_000),
    Row(
        "read-your-write",
        "append to visible, waited for",
        "read-your-write",
        100,
        20,
        fewer={JSON: 10, MSGSPEC: 10},
        at_most=1_000,
    ),
    Row("import", "import", "import", 0, 0, unit="ms", over_floor=25, times_faster=1),
    Row(
        "peak-10k",
        "peak memory of catching up 10,000, SQLite",
        "peak",
        10_000,
        10_000,
        unit="MB",
    ),
    Row(
        "peak-100k",
        "peak memory of catching up 100,000",
        "peak",
        100_000,
        100_000,
        unit="MB",
        fewer={JSON: 0, MSGSPEC: 0},
        flat_with="peak-10k",
    ),
    Row(
        "peak-1m",
        "peak memory of catching up 1,000,000",
        "peak",
        1_000_000,
        1_000_000,
        unit="MB",
        fewer={JSON: 0, MSGSPEC: 0},
        flat_with="peak-10k",
        only_with="million",
    ),
)

REST_CONTESTANTS = (FLOOR, OURS, REDIS_SDK, QSTASH_SDK)

REST_ROWS = (
    Row("rest-append", "append 1", "append", 2_000, 500, over_rest=True, times_floor=1.25),
    Row("rest-append-cpu", "the same, processor time of the caller", "append-cpu", 2_000, 500, over_rest=True),
    Row("rest-append-async", "append 1, event loop", "append-async", 2_000, 500, over_rest=True, times_floor=1.25),
    Row("rest-project", "project 5,000", "project", 5_000, 5_000, over_rest=True, times_floor=1.25),
    Row("rest-project-cpu", "the same, processor time of the caller", "project-cpu", 5_000, 5_000, over_rest=True),
    Row(
        "rest-rebuild",
        "a new view of 100,000 events",
        "rebuild",
        100_000,
        20_000,
        unit="s in all",
        over_rest=True,
        times_floor=1.25,
    ),
    Row("rest-import", "import", "import", 0, 0, unit="ms", over_rest=True, times_faster=1),
    Row("rest-cold", "import and first request", "cold", 1, 1, unit="ms", over_rest=True),
    Row("rest-script", "script, stream of 10, payload of 200 B", "script", 10, 10, over_rest=True),
    Row(
        "rest-script-10k",
        "script, stream of 10,000, payload of 200 B",
        "script",
        10_000,
        10_000,
        over_rest=True,
        flat_with="rest-script",
    ),
    Row("rest-script-large", "script, stream of 10, payload of 20 kB", "script-large", 10, 10, over_rest=True),
    Row(
        "rest-script-large-10k",
        "script, stream of 10,000, payload of 20 kB",
        "script-large",
        10_000,
        10_000,
        over_rest=True,
        flat_with="rest-script-large",
    ),
)
"""Over REST, on a local Upstash in another process."""

KAFKA_ROWS = (
    Row("kafka-append", "append 1, answered", "append", 5_000, 1_000, on_kafka=True, times_floor=1.5),
    Row("kafka-append-cpu", "the same, processor time", "append-cpu", 5_000, 1_000, on_kafka=True),
    Row(
        "kafka-produce", "produce 100,000, each 100 at once", "produce", 100_000, 20_000, on_kafka=True, times_floor=1.5
    ),
    Row(
        "kafka-produce-cpu", "the same, processor time", "produce-cpu", 100_000, 20_000, on_kafka=True, times_floor=1.5
    ),
    Row("kafka-project", "project 100,000, 1 partition", "project-1", 100_000, 20_000, on_kafka=True, times_floor=1.5),
    Row(
        "kafka-project-cpu",
        "the same, processor time",
        "project-1-cpu",
        100_000,
        20_000,
        on_kafka=True,
        times_floor=1.5,
    ),
    Row("kafka-project-2", "the same, 2 partitions, by time", "project-2", 100_000, 20_000, on_kafka=True),
    Row("kafka-project-2-cpu", "the same, processor time", "project-2-cpu", 100_000, 20_000, on_kafka=True),
    Row("kafka-project-4", "the same, 4 partitions, by time", "project-4", 100_000, 20_000, on_kafka=True),
    Row("kafka-project-4-cpu", "the same, processor time", "project-4-cpu", 100_000, 20_000, on_kafka=True),
)
"""Over Kafka's own protocol, on a broker in another process."""
