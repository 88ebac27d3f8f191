"""A consumer that is told what to read: assigned, not subscribed, and kept where it is from one fetch to the next."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar, cast

from ..topic import NO_HEADERS, Bounds, Fetched, OutOfRange, Record
from .ahead import Partition, hand_out, share_of
from .librdkafka import Log, Settings
from .meanings import END, FOR_GROUPS, NO_TOPIC, OUT_OF_RANGE, Meanings

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, Message

T = TypeVar("T")
_Headers: TypeAlias = "list[tuple[str, bytes | None]]"  # what a consumer answers; a producer takes more

_new: Final = cast("Callable[[type[Record], tuple[object, ...]], Record]", vars(tuple)["__new__"])

SLICE: Final = 0.25
"""Seconds that it waits at once for an answer, before it looks at what went wrong meanwhile."""

PAUSE: Final = 0.01
"""Seconds before it asks again where the cluster does not know yet what it will."""

FETCH_SLICE: Final = 0.005
"""Seconds that it waits at once for records: as long as that it may take to see that there are fewer than expected."""

AHEAD: Final = (4_000, 1024 * 1024)
"""Records, and bytes of them, that are kept of a partition that nobody wants just now."""

MOST_AT_ONCE: Final = 10_000
"""Records that are taken from librdkafka in one call."""

LATEST: Final = -1
EARLIEST: Final = -2
"""What the protocol calls the ends of a partition, where a time is expected."""


class Reader:
    """One consumer. One thread at a time uses it.

    Args:
        settings: How the cluster is reached.
        topic: The topic's name.
        meanings: What errors mean.
    """

    def __init__(self, settings: Settings, topic: str, meanings: Meanings) -> None:
        # `list_topics` imports it later, and out of C: a Ctrl-C meanwhile would be an ImportError.
        import_module("confluent_kafka.admin")
        from confluent_kafka import Consumer, KafkaException, TopicPartition

        self._topic = topic
        self._timeout = settings.timeout
        self._meanings = meanings
        self._failure: type[KafkaException] = KafkaException
        self._place = TopicPartition
        self._errors: list[KafkaError] = []
        self._partitions: dict[int, Partition] = {}
        try:
            self.consumer: Consumer = Consumer(
                {**settings.reading(), "error_cb": self._errors.append, "logger": Log(settings.secrets())}
            )
        except (KafkaException, ValueError, TypeError) as error:
            raise meanings.configuration(error) from None

    def close(self) -> None:
        """Close the consumer, threads and all."""
        self.consumer.close()

    @property
    def begun(self) -> bool:
        """Whether it has read anything."""
        return bool(self._partitions)

    def suits(self, offsets: Mapping[int, int]) -> int:
        """Of how many of these partitions it stands where it is to go on."""
        partitions = self._partitions
        return sum([number in partitions and partitions[number].at(offset) for number, offset in offsets.items()])

    def count(self) -> int:
        """How many partitions the topic has. Raises as `TopicClient.partitions`."""
        self._errors.clear()
        return self._patiently(self._count)

    def _count(self, seconds: float) -> int | None:
        found = self.consumer.list_topics(self._topic, timeout=seconds).topics[self._topic]
        if found.error is not None:
            refusal = self._meanings.refusal(found.error)
            if refusal is not None:
                raise refusal
            self._errors.append(found.error)
            return None  # it has no leader yet, say
        return len(found.partitions)

    def bounds(self, numbers: Sequence[int]) -> dict[int, Bounds]:
        """What can be read of partitions. Raises as `TopicClient.bounds`."""
        self._errors.clear()
        return self._bounds(numbers)

    def _bounds(self, numbers: Sequence[int]) -> dict[int, Bounds]:
        low, high = self._ends(numbers, EARLIEST), self._ends(numbers, LATEST)
        return {number: Bounds(low[number], high[number]) for number in numbers}

    def _ends(self, numbers: Sequence[int], end: int) -> dict[int, int]:
        """The first, or the last, offsets of partitions: one request to each of their leaders."""

        def ask(seconds: float) -> dict[int, int] | None:
            wanted = [self._place(self._topic, number, end) for number in numbers]
            found: dict[int, int] = {}
            for place in self.consumer.offsets_for_times(wanted, timeout=seconds):
                if place.error is not None:
                    raise self._failure(place.error)
                found[place.partition] = place.offset
            return found

        return self._patiently(ask) if numbers else {}

    def _patiently(self, ask: Callable[[float], T | None]) -> T:
        """Ask until there is an answer, or time is over, or it cannot be mended."""
        deadline = time.monotonic() + self._timeout
        while True:
            remaining = deadline - time.monotonic()
            seconds = max(min(SLICE, remaining), 0.001)
            try:
                answer = ask(seconds)
            except self._failure as failure:
                answer = None
                self._take_failure(failure.args[0], seconds)
            if answer is not None:
                return answer
            self._look(over=remaining <= SLICE)

    def _take_failure(self, error: KafkaError, seconds: float) -> None:
        """Raise what an error means that trying again does not mend; of a topic that is not there, if it still is not.

        A consumer that was open before a topic was made says for a while that there is none.
        """
        self._errors.append(error)
        if error.name() in NO_TOPIC:
            with suppress(self._failure):
                self._count(seconds)
            time.sleep(PAUSE)
            return
        refusal = self._meanings.refusal(error)
        if refusal is not None:
            raise refusal

    def _look(self, *, over: bool) -> None:
        """Raise what has gone wrong, if trying again does not mend it; whatever has, when time is over."""
        self._keep(self.consumer.consume(1, timeout=0))  # librdkafka reports of its connections meanwhile
        last: KafkaError | None = None
        for error in self._errors:
            refusal = self._meanings.connecting(error)
            if refusal is not None:
                raise refusal
            last = error
        if over:
            raise self._meanings.reading(last)

    def fetch(self, offsets: Mapping[int, int], limit: int, max_bytes: int) -> Fetched:
        """Records from offsets on. Raises as `TopicClient.fetch`."""
        self._errors.clear()
        deadline = time.monotonic() + self._timeout
        partitions = {number: self._partitions.get(number) or self._add(number) for number in offsets}
        moved = [number for number, offset in offsets.items() if not partitions[number].at(offset)]
        for number in offsets.keys() - set(moved):
            partitions[number].forward(offsets[number])
        if moved:
            self._move({number: offsets[number] for number in moved}, partitions)
        fresh = set(moved)
        while True:
            self._run(partitions)
            share = self._fill(partitions, limit, max_bytes, deadline)
            asked = [
                number
                for number, each in partitions.items()
                if each.left <= 0 and number not in fresh and not each.full(*share)
            ]
            if not asked:
                return hand_out(partitions, fresh, limit, max_bytes)
            # What was the end when it was asked for last has been reached. Is it still?
            for number, high in self._ends(asked, LATEST).items():
                partitions[number].high = high
                if partitions[number].next > high:
                    raise self._out_of_range(number)
            fresh.update(asked)

    def _add(self, number: int) -> Partition:
        partition = self._partitions[number] = Partition()
        return partition

    def _move(self, offsets: Mapping[int, int], partitions: Mapping[int, Partition]) -> None:
        bounds = self._bounds(list(offsets))
        for number, offset in offsets.items():
            low, high = bounds[number]
            if not low <= offset <= high:
                raise OutOfRange(number, offset, bounds[number])
            partition = partitions[number]
            partition.move(offset, high)
            if partition.assigned:
                place = self._place(self._topic, number, offset)
                self.consumer.resume([place])  # what stands still cannot be moved
                self.consumer.seek(place)
                partition.running = False

    def _out_of_range(self, number: int) -> OutOfRange:
        return OutOfRange(number, self._partitions[number].next, self._bounds([number])[number])

    def _run(self, partitions: Mapping[int, Partition]) -> None:
        """Have the consumer fetch what is not at its end.

        A broker keeps a request waiting while one of its partitions is at the end, even when there is more of others.
        What nobody wants just now goes on as well, up to a measure: somebody may in a moment.
        """
        topic, place = self._topic, self._place
        begun: list[int] = []
        resumed: list[int] = []
        paused: list[int] = []
        for number, partition in self._partitions.items():
            wanted = partition.left > 0 and (number in partitions or not partition.full(*AHEAD))
            if wanted and not partition.assigned and number in partitions:
                begun.append(number)
                partition.assigned = True
            elif partition.assigned and wanted != partition.running:
                (resumed if wanted else paused).append(number)
            partition.running = wanted
        if paused:
            self.consumer.pause([place(topic, number) for number in paused])
        if resumed:
            self.consumer.resume([place(topic, number) for number in resumed])
        if begun:
            self.consumer.incremental_assign([place(topic, number, self._partitions[number].next) for number in begun])
        if resumed:
            self._nudge(resumed)

    def _nudge(self, numbers: Sequence[int]) -> None:
        """Ask the leaders of partitions something.

        A thread of librdkafka's that has nothing to fetch sleeps for a second, and is not woken by a seek, nor when a
        partition is to go on. It is by a request.
        """
        self._ends(numbers, LATEST)

    def _fill(
        self, partitions: Mapping[int, Partition], limit: int, max_bytes: int, deadline: float
    ) -> tuple[int, int]:
        """Take records until each partition has its share, or has come to its end. Answers the share."""
        in_vain = 0
        while True:
            share = share_of(partitions, limit, max_bytes)
            missing = {number: each for number, each in partitions.items() if each.left > 0 and not each.full(*share)}
            if not missing:
                return share
            wanted = sum([min(each.left, max(share[0] - len(each.records), 1)) for each in missing.values()])
            messages = self.consumer.consume(min(wanted, MOST_AT_ONCE), timeout=FETCH_SLICE)
            self._keep(messages)
            for number, partition in partitions.items():
                if partition.lost:
                    raise self._out_of_range(number)
            if messages:
                in_vain = 0
                continue
            self._look(over=time.monotonic() > deadline)
            in_vain += 1
            if in_vain & (in_vain - 1) == 0:  # the first time, the second, the fourth ...
                self._nudge(list(missing))

    def _keep(self, messages: list[Message]) -> None:
        """Keep records for the fetch that asks for them."""
        partitions = self._partitions
        for message in messages:
            number, offset, error = message.partition(), message.offset(), message.error()
            if error is not None:
                self._take_error(error, number, offset)
                continue
            assert number is not None
            assert offset is not None
            found, value = cast("_Headers | None", message.headers()), message.value()
            partition = partitions[number]
            # By tuple's own constructor, which takes half the time of a named one: every event comes by here.
            record = _new(
                Record,
                (number, offset, message.timestamp()[1], message.key(), value, tuple(found) if found else NO_HEADERS),
            )
            partition.records.append(record)
            partition.next = offset + 1
            if value is not None:
                partition.size += len(value)

    def _take_error(self, error: KafkaError, number: int | None, offset: int | None) -> None:
        name = error.name()
        partition = self._partitions.get(-1 if number is None else number)
        if name == END and partition is not None and offset is not None:
            # Behind the last record may lie what is no record: the ends of transactions, what was compacted away.
            partition.next = max(partition.next, offset)
            if partition.left > 0:  # it has lost its tail, or grew after this was said
                assert number is not None
                partition.high = self._ends([number], LATEST)[number]
        elif name in OUT_OF_RANGE and partition is not None:
            partition.lost = True
        elif name not in FOR_GROUPS:
            self._errors.append(error)
