"""The official receiver in TypeScript, asked from here."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

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
