"""Every mistake that can be seen when a handler is registered is an error then, which names place and remedy."""

from __future__ import annotations

import functools
import re
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import attrs
import msgspec
import pydantic
import pytest

from eventsource_upstash import (
    Aggregate,
    EventStore,
    Memory,
    Misuse,
    Projection,
    RegistrationError,
    Registry,
    UnknownEventType,
    connect,
)
from eventsource_upstash.domain.folds import takes_key
from eventsource_upstash.domain.outgoing import NotHere, command_class, has_command


@dataclass(frozen=True)
class Opened:
    id: str
    amount: int = 0


@dataclass(frozen=True)
class Closed:
    id: str


@dataclass(frozen=True)
class Account:
    id: str
    balance: int = 0


@dataclass(frozen=True)
class HoldsPath:
    id: str
    where: Path


class Plain:
    pass


class OpenedStruct(msgspec.Struct, frozen=True):
    id: str


@attrs.frozen
class OpenedAttrs:
    id: str


class OpenedModel(pydantic.BaseModel):
    id: str


def refused(text: str, act: Callable[[], object]) -> RegistrationError:
    with pytest.raises(RegistrationError, match=re.escape(text)) as caught:
        act()
    assert isinstance(caught.value, Misuse)
    return caught.value


# --- projections and aggregates


def accounts() -> tuple[Registry, Projection[Account], Aggregate[Account]]:
    registry = Registry()
    registry.event("opened")(Opened)
    return registry, registry.projection("accounts", Account), registry.aggregate("account", Account)


@pytest.mark.parametrize("name", ["", "a b", "a/b", "a:b", ".a", "ä", "a" * 129, None, 5])
def test_a_projection_or_aggregate_name_that_cannot_be_one(name: object) -> None:
    for kind, register in (
        ("projection", lambda: Registry().projection(cast("str", name), Account)),
        ("aggregate", lambda: Registry().aggregate(cast("str", name), Account)),
    ):
        assert str(refused("its name has 1 to 128 letters", register)).startswith(f"{kind} {name!r}: ")


def test_a_projection_or_aggregate_name_that_is_taken() -> None:
    registry, *_ = accounts()
    refused(
        "projection 'accounts' is registered already, in version 1", lambda: registry.projection("accounts", Account)
    )
    registry.projection("accounts", Account, version=2)  # another version is another view, beside the first
    again = lambda: registry.projection("accounts", Account, version=2)  # noqa: E731
    refused("projection 'accounts' is registered already, in version 2", again)
    refused("aggregate 'account' is registered already", lambda: registry.aggregate("account", Account))


def test_a_document_or_state_that_cannot_be_stored() -> None:
    refused("document of projection 'paths': field HoldsPath.where", lambda: Registry().projection("paths", HoldsPath))
    refused("state of aggregate 'path': field HoldsPath.where", lambda: Registry().aggregate("path", HoldsPath))
    refused("document of projection 'x': Plain is not", lambda: Registry().projection("x", Plain))


def on_both(event: type, handler: object, text: str, **options: object) -> None:
    """The same mistake, told alike, for a projection's two kinds of handlers and for an aggregate's."""
    _, projection, aggregate = accounts()
    for on in (projection.on, projection.on_recorded, aggregate.on):
        if options and on == aggregate.on:
            continue
        register = cast("Callable[..., Callable[[object], object]]", on)
        error = refused(text, functools.partial(register(event, **options), handler))
        assert str(error).startswith(("projection 'accounts'", "aggregate 'account'"))


def fold(document: Account | None, event: object) -> Account | None:
    return document


async def fold_async(document: Account | None, event: object) -> Account | None:
    return document


def fold_generator(document: Account | None, event: object) -> Iterator[Account | None]:
    yield document


async def fold_async_generator(document: Account | None, event: object) -> AsyncIterator[Account | None]:
    yield document


def fold_more(document: object, event: object, more: object = None) -> Account | None: ...


def fold_any(*both: object) -> Account | None: ...


def fold_one(event: object) -> None: ...


def fold_three(document: object, event: object, more: object) -> None: ...


def fold_key_first(key: object, document: object, event: object) -> None: ...


def fold_key_alone(document: object, event: object, *, key: object) -> None: ...


def fold_four(document: object, event: object, key: object, more: object) -> None: ...


def fold_keyword(document: object, *, event: object) -> None: ...


@pytest.mark.parametrize(
    "handler", [fold_async, fold_generator, fold_async_generator, functools.partial(fold_async)], ids=repr
)
def test_a_handler_that_would_wait(handler: object) -> None:
    on_both(Opened, handler, "a handler is a plain function that answers at once")


@pytest.mark.parametrize(
    "handler", [fold_one, fold_three, fold_key_first, fold_key_alone, fold_four, fold_keyword, lambda: None]
)
def test_a_handler_with_the_wrong_parameters(handler: object) -> None:
    on_both(Opened, handler, "cannot be called as")


def test_a_mistake_tells_how_the_handler_would_be_called() -> None:
    _, projection, aggregate = accounts()
    wrong = cast("Any", fold_one)
    refused("cannot be called as fold_one(document, event)", lambda: projection.on(Opened)(wrong))
    refused("cannot be called as fold_one(document, recorded)", lambda: projection.on_recorded(Opened)(wrong))
    refused("fold_four(document, event, key)", lambda: projection.on(Opened)(cast("Any", fold_four)))
    refused("cannot be called as fold_one(state, event)", lambda: aggregate.on(Opened)(wrong))
    told = refused("cannot be called as fold_one(state, command)", lambda: aggregate.decide(Closed)(wrong))
    assert str(told).startswith("aggregate 'account': fold_one")
    refused("handler fold, key: ", lambda: projection.on(Opened, key=cast("Any", fold_three))(fold))
    refused("cannot be called as fold_three(event)", lambda: projection.on(Opened, key=cast("Any", fold_three))(fold))
    refused("index 'worth': ", lambda: projection.index("worth", cast("Any", fold_three)))
    refused("cannot be called as fold_three(document)", lambda: projection.index("worth", cast("Any", fold_three)))
    refused("projection 'accounts', expires: ", lambda: projection.expires(cast("Any", fold_three)))


def test_only_the_third_parameter_can_be_the_key() -> None:
    assert takes_key(lambda document, event, key: (document, event, key))
    assert not takes_key(lambda document, event, note=None, key=None: (document, event, note, key))


def test_a_handler_that_nothing_is_known_of_is_called_as_any_other() -> None:
    """A built-in function has no signature on some versions of Python."""
    assert not takes_key(max)
    _, projection, _ = accounts()
    projection.on(Opened)(cast("Any", max))


def test_only_a_third_parameter_is_given_the_key() -> None:
    registry, projection, _ = accounts()

    @projection.on(Opened)
    def opened(account: Account | None, event: Opened, more: int = 5, key: str = "own") -> Account:
        return Account(f"{event.id}, {key}", more)

    with connect("memory:", registry) as app:
        app.event_store.append("account-1", Opened("1"))
        app.projector.catch_up()
        assert app.projection_store.view(projection).get("account-1") == Account("1, own", 5)


def test_an_aggregate_tells_its_version() -> None:
    assert Registry().aggregate("account", Account).version == 1
    assert Registry().aggregate("account", Account, version=3).version == 3


def test_an_aggregate_has_one_document_and_no_key() -> None:
    _, _, aggregate = accounts()

    def told(state: Account | None, event: Opened, key: str) -> Account | None:
        return state

    refused("cannot be called as told(state, event)", lambda: aggregate.on(Opened)(cast("Any", told)))


@pytest.mark.parametrize("handler", [None, "fold", 5])
def test_a_handler_that_is_no_function(handler: object) -> None:
    on_both(Opened, handler, "is not a function")


def test_a_handler_for_a_class_that_is_not_registered() -> None:
    on_both(
        Closed, fold, "Closed is not registered as an event here; put @registry.event(...) on it, above the handler"
    )
    on_both(cast("type", "opened"), fold, "'opened' is not registered as an event here")
    on_both(cast("type", ["opened"]), fold, "['opened'] is not registered as an event here")


def test_two_handlers_for_one_event() -> None:
    _, projection, aggregate = accounts()
    projection.on(Opened)(fold)
    refused("event type 'opened' has a handler already (fold)", lambda: projection.on(Opened)(fold))
    refused("event type 'opened' has a handler already (fold)", lambda: projection.on_recorded(Opened)(fold))
    aggregate.on(Opened)(fold)
    refused("event type 'opened' has a fold handler already", lambda: aggregate.on(Opened)(fold))


def test_handlers_with_room_for_more_are_fine() -> None:
    _, projection, aggregate = accounts()
    projection.on(Opened)(fold_more)
    aggregate.on(Opened)(fold_any)


def test_a_callable_object_is_a_handler() -> None:
    class Folding:
        def __call__(self, document: Account | None, event: Opened) -> Account | None:
            return document

    _, projection, _ = accounts()
    projection.on(Opened)(Folding())


def test_a_key_that_is_no_field() -> None:
    error = refused_key("ident")
    assert "projection 'accounts', handler fold: key='ident' is not a field of Opened" in str(error)
    assert "it has amount, id" in str(error)


def refused_key(key: object) -> RegistrationError:
    _, projection, _ = accounts()
    with pytest.raises(RegistrationError) as caught:
        projection.on(Opened, key=cast("str", key))(fold)
    return caught.value


class Person(pydantic.BaseModel):
    name: str


def model_of_a_function() -> type:
    class Room(pydantic.BaseModel):
        size: int

    class Guest(Person):
        room: Room | None = None  # which Python does not find by its name, and pydantic does

    return Guest


@dataclass(frozen=True)
class OpenedAgain(Opened):
    why: str = ""


@pytest.mark.parametrize(
    ("make", "inherited", "fields"),
    [(lambda: OpenedAgain, "id", "amount, id, why"), (model_of_a_function, "name", "name, room")],
)
def test_a_field_may_be_inherited(make: Callable[[], type], inherited: str, fields: str) -> None:
    registry, _, _ = accounts()
    cls = make()
    registry.event("inherited")(cls)
    things = registry.projection("things", cls)
    things.on(cls, key=inherited)(lambda _, event: event)
    things.index(inherited, inherited)
    for use in (lambda: things.index("x", "nothing"), lambda: things.expires("nothing")):
        refused(f"'nothing' is not a field of {cls.__name__}; it has {fields}", use)
    with connect("memory:", registry) as app:
        app.event_store.append("thing-1", cls(**{inherited: "7"}))
        app.projector.catch_up()
        assert app.projection_store.view(things).get("7") == cls(**{inherited: "7"})


@pytest.mark.parametrize("key", [5, b"id", ("id",), ["id"], Opened("1")])
def test_a_key_that_is_neither_field_nor_function(key: object) -> None:
    assert "key= is the name of a field or a function of the event" in str(refused_key(key))


def test_a_key_function_that_could_not_be_called() -> None:
    async def waits(event: Opened) -> str:
        return event.id

    assert "async or generator function" in str(refused_key(waits))
    assert "cannot be called as" in str(refused_key(lambda: "1"))
    assert "cannot be called as" in str(refused_key(lambda document, event: "1"))


@pytest.mark.parametrize("kind", ["dataclass", "struct", "attrs", "pydantic"])
def test_the_key_may_be_a_field_of_any_kind_of_class(kind: str) -> None:
    cls = {"dataclass": Opened, "struct": OpenedStruct, "attrs": OpenedAttrs, "pydantic": OpenedModel}[kind]
    registry = Registry()
    registry.event("opened")(cls)
    projection = registry.projection("accounts", Account)

    @projection.on(cls, key="id")
    def opened(account: Account | None, event: object) -> Account:
        return Account(event.id)  # type: ignore[attr-defined]

    with connect("memory:", registry) as app:
        app.event_store.append("account-1", cls(id="7"))
        app.projector.catch_up()
        assert app.projection_store.view(projection).get("7") == Account("7")


# --- decide handlers


@dataclass(frozen=True)
class Open:
    id: str


def test_decide_handlers() -> None:
    _, _, aggregate = accounts()

    def decide(state: Account | None, command: Open) -> Opened:
        return Opened(command.id)

    assert aggregate.decide(Open)(decide) is decide
    refused("command Open has a decide handler already", lambda: aggregate.decide(Open)(decide))
    refused(
        "is given the class of a command, not Open(id='1')", lambda: aggregate.decide(cast("type", Open("1")))(decide)
    )
    refused("cannot be called as", lambda: aggregate.decide(Closed)(cast("Callable[..., None]", fold_one)))

    async def waits(state: Account | None, command: Closed) -> Opened:
        return Opened(command.id)

    refused("async or generator", lambda: aggregate.decide(Closed)(waits))
    assert aggregate.decide_handler(Open("1")) == "decide"
    assert aggregate.decide_handler(Closed("1")) is None
    aggregate.on(Opened)(lambda state, _: state)
    assert aggregate.fold_handler("opened") == "<lambda>"
    assert aggregate.fold_handler("unheard") is None


def test_the_class_of_a_command_is_found_by_its_name_where_there_is_one_of_it() -> None:
    _, _, aggregate = accounts()
    another = type("Open", (Open,), {})
    aggregate.decide(Closed)(lambda _, command: Opened(command.id))
    assert command_class(aggregate, "Closed") is Closed
    aggregate.decide(Open)(lambda _, command: Opened(command.id))
    aggregate.decide(another)(lambda _, command: Opened(command.id))
    assert not has_command(aggregate, "Open")
    for name, told in (("Open", "2 decide handlers for classes called 'Open'"), ("X", "no decide handler for a class")):
        with pytest.raises(NotHere, match=told):
            command_class(aggregate, name)


def test_a_decide_handler_may_be_a_generator_only_if_it_is_called_at_once() -> None:
    # A generator function would decide while the events are being appended; a list says what it means.
    _, _, aggregate = accounts()

    def decide(state: Account | None, command: Open) -> Iterator[Opened]:
        yield Opened(command.id)

    refused("async or generator", lambda: aggregate.decide(Open)(decide))


# --- what uses them


def test_a_projection_of_another_registry_has_no_view() -> None:
    registry, *_ = accounts()
    _, foreign, _ = accounts()
    with connect("memory:", registry) as app, pytest.raises(Misuse, match="'accounts' belongs to another registry"):
        app.projection_store.view(foreign)


def test_reprs_name_things_without_their_contents() -> None:
    registry, projection, aggregate = accounts()
    assert repr(registry) == "<Registry of 1 event types, 1 projections, 1 aggregates, 0 reactors>"
    assert repr(projection) == "<Projection accounts v1 of Account>"
    assert repr(aggregate) == "<Aggregate account of Account>"
    assert registry.projections == (projection,)
    assert (projection.name, projection.version, projection.handles("opened")) == ("accounts", 1, False)


def test_a_projection_folds_as_an_aggregate_with_the_handlers_to_come_too() -> None:
    registry, projection, aggregate = accounts()
    registry.event("closed")(Closed)
    aggregate.on(Opened)(lambda state, event: Account(event.id, event.amount))
    projection.fold_as(aggregate)
    aggregate.on(Closed)(lambda state, event: None)
    with connect("memory:", registry) as app:
        view = app.projection_store.view(projection)
        app.event_store.append("account-1", Opened("1", 7))
        app.projector.catch_up()
        assert view.get("account-1") == Account("1", 7) == app.event_store.load(aggregate, "account-1").state
        app.event_store.append("account-1", Closed("1"))
        app.projector.catch_up()
        assert view.get("account-1") is None


def test_tags_that_a_type_declares_are_those_of_its_events() -> None:
    registry = Registry()
    registry.event("opened", tags=lambda event: (f"account:{event.id}",))(Opened)
    with connect("memory:", registry) as app:
        app.event_store.append("account-1", Opened("1"))
        assert [each.tags for each in app.event_store.read()] == [("account:1",)]


def test_an_event_that_nobody_registered_is_told_with_its_place() -> None:
    registry, *_ = accounts()
    backend = Memory()
    EventStore(backend, registry).append("account-1", Opened("1"), Opened("1"))
    strange = Registry()
    with pytest.raises(UnknownEventType) as told:
        list(EventStore(backend, strange).read(after=1))
    error = told.value
    assert (error.type, error.version, error.stream, error.position) == ("opened", 1, "account-1", 2)
    strange.ignore("opened")
    assert list(EventStore(backend, strange).read()) == []
