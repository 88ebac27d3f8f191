"""Fails unless pyright knows the whole type of everything public in the installed package.

What dependencies leave untyped is theirs (``--ignoreexternal``). Whatever leaves one open is listed, private or not.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TypedDict

PACKAGE = "eventsource_upstash"


class Position(TypedDict):
    """A place in a file; both count from 0."""

    line: int
    character: int


class Range(TypedDict):
    """Where something starts."""

    start: Position


class Place(TypedDict, total=False):
    """Where a remark belongs, which may be the whole file."""

    range: Range


class Diagnostic(Place):
    """One remark of pyright's on a symbol."""

    file: str
    message: str


class Symbol(TypedDict):
    """A symbol, and what pyright knows of its type."""

    name: str
    isTypeKnown: bool
    isExported: bool
    diagnostics: list[Diagnostic]


class Completeness(TypedDict):
    """The part of pyright's report that counts."""

    completenessScore: float
    symbols: list[Symbol]


def where(remark: Diagnostic) -> str:
    """File and line, as editors understand them."""
    line = remark["range"]["start"]["line"] + 1 if "range" in remark else 1
    return f"{remark['file']}:{line}"


def main() -> int:
    """Ask pyright, and report; 0 when everything is typed."""
    # With --verifytypes, pyright asks the `python` on the PATH where packages are, whatever else it is told.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    asked = subprocess.run(
        [sys.executable, "-m", "pyright", "--verifytypes", PACKAGE, "--ignoreexternal", "--outputjson"],
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        report: Completeness = json.loads(asked.stdout)["typeCompleteness"]
    except (ValueError, KeyError):
        print(f"pyright --verifytypes {PACKAGE} gave no report:", asked.stdout, asked.stderr, sep="\n")
        return 1
    public = [symbol for symbol in report["symbols"] if symbol["isExported"]]
    # Of everything that was looked at: a public symbol may be unknown for what a private one leaves open.
    remarks = {
        f"{where(remark)}: {' '.join(remark['message'].split())}"
        for symbol in report["symbols"]
        if not symbol["isTypeKnown"]
        for remark in symbol["diagnostics"]
    }
    score = report["completenessScore"]
    if score < 1:
        print(*sorted(remarks), sep="\n")
    print(f"{score:.1%} of {len(public)} public symbols are fully typed")
    # A package that pyright cannot see has no symbols, and is not typed at all.
    return int(score < 1 or not public)


if __name__ == "__main__":
    sys.exit(main())
