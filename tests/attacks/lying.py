"""Answers that a broken or hostile server may give: true ones with something in them replaced, cut off, doubled."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from eventsource_upstash._io.port import HttpRequest, HttpResponse

MOST_REQUESTS: Final = 300
"""Whoever asks as often as that for one thing would never stop."""

WILD: Final[tuple[Any, ...]] = (
    *(None, True, 0, -1, 1, 2**70, 1e300, -0.5),
    *("", "x", "0", "-1", "1-1", "\0", "\0!!", "\0A", "\1", "\n", "9" * 50, "9" * 5000, "1 2 3 4 5", "2 1 1 1 1", "é²"),
    *([], {}, [[]], [None], ["a"], {"a": 1}, [[["1-0", ["s", "a"]]]], [1, 2, 3]),
)

# JSON has anything anywhere.
Changed = Callable[[Any], Any]


def _doubled(value: Any) -> Any:
    return value * 2 if isinstance(value, (list, str)) else [value]


def _turned(value: Any) -> Any:
    return value[::-1] if isinstance(value, (list, str)) else str(value)


def _shortened(value: Any) -> Any:
    return value[:-1] if isinstance(value, (list, str)) else None


def _beheaded(value: Any) -> Any:
    return value[1:] if isinstance(value, (list, str)) else -5


CHANGES: Final[tuple[Changed, ...]] = (
    *(lambda value, wild=wild: wild for wild in WILD),
    *(_doubled, _turned, _shortened, _beheaded),
)


class Endless(BaseException):
    """A caller goes on asking. No `Exception`: nobody may take it for a failure that is to be tried again."""


def paths(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a JSON value."""
    yield at
    pairs = enumerate(value) if isinstance(value, list) else value.items() if isinstance(value, dict) else ()
    for key, each in pairs:
        yield from paths(each, (*at, key))


def changed(value: Any, path: Sequence[Any], change: Changed) -> Any:
    """The value with a change at a place."""
    if not path:
        return change(value)
    copied = value.copy()
    copied[path[0]] = changed(copied[path[0]], path[1:], change)
    return copied


class Liar:
    """Answers as it was answered before, but for one answer, and everything after the last, which is another.

    Args:
        answers: What was answered.
        number: Which of them is told otherwise.
        lie: What is told instead.
    """

    def __init__(self, answers: Sequence[HttpResponse], number: int, lie: bytes) -> None:
        self._answers = answers
        self._number = number
        self._lie = lie
        self.asked = 0

    def send(self, request: HttpRequest) -> HttpResponse:
        at, self.asked = self.asked, self.asked + 1
        if self.asked > MOST_REQUESTS:
            raise Endless(f"{request.method} {request.url}")
        if at == self._number or at >= len(self._answers):
            of = self._answers[min(self._number, len(self._answers) - 1)]
            return HttpResponse(of.status, of.headers, self._lie)
        return self._answers[at]


def lies(answers: Sequence[HttpResponse]) -> list[tuple[int, tuple[Any, ...]]]:
    """Everywhere that something can be changed: the answer's number, and the place in it."""
    return [(number, path) for number, answer in enumerate(answers) for path in paths(json.loads(answer.body or b"{}"))]


def lie(answer: HttpResponse, path: Sequence[Any], change: Changed) -> bytes:
    """An answer's body with a change at a place."""
    return json.dumps(changed(json.loads(answer.body or b"{}"), path, change)).encode()
