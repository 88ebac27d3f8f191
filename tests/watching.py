"""A plugin of pytest: fails a test in which a secret shows, wherever it does.

It looks at what is captured of stdout and stderr, of this process and of those that it starts; at every log record of
this library, whatever its level, and of all others from their own level on; at the message of every error that the
library makes, of every other that a test expects, and of those that they were raised from; at the answers of the web
endpoints, and at errors and pages that a test's own HTTP client reads; at warnings, at the reports of tests that fail,
and at the tests' names. A test that has to show a secret says so: `@pytest.mark.shows_secrets("why")`.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import traceback
import warnings
from collections.abc import Callable, Generator
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from eventsource_upstash._flow import cipher
from eventsource_upstash.errors import EventSourceError
from eventsource_upstash.web import endpoint
from tests import canary

OURS = "eventsource_upstash"


class Watch:
    """Looks, and remembers for the present test what it saw."""

    def __init__(self) -> None:
        self.found: list[str] = []
        self.late: list[str] = []
        self.texts = 0

    def look(self, where: str, text: object) -> None:
        """Look at a text, or at the bytes of one; at nothing else."""
        if isinstance(text, (bytes, bytearray)):
            text = text.decode("utf-8", "replace")
        if isinstance(text, str):
            self.texts += 1
            if shown := canary.find(text):
                self.found.append(f"a secret shows in {canary.blotted(where)}: {shown}")

    def look_at_error(self, error: BaseException | None, seen: frozenset[int] = frozenset()) -> None:
        """Look at an error, and at those behind it, also where a traceback would leave them out."""
        if error is None or id(error) in seen:
            return
        self.look(f"the text of {type(error).__name__}", str(error))
        self.look(f"the repr of {type(error).__name__}", repr(error))
        for note in getattr(error, "__notes__", ()):
            self.look(f"a note of {type(error).__name__}", note)
        seen |= {id(error)}
        self.look_at_error(error.__cause__, seen)
        self.look_at_error(error.__context__, seen)

    def look_at_answer(self, answer: httpx.Response, body: bytes) -> None:
        """Look at what tells of a failure, and at pages. Who may ask for keys is answered keys."""
        if answer.is_error or "html" in answer.headers.get("content-type", "") or "/dev" in str(answer._request):
            self.look(f"an answer of {answer.status_code}", body)

    def after(self, owner: Any, name: str, look: Callable[[Any, Any], None]) -> None:
        """Have a method look at itself and at its result."""
        method = getattr(owner, name)

        def looking(self: Any, *args: Any, **kwargs: Any) -> Any:
            result = method(self, *args, **kwargs)
            look(self, result)
            return result

        setattr(owner, name, looking)

    def listen(self) -> None:
        """Hear every log record, those of this library also where nobody wants them; who does finds what it did."""
        wanted, log = logging.Logger.isEnabledFor, logging.Logger._log

        def is_enabled(logger: logging.Logger, level: int) -> bool:
            return logger.name.startswith(OURS) or wanted(logger, level)

        def heard(
            logger: logging.Logger, level: int, msg: object, args: Any, exc_info: Any = None, *more: Any, **kwargs: Any
        ) -> None:
            # Without a record where nobody wants one: of those there are many.
            self.look(f"a log record of {logger.name}", str(msg) % args if args else str(msg))
            if exc_info:
                error = exc_info if isinstance(exc_info, BaseException) else sys.exc_info()[1]
                self.look(f"a log record of {logger.name}", "".join(traceback.format_exception(error)))
            if wanted(logger, level):
                kwargs["stacklevel"] = kwargs.get("stacklevel", 1) + 1
                log(logger, level, msg, args, exc_info, *more, **kwargs)

        logging.Logger.isEnabledFor = is_enabled  # type: ignore[method-assign]
        logging.Logger._log = heard  # type: ignore[method-assign]

    def watch_all(self) -> None:
        """Begin. There is no end: the process is one of tests."""
        self.listen()
        self.after(EventSourceError, "__init__", lambda error, _: self.look(f"a {type(error).__name__}", str(error)))
        self.after(
            pytest.CaptureFixture, "readouterr", lambda _, read: [self.look("the output", each) for each in read]
        )
        self.after(httpx.Response, "read", self.look_at_answer)
        self.after(
            *(subprocess.Popen, "communicate"),
            lambda process, read: [self.look(f"the output of {process.args!r:.80}", each) for each in read],
        )
        expecting = pytest.RaisesExc.__exit__

        def left(expected: Any, kind: Any, error: Any, at: Any) -> Any:
            self.look_at_error(error)
            return expecting(expected, kind, error, at)

        pytest.RaisesExc.__exit__ = left  # type: ignore[method-assign]
        answering = endpoint.Response.__new__

        def answered(cls: Any, status: int, headers: Any, body: bytes) -> Any:
            self.look(f"an answer of {status}", body)
            self.look(f"the headers of an answer of {status}", str(headers))
            return answering(cls, status, headers, body)

        endpoint.Response.__new__ = answered  # type: ignore[method-assign]
        # The keys of persons are random: these begin with the canary, and are random from there on.
        cipher.os = SimpleNamespace(  # type: ignore[attr-defined, assignment]
            urandom=lambda size: canary.key(size, os.urandom(size)) if size == cipher.KEY_BYTES else os.urandom(size)
        )

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        if call.when == "setup":
            self.look("the test's name", item.nodeid)
        for name, text in report.sections:
            if name.endswith(report.when or ""):  # those of the phases before were looked at then
                self.look(name, text)
        if report.failed:
            self.look("the report", report.longreprtext)
        found, self.found = self.found, []
        if found and not item.get_closest_marker("shows_secrets"):
            report.outcome = "failed"
            report.longrepr = "\n".join(dict.fromkeys(found))
            report.sections = []  # it shows there once more
        return report

    def pytest_warning_recorded(self, warning_message: warnings.WarningMessage, nodeid: str) -> None:
        # The test has its report already: this fails the session.
        if shown := canary.find(str(warning_message.message)):
            self.late.append(f"a secret shows in a warning of {nodeid}: {shown}")

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        self.late += self.found  # by what runs behind the last test
        if self.late:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for one in dict.fromkeys(self.late):
            terminalreporter.write_line(one)
        terminalreporter.write_line(f"looked for secrets in {self.texts} texts")
