"""What the whole suite shares: how Hypothesis searches, where files are, which tests one Python is enough for."""

import os
import re
import signal
from pathlib import Path

import pytest
from hypothesis import settings

from tests import parts
from tests.searching import examples
from tests.watching import Watch

# No deadline: a slow machine is no failure. In CI an example that failed is printed as a line that reproduces it
# anywhere, since the database of examples is gone with the machine.
settings.register_profile("local", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=False, database=None, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")
settings.register_profile("searching", parent=settings(), max_examples=examples(100))
settings.load_profile("searching")

# Files of tests are in memory where there is room: thousands of commits wait for a disk else. No test can tell, since
# none takes the power away; what a process had written is there when it is killed, on a disk or not.
MEMORY = Path("/dev/shm")
ROOM = 4 * 1024**3


def has_room(folder: Path) -> bool:
    """Whether tests can keep their files there, and start what they put there."""
    if not os.access(folder, os.W_OK):
        return False
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize >= ROOM and not found.f_flag & os.ST_NOEXEC


if has_room(MEMORY):
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))

# A shell that starts something in the background has it ignore SIGINT, and with it all that it starts. What these tests
# start is to be interrupted.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# What another Python could not change: programs beside it (the local Upstash, official packages, databases, what was
# built), examples and documentation, further variations of contracts that are held on every Python already, every order
# of steps of one logic, histories of any length, processes that are killed, and proofs that the suites can fail.
ONE_PYTHON = re.compile(
    r"""
    tests/(attacks|copying|docs|examples|history|kafka|local|packaging|redis|secrets|sharing|soak|sql|stepping|wire)/
    | tests/properties/test_(app|order|queries|reactors|snapshots|views)
    | tests/views/.*upstash | tests/qstash/test_(agreement|delivered|schedules)
    | tests/conformance/(test_(guards|limits|mailbox) | .*TestViewsInAnotherFile | .*TestTheModelOfNotifications)
    | test_scenario.kafka_rest | tests/limits/.*(agreement|upstash)
    | tests/reactors/test_kills | tests/faults/test_processes | test_the_machine_finds_
    | tests/faults/test_sqlite_histories | tests/faults/transport/test_official | tests/unit/test_redis_
    | test_history_goes_on | test_a_reader_that_was_away | test_a_long_history
    """,
    re.VERBOSE,
)


def pytest_configure(config: pytest.Config) -> None:
    watch = Watch()
    watch.watch_all()
    config.pluginmanager.register(watch, "watch")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "broker" in getattr(item, "fixturenames", ()) or ONE_PYTHON.search(item.nodeid):
            item.add_marker(pytest.mark.one_python)
        for mark, folders in parts.MARKS.items():
            if item.nodeid.startswith(parts.below(folders)):
                item.add_marker(mark)
