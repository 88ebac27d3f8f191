"""The contract of what carries notifications, and of what tells that one is genuine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from .._io.port import Port, Signal
    from ..domain.events import Receipt
    from .messages import Messages, Timetable


class Notices(Protocol):
    """Carries notifications: hints that the log reached a position. They may be lost, doubled or late."""

    async def send(self, position: int, raised_us: int) -> Receipt:
        """Tell whoever folds that the log reached a position.

        Args:
            position: The position.
            raised_us: When this notification was raised, in microseconds since 1970. With the position it names the
                notification: a carrier that drops repeats drops those of the same one only.
        """
        ...


class NoticeTransport(Protocol):
    """A description of how notifications travel. Knows no colour."""

    @property
    def signal(self) -> Signal | None:
        """What a worker in this process can sleep on, where notifications stay in the process."""
        ...

    def notices(self, port: Port) -> Notices:
        """The carrier, over a port."""
        ...

    def messages(self, port: Port) -> Messages | None:
        """What carries messages to URLs and to the app's jobs, over a port; None where the app does so itself."""
        ...

    def timetable(self, port: Port) -> Timetable | None:
        """Where schedules are kept, over a port; None where the app keeps them itself."""
        ...

    def job_url(self, path: str) -> str:
        """The whole URL at which a job of the app is called.

        Raises:
            Misuse: It is not known where the app is.
        """
        ...

    def verifier(self, public_url: str | None) -> Verifier | None:
        """What tells that a delivery came this way; None where nothing can come from outside.

        Args:
            public_url: The URL that deliveries are addressed to, where the transport does not know it.

        Raises:
            Misuse: It cannot, as it is configured.
        """
        ...

    async def check(self, port: Port) -> tuple[str, ...]:
        """A look at what it stands on: answers what is doubtful, in words; raises what would fail."""
        ...


class Unverified(Exception):
    """Raised by a verifier: the request is not from whom it has to be. The message is logged, never sent."""


class Verifier(Protocol):
    """Tells whether a notification that arrives over the open network is genuine."""

    def verify(self, headers: Mapping[str, str], body: bytes, url: str) -> None:
        """Return if it is, raise `Unverified` with the reason if it is not.

        Args:
            headers: The request's, names in lower case.
            body: The raw bytes, as they were signed.
            url: The whole URL, as the sender addressed it.
        """
        ...
