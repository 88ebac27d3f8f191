"""What became of the mutants, and whether that is good enough."""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Mapping, Sequence

from tests.mutants.mutant import Mutant

DEAD = ("killed", "timeout")
ALIVE = ("survived", "unreached", "broken")
LEAST = 0.9


def say(line: str) -> None:
    """Past what pytest captures."""
    print(line, file=sys.__stdout__, flush=True)


def report(mutants: Sequence[Mutant], verdicts: Mapping[str, str | None], listed: Mapping[str, str]) -> int:
    """Tell what became of them; 1 if too few were killed, or one survives without a reason."""
    modules: dict[str, Counter[str]] = {}
    for mutant in mutants:
        modules.setdefault(mutant.module, Counter())[verdicts[mutant.name] or "untried"] += 1
    parts: dict[str, Counter[str]] = {}
    for module, counts in modules.items():
        parts.setdefault(module.rpartition("/")[0], Counter()).update(counts)
    for name, counts in [*modules.items(), *parts.items(), ("all", sum(parts.values(), Counter()))]:
        killed, valid = score(counts)
        rest = ", ".join(f"{count} {verdict}" for verdict, count in sorted(counts.items()) if verdict not in DEAD)
        say(f"{name:40} {killed:5} of {valid:5} {killed / max(1, valid):6.1%}  {rest}")
    patterns = [(re.compile(".*".join(map(re.escape, pattern.split("*")))), why) for pattern, why in listed.items()]
    unlisted = [
        each
        for each in mutants
        if verdicts[each.name] in ALIVE and not any(pattern.fullmatch(each.name) for pattern, _ in patterns)
    ]
    for each in unlisted:
        say(f"{verdicts[each.name]}, and not listed: {each.name}  (line {each.lines.start})")
    killed, valid = score(sum(parts.values(), Counter()))
    untried = any(counts["untried"] for counts in parts.values())
    return int(killed < LEAST * valid or bool(unlisted) or untried)


def score(counts: Counter[str]) -> tuple[int, int]:
    """How many were killed, and of how many."""
    return sum(counts[each] for each in DEAD), sum(counts[each] for each in (*DEAD, *ALIVE))
