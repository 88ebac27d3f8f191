"""What the tests of the quota share: a clock that stands until it is moved, and what table and log say."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import select

from examples.quota.domain import CallCounted, UserRegistered, UserRemoved
from examples.quota.service import Quota
from examples.quota.table import api_usage

HALF_PAST_EIGHT = 1_795_854_600_000_000_000
"""2026-11-28, 08:30 UTC, in nanoseconds."""


class Clock:
    def __init__(self) -> None:
        self.now = HALF_PAST_EIGHT

    def __call__(self) -> int:
        return self.now

    def wait(self, minutes: float) -> None:
        self.now += round(minutes * 60_000_000_000)


Made = Callable[..., Quota]
"""Makes a quota, without a worker: what is folded and delivered is the test's to say."""


def in_table(quota: Quota) -> dict[str, int]:
    """What the table says that each user has called, ever."""
    with quota.engine.connect() as connection:
        return {user: total for user, total in connection.execute(select(api_usage.c.user_id, api_usage.c.total))}  # noqa: C416


def in_log(quota: Quota) -> dict[str, int]:
    """What the log says, folded by hand."""
    totals: dict[str, int] = {}
    for recorded in quota.app.event_store.read():
        match recorded.event:
            case UserRegistered(user):
                totals[user] = 0
            case CallCounted(user, units=units):
                totals[user] += units
            case UserRemoved(user):
                del totals[user]
            case _:
                pass
    return totals
