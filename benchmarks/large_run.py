"""One measurement of `large_ours.py` or `large_floor.py`, in a fresh process. Prints one JSON object.

`python -m benchmarks.large_run WORK WHERE SIZE FOLDER`
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import large_floor, large_ours

if TYPE_CHECKING:
    from collections.abc import Mapping

FLOORS = {"sqlite": large_floor.rebuild_sqlite, "upstash": large_floor.rebuild_upstash}


def run(work: str, where: str, size: int, folder: Path) -> Mapping[str, object]:
    if work == "floor":
        return FLOORS[where](size, folder)
    if work == "rebuild":
        return large_ours.rebuild(where, size, folder)
    works = {"board": large_ours.leaderboard, "long": large_ours.long_aggregate, "tagged": large_ours.tagged}
    return works[work](where, folder)


if __name__ == "__main__":
    work, where, size, folder = sys.argv[1:]
    print(json.dumps(run(work, where, int(size), Path(folder))))
