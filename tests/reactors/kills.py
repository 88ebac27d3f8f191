"""A worker that is killed at each of its steps, over one SQLite file; what it leaves is done by the next one."""

from __future__ import annotations

import itertools
import os
import signal
import sys
from functools import partial

from eventsource_upstash import App, Job, SQLite
from eventsource_upstash.ports import Message
from eventsource_upstash.testing.colours import Colour, Face
from eventsource_upstash.testing.conformance.desk import EVERYTHING, Asked, Desk, Interrupted
from eventsource_upstash.testing.conformance.reacting import check
from tests.forking import forked


async def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def work(path: str, step: int, *, after: bool) -> None:
    """Catch up, and be killed before or after a step."""
    desk = Desk()
    desk.decisions = os.getpid() * 1000  # so that what is decided by two of them is told apart
    with App(Interrupted(SQLite(path), step, kill, after=after), desk.registry, None) as app:
        assert app.projector.catch_up().complete


def main(path: str) -> int:
    """Answers how many workers were killed."""
    for count in itertools.count(2):
        step, after = count // 2, count % 2 == 1
        with App(SQLite(path), Desk().registry, None) as app:
            assert app.projector.catch_up().complete  # what the one before left
            app.event_store.append("asked", Asked(f"door-{count}", EVERYTHING))
        child = forked(partial(work, path, step, after=after))
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if code == 0:
            break
        assert code == -signal.SIGKILL, code
    desk, taken = Desk(), list[Message]()
    with App(SQLite(path), desk.registry, None) as app:

        @app.job("/porter")
        def porter(job: Job) -> None:
            taken.append(Message(job.id, job.path, job.body))

        assert callable(porter)
        assert app.projector.catch_up().complete
        app.messages.deliver_due()
    Colour.BLOCKING.run(check(Face(Colour.BLOCKING, SQLite(path), desk.registry), desk, taken))
    assert len(taken) == count - 1, "a mailbox beside the log takes each message once"
    return count - 2


if __name__ == "__main__":
    sys.stdout.write(str(main(sys.argv[1])))
