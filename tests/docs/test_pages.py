"""What the pages say is taken from tested files, complete, and linked to what exists."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import eventsource_upstash

from .snippets import DOCS, PAGES, ROOT, SNIPPETS, blocks, examples, modules, sections

if TYPE_CHECKING:
    from .snippets import Block

PYTHON = [block for page in PAGES for block in blocks(page) if block.language in {"python", "py", "pycon"}]
README = ROOT / "README.md"
EXAMPLE_TESTS = ROOT / "tests" / "examples"
NAMED = re.compile(r"^::: eventsource_upstash\.([\w.]+)$", re.MULTILINE)
LINK = re.compile(r"(?:\]\(|href=\"|src=\"|srcset=\")([^)\"\s]+)")


def reference() -> set[str]:
    """What the reference documents, as dotted names within the package."""
    return {name for page in (DOCS / "reference").glob("*.md") for name in NAMED.findall(page.read_text("utf-8"))}


def test_there_is_code_to_check() -> None:
    assert len(PYTHON) > 30


@pytest.mark.parametrize("block", PYTHON, ids=str)
def test_python_comes_from_snippets(block: Block) -> None:
    if block.page == README:  # no page generator includes anything there, so its code is compared instead
        shown = "\n".join(block.lines)
        tested = [module.read_text("utf-8") for module in modules()]
        assert shown in ["\n".join(line for line in text.splitlines() if line.strip()) for text in tested]
        return
    assert len(block.includes) == len(block.lines), f"{block}: code comes from snippets, examples or their tests"
    for include in block.includes:
        path = ROOT / include["path"]
        assert path.is_file()
        assert path.parent == SNIPPETS or path in examples() or path.is_relative_to(EXAMPLE_TESTS)
        if include["section"]:
            assert include["section"] in sections(path)


def test_readme_has_the_quick_start() -> None:
    assert (SNIPPETS / "readme.py").read_text("utf-8") in README.read_text("utf-8")


def test_each_section_is_shown() -> None:
    shown = {(ROOT / include["path"], include["section"]) for block in PYTHON for include in block.includes}
    marked = {(module, section) for module in [*modules(), *examples()] for section in sections(module)}
    assert marked - shown == set()


def test_reference_has_every_public_name() -> None:
    assert set(eventsource_upstash.__all__) - reference() == set()


@pytest.mark.parametrize("module", ["web", "testing"])
def test_reference_has_every_public_name_of(module: str) -> None:
    public: list[str] = importlib.import_module(f"eventsource_upstash.{module}").__all__
    assert {f"{module}.{name}" for name in public} - reference() == set()


def test_reference_has_the_ports() -> None:
    assert "ports" in reference()


def test_errors_by_what_to_do_are_all_there() -> None:
    errors: list[str] = importlib.import_module("eventsource_upstash.errors").__all__
    assert set(errors) - reference() == set()
    told = (DOCS / "guides" / "running.md").read_text("utf-8")
    implied = {"EventSourceError", "UndecodableEvent"}
    assert [name for name in errors if name not in implied and f"`{name}`" not in told] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    """The site's build checks the pages under docs/; this checks those beside it too, and the pictures."""
    for target in LINK.findall(page.read_text("utf-8")):
        if re.match(r"[a-z]+:", target) or target.startswith("#"):
            continue
        assert (page.parent / target.partition("#")[0]).exists(), f"{page.relative_to(ROOT)}: {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_pictures_are_found_on_the_site(page: Path) -> None:
    """The site's build moves a page into a folder of its own, and mends Markdown's links, but none in plain HTML."""
    if page.is_relative_to(DOCS):
        assert re.findall(r"<(?:img|source)\b[^>]*", page.read_text("utf-8")) == []


def test_no_page_is_forgotten() -> None:
    nav = (ROOT / "mkdocs.yml").read_text("utf-8")
    pages = {str(page.relative_to(DOCS)) for page in PAGES if page.is_relative_to(DOCS)}
    assert {page for page in pages if page not in nav} == set()
