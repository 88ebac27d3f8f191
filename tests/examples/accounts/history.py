"""What has to hold of the two logs, whatever has happened: looked for, and told in words where it does not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from eventsource_upstash import Recorded
from examples.accounts.domain import AccountActivated, AccountArchived, AccountOpened, AccountSuspended
from examples.accounts.orders.domain import OrderAccepted, OrderRefused, StandingCameLate, StandingLearned

STATUS = {
    AccountOpened: "opened",
    AccountActivated: "active",
    AccountSuspended: "suspended",
    AccountArchived: "archived",
}


@dataclass(frozen=True)
class Changed:
    """A command that was answered: the account is in that status, at that revision."""

    account: str
    status: str
    revision: int


@dataclass(frozen=True)
class Decided:
    """An order that was answered."""

    id: str
    account: str
    decision: str


Answered = Changed | Decided


def recorded(*events: object, stream: str = "account-a") -> list[Recorded[object]]:
    """A log of one stream."""
    return [Recorded(number, stream, number, "", 1, event) for number, event in enumerate(events, 1)]


def violations(
    accounts: Iterable[Recorded[object]], orders: Sequence[Recorded[object]], answers: Iterable[Answered]
) -> list[str]:
    """What the histories break of the promise. Nothing where it was kept."""
    changes = {(each.stream.removeprefix("account-"), each.revision): STATUS[type(each.event)] for each in accounts}
    told = [*_of_orders(orders), *_of_arrivals(changes, orders)]
    decisions = {
        each.event.id: (each.event.account, "accepted" if isinstance(each.event, OrderAccepted) else "refused")
        for each in orders
        if isinstance(each.event, (OrderAccepted, OrderRefused))
    }
    for answer in answers:
        if isinstance(answer, Changed) and changes.get((answer.account, answer.revision)) != answer.status:
            told.append(f"{answer} was answered, and is not in the log")
        if isinstance(answer, Decided) and decisions.get(answer.id) != (answer.account, answer.decision):
            told.append(f"{answer} was answered, and is not in the log")
    return told


def _of_orders(orders: Sequence[Recorded[object]]) -> Iterable[str]:
    standing: dict[str, tuple[str, int]] = {}
    decided: Counter[str] = Counter()
    for recorded in orders:
        match recorded.event:
            case StandingLearned(account, learned, revision):
                if revision <= standing.get(account, ("", 0))[1]:
                    yield f"{recorded.event} came after a later one"
                standing[account] = learned, revision
            case OrderAccepted(id, account):
                decided[id] += 1
                if standing[account][0] != "active":
                    yield f"order {id} was accepted of an account that was {standing[account]}"
            case OrderRefused(id, account):
                decided[id] += 1
                if standing[account][0] == "active":
                    yield f"order {id} was refused of an account that was active"
            case _:
                pass
    yield from (f"order {order} was decided {times} times" for order, times in decided.items() if times > 1)


def _of_arrivals(changes: dict[tuple[str, int], str], orders: Sequence[Recorded[object]]) -> Iterable[str]:
    arrived: Counter[tuple[str, int, str]] = Counter(
        (event.account, event.revision, event.standing)
        for event in (each.event for each in orders)
        if isinstance(event, (StandingLearned, StandingCameLate))
    )
    expected = {(account, revision, status) for (account, revision), status in changes.items()}
    yield from (f"{change} never arrived" for change in expected - arrived.keys())
    yield from (f"{change} arrived and never was" for change in arrived.keys() - expected)
    yield from (f"{change} was recorded {times} times" for change, times in arrived.items() if times > 1)
