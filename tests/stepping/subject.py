"""What the schedules are about: accounts that are paid into, and views that remember every event folded into them."""

from __future__ import annotations

from dataclasses import dataclass

from eventsource_upstash import (
    AsyncEventStore,
    AsyncProjectionStore,
    AsyncProjector,
    EventStore,
    Projection,
    ProjectionStore,
    Projector,
    Recorded,
    Registry,
)
from eventsource_upstash.ports import Backend


@dataclass(frozen=True)
class Paid:
    amount: int


@dataclass(frozen=True)
class Bounced:
    amount: int


@dataclass(frozen=True)
class Balance:
    total: int = 0
    folded: tuple[int, ...] = ()


@dataclass(frozen=True)
class Account:
    total: int = 0


@dataclass(frozen=True)
class Withdraw:
    amount: int


@dataclass(frozen=True)
class Withdrawn:
    amount: int


class Overdrawn(Exception):
    pass


registry = Registry()
registry.event("paid")(Paid)
registry.event("bounced")(Bounced)
registry.event("withdrawn")(Withdrawn)
balances = registry.projection("balances", Balance)
fragile = registry.projection("fragile", Balance)
account = registry.aggregate("account", Account)


@balances.on_recorded(Paid)
def paid(document: Balance | None, recorded: Recorded[Paid]) -> Balance:
    return moved(document, recorded)


@balances.on_recorded(Bounced)
def bounced(document: Balance | None, recorded: Recorded[Bounced]) -> Balance:
    return moved(document, recorded)


@fragile.on_recorded(Paid)
def fragile_paid(document: Balance | None, recorded: Recorded[Paid]) -> Balance:
    return moved(document, recorded)


@fragile.on_recorded(Bounced)
def fragile_bounced(document: Balance | None, recorded: Recorded[Bounced]) -> Balance:
    raise ArithmeticError("broken on purpose")


@account.on(Paid)
def account_paid(state: Account | None, event: Paid) -> Account:
    return Account((state.total if state else 0) + event.amount)


@account.on(Withdrawn)
def account_withdrawn(state: Account | None, event: Withdrawn) -> Account:
    return Account((state.total if state else 0) - event.amount)


@account.decide(Withdraw)
def withdraw(state: Account | None, command: Withdraw) -> Withdrawn:
    if state is None or state.total < command.amount:
        raise Overdrawn
    return Withdrawn(command.amount)


def moved(document: Balance | None, recorded: Recorded[Paid] | Recorded[Bounced]) -> Balance:
    before = document or Balance()
    return Balance(before.total + recorded.event.amount, (*before.folded, recorded.position))


def store(backend: Backend) -> EventStore:
    return EventStore(backend, registry)


def catch_up(backend: Backend, page_size: int = 1_000) -> None:
    Projector(store(backend), ProjectionStore(backend, registry), page_size=page_size).catch_up()


def stepped_store(backend: Backend) -> AsyncEventStore:
    return AsyncEventStore(backend, registry)


def stepped_projector(backend: Backend, page_size: int = 1_000) -> AsyncProjector:
    return AsyncProjector(stepped_store(backend), AsyncProjectionStore(backend, registry), page_size=page_size)


def checkpoints(backend: Backend) -> dict[str, int]:
    return {status.name: status.checkpoint for status in ProjectionStore(backend, registry).status()}


def check_view(backend: Backend, projection: Projection[Balance] = balances) -> None:
    """The view is the fold of the log up to its checkpoint: each event once, and in order."""
    reached = checkpoints(backend)[projection.name]
    expected: dict[str, Balance] = {}
    for recorded in store(backend).read():
        if recorded.position <= reached and isinstance(recorded.event, (Paid, Bounced)):
            before = expected.get(recorded.stream, Balance())
            expected[recorded.stream] = Balance(
                before.total + recorded.event.amount, (*before.folded, recorded.position)
            )
    found = dict(ProjectionStore(backend, registry).view(projection).items())
    assert found == expected, f"at checkpoint {reached} the view holds {found}, the log makes {expected}"
