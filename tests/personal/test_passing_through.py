"""What goes through the keys on its way to a log and to views: all that is asked, at what both cost, and each once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import msgspec
import pytest

from eventsource_upstash import (
    App,
    EventStore,
    IdempotencyKeyReused,
    Memory,
    MemoryKeys,
    Personal,
    Projection,
    ProjectionStore,
    Projector,
    Query,
    Receipt,
    Registry,
    UndecodableEvent,
)
from eventsource_upstash._io.blocking import PORT, run
from eventsource_upstash.ports import Commit, Committed, Keys, Port, Pull, SubjectKey, Views
from eventsource_upstash.testing import BackendWrapper, ViewsWrapper
from tests.priced import Till
from tests.stepping.model import OwingMemory
from tests.unit.test_following import Counts
from tests.unit.test_notifying import Dear

REQUEST = Receipt(requests=1)


@dataclass(frozen=True)
class Named:
    customer: str
    name: Personal[str]


@dataclass(frozen=True)
class Ordered:
    customer: str
    goods: str


@dataclass(frozen=True)
class Order:
    customer: str
    goods: str


@dataclass(frozen=True)
class Customer:
    name: str | None = None
    orders: int = 0


class PaidKeys:
    """A key store of which each question is a request."""

    def __init__(self) -> None:
        self.calls = 0
        self._inner = MemoryKeys()

    def keys(self, port: Port) -> Keys:
        self._keys = self._inner.keys(port)
        return self

    def close(self) -> None: ...

    async def create_many(self, offered: Mapping[str, SubjectKey]) -> tuple[dict[str, SubjectKey | None], Receipt]:
        self.calls += 1
        return (await self._keys.create_many(offered))[0], REQUEST

    async def get_many(self, subjects: Sequence[str]) -> tuple[dict[str, SubjectKey | None], Receipt]:
        self.calls += 1
        return (await self._keys.get_many(subjects))[0], REQUEST

    async def forget(self, subject: str) -> Receipt:
        return await self._keys.forget(subject)

    async def readmit(self, subject: str) -> Receipt:
        return await self._keys.readmit(subject)


class Shop:
    """Customers with personal data, a view of them, and orders without, over a log and keys that are paid for."""

    def __init__(self, on_error: Literal["stop", "park", "skip"] = "stop", till: BackendWrapper | None = None) -> None:
        self.till = till or Till()
        self.keys = PaidKeys()
        self.registry = Registry()
        self.registry.event("named", subject="customer")(Named)
        self.registry.event("ordered")(Ordered)
        self.refuses: set[str] = set()
        self.view: Projection[Customer] = self.registry.projection("customers", Customer, on_error=on_error)
        self.customer = self.registry.aggregate("customer", Customer)

        @self.customer.on(Named)
        @self.view.on(Named, key="customer")
        def named(customer: Customer | None, event: Named) -> Customer:
            if event.name in self.refuses:
                raise ValueError("no such name")
            return Customer(event.name)

        @self.customer.decide(Order)
        def order(customer: Customer | None, command: Order) -> Ordered:
            return Ordered(command.customer, command.goods)

        self.store = EventStore(self.till, self.registry, keys=self.keys)
        projections = ProjectionStore(self.till, self.registry, keys=self.keys)
        self.projector = Projector(self.store, projections, page_size=2)
        self.documents = projections.view(self.view)
        self._spent = 0

    def spent(self) -> int:
        """Requests since it was asked last, to the log, the views and the keys."""
        assert isinstance(self.till, Till)
        before, self._spent = self._spent, self.till.calls + self.keys.calls
        return self._spent - before

    def rows(self) -> list[tuple[object, ...]]:
        """The rows of the log as they are stored; each may be put in place of another."""
        assert isinstance(self.till.inner, Memory)
        return cast("list[tuple[object, ...]]", self.till.inner._state.rows)


# --- what it costs


def test_an_append_and_what_reads_a_stream_tell_all_that_was_spent() -> None:
    shop = Shop()
    assert shop.store.append("c-1", Named("c-1", "Ada")).receipt.requests == shop.spent() == 2
    assert shop.store.append("c-1", Ordered("c-1", "tea")).receipt.requests == shop.spent() == 1
    assert shop.store.load(shop.customer, "c-1").receipt.requests == shop.spent() == 2


def test_a_conflict_is_told_with_what_opening_it_and_sealing_have_cost() -> None:
    shop = Shop()
    rival = [Named("c-1", "Bob")]

    @shop.customer.decide(Named)
    def rename(customer: Customer | None, command: Named) -> Named:
        if rival:
            shop.store.append("c-1", rival.pop())
        return command

    executed = shop.store.execute(shop.customer, "c-1", Named("c-1", "Ada"))
    assert executed.state == Customer("Ada")
    # Read; sealed and refused, and what was missed opened; sealed and written. The rival's append told of its own.
    assert shop.spent() - 2 == executed.receipt.requests == 6


def test_a_catch_up_of_several_pages_asks_the_keys_once_for_each() -> None:
    shop = Shop()
    names = [f"name {index}" for index in range(6)]
    for index, name in enumerate(names):
        shop.store.append(f"c-{index}", Named(f"c-{index}", name))
    shop.spent()
    result = shop.projector.catch_up()
    assert (result.applied, result.complete) == (6, True)
    # One pull; then for each of three pages the keys, a load, and a commit that brings the next page.
    assert result.receipt.requests == shop.spent() == 1 + 3 * 3
    assert [document.name for _, document in shop.documents.items()] == names


def test_what_a_page_cost_that_came_with_a_commit_is_told_once() -> None:
    class Beside(ViewsWrapper):
        """Pulls by a request of its own once the commits are in, as where views are not beside their log."""

        async def commit(self, commits: Sequence[Commit], then: Pull | None) -> Committed:
            committed = await self.inner.commit(commits, None)
            if then is None:
                return committed._replace(receipt=REQUEST)
            pulled = (await self.inner.pull(then))._replace(receipt=REQUEST)
            return committed._replace(pulled=pulled, receipt=REQUEST + REQUEST)

    class Backend(BackendWrapper):
        def wrap_views(self, views: Views) -> Views:
            return Beside(views)

    shop = Shop(till=Backend(Memory()))
    for index in range(6):
        shop.store.append(f"c-{index}", Named(f"c-{index}", "Ada"))
    asked = shop.keys.calls
    # Three pages: for each a commit and a look for the next one, and the keys.
    assert shop.projector.catch_up().receipt.requests == 3 * 2 + (shop.keys.calls - asked) == 9


def test_to_fold_again_what_is_parked_tells_what_the_keys_cost() -> None:
    shop = Shop(on_error="park")
    shop.store.append("c-1", Named("c-1", "Ada"))
    shop.store.append("c-1", Named("c-1", "Bob"))
    shop.refuses.add("Ada")
    shop.projector.catch_up()
    shop.refuses.clear()
    shop.spent()
    retried = shop.projector.retry_parked(shop.view)
    assert retried.receipt.requests == shop.spent()
    assert shop.documents.get("c-1") == Customer("Bob")


def test_what_is_no_header_asks_no_keys() -> None:
    shop = Shop(on_error="skip")
    shop.store.append("c-1", Named("c-1", "Ada"))
    *envelope, payload = shop.rows()[0]
    assert isinstance(payload, bytes)
    data = msgspec.json.decode(payload) | {"$sealed": 5}
    shop.rows()[0] = (*envelope, msgspec.json.encode(data))
    asked = shop.keys.calls
    shop.spent()
    assert shop.projector.catch_up().receipt.requests == shop.spent()
    assert shop.keys.calls == asked


class Slim(msgspec.Struct, omit_defaults=True, frozen=True):
    customer: str
    name: Personal[str] = None


def test_a_field_that_is_left_out_of_what_is_stored_needs_no_key() -> None:
    registry = Registry()
    registry.event("named", subject="customer")(Slim)
    keys = PaidKeys()
    store = EventStore(Memory(), registry, keys=keys)
    store.append("c-1", Slim("c-1"))
    assert keys.calls == 0
    store.append("c-1", Slim("c-1", "Ada"))
    assert [each.event for each in store.read()] == [Slim("c-1"), Slim("c-1", "Ada")]


# --- what goes through


def test_a_command_under_a_key_is_carried_out_once() -> None:
    shop = Shop()
    first = shop.store.execute(shop.customer, "c-1", Order("c-1", "tea"), idempotency_key="k")
    shop.spent()
    again = shop.store.execute(shop.customer, "c-1", Order("c-1", "tea"), idempotency_key="k")
    assert shop.spent() == again.receipt.requests == 3, "a read, the look for the key, and the state as it is"
    assert (again.position, again.repeated, shop.store.head()) == (first.position, True, 1)
    with pytest.raises(IdempotencyKeyReused, match=r"idempotency key 'k' was used before .* to stream 'c-2'"):
        shop.store.execute(shop.customer, "c-2", Order("c-2", "tea"), idempotency_key="k")


def test_the_record_of_a_key_takes_no_more_room_than_any_other() -> None:
    shop = Shop()
    shop.store.append("c-1", Ordered("c-1", "tea"), idempotency_key="plain")
    shop.store.append("c-1", Named("c-1", "Ada"), Named("c-2", "Bob"), idempotency_key="personal")
    assert isinstance(shop.till.inner, Memory)
    digests = [record[0] for record in shop.till.inner._state.keys.values()]
    assert [len(each) for each in digests] == [16, 16]


def test_a_query_is_answered_by_what_it_means() -> None:
    shop = Shop()
    shop.store.append("c-1", Named("c-1", "Ada"), Ordered("c-1", "tea"), tags=["a"])
    shop.spent()
    assert [each.event for each in shop.store.read(query=Query.of(types=[Ordered]))] == [Ordered("c-1", "tea")]
    assert shop.spent() == 1, "nothing of it is sealed"


def test_a_long_load_keeps_a_snapshot_of_what_is_not_personal() -> None:
    shop = Shop()
    orders = shop.registry.aggregate("orders", Customer, snapshot_every=2)

    @orders.on(Ordered)
    def ordered(state: Customer | None, event: Ordered) -> Customer:
        return Customer(orders=(state or Customer()).orders + 1)

    shop.store.append("c-1", *[Ordered("c-1", "tea")] * 5)
    assert shop.store.load(orders, "c-1").state == Customer(orders=5)
    kept = run(shop.till.log(PORT).read_stream("c-1", 0, 10, 1 << 20, "orders@1"))
    assert kept.snapshot is not None
    assert (kept.snapshot.revision, kept.events) == (5, [])
    assert shop.store.load(orders, "c-1").state == Customer(orders=5)


def test_who_has_followed_all_of_it_settles_the_notification() -> None:
    dear = Dear()
    registry = Registry()
    registry.event("named", subject="customer")(Named)
    app = App(OwingMemory(), registry, dear, keys=MemoryKeys())
    app.projector.follow(Counts("one"))
    app.event_store.append("c-1", Named("c-1", "Ada"))
    app.projector.catch_up()
    app.event_store.append("c-1", Named("c-1", "Ada"))
    assert dear.told == [1, 2]


# --- what a ciphertext is bound to


def test_an_event_that_is_given_another_version_is_not_opened() -> None:
    shop = Shop()
    shop.store.append("c-1", Named("c-1", "Ada"))
    rows, registry = shop.rows(), Registry()
    registry.upcast("named", from_version=1)(lambda data: data)
    registry.event("named", version=2, subject="customer")(Named)
    later = EventStore(shop.till, registry, keys=shop.keys)
    assert next(later.read()).event == Named("c-1", "Ada"), "an older version is opened as what it is"
    *where, (name, _, metadata, tags), payload = cast("Any", rows[0])
    rows[0] = (*where, (name, 2, metadata, tags), payload)
    with pytest.raises(UndecodableEvent, match="its ciphertext was changed, or is not of this place"):
        next(later.read())
