"""The official receiver in TypeScript, to agree with; a local QStash, and the site that it delivers to."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator

import pytest

from eventsource_upstash.local.qstash.settings import Settings
from eventsource_upstash.local.server import LocalUpstash
from tests.qstash.receiving import PUBLIC, Site
from tests.qstash.typescript import JS, TypeScriptReceiver


@pytest.fixture(scope="session")
def typescript_receiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TypeScriptReceiver]:
    """Installed as pinned, in a folder of this run's own."""
    folder = tmp_path_factory.mktemp("official-receiver")
    for name in ("package.json", "package-lock.json", "receiver.mjs"):
        shutil.copy(JS / name, folder)
    node, npm = shutil.which("node"), shutil.which("npm")
    assert node is not None, "these tests need Node.js (with npm) on the PATH"
    assert npm is not None, "these tests need npm on the PATH"
    subprocess.run(
        [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=folder, check=True, capture_output=True
    )
    environ = {name: value for name, value in os.environ.items() if "QSTASH" not in name}
    with subprocess.Popen(
        [node, "receiver.mjs"], cwd=folder, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
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
