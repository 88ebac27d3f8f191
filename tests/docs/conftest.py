"""What the tests of the documentation share."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run in a folder of its own, so that a snippet may name its files as a reader would."""
    monkeypatch.chdir(tmp_path)
