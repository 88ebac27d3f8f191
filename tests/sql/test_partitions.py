"""Tables that follow a log in partitions: what they have reached is a vector, kept beside the number of places."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import cast

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from eventsource_upstash import App, LogRewound, Misuse, Projection, ProjectionStopped, Vector
from eventsource_upstash.backends.memory import InProcess
from eventsource_upstash.domain.positions import partition_of
from eventsource_upstash.sql import SqlFollower, Sync, Synced
from eventsource_upstash.sql.tables import CHECKPOINTS, SYNCS
from tests.kafka.partitioned import Partitioned
from tests.sql.accounts import Left, Registered, Used, User, accounts, rows_of, sql_users, users_table


class World:
    """A log in partitions, a view of it, and tables in step with either."""

    def __init__(self, engine: sa.Engine, count: int = 3, *, on_error: str = "stop", page_size: int = 3) -> None:
        self.engine = engine
        self.table, self.copy = users_table("users"), users_table("copies")
        self.backend = Partitioned(count)
        self.known = accounts(on_error=on_error)
        self.app = App(self.backend, self.known.registry, InProcess())
        users = sql_users(self.known.registry, self.table, on_error=on_error)
        self.follower = SqlFollower(engine, users, page_size=page_size)
        self.page_size = page_size

    def create(self) -> World:
        self.table.create(self.engine)
        self.copy.create(self.engine)
        return self

    def play(self, *events: object) -> list[int]:
        """Events in turns, each in another stream."""
        append = self.app.event_store.append
        return [append(f"stream-{number}", event).position for number, event in enumerate(events)]

    def follow(self) -> None:
        self.app.projector.follow(self.follower)
        self.app.projector.catch_up()

    def sync(self) -> Synced:
        view = self.app.projection_store.view(self.known.users)
        return Sync(self.engine, view, self.copy, page_size=self.page_size).run()

    def view(self) -> dict[str, tuple[int, int]]:
        documents = self.app.projection_store.view(self.known.users).items()
        return {key: (user.quota, user.used) for key, user in cast("Sequence[tuple[str, User]]", documents)}

    @property
    def rows(self) -> dict[str, tuple[int, int]]:
        return rows_of(self.engine, self.table)

    @property
    def copies(self) -> dict[str, tuple[int, int]]:
        return rows_of(self.engine, self.copy)


@pytest.fixture
def world(engine: sa.Engine) -> World:
    return World(engine).create()


@pytest.fixture
def small(lite: sa.Engine) -> World:
    return World(lite).create()


BUSY: list[object] = [Registered("a", 5), Used("a", 1), Registered("b", 7), Left("a"), Used("b", 2), Registered("a", 6)]


def test_tables_follow_in_pages_of_several_partitions(world: World) -> None:
    world.play(*BUSY, *BUSY)
    world.follow()
    assert world.rows == world.view() == {"a": (6, 0), "b": (7, 2)}
    status = world.follower.status()[0]
    assert isinstance(status.checkpoint, Vector)
    assert status.checkpoint == world.app.event_store.head()
    world.play(Used("a", 2), Used("b", 2))
    caught_up = world.app.projector.catch_up()
    assert caught_up.complete
    assert caught_up.position == caught_up.head
    assert world.rows == world.view() == {"a": (6, 2), "b": (7, 4)}
    assert not world.app.projector.catch_up().applied


def test_a_copy_of_a_view_goes_on_by_events_of_several_partitions(world: World) -> None:
    world.play(*BUSY)
    world.app.projector.catch_up()
    first = world.sync()
    assert (first.full, first.complete) == (True, True)
    assert world.copies == world.view()
    world.play(*BUSY, Used("b", 3), Left("a"))
    again = world.sync()
    assert (again.full, again.complete) == (False, True)
    assert again.position == again.head == world.app.event_store.head()
    assert world.copies == world.view() == {"b": (7, 5)}
    assert (world.sync().upserted, world.sync().complete) == (0, True)


def test_another_process_goes_on_from_the_vector(small: World) -> None:
    small.play(*BUSY)
    small.follow()
    small.sync()
    other = World(small.engine)
    other.backend = small.backend
    other.app = App(small.backend, other.known.registry, InProcess())
    other.play(Used("a", 3), Used("b", 3))
    other.follow()
    assert not other.sync().full
    assert other.rows == other.copies == other.view() == {"a": (6, 3), "b": (7, 5)}


def test_gaps_and_more_partitions(small: World) -> None:
    small.backend.partitions.gap(1, 2)
    small.play(*BUSY)
    small.backend.partitions.gap(0, 9)
    small.follow()
    small.sync()
    assert small.follower.status()[0].checkpoint == small.app.event_store.head()
    small.backend.partitions.grow(5)
    small.play(*BUSY, *BUSY)
    assert small.app.projector.catch_up().complete
    assert small.sync().complete
    assert small.rows == small.copies == small.view()
    assert small.follower.status()[0].checkpoint == small.app.event_store.head()


def test_one_partition_keeps_a_number_until_there_are_more(lite: sa.Engine) -> None:
    world = World(lite, 1).create()
    world.play(*BUSY)
    world.backend.partitions.gap(0, 4)
    world.follow()
    world.sync()
    assert world.follower.status()[0].checkpoint == 10
    assert not isinstance(world.follower.status()[0].checkpoint, Vector)
    world.backend.partitions.grow(2)
    world.play(*BUSY)
    assert world.app.projector.catch_up().complete
    assert not world.sync().full
    assert world.rows == world.copies == world.view()
    assert world.follower.status()[0].checkpoint == world.app.event_store.head()


def test_an_event_that_is_gone_under_a_number_is_no_other_log(lite: sa.Engine) -> None:
    world = World(lite, 1).create()
    world.play(*BUSY)
    world.follow()
    world.sync()
    world.backend.partitions.forget(
        world.app.event_store.head()
    )  # as compaction would, or an aborted transaction's record
    world.play(Used("a", 1))
    assert world.app.projector.catch_up().complete
    assert not world.sync().full
    assert world.rows == world.copies == world.view() == {"a": (6, 1), "b": (7, 2)}


def test_a_stop_holds_the_place_in_every_partition(small: World) -> None:
    small.play(Registered("a", 5), Registered("b", 5), Used("a", 1))
    bad = small.play(Used("a", 13))[0]
    small.play(Used("b", 1), Used("a", 1))
    small.app.projector.follow(small.follower)
    with pytest.raises(ProjectionStopped) as stopped:
        small.app.projector.catch_up()
    assert stopped.value.position == bad
    status = small.follower.status()[0]
    assert status.stopped is not None
    assert status.stopped.position == bad
    assert int(status.checkpoint) == 3
    assert small.rows == {"a": (5, 1), "b": (5, 0)}


def test_what_is_skipped_is_passed_in_its_partition_alone(small: World) -> None:
    world = World(small.engine, on_error="skip", page_size=4)
    world.play(Registered("a", 5), Used("a", 13), Registered("b", 5), Used("b", 13), Used("a", 1), Used("b", 1))
    world.follow()
    assert world.rows == {"a": (5, 1), "b": (5, 1)}
    assert world.follower.status()[0].skipped == 2
    assert world.follower.status()[0].checkpoint == world.app.event_store.head()


def test_a_topic_made_anew_is_told_by_any_partition(small: World) -> None:
    small.play(*BUSY)
    small.follow()
    small.sync()
    small.backend.partitions.recreate()
    small.play(*BUSY[:1])
    with pytest.raises(LogRewound):
        small.app.projector.catch_up()
    with pytest.raises(LogRewound):
        small.sync()


@pytest.mark.parametrize("name", [CHECKPOINTS, SYNCS])
def test_a_table_from_before_there_were_vectors_does_for_numbers_and_tells_what_it_lacks(
    lite: sa.Engine, name: str
) -> None:
    before = World(lite, 1).create()
    before.play(*BUSY)
    before.follow()
    before.sync()
    with lite.begin() as connection:
        connection.execute(sa.text(f"ALTER TABLE {name} DROP COLUMN places"))
    world = World(lite, 1)
    world.backend = before.backend
    world.app = App(world.backend, world.known.registry, InProcess())
    world.play(Used("a", 1))
    world.follow()
    assert not world.sync().full
    assert world.rows == world.copies == world.view() == {"a": (6, 1), "b": (7, 2)}
    world.backend.partitions.grow(2)
    world.play(*BUSY)
    step = world.app.projector.catch_up if name == CHECKPOINTS else world.sync
    with pytest.raises(Misuse, match=f"ALTER TABLE {name} ADD places TEXT"):
        step()
    with lite.begin() as connection:
        connection.execute(sa.text(f"ALTER TABLE {name} ADD places TEXT"))
    again = World(lite, 1)
    again.backend = world.backend
    again.app = App(again.backend, again.known.registry, InProcess())
    again.follow()
    assert not again.sync().full
    assert again.rows == again.copies == again.view()


def test_a_copy_of_a_view_that_has_stopped_goes_on_from_there_in_every_partition(small: World) -> None:
    bad = {"bad"}
    people: Projection[User] = small.known.registry.projection("people", User)

    @people.on(Registered, key="user")
    def registered(user: User | None, event: Registered) -> User:
        if event.user in bad:
            raise ValueError(event.user)
        return User(event.quota)

    def sync() -> Synced:
        return Sync(small.engine, small.app.projection_store.view(people), small.copy, page_size=2).run()

    small.play(Registered("a", 1), Registered("b", 2))
    with suppress(ProjectionStopped):
        small.app.projector.catch_up()
    assert sync().full
    small.play(Registered("c", 3))
    stops = small.play(Registered("bad", 4))[0]
    more = small.play(*[Registered(f"u{number}", number) for number in range(9)])
    assert {partition_of(each) for each in more} - {partition_of(stops)}
    with pytest.raises(ProjectionStopped):
        small.app.projector.catch_up()
    halted = sync()
    assert (halted.full, halted.complete) == (False, False)
    assert set(small.copies) == {"a", "b", "c"}
    bad.clear()
    assert small.app.projector.catch_up().complete
    goes_on = sync()
    assert (goes_on.full, goes_on.complete) == (False, True)
    assert small.copies == {key: (user.quota, 0) for key, user in small.app.projection_store.view(people).items()}
    assert len(small.copies) == 13


USERS = st.sampled_from(["a", "b", "c"])
EVENTS = st.one_of(
    st.builds(Registered, USERS, st.integers(1, 9)),
    st.builds(Used, USERS, st.sampled_from([1, 2, 13])),
    st.builds(Left, USERS),
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.integers(0, 5), EVENTS),
        st.sampled_from(["follow", "sync", "grow", "gap", "window", "until"]),
    ),
    max_size=25,
)


@settings(max_examples=40)
@given(STEPS, st.integers(1, 3))
def test_whatever_happens_tables_hold_what_the_view_holds(steps: list[object], count: int) -> None:
    engine = sa.create_engine("sqlite://", poolclass=sa.pool.StaticPool, connect_args={"check_same_thread": False})
    world = World(engine, count, on_error="skip", page_size=2).create()
    partitions = world.backend.partitions
    world.app.projector.follow(world.follower)
    last = 0
    for step in steps:
        if isinstance(step, tuple):
            number, event = cast("tuple[int, object]", step)
            last = world.app.event_store.append(f"stream-{number}", event).position
        elif step == "follow":
            assert world.app.projector.catch_up().complete
        elif step == "until":
            world.app.projector.catch_up(until=last)
        elif step == "sync":
            world.sync()
        elif step == "grow":
            partitions.grow(min(5, partitions.count + 1))
        elif step == "gap":
            partitions.gap(partitions.count - 1, 2)
        else:
            partitions.window = None if partitions.window else 2
    assert world.app.projector.catch_up().complete
    assert world.sync().complete
    assert world.rows == world.copies == world.view()
    engine.dispose()
