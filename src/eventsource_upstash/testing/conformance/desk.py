"""A small app for the suite: a porter who reacts to what doors are asked for, and workers that come to grief."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from ..._io.port import Port
from ...backends.memory import InProcess
from ...domain.aggregates import Aggregate
from ...domain.events import FREE, Receipt, Recorded
from ...domain.folding import OnError
from ...domain.projections import Projection
from ...domain.reactions import Append, Execute, Reaction, Send
from ...domain.reactors import Reactor
from ...domain.registry import Registry
from ...ports import Backend, Message, Messages
from ..wrapping import Around, BackendWrapper

T = TypeVar("T")

EVERYTHING = "send book close open"
"""Every kind of reaction. Closing a door that is closed decides nothing, and would do something once it is open."""


@dataclass(frozen=True)
class Asked:
    """What a door is asked for.

    Attributes:
        door: Which.
        wants: What the porter answers: of "send", "book", "open", "close", "jam".
    """

    door: str
    wants: str


@dataclass(frozen=True)
class Opened:
    """It is open."""


@dataclass(frozen=True)
class Closed:
    """It is closed."""


@dataclass(frozen=True)
class Booked:
    """What the porter appends: which of his decisions it comes from."""

    decision: int


@dataclass(frozen=True)
class Turn:
    """A command."""

    to: str


@dataclass(frozen=True)
class Door:
    """State of the aggregate."""

    open: bool = False


@dataclass(frozen=True)
class Seen:
    """What a door was asked for last."""

    wants: str


class Jammed(Exception):
    """The door does not move."""


class Desk:
    """The app's registry, made anew for each test.

    Attributes:
        decisions: How often the porter has decided. Each decision is another one: its number is in what it leads to.
        jammed: While it is True, the command "jam" is refused; later it opens the door.
    """

    def __init__(self, on_error: OnError = "stop", *, since: datetime | None = None, version: int = 1) -> None:
        self.decisions: int = 0
        self.jammed = False
        self.registry: Registry = Registry()
        for name, event in {"asked": Asked, "opened": Opened, "closed": Closed, "booked": Booked}.items():
            self.registry.event(name)(event)
        self.door: Aggregate[Door] = self.registry.aggregate("door", Door)
        self.seen: Projection[Seen] = self.registry.projection("seen", Seen, version=version)
        self.porter: Reactor = self.registry.reactor("porter", on_error=on_error, since=since)
        self.seen.on(Asked, key="door")(lambda _, event: Seen(event.wants))
        self.door.on(Opened)(lambda _, __: Door(open=True))
        self.door.on(Closed)(lambda _, __: Door(open=False))
        self.door.decide(Turn)(self._turn)
        self.porter.on_recorded(Asked, key="door")(self._react)

    def _turn(self, state: Door | None, command: Turn) -> Sequence[object]:
        if command.to == "jam" and self.jammed:
            raise Jammed("it does not move, on purpose")
        is_open = state is not None and state.open
        if command.to == "close":
            return [Closed()] if is_open else []
        return [] if is_open else [Opened()]

    def _react(self, recorded: Recorded[Asked]) -> list[Reaction]:
        self.decisions += 1
        decision, event = self.decisions, recorded.event
        answers: dict[str, Reaction] = {
            "send": Send("/porter", decision),
            "book": Append(f"book-{event.door}", Booked(decision)),
        }
        return [answers.get(each) or Execute(self.door, event.door, Turn(each)) for each in event.wants.split()]


async def _plainly(call: str, step: Callable[[], Awaitable[T]]) -> T:  # noqa: ARG001  as `Around` has it
    return await step()


class Carrier(InProcess):
    """Takes messages over into a list.

    Attributes:
        error: Raised instead, if it is there.
    """

    def __init__(self, taken: list[Message], around: Around = _plainly) -> None:
        super().__init__()
        self.error: Exception | None = None
        self._taken = taken
        self._around = around

    def messages(self, port: Port) -> Messages:  # noqa: ARG002
        """See `NoticeTransport.messages`."""
        return self

    async def publish(self, messages: Sequence[Message]) -> Receipt:
        """See `Messages.publish`."""

        async def take() -> Receipt:
            if self.error is not None:
                raise self.error
            self._taken.extend(messages)
            return FREE

        return await self._around("messages.publish", take)


class Died(BaseException):
    """The worker's process ends here. No handler of errors sees it."""


class Interrupted(BackendWrapper):
    """A backend of which one call is interrupted.

    Args:
        inner: The backend.
        at: Which call, counted from 1, or named.
        what: What happens.
        after: Whether it happens after the call, and its answer is lost if that raises; else before it.

    Attributes:
        calls: How many calls there were.
    """

    def __init__(self, inner: Backend, at: int | str, what: Callable[[], Awaitable[None]], *, after: bool) -> None:
        super().__init__(inner)
        self.calls: int = 0
        self._at = at
        self._what = what
        self._after = after

    async def around(self, call: str, step: Callable[[], Awaitable[T]]) -> T:
        """Do a call, and what happens before or after it."""
        self.calls += 1
        now = self._at in {call, self.calls}
        if now and not self._after:
            await self._what()
        answer = await step()
        if now and self._after:
            await self._what()
        return answer
