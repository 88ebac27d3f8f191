"""What the whole suite shares: how Hypothesis searches, and which tests one Python is enough for."""

import os
import re
import signal

import pytest
from hypothesis import settings

# No deadline: a slow machine is no failure. In CI an example that failed is printed as a line that reproduces it
# anywhere, since the database of examples is gone with the machine.
settings.register_profile("local", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=False, database=None, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")

# A shell that starts something in the background has it ignore SIGINT, and with it all that it starts. What these tests
# start is to be interrupted.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# What another Python could not change: programs beside it (the local Upstash, the official packages, what was built),
# further variations of contracts that are held on every Python already, and proofs that the suites can fail.
ONE_PYTHON = re.compile(
    r"""
    tests/local/ | tests/packaging/ | tests/qstash/test_agreement | tests/examples/.*upstash
    | tests/redis/test_(conformance|index|machine|queries|review|stepping|views_machine) | tests/views/.*upstash
    | tests/conformance/test_guards | tests/stepping/test_views | test_the_machine_finds_a_wrong_statement
    """,
    re.VERBOSE,
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if ONE_PYTHON.search(item.nodeid):
            item.add_marker(pytest.mark.one_python)
