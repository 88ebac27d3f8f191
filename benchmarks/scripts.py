"""How long the engine itself is busy with one append: the script, and the commands in it alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from benchmarks import todo
from benchmarks.measuring import median
from benchmarks.upstash import running
from eventsource_upstash.backends.redis.log import APPEND

if TYPE_CHECKING:
    from redis import Redis

    from benchmarks.measuring import Job

APPENDS, ROUNDS = 50, 11
SMALL, LARGE = 200, 20_000


def measured(job: Job, payload: int) -> tuple[float, float]:
    """Microseconds an append on a stream of so many events: of the script in all, and of the commands that it calls.

    The engine says so itself: it counts the time of each command, those within scripts too. It is asked directly,
    without the local Upstash around the script.
    """
    from redis import Redis

    from benchmarks.rest_floor import append_of

    # redis-py leaves the types of its keywords open.
    with running() as upstash, Redis.from_url(upstash.engine_url) as engine:  # pyright: ignore[reportUnknownMemberType]
        sha = engine.script_load(APPEND.plain)

        def append(size: int) -> None:
            event = todo.TaskUpdated("0", "x" * (size - len('{"id":"0","text":""}')))
            keys, arguments = append_of("task-0", [event], "*")
            answer = engine.evalsha(sha, len(keys), *keys, *arguments)
            assert answer[0] == b"ok", answer

        for _ in range(job.size):
            append(SMALL)
        rounds: list[tuple[float, float]] = []
        for _ in range(ROUNDS):
            before = spent(engine)
            for _ in range(APPENDS):
                append(payload)
            after = spent(engine)
            script = after["evalsha"] - before["evalsha"]
            commands = sum(after.get(name, 0) - before.get(name, 0) for name in INSIDE)
            rounds.append((script / APPENDS, commands / APPENDS))
    # Medians: the engine counts by the clock, and so counts what else the machine was doing.
    return median([script for script, _ in rounds]), median([commands for _, commands in rounds])


INSIDE = ("mget", "mset", "msetnx", "xrevrange", "xrange", "xadd", "zadd")


def spent(engine: Redis) -> dict[str, int]:
    """Microseconds by command."""
    stats = cast("dict[str, dict[str, int]]", engine.info("commandstats"))  # pyright: ignore[reportUnknownMemberType]
    return {name.removeprefix("cmdstat_"): stat["usec"] for name, stat in stats.items()}


def of_script(job: Job) -> float:
    return measured(job, SMALL)[0]


def of_commands(job: Job) -> float:
    return measured(job, SMALL)[1]


def of_script_large(job: Job) -> float:
    return measured(job, LARGE)[0]


def of_commands_large(job: Job) -> float:
    return measured(job, LARGE)[1]
