"""The wiring: commands to the event store, queries to the views, and what the jobs do.

Every query asks for views that have reached this process's own last command, so that a person always sees what they
have just done, however far behind whoever folds is: the reader then brings the view up to date itself.

Who folds, reacts and delivers depends on where the events are. In this process or in a file, a worker does. On Upstash
every look costs money, so no worker runs: QStash delivers notifications, messages and what the clock sends.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from types import TracebackType
from typing import TypeVar

from cronsim import CronSim

from eventsource_upstash import AsyncIndex, Buried, Executed, Projection, connect_async

from . import jobs
from .domain import Unknown, cleaning, leaderboard, posts, registry, reminders, reports, sessions
from .domain.rules import checked_id, checked_name
from .settings import Settings

D = TypeVar("D")
S = TypeVar("S")

PATIENCE = 2.0
"""Seconds that a query waits for a view to get as far as it asks for."""


@dataclass(frozen=True)
class SignedIn:
    """A session, and the token that it is known by to its user alone."""

    token: str
    session: sessions.Session


@dataclass(frozen=True)
class Listing:
    """A part of the posts, the newest first."""

    items: list[posts.Post]
    cursor: str | None
    """What asks for the next part."""


@dataclass(frozen=True)
class DeadLetter:
    """A message that is not tried any more."""

    id: str
    destination: str
    attempts: int
    error: str
    at: datetime


@dataclass(frozen=True)
class Overview:
    """What whoever runs the API looks at."""

    billed: bool
    """Whether each look costs money: then a page looks rarely."""
    reminder_after: float
    """Seconds after which a reminder comes."""
    cron: str
    paused: bool
    next_run: datetime
    clean_ups: cleaning.CleanUps | None
    dead_letters: list[DeadLetter]


class Service:
    """All that the API does, without HTTP."""

    def __init__(self, settings: Settings | None = None, *, clock: Callable[[], int] = time.time_ns) -> None:
        self.settings = settings or Settings()
        self.clock = clock
        self.app = connect_async(self.settings.backend, registry, clock=clock)
        jobs.register(self)
        self.billed = self.app.backend.public
        # --8<-- [start:limit]
        # A bucket of ten, filled again ten seconds after the first was taken: ten at once, and not eleven.
        self.writes = self.app.rate_limit("writes", limit=10, window=10, algorithm="bucket")
        # --8<-- [end:limit]
        store = self.app.projection_store
        self._sessions = store.view(sessions.sessions)
        self._posts = store.view(posts.posts)
        self._players = store.view(leaderboard.players)
        self._reports = store.view(reports.reports)
        self._reminders = store.view(reminders.reminders)
        self._clean_ups = store.view(cleaning.clean_ups)
        self._worker = self.app.worker()
        self._folds = self.billed  # whether somebody folds without being asked
        self._own: int | None = None  # up to where every query of this process has to see, once that is known

    # --8<-- [start:schedule]
    async def set_up(self) -> None:
        """Say when the clean-up is. Once for each deployment; said again it changes nothing."""
        await self.app.schedules.create(cleaning.CRON, cleaning.JOB, schedule_id=cleaning.SCHEDULE)

    # --8<-- [end:schedule]

    async def start(self) -> Service:
        """Have what is appended folded, and what is due delivered, from now on."""
        await self.set_up()
        if not self.billed:
            await self._worker.start()
        self._folds = True
        return self

    async def close(self) -> None:
        await self._worker.stop()
        await self.app.close()

    async def __aenter__(self) -> Service:
        return await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.clock() / 1e9, timezone.utc)

    # -- Sessions --

    async def sign_in(self, name: str) -> SignedIn:
        """Begin a session. Who somebody is, is not checked here: an identity provider's place is before this line."""
        token = sessions.new_token()
        session = sessions.Session(checked_name(name), self.now() + self.settings.session)
        appended = await self.app.event_store.append(
            sessions.stream_of(token), sessions.SessionStarted(session.user, session.ends), expected_revision=0
        )
        self._saw(appended.position)
        return SignedIn(token, session)

    async def session(self, token: str) -> sessions.Session | None:
        """The session of a token; None where there is none, or none any more."""
        return await self._sessions.get(sessions.stream_of(token), at_least=await self.fresh(), timeout=PATIENCE)

    async def prolong(self, token: str, session: sessions.Session) -> sessions.Session:
        """Have a session last as long again, from now."""
        ends = self.now() + self.settings.session
        appended = await self.app.event_store.append(sessions.stream_of(token), sessions.SessionProlonged(ends))
        self._saw(appended.position)
        return sessions.Session(session.user, ends)

    async def sign_out(self, token: str) -> None:
        appended = await self.app.event_store.append(sessions.stream_of(token), sessions.SessionEnded())
        self._saw(appended.position)

    # -- Posts --

    async def write(self, command: posts.WritePost, key: str | None = None) -> posts.Post:
        executed = await self.app.event_store.execute(
            posts.lifetime, posts.stream_of(command), command, idempotency_key=key
        )
        self._did(executed)
        return await self.post(command.id)

    async def post(self, id: str) -> posts.Post:
        """One post. Raises `Unknown`."""
        checked_id(id, "post")
        return posts.found(await self._posts.get(id, at_least=await self.fresh(), timeout=PATIENCE))

    async def list_posts(self, limit: int, cursor: str | None) -> Listing:
        written = self._posts.index("written")
        page = await written.page(
            reverse=True, limit=limit, after=cursor, at_least=await self.fresh(), timeout=PATIENCE
        )
        return Listing([post for _, post in page.items], page.cursor)

    async def like(self, id: str, by: str, *, liked: bool) -> posts.Post:
        """Like a post, or do so no longer. Raises `Unknown` and `Forbidden`."""
        post = await self.post(id)
        command = posts.LikePost(post, by) if liked else posts.UnlikePost(post, by)
        self._did(await self.app.event_store.execute(posts.like, posts.like_stream_of(command), command))
        return await self.post(id)

    # -- Leaderboard --

    # --8<-- [start:leaderboard]
    async def top(self, n: int) -> list[leaderboard.Ranked]:
        best = await self._players.index("points").top(n, at_least=await self.fresh(), timeout=PATIENCE)
        return [leaderboard.Ranked(rank, player) for rank, (_, player) in enumerate(best, 1)]

    async def standing(self, name: str, around: int = 2) -> list[leaderboard.Ranked]:
        """Somebody's place, and those beside it; nobody where there are no points yet.

        As cheap among a million as among ten: the index is asked for the ends of two ranges, and for one rank.
        """
        points = self._players.index("points")
        player = await self._players.get(checked_name(name), at_least=await self.fresh(), timeout=PATIENCE)
        rank = None if player is None else await points.rank(name)
        if player is None or rank is None:
            return []
        above = await _beyond(points, player, around, upwards=True)
        below = await _beyond(points, player, around, upwards=False)
        line = [*reversed(above), player, *below]
        return [leaderboard.Ranked(rank - len(above) + place, each) for place, each in enumerate(line)]

    # --8<-- [end:leaderboard]

    # -- Reports --

    async def request_report(self, command: reports.RequestReport, key: str | None = None) -> reports.Report:
        """Ask for a report. It is made later: what is answered is where it stands."""
        self._did(
            await self.app.event_store.execute(
                reports.progress, reports.stream_of(command), command, idempotency_key=key
            )
        )
        return await self.report(command.id, command.user)

    async def report(self, id: str, user: str) -> reports.Report:
        """Somebody's report. Raises `Unknown`."""
        report = await self._reports.get(checked_id(id, "report"), at_least=await self.fresh(), timeout=PATIENCE)
        if report is None or report.user != user:
            raise Unknown("There is no such report. They are kept for a week.")
        return report

    async def list_reports(self, user: str) -> list[reports.Report]:
        found = self._reports.index("user").equal(user, at_least=await self.fresh(), timeout=PATIENCE)
        return sorted([report async for _, report in found], key=lambda report: report.asked_at, reverse=True)

    # -- Reminders --

    async def remind_later(self, id: str, user: str, text: str, key: str | None = None) -> reminders.Reminder:
        command = reminders.SetReminder(id, user, text, self.now() + self.settings.reminder_after)
        executed = await self.app.event_store.execute(
            reminders.course, reminders.stream_of(command), command, idempotency_key=key
        )
        self._did(executed)
        found = await self._reminders.get(id, at_least=await self.fresh(), timeout=PATIENCE)
        if found is None:  # the same request again, and it was dropped meanwhile
            raise Unknown("There is no such reminder.")
        return found

    async def list_reminders(self, user: str) -> list[reminders.Reminder]:
        found = self._reminders.index("user").equal(user, at_least=await self.fresh(), timeout=PATIENCE)
        return sorted([reminder async for _, reminder in found], key=lambda reminder: reminder.due)

    async def drop_reminder(self, id: str, user: str) -> None:
        """Take a reminder away, or a notification that was seen. Raises `Unknown`."""
        command = reminders.DropReminder(checked_id(id, "reminder"), user)
        self._did(await self.app.event_store.execute(reminders.course, reminders.stream_of(command), command))

    # -- For whoever runs it --

    async def overview(self) -> Overview:
        schedule = await self.app.schedules.get(cleaning.SCHEDULE)
        dead = [_dead_letter(each) for each in await self.app.messages.dead(20)]
        return Overview(
            self.billed,
            self.settings.reminder_after.total_seconds(),
            cleaning.CRON if schedule is None else schedule.cron,
            schedule is None or schedule.paused,
            next(CronSim(cleaning.CRON, self.now())),
            await self._clean_ups.get(cleaning.STREAM, at_least=await self.fresh(), timeout=PATIENCE),
            dead,
        )

    async def clean_up_now(self) -> None:
        """Send what the clock sends."""
        await self.app.messages.send(cleaning.JOB)

    async def revive(self, id: str) -> None:
        """Let a dead letter be delivered again. Raises `Unknown`."""
        if not await self.app.messages.revive(id):
            raise Unknown("There is no such dead letter.")

    # -- Freshness --

    async def version(self, projection: Projection[D]) -> str:
        """What names the present state of a view: the ETag of what is read from it."""
        return await self.app.projection_store.view(projection).version(at_least=await self.fresh(), timeout=PATIENCE)

    async def fresh(self) -> int:
        """Up to where queries have to see."""
        # The process before this one may have been killed between an append and its fold: what it acknowledged is to
        # be seen from the first query on.
        if self._own is None or not self._folds:
            self._saw(await self.app.event_store.head())
        return self._own or 0

    def _did(self, executed: Executed[S]) -> None:
        self._saw(executed.position or 0)

    def _saw(self, position: int) -> None:
        self._own = max(self._own or 0, position)


def _dead_letter(buried: Buried) -> DeadLetter:
    message = buried.message
    at = datetime.fromtimestamp(buried.buried_us / 1e6, timezone.utc)
    return DeadLetter(message.id, message.destination, buried.attempts, buried.error, at)


async def _beyond(
    points: AsyncIndex[leaderboard.Player], player: leaderboard.Player, count: int, *, upwards: bool
) -> list[leaderboard.Player]:
    """The nearest players above or below one, nearest first."""
    low, high = (player.points, None) if upwards else (None, player.points)
    here = (player.points, player.name)
    nearest: list[leaderboard.Player] = []
    cursor: str | None = None
    while True:
        page = await points.page(low, high, limit=count + 1, after=cursor, reverse=not upwards)
        for _, each in page.items:
            place = (each.points, each.name)
            if place != here and (place > here) == upwards:
                nearest.append(each)
        if len(nearest) >= count or page.cursor is None:
            return nearest[:count]
        cursor = page.cursor
