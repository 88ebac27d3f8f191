"""What an index may hold, and what is told of a value that it may not."""

from __future__ import annotations

import enum
from dataclasses import dataclass

import pytest

from eventsource_upstash import Misuse, Registry, connect
from eventsource_upstash.domain.indexes import encode_value


class Status(str, enum.Enum):
    OPEN = "open"
    DONE = "done"


@dataclass(frozen=True)
class Filed:
    id: str
    status: Status


@dataclass(frozen=True)
class Case:
    status: Status


def test_documents_are_found_by_a_value_of_an_enum_of_strings() -> None:
    registry = Registry()
    registry.event("filed")(Filed)
    cases = registry.projection("cases", Case)
    cases.index("status", "status")
    cases.on(Filed, key="id")(lambda _, event: Case(event.status))
    app = connect("memory:", registry)
    app.event_store.append("s", Filed("a", Status.OPEN), Filed("b", Status.DONE))
    app.projector.catch_up()
    index = app.projection_store.view(cases).index("status")
    assert dict(index.equal("open")) == dict(index.equal(Status.OPEN)) == {"a": Case(Status.OPEN)}
    assert encode_value(Status.DONE, "a test") == "sdone"


@pytest.mark.parametrize("value", ["", "secret" * 50, "secret\x01", "secret\ud800"])
def test_a_value_that_is_refused_is_not_told(value: str) -> None:
    with pytest.raises(Misuse, match=r"^a test: a value ") as error:
        encode_value(value, "a test")
    assert "secret" not in str(error.value)
