"""How event types change while their old events stay as they are."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from eventsource_upstash import App, Registry, UnknownEventType, connect

before = Registry()
added = Registry()
renamed = Registry()
registry = Registry()


# --8<-- [start:first]
@before.event("member-joined")
@dataclass(frozen=True)
class MemberJoined:
    name: str


# --8<-- [end:first]


@before.event("points-given")
@dataclass(frozen=True)
class PointsGiven:
    points: int


@before.event("badge-sent")
@dataclass(frozen=True)
class BadgeSent:
    colour: str


# --8<-- [start:added]
@added.event("member-joined")
@dataclass(frozen=True)
class MemberJoinedWithEmail:
    name: str
    email: str | None = None  # events from before have none


# --8<-- [end:added]


# --8<-- [start:renamed_field]
@renamed.upcast("member-joined", from_version=1)
def call_it_full_name(data: dict[str, object]) -> dict[str, object]:
    return {"full_name": data["name"]}


@renamed.event("member-joined", version=2)
@dataclass(frozen=True)
class MemberJoinedFullName:
    full_name: str


# --8<-- [end:renamed_field]


# --8<-- [start:upcast]
@registry.upcast("member-registered", from_version=1)
def name_in_full(data: dict[str, object]) -> dict[str, object]:
    return {"full_name": data["name"]}


@registry.upcast("member-registered", from_version=2)
def split_name(data: dict[str, object]) -> dict[str, object]:
    first, _, last = str(data["full_name"]).partition(" ")
    return {"first_name": first, "last_name": last}


@registry.event("member-registered", version=3, formerly=("member-joined",))
@dataclass(frozen=True)
class MemberRegistered:
    first_name: str
    last_name: str


# --8<-- [end:upcast]

# --8<-- [start:retired]
registry.ignore("badge-sent")  # since 2024 there are no badges
# --8<-- [end:retired]


# --8<-- [start:meaning]
@registry.event("points-given")  # until 2024: points were worth a tenth
@dataclass(frozen=True)
class OldPointsGiven:
    points: int


@registry.event("points-credited")
@dataclass(frozen=True)
class PointsCredited:
    points: int


@dataclass(frozen=True)
class Balance:
    points: int = 0


balances = registry.projection("balances", Balance)


@balances.on(OldPointsGiven)
def given(balance: Balance | None, event: OldPointsGiven) -> Balance:
    balance = balance or Balance()
    return replace(balance, points=balance.points + event.points // 10)


@balances.on(PointsCredited)
def credited(balance: Balance | None, event: PointsCredited) -> Balance:
    balance = balance or Balance()
    return replace(balance, points=balance.points + event.points)


# --8<-- [end:meaning]


@contextmanager
def with_old_events(registry: Registry) -> Generator[App, None, None]:
    """An app over a log that an older release wrote."""
    with connect("sqlite:members.db", before) as app:
        if not app.event_store.head():
            app.event_store.append(
                "member-1", MemberJoined("Ada Lovelace"), PointsGiven(50), BadgeSent("red")
            )
    with connect("sqlite:members.db", registry) as app:
        yield app


def test_added_field(in_empty_folder: None) -> None:
    with with_old_events(added) as app:
        assert next(app.event_store.read()).event == MemberJoinedWithEmail("Ada Lovelace", None)


def test_renamed_field(in_empty_folder: None) -> None:
    with with_old_events(renamed) as app:
        # --8<-- [start:renamed_field_read]
        recorded = next(app.event_store.read_stream("member-1"))
        assert recorded.version == 1  # as it was written
        assert recorded.event == MemberJoinedFullName("Ada Lovelace")  # as the code knows it now
        # --8<-- [end:renamed_field_read]


def test_renamed_type(in_empty_folder: None) -> None:
    with with_old_events(registry) as app:
        # --8<-- [start:renamed_type]
        recorded = next(app.event_store.read_stream("member-1"))
        assert recorded.type == "member-joined"  # as it was written
        assert recorded.event == MemberRegistered("Ada", "Lovelace")  # as the code knows it now
        # --8<-- [end:renamed_type]


def test_meaning(in_empty_folder: None) -> None:
    with with_old_events(registry) as app:
        app.event_store.append("member-1", PointsCredited(7))
        app.projector.catch_up()
        assert app.projection_store.view(balances).get("member-1") == Balance(12)


def test_retired(in_empty_folder: None) -> None:
    registry = Registry()
    registry.projection("balances", Balance)
    with with_old_events(registry) as app:
        # --8<-- [start:ignore]
        try:
            list(app.event_store.read())
        except UnknownEventType as unknown:
            assert (unknown.type, unknown.position) == ("member-joined", 1)

        for retired in ("member-joined", "points-given", "badge-sent"):
            registry.ignore(retired)  # the events stay in the log, and are passed over here
        assert list(app.event_store.read()) == []
        # --8<-- [end:ignore]
        assert app.projector.catch_up().complete


# --8<-- [start:between]
between = Registry()


@between.event("member-joined", formerly=("member-registered",))  # writes the old name, reads both
@dataclass(frozen=True)
class Joined:
    name: str


# --8<-- [end:between]


def test_between() -> None:
    after = Registry()
    after.event("member-registered", formerly=("member-joined",))(Joined)
    with connect("memory:", after) as app:
        app.event_store.append("member-1", Joined("Ada"))
        (recorded,) = App(app.backend, between, None).event_store.read()
        assert (recorded.type, recorded.event) == ("member-registered", Joined("Ada"))


def test_removed_field(in_empty_folder: None) -> None:
    removed = Registry()

    @removed.event("member-joined")
    @dataclass(frozen=True)
    class MemberJoined:
        email: str | None = None

    with with_old_events(removed) as app:
        assert next(app.event_store.read()).event == MemberJoined()


def test_corpus(in_empty_folder: None) -> None:
    from eventsource_upstash.testing import add_to_corpus

    add_to_corpus(
        before, "tests/corpus", MemberJoined("Ada Lovelace"), PointsGiven(5), BadgeSent("red")
    )
    add_to_corpus(renamed, "tests/corpus", MemberJoinedFullName("Alan Turing"))

    # --8<-- [start:corpus_add]
    from eventsource_upstash.testing import add_to_corpus

    add_to_corpus(registry, "tests/corpus", MemberRegistered("Grace", "Hopper"), PointsCredited(7))
    # --8<-- [end:corpus_add]

    # --8<-- [start:corpus]
    from eventsource_upstash.testing import check_corpus

    read = check_corpus(registry, "tests/corpus")
    assert read["events/member-joined.v1.json"] == (MemberRegistered("Ada", "Lovelace"),)
    # --8<-- [end:corpus]
    assert len(read) == 6
