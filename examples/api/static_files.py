"""The files of the page; colours and type are those of the to-do page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from examples.todo.static_files import STATIC as TODO
from examples.todo.static_files import StaticFile, load

STATIC: Mapping[str, StaticFile] = {
    **{name: TODO[name] for name in ("base.css",)},
    **load(Path(__file__).parent / "static"),
}
