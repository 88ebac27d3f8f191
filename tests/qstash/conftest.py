"""The official receivers, to agree with."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.qstash.signing import CURRENT, NEXT

JS = Path(__file__).parent / "js"


class TypeScriptReceiver:
    """`@upstash/qstash` in a process of its own."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def refusal(self, signature: str, body: str, url: str, clock_tolerance: int = 0) -> str | None:
        """Why it refuses, or None where it does not."""
        asked = {
            "current": CURRENT,
            "next": NEXT,
            "signature": signature,
            "body": body,
            "url": url,
            "clockTolerance": clock_tolerance,
        }
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        refusal: str | None = json.loads(self._process.stdout.readline())["refusal"]
        return refusal


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
