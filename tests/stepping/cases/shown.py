"""The table of the exhaustive cases, as the documentation has it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tests.stepping.cases.every import CASES, TROUBLES, Cell, cells, known
from tests.stepping.cases.wrong import PROTOCOLS, SCRIPTS

PAGE: Final = Path(__file__).parents[3] / "docs" / "schedules-table.md"


def page() -> str:
    """Both tables: how many schedules there are of each case, and what each wrong variant was caught by."""
    present = known()
    lines = [
        "| | backend | " + " | ".join("no trouble" if each == "none" else each for each in TROUBLES) + " |",
        "| --- | --- | " + "---: | " * len(TROUBLES),
    ]
    lines[1] = lines[1].rstrip()
    total = 0
    for name, case in CASES.items():
        for place in case.places:
            numbers = [present.get(Cell(name, place, trouble)) for trouble in TROUBLES]
            total += sum(filter(None, numbers))
            shown = " | ".join("more" if number is None else f"{number:,}" for number in numbers)
            lines.append(f"| {name} | {place} | {shown} |")
    lines += [
        "",
        (
            f"{total:,} schedules in {len(present)} of {len(list(cells()))} cells, and each of them passed. "
            "`more`: not run to its end yet; `python -m tests.stepping.cases --missing --write` goes on with it."
        ),
        "",
        "| what is wrong on purpose | caught by | with | on | in a schedule of so many steps |",
        "| --- | --- | --- | --- | ---: |",
    ]
    for name, wrong in SCRIPTS.items():
        trouble = "no trouble" if wrong.trouble == "none" else wrong.trouble
        lines.append(f"| script: {name} | {wrong.case} | {trouble} | {wrong.place} | {wrong.steps} |")
    for name, protocol in PROTOCOLS.items():
        trouble = "no trouble" if protocol.trouble == "none" else protocol.trouble
        lines.append(f"| protocol: {name} | {protocol.case} | {trouble} | model | {protocol.steps} |")
    return "\n".join(lines) + "\n"
