"""What is wrong with a reactor is said when it is registered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

import pytest

from eventsource_upstash import (
    EventStore,
    Memory,
    Misuse,
    ProjectionStopped,
    ProjectionStore,
    Projector,
    Reactor,
    RegistrationError,
    Registry,
    connect,
)
from eventsource_upstash.testing.colours import Colour, Face, settled
from tests.reactors.shops import Shop
from tests.reactors.support import Booked, Orders, Placed


def placed() -> tuple[Registry, Reactor]:
    registry = Registry()
    registry.event("placed")(Placed)
    return registry, registry.reactor("desk")


@dataclass(frozen=True)
class Unheard:
    order: str


def nothing(event: Placed) -> None: ...


@pytest.mark.parametrize(
    ("register", "why"),
    [
        (lambda registry, _: registry.reactor("desk"), "reactor 'desk' is registered already"),
        (lambda registry, _: registry.reactor("a:b"), "reactor 'a:b': its name has"),
        (lambda registry, _: registry.reactor("reactor~desk"), "reactor 'reactor~desk': its name has"),
        (lambda registry, _: registry.reactor(""), "reactor '': its name has"),
        (lambda registry, _: registry.reactor(None), "reactor None: its name has"),
        (lambda registry, _: registry.reactor("x" * 300), "its name has 1 to 128"),
        (
            lambda registry, _: registry.reactor("x", on_error="ignore"),
            "on_error='ignore'; it is 'stop', 'park' or 'skip'",
        ),
        (lambda registry, _: registry.reactor("x", since=datetime(2026, 1, 1)), "a datetime with a time zone"),  # noqa: DTZ001
        (
            lambda registry, _: registry.reactor("x", since=1_700_000_000),
            "reactor 'x', since=.*a datetime with a time zone",
        ),
        (
            lambda registry, _: registry.projection("x", Placed, on_error="ignore"),
            "'x': on_error='ignore'; it is 'stop'",
        ),
        (lambda registry, _: registry.projection("reactor~desk", Placed), "projection 'reactor~desk': its name has"),
        (lambda _, desk: desk.on(Unheard)(nothing), "reactor 'desk'.*Unheard"),
        (
            lambda _, desk: [desk.on(Placed)(nothing) for _ in range(2)],
            r"reactor 'desk': event type 'placed' has a handler already \(nothing\)",
        ),
        (lambda _, desk: desk.on(Placed, key="place")(nothing), "reactor 'desk', handler nothing.*'place'"),
        (lambda _, desk: desk.on(Placed, key=7)(nothing), "reactor 'desk', handler nothing"),
        (lambda _, desk: desk.on(Placed)(lambda: None), "reactor 'desk'.*<lambda>"),
        (lambda _, desk: desk.on(Placed)(lambda document, event: None), "reactor 'desk'.*<lambda>"),
        (lambda _, desk: desk.on_recorded(Placed)(7), "reactor 'desk'"),
        (lambda _, desk: desk.on(Placed)(lambda: None), r"cannot be called as <lambda>\(event\)"),
        (lambda _, desk: desk.on_recorded(Placed)(lambda: None), r"cannot be called as <lambda>\(recorded\)"),
    ],
)
def test_a_mistake_is_told_at_once(register: Callable[[Any, Any], object], why: str) -> None:
    with pytest.raises(RegistrationError, match=why):
        register(*placed())


async def waits(event: Placed) -> None: ...


def test_a_handler_that_waits_is_refused() -> None:
    _, desk = placed()
    with pytest.raises(RegistrationError, match=r"reactor 'desk'.*waits"):
        desk.on(Placed)(waits)  # type: ignore[type-var]


def test_several_keys_are_refused_where_one_is_needed(shop: Shop) -> None:
    orders = Orders("append")
    orders.registry.reactor("second").on(Booked, key=lambda event: [event.order])(lambda _: None)  # type: ignore[arg-type,return-value]
    shop.open(orders)
    shop.run(shop.face.append("book-1", Booked("1", 1)))
    with pytest.raises(ProjectionStopped, match=r"reactor 'second'.*the key of a reaction is one"):
        shop.catch_up()


def test_reactors_and_projections_may_have_one_name() -> None:
    registry, desk = placed()
    projection = registry.projection("desk", Placed)
    projection.on(Placed)(lambda _, event: event)
    seen: list[Placed] = []
    desk.on(Placed)(seen.append)
    with connect("memory:", registry) as app:
        app.event_store.append("order-1", Placed("1"))
        app.projector.catch_up()
        assert app.projection_store.view(projection).count() == len(seen) == 1


def test_a_reactor_of_another_registry_is_refused(shop: Shop) -> None:
    mine, other = Orders("append"), Orders("append")
    shop.open(mine)
    for call in (shop.status, shop.retry, shop.discard):
        with pytest.raises(Misuse, match="'desk'"):
            call(other)


def test_a_reactor_is_known_by_its_name() -> None:
    since = datetime(2026, 1, 1, tzinfo=timezone.utc)
    made = Registry().reactor("desk", on_error="park", since=since)
    assert (made.name, made.on_error, made.since) == ("desk", "park", since)


def test_what_a_reactor_has_still_to_do_is_kept_under_a_name_that_stays() -> None:
    """Another one, and a deployed reactor would begin anew, and do all of it again."""
    _, desk = placed()
    assert (desk.outbox.name, desk.outbox.version) == ("reactor~desk", 1)


def test_what_was_recorded_in_that_very_moment_is_reacted_to() -> None:
    registry = Registry()
    registry.event("placed")(Placed)
    since = datetime(2026, 1, 1, tzinfo=timezone.utc)
    seen: list[Placed] = []
    registry.reactor("desk", since=since).on(Placed)(seen.append)
    backend = Memory()
    start = round(since.timestamp()) * 1_000_000_000
    for microseconds in (-1, 0, 1):
        store = EventStore(backend, registry, clock=lambda at=microseconds: start + at * 1_000)
        store.append("order-1", Placed(str(microseconds)))
    Projector(EventStore(backend, registry), ProjectionStore(backend, registry)).catch_up()
    assert [each.order for each in seen] == ["0", "1"]


def test_a_reactor_without_handlers_costs_nothing() -> None:
    registry, desk = placed()
    face = Face(Colour.BLOCKING, connect("memory:", registry).event_store.backend, registry)
    Colour.BLOCKING.run(face.append("order-1", Placed("1")))
    assert Colour.BLOCKING.run(face.catch_up()).complete
    status: Any = Colour.BLOCKING.run(settled(face.app.reactions.status(desk)))
    assert (status.state, status.pending) == ("current", 0)
