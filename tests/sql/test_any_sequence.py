"""Whatever happens to a view, in whatever order: after a sync that is complete the table holds what the view holds."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from eventsource_upstash import EventStore, Memory, Notifier, Projection, ProjectionStore, Projector
from eventsource_upstash.sql import Sync
from tests.sql.accounts import Left, Registered, Used, User, accounts, rows_of, users_table

USERS = st.sampled_from(["a", "B", "c", "ä", "z"])
EVENTS = st.one_of(
    st.builds(Registered, USERS, st.integers(1, 9)),
    st.builds(Used, USERS, st.sampled_from([1, 2, 13])),  # the fold of 13 fails, until it is mended
    st.builds(Left, USERS),
)
STEPS = st.one_of(
    st.lists(EVENTS, min_size=1, max_size=4),
    st.tuples(st.just("sync"), st.sampled_from([None, 0.0]), st.booleans()),
    st.sampled_from(["catch up", "rebuild", "raise", "mend", "break", "retry", "discard", "later"]),
)
Policy = Literal["park", "skip"]


class World:
    """An app whose code is deployed anew again and again, over one log."""

    def __init__(self, policy: Policy, *, ends: bool) -> None:
        self.memory = Memory()
        self.policy: Policy = policy
        self.ends = ends
        self.version = 1
        self.broken = True
        self.now = 10
        self.engine = sa.create_engine(
            "sqlite://", poolclass=sa.pool.StaticPool, connect_args={"check_same_thread": False}
        )
        self.table = users_table()
        self.table.create(self.engine)
        self.deploy()

    def deploy(self) -> None:
        known = accounts(version=self.version)
        registry = known.registry
        users: Projection[User] = registry.projection("people", User, version=self.version, on_error=self.policy)

        @users.on(Registered, key="user")
        def registered(user: User | None, event: Registered) -> User:
            return User(event.quota * self.version)

        @users.on(Used, key="user")
        def used(user: User | None, event: Used) -> User | None:
            if self.broken and event.amount == 13:
                raise ValueError("thirteen")
            return user and replace(user, used=user.used + event.amount)

        @users.on(Left, key="user")
        def left(user: User | None, event: Left) -> None:
            return None

        if self.ends:
            users.expires(lambda user: float(user.quota * 10))
        self.users = users
        clock = lambda: self.now * 1_000_000_000  # noqa: E731
        self.event_store = EventStore(self.memory, registry, notifier=Notifier(None), clock=clock)
        self.store = ProjectionStore(self.memory, registry, clock=clock)
        self.projector = Projector(self.event_store, self.store, clock=clock)

    def step(self, step: object) -> None:
        if isinstance(step, list):
            self.event_store.append("users", *step)
        elif isinstance(step, tuple):
            _, budget, full = step
            result = Sync(self.engine, self.store.view(self.users), self.table, page_size=2).run(
                time_budget=budget, full=full
            )
            if result.complete:
                self.check()
        elif step == "catch up":
            self.projector.catch_up()
        elif step == "rebuild":
            self.projector.rebuild(self.users)
        elif step == "raise":
            self.version += 1
            self.deploy()
        elif step in ("mend", "break"):
            self.broken = step == "break"
        elif step == "later":
            self.now += 7
        elif self.policy == "park":
            (self.projector.retry_parked if step == "retry" else self.projector.discard_parked)(self.users)

    def check(self) -> None:
        view = {key: (user.quota, user.used) for key, user in self.store.view(self.users).items()}
        assert rows_of(self.engine, self.table) == view


@settings(max_examples=80)
@given(st.sampled_from(["park", "skip"]), st.booleans(), st.lists(STEPS, max_size=14))
def test_after_any_sequence_the_table_is_the_view(policy: Policy, ends: bool, steps: list[object]) -> None:
    world = World(policy, ends=ends)
    for step in steps:
        world.step(step)
    result = Sync(world.engine, world.store.view(world.users), world.table, page_size=2).run()
    assert result.complete
    world.check()
    world.engine.dispose()
