"""The official `@upstash/redis` and `@upstash/ratelimit`, unchanged, on Node: see `js/judge.mjs`."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from eventsource_upstash.local import LocalUpstash

JS = Path(__file__).parent / "js"
SCENARIOS = re.findall(r"^  async (\w+)\(\)", (JS / "judge.mjs").read_text("utf-8"), re.MULTILINE)


@pytest.fixture(scope="session")
def modules(request: pytest.FixtureRequest) -> Path:
    """Where the packages of the lock file are installed: once for each lock file, whoever needs it first."""
    digest = hashlib.sha256((JS / "package-lock.json").read_bytes()).hexdigest()[:16]
    cache = request.config.cache
    assert cache is not None
    place = Path(cache.mkdir("npm")) / digest
    if not place.exists():
        made = Path(tempfile.mkdtemp(dir=place.parent))
        for name in ("package.json", "package-lock.json"):
            shutil.copy(JS / name, made)
        npm = subprocess.run(
            ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
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


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_scenario(upstash: LocalUpstash, modules: Path, caller: str, key: str, scenario: str) -> None:
    environment = {
        **os.environ,
        "UPSTASH_REDIS_REST_URL": upstash.redis_url,
        "UPSTASH_REDIS_REST_TOKEN": upstash.token_for(caller),
        "JUDGE_MODULES": str(modules),
        "JUDGE_KEY": key,
    }
    node = subprocess.run(
        ["node", str(JS / "judge.mjs"), scenario],
        env=environment,
        check=False,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert node.returncode == 0, node.stderr
    assert upstash.metrics()["redis"][caller]["requests"] > 0


def test_there_are_scenarios() -> None:
    assert len(SCENARIOS) > 10


def test_lock_file_names_no_registry() -> None:
    assert "resolved" not in (JS / "package-lock.json").read_text("utf-8")
