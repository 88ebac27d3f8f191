"""Runs the test suite on each supported Python that is installed, three runs side by side.

Called as ``.venv/bin/python .ci/suite.py [pytest's arguments]``. The Python of ``.venv`` is the primary one. It runs
the suite in five parts: what one Python is enough for (``tests/conftest.py``), whose output is shown as it comes, but
for what runs over Redis or Kafka, and what tries every order, fault and attack; these three; and the rest. The core of
the rest is what each other Python runs too, in an environment of its own, ``.venv-3.X``, with fewer examples of
Hypothesis. Of all runs but the first the output is shown only where something failed. A version that is not installed
is named. The last line has the form of pytest's own summary, and is the sum of the parts of the primary Python.

Each run collects its own folders only, unless the arguments name some: to collect all tests takes twenty seconds of a
processor. What waits for a broker with a time limit goes first where processors are few: the others are nice.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

SUPPORTED = ("3.10", "3.11", "3.12", "3.13")
SIDE_BY_SIDE = 3  # on two cores: with more, brokers and processes that tests start miss their time limits
GROUPS = ("test", "todo-test")
ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests import parts as folders  # noqa: E402

ONCE = "one_python and not over_redis and not over_kafka and not proof"
PROOF = "one_python and proof"
OVER_REDIS, OVER_KAFKA, REST = "one_python and over_redis", "one_python and over_kafka", "not one_python"
ELSEWHERE = "core and not one_python"
PARTS = {
    ONCE: "what one Python is enough for,",
    OVER_REDIS: "that over Redis,",
    OVER_KAFKA: "what of Kafka one Python is enough for,",
    PROOF: "every order, fault and attack,",
    REST: "the rest,",
}
APART = (*folders.OVER_REDIS, *folders.OVER_KAFKA, *folders.PROOF)
FOLDERS = {
    OVER_REDIS: folders.OVER_REDIS,
    OVER_KAFKA: folders.OVER_KAFKA,
    PROOF: folders.PROOF,
    ELSEWHERE: folders.CORE,
}
NO_TESTS = 5  # pytest's exit code where its arguments leave nothing to run: no failure of one run among several
FEWER = {"FEWER_EXAMPLES": "1", "BYTECODE": "lazily"}  # see tests/searching.py and .ci/setup

ANSI = re.compile(r"\x1b\[[0-9;]*m")

# Whether a program is the version that its name says, and can make environments. A name on the PATH proves neither: a
# version manager's shim is there for every version and starts only the active ones, and Debian splits ensurepip off.
PROBE = "import ensurepip, sys; print('%d.%d' % sys.version_info[:2], sys.executable, sep='\\n')"


@dataclass(frozen=True)
class Run:
    """What one Python made of the suite, or of a part of it."""

    name: str
    returncode: int
    output: list[str]
    seconds: float

    @property
    def summary(self) -> str:
        """Pytest's own last line."""
        return next((line for line in reversed(self.output) if line.strip()), "no output")

    @property
    def failed(self) -> bool:
        """Whether anything in it did; not where no test was left to run."""
        return self.returncode not in (0, NO_TESTS)


def together(parts: Sequence[Run], seconds: float) -> str:
    """Pytest's last line, as it were if one run had done what these did."""
    counts: Counter[str] = Counter()
    for part in parts:
        for count, what in re.findall(r"(\d+) ([a-z]+)", ANSI.sub("", part.summary).rpartition(" in ")[0]):
            counts["error" if what == "errors" else what] += int(count)
    del counts["deselected"]  # by one part for the other
    said = ", ".join(f"{count} {what}" for what, count in counts.items()) or "no tests ran"
    return f" {said} in {seconds:.2f}s ".center(80, "=")


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


def run(
    name: str, commands: Sequence[Sequence[str]], *, live: bool = False, environ: Mapping[str, str] | None = None
) -> Run:
    """Run `commands` one after another until one fails; with `live`, pass their output on as it comes."""
    started = time.monotonic()
    output: list[str] = []
    returncode = 0
    # Without bytecode, each of these runs and of hundreds of processes that tests start would compile all of it anew.
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    for command in commands:
        with subprocess.Popen(
            command,
            cwd=ROOT,
            env=inherited | dict(environ or {}),
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
    return Run(name, returncode, output, time.monotonic() - started)


def pytest(python: Path, part: str, arguments: Sequence[str]) -> list[str]:
    """The command that runs a part of the suite with `python`. Runs side by side need a cache each."""
    colour = ["--color=yes"] if sys.stdout.isatty() else []
    cache = ["-o", f"cache_dir={python.parent.parent / '.pytest_cache' / part.replace(' ', '_')}"]
    nice = [] if part == OVER_KAFKA else ["nice", "-n", "5"]
    if any(argument and (ROOT / argument.partition("::")[0]).exists() for argument in arguments):
        where = []
    elif part in FOLDERS:
        where = [f"tests/{folder}" for folder in FOLDERS[part]]
    else:
        where = [f"--ignore=tests/{folder}" for folder in APART]
    return [*nice, str(python), "-m", "pytest", *cache, *colour, "-m", part, *arguments, *where]


def main(arguments: Sequence[str]) -> int:
    """Run the suite everywhere, and say what happened; 0 when all of it passed."""
    started = time.monotonic()
    primary = "{}.{}".format(*sys.version_info)
    jobs: dict[str, list[list[str]]] = {}
    for version in SUPPORTED:
        if version == primary:
            continue
        if interpreter := find(version):
            folder = f".venv-{version}"
            jobs[version] = [
                ["bash", ".ci/setup", folder, interpreter, *GROUPS],
                pytest(ROOT / folder / "bin" / "python", ELSEWHERE, arguments),
            ]
        else:
            print(f"Python {version} is not installed here: the suite does not run on it")
    others = ", ".join(jobs) or "no other version"
    print(f"Python {platform.python_version()} runs the suite, and beside it {others}", flush=True)

    # The longest first: where it came last, it would run alone.
    with ThreadPoolExecutor(SIDE_BY_SIDE) as lanes:
        here = [
            lanes.submit(run, f"{primary}, {what}", [pytest(Path(sys.executable), part, arguments)], live=part == ONCE)
            for part, what in PARTS.items()
        ]
        there = [lanes.submit(run, version, commands, environ=FEWER) for version, commands in jobs.items()]
        parts, rest = [future.result() for future in here], [future.result() for future in there]

    runs = [*rest, *parts]
    for one in runs:
        if one.failed and one is not parts[0]:
            print(f"\nPython {one.name} failed, and wrote:", *one.output, sep="\n")
    for one in runs:
        verdict = "failed" if one.failed else "passed"
        print(f"\nPython {one.name} {verdict}, {one.seconds:.0f} s in all", one.summary, sep="\n")
    print(f"\nPython {primary}, all parts:", together(parts, time.monotonic() - started), sep="\n")
    return int(any(one.failed for one in runs) or all(part.returncode == NO_TESTS for part in parts))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
