"""Runs the workload: several processes on one backend, killed and started again if wanted, and the verdict."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

from ...backends.memory import Memory
from ...blocking import App
from ...connect import backend_of
from ...errors import Misuse, Unavailable
from ...ports import Backend
from .checking import check
from .faces import entries
from .histories import History
from .recorder import Recorder
from .verdict import Verdict
from .workload import Life, mark_of, views, workload

_T = TypeVar("_T")

GRACE: Final = 60.0
"""Seconds that a process may take, when its time is over, to end what it is doing."""

STEP: Final = 0.1
"""Seconds between two looks at the processes."""

BETWEEN_KILLS: Final = 2.0
"""Seconds from one kill to the next, on average."""

WORKED: Final = 4_000
"""Bytes of a history after which a process has done something: some twenty calls."""

STOP: Final = "stop"
"""The file that tells the processes to stop."""

PATIENCE: Final = 30.0
"""Seconds in which a backend has to be well again when the workload is over."""


class Run(NamedTuple):
    """What is to be run.

    Attributes:
        url: The backend: `memory:`, `sqlite:FILE`, or `upstash:NAMESPACE`.
        folder: Where the processes record what they do.
        processes: How many there are; threads on `memory:`.
        seconds: How long they work.
        seed: What they do is drawn from it. What they meet depends on the machine as well.
        kill: Whether they are killed at any moment, and started again.
    """

    url: str
    folder: Path
    processes: int = 4
    seconds: float = 10.0
    seed: int = 0
    kill: bool = False

    def __repr__(self) -> str:  # a URL may hold a password
        return f"Run({self.url.partition(':')[0]!r}, seed={self.seed}, kill={self.kill})"


class Ran(NamedTuple):
    """What came of a run.

    Attributes:
        verdict: What the check found.
        kills: How often a process was killed.
        fallen: What processes said that ended by themselves, with an error that no bad day explains.
    """

    verdict: Verdict
    kills: int
    fallen: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing was found, and something was done."""
        return self.verdict.ok and not self.fallen and self.verdict.counts["appends acknowledged"] > 0


def run(of: Run) -> Ran:
    """Run the workload, and check what it leaves.

    Raises:
        Misuse: The backend cannot be used for it, or it is not empty.
    """
    if of.url == "memory:" and of.kill:
        raise Misuse("--kill: threads cannot be killed; use sqlite:FILE or upstash:NAMESPACE")
    backend: Backend = Memory() if of.url == "memory:" else backend_for(of.url)
    the = workload()
    with App(backend, the.registry, None) as app:
        if app.event_store.head():
            raise Misuse("the log is not empty: give the workload a file or a namespace of its own")
        if of.url == "memory:":
            kills, fallen = 0, _in_threads(of, backend)
        else:
            kills, fallen = _Processes(of).run()
        with Recorder("in the end", of.folder / "in the end.jsonl") as recorder:
            store, projector = recorder.event_store(app.event_store, mark_of=mark_of), recorder.projector(app.projector)
            _until_well(projector.catch_up)
            # The views before the log: an append that nobody knows of may still arrive, and be folded by nobody.
            found = _until_well(lambda: views(app, the))
            log = entries(_until_well(store.read), mark_of)
        return Ran(check(History.read(of.folder), log, found), kills, tuple(fallen))


def backend_for(url: str) -> Backend:
    """The backend of a URL that several processes can work on.

    Raises:
        Misuse: There is none, or it has no namespace.
    """
    if not url.startswith(("sqlite:", "upstash:")):
        raise Misuse("the workload runs on memory:, sqlite:FILE and upstash:NAMESPACE")
    if url == "upstash:":
        raise Misuse("upstash:NAMESPACE: give the workload a namespace of its own, as in upstash:histories-1")
    return backend_of(url, os.environ)


def one_process(url: str, folder: Path, name: str, seed: int) -> None:
    """What each process does, until it is told to stop, or whoever started it is gone."""
    parent, stop = os.getppid(), folder / STOP
    with Recorder(name, folder / f"{name}.jsonl") as recorder:
        life = Life(backend_for(url), recorder, random.Random(seed))  # noqa: S311  no secret
        life.run(lambda: not stop.exists() and os.getppid() == parent)


def _in_threads(of: Run, backend: Backend) -> list[str]:
    fallen: list[str] = []
    until = time.monotonic() + of.seconds

    def work(number: int) -> None:
        name = f"thread {number}"
        try:
            with Recorder(name, of.folder / f"{name}.jsonl") as recorder:
                life = Life(backend, recorder, random.Random(of.seed * 1000 + number))  # noqa: S311  no secret
                life.run(lambda: time.monotonic() < until)
        except Exception as error:
            fallen.append(f"{name}: {error!r}")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(1, of.processes + 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return fallen


class _Process:
    """One of the processes, in one of its lives."""

    def __init__(self, of: Run, number: int, life: int) -> None:
        self.name = f"process {number}"
        self._file = of.folder / f"{self.name}.jsonl"
        self._before = self._size()
        seed = of.seed * 10_000 + 100 * number + life
        arguments = [of.url, "--folder", str(of.folder), "--seed", str(seed), "--as", self.name]
        # This package again, by the same Python.
        self._running = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", __name__.rpartition(".")[0], *arguments], stderr=subprocess.PIPE, text=True
        )

    @property
    def works(self) -> bool:
        """Whether it has come up, and has done something."""
        return self._size() > self._before + WORKED

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self._running.poll() is not None

    def kill(self) -> None:
        """End it, as `kill -9` does."""
        self._running.kill()

    def ended(self) -> list[str]:
        """Wait for its end. Answers what it fell with, if it was not killed."""
        try:
            _, error = self._running.communicate(timeout=GRACE)
        except subprocess.TimeoutExpired:
            self.kill()
            self._running.communicate()
            return [f"{self.name} does not end"]
        code = self._running.returncode
        return [] if code in (0, -signal.SIGKILL) else [f"{self.name} ended with {code}: {error.strip()}"]

    def _size(self) -> int:
        return self._file.stat().st_size if self._file.exists() else 0


class _Processes:
    """The processes of a run."""

    def __init__(self, of: Run) -> None:
        self.of = of
        self.dice = random.Random(of.seed)  # noqa: S311  no secret
        self.kills = 0
        self.living = {number: _Process(of, number, 0) for number in range(1, of.processes + 1)}

    def run(self) -> tuple[int, list[str]]:
        """Let them work for their time. Answers how many were killed, and what they fell with."""
        fallen: list[str] = []
        try:
            while not all(each.works or each.over for each in self.living.values()):
                time.sleep(STEP)
            until = time.monotonic() + self.of.seconds
            while (left := until - time.monotonic()) > 0 and not fallen:
                time.sleep(min(left, self.dice.expovariate(1 / BETWEEN_KILLS) if self.of.kill else STEP))
                fallen += self._look()
            (self.of.folder / STOP).touch()
            for each in self.living.values():
                fallen += each.ended()
        finally:
            for each in self.living.values():
                each.kill()
                each.ended()
        return self.kills, fallen

    def _look(self) -> list[str]:
        """Kill one of those who work, if that is wanted; tell who has fallen."""
        fallen = [told for each in self.living.values() if each.over for told in each.ended()]
        working = [number for number, each in self.living.items() if each.works and not each.over]
        if self.of.kill and working and not fallen:
            number = self.dice.choice(working)
            self.living[number].kill()
            fallen += self.living[number].ended()
            self.kills += 1
            self.living[number] = _Process(self.of, number, self.kills)
        return fallen


def _until_well(ask: Callable[[], _T]) -> _T:
    until = time.monotonic() + PATIENCE
    while True:
        try:
            return ask()
        except Unavailable:  # noqa: PERF203  a step of a minute, not of a loop that is measured
            if time.monotonic() > until:
                raise
            time.sleep(0.1)
