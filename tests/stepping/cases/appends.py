"""Two appends: what each of them was told, and what is in the log afterwards."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from eventsource_upstash import (
    ANY,
    AppendCondition,
    Appended,
    AsyncEventStore,
    ConcurrencyError,
    ConditionFailed,
    EventStore,
    OutcomeUnknown,
    Query,
    Unavailable,
)
from eventsource_upstash.testing import Ending, Endings, World
from tests.stepping.cases.histories import Judged
from tests.stepping.cases.places import Storage
from tests.stepping.subject import Paid, registry
from tests.stepping.test_appends import insisting

NOW: Final = 1_700_000_000_000_000_000
BEHIND: Final = 30_000_000_000
TAG: Final = "customer:1"


class Wish(NamedTuple):
    """What two callers do at once.

    Attributes:
        stream: Of each.
        amounts: What each pays in, which tells the events apart.
        options: Further arguments of each append.
        keys: The idempotency key of each, where they are different ones.
        behind: How far the clock of the second is behind that of the first, in nanoseconds.
        insist: Whether a caller does the same call again as long as its outcome is not known.
        one: Whether only one of them may be written.
    """

    stream: tuple[str, str] = ("a", "a")
    amounts: tuple[tuple[int, ...], tuple[int, ...]] = ((10, 11), (20, 21))
    options: Mapping[str, Any] = MappingProxyType({})
    keys: tuple[str, ...] = ()
    behind: int = 0
    insist: bool = False
    one: bool = True


EXPECTED: Final = Wish(options={"expected_revision": 1})
KEYED: Final = Wish(amounts=((10, 11), (10, 11)), options={"idempotency_key": "key"}, insist=True)
CONDITION: Final = Wish(
    stream=("a", "b"),
    amounts=((10,), (20,)),
    options={"condition": AppendCondition(Query.of(tags=(TAG,)), 1), "tags": (TAG,)},
)
EXPECTED_AND_KEYED: Final = Wish(options={"expected_revision": 1}, keys=("left's", "right's"))
PLAIN: Final = Wish(options={"expected_revision": ANY}, one=False)
SLOW_CLOCK: Final = PLAIN._replace(behind=BEHIND)

NAMES: Final = ("left", "right")


def two_appends(wish: Wish) -> Callable[[Storage], World]:
    def world(storage: Storage) -> World:
        store = EventStore(storage.opened(), registry, clock=lambda: NOW - 2 * BEHIND)
        store.append("a", Paid(1), tags=(TAG,))

        def appending(number: int) -> Callable[[], Any]:
            clock = NOW - number * wish.behind
            backend = storage.stepped()
            events = [Paid(amount) for amount in wish.amounts[number]]
            appender = AsyncEventStore(backend, registry, clock=lambda: clock)
            key = {"idempotency_key": wish.keys[number]} if wish.keys else {}
            return lambda: appender.append(wish.stream[number], *events, **wish.options, **key)

        judged = Judged()
        actors: dict[str, Any] = {}
        for number, name in enumerate(NAMES):
            call, stream, amounts = appending(number), wish.stream[number], wish.amounts[number]
            expected = wish.options.get("expected_revision", ANY)
            insist = partial(insisting, call) if wish.insist else call
            actors[name] = judged.append(name, mark_of(wish, amounts[0]), len(amounts), stream, expected, insist)

        def checked(endings: Endings) -> None:
            check(wish, storage, endings, judged)

        return World(actors, checked, lambda: (storage.shared(), judged.records))

    return world


def mark_of(wish: Wish, amount: int) -> str:
    """Whose events they are: of two that append the same, both's."""
    return next(name for name, amounts in zip(NAMES, wish.amounts, strict=True) if amount in amounts)


def check(wish: Wish, storage: Storage, endings: Endings, judged: Judged) -> None:
    store = EventStore(storage.opened(), registry, clock=lambda: NOW)
    rows = list(store.read())
    check_log(store, rows)
    if not apart(store):
        judged.check(rows, lambda row: mark_of(wish, row.event.amount) if row.event.amount >= 10 else None)
    written: list[str] = []
    for name, stream, amounts in zip(NAMES, wish.stream, wish.amounts, strict=True):
        there = [row for row in rows if row.stream == stream and row.event.amount in amounts]
        if there and not (written and wish.amounts[0] == wish.amounts[1]):
            written.append(name)
        check_one(endings[name], amounts, there, keyed_apart=apart(store) and wish.insist)
    assert [row.event.amount for row in rows if row.event.amount < 10] == [1]
    if wish.one:
        assert len(written) < 2, "both were written, and only one may be"
        gone = [each for each in endings.values() if each.crashed or isinstance(each.error, Unavailable)]
        assert written or gone, "neither was written, and nothing has kept them from it"
    # The storage is as good as before: whoever appends to it, or asks again, is answered.
    if wish.insist and written:
        again = store.append(wish.stream[0], *[Paid(each) for each in wish.amounts[0]], **wish.options)
        assert again.repeated, "the same call once more was written once more"
    for number, key in enumerate(wish.keys):
        events = [Paid(each) for each in wish.amounts[number]]
        try:
            again = store.append(wish.stream[number], *events, idempotency_key=key, **wish.options)
        except ConcurrencyError:
            assert NAMES[number] not in written, "a key is not known, and its append was written"
        else:
            assert again.repeated == (NAMES[number] in written), "a key is known, and its append was not written"
            rows = list(store.read())
    last = store.append("a", Paid(2)).position
    assert last > max(row.position for row in rows) or apart(store)
    if written and "condition" in wish.options:
        store.append("c", Paid(3))
        try:
            store.append("a", Paid(4), **wish.options)
        except ConditionFailed:
            pass
        else:
            raise AssertionError("a condition does not hold any more, and an append on it was written")
    after = [row for row in store.read() if row.stream != "c"]
    check_log(store, list(store.read()))
    assert sorted(row.event.amount for row in after) == sorted([*(row.event.amount for row in rows), 2])


def check_log(store: EventStore, rows: Sequence[Any]) -> None:
    """The log and its streams hold the same events, in one order."""
    if apart(store):
        return
    positions = [row.position for row in rows]
    assert positions == sorted(set(positions)), f"positions are {positions}"
    assert store.head() == positions[-1]
    for stream in {row.stream for row in rows}:
        found = list(store.read_stream(stream))
        assert found == [row for row in rows if row.stream == stream], f"stream {stream!r} holds {found}"
        assert [row.revision for row in found] == list(range(1, len(found) + 1))
    tagged = [row for row in rows if TAG in row.tags]
    assert list(store.read(query=Query.of(tags=(TAG,)))) == tagged, "what is found by a tag is not what has it"


def check_one(ending: Ending, amounts: Sequence[int], there: Sequence[Any], *, keyed_apart: bool) -> None:
    """What is there of an append is what its caller was told."""
    told = [row.event.amount for row in there]
    assert told in ([], list(amounts)), f"of {list(amounts)} there is {told}: in part, or more than once"
    error = ending.error
    if ending.ok:
        answer = ending.returned
        assert isinstance(answer, Appended)
        assert told, "an append returned, and its events are not in the log"
        # On Kafka two of one key that pass each other are both in the topic, and the first is handed out.
        assert answer.position == there[-1].position or (keyed_apart and answer.position > there[-1].position)
    elif isinstance(error, ConcurrencyError):
        # An answer that was lost may have been this caller's own: then the conflict tells its own events.
        assert [each.event.amount for each in error.events], "a conflict does not tell what was missed"
        assert error.actual == 1 + len(error.events)
        assert told == [] or [each.event.amount for each in error.events] == told
    elif isinstance(error, (ConditionFailed, Unavailable)):
        assert told == [], "it was refused, and is in the log"
    else:
        assert ending.crashed or isinstance(error, OutcomeUnknown), f"it raised {error!r}"


def apart(store: EventStore) -> bool:
    """Whether the log is in partitions."""
    return store.flow.log.__class__.__name__ == "KafkaLog"
