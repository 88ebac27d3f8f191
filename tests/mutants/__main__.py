"""Mutation testing: is each line of the logic held by a test that runs in a moment?

    python -m tests.mutants [MODULE ...] [--again] [--budget SECONDS] [--jobs N] [--reach] [--sample N[:K]]

A module is a part or a file of `src/eventsource_upstash`, `domain` or `_flow/parking.py`; without one, all parts. What
was found is kept in `.mutants/`: a run that was ended goes on where it was, and a function that has not changed is not
tried again (its survivors are, with `--again`). `--sample 8` tries one of eight, for a first look, and `--sample 8:3`
the fourth such eighth. Exits with 1 if fewer than 90 % were killed, or if one survives that `survivors.toml` does not
tell the reason of.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import sys
import time
import traceback
import zlib
from collections import Counter
from pathlib import Path

import pytest

from tests.mutants.judging import ALIVE, report, say
from tests.mutants.mutant import SOURCE, Mutant
from tests.mutants.suites import EMBEDDED, UPSTASH, Suite, suite_of

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # comes with pytest there

HERE = Path(__file__).parent
KEPT = Path(".mutants")
RESULTS = KEPT / "results.jsonl"


class Known:
    """The verdicts of this run and of earlier ones."""

    def __init__(self) -> None:
        KEPT.mkdir(exist_ok=True)
        lines = RESULTS.read_text().splitlines() if RESULTS.exists() else []
        self._lines = {line["name"]: line for line in map(json.loads, lines)}

    def verdict(self, mutant: Mutant) -> str | None:
        found = self._lines.get(mutant.name)
        return found["verdict"] if found and found["of"] == _digest(mutant) else None


def main(words: list[str]) -> int:
    from tests.mutants.making import PARTS, mutants_of

    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__.split("\n")[0])
    parser.add_argument("modules", nargs="*", default=list(PARTS))
    parser.add_argument("--again", action="store_true", help="try survivors again")
    parser.add_argument("--budget", type=float, default=4.0, help="seconds of tests for one mutant")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--reach", action="store_true", help="measure anew which test runs which line")
    parser.add_argument("--report", action="store_true", help="only tell what was found")
    parser.add_argument("--sample", default="1", metavar="N[:K]", help="try one of N only, the draw K of the N")
    given = parser.parse_args(words)
    os.environ["FEWER_EXAMPLES"] = "1"

    mutants: list[Mutant] = []
    for module in given.modules:
        path = SOURCE / module
        for file in sorted(path.glob("*.py")) if path.is_dir() else [path]:
            mutants += mutants_of(str(file.relative_to(SOURCE)))
    size, _, draw = given.sample.partition(":")
    if int(size) > 1:  # in no order of theirs, so that a run that was ended has seen some of everything
        drawn = {each.name: zlib.crc32(each.name.encode()) for each in mutants}
        mutants = [each for each in mutants if drawn[each.name] % int(size) == int(draw or 0)]
        mutants.sort(key=lambda each: drawn[each.name])
    if not given.report:
        known, again = Known(), ALIVE if given.again else ()
        wanted = [each for each in mutants if (found := known.verdict(each)) is None or found in again]
        for suite in (EMBEDDED, UPSTASH):
            mine = [each for each in wanted if suite_of(each.module) is suite]
            if mine:
                _in_a_process(suite, mine, given)
    known = Known()
    return report(mutants, {each.name: known.verdict(each) for each in mutants}, read_listed())


def _in_a_process(suite: Suite, mutants: list[Mutant], given: argparse.Namespace) -> None:
    """Measure the suite where that is to be done, and try the mutants: each in a process that knows no other suite."""
    reach = KEPT / f"reach-{suite.name}.json"
    with suite.beside():
        for step in ([_measure] if given.reach or not reach.exists() else []) + [_kill]:
            pid = os.fork()
            if not pid:
                try:
                    step(suite, reach, mutants, given)
                except BaseException:
                    traceback.print_exc()
                finally:
                    os._exit(0)
            os.waitpid(pid, 0)


def _measure(suite: Suite, reach: Path, mutants: list[Mutant], given: argparse.Namespace) -> None:
    from tests.mutants.reaching import Measuring

    pytest.main(suite.arguments, plugins=[*suite.plugins(), Measuring(reach, suite.jobs(given.jobs), say)])


def _kill(suite: Suite, reach: Path, mutants: list[Mutant], given: argparse.Namespace) -> None:
    from tests.mutants.killing import Killing
    from tests.mutants.reaching import Reach

    began = time.time()
    counts: Counter[str] = Counter()
    with RESULTS.open("a") as results:

        def told(mutant: Mutant, verdict: str, test: str) -> None:
            line = {"name": mutant.name, "of": _digest(mutant), "verdict": verdict, "test": test}
            results.write(json.dumps(line) + "\n")
            results.flush()
            counts[verdict] += 1
            if counts.total() % 100 == 0:
                used = resource.getrusage(resource.RUSAGE_CHILDREN)
                spent = f"{time.time() - began:.0f} s, {used.ru_utime + used.ru_stime:.0f} s of a processor"
                say(f"{counts.total()} of {len(mutants)} in {spent}: {dict(counts)}")

        killing = Killing(mutants, Reach.read(reach), given.budget, suite.jobs(given.jobs), told)
        pytest.main(suite.arguments, plugins=[*suite.plugins(), killing])


def _digest(mutant: Mutant) -> str:
    return hashlib.sha256(mutant.unchanged.encode()).hexdigest()[:12]


def read_listed() -> dict[str, str]:
    """The reason for each mutant that may survive; in a name `*` stands for anything."""
    held = tomllib.loads((HERE / "survivors.toml").read_text())
    return {mutant: each["why"] for each in held["survivors"] for mutant in each["mutants"]}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
