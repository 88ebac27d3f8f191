"""A request to Kafka over REST, and the answers to it, whatever the shape."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, TypeVar

import msgspec
from aiohttp import web

__all__ = ["Call", "Refusal", "answer"]

T = TypeVar("T")

_MOST_WAITING: Final = 60.0
"""Seconds for which a request waits for records, at most."""


class Refusal(Exception):
    """The request is not carried out. The message is the answer's.

    Attributes:
        status: The answer's status.
        code: A finer one, where the shape has it; as the status, if it has none.
    """

    def __init__(self, status: int, text: str, code: int | None = None) -> None:
        super().__init__(text)
        self.status: int = status
        self.code: int = status if code is None else code


class Call(NamedTuple):
    """A request that was let in.

    Attributes:
        method: GET, POST or DELETE.
        words: Its path, behind the prefix of its shape, decoded.
        query: Its parameters.
        headers: Its headers, whatever the case of their names.
        body: Its body.
        base: Where the shape is reached, without a slash at the end.
        counts: What is counted for it: `produced`, `fetched`.
    """

    method: str
    words: Sequence[str]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    base: str
    counts: Counter[str]

    def json(self, kind: type[T]) -> T:
        """The body, as a value of this type.

        Raises:
            Refusal: It is none.
        """
        try:
            return msgspec.json.decode(self.body, type=kind)
        except (ValueError, RecursionError) as error:
            raise Refusal(400, f"the body is not what is expected here: {error}") from error

    def number(self, name: str, default: int) -> int:
        """A parameter that is a number.

        Raises:
            Refusal: It is none.
        """
        text = self.query.get(name)
        if text is None:
            return default
        try:
            return int(text)
        except ValueError as error:
            raise Refusal(400, f"{name} is a number, not {text!r}") from error


def seconds(milliseconds: int) -> float:
    """How long to wait for records."""
    return min(max(milliseconds, 0) / 1000, _MOST_WAITING)


def answer(value: object, status: int = 200, kind: str = "application/json") -> web.Response:
    """A JSON answer."""
    return web.Response(body=msgspec.json.encode(value), status=status, content_type=kind)
