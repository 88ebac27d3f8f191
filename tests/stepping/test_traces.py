"""The TLA+ model of the notification protocol and the real one do the same: behaviours of the model are done again."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from typing import Final

import pytest

from tests.models import traces
from tests.stepping import broken_notices as broken
from tests.stepping.broken_notices import around
from tests.stepping.model import LOST_AFTER_US, OwingMemory
from tests.stepping.notified import Wishes
from tests.stepping.traced import Traced

Note = Callable[[str, object], None]

KEPT = traces.kept()


@pytest.fixture(autouse=True)
def _quietly(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "eventsource_upstash")


def test_the_traces_are_of_this_model() -> None:
    assert KEPT.model == traces.fingerprint(), "the model has changed: python -m tests.models.traces renews its traces"


def follow(world: traces.Traces, wishes: Wishes, lost_after_us: float = LOST_AFTER_US) -> None:
    """Do each trace of a world again, on the reference model."""
    wishes = wishes._replace(hurried=world.hurried, page=world.page)
    for trace in world.traces:
        memory = OwingMemory(lost_after_us)
        Traced(memory, lambda memory=memory: memory.outstanding.position, wishes).run(trace)


@pytest.mark.parametrize("world", KEPT.worlds, ids=lambda world: world.world)
def test_the_protocol_does_as_the_model(world: traces.Traces, record_property: Note) -> None:
    record_property("traces", len(world.traces))
    record_property("actions", sum(map(len, world.traces)))
    assert len(world.traces) >= 20
    follow(world, Wishes())


WRONG: Final = {
    "the commit answers the head of before": Wishes(prepare=around(views=broken.AnswersTheHeadOfBefore)),
    "settled when any one is at the head": Wishes(prepare=around(views=broken.SettlesForAnybody)),
    "never withdrawn": Wishes(prepare=around(log=broken.NeverWithdraws)),
    "withdrawn by the moment": Wishes(prepare=around(log=broken.WithdrawsWhatTheClockSays)),
    "owed once only": Wishes(prepare=around(log=broken.OwesOnceOnly)),
    "named by the position alone": Wishes(named=lambda position, _: f"{position}"),
    "content with the position in the message": Wishes(endpoint=broken.ContentWithThePosition),
    "forgets the rest when time is up": Wishes(endpoint=broken.ForgetsTheRest),
    "never lost": Wishes(),
}


def follow_all(wishes: Wishes, lost_after_us: float) -> None:
    for world in KEPT.worlds:
        follow(world, wishes, lost_after_us)


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_protocol_does_not(name: str) -> None:
    with pytest.raises(AssertionError, match="and the model has"):
        follow_all(WRONG[name], math.inf if name == "never lost" else LOST_AFTER_US)
