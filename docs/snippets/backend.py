"""A log that waits through its port only, as a backend author would begin it."""

from __future__ import annotations

import asyncio

# --8<-- [start:port]
from pathlib import Path

from eventsource_upstash import Receipt
from eventsource_upstash._io.port import Port


class FileLog:
    def __init__(self, port: Port, path: str) -> None:
        self._port = port
        self._path = Path(path)

    async def head(self) -> tuple[int, Receipt]:
        def work() -> int:
            return len(self._path.read_text("utf-8").splitlines())

        return await self._port.call(work), Receipt()

    # ... and append, recall, read, read_stream


# --8<-- [end:port]


def test_port(in_empty_folder: None) -> None:
    from eventsource_upstash._io import blocking, event_loop

    Path("log.jsonl").write_text("{}\n{}\n", "utf-8")
    assert blocking.run(FileLog(blocking.PORT, "log.jsonl").head()) == (2, Receipt())
    assert asyncio.run(FileLog(event_loop.PORT, "log.jsonl").head()) == (2, Receipt())


def test_third_party_by_hand(in_empty_folder: None) -> None:
    from docs.snippets.todo import TaskCreated, registry
    from eventsource_upstash import EventStore, Memory, SQLite

    for backend in (Memory(), SQLite("todo.db")):
        assert (
            EventStore(backend, registry).append("task-1", TaskCreated("Do the dishes")).position
            == 1
        )
        backend.close()
