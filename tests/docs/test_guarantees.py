"""The commands that repeat a promise name what is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "guarantees.md").read_text()
COMMANDS = sorted(set(re.findall(r"`((?:THOROUGH=\d+ )?(?:make|python -m) [^`]+)`", PAGE)))


def missing(command: str) -> list[str]:
    """What a command names and is not there."""
    words = command.replace('"', " ").replace("ARGS=", " ").split()
    told = [word for word in words if word.startswith("tests/") and not (ROOT / word).exists()]
    makefile = (ROOT / "Makefile").read_text()
    if "make" in words:
        target = words[words.index("make") + 1]
        told += [target] if not re.search(rf"^{target}:", makefile, re.MULTILINE) else []
    if "python" in words:
        module = words[words.index("-m") + 1].replace(".", "/")
        places = [ROOT / "src" / module, ROOT / module]
        told += [module] if not any((place / "__main__.py").exists() for place in places) else []
    return told


def test_there_are_commands() -> None:
    assert len(COMMANDS) > 20


@pytest.mark.parametrize("command", COMMANDS)
def test_what_a_command_names_is_there(command: str) -> None:
    assert missing(command) == []


@pytest.mark.parametrize("command", ['make quick ARGS="tests/nowhere"', "make nothing", "python -m tests.nothing"])
def test_what_is_not_there_is_told(command: str) -> None:
    assert len(missing(command)) == 1


def test_each_promise_says_how_to_look_again() -> None:
    promises = PAGE.split("## The promises")[1].split("## How it is tested")[0]
    parts = re.split(r"\n\*\*", promises)[1:]
    assert len(parts) >= 15
    assert [part[:40] for part in parts if "*Again:*" not in part] == []
