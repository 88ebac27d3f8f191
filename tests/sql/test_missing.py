"""Without SQLAlchemy: what to install is said, and nothing else of the package asks for it."""

from __future__ import annotations

from tests.faults.processes import run

PROGRAM = """
import sys

sys.modules["sqlalchemy"] = None
import eventsource_upstash

eventsource_upstash.connect("memory:", eventsource_upstash.Registry())
try:
    import eventsource_upstash.sql
except ModuleNotFoundError as error:
    print(error.name, error, sep=": ")
"""


def test_without_sqlalchemy_it_is_said_what_to_install() -> None:
    told = "sqlalchemy: eventsource_upstash.sql needs the package sqlalchemy: pip install 'eventsource-upstash[sql]'"
    assert run(PROGRAM).strip() == told
