"""A small app for the suite: accounts that money goes in and out of, and views that tell which events made them."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ...domain.aggregates import Aggregate
from ...domain.events import Recorded
from ...domain.projections import Projection
from ...domain.registry import Registry


@dataclass(frozen=True)
class Paid:
    """Money went in."""

    amount: int


@dataclass(frozen=True)
class Withdrawn:
    """Money went out."""

    amount: int


@dataclass(frozen=True)
class Renamed:
    """No projection cares about it."""

    name: str


@dataclass(frozen=True)
class Balance:
    """A document that remembers each event that was folded into it.

    Attributes:
        total: The balance.
        folded: The positions of the events, in the order in which they were folded.
    """

    total: int = 0
    folded: tuple[int, ...] = ()


@dataclass(frozen=True)
class Account:
    """State of the aggregate."""

    total: int = 0


@dataclass(frozen=True)
class Withdraw:
    """A command."""

    amount: int


class Overdrawn(Exception):
    """There is not so much in the account."""


class Subject:
    """The app's registry, made anew for each test.

    Attributes:
        broken: While it is True, the handlers of the projection `balances` fail at a withdrawal.
    """

    def __init__(self, *, renamed: bool = True) -> None:
        self.broken = False
        self.registry: Registry = Registry()
        self.registry.event("paid")(Paid)
        self.registry.event("withdrawn")(Withdrawn)
        if renamed:
            self.registry.event("renamed")(Renamed)
        self.balances: Projection[Balance] = self.registry.projection("balances", Balance)
        self.ledger: Projection[Balance] = self.registry.projection("ledger", Balance)
        self.account: Aggregate[Account] = self.registry.aggregate("account", Account)
        self._add_folds()
        self._add_aggregate()

    def _add_folds(self) -> None:
        balances, ledger = self.balances, self.ledger

        @balances.on_recorded(Paid)
        def paid(document: Balance | None, recorded: Recorded[Paid]) -> Balance:
            return _moved(document, recorded, recorded.event.amount)

        @balances.on_recorded(Withdrawn)
        def withdrawn(document: Balance | None, recorded: Recorded[Withdrawn]) -> Balance:
            if self.broken:
                raise ArithmeticError("broken on purpose")
            return _moved(document, recorded, -recorded.event.amount)

        # One document for all, so that its order shows the order of the whole log.
        @ledger.on_recorded(Paid, key=lambda _: "all")
        def entered(document: Balance | None, recorded: Recorded[Paid]) -> Balance:
            return _moved(document, recorded, recorded.event.amount)

        @ledger.on_recorded(Withdrawn, key=lambda _: "all")
        def left(document: Balance | None, recorded: Recorded[Withdrawn]) -> Balance:
            return _moved(document, recorded, -recorded.event.amount)

        assert all((paid, withdrawn, entered, left))

    def _add_aggregate(self) -> None:
        account = self.account

        @account.on(Paid)
        def paid(state: Account | None, event: Paid) -> Account:
            return replace(state or Account(), total=(state or Account()).total + event.amount)

        @account.on(Withdrawn)
        def withdrawn(state: Account | None, event: Withdrawn) -> Account:
            return replace(state or Account(), total=(state or Account()).total - event.amount)

        @account.decide(Withdraw)
        def withdraw(state: Account | None, command: Withdraw) -> Withdrawn:
            if (state or Account()).total < command.amount:
                raise Overdrawn(f"there is no {command.amount} in it")
            return Withdrawn(command.amount)

        assert all((paid, withdrawn, withdraw))


def _moved(document: Balance | None, recorded: Recorded[object], amount: int) -> Balance:
    before = document or Balance()
    return Balance(before.total + amount, (*before.folded, recorded.position))
