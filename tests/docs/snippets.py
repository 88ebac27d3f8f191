"""What the documentation shows, and where it comes from: snippets, their sections, and the pages that include them."""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
SNIPPETS = DOCS / "snippets"
EXAMPLES = ROOT / "examples"
PAGES = sorted([*DOCS.rglob("*.md"), ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md"])

_FENCE = re.compile(
    r"^(?P<indent>[ ]*)(?P<fence>`{3,})[ ]*(?P<language>[\w+-]*)[^\n]*\n(?P<body>.*?)^(?P=indent)(?P=fence)[ ]*$",
    re.MULTILINE | re.DOTALL,
)
_INCLUDE = re.compile(r'^--8<-- "(?P<path>[^":]+)(?::(?P<section>[\w-]+))?"$')
_MARKER = re.compile(r"^\s*# --8<-- \[(?P<edge>start|end):(?P<section>[\w-]+)\]\s*$")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page: its language, its lines, and where it begins."""

    page: Path
    line: int
    language: str
    lines: list[str]

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def includes(self) -> list[re.Match[str]]:
        """The snippets that the block includes."""
        return [match for line in self.lines if (match := _INCLUDE.match(line.strip()))]


def blocks(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page."""
    text = page.read_text("utf-8")
    for match in _FENCE.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        lines = [one for one in match["body"].splitlines() if one.strip()]
        yield Block(page, line, match["language"], lines)


def modules() -> list[Path]:
    """The snippet modules."""
    return sorted(SNIPPETS.glob("*.py"))


def examples() -> list[Path]:
    """The modules of the examples, which have tests of their own."""
    return sorted(EXAMPLES.rglob("*.py"))


def sections(module: Path) -> dict[str, tuple[int, int]]:
    """The marked sections of a module: first and last line, markers excluded."""
    found: dict[str, tuple[int, int]] = {}
    opened: dict[str, int] = {}
    for number, line in enumerate(module.read_text("utf-8").splitlines(), 1):
        if not (match := _MARKER.match(line)):
            continue
        name = match["section"]
        if match["edge"] == "start":
            assert name not in opened, f"{module.name}:{number}: section {name} starts twice"
            assert name not in found, f"{module.name}:{number}: there are two sections {name}"
            opened[name] = number + 1
        else:
            found[name] = (opened.pop(name), number - 1)
    assert not opened, f"{module.name}: no end of {', '.join(opened)}"
    return found


def shown(block: Block) -> str:
    """What a reader sees of a block: the sections that it includes, moved to the left."""
    parts: list[str] = []
    for include in block.includes:
        lines = (ROOT / include["path"]).read_text("utf-8").splitlines()
        if include["section"]:
            first, last = sections(ROOT / include["path"])[include["section"]]
            lines = lines[first - 1 : last]
        parts.append(textwrap.dedent("\n".join(lines)))
    return "\n".join(parts)


def functions(module: Path) -> list[tuple[str, int, int]]:
    """The functions of a module that stand at its top: name, first and last line."""
    return [
        (node.name, node.lineno, node.end_lineno or node.lineno)
        for node in ast.parse(module.read_text("utf-8")).body
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    ]
