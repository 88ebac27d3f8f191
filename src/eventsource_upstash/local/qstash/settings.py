"""How a local QStash is set up: its public credentials, its limits, where it delivers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

__all__ = ["CURRENT_SIGNING_KEY", "NEXT_SIGNING_KEY", "TOKEN", "Settings"]

# The vendor publishes these for its own development server: they open nothing but local ones.
TOKEN: Final = "eyJVc2VySUQiOiJkZWZhdWx0VXNlciIsIlBhc3N3b3JkIjoiZGVmYXVsdFBhc3N3b3JkIn0="  # noqa: S105
CURRENT_SIGNING_KEY: Final = "sig_7kYjw48mhY7kAjqNGcy6cr29RJ6r"
NEXT_SIGNING_KEY: Final = "sig_5ZB6DVzB1wjE8S6rZ7eenA8Pdnhs"


@dataclass(frozen=True)
class Settings:
    """What a `QStashServer` is told.

    Attributes:
        mapping: Public URLs, or beginnings of them, to local ones: `{"https://app.example.com": "http://127.0.0.1:3000"}`.
            What is sent to the public one is delivered to the local one, and signed for the public one.
        strict: Refuse loopback destinations that are not mapped, as the service does.
        region: Sent as `Upstash-Region`, as the service does where there are several. None: not sent.
        max_message_size: Bytes of a message's body (1 MB on the free plan).
        max_response_time: Seconds that a destination may take when the message says nothing (15 minutes when free).
        max_in_flight: Most deliveries at a time, over all.
    """

    token: str = field(default=TOKEN, repr=False)
    current_key: str = field(default=CURRENT_SIGNING_KEY, repr=False)
    next_key: str = field(default=NEXT_SIGNING_KEY, repr=False)
    mapping: Mapping[str, str] = field(default_factory=dict[str, str])
    strict: bool = False
    region: str | None = None
    max_message_size: int = 1024 * 1024
    max_response_time: float = 15 * 60
    max_in_flight: int = 100
