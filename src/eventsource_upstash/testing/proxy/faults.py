"""What can go wrong on the wire, and what says which request it strikes."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterable, Mapping
from typing import Final, NamedTuple, Protocol

__all__ = ["KINDS", "Faults", "Listed", "Seeded", "Strike"]

KINDS: Final[Mapping[str, str]] = {
    # Those that the local Upstash has too mean the same there.
    "lose-request": "close the connection without having passed the request on",
    "lose-answer": "pass the request on, then close the connection without an answer",
    "delay": "wait `seconds` before the request is passed on, also when nobody waits for the answer any more",
    "duplicate": "pass the request on twice, and answer the second time's answer",
    "error-500": "answer 500 with a page of HTML, without having passed the request on",
    "error-429": "answer 429 with `Retry-After: 1`, without having passed the request on",
    "quota": "answer as Upstash does when the quota is used up, without having passed the request on",
    "cut-answer": "pass the request on, and close the connection in the middle of the answer",
    "slow-answer": "pass the request on, and the answer in small pieces, `seconds` apart",
    # Those that only something in between can do.
    "late-request": "close the connection, and pass the request on `seconds` later",
    "late-duplicate": "pass the request on and answer it, and pass it on once more `seconds` later",
    "reorder": "hold the request back until one that came after it has been answered, `seconds` at most",
    "reset-request": "reset the connection in the middle of the request's body, without having passed it on",
    "reset-answer": "pass the request on, and reset the connection in the middle of the answer's body",
    "slow-request": "pass the request on in small pieces, `seconds` apart",
    "error-429-now": "answer 429 without `Retry-After`, without having passed the request on",
    "error-502": "pass the request on, and answer 502 with a page of HTML, as a gateway that lost the answer",
    "error-503": "answer 503 with a page of HTML, without having passed the request on",
    "garbage": "pass the request on, and answer something that is not HTTP",
    "hang-up": "pass the request on and answer it, then close the connection although it was to be kept",
    "half-close": "pass the request on and answer it, then close one half of the connection: what else comes there is "
    "read and never answered",
}
"""Kinds of faults, each with what it does."""


class Strike(NamedTuple):
    """What is to happen to one request.

    Attributes:
        kind: One of `KINDS`.
        seconds: For the kinds that wait.
    """

    kind: str
    seconds: float = 0.05


class Faults(Protocol):
    """Says what strikes which request. It is asked once for each request, in the order in which they come."""

    def strike(self, number: int) -> Strike | None:
        """What strikes the request of this number, from 1 since the proxy was started; None for nothing."""
        ...


class Listed:
    """A schedule written down: what strikes the first request that it is asked about, the second, and so on.

        Listed([None, "lose-answer", Strike("delay", 2.0)])

    Args:
        strikes: A kind, or a `Strike`, or None for a request that is left alone. Behind its end all are.

    Raises:
        ValueError: There is no such kind.
    """

    def __init__(self, strikes: Iterable[str | Strike | None]) -> None:
        self._strikes = [Strike(each) if isinstance(each, str) else each for each in strikes]
        _known(each.kind for each in self._strikes if each is not None)
        self._at = 0

    def strike(self, number: int) -> Strike | None:  # noqa: ARG002 - it counts from where it was put in force
        """See `Faults.strike`."""
        self._at += 1
        return self._strikes[self._at - 1] if self._at <= len(self._strikes) else None

    def __repr__(self) -> str:
        return f"Listed({[None if each is None else tuple(each) for each in self._strikes]!r})"


class Seeded:
    """Dice, the same ones for the same seed: what strikes a request depends on the seed and the request's number only.

    Several clients come in an order that is the system's, so that a run of theirs cannot be repeated by its seed alone:
    `FaultyProxy.strikes` tells what struck.

    Args:
        seed: Of the dice.
        probability: Of a request being struck.
        kinds: Which of `KINDS`; None for all but `quota`, which no client tries again.
        seconds: For the kinds that wait: drawn from 0 up to so many.
        in_a_row: Requests that are struck one after the other, at most; None for any number.

    Raises:
        ValueError: There is no such kind, or a number is out of its range.
    """

    def __init__(
        self,
        seed: int,
        *,
        probability: float = 0.2,
        kinds: Collection[str] | None = None,
        seconds: float = 0.05,
        in_a_row: int | None = None,
    ) -> None:
        self._kinds = sorted(set(KINDS) - {"quota"} if kinds is None else set(kinds))
        _known(self._kinds)
        if not 0 <= probability <= 1 or seconds < 0 or not self._kinds:
            raise ValueError("a probability is from 0 to 1, seconds are from 0, and there is at least one kind")
        self._seed = seed
        self._probability = probability
        self._seconds = seconds
        self._in_a_row = in_a_row
        self._row = 0

    def strike(self, number: int) -> Strike | None:
        """See `Faults.strike`."""
        dice = random.Random(f"{self._seed}/{number}")  # noqa: S311 - dice, not a secret
        if dice.random() >= self._probability or self._row == self._in_a_row:
            self._row = 0
            return None
        self._row += 1
        return Strike(dice.choice(self._kinds), round(self._seconds * dice.random(), 4))

    def __repr__(self) -> str:
        return f"Seeded({self._seed}, probability={self._probability}, kinds={self._kinds!r}, seconds={self._seconds})"


def _known(kinds: Iterable[str]) -> None:
    for kind in kinds:
        if kind not in KINDS:
            raise ValueError(f"there is no fault {kind!r}; there are: {', '.join(KINDS)}")
