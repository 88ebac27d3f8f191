"""What older releases of an app wrote is read by the library of today."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from uuid import UUID

from eventsource_upstash.testing import check_corpus
from tests.corpus.app import (
    FOLDER,
    Account,
    AccountOpened,
    CardIssued,
    Kind,
    MoneyMoved,
    Name,
    NoteLeft,
    registry,
)

INDIA = timezone(timedelta(hours=5, minutes=30))

EXPECTED: dict[str, tuple[object, ...]] = {
    "projections/accounts.v1.json": (),
    "projections/accounts.v2.json": (Account(Name("Alan", "Turing"), Decimal("-0.10"), (UUID(int=1),)),),
    "events/account-opened.v1.json": (
        AccountOpened(
            Name("Ada", "Lovelace"), datetime(2019, 2, 28, 23, 59, 59, 123456, tzinfo=timezone.utc), Kind.PRIVATE
        ),
        AccountOpened(Name("Ἀριστοτέλης", ""), datetime(2020, 2, 29, 12, tzinfo=INDIA), Kind.PRIVATE),
    ),
    "events/account-opened.v2.json": (
        AccountOpened(Name("Grace", "Hopper"), datetime(2021, 6, 1, tzinfo=timezone.utc), Kind.PRIVATE),
    ),
    "events/account-opened.v3.json": (
        AccountOpened(Name("Alan", "Turing"), datetime(2023, 3, 1, tzinfo=timezone.utc), Kind.BUSINESS, {"day": 500}),
    ),
    "events/card-issued.v1.json": (
        CardIssued(UUID("12345678-1234-5678-1234-567812345678"), date(2030, 12, 31), b"\x00\xff\x10"),
    ),
    "events/legacy%2Fimported.v1.json": (),
    "events/money-moved.v2.json": (MoneyMoved(Decimal("99999999999999999999.01"), "account-4"),),
    "events/note-left.v1.json": (
        NoteLeft(text='"quoted", \\ and\nbroken 👩‍🚀', tags=()),
        NoteLeft(text="", tags=("a", "b")),
    ),
    "events/note-left.v2.json": (NoteLeft(text="called back", tags=("phone",)),),
    "events/transfer-made.v1.json": (
        MoneyMoved(Decimal("12.5"), "account-2"),
        MoneyMoved(Decimal("1E-7"), "account-3"),
    ),
}


def test_every_version_that_was_ever_written_is_read_as_the_class_of_today() -> None:
    assert check_corpus(registry, FOLDER) == EXPECTED
