"""Tries mutants: each in a process that is forked off one that holds the whole suite, ready to run.

The mutated module is compiled, and the functions that there are get the code of the mutant: nothing is imported again,
no test is collected again. What a module does when it is imported is done already, and is not mutated.
"""

from __future__ import annotations

import ctypes
import functools
import gc
import importlib
import os
import resource
import shutil
import signal
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from types import CodeType, FunctionType
from typing import Any

import pytest
from _pytest import nodes
from _pytest.assertion import util
from _pytest.runner import runtestprotocol

from tests.mutants.mutant import SOURCE, Mutant
from tests.mutants.reaching import Reach, Root

KILLED, SURVIVED, INVALID, BROKEN = 11, 12, 13, 14
QUICK, MANY = 0.01, 8  # of tests that take less than so many seconds so many are asked for one that takes longer
OPTIMIZED = 1  # of a function's code, not of a module's or a class's


class Killing:
    """Hands mutants out to forks, and tells what became of each.

    Args:
        mutants: In what order they are tried.
        reach: Which tests can tell.
        budget: Seconds, as measured, of tests that one mutant is tried with; the narrowest come first.
        jobs: How many at once.
        told: Is called with each verdict: `killed`, `timeout`, `survived`, `unreached` or `invalid`, and the test.
    """

    def __init__(
        self,
        mutants: Sequence[Mutant],
        reach: Reach,
        budget: float,
        jobs: int,
        told: Callable[[Mutant, str, str], None],
    ) -> None:
        self._mutants = mutants
        self._reach = reach
        self._budget = budget
        self._jobs = jobs
        self._told = told
        # A test that runs few lines is about these; one that runs many passes by.
        self._width = Counter(test for lines in reach.tests.values() for tests in lines.values() for test in tests)
        self._killers: dict[str, list[str]] = defaultdict(list)
        self._honest: dict[str, bool] = {}  # by test that has killed: whether it passes without a mutant

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        items = {item.nodeid: item for item in session.items}
        for module in {mutant.module for mutant in self._mutants}:  # some are imported by whoever needs them first
            importlib.import_module("eventsource_upstash." + module.removesuffix(".py").replace("/", "."))
        functions: dict[CodeType, list[FunctionType]] = defaultdict(list)
        caches = []
        source = str(SOURCE.resolve())
        for each in gc.get_objects():
            if isinstance(each, FunctionType) and each.__code__.co_filename.startswith(source):
                functions[each.__code__].append(each)
            elif isinstance(each, functools._lru_cache_wrapper):
                caches.append(each)
        gc.collect()
        gc.freeze()
        running: dict[int, tuple[Mutant, int, list[str]]] = {}
        self._folders: Any = session.config._tmp_path_factory  # type: ignore[attr-defined]
        self._folder = self._folders.getbasetemp()

        def forked(mutant: Mutant | None, tests: Sequence[str]) -> tuple[int, int]:
            return self._forked(mutant, [items[test] for test in tests], functions, caches, session)

        left = deque(self._mutants)
        while left or running:
            if not left or len(running) >= self._jobs:
                left.extend(self._wait(running, forked))
                continue
            mutant = left.popleft()
            tests = [test for test in self._chosen(mutant) if test in items]
            if not tests:
                self._told(mutant, "unreached", "")
                continue
            _compiled(mutant.module)
            pid, reader = forked(mutant, tests)
            running[pid] = (mutant, reader, tests)
        return True

    def _chosen(self, mutant: Mutant) -> list[str]:
        """The tests to try, those first which have killed a neighbour.

        Then by turns one of those that run the most lines of the function, and one of each file, the narrowest first.
        """
        reached = self._reach.of(mutant.module, mutant.lines)
        reached -= {test for test, honest in self._honest.items() if not honest}
        first = [test for test in self._killers[f"{mutant.module} {mutant.function}"] if test in reached]
        first += [test for test in self._killers[mutant.module] if test in reached and test not in first][:5]
        by_file: dict[str, list[str]] = defaultdict(list)
        for test in sorted(reached.difference(first), key=self._width.__getitem__):
            by_file[test.split("::")[0]].append(test)
        ranked = sorted(
            (rank // (MANY if self._reach.seconds[test] < QUICK else 1), self._width[test], test)
            for tests in by_file.values()
            for rank, test in enumerate(tests)
        )
        known = Counter(
            test for line in mutant.around for test in self._reach.of(mutant.module, range(line, line + 1)) & reached
        )
        knowing = sorted(reached.difference(first), key=lambda test: (-known[test], self._width[test], test))
        turns = [test for pair in zip(knowing, (test for _, _, test in ranked), strict=True) for test in pair]
        chosen: list[str] = []
        seconds = 0.0
        for test in dict.fromkeys([*first, *turns]):
            if chosen and seconds + self._reach.seconds[test] > self._budget:
                continue
            chosen.append(test)
            seconds += self._reach.seconds[test]
        return chosen

    def _forked(
        self,
        mutant: Mutant | None,
        items: Sequence[pytest.Item],
        functions: dict[CodeType, list[FunctionType]],
        caches: Sequence[Any],
        session: pytest.Session,
    ) -> tuple[int, int]:
        """Try a mutant in a process of its own: which, and from where it tells of each test that it begins."""
        reader, writer = os.pipe()
        pid = os.fork()
        if not pid:
            code = BROKEN
            try:
                os.close(reader)
                self._folders._basetemp = self._folder / str(os.getpid())
                self._folders._basetemp.mkdir()
                code = self._try(mutant, items, functions, caches, session, writer)
            finally:
                os._exit(code)
        os.close(writer)
        return pid, reader

    def _wait(
        self,
        running: dict[int, tuple[Mutant, int, list[str]]],
        forked: Callable[[Mutant | None, Sequence[str]], tuple[int, int]],
    ) -> list[Mutant]:
        """Wait for a mutant's end. Answers it where it has to be tried again: its killer fails without it as well."""
        pid, status = os.wait()
        if pid not in running:
            return []
        mutant, reader, tests = running.pop(pid)
        shutil.rmtree(self._folder / str(pid), ignore_errors=True)
        with os.fdopen(reader, "rb") as pipe:
            begun = len(pipe.read())
        last = tests[begun - 1] if begun else ""
        verdict = verdict_of(os.waitstatus_to_exitcode(status))
        if verdict in ("killed", "timeout"):
            if last not in self._honest:
                alone, reader = forked(None, [last])
                ended = os.waitstatus_to_exitcode(os.waitpid(alone, 0)[1])
                os.close(reader)
                self._honest[last] = verdict_of(ended) == "survived"
                shutil.rmtree(self._folder / str(alone), ignore_errors=True)
            if not self._honest[last]:
                return [mutant]
        if verdict == "killed":
            for key in (f"{mutant.module} {mutant.function}", mutant.module):
                killers = self._killers[key]
                if last in killers:
                    killers.remove(last)
                killers.insert(0, last)
        self._told(mutant, verdict, "" if verdict == "survived" else last)
        return []

    def _try(
        self,
        mutant: Mutant | None,
        items: Sequence[pytest.Item],
        functions: dict[CodeType, list[FunctionType]],
        caches: Sequence[Any],
        session: pytest.Session,
        writer: int,
    ) -> int:
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # ends with the process that waits for it
        resource.setrlimit(resource.RLIMIT_DATA, (4 << 30, 4 << 30))
        quiet = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(quiet, stream)
        signal.signal(signal.SIGPROF, signal.SIG_DFL)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        if mutant is not None and not swap(mutant, functions):
            return INVALID
        # Nobody reads how a test failed, and to tell it takes longer than most tests.
        nodes.Node._repr_failure_py = lambda self, excinfo, style=None: ""  # type: ignore[method-assign]
        util.assertrepr_compare = lambda *_, **__: None  # type: ignore[assignment]
        for cache in caches:
            if cache is not _compiled:
                cache.cache_clear()
        for item in items:
            os.write(writer, b".")
            seconds = self._reach.seconds[item.nodeid]
            signal.setitimer(signal.ITIMER_PROF, 2 + 10 * seconds)
            signal.setitimer(signal.ITIMER_REAL, 30 + 30 * seconds)
            try:
                reports = runtestprotocol(item, nextitem=Root(session), log=False)  # type: ignore[arg-type]
            except BaseException:  # pytest.exit, KeyboardInterrupt: not what it does without the mutant
                return KILLED
            if any(report.failed for report in reports):
                return KILLED
        return SURVIVED


def verdict_of(code: int) -> str:
    """What the end of a fork says: it was killed by a test, or by a signal for its time, or by something else."""
    if code in {-signal.SIGPROF, -signal.SIGALRM}:
        return "timeout"
    return {KILLED: "killed", SURVIVED: "survived", INVALID: "invalid"}.get(code, "broken")


def swap(mutant: Mutant, functions: dict[CodeType, list[FunctionType]]) -> bool:
    """Give the functions of the mutated module the mutant's code; whether that could be done, and there were any."""
    swapped = False
    source, old = _compiled(mutant.module)
    try:
        new = compile(mutant.applied(source), old.co_filename, "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        return False
    try:
        for before, after in _pairs(old, new):
            for function in functions.get(before, ()):
                function.__code__ = after
                swapped = True
    except ValueError:  # it closes over something else
        return False
    return swapped


@functools.cache
def _compiled(module: str) -> tuple[bytes, CodeType]:
    path = SOURCE.resolve() / module
    source = path.read_bytes()
    return source, compile(source, str(path), "exec", dont_inherit=True)


def _pairs(old: CodeType, new: CodeType) -> Iterator[tuple[CodeType, CodeType]]:
    inner = [[each for each in code.co_consts if isinstance(each, CodeType)] for code in (old, new)]
    for before, after in zip(*inner, strict=False):
        if before.co_name != after.co_name:
            return
        if before != after:
            if before.co_flags & OPTIMIZED:
                yield before, after
            yield from _pairs(before, after)
