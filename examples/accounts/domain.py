"""What an account is: its events, the rules, and the view. The three functions share this package, and nothing else.

Everything here is pure: no storage, no web, no waiting.

    opened --activate--> active <--activate-- suspended
                           |--suspend------------^
    opened, suspended --archive--> archived, for good
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

MAX_TEXT = 200
"""Longest name, and longest reason, in characters."""

MAX_CHANGES = 50
"""So many changes are shown with an account; the log has all of them."""

registry = Registry()

Status = Literal["opened", "active", "suspended", "archived"]


# --8<-- [start:events]
@registry.event("account-opened")
@dataclass(frozen=True)
class AccountOpened:
    id: str
    name: str


@registry.event("account-activated")
@dataclass(frozen=True)
class AccountActivated:
    id: str
    reason: str = ""


@registry.event("account-suspended")
@dataclass(frozen=True)
class AccountSuspended:
    id: str
    reason: str


@registry.event("account-archived")
@dataclass(frozen=True)
class AccountArchived:
    id: str
    reason: str = ""


# --8<-- [end:events]


# -- Errors: each message is written for the person who asked --


class AccountError(Exception):
    """A command that was refused. Nothing was appended."""


class UnknownAccount(AccountError):
    def __init__(self) -> None:
        super().__init__("There is no such account.")


class NotAllowed(AccountError):
    """The account is not in a state in which that can be done."""


class Outdated(AccountError):
    def __init__(self, expected: int, actual: int) -> None:
        super().__init__(f"The account has changed: it is at revision {actual}, not {expected}.")


class InvalidText(AccountError):
    pass


def checked(what: str, text: str, *, needed: bool = True) -> str:
    """The text as it came, if it can stand there. Raises `InvalidText`."""
    if len(text) > MAX_TEXT:
        raise InvalidText(f"The {what} is too long: {len(text):,} characters, at most {MAX_TEXT} are possible.")
    if any(unicodedata.category(character) in {"Cc", "Cs"} for character in text):
        raise InvalidText(f"The {what} contains characters that cannot be shown.")
    if needed and not text.strip():
        raise InvalidText(f"The {what} is empty.")
    return text


# -- Commands --


@dataclass(frozen=True)
class OpenAccount:
    id: str
    name: str


# --8<-- [start:commands]
@dataclass(frozen=True)
class ActivateAccount:
    id: str
    reason: str = ""
    expected: int | None = None
    """The revision that the account has to be at; None for any."""


@dataclass(frozen=True)
class SuspendAccount:
    id: str
    reason: str
    expected: int | None = None


@dataclass(frozen=True)
class ArchiveAccount:
    id: str
    reason: str = ""
    expected: int | None = None


# --8<-- [end:commands]

AccountCommand = OpenAccount | ActivateAccount | SuspendAccount | ArchiveAccount


# -- The aggregate that decides on them --


# --8<-- [start:state]
@dataclass(frozen=True)
class Known:
    """What decisions need of an account."""

    name: str
    status: Status
    revision: int = 1


account = registry.aggregate("account", Known)


@account.on(AccountOpened)
def was_opened(state: Known | None, event: AccountOpened) -> Known | None:
    return Known(event.name, "opened")


@account.on(AccountActivated)
def was_activated(state: Known | None, event: AccountActivated) -> Known | None:
    return state and replace(state, status="active", revision=state.revision + 1)


@account.on(AccountSuspended)
def was_suspended(state: Known | None, event: AccountSuspended) -> Known | None:
    return state and replace(state, status="suspended", revision=state.revision + 1)


@account.on(AccountArchived)
def was_archived(state: Known | None, event: AccountArchived) -> Known | None:
    return state and replace(state, status="archived", revision=state.revision + 1)


# --8<-- [end:state]


# --8<-- [start:decide]
@account.decide(OpenAccount)
def open_account(state: Known | None, command: OpenAccount) -> AccountOpened:
    if state is not None:
        raise NotAllowed("There is an account under this id already.")
    return AccountOpened(command.id, checked("name", command.name))


@account.decide(ActivateAccount)
def activate(state: Known | None, command: ActivateAccount) -> AccountActivated | None:
    known = expected(state, command)
    reason = checked("reason", command.reason, needed=False)
    if known.status == "archived":
        raise NotAllowed("The account is archived, for good.")
    if known.status == "active":
        return None  # nothing changes, so nothing happened
    return AccountActivated(command.id, reason)


@account.decide(SuspendAccount)
def suspend(state: Known | None, command: SuspendAccount) -> AccountSuspended | None:
    known = expected(state, command)
    reason = checked("reason", command.reason)
    if known.status == "archived":
        raise NotAllowed("The account is archived, for good.")
    if known.status == "opened":
        raise NotAllowed("The account is not active yet, so there is nothing to suspend.")
    if known.status == "suspended":
        return None
    return AccountSuspended(command.id, reason)


@account.decide(ArchiveAccount)
def archive(state: Known | None, command: ArchiveAccount) -> AccountArchived | None:
    known = expected(state, command)
    reason = checked("reason", command.reason, needed=False)
    if known.status == "active":
        raise NotAllowed("The account is active: suspend it first, so that no order is under way.")
    if known.status == "archived":
        return None
    return AccountArchived(command.id, reason)


def expected(state: Known | None, command: ActivateAccount | SuspendAccount | ArchiveAccount) -> Known:
    """What is known of the account, if it is there and where the caller believes it to be."""
    if state is None:
        raise UnknownAccount
    if command.expected is not None and command.expected != state.revision:
        raise Outdated(command.expected, state.revision)
    return state


# --8<-- [end:decide]


# -- The view: one document per account; this is what the query side reads --


# --8<-- [start:view]
@dataclass(frozen=True)
class Change:
    status: Status
    revision: int
    at: datetime
    reason: str = ""


@dataclass(frozen=True)
class Account:
    id: str
    name: str
    status: Status
    revision: int
    opened: datetime
    changes: tuple[Change, ...]
    """The latest first."""


accounts = registry.projection("accounts", Account)
accounts.index("status", "status")
accounts.index("opened", lambda account: account.opened.timestamp())


@accounts.on_recorded(AccountOpened, key="id")
def opened(account: Account | None, recorded: Recorded[AccountOpened]) -> Account:
    event = recorded.event
    change = Change("opened", recorded.revision, recorded.recorded_at)
    return Account(event.id, event.name, "opened", recorded.revision, recorded.recorded_at, (change,))


@accounts.on_recorded(AccountActivated, key="id")
def activated(account: Account | None, recorded: Recorded[AccountActivated]) -> Account | None:
    return changed(account, "active", recorded)


@accounts.on_recorded(AccountSuspended, key="id")
def suspended(account: Account | None, recorded: Recorded[AccountSuspended]) -> Account | None:
    return changed(account, "suspended", recorded)


@accounts.on_recorded(AccountArchived, key="id")
def archived(account: Account | None, recorded: Recorded[AccountArchived]) -> Account | None:
    return changed(account, "archived", recorded)


def changed(
    account: Account | None,
    status: Status,
    recorded: Recorded[AccountActivated] | Recorded[AccountSuspended] | Recorded[AccountArchived],
) -> Account | None:
    change = Change(status, recorded.revision, recorded.recorded_at, recorded.event.reason)
    return account and replace(
        account, status=status, revision=recorded.revision, changes=(change, *account.changes)[:MAX_CHANGES]
    )


# --8<-- [end:view]


# -- Names --

_ID = re.compile(r"[0-9a-f]{24}")


def new_id(key: str | None = None) -> str:
    """An id that sorts by the time of opening; under an idempotency key always the same one."""
    if key is None:
        return f"{time.time_ns():016x}{secrets.token_hex(4)}"
    return key if _ID.fullmatch(key) else hashlib.blake2b(key.encode(), digest_size=12).hexdigest()


def stream_of(command: AccountCommand) -> str:
    """The stream of the account that a command is about. Raises `UnknownAccount` for an id that none can have."""
    if not _ID.fullmatch(command.id):
        raise UnknownAccount
    return f"account-{command.id}"
