"""The files of the page; what it shares with the other examples' pages is the to-do page's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from examples.todo.static_files import STATIC as SHARED
from examples.todo.static_files import StaticFile, load

STATIC: Mapping[str, StaticFile] = {
    "base.css": SHARED["base.css"],
    **load(Path(__file__).parent / "static"),
}
