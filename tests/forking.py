"""Forks, for the programs that tests run."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable


def forked(work: Callable[[], object]) -> int:
    """Run the work in a child; a child that hangs is ended by an alarm, and any failure of it is one of ours."""
    child = os.fork()
    if child:
        return child
    signal.alarm(45)  # within the minute that a program has: five of them beside a broker take their time
    status = 1
    try:
        work()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def wait_for(*children: int) -> None:
    for child in children:
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert code == 0, f"a child ended with {code}"
