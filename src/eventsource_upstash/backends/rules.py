"""The rules that every backend keeps."""

from __future__ import annotations

from collections.abc import Sequence

from ..domain.events import StoredEvent
from ..errors import Misuse
from ..ports import Commit, Log, Progress, Pull, Pulled, Role, Views
from .marks import read_on


def check_commits(commits: Sequence[Commit]) -> None:
    """Refuse what would take a view back. Raises `Misuse`."""
    for commit in commits:
        if commit.checkpoint < commit.expected:
            raise Misuse(
                f"projection {commit.projection.name!r}: a commit from position {commit.expected} to "
                f"{commit.checkpoint} would take its view back; nothing was written"
            )


def counting(progress: Sequence[Progress], pull: Pull) -> list[Progress]:
    """The builds that a pull asks a page for."""
    return [
        each
        for each in progress
        if pull.aside.get(each.projection) != each.generation and (each.role is Role.SERVING or not pull.serving)
    ]


def next_after(progress: Sequence[Progress], head: int, pull: Pull) -> int:
    """The checkpoint that the next page follows: the highest (or lowest) still below the head, or the head."""
    behind = [p.checkpoint for p in counting(progress, pull) if p.checkpoint < head]
    if not behind:
        return head
    return min(behind) if pull.rear else max(behind)


def bounded(events: list[StoredEvent], max_bytes: int) -> list[StoredEvent]:
    """The events up to the one that reaches so many bytes of payload."""
    if sum([len(row[9]) for row in events]) < max_bytes:
        return events
    size = 0
    for index, row in enumerate(events):
        size += len(row[9])
        if size >= max_bytes:
            return events[: index + 1]
    return events


async def pull_apart(views: Views, log: Log, pull: Pull) -> Pulled:
    """`Views.pull` for views that are not beside their log: ask how far everybody is, then read the page."""
    found, head, receipt = await views.progress(pull.projections)
    progress = tuple([each for each in found if each.role in (Role.SERVING, Role.BUILDING)])
    after = next_after(progress, head, pull)
    if after >= head:
        if not pull.settle:
            return Pulled(progress, head, head, [], receipt)
        settled, cost = await log.settle(head)
        receipt += cost
        if settled <= head:
            return Pulled(progress, head, head, [], receipt)
        # Somebody appended between the two looks at the head: there is a page after all.
        after = next_after(progress, settled, pull)
    page = await read_on(log, after, pull.limit, pull.max_bytes)
    return Pulled(progress, page.head, after, page.events, receipt + page.receipt, page.mark or "")
