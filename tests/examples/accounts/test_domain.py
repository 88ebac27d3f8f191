"""The rules of accounts and of orders: which events a command leads to, given what happened before."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from eventsource_upstash import Projection, connect
from eventsource_upstash.testing import given, in_stream
from examples.accounts.domain import (
    MAX_CHANGES,
    MAX_TEXT,
    Account,
    AccountActivated,
    AccountArchived,
    AccountOpened,
    AccountSuspended,
    ActivateAccount,
    ArchiveAccount,
    Change,
    InvalidText,
    Known,
    NotAllowed,
    OpenAccount,
    Outdated,
    SuspendAccount,
    UnknownAccount,
    account,
    accounts,
    new_id,
    registry,
    stream_of,
)
from examples.accounts.orders import domain as orders
from examples.accounts.orders.domain import (
    InvalidOrder,
    LearnStanding,
    Ledger,
    Order,
    OrderAccepted,
    OrderRefused,
    PlaceOrder,
    Standing,
    StandingCameLate,
    StandingLearned,
    ledger,
    standings,
)

ID = "0" * 24
OPENED = AccountOpened(ID, "Tea & Co")
ACTIVATED = AccountActivated(ID)
SUSPENDED = AccountSuspended(ID, "Does not pay")
ARCHIVED = AccountArchived(ID, "Moved away")

ACTIVATE, SUSPEND, ARCHIVE = ActivateAccount(ID), SuspendAccount(ID, "Does not pay"), ArchiveAccount(ID, "Moved away")

HISTORIES: dict[str, list[object]] = {
    "opened": [OPENED],
    "active": [OPENED, ACTIVATED],
    "suspended": [OPENED, ACTIVATED, SUSPENDED],
    "archived": [OPENED, ARCHIVED],
}


@pytest.mark.parametrize(
    ("status", "command", "then"),
    [
        ("opened", ACTIVATE, ACTIVATED),
        ("opened", SUSPEND, "not active yet"),
        ("opened", ARCHIVE, ARCHIVED),
        ("active", ACTIVATE, None),
        ("active", SUSPEND, SUSPENDED),
        ("active", ARCHIVE, "suspend it first"),
        ("suspended", ACTIVATE, ACTIVATED),
        ("suspended", SUSPEND, None),
        ("suspended", ARCHIVE, ARCHIVED),
        ("archived", ACTIVATE, "for good"),
        ("archived", SUSPEND, "for good"),
        ("archived", ARCHIVE, None),
        *[(status, OpenAccount(ID, "Other"), "already") for status in HISTORIES],
    ],
)
def test_each_command_in_each_state(status: str, command: object, then: object) -> None:
    decision = given(account, *HISTORIES[status]).when(command)
    if then is None:
        decision.then_nothing()
    elif isinstance(then, str):
        decision.then_raises(NotAllowed, match=then)
    else:
        decision.then(then)


def test_an_account_is_opened() -> None:
    given(account).when(OpenAccount(ID, "Tea & Co")).then(OPENED).then_state(Known("Tea & Co", "opened", 1))
    for command in (ACTIVATE, SUSPEND, ARCHIVE):
        given(account).when(command).then_raises(UnknownAccount)
    for name in ("", " ", "x" * (MAX_TEXT + 1), "a\nb", "\ud800"):
        given(account).when(OpenAccount(ID, name)).then_raises(InvalidText)
    for reason in ("", "x" * (MAX_TEXT + 1), "\0"):
        given(account, OPENED, ACTIVATED).when(SuspendAccount(ID, reason)).then_raises(InvalidText)


@pytest.mark.parametrize("command", [ActivateAccount, SuspendAccount, ArchiveAccount])
def test_who_expects_another_revision_decides_anew(command: type[ActivateAccount]) -> None:
    given(account, OPENED, ACTIVATED, SUSPENDED).when(command(ID, "Why", expected=2)).then_raises(
        Outdated, match="at revision 3, not 2"
    )
    given(account, OPENED, ACTIVATED).when(SuspendAccount(ID, "Does not pay", expected=2)).then(SUSPENDED)


def at(second: int) -> datetime:
    """When the event was recorded, in a scenario."""
    return datetime(2024, 1, 1, 0, 0, second, tzinfo=timezone.utc)


def test_the_view_tells_the_history() -> None:
    changes = (Change("suspended", 3, at(3), "Does not pay"), Change("active", 2, at(2)), Change("opened", 1, at(1)))
    shown = Account(ID, "Tea & Co", "suspended", 3, at(1), changes)
    given(accounts, in_stream("account-1", *HISTORIES["suspended"])).then_documents({ID: shown})
    back_and_forth = [event for _ in range(MAX_CHANGES) for event in (ACTIVATED, SUSPENDED)]
    revision = 1 + len(back_and_forth)
    (found,) = documents(accounts, OPENED, *back_and_forth, ARCHIVED)
    assert (found.status, found.revision, found.opened) == ("archived", revision + 1, at(1))
    assert [change.revision for change in found.changes] == list(range(revision + 1, revision + 1 - MAX_CHANGES, -1))


def documents(projection: Projection[Account], *events: object) -> list[Account]:
    with connect("memory:", registry, clock=Clock()) as app:
        app.event_store.append("account-1", *events)
        app.projector.catch_up()
        return [document for _, document in app.projection_store.view(projection).items()]


class Clock:
    """A second after the beginning."""

    def __call__(self) -> int:
        return int(at(1).timestamp()) * 1_000_000_000


def test_ids_and_streams() -> None:
    assert len({new_id() for _ in range(100)}) == 100
    assert new_id("a key") == new_id("a key") != new_id("another")
    assert new_id(ID) == ID
    assert stream_of(ACTIVATE) == f"account-{ID}"
    for other in ("", "7", ID.upper().replace("0", "G"), ID + "\n"):
        with pytest.raises(UnknownAccount):
            stream_of(ActivateAccount(other))


# -- The order service --

KNOWN = StandingLearned("a", "active", 2)
GONE = StandingLearned("a", "suspended", 3)


def test_no_order_of_a_suspended_account() -> None:
    (
        given(ledger, KNOWN)
        .when(PlaceOrder("1", "a", "Tea", 2))
        .then(OrderAccepted("1", "a", "Tea", 2))
        .when(LearnStanding("a", "suspended", 3))
        .then(GONE)
        .when(PlaceOrder("2", "a", "Tea", 2))
        .then(OrderRefused("2", "a", "Tea", 2, "suspended"))
    )


def test_what_comes_late_changes_nothing() -> None:
    (
        given(ledger, GONE)
        .when(LearnStanding("a", "active", 2))
        .then(StandingCameLate("a", "active", 2))
        .when(PlaceOrder("1", "a", "Tea", 2))
        .then(OrderRefused("1", "a", "Tea", 2, "suspended"))
    )


@pytest.mark.parametrize("standing", ["opened", "suspended", "archived", "of a later release"])
def test_orders_are_accepted_of_active_accounts_only(standing: str) -> None:
    given(ledger, KNOWN, StandingLearned("a", standing, 3)).when(PlaceOrder("1", "a", "Tea", 1)).then(
        OrderRefused("1", "a", "Tea", 1, standing)
    )


def test_an_order_that_is_none() -> None:
    given(ledger).when(PlaceOrder("1", "a", "Tea", 1)).then_raises(orders.UnknownAccount)
    given(ledger).then_state(None).when(LearnStanding("a", "opened", 1)).then_state(Ledger("opened", 1))
    for item, quantity in (("", 1), ("x" * 101, 1), ("\0", 1), ("Tea", 0), ("Tea", 1_001)):
        given(ledger, KNOWN).when(PlaceOrder("1", "a", item, quantity)).then_raises(InvalidOrder)


def test_the_views_of_the_order_service() -> None:
    accepted, refused = OrderAccepted("1", "a", "Tea", 2), OrderRefused("2", "a", "Tea", 3, "suspended")
    events = in_stream("account-a", KNOWN, accepted, GONE, refused, StandingCameLate("a", "opened", 1))
    given(standings, events).then_documents({"a": Standing("a", "suspended", 3, at(3), 1, 1, 1)})
    given(orders.orders, events).then_documents(
        {
            "1": Order("1", "a", "Tea", 2, "accepted", at(2)),
            "2": Order("2", "a", "Tea", 3, "refused", at(4), "suspended"),
        }
    )
    assert orders.new_id("a key") == orders.new_id("a key") != orders.new_id()
    for other in ("", "a b", "x" * 65, "a/b"):
        with pytest.raises(orders.UnknownAccount):
            orders.stream_of(other)
