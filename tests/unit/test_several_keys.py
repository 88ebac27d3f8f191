"""One event that concerns several documents: each call of the handler is given an event of its own."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from eventsource_upstash import Registry, connect


@dataclass
class Batch:
    amounts: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Taken:
    amount: int


@pytest.mark.parametrize("fails", [False, True])
def test_a_handler_that_takes_from_its_event_takes_from_nobody_elses(fails: bool) -> None:
    registry = Registry()
    registry.event("batch")(Batch)
    taken = registry.projection("taken", Taken)
    failures = [fails]

    @taken.on(Batch, key=lambda _: ("x", "y"))
    def take(_: Taken | None, event: Batch) -> Taken | None:
        amount = event.amounts.pop()
        if failures.pop() if failures else False:
            raise RuntimeError("once")
        return Taken(amount)

    app = connect("memory:", registry)
    app.event_store.append("s", Batch([1, 2]))
    assert app.projector.catch_up().complete
    assert dict(app.projection_store.view(taken).items()) == {"x": Taken(2), "y": Taken(2)}
