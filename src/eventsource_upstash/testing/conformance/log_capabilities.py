"""`Backend.capabilities`: what a log says that it can do is what its tests hold it to, and nothing is pretended."""

# ruff: noqa: D102  a test's name is its documentation

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from ...domain.events import ANY, NO_STREAM
from ...domain.queries import Query
from ...errors import Misuse
from ...ports import MAX_PAGE_BYTES, AppendCondition, Snapshot
from .kit import Contract, Lab, in_colour
from .log_atomic import LogAtomic
from .log_conditions import LogConditions
from .log_expecting import LogExpecting
from .log_lasting_keys import LogLastingKeys
from .log_streams import LogStreams

HELD_BY: Final[dict[str, type[Contract]]] = {
    "expected_revisions": LogExpecting,
    "conditions": LogConditions,
    "streams": LogStreams,
    "atomic_appends": LogAtomic,
    "lasting_keys": LogLastingKeys,
}
"""For each capability a part of the contract that holds a log to it."""


class LogCapabilities(Contract):
    """What a log can do, and what it refuses because it cannot."""

    @in_colour
    async def test_a_log_is_held_to_what_it_says_it_can(self, lab: Lab) -> None:
        said = {name for name in HELD_BY if getattr(lab.backend.capabilities, name)}
        held = {name for name, part in HELD_BY.items() if isinstance(self, part)}
        assert said == held, "its tests are of other contracts than its capabilities: see `LogContract`"

    @in_colour
    async def test_what_a_log_cannot_do_it_refuses_and_writes_nothing(self, lab: Lab) -> None:
        can = lab.backend.capabilities
        refused: dict[str, Callable[[], Awaitable[object]]] = {
            "expected_revisions": lambda: lab.log.append(lab.appending("a", expected=NO_STREAM)),
            "conditions": lambda: lab.log.append(lab.appending("a", condition=AppendCondition(Query.all()))),
            "streams": lambda: lab.log.read_stream("a", 0, 10, MAX_PAGE_BYTES),
            "atomic_appends": lambda: lab.log.append(lab.appending("a", b"1", b"2", expected=ANY)),
        }
        for name, call in refused.items():
            if not getattr(can, name):
                await _misuse(call())
        if not can.streams:
            await _misuse(lab.log.keep("a", Snapshot("n@1", 1, b"1")))
        assert await lab.everything() == []


async def _misuse(call: Awaitable[object]) -> None:
    try:
        answer = await call
    except Misuse:
        return
    raise AssertionError(f"it was answered with {answer!r}, and the log says that it cannot do that")
