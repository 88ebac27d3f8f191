"""The scripts, put together from their files."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Final

from .scripts import Script

LOCKS_ITS_KEYS: Final = "#!lua flags=allow-key-locking\n"
"""Without it, the service locks the whole database while a script runs."""


@cache
def script(name: str, *parts: str, locks_its_keys: bool = True, reads: bool = False) -> Script:
    """A script by the name of its file, with the files that it builds on before it."""
    folder = files(__name__.rpartition(".")[0]).joinpath("lua")
    text = "\n".join(folder.joinpath(f"{part}.lua").read_text("utf-8") for part in ("common", *parts, name))
    return Script(name, (LOCKS_ITS_KEYS if locks_its_keys else "") + _without_comments(text), reads=reads)


def _without_comments(text: str) -> str:
    """What the engine needs of it: it is sent whole whenever the server does not have it yet."""
    lines = (line.strip() for line in text.splitlines())
    return "\n".join(line for line in lines if line and not line.startswith("--")) + "\n"
