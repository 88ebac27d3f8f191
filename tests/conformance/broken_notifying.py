"""Logs that break a rule about notifications, over the reference model of them."""

from __future__ import annotations

import math

from msgspec.structs import replace

from eventsource_upstash import Appended, Receipt
from eventsource_upstash.domain.events import FREE
from eventsource_upstash.ports import Append, Log
from eventsource_upstash.testing import LogWrapper
from tests.conformance.broken_log import Answer
from tests.stepping.model import OwingLog


class AlwaysOwes(LogWrapper):
    async def append(self, append: Append) -> Answer:
        answer = await self.inner.append(append)
        return replace(answer, owes_notification=True) if isinstance(answer, Appended) else answer


class NeverOwes(LogWrapper):
    async def append(self, append: Append) -> Answer:
        answer = await self.inner.append(append)
        return replace(answer, owes_notification=False) if isinstance(answer, Appended) else answer


class LeavesItToWhoCannot(LogWrapper):
    async def append(self, append: Append) -> Answer:
        return await self.inner.append(replace(append, notifies=True))


class RaisesBeforeItWrites(LogWrapper):
    """The notification is raised for an append that is then refused."""

    async def append(self, append: Append) -> Answer:
        assert isinstance(self.inner, OwingLog)
        outstanding = self.inner.outstanding
        answer = await self.inner.append(append)
        if not isinstance(answer, Appended) and append.notifies and not outstanding.position:
            outstanding.position, outstanding.raised_us = 1, append.recorded_us
        return answer


class NeverSettles(LogWrapper):
    async def settle(self, position: int) -> tuple[int, Receipt]:
        return (await self.inner.head())[0], FREE


class SettlesAnywhere(LogWrapper):
    async def settle(self, position: int) -> tuple[int, Receipt]:
        return await self.inner.settle((await self.inner.head())[0])


class WithdrawsAnother(LogWrapper):
    async def withdraw(self, position: int, raised_us: int) -> Receipt:
        await self.inner.settle((await self.inner.head())[0])
        return FREE


class NeverTakesItForLost(LogWrapper):
    def __init__(self, inner: Log) -> None:
        super().__init__(inner)
        assert isinstance(inner, OwingLog)
        inner.outstanding.lost_after_us = math.inf


class OwesAnothersAgain(LogWrapper):
    """An append sent again is taken for the one that owes whatever is outstanding."""

    async def append(self, append: Append) -> Answer:
        answer = await self.inner.append(append)
        if isinstance(answer, Appended) and answer.repeated:
            return replace(answer, owes_notification=True)
        return answer


class BelievesThePosition(LogWrapper):
    """It answers for the head what it is told."""

    async def settle(self, position: int) -> tuple[int, Receipt]:
        await self.inner.settle(position)
        return position, FREE


class NotesItInTheLog(LogWrapper):
    """That a notification was not sent is another event to it."""

    async def withdraw(self, position: int, raised_us: int) -> Receipt:
        await self.inner.append(Append("a", 2, [("withdrawn", 1, b"{}")], raised_us, position))
        return FREE
