"""What an append that owes a notification tells of it, and that deliveries are verified by whoever carries them."""

from __future__ import annotations

import pytest

from eventsource_upstash import (
    App,
    Appended,
    EventStore,
    Memory,
    MemoryKeys,
    Misuse,
    Notifier,
    Receipt,
    Unavailable,
)
from eventsource_upstash._flow import notifying
from eventsource_upstash._flow.notifying import Notifying
from eventsource_upstash._io.blocking import PORT, run
from eventsource_upstash.ports import KeyStore, Log
from eventsource_upstash.testing.wrapping import BackendWrapper, LogWrapper
from tests.priced import Dear
from tests.reactors.support import Carrier
from tests.stepping.model import OwingMemory
from tests.unit.todo import TaskCreated, todo


def test_the_receipt_of_an_append_tells_what_its_notification_cost() -> None:
    dear = Dear()
    store = EventStore(Memory(), todo().registry, notifier=Notifier(dear))
    appended = store.append("task-1", TaskCreated("1", "a"))
    assert (dear.told, appended.receipt) == ([1], Receipt(requests=1, bytes_sent=10))
    assert dear.port is PORT, "it waits as the store does"


def test_an_append_whose_notification_fails_costs_nothing_for_it_and_the_next_one_owes_it() -> None:
    dear = Dear()
    store = EventStore(Memory(), todo().registry, notifier=Notifier(dear))
    dear.error = Unavailable("nobody is there")
    assert store.append("task-1", TaskCreated("1", "a")).receipt.requests == 0
    dear.error = None
    assert store.append("task-2", TaskCreated("2", "b")).receipt.requests == 1
    assert dear.told == [2]


def test_who_has_nobody_to_tell_owes_nothing() -> None:
    backend, dear = OwingMemory(), Dear()
    EventStore(backend, todo().registry).append("task-1", TaskCreated("1", "a"))
    EventStore(backend, todo().registry, notifier=Notifier(dear)).append("task-1", TaskCreated("1", "a"))
    assert dear.told == [2], "the one before it raised none"


@pytest.mark.parametrize("keys", [None, MemoryKeys()], ids=["in clear", "with keys"])
def test_a_notification_that_was_not_sent_is_withdrawn_as_what_it_was_raised_as(keys: KeyStore | None) -> None:
    withdrawn: list[tuple[int, int]] = []

    class Withdrawing(LogWrapper):
        async def withdraw(self, position: int, raised_us: int) -> Receipt:
            withdrawn.append((position, raised_us))
            return Receipt(requests=1)

    class Backend(BackendWrapper):
        def wrap_log(self, log: Log) -> Log:
            return Withdrawing(log)

    dear = Dear()
    dear.error = Unavailable("nobody is there")
    store = EventStore(Backend(Memory()), todo().registry, notifier=Notifier(dear), keys=keys)
    store.append("task-1", TaskCreated("1", "a"))
    appended = store.append("task-1", TaskCreated("1", "a"), idempotency_key="k")
    assert appended == Appended(2, 2, Receipt(requests=1)), "to withdraw it is what it cost"
    repeated = store.append("task-1", TaskCreated("1", "a"), idempotency_key="k")
    assert repeated == Appended(2, 2, Receipt(requests=1), repeated=True)
    recorded = [round(each.recorded_at.timestamp() * 1e6) for each in store.read()]
    assert withdrawn[:2] == [(1, recorded[0]), (2, recorded[1])]
    assert dear.moments == [moment for _, moment in withdrawn]


def test_a_delivery_is_verified_whole() -> None:
    dear = Dear()
    app = App(Memory(), todo().registry, dear)
    app.event_store.notifier.verify({"upstash-signature": "s"}, b"body", "https://app.example.com/projections")
    assert dear.verified == [({"upstash-signature": "s"}, b"body", "https://app.example.com/projections")]
    for carrier in (Carrier(), None):
        with pytest.raises(Misuse, match="nothing to verify deliveries with"):
            App(Memory(), todo().registry, carrier).event_store.notifier.verify({}, b"", None)


def test_to_notify_by_hand_tells_the_position_and_the_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[int, int]] = []

    class Telling(Dear):
        async def send(self, position: int, raised_us: int) -> Receipt:
            told.append((position, raised_us))
            return Receipt()

    monkeypatch.setattr(notifying.time, "time_ns", lambda: 1_700_000_000_123_456_789)
    assert run(Notifying(Telling(), PORT).notify(7)) == Receipt()
    assert told == [(7, 1_700_000_000_123_456)]
    assert type(told[0][1]) is int
    assert run(Notifying(None, PORT).notify(7)) is None, "nobody was told"


def test_what_only_a_deliverer_of_ones_own_can_tell_is_refused_by_its_name() -> None:
    app = App(Memory(), todo().registry, Carrier())
    with pytest.raises(Misuse, match=r"^messages\.dead: this app does not deliver its messages itself"):
        app.messages.dead()
    with pytest.raises(Misuse, match=r"^messages\.revive: this app does not deliver its messages itself"):
        app.messages.revive("m-1")


def test_what_could_not_be_told_is_logged_with_its_position(caplog: pytest.LogCaptureFixture) -> None:
    class Gone(LogWrapper):
        async def withdraw(self, position: int, raised_us: int) -> Receipt:
            raise Unavailable(f"the log is gone: {position}, {raised_us}")

    log = Gone(Memory().log(PORT))
    error = Unavailable("nobody is there")
    assert run(Notifying(None, PORT).failed(log, 7, 1, error)) == Receipt()
    assert [record.getMessage() for record in caplog.records] == [
        "the notification for position 7 was not sent; the next one, or the next catch-up, covers it",
        (
            "the notification for position 7 counts as outstanding until it expires, since the log could not be told: "
            "the log is gone: 7, 1"
        ),
    ]
    assert caplog.records[0].exc_info is not None
    assert caplog.records[0].exc_info[1] is error
