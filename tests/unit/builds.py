"""What the tests of Redis's views begin with: a view's record, its directory, and what is asked of them."""

from __future__ import annotations

from eventsource_upstash.backends.redis.index import Directory
from eventsource_upstash.backends.redis.keys import KEYS
from eventsource_upstash.domain.events import Receipt
from eventsource_upstash.domain.projections import ProjectionId
from eventsource_upstash.errors import TooLarge
from eventsource_upstash.ports import Pull
from tests.unit.answering import TASKS, record

OTHERS = ProjectionId("others", 2)
ALL = 1_000_000
SERVES = record("1 5 0 3 0 S 1 0 - ")
SECOND = record("2 7 0 4 0 S 1 0 - ", "1 5 0 3 0 K 1 0 - ", last=2)
SPLIT = record("1 5 0 3 2-aa S 1 0 - ")
ENDING = record("1 5 0 3 0 S 1 1 - ")
HEAD = "2 9 0 0 0"
LEAVES = "keys 1 m\nkeys 2 t\nindex-score 3 5\tm\n"
DIRECTORY = Directory("2-aa", {KEYS: ([0, 1, 2], ["m", "t"]), "index-score": ([0, 3], ["5\tm"])})
FULL = TooLarge(what="the reply", size=None, limit=10)
PULL = Pull((TASKS, OTHERS), 10, ALL)


def cost(receipt: Receipt) -> tuple[int, int]:
    """Requests and commands."""
    return receipt.requests, receipt.commands
