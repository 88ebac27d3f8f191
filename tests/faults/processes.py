"""Programs that run in a process of their own, for what cannot be done to the process that runs the tests."""

from __future__ import annotations

import subprocess
import sys

# Python 3.12 and later warn of every fork with threads, which is what some of the programs are about.
PYTHON = (sys.executable, "-X", "dev", "-W", "error", "-W", "ignore:This process:DeprecationWarning", "-c")


def run(program: str, *arguments: str) -> str:
    """Run a program to its end, and answer what it printed. It may neither fail nor say anything on standard error."""
    done = subprocess.run([*PYTHON, program, *arguments], capture_output=True, text=True, timeout=60, check=False)
    # In its development mode asyncio says of each step that took a tenth of a second. On a busy machine any may.
    said = [line for line in done.stderr.splitlines() if not (line.startswith("Executing <") and " took " in line)]
    assert (done.returncode, said) == (0, []), f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def start(program: str, *arguments: str) -> subprocess.Popen[str]:
    """Start a program whose output is read while it runs. Whoever starts it ends it, by `with`."""
    return subprocess.Popen(
        [*PYTHON, program, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        bufsize=1,
    )
