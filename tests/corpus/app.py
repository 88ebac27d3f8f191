"""An app that has been through several releases, as it is today. Its older classes are gone; what they wrote is not."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from datetime import date, datetime, timezone
from decimal import Decimal
from pathlib import Path
from typing import cast
from uuid import UUID

import attrs
import msgspec
import pydantic

from eventsource_upstash import Registry
from eventsource_upstash.testing import add_to_corpus

FOLDER = Path(__file__).parent

registry = Registry()


class Kind(enum.Enum):
    PRIVATE = "private"
    BUSINESS = "business"


@dataclass(frozen=True)
class Name:
    first: str
    last: str


@registry.upcast("account-opened", from_version=1)
def split_owner(data: dict[str, object]) -> dict[str, object]:
    first, _, last = cast("str", data["owner"]).partition(" ")
    return {"first": first, "last": last, "opened": data["opened"]}


@registry.upcast("account-opened", from_version=2)
def gather_name(data: dict[str, object]) -> dict[str, object]:
    name = {"first": data["first"], "last": data["last"]}
    return {"owner": name, "opened": data["opened"], "kind": "private"}


@registry.event("account-opened", version=3)
@dataclass(frozen=True)
class AccountOpened:
    owner: Name
    opened: datetime
    kind: Kind
    limits: dict[str, int] = field(default_factory=dict[str, int])


@registry.upcast("money-moved", from_version=1)
def exact_amount(data: dict[str, object]) -> dict[str, object]:
    return {**data, "amount": str(data["amount"])}


@registry.event("money-moved", version=2, formerly=("transfer-made",))
class MoneyMoved(msgspec.Struct, frozen=True):
    amount: Decimal
    to: str
    note: str | None = None  # since the third release


@registry.event("card-issued")
@attrs.frozen
class CardIssued:
    id: UUID
    valid_until: date
    digest: bytes


@registry.upcast("note-left", from_version=1)
def tag_labels(data: dict[str, object]) -> dict[str, object]:
    return {"text": data["text"], "tags": data["labels"]}


@registry.event("note-left", version=2)
class NoteLeft(pydantic.BaseModel):
    text: str
    tags: tuple[str, ...]


registry.ignore("legacy/imported")  # retired: imported once, in the first release


@dataclass(frozen=True)
class Account:
    owner: Name
    balance: Decimal = Decimal(0)
    cards: tuple[UUID, ...] = ()


accounts = registry.projection("accounts", Account, version=2)


def add() -> None:
    """Add samples of the versions that have none."""
    add_to_corpus(
        registry,
        FOLDER,
        AccountOpened(Name("Alan", "Turing"), datetime(2023, 3, 1, tzinfo=timezone.utc), Kind.BUSINESS, {"day": 500}),
        MoneyMoved(Decimal("0.10"), "account-1", "coffee"),
        CardIssued(UUID(int=1), date(2031, 1, 31), b"\1"),
        NoteLeft(text="called back", tags=("phone",)),
        documents={accounts: [Account(Name("Alan", "Turing"), Decimal("-0.10"), (UUID(int=1),))]},
    )
