"""Reactors: what follows from events, decided once and carried out."""

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from eventsource_upstash import Append, Execute, Reaction, ReactorStopped, Registry, Send, connect

# --8<-- [start:events]
registry = Registry()


@registry.event("account-suspended")
@dataclass(frozen=True)
class AccountSuspended:
    account: str


@registry.event("account-noted")
@dataclass(frozen=True)
class AccountNoted:
    account: str


@registry.event("orders-cancelled")
@dataclass(frozen=True)
class OrdersCancelled:
    account: str
    reason: str


# --8<-- [end:events]
# --8<-- [start:aggregate]
@dataclass(frozen=True)
class Cancellations:
    done: bool = False


@dataclass(frozen=True)
class CancelOrders:
    account: str
    reason: str


orders = registry.aggregate("orders", Cancellations)


@orders.on(OrdersCancelled)
def cancelled(state: Cancellations | None, event: OrdersCancelled) -> Cancellations:
    return Cancellations(done=True)


@orders.decide(CancelOrders)
def cancel(state: Cancellations | None, command: CancelOrders) -> OrdersCancelled | None:
    return None if state and state.done else OrdersCancelled(command.account, command.reason)


# --8<-- [end:aggregate]
# --8<-- [start:reactor]
suspensions = registry.reactor("suspensions")


@suspensions.on(AccountSuspended, key="account")
def suspended(event: AccountSuspended) -> list[Reaction]:
    return [
        Append(f"notes-{event.account}", AccountNoted(event.account)),
        Execute(orders, f"orders-{event.account}", CancelOrders(event.account, "suspended")),
    ]


# --8<-- [end:reactor]
# --8<-- [start:send]
def reminders(registry: Registry) -> None:
    reminders = registry.reactor("reminders", on_error="park")

    @reminders.on(AccountSuspended, key="account")
    def remind(event: AccountSuspended) -> Send:
        return Send("/workers/remind", {"account": event.account}, delay=timedelta(hours=24))


# --8<-- [end:send]
# --8<-- [start:since]
def audits(registry: Registry) -> None:
    audits = registry.reactor("audits", since=datetime(2026, 11, 1, tzinfo=timezone.utc))

    @audits.on(AccountSuspended)
    def audit(event: AccountSuspended) -> Send:
        return Send("https://audit.example.com/suspensions", {"account": event.account})


# --8<-- [end:since]


def test_react() -> None:
    # --8<-- [start:run]
    app = connect("memory:", registry)
    app.event_store.append("account-7", AccountSuspended("7"))
    app.projector.catch_up()

    assert [recorded.event for recorded in app.event_store.read(after=1)] == [
        AccountNoted("7"),
        OrdersCancelled("7", "suspended"),
    ]
    # --8<-- [end:run]
    # --8<-- [start:status]
    status = app.reactions.status(suspensions)
    assert (status.state, status.pending) == ("current", 0)
    # --8<-- [end:status]


def test_failing() -> None:
    registry = Registry()
    registry.event("account-suspended")(AccountSuspended)
    registry.event("account-noted")(AccountNoted)
    notes = registry.reactor("notes")

    # --8<-- [start:failing]
    @notes.on(AccountSuspended)
    def note(event: AccountSuspended) -> Append:
        return Append("notes", AccountNoted(event.account), expected_revision=0)

    app = connect("memory:", registry)
    app.event_store.append("notes", AccountNoted("1"))
    app.event_store.append("account-7", AccountSuspended("7"))
    try:
        app.projector.catch_up()
    except ReactorStopped as stopped:
        assert stopped.position == 2

    (pending,) = app.reactions.pending(notes)
    assert (pending.kind, pending.target, pending.position) == ("append", "notes", 2)
    assert "ConcurrencyError" in pending.error
    # --8<-- [end:failing]
    # --8<-- [start:discard]
    assert app.reactions.discard(notes).done == 1
    app.projector.catch_up()
    assert app.reactions.status(notes).state == "current"
    # --8<-- [end:discard]


def test_others() -> None:
    registry = Registry()
    registry.event("account-suspended")(AccountSuspended)
    reminders(registry)
    audits(registry)
    assert [reactor.name for reactor in registry.reactors] == ["reminders", "audits"]
