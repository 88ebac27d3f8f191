"""`python -m tests.stepping.cases`: runs every schedule of the exhaustive cases, and prints how many there are.

With `--write` it notes them in counts.json, and writes the table of the documentation.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from eventsource_upstash.local import LocalUpstash
from eventsource_upstash.testing import Explored
from tests.stepping.cases.every import COUNTS, Cell, cells, count, known
from tests.stepping.cases.places import CUT, REDIS, TOLD, Place, kafka, memory, model, quietly, redis, sqlite
from tests.stepping.cases.shown import PAGE, page


class Enough(BaseException):
    """There are more schedules than are to be run."""


def note(cell: Cell, number: int | None) -> None:
    with COUNTS.open("r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        found = json.load(file)
        if number is None:
            found.pop(" | ".join(cell), None)
        else:
            found[" | ".join(cell)] = number
        order = {" | ".join(each): index for index, each in enumerate(cells())}
        file.seek(0)
        file.truncate()
        json.dump({key: found[key] for key in sorted(found, key=order.__getitem__)}, file, indent=0)
        file.write("\n")


def run(cell: Cell, place: Place, most: int | None) -> Explored | None:
    made = 0

    def fresh() -> object:
        nonlocal made
        made += 1
        if most is not None and made > most:
            raise Enough
        return place.fresh()

    try:
        return count(cell.case, place._replace(fresh=fresh), cell.trouble)
    except Enough:
        return None


def main() -> None:
    parser = argparse.ArgumentParser("python -m tests.stepping.cases", description=__doc__)
    parser.add_argument("--place", action="append", metavar="NAME", help="only there, as in --place SQLite")
    parser.add_argument("--case", metavar="TEXT", default="", help="only the cases that have it in their name")
    parser.add_argument("--trouble", action="append", metavar="NAME", help="only with that, as in --trouble none")
    parser.add_argument("--most", type=int, metavar="N", help="leave a cell after so many runs")
    parser.add_argument("--missing", action="store_true", help="only what is not noted yet")
    parser.add_argument("--write", action="store_true", help="note the numbers, and write the table")
    options = parser.parse_args()
    present = known()
    chosen = [
        cell
        for cell in cells()
        if (not options.place or cell.place in options.place)
        and (not options.trouble or cell.trouble in options.trouble)
        and options.case in cell.case
        and not (options.missing and cell in present)
    ]
    total = runs = 0
    with ExitStack() as stack:
        stack.enter_context(quietly())
        folder = stack.enter_context(tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
        opened = [memory(), model(), kafka(), kafka(waits=True), sqlite(Path(folder))]
        if any(cell.place in {REDIS, CUT, TOLD} for cell in chosen):
            upstash = stack.enter_context(LocalUpstash())
            opened += [redis(upstash), redis(upstash, cut=True), redis(upstash, told=True)]
        places = {place.name: place for place in map(stack.enter_context, opened)}
        for cell in chosen:
            began = time.monotonic()
            explored = run(cell, places[cell.place], options.most)
            number = explored and explored.schedules
            total += number or 0
            runs += options.most if explored is None else explored.runs
            said = "more" if explored is None else f"{explored.schedules:,}, by {explored.runs:,} runs"
            print(f"{cell.case} · {cell.place} · {cell.trouble}: {said} ({time.monotonic() - began:.1f} s)", flush=True)  # noqa: T201  it is a command
            if options.write and number is not None:
                note(cell, number)
    print(f"{total:,} schedules, by {runs:,} runs; each of them passed")  # noqa: T201  likewise
    if options.write:
        PAGE.write_text(page())


if __name__ == "__main__":
    sys.exit(main())
