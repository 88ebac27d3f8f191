"""Reads environment files, and writes variables into one that may hold others."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

__all__ = ["read_variables", "write_variables"]

_ASSIGNMENT: Final = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=")


def read_variables(path: Path) -> dict[str, str]:
    """The variables of an environment file: NAME=value on a line of its own, in quotes or not, after `export` or not.

    Raises:
        OSError: It cannot be read.
        UnicodeDecodeError: It is no text.
    """
    variables: dict[str, str] = {}
    for line in path.read_text("utf-8").splitlines():
        found = _ASSIGNMENT.match(line)
        if found is not None:
            variables[found.group(1)] = _value(line[found.end() :])
    return variables


def write_variables(path: Path, variables: Mapping[str, str]) -> list[str]:
    """Set variables in a file, each where it stands already, new ones at the end; every other line stays as it is.

    The file is replaced in one step, keeps its permissions, and is made for this user only if it is new. What stands
    before a name, as `export` does, is kept.

    Returns:
        The names of the variables that had another value before.

    Raises:
        OSError: It cannot be read or written.
    """
    path = path.resolve()  # through a symbolic link, which stays one
    try:
        before, mode = path.read_text("utf-8"), path.stat().st_mode & 0o777
    except FileNotFoundError:
        before, mode = "", 0o600
    left = dict(variables)
    lines: list[str] = []
    replaced: list[str] = []
    for line in before.splitlines():
        found = _ASSIGNMENT.match(line)
        if found is not None and (name := found.group(1)) in variables:
            if _value(line[found.end() :]) not in {"", variables[name]} and name not in replaced:
                replaced.append(name)
            if name in left:  # what stands there twice is written once
                lines.append(f"{line[: found.start(1)]}{name}={left.pop(name)}")
        else:
            lines.append(line)
    lines += [f"{name}={value}" for name, value in left.items()]
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")
        Path(temporary).chmod(mode)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return replaced


def _value(text: str) -> str:
    """What a value says, without the quotes that may stand around it."""
    text = text.strip()
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"" else text
