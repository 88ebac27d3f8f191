"""How an event type changes while its old events stay as they are."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

from eventsource_upstash import App, Registry, UnknownEventType, connect

before = Registry()
added = Registry()
registry = Registry()


# --8<-- [start:first]
@before.event("member-joined")
@dataclass(frozen=True)
class MemberJoined:
    name: str


# --8<-- [end:first]


# --8<-- [start:added]
@added.event("member-joined")
@dataclass(frozen=True)
class MemberJoinedWithEmail:
    name: str
    email: str | None = None  # events from before have none


# --8<-- [end:added]


# --8<-- [start:upcast]
@registry.upcast("member-joined", from_version=1)
def split_name(data: dict[str, object]) -> dict[str, object]:
    first, _, last = str(data["name"]).partition(" ")
    return {"first_name": first, "last_name": last}


@registry.event("member-joined", version=2)
@dataclass(frozen=True)
class Joined:
    first_name: str
    last_name: str


# --8<-- [end:upcast]


@contextmanager
def with_old_events(registry: Registry) -> Generator[App, None, None]:
    """An app over a log that an older release wrote."""
    with connect("sqlite:members.db", before) as app:
        if not app.event_store.head():
            app.event_store.append("member-1", MemberJoined("Ada Lovelace"))
    with connect("sqlite:members.db", registry) as app:
        yield app


def test_added_field(in_empty_folder: None) -> None:
    with with_old_events(added) as app:
        assert next(app.event_store.read()).event == MemberJoinedWithEmail("Ada Lovelace", None)


def test_upcast(in_empty_folder: None) -> None:
    with with_old_events(registry) as app:
        # --8<-- [start:upcast_read]
        recorded = next(app.event_store.read_stream("member-1"))
        assert recorded.version == 1  # as it was written
        assert recorded.event == Joined("Ada", "Lovelace")  # as the code knows it now
        # --8<-- [end:upcast_read]


@dataclass(frozen=True)
class Count:
    members: int


def test_ignore(in_empty_folder: None) -> None:
    registry = Registry()
    registry.projection("count", Count)
    with with_old_events(registry) as app:
        # --8<-- [start:ignore]
        try:
            list(app.event_store.read())
        except UnknownEventType as unknown:
            assert (unknown.type, unknown.position) == ("member-joined", 1)

        registry.ignore("member-joined")  # its events stay in the log, and are passed over here
        assert list(app.event_store.read()) == []
        # --8<-- [end:ignore]
        assert app.projector.catch_up().complete


def test_removed_field(in_empty_folder: None) -> None:
    removed = Registry()

    @removed.event("member-joined")
    @dataclass(frozen=True)
    class MemberJoined:
        email: str | None = None

    with with_old_events(removed) as app:
        assert next(app.event_store.read()).event == MemberJoined()
