"""Cron expressions: when one is due next. By cronsim, which is imported when the first one is looked at."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Final

from ..errors import Misuse

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

_CRON: Final = re.compile(
    r"(?:(?:CRON_TZ|TZ)=(?P<zone>[A-Za-z0-9_+/-]+) )?(?P<fields>[0-9A-Za-z*/,?#-]+(?: [0-9A-Za-z*/,?#-]+){4})"
)


_NEAR: Final = timedelta(hours=3)
"""More than clocks are put forward or back by."""


class BadCron(ValueError):
    """It is no cron expression, and why not."""


class NoZone(BadCron):
    """Its time zone is not known on this machine."""


def check_cron(cron: object) -> str:
    """Refuse what does not look like a cron expression, and answer it. Needs no package.

    Raises:
        Misuse: It has not five fields, or what stands before them is no time zone.
    """
    if not isinstance(cron, str) or not _CRON.fullmatch(cron):
        raise Misuse(
            f"cron={cron!r}: it has five fields, minute hour day month weekday, as in '*/5 * * * *', and may begin "
            "with a time zone, as in 'CRON_TZ=Europe/Berlin 0 8 * * *'"
        )
    return cron


def next_due(cron: str, after_us: int) -> int:
    """When a cron expression is due next, in microseconds since 1970. As `next_moment`, for those who call the library.

    Raises:
        Misuse: It is no cron expression, its time zone is not known, or it is never due; or cronsim is not installed.
    """
    check_cron(cron)
    try:
        return next_moment(cron, after_us)
    except BadCron as error:
        raise Misuse(
            f"cron={cron!r}: {error}. It has five fields, minute hour day month weekday: '0 8 * * 1-5' is at eight "
            "on workdays"
        ) from None


def next_or_never(cron: str, after_us: int) -> int | None:
    """When an expression that was checked before is due next; None for never again.

    Raises:
        Misuse: This machine cannot tell: it does not know the time zone, or cronsim is not installed.
    """
    try:
        return next_moment(cron, after_us)
    except NoZone as error:
        raise Misuse(f"cron={cron!r}: {error}") from None
    except BadCron:
        return None


def next_moment(cron: str, after_us: int) -> int:
    """When a cron expression is due next.

    In UTC, if no time zone stands before it. Where clocks are put forward or back, as Debian's cron does: a time that
    is left out comes at once after the gap, one that comes twice counts the first time; an expression that is due every
    hour or more often follows the time that passes.

    Args:
        cron: Five fields, and `CRON_TZ=Area/City` before them if they are not in UTC.
        after_us: After when, exclusive, in microseconds since 1970.

    Returns:
        The moment, in microseconds since 1970.

    Raises:
        BadCron: It is no cron expression, its time zone is not known, or it is never due.
        Misuse: The package cronsim is not installed.
    """
    match = _CRON.fullmatch(cron.strip())
    if match is None:
        # cronsim would take seconds as a sixth.
        raise BadCron("it has five fields, the shortest interval is a minute")
    try:
        from cronsim import CronSim, CronSimError
    except ModuleNotFoundError as error:
        raise Misuse("schedules need the package cronsim: pip install 'eventsource-upstash[schedules]'") from error
    zone, fields = _zone(match["zone"]), match["fields"]
    after = datetime.fromtimestamp(after_us // 1_000_000, timezone.utc)
    minute, hour = fields.split()[:2]
    recurring = minute.startswith("*") or hour.startswith("*")
    try:
        found = _by_the_hour(fields, zone, after) if recurring else CronSim(fields, after.astimezone(zone))
        # It goes by the clock on the wall: in an hour that comes twice, it answers the first one's times both times.
        moments = (round(each.timestamp()) * 1_000_000 for each in found)
        return next(moment for moment in moments if moment > after_us)
    except StopIteration:
        raise BadCron("it is never due") from None
    except (CronSimError, ValueError, OverflowError, OSError) as error:
        raise BadCron(str(error) or "it is not understood") from None


def _by_the_hour(fields: str, zone: timezone | ZoneInfo, after: datetime) -> Iterator[datetime]:
    """The next moment of an expression that is due every hour or more often: one, or none.

    By times without a zone, which are cronsim's surest. With one, where clocks are put back by half an hour, or not at
    a full one (Lord Howe, Chatham), it answers the same times for ever, or leaves some out.
    """
    from cronsim import CronSim

    shifts = (after - _NEAR).astimezone(zone).utcoffset() != (after + _NEAR).astimezone(zone).utcoffset()
    near = _NEAR if shifts else timedelta(0)
    first: datetime | None = None
    until: datetime | None = None
    for wall in CronSim(fields, after.astimezone(zone).replace(tzinfo=None) - near):
        if until is not None and wall > until:
            break
        for fold in (0, 1):
            moment = wall.replace(tzinfo=zone, fold=fold).astimezone(timezone.utc)
            exists = moment.astimezone(zone).replace(tzinfo=None) == wall
            if exists and moment > after and (first is None or moment < first):
                first = moment
                until = until or wall + near
    if first is not None:
        yield first


def _zone(name: str | None) -> timezone | ZoneInfo:
    if name is None:
        return timezone.utc
    from zoneinfo import ZoneInfo

    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise NoZone(
            f"the time zone {name!r} is not known here: it is misspelt, or this machine has no time zones (pip install "
            "tzdata)"
        ) from None
