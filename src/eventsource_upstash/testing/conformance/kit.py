"""What the contracts are made of: `Contract`, which a backend's test class inherits, and the `Lab` of each test."""

from __future__ import annotations

import functools
import inspect
import itertools
from collections.abc import Callable, Collection, Coroutine, Generator, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, TypeVar

import pytest
from typing_extensions import Self

from ..._io import blocking
from ...domain.events import FREE, Receipt
from ...ports import Backend, Log, Views
from ..colours import Colour
from ..pausing import pausing
from .lab import Lab, appended, conflict, repeats, unmet

__all__ = ["Contract", "Lab", "Stepping", "appended", "conflict", "in_colour", "repeats", "unmet"]

C = TypeVar("C", bound="Contract")


class Stepping:
    """What a test works with that runs its callers in every order of steps."""

    def __init__(self, make: Callable[[str], Lab], *, waits: bool, anew: bool) -> None:
        self._make = make
        self._waits = waits
        self._anew = anew
        self._names = itertools.count()
        self._lab: Lab | None = None

    def __enter__(self) -> Self:
        # What a backend does once only, such as sending a server its scripts, belongs to no schedule.
        blocking.run(self.fresh().warm_up())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._lab is not None:
            self._lab.__exit__(kind, error, trace)

    def fresh(self) -> Lab:
        """The lab for the next schedule: on empty storage, or on the same as before, with what is in it."""
        if self._lab is not None:
            if not self._anew:
                return self._lab
            self._lab.__exit__(None, None, None)
        self._lab = self._make(f"schedule-{next(self._names)}")
        return self._lab

    def log(self, *, after: bool = False) -> Log:
        """The log of the present lab, stopping at each wait."""
        assert self._lab is not None
        return self._pausing(self._lab, after=after).log(self._lab.colour.port)

    def views(self, *, after: bool = False) -> Views:
        """The views of the present lab, stopping at each wait."""
        assert self._lab is not None
        backend, port = self._pausing(self._lab, after=after), self._lab.colour.port
        return backend.views(port, backend.log(port))

    def _pausing(self, lab: Lab, *, after: bool) -> Backend:
        return pausing(lab.backend, after=after, inside=True, outside=not self._waits)


class Contract:
    """Base of the contracts. A backend's test class inherits one or several of them, and says how it is opened.

    Attributes:
        reopens: Whether the storage outlives the backend object. False for a backend that keeps everything in itself:
            its tests then close it and go on with the same object.
        waits: Whether all that the backend does, it does by waits of its port: a server's, a file's. The tests in any
            order of steps then pause it there, and need not pause it around its calls, which are far fewer schedules.
        anew: Whether those tests open empty storage for each schedule. For a backend that takes other steps when more
            is stored, or to which an empty storage costs nothing.
        whole_pages: Whether a page holds all that its bounds let in. False for a log in several parts, of which a page
            ends where a part ends.
        beside: Whether the views are in one place with the log, and read both in one step. False for views of another
            backend than the log's, or over a log that is wrapped.
    """

    reopens: ClassVar[bool] = True
    waits: ClassVar[bool] = False
    anew: ClassVar[bool] = False
    whole_pages: ClassVar[bool] = True
    beside: ClassVar[bool] = True

    def open_backend(self, folder: Path) -> Backend:
        """Open the backend on the storage that belongs to a folder, and make that storage if it is not there.

        Called with the same folder again, it opens the same storage again. Each test has an empty folder of its own; a
        backend that is reached over a network makes a namespace of its path.
        """
        raise NotImplementedError

    def check_receipt(self, action: str, receipt: Receipt) -> None:
        """Check what an action cost. An embedded backend costs nothing; replace this where each request is billed.

        Args:
            action: "append", "load", "execute", "catch up" or "catch up with nothing to do".
            receipt: What it cost.
        """
        assert receipt == FREE, f"{action} cost {receipt}, and an embedded backend costs nothing"

    @pytest.fixture(params=list(Colour), ids=["blocking", "event-loop"])
    def lab(self, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Lab]:
        """The backend, opened in one colour and then in the other."""
        with self._lab(request.param, tmp_path) as lab:
            yield lab

    def _lab(self, colour: Colour, folder: Path) -> Lab:
        folder.mkdir(parents=True, exist_ok=True)
        return Lab(
            colour,
            lambda: self.open_backend(folder),
            reopens=self.reopens,
            whole_pages=self.whole_pages,
            beside=self.beside,
        )

    def stepped(self, folder: Path) -> Lab:
        """The backend, for a test that runs its callers itself."""
        return self._lab(Colour.BLOCKING, folder)

    @contextmanager
    def stepping(self, folder: Path) -> Generator[Stepping]:
        """For a test that steps its callers itself."""
        make = partial(self._lab, Colour.BLOCKING)
        with Stepping(lambda name: make(folder / name), waits=self.waits, anew=self.anew) as stepping:
            yield stepping

    def run_tests(
        self, folder: Path, colour: Colour = Colour.BLOCKING, *, only: Collection[str] | None = None
    ) -> dict[str, BaseException]:
        """Run the tests of this contract without pytest's runner, and answer which of them failed, and with what.

        To prove that the tests can fail: a backend that breaks a rule has to be caught by the test that holds it.

        Args:
            folder: An empty folder.
            colour: The colour that they run in.
            only: The names of the tests to run, where it need not be all of them.
        """
        failures: dict[str, BaseException] = {}
        for name, test in inspect.getmembers(self, inspect.ismethod):
            if not name.startswith("test_") or (only is not None and name not in only):
                continue
            own = folder / name
            own.mkdir(parents=True)
            try:
                if "lab" in inspect.signature(test).parameters:
                    with self._lab(colour, own) as lab:
                        test(lab)
                else:
                    test(own)
            except (Exception, pytest.fail.Exception) as error:
                failures[name] = error
        return failures


def in_colour(test: Callable[[C, Lab], Coroutine[Any, Any, None]]) -> Callable[[C, Lab], None]:
    """A coroutine test as a plain one, run in the colour of its lab."""

    @functools.wraps(test)
    def run(contract: C, lab: Lab) -> None:
        lab.colour.run(test(contract, lab))

    return run
