"""Which tests run which lines: measured once, by coverage, one context for each test."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from _pytest.runner import runtestprotocol

from tests.mutants.mutant import SOURCE

MOST = 0.6
"""Seconds of a processor, measured: a test that takes longer is not asked about each mutant."""


@dataclass
class Reach:
    """What the suite reaches.

    Attributes:
        seconds: How long each test takes.
        tests: The tests that run a line, by module and line.
        files: The files of tests that were measured, and what they were.
        source: What the whole source was then: where a line of it moved, the tests that run it are others.
    """

    seconds: dict[str, float]
    tests: dict[str, dict[int, set[str]]]
    files: dict[str, str] = field(default_factory=dict)
    source: str = ""

    def of(self, module: str, lines: range) -> set[str]:
        by_line = self.tests.get(module, {})
        return set().union(*(by_line.get(line, ()) for line in lines))

    def add(self, other: Reach) -> None:
        self.seconds |= other.seconds
        self.files |= other.files
        for module, lines in other.tests.items():
            held = self.tests.setdefault(module, {})
            for line, tests in lines.items():
                held.setdefault(line, set()).update(tests)

    def write(self, path: Path) -> None:
        names = list(self.seconds)
        number = {name: index for index, name in enumerate(names)}
        tests = {
            module: {line: sorted(number[each] for each in tests) for line, tests in lines.items()}
            for module, lines in self.tests.items()
        }
        path.write_text(
            json.dumps({"seconds": self.seconds, "tests": tests, "files": self.files, "source": self.source})
        )

    @classmethod
    def read(cls, path: Path) -> Reach:
        held = json.loads(path.read_text())
        names = list(held["seconds"])
        return cls(
            held["seconds"],
            {
                module: {int(line): {names[each] for each in tests} for line, tests in lines.items()}
                for module, lines in held["tests"].items()
            },
            held["files"],
            held.get("source", ""),
        )


class Root:
    """A next test that needs nothing of this one's but what the whole session shares."""

    def __init__(self, session: pytest.Session) -> None:
        self._session = session

    def listchain(self) -> list[Any]:
        return [self._session]


class Measuring:
    """Runs each test once, and notes the lines and the seconds.

    Args:
        path: Where it is kept. Files of tests that were measured before, and have not changed, are not again, as long
            as nothing of the source has.
        jobs: How many forks.
        told: Is called with what is worth a line.
    """

    def __init__(self, path: Path, jobs: int, told: Callable[[str], None]) -> None:
        self._path = path
        source = hashlib.sha256(b"".join(each.read_bytes() for each in sorted(SOURCE.rglob("*.py")))).hexdigest()
        kept = Reach.read(path) if path.exists() else None
        self.reach = kept if kept is not None and kept.source == source else Reach({}, {}, {}, source)
        self._jobs = jobs
        self._told = told

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        files = {str(item.path): "" for item in session.items}
        files = {file: hashlib.sha256(Path(file).read_bytes()).hexdigest() for file in files}
        items = [item for item in session.items if self.reach.files.get(str(item.path)) != files[str(item.path)]]
        files = {str(item.path): files[str(item.path)] for item in items}
        running = {}
        folders: Any = session.config._tmp_path_factory  # type: ignore[attr-defined]
        folder = folders.getbasetemp()
        for job in range(self._jobs):
            path = self._path.with_suffix(f".{job}")
            pid = os.fork()
            if not pid:
                try:
                    folders._basetemp = folder / str(job)
                    folders._basetemp.mkdir()
                    self._measure(session, items[job :: self._jobs]).write(path)
                except BaseException:
                    self._told(traceback.format_exc())
                finally:
                    os._exit(0)
            running[pid] = path
        whole = True
        while running:
            pid, status = os.wait()
            path = running.pop(pid, None)
            if path is None:
                continue
            whole = whole and not status and path.exists()
            if path.exists():
                self.reach.add(Reach.read(path))
                path.unlink()
        if not whole:  # what is not known to be measured would stand there as what reaches nothing
            self._told("a fork has ended before it had measured everything: nothing of it is kept")
            return True
        self.reach.files |= files
        self.reach.write(self._path)
        return True

    def _measure(self, session: pytest.Session, items: Sequence[pytest.Item]) -> Reach:
        import coverage

        reach = Reach({}, {})
        measured = coverage.Coverage(data_file=None, include=[f"{SOURCE}/*"], config_file=False)
        measured.start()
        signal.signal(signal.SIGPROF, _too_long)
        signal.signal(signal.SIGALRM, _too_long)
        for number, item in enumerate(items):
            measured.switch_context(item.nodeid)
            began = time.process_time()
            reports = []
            with contextlib.suppress(BaseException), contextlib.ExitStack() as timers:
                for timer in (signal.ITIMER_PROF, signal.ITIMER_REAL):
                    timers.callback(signal.setitimer, timer, 0)
                signal.setitimer(signal.ITIMER_PROF, 1.5 * MOST, 0.3)  # again, where it was swallowed
                signal.setitimer(signal.ITIMER_REAL, 20, 1)
                reports = runtestprotocol(item, nextitem=Root(session), log=False)  # type: ignore[arg-type]
            for timer in (signal.ITIMER_PROF, signal.ITIMER_REAL):
                signal.setitimer(timer, 0)
            passed = bool(reports) and all(report.passed for report in reports)
            if not passed:
                _unlock(measured)
            if not reports:  # what it set up may stand there still
                with contextlib.suppress(BaseException):
                    session._setupstate.teardown_exact(None)
                session._setupstate.stack.clear()
            seconds = time.process_time() - began
            if number % 100 == 0:
                self._told(f"{number} of {len(items)}: {item.nodeid}")
            if seconds > MOST:
                self._told(f"left out, since it takes too long: {item.nodeid}")
            elif passed:
                reach.seconds[item.nodeid] = seconds
            else:
                self._told(f"left out, since it does not pass: {item.nodeid}")
        measured.stop()
        root = SOURCE.resolve()
        data = measured.get_data()
        usable = set(reach.seconds)
        for file in data.measured_files():
            reach.tests[str(Path(file).relative_to(root))] = {
                line: usable.intersection(contexts) for line, contexts in data.contexts_by_lineno(file).items()
            }
        return reach


def _unlock(measured: Any) -> None:
    """Let go of the lock that a test was interrupted with, amid what coverage does for it."""
    lock = measured._collector.data_lock
    if lock is not None and lock.locked():
        lock.release()


def _too_long(number: int, frame: object) -> None:
    raise TimeoutError
