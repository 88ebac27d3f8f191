"""The to-do list written by hand on `upstash-redis`, as one usually does: a hash for each task, a set of their ids.

It keeps what each task is now, and nothing else. What it does without: what happened, and so any view that somebody
wants later; telling anybody of a change; seeing that two people changed a task at the same time (the later one wins,
and a change may bring back what was deleted between its look and its write); knowing whether a write whose answer was
lost took effect, and the SDK sends it again by itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from benchmarks.todo import Kind

if TYPE_CHECKING:
    from upstash_redis import Redis

    from benchmarks.todo import Line


def act(redis: Redis, line: Line) -> None:
    key = f"task:{line.task}"
    if line.kind is Kind.CREATED:
        transaction = redis.multi()
        transaction.hset(key, values={"text": line.text, "done": "0"})
        transaction.sadd("tasks", str(line.task))
        transaction.exec()  # pyright: ignore[reportUnknownMemberType]  # a list of whatever
    elif line.kind is Kind.DELETED:
        transaction = redis.multi()
        transaction.delete(key)
        transaction.srem("tasks", str(line.task))
        transaction.exec()  # pyright: ignore[reportUnknownMemberType]  # a list of whatever
    elif redis.exists(key):
        # Without this look, a change to a task that is gone would leave half of one behind.
        redis.hset(key, values={"done": "1"} if line.kind is Kind.COMPLETED else {"text": line.text})


def listed(redis: Redis) -> int:
    ids = redis.smembers("tasks")
    pipeline = redis.pipeline()
    for each in ids:
        pipeline.hgetall(f"task:{each}")
    answers = cast("list[object]", pipeline.exec())  # pyright: ignore[reportUnknownMemberType]  # of whatever
    return len(answers)
