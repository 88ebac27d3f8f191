"""Wrong ways to remember an outstanding notification, each of which leaves an event unfolded in some schedule."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec.structs import replace

from eventsource_upstash import Appended, Receipt
from eventsource_upstash._io.port import Port
from eventsource_upstash.domain.events import FREE
from eventsource_upstash.ports import (
    Append,
    Backend,
    Commit,
    Committed,
    Conflict,
    KeyReused,
    Log,
    Pull,
    Pulled,
    Role,
    Unmet,
    Views,
)
from eventsource_upstash.testing import BackendWrapper, LogWrapper, ViewsWrapper
from eventsource_upstash.web.endpoint import Handling, Response, _folded, problem


class Around(BackendWrapper):
    """A backend with another log and other views around its own.

    The views are told of the log, since what is broken here is often what passes between the two.
    """

    def __init__(
        self,
        inner: Backend,
        log: Callable[[Log], Log] = lambda log: log,
        views: Callable[[Views, Log], Views] = lambda views, _: views,
        *,
        apart: bool = False,
    ) -> None:
        super().__init__(inner)
        self._apart = apart
        self._log = log
        self._views = views
        self._of: Log

    def wrap_log(self, log: Log) -> Log:
        self._of = log
        return self._log(log)

    def log(self, port: Port) -> Log:
        log = super().log(port)
        if self._apart:
            self._logs.clear()  # the views, which are elsewhere, ask the broken log
        return log

    def wrap_views(self, views: Views) -> Views:
        return self._views(views, self._of)


def around(
    log: Callable[[Log], Log] = lambda log: log,
    views: Callable[[Views, Log], Views] = lambda views, _: views,
    *,
    apart: bool = False,
) -> Callable[[Backend], Backend]:
    """Puts what is broken around a backend."""
    return lambda backend: Around(backend, log, views, apart=apart)


class Settling(ViewsWrapper):
    """Views that settle by themselves, after what they pulled."""

    def __init__(self, inner: Views, log: Log) -> None:
        super().__init__(inner)
        self.log = log

    async def pull(self, pull: Pull) -> Pulled:
        pulled = await self.inner.pull(pull._replace(settle=False))
        await self.settle(pull, pulled)
        return pulled

    async def commit(self, commits: Sequence[Commit], then: Pull | None) -> Committed:
        committed = await self.inner.commit(commits, then and then._replace(settle=False))
        if then is not None and committed.pulled is not None:
            await self.settle(then, committed.pulled)
        return committed

    async def settle(self, pull: Pull, pulled: Pulled) -> None:
        raise NotImplementedError


class SettlesForAnybody(Settling):
    """One of the projections is at the head, or a reader has brought one there: that is taken for all of them."""

    async def settle(self, pull: Pull, pulled: Pulled) -> None:
        if any(each.checkpoint >= pulled.head for each in pulled.progress):
            await self.log.settle(pulled.head)


class WaitsForTheStopped(Settling):
    """It settles only when every projection there is has met the head, one that is stopped too."""

    everybody = 3

    async def settle(self, pull: Pull, pulled: Pulled) -> None:
        there = [each for each in pulled.progress if each.checkpoint >= pulled.head]
        if len(there) == self.everybody:
            await self.log.settle(pulled.head)


class AnswersTheHeadOfBefore(ViewsWrapper):
    """A commit does not look at the log: what it answers for the head is where it was when the page was read."""

    def __init__(self, inner: Views, log: Log) -> None:
        super().__init__(inner)
        self.log = log
        self.head = 0

    async def pull(self, pull: Pull) -> Pulled:
        pulled = await self.inner.pull(pull)
        self.head = pulled.head
        return pulled

    async def commit(self, commits: Sequence[Commit], then: Pull | None) -> Committed:
        committed = await self.inner.commit(commits, None)
        if then is None:
            return committed
        progress, head, _ = await self.inner.progress(then.projections)
        if min(each.checkpoint for each in progress) < self.head:
            return committed._replace(pulled=await self.pull(then))
        if then.settle:
            await self.log.settle(head)
        return committed._replace(pulled=Pulled(progress, self.head, self.head, []))


class SettlesWhereverTheHeadIs(LogWrapper):
    """What was appended between the look at the head and this is taken for folded."""

    async def settle(self, position: int) -> tuple[int, Receipt]:
        head, _ = await self.inner.head()
        await self.inner.settle(head)
        return position, FREE


class NeverWithdraws(LogWrapper):
    async def withdraw(self, position: int, raised_us: int) -> Receipt:
        return FREE


class WithdrawsWhatTheClockSays(LogWrapper):
    """An append called again under its key was raised at another moment than it was called at."""

    def __init__(self, inner: Log) -> None:
        super().__init__(inner)
        self.raised: dict[int, int] = {}

    async def append(self, append: Append) -> Appended | Conflict | KeyReused | Unmet:
        answer = await self.inner.append(append)
        if isinstance(answer, Appended) and not answer.repeated:
            self.raised[answer.position] = append.recorded_us
        return answer

    async def withdraw(self, position: int, raised_us: int) -> Receipt:
        return await self.inner.withdraw(position, raised_us) if self.raised[position] == raised_us else FREE


class OwesOnceOnly(LogWrapper):
    """An append whose answer was lost is told, when it is called again, that somebody else was told already."""

    async def append(self, append: Append) -> Appended | Conflict | KeyReused | Unmet:
        answer = await self.inner.append(append)
        if isinstance(answer, Appended) and answer.repeated:
            return replace(answer, owes_notification=False)
        return answer


class ContentWithThePosition(Handling):
    """It answers 200 as soon as the position in the message is reached, though the log goes on."""

    async def _fold(self, position: int) -> Response:
        try:
            result = await self._catching_up.catch_up(None, self._time_budget)
            if result.position >= position:
                return _folded(result)
            if await self._notifying.notify(position):
                return _folded(result)
        except Exception:
            return problem(500, "not folded yet; try again")
        return problem(500, "not folded yet; try again")


class ForgetsTheRest(Handling):
    """Out of time, it answers 200 and tells nobody."""

    async def _fold(self, position: int) -> Response:
        try:
            return _folded(await self._catching_up.catch_up(None, self._time_budget))
        except Exception:
            return problem(500, "not folded yet; try again")


class SettlesForThoseThatServe(Settling):
    """What is building is taken for nobody."""

    async def settle(self, pull: Pull, pulled: Pulled) -> None:
        if all(each.checkpoint >= pulled.head for each in pulled.progress if each.role is Role.SERVING):
            await self.log.settle(pulled.head)
