"""The databases that tables follow a log in: SQLite always, and real servers that the tests start themselves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.sql.servers import Database, Servers, database, servers

DATABASES = ["sqlite", "postgresql", "mariadb"]


@pytest.fixture(scope="session")
def databases() -> Iterator[Servers]:
    with servers() as started:
        yield started


@pytest.fixture(params=DATABASES)
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An empty database."""
    if request.param == "sqlite":
        yield Database(sa.make_url(f"sqlite:///{tmp_path / 'tables.db'}"), {})
        return
    started: Servers = request.getfixturevalue("databases")
    with database(getattr(started, request.param)) as made:
        yield made


@pytest.fixture
def engine(empty: Database) -> Iterator[sa.Engine]:
    """An engine on it."""
    engine = sa.create_engine(empty.url, connect_args=empty.options)
    yield engine
    engine.dispose()


@pytest.fixture
def lite(tmp_path: Path) -> Iterator[sa.Engine]:
    """An engine on an empty SQLite file, for what the database has no part in."""
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'tables.db'}")
    yield engine
    engine.dispose()
