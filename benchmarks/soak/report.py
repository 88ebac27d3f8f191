"""All that is said of a run when it is over. `python -m benchmarks.soak.report FOLDER` says it again."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from benchmarks.soak import telling
from benchmarks.soak.lives import leaks, lives
from benchmarks.soak.results import Sample, lines
from benchmarks.soak.running import Result
from benchmarks.soak.verdict import judge

RESULT = "result.json"
"""Where the numbers are that are not in samples."""


def report(folder: Path) -> tuple[str, bool]:
    """The figures and the verdict of a run, and whether all is well."""
    result = msgspec.json.decode((folder / RESULT).read_bytes(), type=Result)
    held = lives(lines(folder, "samples", Sample))
    verdict = judge(folder)
    text = "\n".join([telling.table(result), telling.processes(held), *result.problems, str(verdict)])
    return text, verdict.ok and not result.problems and not leaks(held)


def main(folder: Path) -> int:
    """Print the report, and keep it in the folder, with the plot. Answers the exit code."""
    from benchmarks.soak.plot import draw  # it takes a second, and a run needs none of it

    text, good = report(folder)
    (folder / "report.md").write_text(text + "\n")
    print(text)
    for file in draw(folder, folder):
        print(file)
    return int(not good)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
