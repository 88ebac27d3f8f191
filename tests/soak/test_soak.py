"""The soak for a few seconds: what is right passes, whatever is done to it; what is broken is found."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import psutil

from benchmarks.soak import telling
from benchmarks.soak.report import RESULT, report
from benchmarks.soak.results import Sample
from benchmarks.soak.running import Plan, Result, Run
from benchmarks.soak.verdict import judge
from tests.searching import thorough

SECONDS = 3.0 * thorough()
ENOUGH = 80
"""Commands that an app is given to show what it is."""


def soaked(folder: Path, seconds: float, round: float, module: str = "examples.todo.serve") -> Result:
    """A run of at least so many seconds, told to stop when enough commands are acknowledged."""
    told = asyncio.Event()

    def tell(sample: Sample, left: float) -> None:
        assert f"{sample.acknowledged} commands" in telling.line(sample, left)
        if sample.acknowledged >= ENOUGH and sample.at * 60 >= seconds:
            told.set()

    plan = Plan(3600.0, 8, 2, 1, 0.5, folder, module, write_idle=0.03, read_idle=0.2, round=round)
    return asyncio.run(Run(plan, told, tell).run())


def test_told_to_stop_a_run_ends_well_and_leaves_nothing(tmp_path: Path) -> None:
    before = psutil.Process().children(recursive=True)
    result = soaked(tmp_path, SECONDS, 1.5)
    verdict = judge(tmp_path).raise_()
    assert not result.problems
    assert result.seconds < 3600
    assert result.acknowledged >= ENOUGH
    assert sum(result.faults.values()) > 0
    assert sum(result.done.values()) > 0
    assert verdict.counts["appends acknowledged"] == result.acknowledged
    assert verdict.counts["reads of views"] > 0
    assert verdict.counts["views compared with the log"] == 1
    for figure in (f"{result.acknowledged:,}: ", "lose-answer", " killed "):
        assert figure in telling.table(result)
    (tmp_path / RESULT).write_bytes(msgspec.json.encode(result))
    text, good = report(tmp_path)
    assert good
    assert "no violation" in text
    assert "| app-1 | " in text
    assert psutil.Process().children(recursive=True) == before


def test_an_app_that_loses_and_doubles_is_found(tmp_path: Path) -> None:
    result = soaked(tmp_path, 0.0, 60.0, "tests.soak.broken_todo")
    assert not result.problems
    found = {violation.check for violation in judge(tmp_path).violations}
    assert found >= {
        "no acknowledged append is missing",
        "each append took effect once and whole",
        "a view is the fold of the log up to its checkpoint",
    }
