"""`pausing(backend)`: a backend that stops at every wait, for the stepping scheduler to resume."""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable, Generator
from typing import Final, TypeVar

from .._io import blocking
from .._io.port import HttpRequest, HttpResponse, Port, Signal
from ..ports import Backend, Log, Views
from .wrapping import BackendWrapper

T = TypeVar("T")


class Moment(enum.Enum):
    """Where a pause is: a call not yet done, or done and not yet answered."""

    BEFORE = "before"
    AFTER = "after"


class _Untold:
    """What stands for an answer that nobody has told."""


UNTOLD: Final = _Untold()


class Pause:
    """Awaited, it hands itself to whoever steps the coroutine, and goes on when that resumes it.

    Attributes:
        moment: Where it is.
        call: Which call, such as "log.append", "send" or "call".
        reads: Whether the call is known to change nothing, so that it may change places with another one that does not.
        answer: Of a pause before a call: what the call answered or raised, once it is done. That is all that the
            caller has learned by it.
    """

    __slots__ = ("answer", "call", "moment", "reads")

    def __init__(self, moment: Moment, call: str, *, reads: bool = False) -> None:
        self.moment: Moment = moment
        self.call: str = call
        self.reads: bool = reads
        self.answer: object = UNTOLD

    def __await__(self) -> Generator[Pause, None, None]:
        yield self

    def __repr__(self) -> str:
        return f"{self.moment.value} {self.call}"


def nothing(call: str, what: object) -> bool:  # noqa: ARG001
    """Of no call is it known that it changes nothing."""
    return False


class Pauses:
    """Where a pausing backend stops.

    Attributes:
        after: Whether it stops after a call as well as before it. Only there can an answer be lost; without it there
            are far fewer schedules, and as many orders in which calls reach the backend.
        inside: Whether it stops at each wait within a call too, for a backend whose calls have several.
        outside: Whether it stops around the calls themselves. A backend of which every step is a wait of the port needs
            only the pauses inside, and has far fewer schedules then.
        reads: Tells of which calls it is known that they change nothing.
    """

    def __init__(
        self, *, after: bool, inside: bool, outside: bool = True, reads: Callable[[str, object], bool] = nothing
    ) -> None:
        self.after = after
        self.inside = inside
        self.outside = outside
        self.reads = reads

    async def around(self, call: str, step: Callable[[], Awaitable[T]], what: object = None) -> T:
        """Pause, do a call, pause. `what` is sent or done, where it is a wait of the port."""
        before = Pause(Moment.BEFORE, call, reads=self.reads(call, what))
        await before
        try:
            before.answer = answer = await step()
        except Exception as error:
            before.answer = error
            raise
        if self.after:
            await Pause(Moment.AFTER, call)
        return answer


class SteppingPort:
    """A port that does everything here and now, and pauses around it if it is told to. It does not sleep."""

    def __init__(self, pauses: Pauses, port: Port = blocking.PORT) -> None:
        self._pauses = pauses
        self._port = port

    async def send(self, request: HttpRequest) -> HttpResponse:
        """See `Port.send`."""
        return await self._pausing("send", lambda: self._port.send(request), request)

    async def call(self, work: Callable[[], T]) -> T:
        """See `Port.call`."""
        return await self._pausing("call", lambda: self._port.call(work), work)

    async def sleep(self, seconds: float, wake: Signal | None = None, since: int = 0) -> None:  # noqa: ARG002  no time passes here
        """Pause once."""
        await Pause(Moment.BEFORE, "sleep")

    async def _pausing(self, call: str, step: Callable[[], Awaitable[T]], what: object) -> T:
        if self._pauses.inside:
            return await self._pauses.around(call, step, what)
        return await step()


class PausingBackend(BackendWrapper):
    """A backend whose calls pause. Made by `pausing`."""

    def __init__(self, inner: Backend, pauses: Pauses, port: Port = blocking.PORT) -> None:
        super().__init__(inner)
        self._pauses = pauses
        self._port = SteppingPort(pauses, port)

    def log(self, port: Port) -> Log:  # noqa: ARG002  waiting is the scheduler's, whatever port is given
        """Its log."""
        return super().log(self._port)

    def views(self, port: Port, log: Log) -> Views:  # noqa: ARG002  likewise
        """Its views."""
        return super().views(self._port, log)

    async def around(self, call: str, step: Callable[[], Awaitable[T]]) -> T:
        """Pause, do a call, pause."""
        return await self._pauses.around(call, step) if self._pauses.outside else await step()


def pausing(
    backend: Backend,
    *,
    after: bool = True,
    inside: bool = False,
    outside: bool = True,
    reads: Callable[[str, object], bool] = nothing,
    port: Port = blocking.PORT,
) -> PausingBackend:
    """A backend that stops before and after each call to its log and its views, for `explore` to resume.

    Hand it to the event-loop faces (`AsyncEventStore`, `AsyncProjector` ...): their coroutines then need no event loop.

    Args:
        backend: The backend that does the work. It shares what it holds with whoever else uses it.
        after: Whether to stop after a call too. Needed for answers to be lost.
        inside: Whether to stop at each wait that the backend itself has within a call.
        outside: Whether to stop around the calls. False for a backend that does nothing but by waits of its port: then
            the pauses inside are enough.
        reads: Tells of which calls it is known that they change nothing: it is handed "log.head" and None, "send" and
            the `HttpRequest`, or "call" and the function. With it `explore(..., merging=True)` does not try two calls
            that only read in both orders.
        port: What does the backend's waits, between the pauses.
    """
    return PausingBackend(backend, Pauses(after=after, inside=inside, outside=outside, reads=reads), port)
