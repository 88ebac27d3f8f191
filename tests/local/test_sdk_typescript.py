"""The official `@upstash/redis` and `@upstash/ratelimit`, unchanged, on Node: see `js/judge.mjs`."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from eventsource_upstash.local import LocalUpstash
from tests.node import node, packages

JS = Path(__file__).parent / "js"
SCENARIOS = re.findall(r"^  async (\w+)\(\)", (JS / "judge.mjs").read_text("utf-8"), re.MULTILINE)


@pytest.fixture(scope="session")
def modules(request: pytest.FixtureRequest) -> Path:
    return packages(request.config, JS)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_scenario(upstash: LocalUpstash, modules: Path, caller: str, key: str, scenario: str) -> None:
    environment = {
        **os.environ,
        "UPSTASH_REDIS_REST_URL": upstash.redis_url,
        "UPSTASH_REDIS_REST_TOKEN": upstash.token_for(caller),
        "JUDGE_MODULES": str(modules),
        "JUDGE_KEY": key,
    }
    done = subprocess.run(
        [node(), str(JS / "judge.mjs"), scenario],
        env=environment,
        check=False,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    assert upstash.metrics()["redis"][caller]["requests"] > 0


def test_there_are_scenarios() -> None:
    assert len(SCENARIOS) > 10


def test_lock_file_names_no_registry() -> None:
    assert "resolved" not in (JS / "package-lock.json").read_text("utf-8")
