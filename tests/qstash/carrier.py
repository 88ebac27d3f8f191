"""A port that answers from a list, and keeps what it was asked."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TypeVar

from eventsource_upstash import Signal
from eventsource_upstash._io.port import HttpRequest, HttpResponse
from tests.canary import secret

T = TypeVar("T")

TOKEN = secret("token-of-qstash")
DESTINATION = "https://app.example.com/projections?a=b"


def answer(status: int = 200, body: object = None, **headers: str) -> HttpResponse:
    content = {"messageId": "msg_1"} if body is None else body
    return HttpResponse(
        status,
        {name.replace("_", "-"): value for name, value in headers.items()},
        content if isinstance(content, bytes) else json.dumps(content).encode(),
    )


class Carrier:
    """Neither waits nor sends."""

    def __init__(self, *answers: HttpResponse | Exception) -> None:
        self.answers = list(answers)
        self.requests: list[HttpRequest] = []
        self.pauses: list[float] = []

    async def send(self, request: HttpRequest) -> HttpResponse:
        self.requests.append(request)
        given = self.answers.pop(0)
        if isinstance(given, Exception):
            raise given
        return given

    async def call(self, work: Callable[[], T]) -> T:
        return work()

    async def sleep(self, seconds: float, wake: Signal | None = None, since: int = 0) -> None:
        self.pauses.append(seconds)

    def headers(self, number: int = 0) -> Mapping[str, str]:
        return self.requests[number].headers
