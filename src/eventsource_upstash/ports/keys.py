"""The contract of a key store: one key per person, until the person is forgotten."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from .._io.port import Port
from ..domain.events import Receipt


class SubjectKey(msgspec.Struct, frozen=True):
    """A subject's key.

    Attributes:
        id: Names this key, and no other that the subject ever had.
        secret: The key itself: 32 bytes.
    """

    id: str
    secret: bytes

    def __repr__(self) -> str:  # it will be part of some message one day
        return f"SubjectKey({self.id!r})"


class Keys(Protocol):
    """Keys by subject. A subject that was forgotten stays forgotten until it is readmitted."""

    async def create_many(self, offered: Mapping[str, SubjectKey]) -> tuple[dict[str, SubjectKey | None], Receipt]:
        """The key of each subject: the one that is there, or else the one offered, which is kept from then on.

        None for a subject that was forgotten: nothing is kept for it. Of several callers at once who offer keys for one
        subject, all are answered the same one. Safe to be sent again.

        Raises:
            Unavailable: Nothing was written; later it may work.
            OutcomeUnknown: The answer was lost.
            Refused: Rights, quota, size, space.
        """
        ...

    async def get_many(self, subjects: Sequence[str]) -> tuple[dict[str, SubjectKey | None], Receipt]:
        """The keys of those subjects that are known; None for one that was forgotten and has no key since.

        A subject that is not in the answer never had a key here: this may be another store than the one that its key is
        in. As it is where keys are written, not from a copy that lags.
        """
        ...

    async def forget(self, subject: str) -> Receipt:
        """Destroy a subject's key, if there is one, and remember that it was forgotten. Safe to be sent again."""
        ...

    async def readmit(self, subject: str) -> Receipt:
        """Let a subject that was forgotten be given a new key, when one is offered. Until then it reads as before.

        A key that is there stays as it is, and a subject that was never known stays unknown. Safe to be sent again.
        """
        ...


class KeyStore(Protocol):
    """A description of where keys are. Knows no colour, and opens nothing before it is used."""

    def keys(self, port: Port) -> Keys:
        """Its keys, over a port."""
        ...

    def close(self) -> None:
        """Release what it holds open. It opens again when it is used again."""
        ...
