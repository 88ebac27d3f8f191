"""Log -> its partitions: how many there are, what works on one of them, and how many parts a view is kept in."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, Final, TypeVar, cast

import msgspec

from .._io.port import Port, Together
from ..domain.events import FREE, Receipt
from ..domain.positions import Vector, place_in, vector
from ..domain.progress import NO_NOTES, Notes, ProjectionId, Stopped
from ..domain.projections import Projection
from ..domain.registry import Registry
from ..errors import Misuse, PartitionsChanged
from ..ports import Backend, Commit, Log, Membership, PartitionedLog, Progress, Role, Views
from .wiring import opened_views, sealed_log

if TYPE_CHECKING:
    from .sealing import Sealing

T = TypeVar("T")

AT_ONCE: Final = 16
"""Parts that are asked at once."""

FIRST: Final = 1
"""The generation of what is never built anew."""


class Partition:
    """One partition, with the views over it.

    Attributes:
        log: It, as a log of its own, with its personal data in clear.
        views: The views, folded from it.
    """

    def __init__(self, log: Log, views: Views) -> None:
        self.log: Log = log
        self.views: Views = views


class Partitions:
    """The partitions of a log, and the parts of views over them.

    Args:
        backend: Where the views are.
        log: The log, as its backend opened it.
        whole: The views, folded from all of it.
        sealing: Opens personal data, where there is a key store.
        registry: The projections.
        port: What waits.
    """

    def __init__(
        self,
        backend: Backend,
        log: PartitionedLog,
        whole: Views,
        sealing: Sealing | None,
        registry: Registry,
        port: Port,
    ) -> None:
        self._backend = backend
        self._log = log
        self.whole: Views = whole
        self._sealing = sealing
        self._registry = registry
        self.port: Port = port
        self._open: dict[int, Partition] = {}
        self._widths: dict[ProjectionId, int] = {}

    def known(self, projection: ProjectionId) -> Projection[object] | None:
        """The registered projection of that name and version."""
        return next((each for each in self._registry.projections if each.id == projection), None)

    async def count(self) -> tuple[int, Receipt]:
        """How many partitions the log has."""
        return await self._log.partitions()

    def membership(self) -> Membership | None:
        """What tells one worker which partitions are its own, where the log's own service does."""
        return self._log.membership()

    async def together(self, asking: Sequence[Callable[[], Coroutine[object, object, T]]]) -> list[T]:
        """Ask several parts: side by side where the port can, a few at once, else one after another."""
        port = cast("Together", self.port) if hasattr(self.port, "together") else None
        if port is None or len(asking) < 2:
            return [await each() for each in asking]
        found: list[T] = []
        for first in range(0, len(asking), AT_ONCE):
            found += await port.together([each() for each in asking[first : first + AT_ONCE]])
        return found

    def at(self, number: int) -> Partition:
        """One of them."""
        found = self._open.get(number)
        if found is None:
            part = self._log.part(number)
            views = opened_views(self._backend.views(self.port, part), self._sealing)
            found = self._open[number] = Partition(sealed_log(part, self._sealing), views)
        return found

    def part(self, projection: Projection[object], number: int, width: int) -> Projection[object]:
        """The folds of one part of a view in so many."""
        return projection.part(number, lambda stream: self._log.partition_of(stream, width))

    def partition_of(self, key: str, width: int) -> int:
        """The part of a view in so many parts that the document under a key is in: its key is its stream."""
        return self._log.partition_of(key, width)

    def by_part(self, keys: Iterable[str], width: int) -> dict[int, list[str]]:
        """Keys by the part that their documents are in."""
        parts: dict[int, list[str]] = {}
        for key in keys:
            parts.setdefault(self.partition_of(key, width), []).append(key)
        return parts

    async def needed(self, projection: ProjectionId, keys: Sequence[str], wanted: int) -> int:
        """What an answer about keys has to have reached of a position: in their partitions alone, if in parts.

        All of it, where the log has another number of partitions by now: then the keys' events may be in others.
        """
        width, _ = await self.width(projection)
        known = self.known(projection)
        if not width and known is not None and known.partitioned:
            width, _ = await self.count()
        if not width:
            return wanted
        whole = vector(wanted)
        needed = position_in({number: whole.at(number) for number in self.by_part(keys, width)}, width)
        return needed if needed == whole or (await self.count())[0] == width else wanted

    async def width(self, projection: ProjectionId) -> tuple[int, Receipt]:
        """How many parts a view is kept in, 0 where it is not. Cost: a step, as long as nothing was ever folded."""
        widths, receipt = await self.widths((projection,))
        return widths[projection], receipt

    async def widths(self, projections: Sequence[ProjectionId]) -> tuple[dict[ProjectionId, int], Receipt]:
        """The same of several views. Cost: one step for all."""
        known = {each.id: each for each in self._registry.subscriptions}
        # A version that is not registered here may be in parts all the same, and answer until a new one is built.
        asked = [
            each
            for each in dict.fromkeys(projections)
            if each not in self._widths and (each not in known or known[each].partitioned)
        ]
        receipt = FREE
        if asked:
            builds, _, receipt = await self.whole.progress([each.parts for each in asked])
            serving = {build.projection: build for build in builds if build.role is Role.SERVING}
            for each in asked:
                self._note(each, serving[each.parts])
        return {each: self._widths.get(each, 0) for each in projections}, receipt

    async def admit(self, projection: Projection[object], count: int) -> Receipt:
        """Note how many parts the view of a projection is kept in, before the first of them is folded.

        Raises:
            PartitionsChanged: It is kept in another number of parts.
            Misuse: It was folded as a whole before.
        """
        width, receipt = await self.width(projection.id)
        if not width:
            views = self.at(0).views
            whole = await self.whole.records(projection.id, ())
            builds, _, cost = await views.progress((projection.id.parts,))
            receipt += whole.receipt + cost
            if whole.progress.checkpoint:
                raise Misuse(
                    f"projection {projection.name!r}, version {projection.version}: its view was folded as a whole, "
                    "and is partitioned=True now; raise its version, and it is built anew in parts"
                )
            if not builds[0].checkpoint:
                done = await views.commit([Commit(projection.id.parts, builds[0].generation, 0, count, {})], None)
                builds, _, cost = await views.progress((projection.id.parts,))  # another one may have been quicker
                receipt += done.receipt + cost
            width = self._note(projection.id, builds[0])
        if width != count:
            raise PartitionsChanged(
                projection=projection.name, version=projection.version, partitions=width, present=count
            )
        return receipt

    def forget(self, projection: ProjectionId) -> None:
        """A view is deleted, and with it how many parts it was kept in."""
        self._widths.pop(projection, None)

    def _note(self, projection: ProjectionId, progress: Progress) -> int:
        width = int(progress.checkpoint)
        if width:
            self._widths[projection] = width
        return width


def position_in(places: Mapping[int, int], count: int) -> int:
    """Places by partition as a position in a log of so many partitions: a number where there is one."""
    return places.get(0, 0) if count == 1 else Vector().moved(places)


def in_one(projection: ProjectionId, parts: Mapping[int, Progress], count: int) -> Progress:
    """How far a view is, from how far its parts are: those of it that were looked at.

    Its edition stands for what each of them is as of: another one of any part makes another one of the whole.
    """
    places = {number: place_in(each.checkpoint, number) for number, each in parts.items()}
    states = repr(sorted((number, each.generation, places[number], each.edition) for number, each in parts.items()))
    return Progress(
        projection,
        max([each.generation for each in parts.values()], default=FIRST),
        position_in(places, count),
        edition=int.from_bytes(blake2b(states.encode(), digest_size=6).digest(), "big"),
        role=next((each.role for each in parts.values()), Role.SERVING),
        met=all(each.met for each in parts.values()),
        notes=_notes(parts),
        parts=tuple(sorted(parts.items())),
    )


def _notes(parts: Mapping[int, Progress]) -> Notes:
    every = [each.notes for _, each in sorted(parts.items())]
    stopped = [(number, each.notes.stopped) for number, each in sorted(parts.items()) if each.notes.stopped is not None]
    return msgspec.structs.replace(
        NO_NOTES,
        stopped=_stopped(stopped),
        parked=sum([each.parked for each in every]),
        skipped=sum([each.skipped for each in every]),
        shape=_shape([each.notes.shape for each in parts.values() if each.checkpoint]),
    )


def _stopped(stopped: Sequence[tuple[int, Stopped]]) -> Stopped | None:
    if not stopped:
        return None
    (number, first), *others = stopped
    also = f" (also stopped: partition {', '.join([str(each) for each, _ in others])})" if others else ""
    return Stopped(first.position, f"in partition {number}: {first.reason}{also}", first.since_us)


def _shape(shapes: Iterable[str]) -> str:
    """What the documents of each of the parts are found by."""
    every = [shape.split(" ") for shape in shapes]
    return " ".join([word for word in every[0] if all(word in other for other in every)]) if every else ""


def builds_in_one(projection: ProjectionId, parts: Mapping[int, Sequence[Progress]], count: int) -> list[Progress]:
    """All builds of a view from those of its parts: what serves, what is building, what is kept.

    Of a part in which a rebuild has taken its place already, that counts for the rebuild.
    """
    serving = {number: builds[0] for number, builds in parts.items()}
    found: list[Progress] = [in_one(projection, serving, count)]
    building = {number: each for number, builds in parts.items() for each in builds if each.role is Role.BUILDING}
    if building:
        made = in_one(projection, {**serving, **building}, count)
        generation = max([each.generation for each in building.values()])
        found.append(msgspec.structs.replace(made, generation=generation, role=Role.BUILDING))
    others: dict[int, dict[int, Progress]] = {}
    for number, builds in parts.items():
        for each in builds:
            if each.role in (Role.KEPT, Role.DROPPED):
                others.setdefault(each.generation, {})[number] = each
    for _, kept in sorted(others.items(), reverse=True):
        role = Role.KEPT if all(each.role is Role.KEPT for each in kept.values()) else Role.DROPPED
        found.append(msgspec.structs.replace(in_one(projection, kept, count), role=role))
    return found


def each_part(projection: ProjectionId, width: int) -> list[ProjectionId]:
    """The parts that a view is kept in."""
    return [projection.part(number) for number in range(width)]
