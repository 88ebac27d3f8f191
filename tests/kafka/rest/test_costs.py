"""What each dialect costs in requests is counted, is in the receipts, and is what the documentation says."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final, TypeVar

import pytest

from eventsource_upstash import Memory, OutcomeUnknown
from eventsource_upstash._io import blocking
from eventsource_upstash.backends.kafka import Kafka
from eventsource_upstash.backends.kafka.rest import Dialect
from eventsource_upstash.domain.events import ANY, Appended, Receipt
from eventsource_upstash.ports import Append, Log, Page
from tests.kafka.memory_topic import MemoryTopic
from tests.kafka.rest.double import DIALECTS, ConfluentServer, Doubled, RedpandaServer, UpstashServer, doubled

T = TypeVar("T")

GUIDE: Final = Path(__file__).parents[3] / "docs" / "guides" / "kafka-rest.md"
MEGABYTES: Final = 4 * 1024**2


@pytest.fixture(autouse=True)
def _as_many_as_a_real_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Servers that hand out as much as the real ones do."""
    for server in (UpstashServer, ConfluentServer, RedpandaServer):
        monkeypatch.setattr(server, "MOST", 500)


class Ledger:
    """One topic over one dialect; each `process` knows nothing of those before."""

    def __init__(self, dialect: Dialect, partitions: int) -> None:
        self.dialect = dialect
        self.topic = MemoryTopic(partitions=partitions, atomic=False)
        self.port = doubled(self.topic, dialect)[1]
        self.number = 0

    def process(self) -> Log:
        return Kafka(doubled(self.topic, self.dialect)[0], views=Memory()).log(self.port)

    def append(self, log: Log, stream: str = "stream", key: str | None = None) -> tuple[int, Receipt]:
        self.number += 1
        events = [("happened", 1, b"%d" % self.number)]
        append = Append(stream, ANY, events, self.number, self.number << 20, key=key, digest=b"digest" if key else b"")
        requests, answer = self.counted(log.append(append))
        assert isinstance(answer, Appended)
        return requests, answer.receipt

    def read(self, log: Log, after: int = 0, limit: int = 1_000) -> tuple[int, Page]:
        return self.counted(log.read(after, limit, MEGABYTES))

    def counted(self, work: Coroutine[Any, Any, T]) -> tuple[int, T]:
        before = self.port.sent
        answer = blocking.run(work)
        return self.port.sent - before, answer


def costs(dialect: Dialect, partitions: int) -> dict[str, int]:
    """How many requests each thing takes."""
    ledger = Ledger(dialect, partitions)
    log = ledger.process()
    found: dict[str, int] = {}
    found["the first append of a process"], _ = ledger.append(log)
    found["append"], receipt = ledger.append(log)
    assert receipt.requests == 1
    for number in range(40):
        ledger.append(log, f"stream-{number}")
    found["append under an idempotency key"], receipt = ledger.append(log, key="key")
    assert receipt.requests == found["append under an idempotency key"]
    ledger.port.after = _loses(ledger.port.sent + 1)
    found["append whose answer is lost"], receipt = ledger.append(log)
    assert (receipt.requests, receipt.retries) == (found["append whose answer is lost"] - 1, 0)
    found["catch-up from the beginning, one page"], whole = ledger.read(ledger.process())
    assert len(whole.events) == 44
    assert whole.receipt.requests == found["catch-up from the beginning, one page"]
    assert whole.reached is not None
    found["catch-up with nothing to do"], page = ledger.read(ledger.process(), whole.reached)
    assert page.receipt.requests == found["catch-up with nothing to do"]
    ledger.append(log)
    found["catch-up after one more event"], page = ledger.read(ledger.process(), whole.reached)
    assert (len(page.events), page.receipt.requests) == (1, found["catch-up after one more event"])
    return found


def _loses(number: int) -> Callable[[int], None]:
    def after(sent: int) -> None:
        if sent == number:
            raise OutcomeUnknown("lost")

    return after


def documented() -> dict[str, dict[str, tuple[int, int]]]:
    """What the guide says: for each thing and dialect the requests with one partition, and with four."""
    rows = [line.strip("| ").split(" | ") for line in GUIDE.read_text().splitlines() if re.match(r"\| .*\d / \d", line)]
    return {row[0]: {dialect: _pair(cell) for dialect, cell in zip(DIALECTS, row[1:], strict=True)} for row in rows}


def _pair(cell: str) -> tuple[int, int]:
    one, four = cell.split(" / ")
    return int(one), int(four)


def test_the_table_in_the_guide_is_what_is_counted() -> None:
    counted: dict[str, dict[str, tuple[int, int]]] = {}
    for dialect in DIALECTS:
        one, four = costs(dialect, 1), costs(dialect, 4)
        for what, requests in one.items():
            counted.setdefault(what, {})[dialect] = (requests, four[what])
    lines = [
        f"| {what} | {' | '.join(f'{one} / {four}' for one, four in each.values())} |" for what, each in counted.items()
    ]
    assert documented() == counted, "\n".join(["the table is", *lines])


@pytest.mark.parametrize("dialect", DIALECTS)
def test_receipts_count_bytes_and_retries(dialect: Dialect) -> None:
    ledger = Ledger(dialect, 1)
    client = doubled(ledger.topic, dialect)[0].client(ledger.port)
    ledger.port.after = _loses(1)
    _, (_, receipt) = ledger.counted(client.partitions())
    assert (receipt.requests, receipt.retries, receipt.commands) == (ledger.port.sent, 1, 0)
    assert receipt.bytes_received > 0


def test_a_number_of_partitions_that_is_told_is_not_searched_for() -> None:
    from eventsource_upstash import RestTopic

    topic = MemoryTopic(partitions=12, atomic=False)
    described = RestTopic("https://kafka.example.com/base", "todo", dialect="redpanda", partitions=12)
    port = Doubled(RedpandaServer(topic))
    assert blocking.run(described.client(port).partitions()) == (12, Receipt())
    assert port.sent == 0
