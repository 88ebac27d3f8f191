"""The contract of a backend: a description of where log and views are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from .._io.port import Port
    from .capabilities import Capabilities
    from .limits import Limiter
    from .log import Log
    from .messages import Mailbox
    from .views import Views


class Backend(Protocol):
    """A description of where log and views are. Knows no colour, and opens nothing before it is used."""

    @property
    def public(self) -> bool:
        """Whether notifications arrive over the open network, so that the endpoint has to verify them."""
        ...

    @property
    def capabilities(self) -> Capabilities:
        """What its log can do."""
        ...

    def log(self, port: Port) -> Log:
        """Its log, over a port."""
        ...

    def views(self, port: Port, log: Log) -> Views:
        """Its views, over a port, folded from that log."""
        ...

    def mailbox(self, port: Port) -> Mailbox | None:
        """Where messages wait that the app itself delivers, over a port; None where a service outside carries them."""
        ...

    def limiter(self, port: Port) -> Limiter:
        """What counts requests for rate limits, over a port. Raises `Misuse` where something is not installed."""
        ...

    async def check(self, port: Port) -> tuple[str, ...]:
        """A look at what it stands on, before anything depends on it.

        Answers what is doubtful, in words; raises what would fail.
        """
        ...

    def close(self) -> None:
        """Release what it holds open. It opens again when it is used again."""
        ...
