"""What is done in the background, each by a message to a path of its own. Called at least once, so each does it once.

/workers/report      makes a report
/workers/remind      lets a reminder come
/workers/clean-up    archives old posts, every night
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from eventsource_upstash import Job, NotRetryable

from .domain import cleaning, leaderboard, posts, reminders, reports

if TYPE_CHECKING:
    from .service import Service


@dataclass(frozen=True)
class About:
    """The body of a message: which report, which reminder."""

    id: str


# --8<-- [start:register]
def register(service: Service) -> None:
    """Tell the app which handler a message to each path is for."""
    app = service.app

    @app.job(reports.JOB, lease=60)  # it takes seconds: whoever waits for it need not wait longer for a crash
    async def make_report(job: Job) -> None:
        await _report(service, job)

    @app.job(reminders.JOB)
    async def remind(job: Job) -> None:
        command = reminders.Remind(job.json(About).id)
        await app.event_store.execute(reminders.course, reminders.stream_of(command), command, idempotency_key=job.id)

    @app.job(cleaning.JOB)
    async def clean_up(job: Job) -> None:
        await _clean_up(service, job)


# --8<-- [end:register]


# --8<-- [start:report]
async def _report(service: Service, job: Job) -> None:
    event_store, report_id = service.app.event_store, job.json(About).id
    stream = f"report-{report_id}"
    state = (await event_store.load(reports.progress, stream)).state
    if state is None or state.made:
        return  # delivered again: it is there

    if state.fails and not state.failures:  # somebody wanted to see that
        failed = reports.FailReport(report_id, "The printer is out of paper.")
        await event_store.execute(reports.progress, stream, failed, idempotency_key=f"{job.id}-failed")
        raise NotRetryable("no paper")  # to the dead letters, until somebody revives it

    for part in range(1, reports.PARTS):
        await asyncio.sleep(service.settings.report_takes.total_seconds() / reports.PARTS)
        await event_store.execute(
            reports.progress, stream, reports.AdvanceReport(report_id, part), idempotency_key=f"{job.id}-{part}"
        )
    made = reports.MakeReport(report_id, await _summary(service, state.user))
    await event_store.execute(reports.progress, stream, made, idempotency_key=job.id)


# --8<-- [end:report]


async def _summary(service: Service, user: str) -> reports.Summary:
    """What there is to say about a user, read page by page."""
    store = service.app.projection_store
    head = await service.app.event_store.head()
    best: posts.Post | None = None
    async for _, post in store.view(posts.posts).index("author").equal(user, at_least=head):
        if best is None or len(post.liked_by) > len(best.liked_by):
            best = post
    view = store.view(leaderboard.players)
    player = await view.get(user) or leaderboard.Player(user)
    rank = await view.index("points").rank(user)
    return reports.Summary(player.posts, player.likes, player.points, rank, None if best is None else best.text)


# --8<-- [start:clean-up]
async def _clean_up(service: Service, job: Job) -> None:
    event_store = service.app.event_store
    view = service.app.projection_store.view(posts.posts)
    old = (service.now() - service.settings.keep_posts).timestamp()
    archived = 0
    async for post_id, _ in view.index("written").range(high=old, at_least=await event_store.head()):
        command = posts.ArchivePost(post_id)
        archived += len((await event_store.execute(posts.lifetime, posts.stream_of(command), command)).events)
    finish = cleaning.FinishCleanUp(archived)
    await event_store.execute(cleaning.runs, cleaning.STREAM, finish, idempotency_key=job.id)


# --8<-- [end:clean-up]
