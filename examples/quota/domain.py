"""What a quota is: its events, the view that counts, the commands, and the rules.

Everything here is pure: no storage, no web, no SQL, no waiting. A user has a plan, and with it so many calls a month.
Every call is an event, so that the count can always be made anew:

    user-registered   there is a user, on a plan
    plan-changed      from now on as many calls a month as the new plan has
    call-counted      the user called the API
    user-removed      there is none any more

A month begins with the first call that is counted in it: nothing has to happen at midnight.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import datetime

from eventsource_upstash import Recorded, Registry

PLANS = {"free": 100, "team": 10_000, "scale": 1_000_000}
"""Calls a month, by plan."""

registry = Registry()


# -- Events: the type name is what stands in the log --


@registry.event("user-registered")
@dataclass(frozen=True)
class UserRegistered:
    user: str
    plan: str


@registry.event("plan-changed")
@dataclass(frozen=True)
class PlanChanged:
    user: str
    plan: str


@registry.event("call-counted")
@dataclass(frozen=True)
class CallCounted:
    user: str
    endpoint: str
    month: str
    units: int = 1


@registry.event("user-removed")
@dataclass(frozen=True)
class UserRemoved:
    user: str


# -- The view: one document per user; this is what the API reads, and what the SQL table is a copy of --


# --8<-- [start:view]
@dataclass(frozen=True)
class Usage:
    user: str
    plan: str
    month: str = ""
    used: int = 0
    total: int = 0
    last_call: datetime | None = None

    @property
    def allowed(self) -> int:
        """Calls a month."""
        return PLANS[self.plan]

    @property
    def remaining(self) -> int:
        """Calls that are left this month."""
        return max(0, self.allowed - self.used)


usage = registry.projection("usage", Usage)


@usage.on(UserRegistered, key="user")
def registered(document: Usage | None, event: UserRegistered) -> Usage | None:
    return Usage(event.user, event.plan)


@usage.on(PlanChanged, key="user")
def plan_changed(document: Usage | None, event: PlanChanged) -> Usage | None:
    return document and replace(document, plan=event.plan)


@usage.on_recorded(CallCounted, key=lambda event: event.user)
def called(document: Usage | None, recorded: Recorded[CallCounted]) -> Usage | None:
    if document is None:
        return None
    event = recorded.event
    used = document.used if document.month == event.month else 0
    return replace(
        document,
        month=event.month,
        used=used + event.units,
        total=document.total + event.units,
        last_call=recorded.recorded_at,
    )


# --8<-- [end:view]


@usage.on(UserRemoved, key="user")
def removed(document: Usage | None, event: UserRemoved) -> Usage | None:
    return None


usage.index("used", "used")  # who calls most: the page's list


# -- Errors: each message is written for the caller of the API --


class Refusal(Exception):
    """A command that was refused. Nothing was appended."""


class UnknownUser(Refusal):
    def __init__(self) -> None:
        super().__init__("There is no such user.")


class UserExists(Refusal):
    def __init__(self) -> None:
        super().__init__("There is a user of that name already.")


class Invalid(Refusal):
    pass


class OverQuota(Refusal):
    """The month's calls are used up."""

    def __init__(self, account: Account, month: str) -> None:
        super().__init__(
            f"All {account.allowed:,} calls of {month} are used. The next month, or a larger plan, has more."
        )
        self.allowed = account.allowed


_USER = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_ENDPOINT = re.compile(r"/[!-~]{0,199}")


def checked_user(user: str) -> str:
    """A user's name, as it is stored. Raises `Invalid`."""
    if not _USER.fullmatch(user):
        raise Invalid("A user's name has 1 to 64 small letters, digits and . _ -, and starts with a letter or digit.")
    return user


def checked_plan(plan: str) -> str:
    """A plan that there is. Raises `Invalid`."""
    if plan not in PLANS:
        raise Invalid(f"There is no plan of that name. There are: {', '.join(PLANS)}.")
    return plan


def stream_of(user: str) -> str:
    """The stream of a user's events."""
    return f"user-{user}"


# -- Commands, and the aggregate that decides on them --


@dataclass(frozen=True)
class Register:
    user: str
    plan: str = "free"


@dataclass(frozen=True)
class ChangePlan:
    plan: str


@dataclass(frozen=True)
class Call:
    """Count a call. The month is the caller's clock's: it goes into the event, so that deciding stays pure."""

    endpoint: str
    month: str
    units: int = 1


@dataclass(frozen=True)
class Remove:
    pass


Command = Register | ChangePlan | Call | Remove


@dataclass(frozen=True)
class Account:
    """What deciding needs to know of a user: not the view, which may be a moment behind."""

    user: str
    plan: str
    month: str = ""
    used: int = 0

    @property
    def allowed(self) -> int:
        return PLANS[self.plan]

    def used_in(self, month: str) -> int:
        return self.used if self.month == month else 0


# The stream of a user grows with each call: a snapshot keeps it from being read from its beginning.
account = registry.aggregate("account", Account, snapshot_every=100)


@account.on(UserRegistered)
def was_registered(state: Account | None, event: UserRegistered) -> Account | None:
    return Account(event.user, event.plan)


@account.on(PlanChanged)
def was_changed(state: Account | None, event: PlanChanged) -> Account | None:
    return state and replace(state, plan=event.plan)


@account.on(CallCounted)
def was_called(state: Account | None, event: CallCounted) -> Account | None:
    return state and replace(state, month=event.month, used=state.used_in(event.month) + event.units)


@account.on(UserRemoved)
def was_removed(state: Account | None, event: UserRemoved) -> Account | None:
    return None


@account.decide(Register)
def register(state: Account | None, command: Register) -> UserRegistered:
    if state is not None:
        raise UserExists
    return UserRegistered(checked_user(command.user), checked_plan(command.plan))


@account.decide(ChangePlan)
def change_plan(state: Account | None, command: ChangePlan) -> PlanChanged | None:
    known = existing(state)
    plan = checked_plan(command.plan)
    return None if plan == known.plan else PlanChanged(known.user, plan)


# --8<-- [start:decide]
@account.decide(Call)
def call(state: Account | None, command: Call) -> CallCounted:
    known = existing(state)
    if not _ENDPOINT.fullmatch(command.endpoint):
        raise Invalid("An endpoint is a path of plain characters, as in /v1/search.")
    if not 1 <= command.units <= 1_000:
        raise Invalid("A call counts for 1 to 1,000 units.")
    if known.used_in(command.month) + command.units > known.allowed:
        raise OverQuota(known, command.month)
    return CallCounted(known.user, command.endpoint, command.month, command.units)


# --8<-- [end:decide]


@account.decide(Remove)
def remove(state: Account | None, command: Remove) -> UserRemoved:
    return UserRemoved(existing(state).user)


def existing(state: Account | None) -> Account:
    """The account, which has to be there. Raises `UnknownUser`."""
    if state is None:
        raise UnknownUser
    return state
