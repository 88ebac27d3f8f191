"""An event whose envelope cannot be read is told by its place, and everything before it is handed out."""

from __future__ import annotations

import pytest

from eventsource_upstash import EventStore, Memory, UndecodableEvent
from eventsource_upstash._io.blocking import PORT, run
from eventsource_upstash.domain.events import ANY
from eventsource_upstash.ports import Append
from tests.unit.todo import TaskCreated, todo


@pytest.mark.parametrize(
    ("metadata", "tags", "payload", "why"),
    [
        (b"{", None, b'{"id":"1","text":"a"}', "Input data was truncated"),
        (None, b'{"a":1}', b'{"id":"1","text":"a"}', "Expected `array`, got `object`"),
        (None, None, b'{"id":1', "Expected `str`, got `int` - at `$.id`"),
        (b"{}", None, b'{"id":1', "Expected `str`, got `int` - at `$.id`"),
    ],
)
def test_it_is_told_where_it_stands_and_why(
    metadata: bytes | None, tags: bytes | None, payload: bytes, why: str
) -> None:
    backend = Memory()
    store = EventStore(backend, todo().registry)
    store.append("task-1", TaskCreated("0", "before"))
    broken = Append("task-2", ANY, [("task-created", 1, payload)], 1_700_000_000_000_000, 7, metadata, tags)
    run(backend.log(PORT).append(broken))
    found: list[object] = []
    with pytest.raises(UndecodableEvent, match=r"task-2") as raised:
        found.extend(each.event for each in store.read())
    assert why in str(raised.value)
    assert found == [TaskCreated("0", "before")]
    assert (raised.value.stream, raised.value.position, raised.value.type) == ("task-2", 2, "task-created")


def test_a_state_is_not_made_without_it() -> None:
    backend = Memory()
    the = todo()
    broken = Append("task-1", ANY, [("task-created", 1, b'{"id":1')], 1_700_000_000_000_000, 7)
    run(backend.log(PORT).append(broken))
    with pytest.raises(UndecodableEvent, match=r"Expected `str`, got `int` - at `\$\.id`") as raised:
        EventStore(backend, the.registry).load(the.task, "task-1")
    assert (raised.value.stream, raised.value.position, raised.value.type) == ("task-1", 1, "task-created")
