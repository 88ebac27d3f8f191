"""The table of costs: measured bills beside the model of 2023, in dollars for a million actions."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.bill import Bill
from benchmarks.environments import ROOT

if TYPE_CHECKING:
    from pathlib import Path

WAYS = {
    "worker": "this library, a worker told by QStash",
    "reader": "this library, by its readers",
    "2023": "the to-do application of 2023 (model)",
    "by hand": "by hand on `upstash-redis`",
}
READS = {
    "ours, one": "one task: this library",
    "by hand, one": "one task: by hand",
    "ours, list": "a list of 100 tasks: this library",
    "by hand, list": "a list of 100 tasks: by hand",
    "2023, list": "a list of 100 tasks: the application of 2023",
    "ours, nothing new": "a reader's look whether there is anything to fold, when there is not",
}


@dataclass(frozen=True)
class Costs:
    """By way, and by burst; what reading costs; and each action with what it may cost."""

    bills: dict[str, dict[int, Bill]]
    reads: dict[str, Bill]
    actions: list[tuple[str, int, str, int, int]]

    @classmethod
    def measured(cls, python: Path, *, quick: bool) -> Costs:
        environment = {name: value for name, value in os.environ.items() if name[:6] != "PYTHON"}
        command = [str(python), "-m", "benchmarks.costs_run", "0.25" if quick else "1"]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"the costs could not be counted:\n{done.stderr}")
        told = json.loads(done.stdout)
        actions = [(title, *rest) for title, *rest in told.pop("actions")]
        reads = {name: Bill(**numbers) for name, numbers in told.pop("reads").items()}
        bills = {
            way: {int(burst): Bill(**numbers) for burst, numbers in by_burst.items()} for way, by_burst in told.items()
        }
        return cls(bills, reads, actions)

    def markdown(self) -> str:
        bursts = list(self.bills["worker"])
        dollars = [["dollars for a million actions", *(f"bursts of {burst:,}" for burst in bursts)]]
        dollars += [[WAYS[way], *(f"${self.bills[way][burst].dollars:,.2f}" for burst in bursts)] for way in WAYS]
        times = (self.bills["worker"][burst].dollars / self.bills["2023"][burst].dollars for burst in bursts)
        dollars.append(["worker ÷ 2023", *(f"{ratio:.2f}" for ratio in times)])
        counts = [
            ["for each action", "burst", "HTTP requests", "Redis commands", "QStash messages", "Kafka messages"],
            *(
                [WAYS[way], f"{burst:,}", *map(number, (bill.requests, bill.commands, bill.qstash, bill.kafka))]
                for way in WAYS
                for burst, bill in self.bills[way].items()
            ),
        ]
        reads = [["reading", "HTTP requests", "Redis commands", "dollars for a million"]]
        reads += [
            [title, number(bill.requests), number(bill.commands), f"${bill.dollars:,.2f}"]
            for name, title in READS.items()
            for bill in (self.reads[name],)
        ]
        return "\n\n".join(map(table, (dollars, counts, reads))) + "\n"

    def actions_markdown(self) -> str:
        """What each action costs: promised, and counted."""
        lines = [["action", "HTTP requests", "Redis commands, at most", "as counted"]]
        lines += [[title, str(sent), most, str(commands)] for title, _, most, sent, commands in self.actions]
        exceeded = [
            title for title, requests, most, sent, commands in self.actions if sent > requests or commands > int(most)
        ]
        return table(lines) + "\n" + "".join(f"\n{title}: above what is promised.\n" for title in exceeded)


def number(value: float) -> str:
    return f"{value:.0f}" if value == round(value) else f"{value:.3f}" if value < 0.1 else f"{value:.2f}"


def table(lines: list[list[str]]) -> str:
    dashes = [":--", *["--:"] * (len(lines[0]) - 1)]
    return "\n".join("| " + " | ".join(line) + " |" for line in (lines[0], dashes, *lines[1:]))
