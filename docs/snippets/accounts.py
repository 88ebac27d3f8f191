"""The rules of the accounts example, as scenarios."""

from eventsource_upstash.testing import given
from examples.accounts.domain import (
    AccountActivated,
    AccountOpened,
    AccountSuspended,
    ActivateAccount,
    SuspendAccount,
    account,
)
from examples.accounts.orders.domain import (
    LearnStanding,
    OrderAccepted,
    OrderRefused,
    PlaceOrder,
    StandingCameLate,
    StandingLearned,
    ledger,
)


# --8<-- [start:rules]
def test_an_account_that_does_not_pay() -> None:
    (
        given(account, AccountOpened("7", "Tea & Co"), AccountActivated("7"))
        .when(SuspendAccount("7", "Does not pay"))
        .then(AccountSuspended("7", "Does not pay"))
        .when(SuspendAccount("7", "Once more"))
        .then_nothing()
        .when(ActivateAccount("7", "Has paid"))
        .then(AccountActivated("7", "Has paid"))
    )


# --8<-- [end:rules]


# --8<-- [start:orders]
def test_no_order_of_a_suspended_account() -> None:
    (
        given(ledger, StandingLearned("7", "active", 2))
        .when(PlaceOrder("1", "7", "Tea", 2))
        .then(OrderAccepted("1", "7", "Tea", 2))
        .when(LearnStanding("7", "suspended", 3))
        .then(StandingLearned("7", "suspended", 3))
        .when(PlaceOrder("2", "7", "Tea", 2))
        .then(OrderRefused("2", "7", "Tea", 2, "suspended"))
        .when(LearnStanding("7", "active", 2))  # late: revision 3 is known already
        .then(StandingCameLate("7", "active", 2))
    )


# --8<-- [end:orders]
