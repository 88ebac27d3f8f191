"""What an app sends, and what it delivers itself: the parts wired, for one backend and one way of notifying."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from .._io.port import Port, Signal
from ..errors import Misuse
from ..ports import Backend, Buried, DeadLetters, Messages, NoticeTransport, Timetable
from .delivering import Delivered, Delivering, Posting
from .scheduling import Timing
from .sending import Sending
from .working import Jobs


class Messaging:
    """The messages of an app.

    Args:
        backend: Where they wait, if nobody outside carries them.
        transport: What may carry them.
        port: What waits.
        jobs: The jobs of this process.
        clock: Nanoseconds since 1970.

    Attributes:
        sending: Hands messages over: to the transport where it carries any, else to the backend's mailbox.
        delivering: Delivers them; None where somebody outside does.
        wake: What wakes the deliverer.
        timetable: Where schedules are kept, where the app looks at the clock itself.
    """

    def __init__(
        self,
        backend: Backend,
        transport: NoticeTransport | None,
        port: Port,
        jobs: Jobs,
        clock: Callable[[], int],
    ) -> None:
        self.delivering: Delivering | None = None
        self.wake: Signal = Signal()
        self.timetable: Timetable | None = None
        carrier = None if transport is None else transport.messages(port)
        if carrier is None and (mailbox := backend.mailbox(port)) is not None:
            carrier = posting = Posting(mailbox, clock)
            self.delivering = Delivering(mailbox, jobs, port, clock)
            self.wake = posting.signal
            self.timetable = Timing(mailbox, clock, posting.signal)
        self.sending: Sending = Sending(carrier, clock)

    def carrier(self) -> Messages | None:
        """What carries messages here, or None."""
        return self.sending.carrier

    async def deliver_due(self) -> Delivered:
        """See `Messages.deliver_due` of the faces."""
        return await self._own("deliver_due").deliver_due()

    async def dead(self, limit: int) -> list[Buried]:
        """See `Messages.dead` of the faces."""
        if type(limit) is not int or limit < 1:
            raise Misuse(f"limit={limit!r}: it is a whole number from 1")
        carrier = cast("object", self.sending.carrier)  # it may be both, which mypy cannot imagine
        if isinstance(carrier, DeadLetters):
            return await carrier.buried(limit)
        return await self._own("dead").mailbox.buried(limit)

    async def revive(self, id: str) -> bool:
        """See `Messages.revive` of the faces."""
        carrier = cast("object", self.sending.carrier)
        if isinstance(carrier, DeadLetters):
            return await carrier.revive(id)
        delivering = self._own("revive")
        revived = await delivering.mailbox.revive(id, delivering.now_us)
        if revived:
            self.wake.set()
        return revived

    def _own(self, what: str) -> Delivering:
        if self.delivering is None:
            raise Misuse(
                f"messages.{what}: this app does not deliver its messages itself. Where QStash does, they stand in its "
                "console, those that were given up under DLQ"
                if self.sending.carrier is not None
                else f"messages.{what}: nobody carries messages here"
            )
        return self.delivering
