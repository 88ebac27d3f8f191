"""What comes next for projections: how far their builds are, and the page of a log that is beside them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple, cast

from ...domain.events import Receipt
from ...errors import TooLarge
from ...ports import Pull, Pulled
from .answered import Turns
from .log import RedisLog
from .lua import script
from .reading import run
from .records import Records
from .transport import Transport

PULL: Final = script("pull", "view", "page")


class Asked(NamedTuple):
    """What a script is given to pull.

    Attributes:
        keys: Keys of the log, then of the views' records.
        arguments: Its arguments.
        size: Most bytes of payload that it asks for.
    """

    keys: list[str]
    arguments: list[str | int]
    size: int


def asking(records: Records, own: RedisLog, pull: Pull) -> Asked:
    """What to give to a script that pulls."""
    archive = own.archives.reading  # looked at once: other threads read elsewhere
    size = min(pull.max_bytes, own.archives.page_bytes)
    keys = [*log_keys(records, archive), *[records.keys.view(each) for each in pull.projections]]
    aside = [f"{at}:{pull.aside[each]} " for at, each in enumerate(pull.projections, 1) if each in pull.aside]
    arguments = [pull.limit, size, int(pull.rear), int(pull.settle), archive, int(pull.serving)]
    return Asked(keys, [*arguments, f" {''.join(aside)}" if aside else ""], size)


def log_keys(records: Records, archive: int = 0) -> list[str]:
    """The keys of the log that a script is given which pulls."""
    of = records.keys
    return [of.head, of.notice, of.log, of.log_archive(archive)]


def pulled_of(records: Records, own: RedisLog, pull: Pull, answer: Sequence[object], receipt: Receipt) -> Pulled | None:
    """What a script answered; None when it has to be asked again for another archive of the log."""
    head, found, after, entries, wanted = answer
    if wanted:
        own.archives.reading = int(cast("str", wanted))
        return None
    progress = tuple(
        [
            build
            for projection, record in zip(pull.projections, cast("Sequence[object]", found), strict=True)
            for build in records.read(projection, record).builds.active
        ]
    )
    position, place = int(cast("str", head)), int(cast("str", after))
    page = own.page(entries, place, position, pull.limit, pull.max_bytes)
    return Pulled(progress, position, place, page, receipt)


async def pull_beside(transport: Transport, records: Records, own: RedisLog, pull: Pull) -> Pulled:
    """`Views.pull`, where log and views are in one namespace. Cost: 1 request, 3 commands."""
    receipt = Receipt()
    turns = Turns()
    while True:
        turns.another()
        asked = asking(records, own, pull)
        try:
            answer, cost = await run(transport, PULL, asked.keys, asked.arguments)
        except TooLarge:
            if own.archives.shrink(asked.size):
                continue
            raise
        receipt += cost
        if (pulled := pulled_of(records, own, pull, answer[2:], receipt)) is not None:
            return pulled
