"""The three promises, made by the library on top of a backend, each held by tests that carry its name."""

# ruff: noqa: D102  a test's name is its documentation

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

from ...backends.memory import InProcess
from ...domain.events import Appended
from ...domain.projections import Projection
from ...errors import (
    EventSourceError,
    LogRewound,
    OutcomeUnknown,
    ProjectionStopped,
    TooLarge,
    Unavailable,
)
from ...ports import Backend, Commit, Committed, Pull, Views
from ..colours import Face, Work
from ..wrapping import BackendWrapper, ViewsWrapper
from .kit import Contract, Lab, in_colour
from .subject import Balance, Paid, Renamed, Subject, Withdrawn

T = TypeVar("T")

CALLERS = 3
EVENTS = 20


class Failing(BackendWrapper):
    """A backend of which chosen calls fail once each, before they are done or after.

    Args:
        inner: The backend.
        after: Calls that are done, and whose answer is then lost.
        before: Calls that are refused.
    """

    def __init__(self, inner: Backend, *, after: tuple[str, ...] = (), before: tuple[str, ...] = ()) -> None:
        super().__init__(inner)
        self._after = list(after)
        self._before = list(before)

    async def around(self, call: str, step: Callable[[], Awaitable[T]]) -> T:
        """Do a call, or fail it."""
        if call in self._before:
            self._before.remove(call)
            raise Unavailable(f"{call} was refused on purpose")
        answer = await step()
        if call in self._after:
            self._after.remove(call)
            raise OutcomeUnknown(f"the answer of {call} was lost on purpose")
        return answer


class Narrow(BackendWrapper):
    """A backend whose commits are too large when they hold more than so many documents, or a certain one.

    Attributes:
        most: How many documents one step can take.
        never: The key of a document that no step can take.
    """

    def __init__(self, inner: Backend, most: int, never: str = "") -> None:
        super().__init__(inner)
        self.most = most
        self.never = never

    def wrap_views(self, views: Views) -> Views:
        return NarrowViews(views, self)


class NarrowViews(ViewsWrapper):
    """The views of `Narrow`."""

    def __init__(self, inner: Views, of: Narrow) -> None:
        super().__init__(inner)
        self._of = of

    async def commit(self, commits: Sequence[Commit], then: Pull | None) -> Committed:
        keys = [key for commit in commits for key in commit.documents]
        if len(keys) > self._of.most or self._of.never in keys:
            raise TooLarge(what="a commit", size=len(keys), limit=self._of.most)
        return await self.inner.commit(commits, then)


async def pay(face: Face, count: int, *, streams: int = 3) -> list[Appended]:
    """Append so many payments, one by one, to several streams in turn."""
    return [await face.append(f"account-{index % streams}", Paid(index + 1)) for index in range(count)]


async def check_views(face: Face, subject: Subject) -> None:
    """Each view is what the log makes of it, event for event and in its order, as far as the view has come."""
    status = {each.name: each.checkpoint for each in await face.status()}
    log = [each for each in await face.read() if isinstance(each.event, (Paid, Withdrawn))]

    def made_of(projection: Projection[Balance], key: str) -> Balance:
        mine = [each for each in log if each.position <= status[projection.name] and key in {each.stream, "all"}]
        return Balance(sum(_amount(each.event) for each in mine), tuple(each.position for each in mine))

    expected = {stream: made_of(subject.balances, stream) for stream in {each.stream for each in log}}
    assert dict(await face.items(subject.balances)) == {
        key: balance for key, balance in expected.items() if balance.folded
    }
    ledger = made_of(subject.ledger, "all")
    assert dict(await face.items(subject.ledger)) == ({"all": ledger} if ledger.folded else {})


def _amount(event: object) -> int:
    return event.amount if isinstance(event, Paid) else -event.amount if isinstance(event, Withdrawn) else 0


class NothingIsLost(Contract):
    """An event whose append returned is in the log, and every projection reaches it."""

    @in_colour
    async def test_nothing_is_lost_of_what_an_append_returned_for(self, lab: Lab) -> None:
        face = lab.face(Subject().registry)
        answers = await pay(face, EVENTS)
        events = (Paid(1), Withdrawn(2), Paid(3))
        several = await lab.send(face, "account-9", *events, metadata={"by": "me"}, tags=["t"])
        lab.reopen()
        face = lab.face(Subject().registry)
        recorded = await face.read()
        assert [each.event for each in recorded[:EVENTS]] == [Paid(index + 1) for index in range(EVENTS)]
        assert [each.position for each in recorded[:EVENTS]] == [answer.position for answer in answers]
        last = recorded[EVENTS:]
        assert [each.event for each in last] == list(events)
        assert (last[-1].position, last[-1].revision) == (several.position, several.revision)
        assert all((each.metadata, each.tags) == ({"by": "me"}, ("t",)) for each in last)
        assert len({each.id for each in recorded}) == len(recorded)

    @in_colour
    async def test_nothing_is_lost_when_no_notification_arrives(self, lab: Lab) -> None:
        subject = Subject()
        face = lab.face(subject.registry, transport=None)
        last = (await pay(face, EVENTS))[-1]
        caught = await face.catch_up()
        assert (caught.position, caught.complete) == (caught.head, True)
        assert caught.head == await face.head() >= last.position
        assert caught.applied == 2 * EVENTS
        assert all(each.state == "current" for each in await face.status())
        await check_views(face, subject)

    @in_colour
    async def test_nothing_is_lost_when_the_process_ends_before_the_fold(self, lab: Lab) -> None:
        subject = Subject()
        await pay(lab.face(subject.registry), EVENTS)
        lab.reopen()
        face = lab.face(subject.registry)
        assert (await face.catch_up()).complete
        await check_views(face, subject)

    @in_colour
    async def test_nothing_is_lost_when_the_process_ends_between_pages(self, lab: Lab) -> None:
        subject = Subject()
        await pay(lab.face(subject.registry), EVENTS)
        for _ in range(EVENTS * 2):
            face = lab.face(subject.registry)
            caught = await face.catch_up(time_budget=0, page_size=7)
            await check_views(face, subject)
            lab.reopen()
            if caught.complete:
                break
        else:
            raise AssertionError("catching up page by page never gets to the head")

    @in_colour
    async def test_nothing_is_lost_when_a_step_of_the_catch_up_fails(self, lab: Lab) -> None:
        for fault in ("before", "after"):
            for call in ("views.pull", "views.load", "views.commit"):
                subject = Subject()
                await pay(lab.face(subject.registry), 5)
                before, after = ((call,), ()) if fault == "before" else ((), (call,))
                face = lab.face(subject.registry, backend=Failing(lab.backend, before=before, after=after))
                error = await raised(face.catch_up())
                assert isinstance(error, Unavailable if fault == "before" else OutcomeUnknown)
                await check_views(face, subject)
                assert (await face.catch_up()).complete
                await check_views(face, subject)

    @in_colour
    async def test_nothing_is_lost_when_a_handler_fails(self, lab: Lab) -> None:
        subject = Subject()
        face = lab.face(subject.registry)
        await pay(face, 4)
        bad = await face.append("account-1", Withdrawn(1))
        last = (await pay(face, 4))[-1]
        subject.broken = True
        for _ in range(2):
            error = await raised(face.catch_up())
            assert isinstance(error, ProjectionStopped)
            assert (error.projection, error.position) == ("balances", bad.position)
            status = {each.name: each for each in await face.status()}
            assert status["balances"].state == "stopped"
            assert status["balances"].checkpoint >= bad.position - 1
            assert not status["balances"].checkpoint >= bad.position
            assert status["balances"].stopped is not None
            assert status["balances"].stopped.position == bad.position
            assert status["ledger"].state == "current"
            assert status["ledger"].checkpoint == await face.head() >= last.position
            await check_views(face, subject)
            lab.reopen()
            face = lab.face(subject.registry)
        subject.broken = False
        assert (await face.catch_up()).complete
        assert [each.state for each in await face.status()] == ["current", "current"]
        await check_views(face, subject)

    @in_colour
    async def test_nothing_is_lost_when_a_page_makes_a_commit_too_large(self, lab: Lab) -> None:
        for most in (1, 2, 3):
            subject = Subject()
            await pay(lab.face(subject.registry), EVENTS, streams=7)
            face = lab.face(subject.registry, backend=Narrow(lab.backend, most))
            assert (await face.catch_up()).complete
            await check_views(face, subject)

    @in_colour
    async def test_nothing_is_lost_when_one_event_makes_a_commit_too_large(self, lab: Lab) -> None:
        subject = Subject()
        face = lab.face(subject.registry)
        await pay(face, 5)
        large = await face.append("large", Paid(1))
        last = (await pay(face, 5))[-1]
        narrow = lab.face(subject.registry, backend=Narrow(lab.backend, 100, never="large"))
        error = await raised(narrow.catch_up())
        assert isinstance(error, ProjectionStopped)
        assert (error.projection, error.position) == ("balances", large.position)
        status = {each.name: each for each in await face.status()}
        assert status["balances"].state == "stopped"
        assert status["balances"].checkpoint >= large.position - 1
        assert not status["balances"].checkpoint >= large.position
        assert status["ledger"].state == "current"
        assert status["ledger"].checkpoint == await face.head() >= last.position
        await check_views(face, subject)
        assert (await face.catch_up()).complete
        await check_views(face, subject)

    @in_colour
    async def test_nothing_is_lost_of_a_type_that_is_not_known_yet(self, lab: Lab) -> None:
        newer = Subject()
        face = lab.face(newer.registry)
        await pay(face, 2)
        await face.append("account-0", Renamed("savings"))
        await pay(face, 2)
        older = Subject(renamed=False)
        assert isinstance(await raised(lab.face(older.registry).catch_up()), ProjectionStopped)
        assert (await face.get(newer.ledger, "all")) is not None
        await check_views(face, newer)
        assert (await face.catch_up()).complete
        await check_views(face, newer)

    @in_colour
    async def test_nothing_is_lost_for_a_projection_that_is_added_later(self, lab: Lab) -> None:
        face = lab.face(Subject().registry)
        await pay(face, EVENTS)
        await face.catch_up()
        await pay(face, 3)
        subject = Subject()
        late = subject.registry.projection("late", Balance, version=2)

        @late.on_recorded(Paid, key=lambda _: "all")
        def entered(document: Balance | None, _: object) -> Balance:
            return Balance((document or Balance()).total + 1)

        face = lab.face(subject.registry)
        assert (await face.catch_up(page_size=4)).complete
        assert await face.get(late, "all") == Balance(EVENTS + 3)
        await check_views(face, subject)

    @in_colour
    async def test_nothing_is_lost_for_a_reader_who_asks_for_a_position(self, lab: Lab) -> None:
        subject = Subject()
        face = lab.face(subject.registry)
        for total in range(1, 5):
            appended = await face.append("account-0", Paid(1))
            balance = await face.get(subject.balances, "account-0", at_least=appended.position, timeout=0)
            assert balance is not None
            assert balance.total == total
        beyond = await face.head() + 1
        reading = face.get(subject.balances, "account-0", at_least=beyond, timeout=0)
        error = await raised(reading)
        # Nobody was ever answered that position by this log as it is.
        assert isinstance(error, LogRewound)


class NothingIsAppliedTwice(Contract):
    """A view and its checkpoint change in one commit. A loser writes nothing, and anything may be sent again."""

    @in_colour
    async def test_nothing_is_applied_twice_or_out_of_order_by_many_projectors(self, lab: Lab) -> None:
        subject = Subject()
        await pay(lab.face(subject.registry), EVENTS)

        async def projector(page_size: int) -> int:
            face = lab.face(subject.registry, backend=lab.another())
            return (await face.catch_up(page_size=page_size)).applied

        applied = await lab.colour.together([partial(projector, 2 + index) for index in range(CALLERS)])
        assert sum(applied) == 2 * EVENTS, "the projectors count more, or less, than there was to fold"
        await check_views(lab.face(subject.registry), subject)

    @in_colour
    async def test_nothing_is_applied_twice_while_others_append(self, lab: Lab) -> None:
        subject = Subject()

        async def writer(stream: int) -> None:
            face = lab.face(subject.registry)
            for index in range(10):
                await face.append(f"account-{stream}", Paid(index))
                await lab.colour.breathe()

        async def projector() -> None:
            face = lab.face(subject.registry)
            for _ in range(15):
                await face.catch_up(page_size=3)
                await lab.colour.breathe()

        work: list[Work] = [partial(writer, stream) for stream in range(2)]
        await lab.colour.together([*work, projector, projector])
        face = lab.face(subject.registry)
        assert (await face.catch_up()).complete
        await check_views(face, subject)

    @in_colour
    async def test_nothing_is_applied_twice_when_the_answer_of_a_commit_is_lost(self, lab: Lab) -> None:
        subject = Subject()
        await pay(lab.face(subject.registry), EVENTS)
        failing = Failing(lab.backend, after=("views.commit",) * 3)
        face = lab.face(subject.registry, backend=failing)
        for _ in range(3):
            assert isinstance(await raised(face.catch_up(page_size=4)), OutcomeUnknown)
            await check_views(face, subject)
        assert (await face.catch_up()).complete
        await check_views(face, subject)

    @in_colour
    async def test_nothing_is_applied_twice_by_notifications_that_come_again(self, lab: Lab) -> None:
        subject = Subject()
        transport = InProcess()
        face = lab.face(subject.registry, transport)
        last = (await pay(face, 5))[-1]
        await face.catch_up()
        before = await face.items(subject.balances)
        for position in (last.position, 1, last.position):
            await face.notify(position)
            assert (await face.catch_up()).applied == 0
        assert await face.items(subject.balances) == before

    @in_colour
    async def test_nothing_is_applied_out_of_order_in_pages_of_any_size(self, lab: Lab) -> None:
        subject = Subject()
        face = lab.face(subject.registry)
        for page_size in (1, 2, 3, 100):
            await pay(face, 7)
            for event in (Withdrawn(1), Renamed("x"), Paid(2)):
                await face.append("account-0", event)
            assert (await face.catch_up(page_size=page_size)).complete
            await check_views(face, subject)


class EveryOperationHasAPrice(Contract):
    """Each result tells what it cost. See `Contract.check_receipt`."""

    @in_colour
    async def test_every_operation_has_a_price(self, lab: Lab) -> None:
        face = lab.face(Subject().registry)
        self.check_receipt("append", (await face.append("account-1", Paid(1))).receipt)
        self.check_receipt("append", (await face.append("account-1", *lab.several(*[Paid(1)] * 50))).receipt)
        self.check_receipt("catch up", (await face.catch_up()).receipt)
        self.check_receipt("catch up with nothing to do", (await face.catch_up()).receipt)


async def raised(work: Awaitable[object]) -> EventSourceError:
    """The error that a call raises, and has to raise."""
    try:
        answer = await work
    except EventSourceError as error:
        return error
    raise AssertionError(f"it had to fail, and answered {answer!r}")
