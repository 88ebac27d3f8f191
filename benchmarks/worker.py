"""One measurement, in a fresh process of the contestant's own environment. Prints one JSON object.

`python -m benchmarks.worker CONTESTANT MEASURE SIZE FOLDER`
"""

from __future__ import annotations

import json
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, cast

from benchmarks.measuring import Job

if TYPE_CHECKING:
    from benchmarks.measuring import Contestant

MODULES = {
    "floor": "floors",
    "ours": "ours",
    "eventsourcing-json": "peer_eventsourcing",
    "eventsourcing-msgspec": "peer_eventsourcing",
    "eventsource-py": "peer_eventsource_py",
    "rest-floor": "rest_floor",
    "rest-ours": "rest_ours",
    "rest-upstash-redis": "rest_cold",
    "rest-qstash": "rest_cold",
    "kafka-floor": "kafka_floor",
    "kafka-ours": "kafka_ours",
}


def run(name: str, measure: str, size: int, folder: Path) -> dict[str, object]:
    module = import_module(f"benchmarks.{MODULES[name]}")
    contestant = cast("Contestant", module.contestant(name))
    if measure not in contestant.measures:
        return {"cannot": contestant.cannot.get(measure, "")}
    value = contestant.measures[measure](Job(size, folder))
    return {"value": value, "caveat": contestant.caveats.get(measure)}


if __name__ == "__main__":
    name, measure, size, folder = sys.argv[1:]
    print(json.dumps(run(name, measure, int(size), Path(folder))))
