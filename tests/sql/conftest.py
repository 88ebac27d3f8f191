"""The databases that tables follow a log in: SQLite always, and real servers that the tests start themselves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa


@pytest.fixture(params=["sqlite"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[sa.Engine]:
    """An engine on an empty database."""
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'tables.db'}")
    yield engine
    engine.dispose()
