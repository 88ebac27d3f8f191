"""Fails unless pyright knows the whole type of everything public in the installed package.

What dependencies leave untyped is theirs (``--ignoreexternal``). Each public symbol that is not fully typed is listed.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TypedDict

PACKAGE = "eventsource_upstash"


class Diagnostic(TypedDict):
    """One remark of pyright's on a symbol."""

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


def main() -> int:
    """Ask pyright, and report; 0 when everything is typed."""
    asked = subprocess.run(
        [sys.executable, "-m", "pyright", "--verifytypes", PACKAGE, "--ignoreexternal", "--outputjson"],
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
    for symbol in public:
        if not symbol["isTypeKnown"]:
            reasons = "; ".join(" ".join(remark["message"].split()) for remark in symbol["diagnostics"])
            print(f"{symbol['name']}: {reasons or 'its type is not known'}")
    score = report["completenessScore"]
    print(f"{score:.1%} of {len(public)} public symbols are fully typed")
    # A package that pyright cannot see has no symbols, and is not typed at all.
    return int(score < 1 or not public)


if __name__ == "__main__":
    sys.exit(main())
