"""What the library promises to those who decide: on a revision, on a state, and once under a key."""

# ruff: noqa: D102  a test's name is its documentation

from __future__ import annotations

from ...errors import ConcurrencyError, IdempotencyKeyReused, OutcomeUnknown
from .kit import Contract, Lab, in_colour
from .promises import CALLERS, Failing, raised
from .subject import Account, Overdrawn, Paid, Subject, Withdraw, Withdrawn


class NothingIsAppendedTwice(Contract):
    """Under an idempotency key an append takes effect once. For a log that can `lasting_keys`."""

    @in_colour
    async def test_nothing_is_appended_twice_under_one_key(self, lab: Lab) -> None:
        failing = Failing(lab.backend, after=("log.append",))
        face = lab.face(Subject().registry, backend=failing)
        error = await raised(face.append("account-1", Paid(1), Paid(2), idempotency_key="pay-1"))
        assert isinstance(error, OutcomeUnknown)
        for _ in range(2):
            again = await face.append("account-1", Paid(1), Paid(2), idempotency_key="pay-1")
            assert (again.revision, again.repeated) == (2, True)
        assert len(await face.read()) == 2
        other = await raised(face.append("account-1", Paid(3), idempotency_key="pay-1"))
        assert isinstance(other, IdempotencyKeyReused)
        other = await raised(face.append("account-2", Paid(1), Paid(2), idempotency_key="pay-1"))
        assert isinstance(other, IdempotencyKeyReused)
        assert len(await face.read()) == 2


class NothingIsDecidedTwice(Contract):
    """Nothing is appended on a state that is no longer. For a log that can `expected_revisions` and `streams`."""

    @in_colour
    async def test_nothing_is_appended_past_a_revision_that_was_not_expected(self, lab: Lab) -> None:
        face = lab.face(Subject().registry)
        await face.append("account-1", Paid(1), expected_revision=0)
        await face.append("account-1", Paid(2), Withdrawn(1), expected_revision=1)
        error = await raised(face.append("account-1", Paid(3), expected_revision=1))
        assert isinstance(error, ConcurrencyError)
        assert (error.stream, error.expected, error.actual, error.complete) == ("account-1", 1, 3, True)
        assert [each.event for each in error.events] == [Paid(2), Withdrawn(1)]
        assert len(await face.read()) == 3

    @in_colour
    async def test_nothing_is_decided_twice_on_one_state(self, lab: Lab) -> None:
        subject = Subject()
        await lab.face(subject.registry).append("account-1", Paid(10))

        async def customer() -> int:
            face = lab.face(subject.registry, backend=lab.another())
            took = 0
            for _ in range(6):
                try:
                    await face.execute(subject.account, "account-1", Withdraw(1))
                    took += 1
                except (ConcurrencyError, Overdrawn):
                    pass
                await lab.colour.breathe()
            return took

        took = await lab.colour.together([customer] * CALLERS)
        loaded = await lab.face(subject.registry).load(subject.account, "account-1")
        assert 1 <= sum(took) <= 10
        assert loaded.state == Account(10 - sum(took))
        assert loaded.revision == 1 + sum(took)

    @in_colour
    async def test_loading_and_executing_have_a_price(self, lab: Lab) -> None:
        subject = Subject()
        face = lab.face(subject.registry)
        await face.append("account-1", *[Paid(1)] * 51)
        self.check_receipt("load", (await face.load(subject.account, "account-1")).receipt)
        self.check_receipt("execute", (await face.execute(subject.account, "account-1", Withdraw(1))).receipt)
