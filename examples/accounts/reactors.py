"""What other bounded contexts are told of accounts. Only the event processor carries it out.

The order service is told each change of standing, with the account's revision: messages may be late, doubled, or pass
each other on their way, and whoever receives them has to see that.
"""

from __future__ import annotations

from eventsource_upstash import Recorded, Send

from . import settings
from .domain import AccountActivated, AccountArchived, AccountOpened, AccountSuspended, Status, registry

# --8<-- [start:reactor]
orders_context = registry.reactor("orders-context")


@orders_context.on_recorded(AccountOpened, key="id")
def tell_opened(recorded: Recorded[AccountOpened]) -> Send:
    return standing(recorded.event.id, "opened", recorded.revision)


@orders_context.on_recorded(AccountActivated, key="id")
def tell_activated(recorded: Recorded[AccountActivated]) -> Send:
    return standing(recorded.event.id, "active", recorded.revision)


@orders_context.on_recorded(AccountSuspended, key="id")
def tell_suspended(recorded: Recorded[AccountSuspended]) -> Send:
    return standing(recorded.event.id, "suspended", recorded.revision)


@orders_context.on_recorded(AccountArchived, key="id")
def tell_archived(recorded: Recorded[AccountArchived]) -> Send:
    return standing(recorded.event.id, "archived", recorded.revision)


def standing(account: str, standing: Status, revision: int) -> Send:
    body = {"account": account, "standing": standing, "revision": revision}
    return Send(f"{settings.orders_url()}/jobs/standings", body)


# --8<-- [end:reactor]
