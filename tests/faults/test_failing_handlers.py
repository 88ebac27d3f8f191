"""A fold handler that fails stops its projection, before the event; nothing is lost, skipped or half-written."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest

from eventsource_upstash import LogRewound, Memory, Projection, ProjectionStopped, Registry, SQLite, UndecodableDocument
from tests.faults.driving import Colour, Driver

Backend = Memory | SQLite


@dataclass(frozen=True)
class Paid:
    by: str
    amount: int


@dataclass(frozen=True)
class Moved:
    """Concerns two accounts at once."""

    source: str
    target: str
    amount: int


@dataclass(frozen=True)
class Account:
    balance: int = 0


Fold = Callable[[Any, Any], Any]


def pay(account: Account | None, event: Paid) -> Account:
    return Account((account.balance if account else 0) + event.amount)


class Bank:
    """Two projections over the same events: one whose handler for `Paid` is under test, and one that works."""

    def __init__(self, backend: Backend, colour: Colour, fold: Fold = pay, key: Any = "by") -> None:
        registry = Registry()
        registry.event("paid")(Paid)
        registry.event("moved")(Moved)
        self.tested = registry.projection("tested", Account)
        self.sound = registry.projection("sound", Account)
        self.tested.on(Paid, key=key)(fold)
        self.sound.on(Paid, key="by")(pay)
        self.app = Driver(backend, registry, colour)

    def pay(self, *amounts: int, by: str = "ada") -> None:
        self.app.append("payments", *(Paid(by, amount) for amount in amounts))

    def stops(self, position: int, reason: str) -> ProjectionStopped:
        self._stops(position, reason)
        since = self.app.status()["tested"].stopped
        error = self._stops(position, reason)  # each time again, at the same place
        assert self.app.status()["tested"].stopped == since, "since when it is stopped is not since the last try"
        return error

    def _stops(self, position: int, reason: str) -> ProjectionStopped:
        with pytest.raises(ProjectionStopped, match=re.escape(reason)) as caught:
            self.app.catch_up()
        error = caught.value
        assert (error.projection, error.position, error.others) == ("tested", position, ())
        assert f"projection 'tested' stopped at position {position}" in str(error)
        status = self.app.status()["tested"]
        assert (status.state, status.checkpoint) == ("stopped", position - 1)
        assert status.stopped is not None
        assert status.stopped.position == position
        assert reason in status.stopped.reason
        return error


def fail_at(amount: int, how: Fold) -> Fold:
    def fold(account: Account | None, event: Paid) -> Any:
        return how(account, event) if event.amount == amount else pay(account, event)

    return fold


def raises(account: Account | None, event: Paid) -> Account:
    raise ZeroDivisionError("by nothing")


def raises_without_words(account: Account | None, event: Paid) -> Account:
    raise LookupError


def raises_at_length(account: Account | None, event: Paid) -> Account:
    raise ValueError("first line" + "!" * 10_000 + "\nsecond line")


def answers_text(account: Account | None, event: Paid) -> Any:
    return "account"


def answers_a_class(account: Account | None, event: Paid) -> Any:
    return Account


def answers_a_coroutine(account: Account | None, event: Paid) -> Any:
    async def later() -> Account:
        return Account()

    return later()


def answers_a_generator(account: Account | None, event: Paid) -> Any:
    return (each for each in [Account()])


@dataclass(frozen=True)
class Savings(Account):
    interest: float = 0.0


def answers_a_subclass(account: Account | None, event: Paid) -> Account:
    return Savings(1, 2.0)


def answers_a_mistyped_account(account: Account | None, event: Paid) -> Account:
    return Account(cast("int", None))


def changes_what_cannot_be_changed(account: Account | None, event: Paid) -> Account:
    assert account
    account.balance = 0  # type: ignore[misc]
    return account


FAILURES: list[tuple[Fold, str]] = [
    (raises, "ZeroDivisionError: by nothing"),
    (raises_without_words, "handler fold: LookupError"),
    (raises_at_length, "ValueError: first line!!!"),
    (answers_text, "answered a str, not a Account or None"),
    (answers_a_class, "answered a type, not a Account or None"),
    (answers_a_coroutine, "answered a coroutine, not a Account or None"),
    (answers_a_generator, "answered a generator, not a Account or None"),
    (answers_a_subclass, "answered a Savings, not a Account or None; it would be read back as a Account"),
    (answers_a_mistyped_account, "Expected `int`, got `null` - at `$.balance`"),
    (changes_what_cannot_be_changed, "FrozenInstanceError: cannot assign to field 'balance'"),
]


@pytest.mark.parametrize(("how", "reason"), FAILURES, ids=[fold.__name__ for fold, _ in FAILURES])
def test_a_handler_that_fails(backend: Backend, colour: Colour, how: Fold, reason: str) -> None:
    bank = Bank(backend, colour, fail_at(13, how))
    bank.pay(1, 2)
    bank.app.catch_up()
    bank.pay(4, 13, 8)
    error = bank.stops(4, reason)
    assert len(str(error)) < 1000
    assert "second line" not in str(error)
    assert bank.app.items(bank.tested) == {"ada": Account(7)}, "all before it, and nothing of it or after it"
    assert bank.app.items(bank.sound) == {"ada": Account(28)}, "the other one goes on"
    assert bank.app.status()["sound"].state == "current"

    bank.pay(16)
    bank.stops(4, reason)
    assert bank.app.items(bank.sound) == {"ada": Account(44)}

    mended = Bank(backend, colour)
    assert mended.app.catch_up().complete
    assert mended.app.items(mended.tested) == {"ada": Account(44)}
    assert mended.app.status()["tested"].state == "current"
    assert mended.app.status()["tested"].stopped is None


def test_the_cause_is_at_hand(backend: Backend, colour: Colour) -> None:
    bank = Bank(backend, colour, fail_at(13, raises))
    bank.pay(13)
    error = bank.stops(1, "handler fold: ZeroDivisionError")
    assert isinstance(error.__cause__, ZeroDivisionError)
    assert error.__cause__.__traceback__ is not None


@pytest.mark.parametrize("failing", range(5))
def test_whichever_event_of_a_page_it_is(backend: Backend, colour: Colour, failing: int) -> None:
    bank = Bank(backend, colour, fail_at(2**failing, raises))
    bank.pay(1, 2, 4, 8, 16)
    bank.stops(failing + 1, "ZeroDivisionError")
    before = 2**failing - 1
    assert bank.app.items(bank.tested) == ({"ada": Account(before)} if before else {})
    assert bank.app.items(bank.sound) == {"ada": Account(31)}


def test_a_view_that_is_stopped_still_answers(backend: Backend, colour: Colour) -> None:
    bank = Bank(backend, colour, fail_at(13, raises))
    bank.pay(1, 13)
    bank.stops(2, "ZeroDivisionError")
    assert bank.app.get(bank.tested, "ada") == Account(1)
    assert bank.app.get(bank.tested, "ada", at_least=1) == Account(1)
    with pytest.raises(ProjectionStopped, match="'tested' stopped at position 2"):
        bank.app.get(bank.tested, "ada", at_least=2)
    assert bank.app.get(bank.sound, "ada", at_least=2) == Account(14)
    with pytest.raises(LogRewound, match="of projection 'sound' asked for position 3, but the log ends at 2"):
        bank.app.get(bank.sound, "ada", at_least=3, timeout=0)


def test_several_that_fail_are_all_named(backend: Backend, colour: Colour) -> None:
    registry = Registry()
    registry.event("paid")(Paid)
    projections = [registry.projection(name, Account) for name in ("first", "sound", "second")]
    for projection in projections:
        projection.on(Paid)(pay if projection.name == "sound" else fail_at(2, raises))
    app = Driver(backend, registry, colour)
    app.append("payments", Paid("ada", 1), Paid("ada", 2), Paid("ada", 4))
    with pytest.raises(ProjectionStopped, match=r"'first' stopped at position 2: .*Also stopped: second") as caught:
        app.catch_up()
    assert caught.value.others == ("second",)
    assert (caught.value.result.applied, caught.value.result.position, caught.value.result.complete) == (5, 1, False)
    assert [app.get(projection, "payments") for projection in projections] == [Account(1), Account(7), Account(1)]


# --- an event that concerns several documents


def test_an_event_is_folded_into_all_of_its_documents_or_none(backend: Backend, colour: Colour) -> None:
    registry = Registry()
    registry.event("paid")(Paid)
    registry.event("moved")(Moved)
    accounts = registry.projection("accounts", Account)
    accounts.on(Paid, key="by")(pay)

    @accounts.on(Moved, key=lambda event: (event.source, event.target))
    def moved(account: Account | None, event: Moved) -> Account:
        if account is None:
            raise LookupError("no such account")
        return replace(account, balance=account.balance + event.amount)

    app = Driver(backend, registry, colour)
    app.append("payments", Paid("ada", 1), Moved("ada", "bob", 5))
    with pytest.raises(ProjectionStopped, match=r"position 2.*LookupError: no such account"):
        app.catch_up()
    assert app.items(accounts) == {"ada": Account(1)}
    assert app.status()["accounts"].checkpoint == 1


# --- keys


def bad_key(answer: object) -> Callable[[Paid], Any]:
    def key(event: Paid) -> Any:
        if event.amount != 13:
            return event.by
        if isinstance(answer, type):
            raise answer("in a key")
        return answer

    return key


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (ZeroDivisionError, "ZeroDivisionError: in a key"),
        (None, "a key is a string, a whole number, a UUID or several of them, not NoneType"),
        (1.5, "not float"),
        (True, "not bool"),
        (b"ada", "not bytes"),
        ({"ada": 1}, "not dict"),
        (["ada", None], "not NoneType"),
        ("", "a document key cannot be empty"),
        ("a\n", "control characters"),
        ("\ud800", "lone surrogates"),
        ("a" * 1025, "1025 characters, at most 1024 are allowed"),
        (["ada", ""], "a document key cannot be empty"),
    ],
    ids=lambda value: ascii(value)[:20],
)
def test_a_key_that_cannot_be_one(backend: Backend, colour: Colour, answer: object, reason: str) -> None:
    bank = Bank(backend, colour, key=bad_key(answer))
    bank.pay(1, 13, 2)
    bank.stops(2, reason)
    assert bank.app.items(bank.tested) == {"ada": Account(1)}
    assert bank.app.items(bank.sound) == {"ada": Account(16)}


# --- handlers that change what they are given


@dataclass
class Basket:
    items: list[str] = field(default_factory=list)


@dataclass
class Put:
    item: str
    notes: list[str] = field(default_factory=list)


def shop(backend: Backend, colour: Colour, fold: Fold) -> tuple[Driver, Projection[Basket], Projection[Basket]]:
    registry = Registry()
    registry.event("put")(Put)
    tested, sound = registry.projection("tested", Basket), registry.projection("sound", Basket)
    tested.on(Put)(fold)

    @sound.on(Put)
    def put(basket: Basket | None, event: Put) -> Basket:
        return Basket([*(basket or Basket()).items, event.item, *event.notes])

    return Driver(backend, registry, colour), tested, sound


def test_a_handler_that_changes_its_document_and_then_fails(backend: Backend, colour: Colour) -> None:
    def put(basket: Basket | None, event: Put) -> Basket:
        basket = basket or Basket()
        basket.items.append(event.item)
        if event.item == "snake":
            basket.items.clear()
            raise ValueError("it bites")
        return basket

    app, tested, _ = shop(backend, colour, put)
    app.append("basket", Put("apple"))
    app.catch_up()
    app.append("basket", Put("pear"), Put("snake"), Put("plum"))
    for _ in range(2):
        with pytest.raises(ProjectionStopped, match=r"position 3.*it bites"):
            app.catch_up()
        assert app.items(tested) == {"basket": Basket(["apple", "pear"])}


def test_a_handler_that_changes_its_event(backend: Backend, colour: Colour) -> None:
    def put(basket: Basket | None, event: Put) -> Basket:
        event.notes.append("seen")
        event.item = "stolen"
        return basket or Basket()

    app, _, sound = shop(backend, colour, put)
    app.append("basket", Put("apple", ["ripe"]), Put("pear"))
    app.catch_up()
    assert app.items(sound) == {"basket": Basket(["apple", "ripe", "pear"])}
    assert [each.event for each in app.read()] == [Put("apple", ["ripe"]), Put("pear")]


def test_a_handler_that_changes_its_event_and_then_fails(backend: Backend, colour: Colour) -> None:
    folded: list[Put] = []

    def put(basket: Basket | None, event: Put) -> Basket:
        folded.append(replace(event, notes=list(event.notes)))
        event.item, event.notes = "stolen", ["seen"]
        if len(folded) in {2, 4}:
            raise ValueError("twice")
        return Basket([*(basket or Basket()).items, folded[-1].item])

    app, tested, sound = shop(backend, colour, put)
    app.append("basket", Put("apple"), Put("pear"))
    with pytest.raises(ProjectionStopped, match="twice"):
        app.catch_up()
    assert all(event in (Put("apple"), Put("pear")) for event in folded), "each try is given the event as it is stored"
    app.catch_up()
    assert app.items(tested) == app.items(sound) == {"basket": Basket(["apple", "pear"])}


def test_a_handler_that_keeps_its_document_and_changes_it_later(backend: Backend, colour: Colour) -> None:
    kept: list[Basket] = []

    def put(basket: Basket | None, event: Put) -> Basket:
        for each in kept:
            each.items.append("late")
        kept.append(Basket([event.item]))
        return kept[-1]

    app, tested, _ = shop(backend, colour, put)
    app.append("basket-1", Put("apple"))
    app.catch_up()
    app.append("basket-2", Put("pear"))
    app.catch_up()
    assert app.items(tested) == {"basket-1": Basket(["apple"]), "basket-2": Basket(["pear"])}


def test_an_interrupt_is_nobodys_failure(backend: Backend) -> None:
    def put(basket: Basket | None, event: Put) -> Basket:
        if event.item == "pear" and not interrupted:
            interrupted.append(True)
            raise KeyboardInterrupt
        return Basket([*(basket or Basket()).items, event.item])

    interrupted: list[bool] = []
    app, tested, sound = shop(backend, "blocking", put)
    app.append("basket", Put("apple"), Put("pear"))
    with pytest.raises(KeyboardInterrupt):
        app.catch_up()
    assert (app.items(tested), app.items(sound)) == ({}, {})
    assert app.status()["tested"].state == "behind"
    app.catch_up()
    assert app.items(tested) == app.items(sound) == {"basket": Basket(["apple", "pear"])}


# --- a document class that changed


@dataclass(frozen=True)
class RicherAccount:
    balance: int
    currency: str


def test_a_document_class_that_changed_without_a_new_version(backend: Backend, colour: Colour) -> None:
    bank = Bank(backend, colour)
    bank.pay(1)
    bank.app.catch_up()

    def changed(version: int) -> tuple[Driver, Projection[RicherAccount]]:
        registry = Registry()
        registry.event("paid")(Paid)
        projection = registry.projection("tested", RicherAccount, version=version)

        @projection.on(Paid, key="by")
        def paid(account: RicherAccount | None, event: Paid) -> RicherAccount:
            return RicherAccount((account.balance if account else 0) + event.amount, "EUR")

        return Driver(backend, registry, colour), projection

    app, projection = changed(1)
    told = "document 'ada' does not decode as its class: .*`currency`.* give the projection a version above 1"
    with pytest.raises(UndecodableDocument, match=told):
        app.get(projection, "ada")
    with pytest.raises(UndecodableDocument, match=told):
        app.items(projection)
    app.append("payments", Paid("ada", 2))
    with pytest.raises(ProjectionStopped, match=f"'tested' stopped at position 2: .*{told}"):
        app.catch_up()
    assert bank.app.items(bank.tested) == {"ada": Account(1)}, "what was there is still there"

    app, projection = changed(2)
    app.catch_up()
    assert app.items(projection) == {"ada": RicherAccount(3, "EUR")}
