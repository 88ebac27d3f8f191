"""What Kafka cannot do is refused, with what to do instead; an aggregate is loaded through a view that folds it."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from eventsource_upstash import (
    EXISTS,
    NO_STREAM,
    AppendCondition,
    ConcurrencyError,
    EventStore,
    Memory,
    Misuse,
    ProjectionStore,
    Query,
    RegistrationError,
    Registry,
)
from eventsource_upstash.backends.kafka import Kafka
from eventsource_upstash.domain.aggregates import Aggregate
from eventsource_upstash.ports import EVERYTHING
from eventsource_upstash.testing.colours import Colour, Face
from tests.kafka.memory_topic import MemoryTopic


@dataclass(frozen=True)
class Paid:
    amount: int


@dataclass(frozen=True)
class Closed:
    pass


@dataclass(frozen=True)
class Account:
    total: int = 0


@dataclass(frozen=True)
class Pay:
    amount: int


def an_app() -> tuple[Registry, Aggregate[Account]]:
    registry = Registry()
    registry.event("paid", formerly=("payed",))(Paid)
    registry.event("closed")(Closed)
    account = registry.aggregate("account", Account)

    @account.on(Paid)
    def paid(state: Account | None, event: Paid) -> Account:
        before = state or Account()
        return replace(before, total=before.total + event.amount)

    @account.decide(Pay)
    def pay(state: Account | None, command: Pay) -> Paid:
        return Paid(command.amount)

    assert all((paid, pay))
    return registry, account


REFUSED: dict[str, tuple[Callable[[Any, Aggregate[Account]], object], str]] = {
    "a revision": (lambda store, _: store.append("a", Paid(1), expected_revision=3), "expected_revision="),
    "no stream": (lambda store, _: store.append("a", Paid(1), expected_revision=NO_STREAM), "expected_revision="),
    "a stream": (lambda store, _: store.append("a", Paid(1), expected_revision=EXISTS), "expected_revision="),
    "a condition": (
        lambda store, _: store.append("a", Paid(1), condition=AppendCondition(Query.of(types=[Paid]))),
        "with condition=",
    ),
    "a stream read": (lambda store, _: list(store.read_stream("a")), "read_stream of stream 'a'"),
    "a load": (lambda store, account: store.load(account, "a"), "load of stream 'a'.*fold_as.*at_least="),
    "a command": (lambda store, account: store.execute(account, "a", Pay(1)), "execute of stream 'a'.*fold_as"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_kafka_cannot_do_names_who_can_and_what_to_do_instead(what: str) -> None:
    registry, account = an_app()
    topic = MemoryTopic()
    store = EventStore(Kafka(topic, views=Memory()), registry)
    call, says = REFUSED[what]
    with pytest.raises(Misuse, match=says) as refused:
        call(store, account)
    assert "UpstashRedis, SQLite and Memory can" in str(refused.value)
    assert topic.calls == [], "it was asked all the same"


def test_several_events_need_a_transaction() -> None:
    registry, _ = an_app()
    topic = MemoryTopic(atomic=False)
    store = EventStore(Kafka(topic, views=Memory()), registry)
    with pytest.raises(Misuse, match=r"append of 2 events .* all or none .* one at a time"):
        store.append("a", Paid(1), Paid(2))
    assert topic.calls == []
    assert store.append("a", Paid(1)).position == 1
    assert EventStore(Kafka(MemoryTopic(), views=Memory()), registry).append("a", Paid(1), Paid(2)).position == 2


def test_a_database_does_all_of_it() -> None:
    registry, account = an_app()
    for call, _ in REFUSED.values():
        with suppress(ConcurrencyError):  # which is an answer
            call(EventStore(Memory(), registry), account)


@pytest.mark.parametrize("colour", list(Colour), ids=["blocking", "event-loop"])
def test_an_aggregate_is_loaded_through_a_view_that_folds_it(colour: Colour) -> None:
    registry, account = an_app()
    accounts = registry.projection("accounts", Account)
    accounts.fold_as(account)

    @account.on(Closed)  # registered later, and folded all the same
    def closed(state: Account | None, event: Closed) -> None:
        return None

    assert all((closed,))
    backend = Kafka(MemoryTopic(partitions=3), views=Memory())

    async def scenario() -> None:
        face = Face(colour, backend, registry)
        appended = await face.append("account-1", Paid(5))
        assert await face.get(accounts, "account-1", at_least=appended.position) == Account(5)
        (decided,) = account.decide_on(Account(5), Pay(7))
        appended = await face.append("account-1", decided)
        assert await face.get(accounts, "account-1", at_least=appended.position) == Account(12)
        appended = await face.append("account-1", Closed())
        assert await face.get(accounts, "account-1", at_least=appended.position) is None

    colour.run(scenario())


def test_a_view_folds_what_load_answers() -> None:
    registry, account = an_app()
    accounts = registry.projection("accounts", Account)
    accounts.fold_as(account)
    backend = Memory()
    store, views = EventStore(backend, registry), ProjectionStore(backend, registry)
    for number in range(20):
        appended = store.append(f"account-{number % 3}", Paid(number))
        stream = f"account-{number % 3}"
        assert views.view(accounts).get(stream, at_least=appended.position) == store.load(account, stream).state


def test_a_view_that_cannot_fold_an_aggregate() -> None:
    registry, account = an_app()
    with pytest.raises(RegistrationError, match="another state than Paid"):
        registry.projection("payments", Paid).fold_as(account)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with pytest.raises(RegistrationError, match="another registry"):
        Registry().projection("accounts", Account).fold_as(account)
    twice = registry.projection("twice", Account)
    twice.fold_as(account)
    with pytest.raises(RegistrationError, match="'paid' has a handler already"):
        twice.fold_as(account)


def test_the_table_in_the_guide_is_what_the_backends_say() -> None:
    guide = (Path(__file__).parents[2] / "docs" / "guides" / "kafka.md").read_text("utf-8")
    table = re.findall(r"^\| `(\w+)`: [^|]*\| (\w+)[^|]*\| (\w+)[^|]*\| (\w+)[^|]*\|$", guide, re.MULTILINE)
    backends = [Kafka(MemoryTopic(atomic=atomic), views=Memory()) for atomic in (True, False)]
    assert {name for name, *_ in table} == set(EVERYTHING.__struct_fields__)
    for name, *told in table:
        can = [getattr(each.capabilities, name) for each in backends] + [getattr(EVERYTHING, name)]
        # "for 1,000 places" and "one event in each" are not what the capability asks for
        assert [word == "yes" for word in told] == can, name
