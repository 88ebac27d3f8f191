"""What an app is told before it depends on anything: doubts, what its log cannot do, where its jobs are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import pytest

from eventsource_upstash import (
    App,
    EventStore,
    Memory,
    Misuse,
    Notifier,
    ProjectionStore,
    Projector,
    RegistrationError,
    Registry,
    connect,
)
from eventsource_upstash._io.blocking import PORT
from eventsource_upstash._io.port import Port
from eventsource_upstash.ports import Capabilities, Messages
from eventsource_upstash.testing import BackendWrapper
from tests.reactors.support import Carrier, Placed
from tests.sharing.support import Game, Scored, kafka, names
from tests.unit.test_notifying import Dear


class Lost(Carrier):
    """Carries messages, and does not know where the jobs are.

    Attributes:
        asked: The ports that it was asked with.
    """

    def __init__(self, *, carries: bool = True) -> None:
        super().__init__()
        self.carries = carries
        self.asked: list[Port] = []

    def messages(self, port: Port) -> Messages | None:
        self.asked.append(port)
        return self if self.carries else None

    def job_url(self, path: str) -> str:
        raise Misuse(f"nobody knows where {path} is")

    async def check(self, port: Port) -> tuple[str, ...]:
        self.asked.append(port)
        return ("its clock is ahead",)


def an_app(transport: Carrier, *paths: str) -> App:
    app = App(Memory(), Registry(), transport)
    for path in paths:
        app.job(path)(lambda job: None)
    return app


def test_jobs_that_nobody_outside_can_call_are_a_doubt(caplog: pytest.LogCaptureFixture) -> None:
    transport = Lost()
    doubts = an_app(transport, "/first", "/second").check()
    assert doubts == ("its clock is ahead", "messages to jobs cannot be sent: nobody knows where /first is")
    assert caplog.messages == list(doubts)
    assert {id(port) for port in transport.asked} == {id(PORT)}


def test_where_nobody_sends_messages_to_jobs_that_is_no_doubt() -> None:
    assert an_app(Lost()).check() == ("its clock is ahead",)
    assert an_app(Lost(carries=False), "/first").check() == ("its clock is ahead",)
    assert an_app(Carrier(), "/first").check() == ()


def test_a_job_is_where_the_transport_says() -> None:
    assert an_app(Carrier()).job_url("/work/a") == "https://app.example.com/work/a"
    with pytest.raises(RegistrationError, match=r"^job 'work'"):
        an_app(Carrier()).job_url("work")
    with pytest.raises(Misuse, match=r"^job '/work': nothing carries messages here"):
        App(Memory(), Registry(), None).job_url("/work")


class Bare(BackendWrapper):
    """A backend whose log can do nothing but take an event."""

    capabilities = Capabilities(False, False, False, False)

    def __repr__(self) -> str:
        return "Bare('here')"


@dataclass(frozen=True)
class Counted:
    number: int = 0


def test_what_a_log_cannot_do_is_refused_by_its_name() -> None:
    registry = Registry()
    registry.event("placed")(Placed)
    counted = registry.aggregate("counted", Counted)
    counted.on(Placed)(lambda _, __: Counted(1))
    app = connect(Bare(Memory()), registry)
    store = app.event_store
    with pytest.raises(Misuse, match=r"^append to stream 'a' with expected_revision=: the log of Bare\('here'\) comp"):
        store.append("a", Placed("1"), expected_revision=0)
    with pytest.raises(Misuse, match=r"^append of 2 events to stream 'a': Bare\('here'\) cannot write several"):
        store.append("a", Placed("1"), Placed("2"))
    with pytest.raises(Misuse, match=r" of stream 'a': the log of Bare\('here'\) cannot read a stream"):
        store.load(counted, "a")
    assert store.append("a", Placed("1")).position == 1


@pytest.mark.parametrize("parted", [False, True])
def test_whoever_leaves_a_rebuild_to_others_tells_them(*, parted: bool) -> None:
    dear, game = Dear(), Game(partitioned=parted)
    backend = kafka(2) if parted else Memory()
    store = EventStore(backend, game.registry, notifier=Notifier(dear))
    projector = Projector(store, ProjectionStore(backend, game.registry), page_size=1)
    for name in names(6):
        store.append(name, Scored(1))
    projector.catch_up()
    dear.told.clear()
    rebuilt = projector.rebuild(game.players, time_budget=0)
    assert not rebuilt.complete
    assert dear.told == [rebuilt.head]
    dear.told.clear()
    assert projector.rebuild(game.players).complete
    assert dear.told == []


def test_the_outbox_of_a_reactor_is_not_built_anew_and_the_reactor_is_named() -> None:
    registry = Registry()
    registry.event("placed")(Placed)
    registry.reactor("desk").on(Placed)(lambda _: [])
    (outbox,) = registry.subscriptions
    with pytest.raises(Misuse, match=r"^the outbox of reactor 'desk' is never built anew: "):
        App(Memory(), registry, None).projector.rebuild(outbox)


class Half:
    """Has some of what a backend, or a key store, has."""

    def __init__(self, *names: str) -> None:
        for name in names:
            setattr(self, name, None)

    def __repr__(self) -> str:
        return "Half()"


def test_what_is_half_of_a_part_is_none() -> None:
    for names_ in (("log",), ("views",)):
        with pytest.raises(Misuse, match=r"^Half\(\) is no backend; hand over Memory\(\)"):
            EventStore(cast("Any", Half(*names_)), Registry())
    for keys in (Half("keys"), Half("close")):
        with pytest.raises(Misuse, match=r"^keys=Half\(\) is no key store; hand over MemoryKeys\(\)"):
            EventStore(Memory(), Registry(), keys=cast("Any", keys))
    for make in (EventStore, ProjectionStore):
        with pytest.raises(Misuse, match=r"^Half\(\) is no Registry$"):
            make(Memory(), cast("Any", Half()))
