"""`python -m eventsource_upstash.testing.history URL`: a workload on a backend, and the verdict."""

from __future__ import annotations

import argparse
import contextlib
import secrets
import sys
import tempfile
from pathlib import Path

from ...errors import EventSourceError
from .running import Ran, Run, one_process, run


def main() -> int:
    """Run the command. Its exit status: 0 if nothing was found, 1 if something was, 2 if it could not be run."""
    options = _parser().parse_args()
    if options.name is not None:
        one_process(options.url, options.folder, options.name, options.seed)
        return 0
    seed = secrets.randbelow(1_000_000) if options.seed is None else options.seed
    with contextlib.ExitStack() as stack:
        if options.folder is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        else:
            folder = options.folder
            folder.mkdir(parents=True, exist_ok=True)
            if any(folder.iterdir()):
                return _say(f"{folder} is not empty: name another folder", 2)
        try:
            ran = run(Run(options.url, folder, options.processes, options.seconds, seed, options.kill))
        except EventSourceError as error:
            return _say(str(error), 2)
    return _say(_told(ran, seed, options.seconds), 0 if ran.ok else 1)


def _told(ran: Ran, seed: int, seconds: float) -> str:
    lines = [f"seed {seed}, {seconds:g} seconds, {ran.kills} kills", str(ran.verdict), *ran.fallen]
    if not ran.verdict.counts["appends acknowledged"]:
        lines.append("not one append was acknowledged: nothing was tested")
    return "\n".join(lines)


def _say(text: str, status: int) -> int:
    (sys.stderr if status == 2 else sys.stdout).write(text + "\n")
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m eventsource_upstash.testing.history",
        description="Run several processes on a backend that append, read and fold at once; then check that every "
        "stream is linearizable, that nothing acknowledged is lost or there twice, and that the views are the fold of "
        "the log. Exit status 1 if not.",
    )
    parser.add_argument("url", metavar="URL", help="memory:, sqlite:FILE or upstash:NAMESPACE; with an empty log")
    parser.add_argument("--processes", type=int, default=4, help="how many work at once (4)")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long (10)")
    parser.add_argument("--seed", type=int, help="what they do is drawn from it; a new one without it")
    parser.add_argument("--kill", action="store_true", help="kill them at any moment, and start them again")
    parser.add_argument("--folder", type=Path, help="where the history is kept, a file for each process")
    # As one of them is started:
    parser.add_argument("--as", dest="name", help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    sys.exit(main())
