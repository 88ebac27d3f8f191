"""The to-do application of 2023 as a model: its Kafka is gone, so it cannot be run.

What is known of it was measured on servers that count: one action alone costs 6 requests, 5 Redis commands when it
creates or deletes a task and 4 when it changes one, one Kafka message produced and one fetched, and one QStash message.
And 60 tasks created by 16 clients at once cost 1,152 to 1,282 Redis commands, because each delivery folds whatever
comes after the offset that it reads, while others do the same.

Read as follows:

- Each action produces, and publishes: 2 requests. Each delivery reads the offset, fetches, and saves the offset:
  3 requests, 2 commands. Each event that is folded takes 1 request, and 3 commands for a task that is created or
  deleted, 2 for one that is changed. (Alone: 2 + 3 + 1 = 6 requests; 2 + 3 = 5 or 2 + 2 = 4 commands. The 60 tasks,
  each folded once, and all by one delivery, would be the 180 commands that they are compared with.)
- So with 16 clients each event was folded 5.7 to 6.5 times. The model takes the lower number, lets it grow evenly from
  one client (once) to 16, and lets it grow no further: nobody has measured that.
- A burst of n actions comes from n clients, at most 16.

All three are in its favour.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.bill import Bill
from benchmarks.todo import Kind

if TYPE_CHECKING:
    from collections.abc import Sequence

CLIENTS = 16
REQUESTS_TO_APPEND, REQUESTS_TO_DELIVER, COMMANDS_TO_DELIVER = 2, 3, 2
COMMANDS_TO_FOLD = {Kind.CREATED: 3, Kind.UPDATED: 2, Kind.COMPLETED: 2, Kind.DELETED: 3}

# 60 deliveries, and 3 commands for each event that is folded.
TIMES_FOLDED = (1_152 - 60 * COMMANDS_TO_DELIVER) / (60 * COMMANDS_TO_FOLD[Kind.CREATED])


def times_folded(clients: int) -> float:
    """How often each event is folded when so many clients act at once."""
    return 1 + (TIMES_FOLDED - 1) * (clients - 1) / (CLIENTS - 1)


def bill(kinds: Sequence[Kind], burst: int) -> Bill:
    """Of an action, for a mix of actions in bursts."""
    folds = times_folded(min(burst, CLIENTS))
    commands = sum(COMMANDS_TO_FOLD[kind] for kind in kinds) / len(kinds)
    return Bill(
        requests=REQUESTS_TO_APPEND + REQUESTS_TO_DELIVER + folds,
        commands=COMMANDS_TO_DELIVER + commands * folds,
        qstash=1,
        kafka=1 + folds,
    )


def listed(tasks: int) -> Bill:
    """Of a list of so many tasks, as measured."""
    return Bill(requests=2, commands=tasks + 3)
