"""A look at the database before anything depends on it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from typing import Final, cast

from ...errors import Refused
from .answered import misread
from .log import RedisLog
from .lua import script
from .reading import run

PROBE: Final = script("probe")

MAX_SKEW: Final = 5.0
"""Seconds that this machine's clock may differ from the database's before it is worth a word."""

_POLICY: Final = re.compile(r"^maxmemory_policy:(\S+)", re.MULTILINE)


async def look_at(log: RedisLog, clock: Callable[[], float] = time.time) -> tuple[str, ...]:
    """What is doubtful about the database, in words; nothing where all is well.

    Args:
        log: The log that it holds, or is to hold.
        clock: Seconds since 1970 (UTC), as this machine tells them.

    Raises:
        Refused: Token, rights, quota, space; or the namespace is used by something else.
        Unavailable: It cannot be reached.

    Cost: 4 requests, 8 commands.
    """
    transport, head = log.transport, log.keys.head
    await run(transport, PROBE, [head, f"{head}-probe"], [])
    await log.head()  # refuses what stands there and is not ours
    before = clock()
    told, _ = await transport.command("TIME")
    after = clock()
    try:
        doubts = [*_skew(cast("Sequence[str]", told), before, after)]
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise misread("the time", error) from error
    try:
        info, _ = await transport.command("INFO")
    except Refused:
        info = ""
    policy = _POLICY.search(str(info))
    if policy is not None and policy[1] != "noeviction":
        doubts.append(
            f"eviction is switched on ({policy[1]}): when the database is full, it deletes events without a word. "
            "Switch it off in the console"
        )
    return tuple(doubts)


def _skew(told: Sequence[str], before: float, after: float) -> list[str]:
    seconds = int(told[0]) + int(told[1]) / 1_000_000
    ahead = before - seconds if before > seconds else after - seconds if after < seconds else 0.0
    if abs(ahead) <= MAX_SKEW:
        return []
    where = "ahead of" if ahead > 0 else "behind"
    doubt = (
        f"this machine's clock is {abs(ahead):.0f} s {where} the database's: events are recorded by it, and "
        "deliveries are refused where it is off by minutes. Set it right"
    )
    return [doubt]
