"""Processes that are killed amid a write, disks that are full, locks and clocks that move: the history is kept."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest

from eventsource_upstash.backends.sqlite.database import WRITING, Database
from tests.faults.sqlite_life import TIMEOUT, held, judged, live, no_further_than
from tests.forking import forked
from tests.searching import thorough

T = TypeVar("T")
Note = Callable[[str, object], None]

SMALLEST = 40_000  # SQLite shares memory between processes in a file of 32 kB: without it nothing begins


def ended(*children: int) -> list[int]:
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


def size_of(path: Path) -> int:
    """Of the file or its write-ahead log, the longer one: what is written beyond makes one of them grow."""
    files = (path, path.with_name(path.name + "-wal"))
    return max([SMALLEST, *(each.stat().st_size for each in files if each.exists())])


def dying_life(path: Path, folder: Path, life: int, prepare: Callable[[], object] = lambda: None) -> int:
    """A life that a write ends, sooner or later in one of its transactions. Answers how it ended."""

    def work() -> None:
        prepare()
        chance = random.Random(life)
        beyond = life * 1_021 % 60_000  # neither pages nor frames of the log are as long, so that it ends amid each
        no_further_than(size_of(path) + beyond, deadly=True)
        live(path, folder, f"life-{life}", chance.randrange(2**32), 60)

    return ended(forked(work))[0]


def test_a_process_that_is_killed_in_the_midst_of_any_write(tmp_path: Path, record_property: Note) -> None:
    path, folder = tmp_path / "log.db", tmp_path / "history"
    folder.mkdir()
    codes = []
    for life in range(30 * thorough()):
        codes.append(dying_life(path, folder, life))
        if life % 10 == 9:
            judged(path, folder).raise_()
    record_property("killed", codes.count(-signal.SIGXFSZ))
    assert set(codes) <= {0, -signal.SIGXFSZ}
    assert codes.count(-signal.SIGXFSZ) >= len(codes) // 2


def without_a_transaction(self: Database, begin: str, work: Callable[[sqlite3.Cursor], Any]) -> Any:
    return work(self._open().cursor())


def in_two_transactions(self: Database, begin: str, work: Callable[[sqlite3.Cursor], Any]) -> Any:
    cursor = self._open().cursor()
    cursor.execute(begin)
    result = work(Splitting(cursor) if begin is WRITING else cursor)
    cursor.execute("COMMIT")
    return result


class Splitting:
    """Commits after every statement that writes, and begins again. It dies in between."""

    def __init__(self, cursor: sqlite3.Cursor) -> None:
        self.cursor = cursor

    def __getattr__(self, name: str) -> Any:
        return getattr(self.cursor, name)

    def execute(self, sql: str, *arguments: Any) -> sqlite3.Cursor:
        return self._split(sql, self.cursor.execute(sql, *arguments))

    def executemany(self, sql: str, *arguments: Any) -> sqlite3.Cursor:
        return self._split(sql, self.cursor.executemany(sql, *arguments))

    def _split(self, sql: str, result: sqlite3.Cursor) -> sqlite3.Cursor:
        if sql.lstrip().upper().startswith(("INSERT", "UPDATE", "DELETE", "REPLACE")) and " RETURNING " not in sql:
            self.cursor.connection.execute("COMMIT")
            if random.random() < 0.2:  # where a write that ends the process comes too, some day
                os.kill(os.getpid(), signal.SIGKILL)
            self.cursor.connection.execute(WRITING)
        return result


def never_committed(self: Database, begin: str, work: Callable[[sqlite3.Cursor], Any]) -> Any:
    connection = self._open()
    connection.execute(begin)
    result = work(connection.cursor())
    connection.close()
    return result


@pytest.mark.parametrize("wrong", [without_a_transaction, in_two_transactions, never_committed])
def test_what_is_not_written_at_once_is_noticed(tmp_path: Path, wrong: Callable[..., object]) -> None:
    path, folder = tmp_path / "log.db", tmp_path / "history"
    folder.mkdir()

    def prepare() -> None:
        random.seed(life)
        Database._do = wrong  # type: ignore[method-assign, assignment]  # in the child alone

    for life in range(40):
        dying_life(path, folder, life, prepare)
        try:
            verdict = judged(path, folder)
        except Exception:  # the library itself finds the log torn
            return
        if not verdict.ok:
            return
    pytest.fail("nobody has noticed")


def test_bad_days_of_several_processes(tmp_path: Path, record_property: Note) -> None:
    """Three at once, killed or not; a disk that is full for one of them; somebody who holds the file now and then."""
    path, folder, chance = tmp_path / "log.db", tmp_path / "history", random.Random(7)
    folder.mkdir()
    killed = 0
    for day in range(4 * thorough()):
        size = size_of(path)

        def work(number: int, seed: int, day: int = day, size: int = size) -> None:
            fate = random.Random(seed)
            if number == 0:
                no_further_than(size + fate.randrange(100_000), deadly=False)
            else:  # by the time that it was given, so that a busy machine kills it no sooner
                signal.signal(signal.SIGPROF, signal.SIG_DFL)
                signal.setitimer(signal.ITIMER_PROF, fate.uniform(0.002, 0.06))
            live(path, folder, f"day-{day}-{number}", fate.randrange(2**32), 80)

        children = [forked(partial(work, number, chance.randrange(2**32))) for number in range(3)]
        for _ in range(3):
            with held(path):
                time.sleep(chance.choice([TIMEOUT / 5, TIMEOUT * 2]))  # shorter and longer than they wait
        codes = ended(*children)
        assert set(codes) <= {0, -signal.SIGPROF}
        killed += codes.count(-signal.SIGPROF)
        judged(path, folder).raise_()
    record_property("killed", killed)
    assert killed
