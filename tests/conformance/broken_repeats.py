"""Logs that break a rule about keys, repeats and conflicts. Those of `broken_log` break another."""

from __future__ import annotations

from msgspec.structs import replace

from eventsource_upstash import Appended, Receipt
from eventsource_upstash.domain.events import FREE
from eventsource_upstash.ports import Append, Conflict, KeyReused, Log
from eventsource_upstash.testing import LogWrapper
from tests.conformance.broken_log import ALL, Answer


class ForgetsKeys(LogWrapper):
    async def append(self, append: Append) -> Answer:
        return await self.inner.append(replace(append, key=None))


class RemembersKeysItself(LogWrapper):
    """It keeps the keys in the object, and not in the storage."""

    known: dict[str, tuple[bytes, str, Appended]]

    def __init__(self, inner: Log) -> None:
        super().__init__(inner)
        self.known = {}

    async def append(self, append: Append) -> Answer:
        key = append.key
        if key is not None and key in self.known:
            digest, stream, known = self.known[key]
            return replace(known, repeated=True) if (digest, stream) == (append.digest, append.stream) else KeyReused()
        answer = await self.inner.append(replace(append, key=None))
        if key is not None and isinstance(answer, Appended):
            self.known[key] = (append.digest, append.stream, answer)
        return answer

    async def recall(self, stream: str, key: str) -> Appended | KeyReused | Receipt:
        if key not in self.known:
            return FREE
        _, of, answer = self.known[key]
        return replace(answer, repeated=True) if of == stream else KeyReused()


class CannotRecall(LogWrapper):
    async def recall(self, stream: str, key: str) -> Appended | KeyReused | Receipt:
        return FREE


class KeepsKeysPerStream(LogWrapper):
    async def append(self, append: Append) -> Answer:
        key = append.key and f"{append.stream}/{append.key}"
        return await self.inner.append(replace(append, key=key))

    async def recall(self, stream: str, key: str) -> Appended | KeyReused | Receipt:
        return await self.inner.recall(stream, f"{stream}/{key}")


class TakesAnyDigest(LogWrapper):
    async def append(self, append: Append) -> Answer:
        return await self.inner.append(replace(append, digest=b""))


class LooksAtTheRevisionFirst(LogWrapper):
    async def append(self, append: Append) -> Answer:
        revision = (await self.inner.read_stream(append.stream, 0, 1, 1)).revision
        if isinstance(append.expected, int) and append.expected != revision:
            return await self.inner.append(replace(append, key=None))
        return await self.inner.append(append)


class KeepsTheKeyOfALoser(LogWrapper):
    lost: set[str | None]

    def __init__(self, inner: Log) -> None:
        super().__init__(inner)
        self.lost = set()

    async def append(self, append: Append) -> Answer:
        if append.key is not None and append.key in self.lost:
            return KeyReused()
        answer = await self.inner.append(append)
        if isinstance(answer, Conflict):
            self.lost.add(append.key)
        return answer


class KnowsNoRepeat(LogWrapper):
    async def append(self, append: Append) -> Answer:
        answer = await self.inner.append(append)
        if isinstance(answer, Appended) and answer.repeated and append.key is None:
            page = await self.inner.read_stream(append.stream, 0, 1, 1)
            return Conflict(page.revision, [], complete=True)
        return answer


class LooksForRepeatsAtTheEnd(LogWrapper):
    """A repeat is known only while it is the last of its stream."""

    async def append(self, append: Append) -> Answer:
        answer = await self.inner.append(append)
        page = await self.inner.read_stream(append.stream, 0, 1, 1)
        if isinstance(answer, Appended) and answer.repeated and append.key is None and answer.revision != page.revision:
            return Conflict(page.revision, [], complete=True)
        return answer


class KnowsRepeatsByTheFirstEvent(LogWrapper):
    async def append(self, append: Append) -> Answer:
        answer = await self.inner.append(append)
        if isinstance(answer, Conflict) and answer.missed and answer.missed[0][4] == append.number:
            return Appended(answer.missed[0][0], answer.missed[0][2], repeated=True)
        return answer


class KnowsRepeatsOfAPageOnly(LogWrapper):
    async def append(self, append: Append) -> Answer:
        answer = await self.inner.append(append)
        if isinstance(answer, Appended) and answer.repeated and sum(len(event[2]) for event in append.events) > 1_000:
            return Conflict(answer.revision, [], complete=False)
        return answer


class CarriesNoNews(LogWrapper):
    async def append(self, append: Append) -> Answer:
        answer = await self.inner.append(append)
        return replace(answer, missed=[]) if isinstance(answer, Conflict) else answer


class CarriesNewsToTheFuture(LogWrapper):
    async def append(self, append: Append) -> Answer:
        answer = await self.inner.append(append)
        if isinstance(answer, Conflict) and not answer.missed:
            return replace(answer, missed=(await self.inner.read(0, 5, ALL)).events)
        return answer


class SaysThatItCarriesAll(LogWrapper):
    async def append(self, append: Append) -> Answer:
        answer = await self.inner.append(append)
        return replace(answer, complete=True) if isinstance(answer, Conflict) else answer
