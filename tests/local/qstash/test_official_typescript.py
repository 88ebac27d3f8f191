"""The official TypeScript client, unchanged: `js/judge.mjs` uses it as an app does."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.local.qstash.support import World
from tests.node import node, packages

JUDGE = Path(__file__).parent / "js"


@pytest.fixture(scope="session")
def judge(request: pytest.FixtureRequest) -> Path:
    return packages(request.config, JUDGE)


def test_the_official_client_finds_what_it_expects(judge: Path, qstash: World) -> None:
    qstash.faults.add("quota", half="qstash", path="/v2/publish/*/quota", count=None)
    done = subprocess.run(
        [node(), "--test", "--test-reporter=tap", "judge.mjs"],
        cwd=judge,
        env={**os.environ, "QSTASH_URL": qstash.url, "QSTASH_TOKEN": qstash.server.settings.token},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    passed, skipped = (re.search(rf"^# {what} (\d+)$", done.stdout, re.MULTILINE) for what in ("pass", "skipped"))
    assert passed is not None
    assert skipped is not None
    assert (int(passed[1]), int(skipped[1])) == (12, 0)


def test_the_lock_names_no_registry() -> None:
    text = (JUDGE / "package-lock.json").read_text()
    assert '"integrity"' in text
    assert '"resolved"' not in text
