"""The official receiver in TypeScript, to agree with; a local QStash, and the site that it delivers to."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import pytest

from eventsource_upstash.local.qstash.clock import Clock
from eventsource_upstash.local.qstash.settings import Settings
from eventsource_upstash.local.server import LocalUpstash
from eventsource_upstash.testing.colours import Colour
from tests.node import node, packages
from tests.qstash.receiving import PUBLIC, Place, Site
from tests.qstash.typescript import JS, TypeScriptReceiver


@pytest.fixture(scope="session")
def typescript_receiver(request: pytest.FixtureRequest) -> Iterator[TypeScriptReceiver]:
    folder = packages(request.config, JS)
    environ = {name: value for name, value in os.environ.items() if "QSTASH" not in name}
    with subprocess.Popen(
        [node(), "receiver.mjs"], cwd=folder, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield TypeScriptReceiver(process)
        assert process.stdin is not None
        process.stdin.close()  # it ends with its input
        process.wait(10)


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as running:
        yield running


@pytest.fixture
def upstash(site: Site) -> Iterator[LocalUpstash]:
    """Refuses loopback destinations as the service does, and delivers what is sent to the public URL to the site."""
    with LocalUpstash(qstash=Settings(mapping={PUBLIC: site.url}, strict=True)) as running:
        yield running


@pytest.fixture(scope="session")
def shared_place() -> Iterator[Place]:
    clock = Clock()
    with Site() as site, LocalUpstash(qstash=Settings(mapping={PUBLIC: site.url}, strict=True), clock=clock) as running:
        yield Place(running, site, clock)


@pytest.fixture
def place(shared_place: Place) -> Place:
    """A QStash, and the site that it delivers to: one for all tests, empty for each."""
    shared_place.reset()
    return shared_place


@pytest.fixture(params=list(Colour), ids=lambda colour: colour.value)
def colour(request: pytest.FixtureRequest) -> Colour:
    value: Colour = request.param
    return value
