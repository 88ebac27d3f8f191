"""The sdist and the wheel: what is in them, and that the wheel works in an empty environment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import venv
import zipfile
from dataclasses import dataclass
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "eventsource_upstash"


def run(*command: str | Path, cwd: Path) -> str:
    """The standard output of a command that succeeds, run away from the source tree."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(command, cwd=cwd, env=clean, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@dataclass(frozen=True)
class Built:
    """The names and the bytes of one distribution's files, without the sdist's top folder."""

    path: Path
    files: dict[str, bytes]

    def metadata(self) -> dict[str, list[str]]:
        """The core metadata, as field name -> values."""
        (name,) = (name for name in self.files if name.endswith((".dist-info/METADATA", "PKG-INFO")))
        message = Parser().parsestr(self.files[name].decode())
        return {field: [str(value) for value in message.get_all(field, [])] for field in message}


@dataclass(frozen=True)
class Installed:
    """The Python of an environment that holds the wheel and what it asks for, nothing else."""

    python: Path

    def answer(self, code: str) -> object:
        """What `code` prints as JSON, run where the source tree cannot be seen."""
        answer: object = json.loads(run(self.python, "-I", "-c", code, cwd=self.python.parent))
        return answer


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where both are built: the wheel from the sdist, as `pip install` of an sdist does it."""
    folder = tmp_path_factory.mktemp("dist")
    # The build backend is installed and pinned here, so it needs no isolation, and no download.
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT, cwd=folder)
    return folder


@pytest.fixture(scope="module")
def wheel(folder: Path) -> Built:
    (path,) = folder.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        return Built(path, {name: archive.read(name) for name in archive.namelist()})


@pytest.fixture(scope="module")
def sdist(folder: Path) -> Built:
    (path,) = folder.glob("*.tar.gz")
    files: dict[str, bytes] = {}
    with tarfile.open(path) as archive:
        for member in archive:
            if content := archive.extractfile(member):
                files[member.name.partition("/")[2]] = content.read()
    return Built(path, files)


@pytest.fixture(scope="module")
def installed(wheel: Built, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    pip = "-m", "pip", "--disable-pip-version-check", "install", "--quiet"
    constraints = ROOT / ".ci" / "constraints.txt"
    run(python, *pip, "--constraint", constraints, wheel.path, cwd=folder)
    return Installed(python)


def test_the_wheel_runs_on_every_python(wheel: Built) -> None:
    assert wheel.path.name.endswith("-py3-none-any.whl")


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Built) -> None:
    tops = {name.partition("/")[0] for name in wheel.files}
    (info,) = tops - {PACKAGE}
    assert info.endswith(".dist-info")


def test_the_wheel_holds_every_file_of_the_package(wheel: Built) -> None:
    source = ROOT / "src"
    files = {file for file in (source / PACKAGE).rglob("*") if file.is_file() and file.suffix != ".pyc"}
    assert {str(file.relative_to(source)) for file in files} - wheel.files.keys() == set()


def test_the_wheel_holds_no_tests_of_ours_and_nothing_compiled(wheel: Built) -> None:
    names = [name.rpartition("/")[2] for name in wheel.files]
    unwanted = [name for name in names if name.startswith(("test_", "conftest")) or name.endswith(".pyc")]
    assert unwanted == []


def test_type_checkers_may_read_the_wheel(wheel: Built) -> None:
    assert f"{PACKAGE}/py.typed" in wheel.files


@pytest.mark.parametrize("kind", ["wheel", "sdist"])
def test_the_licence_is_included(kind: str, request: pytest.FixtureRequest) -> None:
    built: Built = request.getfixturevalue(kind)
    licence = (ROOT / "LICENSE").read_bytes()
    assert licence in [content for name, content in built.files.items() if name.endswith("LICENSE")]
    assert built.metadata()["License-Expression"] == ["MIT"]


def test_the_sdist_can_be_tested(sdist: Built) -> None:
    needed = {"pyproject.toml", "Makefile", ".ci/run", ".ci/constraints.txt", "tests/conftest.py"}
    assert needed - sdist.files.keys() == set()


def test_the_sdist_holds_nothing_made_by_running(sdist: Built) -> None:
    made = (".venv", ".git/", "site/", "dist/", "__pycache__", "_cache/", ".hypothesis", ".db")
    assert [name for name in sdist.files if any(part in name for part in made)] == []


def test_the_installed_package_knows_its_version(wheel: Built, installed: Installed) -> None:
    version = installed.answer(
        "import importlib.metadata as m, json; print(json.dumps(m.version('eventsource-upstash')))"
    )
    assert [version] == wheel.metadata()["Version"]


def test_what_needs_more_packages_says_which(installed: Installed) -> None:
    words = installed.answer("""
import json
from eventsource_upstash import EventStore, Misuse, Registry, UpstashRedis
try:
    EventStore(UpstashRedis("https://example.com", "token"), Registry()).head()
except Misuse as error:
    print(json.dumps(str(error)))
""")
    assert words == "HTTP needs the package httpx: pip install 'eventsource-upstash[upstash]'"


def test_the_installed_package_asks_for_little(installed: Installed) -> None:
    """An application that deploys to a function pays for each package at every cold start."""
    names = installed.answer("""
import json
from importlib.metadata import distributions

# Python 3.11 and older put setuptools into every new environment.
print(json.dumps(sorted({one.name.lower() for one in distributions()} - {"setuptools"})))
""")
    assert names == ["eventsource-upstash", "msgspec", "pip", "typing_extensions"]


def test_the_installed_package_runs(installed: Installed) -> None:
    """The whole way, without one test dependency: an event, its fold, and the view."""
    document = installed.answer("""
import json
from dataclasses import dataclass
from eventsource_upstash import Registry, connect

registry = Registry()

@registry.event("task-created")
@dataclass(frozen=True)
class TaskCreated:
    id: str
    text: str

@dataclass(frozen=True)
class Task:
    id: str
    text: str

tasks = registry.projection("tasks", Task)

@tasks.on(TaskCreated, key="id")
def created(task: Task | None, event: TaskCreated) -> Task | None:
    return Task(event.id, event.text)

with connect("memory:", registry) as app:
    app.event_store.append("task-1", TaskCreated("1", "Do the dishes!"), expected_revision=0)
    app.projector.catch_up()
    task = app.projection_store.view(tasks).get("1")
    print(json.dumps([task.id, task.text]))
""")
    assert document == ["1", "Do the dishes!"]


@pytest.mark.parametrize("heavy", ["asyncio", "httpx", "http.client", "multiprocessing", "sqlite3", "unittest"])
def test_importing_the_package_leaves_out(heavy: str, installed: Installed) -> None:
    """Each is imported by what uses it first, so that nobody else waits for it."""
    loaded = installed.answer(f"import {PACKAGE}, json, sys; print(json.dumps(sorted(sys.modules)))")
    assert isinstance(loaded, list)
    assert PACKAGE in loaded
    assert heavy not in loaded
