"""What the log under an app cannot do: refused before anything is sent, with what to do instead."""

from __future__ import annotations

from typing import Final

from ..domain.events import ANY, Expectation
from ..domain.queries import AppendCondition
from ..errors import Misuse
from ..ports import Capabilities

_DATABASES: Final = "UpstashRedis, SQLite and Memory can"


class Abilities:
    """What a log can do that cannot do everything, and how its backend is called in messages."""

    def __init__(self, capabilities: Capabilities, where: str) -> None:
        self._can = capabilities
        self._where = where

    def check_append(
        self, stream: str, events: int, expected: int | Expectation, condition: AppendCondition | None
    ) -> None:
        """Refuse an append that its log could not make good. Raises `Misuse`."""
        if expected is not ANY and not self._can.expected_revisions:
            raise Misuse(
                f"append to stream {stream!r} with expected_revision=: the log of {self._where} compares nothing when "
                f"it writes ({_DATABASES}). Leave it out; decide on a view that is read with at_least=, let an event "
                "mean the same whatever came before it, and make sending it again safe with idempotency_key="
            )
        if condition is not None and not self._can.conditions:
            raise Misuse(
                f"append to stream {stream!r} with condition=: the log of {self._where} compares nothing when it "
                f"writes ({_DATABASES}). Leave it out, and decide on a view that is read with at_least="
            )
        if events > 1 and not self._can.atomic_appends:
            raise Misuse(
                f"append of {events} events to stream {stream!r}: {self._where} cannot write several all or none "
                f"({_DATABASES}, and Kafka's own protocol). Append one at a time, or make one event of them"
            )

    def check_stream(self, stream: str, what: str) -> None:
        """Refuse what reads a stream by itself. Raises `Misuse`."""
        if self._can.streams:
            return
        raise Misuse(
            f"{what} of stream {stream!r}: the log of {self._where} cannot read a stream without all the others of its "
            f"partition ({_DATABASES}). Fold the stream into a view, as projection.fold_as(aggregate) does, and get "
            "its document with at_least="
        )
