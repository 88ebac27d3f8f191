"""Runs the test suite on each supported Python that is installed, two of them side by side.

Called as ``.venv/bin/python .ci/suite.py [pytest's arguments]``. The Python of ``.venv`` is the primary one, and its
output is shown as it comes. Each other one has an environment of its own, ``.venv-3.X``, and runs the same tests, but
for those that one Python is enough for (``tests/conftest.py``); its output is shown only where something failed. A
version that is not installed is named. The last line is pytest's own summary.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

SUPPORTED = ("3.10", "3.11", "3.12", "3.13")
SIDE_BY_SIDE = 2
GROUPS = ("test", "todo-test")
ROOT = Path(__file__).resolve().parent.parent

# Whether a program is the version that its name says, and can make environments. A name on the PATH proves neither: a
# version manager's shim is there for every version and starts only the active ones, and Debian splits ensurepip off.
PROBE = "import ensurepip, sys; print('%d.%d' % sys.version_info[:2], sys.executable, sep='\\n')"


@dataclass(frozen=True)
class Run:
    """What one Python made of the suite."""

    version: str
    returncode: int
    output: list[str]
    seconds: float

    @property
    def summary(self) -> str:
        """Pytest's own last line."""
        return next((line for line in reversed(self.output) if line.strip()), "no output")


def candidates(version: str) -> Iterator[str]:
    """Where Python `version` may be: on the PATH, under pyenv, and where uv keeps what it installed."""
    name = f"python{version}"
    for folder in os.get_exec_path():
        if found := shutil.which(name, path=folder):
            yield found
    pyenv = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser()
    yield from map(str, sorted(pyenv.glob(f"versions/{version}.*/bin/{name}"), reverse=True))
    uv = Path("~/.local/share/uv/python").expanduser()
    yield from map(str, sorted(uv.glob(f"cpython-{version}.*/bin/{name}"), reverse=True))


def find(version: str) -> str | None:
    """The path of an interpreter of `version` that starts, or None."""
    for candidate in candidates(version):
        try:
            probe = subprocess.run([candidate, "-c", PROBE], capture_output=True, text=True, timeout=60, check=False)
        except (OSError, subprocess.TimeoutExpired):
            continue
        if probe.returncode == 0:
            said, path = probe.stdout.splitlines()
            if said == version:
                return path
    return None


def run(version: str, commands: Sequence[Sequence[str]], *, live: bool) -> Run:
    """Run `commands` one after another until one fails; with `live`, pass their output on as it comes."""
    started = time.monotonic()
    output: list[str] = []
    returncode = 0
    for command in commands:
        with subprocess.Popen(
            command,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                output.append(line.rstrip("\n"))
                if live:
                    print(line, end="", flush=True)
        returncode = process.returncode
        if returncode:
            break
    return Run(version, returncode, output, time.monotonic() - started)


def pytest(python: Path, arguments: Sequence[str]) -> list[str]:
    """The command that runs the suite with `python`. Runs side by side need a cache each."""
    colour = ["--color=yes"] if sys.stdout.isatty() else []
    cache = ["-o", f"cache_dir={python.parent.parent / '.pytest_cache'}"]
    return [str(python), "-m", "pytest", *cache, *colour, *arguments]


def main(arguments: Sequence[str]) -> int:
    """Run the suite everywhere, and say what happened; 0 when all of it passed."""
    primary = "{}.{}".format(*sys.version_info)
    jobs: dict[str, list[list[str]]] = {}
    for version in SUPPORTED:
        if version == primary:
            continue
        if interpreter := find(version):
            folder = f".venv-{version}"
            jobs[version] = [
                ["bash", ".ci/setup", folder, interpreter, *GROUPS],
                pytest(ROOT / folder / "bin" / "python", ["-m", "not one_python", *arguments]),
            ]
        else:
            print(f"Python {version} is not installed here: the suite does not run on it")
    others = ", ".join(jobs) or "no other version"
    print(f"Python {platform.python_version()} runs the suite, and beside it {others}", flush=True)

    with ThreadPoolExecutor(SIDE_BY_SIDE) as lanes:
        first = lanes.submit(run, primary, [pytest(Path(sys.executable), arguments)], live=True)
        rest = [lanes.submit(run, version, commands, live=False) for version, commands in jobs.items()]
        runs = [future.result() for future in [*rest, first]]

    for one in runs[:-1]:
        if one.returncode:
            print(f"\nPython {one.version} failed, and wrote:", *one.output, sep="\n")
    for one in runs:
        verdict = "failed" if one.returncode else "passed"
        print(f"\nPython {one.version} {verdict}, {one.seconds:.0f} s in all", one.summary, sep="\n")
    return int(any(one.returncode for one in runs))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
