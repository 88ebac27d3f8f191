"""Every snippet of the documentation runs: its module is imported, and each `test_` function in it is called."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from .snippets import DOCS, SNIPPETS, blocks, functions, modules, sections, shown

SCENARIOS = [
    (module.stem, name) for module in modules() for name, _, _ in functions(module) if name.startswith("test_")
]


@pytest.mark.parametrize(("module", "name"), SCENARIOS, ids=str)
def test_scenario(module: str, name: str, request: pytest.FixtureRequest) -> None:
    scenario: Callable[..., object] = getattr(importlib.import_module(f"docs.snippets.{module}"), name)
    fixtures = {argument: request.getfixturevalue(argument) for argument in inspect.signature(scenario).parameters}
    result = scenario(**fixtures)
    if inspect.iscoroutine(result):
        asyncio.run(result)


@pytest.mark.parametrize("module", modules(), ids=lambda module: module.stem)
def test_sections_run(module: Path) -> None:
    """A section is at the top of its module, which is imported, or within a scenario, which is called."""
    importlib.import_module(f"docs.snippets.{module.stem}")
    for section, (first, last) in sections(module).items():
        for name, start, end in functions(module):
            if start < first <= last <= end:
                assert name.startswith("test_"), f"section {section} of {module.name} is in {name}, which nobody calls"
            else:
                assert end < first or last < start or first <= start <= end <= last, f"{section} cuts {name} in two"


def test_quick_start_runs_as_a_program(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, SNIPPETS / "readme.py"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_quickstart_page_is_one_program(tmp_path: Path) -> None:
    """Whoever copies the page from top to bottom, up to its async twin, has a program that runs."""
    *steps, twin = [shown(block) for block in blocks(DOCS / "quickstart.md") if block.language == "python"]
    assert "connect_async" in twin
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(steps)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (tmp_path / "todo.db").exists()
