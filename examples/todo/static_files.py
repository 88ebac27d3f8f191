"""The files of the page, read once, and the headers that keep a page to itself."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

SECURITY: Mapping[str, str] = {
    # Nothing from another host, nothing inline, no framing: text that people type can never become a script.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True)
class StaticFile:
    content: bytes
    headers: Mapping[str, str]


def _load(path: Path) -> StaticFile:
    content = path.read_bytes()
    etag = f'"{hashlib.sha256(content).hexdigest()[:20]}"'
    headers = {"Content-Type": _TYPES[path.suffix], "ETag": etag, "Cache-Control": "no-cache"}
    return StaticFile(content, {**SECURITY, **headers})


def load(folder: Path) -> Mapping[str, StaticFile]:
    """The files of a folder that a page may ask for, by name."""
    return {path.name: _load(path) for path in sorted(folder.iterdir()) if path.suffix in _TYPES}


STATIC: Mapping[str, StaticFile] = load(Path(__file__).parent / "static")
