"""Reads are answered by a replica that is behind: a read that asks for a position is never answered with less."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from eventsource_upstash import App, UpstashRedis
from eventsource_upstash.local import LocalUpstash
from tests.wire.router import Router
from tests.wire.valkey import Valkey
from tests.wire.workload import Domain, Noted, Tally, domain


class Regions(NamedTuple):
    replica: Valkey
    primary_url: str
    replica_url: str
    token: str
    follows: str

    def part(self) -> None:
        """The replica hears nothing any more, and goes on answering with what it has."""
        self.replica.ask("REPLICAOF", "NO", "ONE")

    def join(self) -> None:
        self.replica.ask("REPLICAOF", "127.0.0.1", self.follows)
        while self.replica.ask("INFO", "replication")["master_link_status"] != "up":
            pass

    def app(self, router: Router) -> tuple[App, Domain]:
        """Another process's: it knows nothing of what others were told."""
        the = domain()
        return App(UpstashRedis(router.url, self.token), the.registry, None), the


@pytest.fixture
def regions(tmp_path: Path) -> Iterator[Regions]:
    with (
        Valkey(tmp_path / "primary") as primary,
        Valkey(tmp_path / "replica") as replica,
        LocalUpstash(engine_url=primary.url) as first,
        LocalUpstash(engine_url=replica.url) as second,
    ):
        found = Regions(replica, first.redis_url, second.redis_url, first.redis_token, primary.listen())
        found.join()
        yield found


def stale_reads(regions: Regions, router: Router) -> tuple[int, int]:
    """How many reads were answered with less than was there: of those that asked for a position, and of the others."""
    writer, the = regions.app(router)
    asked = others = 0
    for number in range(1, 9):
        token = writer.event_store.append("one", Noted(str(number))).position
        writer.projector.catch_up()
        fresh = Tally()
        for each in range(1, number + 1):
            fresh = fresh.and_(str(each))
        for ask in (token, None):
            reader, the = regions.app(router)
            found = reader.projection_store.view(the.tallies).get("one", at_least=ask)
            asked += ask is not None and found != fresh
            others += ask is None and found != fresh
        if number == 4:
            regions.part()
    return asked, others


def test_a_read_that_asks_for_a_position_is_never_stale(regions: Regions) -> None:
    with Router(regions.primary_url, regions.replica_url) as router:
        assert stale_reads(regions, router) == (0, 4), "and others are: the replica is behind indeed"
        assert router.sent["replica"] >= 4


def sees_less_afterwards(regions: Regions, router: Router) -> bool:
    """Whether somebody who has asked for a position is answered with less when it does not ask."""
    app, the = regions.app(router)
    app.event_store.append("one", Noted("1"))
    app.projector.catch_up()
    regions.part()
    other, the = regions.app(router)
    token = app.event_store.append("one", Noted("2")).position
    view = other.projection_store.view(the.tallies)
    assert view.get("one", at_least=token) == Tally().and_("1").and_("2")
    return view.get("one") != Tally().and_("1").and_("2")


@pytest.mark.parametrize("deaf", [False, True], ids=["with sync tokens", "without"])
def test_a_process_does_not_see_less_afterwards(regions: Regions, deaf: bool) -> None:
    """That is what sync tokens are for: without them it would."""
    with Router(regions.primary_url, regions.replica_url, deaf=deaf) as router:
        assert sees_less_afterwards(regions, router) == deaf
