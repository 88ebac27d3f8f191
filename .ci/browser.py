"""Runs the browser tests in two halves side by side, since they mostly wait.

Called as ``.venv/bin/python .ci/browser.py [pytest's arguments]``; with a path among the arguments, as one run. What
each half wrote is shown when it has ended; the last line has the form of pytest's own summary, and is the sum of both.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from suite import NO_TESTS, ROOT, Run, run, together

FOLDER = "tests/browser"
HALF = ("test_page.py", "test_feed.py", "test_quota.py")  # about as long as the others together


def half(name: str, arguments: Sequence[str]) -> Run:
    """Run some of them, and show what they wrote."""
    cache = f"cache_dir=.venv/.pytest_cache/browser_{name}"
    ran = run(name, [[sys.executable, "-m", "pytest", "-o", cache, *arguments]])
    print(*ran.output, sep="\n", flush=True)
    return ran


def main(arguments: Sequence[str]) -> int:
    """Run them; 0 when all of them passed."""
    started = time.monotonic()
    if any(argument.startswith("tests/") for argument in arguments):
        return half("named", arguments).returncode
    files = [f"{FOLDER}/{name}" for name in HALF]
    assert all((ROOT / file).exists() for file in files)
    with ThreadPoolExecutor(2) as lanes:
        first = lanes.submit(half, "first", [*arguments, *files])
        second = lanes.submit(half, "second", [*arguments, FOLDER, *(f"--ignore={file}" for file in files)])
    halves = [first.result(), second.result()]
    print("\nthe browser, both halves:", together(halves, time.monotonic() - started), sep="\n")
    return int(any(each.failed for each in halves) or all(each.returncode == NO_TESTS for each in halves))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
