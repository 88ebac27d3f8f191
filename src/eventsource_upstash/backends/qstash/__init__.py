"""QStash: notifications over HTTP, signed deliveries, and the sweep."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .settings import Delivery, SigningKeys
from .transport import QStash

if TYPE_CHECKING:
    # Whoever only publishes does not pay for what checks signatures, nor the other way round.
    from .forwarded import TrustedProxies
    from .receiver import Receiver
    from .schedules import Sweep

__all__ = ["Delivery", "QStash", "Receiver", "SigningKeys", "Sweep", "TrustedProxies"]


def __getattr__(name: str) -> object:
    if name == "Receiver":
        from .receiver import Receiver

        return Receiver
    if name == "TrustedProxies":
        from .forwarded import TrustedProxies

        return TrustedProxies
    if name == "Sweep":
        from .schedules import Sweep

        return Sweep
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
