"""What the order service decides: whether an order is accepted, on what it knows of the account that it is for.

Whatever becomes of one account stands in one stream: what is learned of its standing, and each decision on an order.
So an order and a suspension cannot pass each other: the later of the two is decided again, on what the other made.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import time
import unicodedata
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from eventsource_upstash import Recorded, Registry

MAX_ITEM = 100
"""Longest name of what is ordered, in characters."""

MAX_QUANTITY = 1_000

registry = Registry()

Decision = Literal["accepted", "refused"]

ACTIVE = "active"
"""The one standing under which orders are accepted. Of all others it is enough to know that they are others."""


# --8<-- [start:events]
@registry.event("standing-learned")
@dataclass(frozen=True)
class StandingLearned:
    account: str
    standing: str
    revision: int
    """The account's revision over there: what is known of it is as of then."""


@registry.event("standing-came-late")
@dataclass(frozen=True)
class StandingCameLate:
    """It arrived after a later one, and changes nothing."""

    account: str
    standing: str
    revision: int


@registry.event("order-accepted")
@dataclass(frozen=True)
class OrderAccepted:
    id: str
    account: str
    item: str
    quantity: int


@registry.event("order-refused")
@dataclass(frozen=True)
class OrderRefused:
    id: str
    account: str
    item: str
    quantity: int
    standing: str


# --8<-- [end:events]


class OrderError(Exception):
    """An order that is none. Nothing was appended."""


class UnknownAccount(OrderError):
    def __init__(self) -> None:
        super().__init__("The order service knows of no such account. If it was opened just now, try again.")


class InvalidOrder(OrderError):
    pass


# -- Commands, and the aggregate that decides on them --


# --8<-- [start:ledger]
@dataclass(frozen=True)
class LearnStanding:
    """What the accounts tell. Also the message that it comes in."""

    account: str
    standing: str
    revision: int


@dataclass(frozen=True)
class PlaceOrder:
    id: str
    account: str
    item: str
    quantity: int


@dataclass(frozen=True)
class Ledger:
    standing: str
    revision: int


ledger = registry.aggregate("ledger", Ledger, snapshot_every=200)


@ledger.on(StandingLearned)
def learned(state: Ledger | None, event: StandingLearned) -> Ledger:
    return Ledger(event.standing, event.revision)


@ledger.decide(LearnStanding)
def learn(state: Ledger | None, command: LearnStanding) -> StandingLearned | StandingCameLate:
    if state is not None and command.revision <= state.revision:
        return StandingCameLate(command.account, command.standing, command.revision)
    return StandingLearned(command.account, command.standing, command.revision)


@ledger.decide(PlaceOrder)
def place(state: Ledger | None, command: PlaceOrder) -> OrderAccepted | OrderRefused:
    if state is None:
        raise UnknownAccount
    item = checked_item(command.item)
    quantity = checked_quantity(command.quantity)
    if state.standing != ACTIVE:
        return OrderRefused(command.id, command.account, item, quantity, state.standing)
    return OrderAccepted(command.id, command.account, item, quantity)


# --8<-- [end:ledger]


def checked_item(item: str) -> str:
    """What is ordered, if it can be. Raises `InvalidOrder`."""
    if not item.strip():
        raise InvalidOrder("The item is empty: say what is ordered.")
    if len(item) > MAX_ITEM:
        raise InvalidOrder(f"The item is too long: {len(item):,} characters, at most {MAX_ITEM} are possible.")
    if any(unicodedata.category(character) in {"Cc", "Cs"} for character in item):
        raise InvalidOrder("The item contains characters that cannot be shown.")
    return item


def checked_quantity(quantity: int) -> int:
    """How many, if it can be. Raises `InvalidOrder`."""
    if not 1 <= quantity <= MAX_QUANTITY:
        raise InvalidOrder(f"The quantity is a whole number from 1 to {MAX_QUANTITY:,}.")
    return quantity


# -- The views --


@dataclass(frozen=True)
class Order:
    id: str
    account: str
    item: str
    quantity: int
    decision: Decision
    at: datetime
    standing: str = ACTIVE
    """Of the account, when it was decided."""


@dataclass(frozen=True)
class Standing:
    """What is known here of an account, and what was decided."""

    account: str
    standing: str
    revision: int
    at: datetime
    accepted: int = 0
    refused: int = 0
    late: int = 0


orders = registry.projection("orders", Order)
orders.index("account", "account")
orders.index("at", lambda order: order.at.timestamp())

standings = registry.projection("standings", Standing)
standings.index("at", lambda standing: standing.at.timestamp())


@orders.on_recorded(OrderAccepted, key="id")
def order_accepted(order: Order | None, recorded: Recorded[OrderAccepted]) -> Order:
    event = recorded.event
    return Order(event.id, event.account, event.item, event.quantity, "accepted", recorded.recorded_at)


@orders.on_recorded(OrderRefused, key="id")
def order_refused(order: Order | None, recorded: Recorded[OrderRefused]) -> Order:
    event = recorded.event
    return Order(event.id, event.account, event.item, event.quantity, "refused", recorded.recorded_at, event.standing)


@standings.on_recorded(StandingLearned, key="account")
def standing_learned(known: Standing | None, recorded: Recorded[StandingLearned]) -> Standing:
    event = recorded.event
    known = known or Standing(event.account, event.standing, event.revision, recorded.recorded_at)
    return replace(known, standing=event.standing, revision=event.revision, at=recorded.recorded_at)


@standings.on(StandingCameLate, key="account")
def standing_came_late(known: Standing | None, event: StandingCameLate) -> Standing | None:
    return known and replace(known, late=known.late + 1)


@standings.on(OrderAccepted, key="account")
def one_accepted(known: Standing | None, event: OrderAccepted) -> Standing | None:
    return known and replace(known, accepted=known.accepted + 1)


@standings.on(OrderRefused, key="account")
def one_refused(known: Standing | None, event: OrderRefused) -> Standing | None:
    return known and replace(known, refused=known.refused + 1)


# -- Names --

_ACCOUNT = re.compile(r"[0-9A-Za-z_-]{1,64}")


def new_id(key: str | None = None) -> str:
    """An order's id: under an idempotency key always the same one."""
    if key is None:
        return f"{time.time_ns():016x}{secrets.token_hex(4)}"
    return hashlib.blake2b(key.encode(), digest_size=12).hexdigest()


def stream_of(account: str) -> str:
    """The stream of all that concerns an account. Raises `UnknownAccount` for an id that none can have."""
    if not _ACCOUNT.fullmatch(account):
        raise UnknownAccount
    return f"account-{account}"
