"""`eventsource-upstash copy FROM TO`: any log to any log."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..connect import backend_of
from ..errors import EventSourceError, Misuse
from .environment import read_variables
from .telling import Bar, duration, fail, say

if TYPE_CHECKING:
    from ..blocking.copying import LogCopy
    from ..ports import Backend, Signal

__all__ = ["add_copy", "copy"]

INTERRUPTED: Final = 130
"""Exit status after Ctrl-C, as shells have it."""

_URLS: Final = (
    "FROM and TO are URLs as connect takes them: sqlite:todo.db, upstash:todo, kafka:. What is not in the URL is read "
    "from the environment; where each needs one of its own, from the files of --from-env and --to-env, with a line "
    "NAME=value for each variable: so no password stands on a command line. It can be ended at any point, and goes on "
    "when it is run again."
)


def add_copy(parser: argparse.ArgumentParser) -> None:
    """Tell a parser what the command takes."""
    parser.description = f"Copy a log to another one. {_URLS}"
    parser.add_argument("source", metavar="FROM", help="the log that is copied")
    parser.add_argument("destination", metavar="TO", help="an empty log, or one that an earlier copy has begun")
    parser.add_argument("--from-env", type=Path, metavar="FILE", help="environment of FROM")
    parser.add_argument("--to-env", type=Path, metavar="FILE", help="environment of TO")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--dry-run", action="store_true", help="tell what would be copied; write nothing")
    how.add_argument("--verify", action="store_true", help="compare the two, and copy nothing")
    how.add_argument(
        "--follow", action="store_true", help="keep up with a FROM that is written to; Ctrl-C once, when nobody does"
    )
    parser.add_argument("--no-verify", action="store_true", help="do not compare the two after the copy")


def copy(options: argparse.Namespace) -> int:
    """Run the command; returns its exit status."""
    bar = Bar(sys.stderr)
    try:
        source = _backend(options.source, options.from_env, "FROM")
        destination = _backend(options.destination, options.to_env, "TO")
        return _run(source, destination, options, bar)
    except KeyboardInterrupt:
        bar.close()
        fail("interrupted. What is copied stays; the same command goes on from there")
        return INTERRUPTED
    except EventSourceError as error:
        bar.close()
        return fail(str(error))


def _run(source: Backend, destination: Backend, options: argparse.Namespace, bar: Bar) -> int:
    from ..backends.memory import Memory
    from ..backends.sqlite import SQLite
    from ..blocking.copying import LogCopy

    for backend, name in ((source, "FROM"), (destination, "TO")):
        if isinstance(backend, SQLite) and not Path(backend.path).exists():
            if name == "FROM" or options.verify:
                raise Misuse(f"{name}: there is no file {backend.path!r}")
            if options.dry_run:  # to open it would make it
                destination = Memory()
    log_copy = LogCopy(source, destination)
    try:
        return _compare(log_copy, bar) if options.verify else _copy(log_copy, options, bar)
    finally:
        source.close()
        destination.close()


def _copy(log_copy: LogCopy, options: argparse.Namespace, bar: Bar) -> int:
    began = time.monotonic()
    copied = log_copy.run(
        verify=not options.no_verify,
        dry_run=options.dry_run,
        follow=_until_interrupted() if options.follow else None,
        progress=bar,
    )
    bar.close()
    there = f"{copied.found:,} were there already" if copied.found else "none was there"
    if options.dry_run:
        say(f"would copy {copied.copied:,} events; {there}. Nothing was written")
        return 0
    say(f"copied {copied.copied:,} events in {duration(time.monotonic() - began)}; {there}")
    if copied.compared is not None:
        say(f"compared: both hold {copied.compared.source.events:,} events, digest {copied.compared.source.digest}")
    return 0


def _compare(log_copy: LogCopy, bar: Bar) -> int:
    compared = log_copy.compare(progress=bar)
    bar.close()
    one, other = compared.source, compared.destination
    if compared.equal:
        say(f"both hold {one.events:,} events, digest {one.digest}")
        return 0
    return fail(
        f"they differ: {compared.difference}\n- FROM holds {one.events:,} events, digest {one.digest}\n- TO holds "
        f"{other.events:,} events, digest {other.digest}"
    )


def _backend(url: str, file: Path | None, name: str) -> Backend:
    """Where a URL points to. Raises `Misuse` that says which of the two it is about."""
    if url.startswith("memory:"):
        raise Misuse(f"{name}: memory: is a log within one process, and this process has none")
    environ: Mapping[str, str] = os.environ
    if file is not None:
        try:
            environ = read_variables(file)
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is no text"
            raise Misuse(f"{name}: {file} cannot be read: {reason}") from error
    try:
        return backend_of(url, environ)
    except Misuse as error:
        where = "the environment" if file is None else str(file)
        raise Misuse(f"{name}, read from the URL and {where}: {error}") from error


def _until_interrupted() -> Signal:
    """A signal that is set by the first Ctrl-C; the next one interrupts."""
    from ..ports import Signal

    stop = Signal()

    def end(_number: int, _frame: object) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    return stop
