"""The app that the properties are about: accounts, and views that remember every event folded into them."""

from __future__ import annotations

from dataclasses import dataclass

from eventsource_upstash import Recorded, Registry


@dataclass(frozen=True)
class Paid:
    amount: int


@dataclass(frozen=True)
class Withdrawn:
    amount: int


@dataclass(frozen=True)
class Closed:
    reason: str


@dataclass(frozen=True)
class Noted:
    """No projection cares about it."""

    text: str


Event = Paid | Withdrawn | Closed | Noted


@dataclass(frozen=True)
class Balance:
    """A document.

    Attributes:
        total: The balance.
        folded: Positions of the events that made it, since it was opened last.
    """

    total: int = 0
    folded: tuple[int, ...] = ()


@dataclass(frozen=True)
class Account:
    total: int = 0
    events: int = 0


def moved(document: Balance | None, event: Event, position: int) -> Balance | None:
    """The fold: the model's, and that of each handler."""
    before = document or Balance()
    match event:
        case Paid(amount):
            return Balance(before.total + amount, (*before.folded, position))
        case Withdrawn(amount):
            return Balance(before.total - amount, (*before.folded, position))
        case Closed():
            return None
        case Noted():
            return document


def counted(state: Account | None, event: Event) -> Account | None:
    """The fold of the aggregate."""
    before = state or Account()
    match event:
        case Paid(amount):
            return Account(before.total + amount, before.events + 1)
        case Withdrawn(amount):
            return Account(before.total - amount, before.events + 1)
        case Closed():
            return None
        case Noted():
            return state


class App:
    """A registry, made anew for each example.

    Attributes:
        broken: While it is True, the handlers of `fragile` fail at a withdrawal.
    """

    def __init__(self) -> None:
        self.broken = False
        self.registry = Registry()
        for name, cls in (("paid", Paid), ("withdrawn", Withdrawn), ("closed", Closed), ("noted", Noted)):
            self.registry.event(name)(cls)
        self.balances = self.registry.projection("balances", Balance)
        self.fragile = self.registry.projection("fragile", Balance)
        self.ledger = self.registry.projection("ledger", Balance)
        self.account = self.registry.aggregate("account", Account)
        for cls in (Paid, Withdrawn, Closed):
            self._handle(cls)

    def _handle(self, cls: type[Paid] | type[Withdrawn] | type[Closed]) -> None:
        @self.balances.on_recorded(cls)
        def balance(document: Balance | None, recorded: Recorded[Paid | Withdrawn | Closed]) -> Balance | None:
            return moved(document, recorded.event, recorded.position)

        @self.fragile.on_recorded(cls)
        def fragile(document: Balance | None, recorded: Recorded[Paid | Withdrawn | Closed]) -> Balance | None:
            if self.broken and isinstance(recorded.event, Withdrawn):
                raise ArithmeticError("broken on purpose")
            return moved(document, recorded.event, recorded.position)

        # One document for all: its order is the order of the whole log.
        @self.ledger.on_recorded(cls, key=lambda _: ("all", "twin"))
        def entry(document: Balance | None, recorded: Recorded[Paid | Withdrawn | Closed]) -> Balance | None:
            return moved(document, recorded.event, recorded.position)

        @self.account.on(cls)
        def count(state: Account | None, event: Paid | Withdrawn | Closed) -> Account | None:
            return counted(state, event)
