"""What `make todo-upstash` runs: an Upstash on this machine, and the to-do list on it, until Ctrl+C.

Words after the command go to `eventsource-upstash dev`, as in `python -m examples.todo.serve_upstash --data kept`.
The two are processes of their own, as they would be on two machines: what the app knows of the other side is its
environment. When one of them ends, so does the other; on Linux both end with this one too, however it is killed.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import sys
import tempfile
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path

GRACE = 10.0
"""Seconds that a process may take to stop before it is killed."""

PR_SET_PDEATHSIG = 1
"""Of `prctl`: the signal that a process gets when the one that started it has ended."""

LIBC = ctypes.CDLL(None)  # looked up here: between fork and exec as little as possible is done


async def main(module: str, **variables: str) -> str | None:
    """Serve an app on a local Upstash until told to stop. Answers what went wrong, if something did.

    Args:
        module: What serves the app: it reads PORT and prints where it is.
        **variables: What it finds in its environment, besides where the Upstash is.
    """
    told = until_told()
    running: list[Process] = []
    try:
        return await serve(told, running, module, variables)
    finally:
        for process in reversed(running):  # the app first: it may be in the middle of a request to the other
            await end(process)


def until_told() -> asyncio.Event:
    """What is set when this process is to stop."""
    told = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    return told


async def serve(told: asyncio.Event, running: list[Process], module: str, variables: Mapping[str, str]) -> str | None:
    """Start both, and wait for one of them to end, or for the order to stop."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "environment"
        ports = ["--redis-port", "0", "--qstash-port", "0"]
        upstash = await start("eventsource_upstash.cli", "dev", *ports, "--env-file", str(file), *sys.argv[1:])
        running.append(upstash)
        assert upstash.stdout is not None
        # Its first line comes when it can be used, and after the file was written. What went wrong it says itself.
        if 1 in await first(upstash.stdout.readline(), told.wait()):
            return None
        if not file.exists():
            return "The local Upstash did not start."
        environment = read(file)
    print(f"Local Upstash: {environment['UPSTASH_REDIS_REST_URL']}/dev/  (requests, messages, faults)", flush=True)
    app = await start(module, **variables, **environment)
    running.append(app)
    ended = await first(app.wait(), upstash.wait(), told.wait(), drain(upstash.stdout))
    return None if 2 in ended else "The local Upstash has ended." if 0 not in ended else "The app has ended."


async def first(*waits: Coroutine[object, object, object]) -> set[int]:
    """Wait for the first, and drop the others. Answers the number of each that is done."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    done = {number for number, task in enumerate(tasks) if task.done()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return done


async def start(module: str, *arguments: str, **variables: str) -> Process:
    """Start a module as a process of its own."""
    # In a session of its own, so that Ctrl+C reaches it through us only, and in order. The app's lines are shown, the
    # other's are about variables that nobody has to copy here.
    output = PIPE if module.startswith("eventsource") else None
    environment = {**os.environ, **variables, "PYTHONUNBUFFERED": "1"}
    for name in ("EVENTSOURCE_NOTIFY_URL", "QSTASH_TOPIC", "QSTASH_REGION"):
        environment.pop(name, None)  # of the real Upstash, perhaps, which this has nothing to do with
    command = [sys.executable, "-m", module, *arguments]
    return await asyncio.create_subprocess_exec(
        *command, stdout=output, env=environment, start_new_session=True, preexec_fn=tied()
    )


def tied() -> Callable[[], None]:
    """What a new process does first, so that on Linux it ends with this one."""
    us = os.getpid()

    def follow() -> None:
        # Killed as we were: there is nobody left to hear what a process says when it stops in order. A log that is kept
        # is closed in order all the same, since the engine outlives whom it works for by that long.
        if sys.platform == "linux":
            LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != us:  # gone already
                os._exit(1)

    return follow


async def drain(output: asyncio.StreamReader) -> None:
    """Read on, so that whoever writes is not held up."""
    while await output.readline():
        pass


async def end(process: Process) -> None:
    """Stop a process, and wait until it is gone."""
    if process.returncode is None:
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), GRACE)
        except asyncio.TimeoutError:
            process.kill()
            await process.wait()


def read(file: Path) -> dict[str, str]:
    """The variables in an environment file, as the command writes them."""
    return dict(line.split("=", 1) for line in file.read_text().splitlines())


if __name__ == "__main__":
    sys.exit(asyncio.run(main("examples.todo.serve", TODO_BACKEND="upstash:", TODO_COMMAND="make todo-upstash")))
