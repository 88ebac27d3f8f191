"""The Redis backend, held to the contracts, over the local Upstash's REST API: as it is, and in every other set-up."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest
import upstash_redis

from eventsource_upstash import SQLite
from eventsource_upstash.backends.redis import UpstashRedis
from eventsource_upstash.domain.events import Receipt
from eventsource_upstash.local import LocalUpstash
from eventsource_upstash.ports import Backend
from eventsource_upstash.testing import LimitsContract, LogContract, PromisesContract, ReactorsContract, ViewsContract
from eventsource_upstash.testing.colours import Colour
from eventsource_upstash.testing.conformance import AppendsManyContract, Contract, Lab, NotificationsContract
from eventsource_upstash.testing.conformance.log_appending import LogAppending, LogRepeating
from eventsource_upstash.testing.conformance.log_atomic import LogAtomic, LogUntorn
from eventsource_upstash.testing.conformance.log_competing import LogCompeting, LogCompetingStepping
from eventsource_upstash.testing.conformance.log_concurrency import LogConcurrency, LogStepping
from eventsource_upstash.testing.conformance.log_conditions import LogConditions
from eventsource_upstash.testing.conformance.log_expecting import LogExpecting, LogExpectingAgain
from eventsource_upstash.testing.conformance.log_lasting_keys import LogLastingKeys
from eventsource_upstash.testing.conformance.log_querying import LogQuerying
from eventsource_upstash.testing.conformance.log_reading import LogKeeping, LogReading
from eventsource_upstash.testing.conformance.log_snapshots import LogSnapshots, LogSnapshotsStepping
from eventsource_upstash.testing.conformance.log_streams import LogStreams
from eventsource_upstash.testing.conformance.notifying import LogSettling
from eventsource_upstash.testing.conformance.views_builds import ViewsBuilding, ViewsPullingBuilds
from eventsource_upstash.testing.conformance.views_committing import ViewsCommitting
from eventsource_upstash.testing.conformance.views_concurrency import ViewsConcurrency
from eventsource_upstash.testing.conformance.views_ends import ViewsEnds
from eventsource_upstash.testing.conformance.views_indexes import ViewsFinding, ViewsIndexing
from eventsource_upstash.testing.conformance.views_reading import ViewsPulling, ViewsReading
from eventsource_upstash.testing.conformance.views_records import ViewsRecords
from eventsource_upstash.testing.conformance.views_switching import ViewsDropping, ViewsSwitching
from tests.conformance.separate import SeparateViews

ROLLS_SOON = 400
"""Bytes: a key of the log, or of a stream, is full after two or three small events."""


def namespace_of(folder: Path) -> str:
    return hashlib.sha256(str(folder).encode()).hexdigest()[:24]


class OnUpstash:
    waits = True
    anew = True
    upstash: LocalUpstash

    @pytest.fixture(autouse=True)
    def _running(self, upstash: LocalUpstash) -> None:
        self.upstash = upstash

    def open_backend(self, folder: Path) -> Backend:
        return UpstashRedis(self.upstash.redis_url, self.upstash.redis_token, namespace=namespace_of(folder))

    def check_receipt(self, action: str, receipt: Receipt) -> None:
        assert receipt.requests >= 1
        assert receipt.commands >= receipt.requests


class OneColour(Contract):
    """For what is set up otherwise. What is the same in every set-up, `TestUpstashRedis` shows in both colours."""

    colour: ClassVar[Colour] = Colour.BLOCKING

    @pytest.fixture
    def lab(self, tmp_path: Path) -> Iterator[Lab]:
        with self._lab(self.colour, tmp_path) as lab:
            yield lab


class ViewsInOneColour(OneColour, ViewsCommitting, ViewsPulling, ViewsReading, ViewsConcurrency, PromisesContract):
    """The contract of views and the promises, without the tests of every order of steps."""


class LogInOneColour(
    OneColour,
    LogAppending,
    LogRepeating,
    LogExpecting,
    LogExpectingAgain,
    LogAtomic,
    LogUntorn,
    LogLastingKeys,
    LogReading,
    LogKeeping,
    LogStreams,
    LogQuerying,
    LogConditions,
    LogSnapshots,
    LogSettling,
    LogConcurrency,
    LogCompeting,
):
    """The contract of logs, without the tests of every order of steps."""


class InOneColour(ViewsInOneColour, NotificationsContract, LogInOneColour):
    """Every contract, without the tests of every order of steps."""


class BuildsInOneColour(
    OneColour,
    ViewsRecords,
    ViewsIndexing,
    ViewsFinding,
    ViewsEnds,
    ViewsBuilding,
    ViewsPullingBuilds,
    ViewsSwitching,
    ViewsDropping,
):
    """The contract of builds, indexes, ends and records, without the tests of every order of steps."""


class TestUpstashRedis(
    OnUpstash,
    NotificationsContract,
    LogContract,
    AppendsManyContract,
    ViewsContract,
    PromisesContract,
    ReactorsContract,
    LimitsContract,
):
    pass


class TestUpstashRedisRolling(OnUpstash, InOneColour, LogStepping, LogCompetingStepping, LogSnapshotsStepping):
    """Keys are full after a few events, so that nearly everything is read from archives."""

    colour = Colour.EVENT_LOOP
    whole_pages = False

    def open_backend(self, folder: Path) -> Backend:
        url, token = self.upstash.redis_url, self.upstash.redis_token
        return UpstashRedis(url, token, namespace=namespace_of(folder), roll_at=ROLLS_SOON)


class TestUpstashRedisRollingEachTime(OnUpstash, LogInOneColour, PromisesContract, AppendsManyContract):
    """Every append begins a key of the log, and of its stream."""

    whole_pages = False

    def open_backend(self, folder: Path) -> Backend:
        url, token = self.upstash.redis_url, self.upstash.redis_token
        return UpstashRedis(url, token, namespace=namespace_of(folder), roll_at=1)


class TestUpstashRedisWithAClient(OnUpstash, InOneColour, BuildsInOneColour, AppendsManyContract):
    """A client of the official package carries everything."""

    def open_backend(self, folder: Path) -> Backend:
        client = upstash_redis.Redis(self.upstash.redis_url, self.upstash.redis_token, allow_telemetry=False)
        self.clients.append(client)
        return UpstashRedis(client=client, namespace=namespace_of(folder))

    @pytest.fixture(autouse=True)
    def _closing(self) -> Iterator[None]:
        self.clients: list[upstash_redis.Redis] = []
        yield
        for client in self.clients:
            client.close()  # type: ignore[no-untyped-call]


class TestUpstashRedisWithoutKeyLocking(
    OnUpstash,
    LogInOneColour,
    NotificationsContract,
    ViewsCommitting,
    ViewsPulling,
    BuildsInOneColour,
    AppendsManyContract,
):
    """A server that refuses the flag, as a plain Redis behind a REST proxy does: each script, without it."""

    @pytest.fixture(autouse=True)
    def _running(self, plain_upstash: LocalUpstash) -> None:
        self.upstash = plain_upstash


class TestViewsInSQLite(OnUpstash, InOneColour):
    """The log is in Redis, and the views are in a file."""

    beside = False

    def open_backend(self, folder: Path) -> Backend:
        return SeparateViews(super().open_backend(folder), SQLite(folder / "views.db"))


class TestViewsInRedis(OnUpstash, ViewsInOneColour, BuildsInOneColour):
    """The log is in a file, and the views are in Redis."""

    beside = False

    colour = Colour.EVENT_LOOP

    def open_backend(self, folder: Path) -> Backend:
        return SeparateViews(SQLite(folder / "events.db"), super().open_backend(folder))

    def check_receipt(self, action: str, receipt: Receipt) -> None:
        if "catch up" in action:
            super().check_receipt(action, receipt)
        else:
            assert receipt == Receipt()
