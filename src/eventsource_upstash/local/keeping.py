"""Programs of our own that end when we do, whichever way we end."""

from __future__ import annotations

import logging
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal

__all__ = ["keep", "release"]

_log: Final = logging.getLogger("eventsource_upstash.local")

# The shell is between us and the program, and reads from a pipe that nobody writes to. Whichever way this process ends,
# by kill -9 too, the system closes the pipe; then the shell ends the program, waits for it, removes the folder, and
# ends what is left of its group.
_KEEPER: Final = """
folder=$1; signal=$2; shift 2
exec 3<&0
"$@" 3<&- </dev/null &
engine=$!
trap 'kill -"$signal" "$engine" 2>/dev/null' TERM
( trap - TERM; read _ <&3; kill -"$signal" "$engine"; sleep 5; kill -KILL "$engine" ) 2>/dev/null &
exec 3<&-
while kill -0 "$engine" 2>/dev/null; do wait "$engine"; code=$?; done
rm -rf "$folder"
trap '' TERM
kill -TERM 0
exit "$code"
"""


def keep(folder: Path, signal: Literal["TERM", "KILL"], words: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start a program.

    Args:
        folder: Its folder, removed when it has ended.
        signal: What ends it: TERM for one that has something to finish.
        words: Its path and arguments.

    Returns:
        The process that keeps it, and ends when it does; to be handed to `release`.
    """
    return subprocess.Popen(  # noqa: S603 - our own words
        ["/bin/sh", "-c", _KEEPER, "sh", str(folder), signal, *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C is for us; we stop it in our own time
    )


def release(process: subprocess.Popen[bytes], *, timeout: float) -> None:
    """End the program, and wait until it has; after so many seconds in vain, kill what keeps it."""
    assert process.stdin is not None
    process.stdin.close()
    process.terminate()  # a child of this process, made by a fork, may hold the pipe open still
    try:
        process.wait(timeout=timeout)
    except subprocess.TimeoutExpired:
        _log.warning("the engine does not stop; it is killed")
        process.kill()
        process.wait()
