"""What is there beside the APIs, on the ports of all: numbers, faults, and a page to see and switch them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from importlib import resources
from typing import Final

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from ..domain.telling import without_user_and_query
from .faults import FIELDS, KINDS, Fault, Faults
from .kafka.half import KafkaHalf
from .metering import Meter
from .qstash.app import QStashServer
from .qstash.records import Answer, Message

__all__ = ["Dev"]

_MOST_SHOWN: Final = 200
"""Messages and dead letters on the page."""

_MOST_SAID: Final = 200
"""Bytes of a response on the page."""

_PAGE_HEADERS: Final = {
    # Nothing from elsewhere, and in nobody's frame: a switch here must not be clicked by another page.
    "Content-Security-Policy": "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "Cache-Control": "no-store",
}

_Action = Callable[[web.Request], Awaitable[web.Response]]


class Dev:
    """Answers what is below `/dev/`, and the page.

    | request | what it does |
    | --- | --- |
    | `GET /dev/metrics` | numbers of each half, by caller |
    | `POST /dev/metrics/reset` | counts from zero |
    | `GET /dev/faults` | the faults in force, and what kinds there are |
    | `POST /dev/faults` | adds one, given as JSON: the fields of `Fault` |
    | `DELETE /dev/faults` | takes back all, or with `?id=` one |
    | `GET /dev/state` | all that the page shows |
    | `POST /dev/messages?id=` | has a message go out now that waits for its time |
    | `POST /dev/dead-letters?id=` | publishes a dead letter anew |
    | `GET /dev/`, and `GET /` from a browser | the page |

    Args:
        faults: What goes wrong.
        meters: The counters of each half.
        qstash: Tells of messages and dead letters.
        kafka: Tells of topics and records, where it is there.
    """

    def __init__(
        self, faults: Faults, meters: Mapping[str, Meter], qstash: QStashServer, kafka: KafkaHalf | None = None
    ) -> None:
        self._kafka = kafka
        self._faults = faults
        self._meters = meters
        self._qstash = qstash
        self._actions: dict[tuple[str, str], _Action] = {
            ("GET", "/dev/metrics"): self._metrics,
            ("POST", "/dev/metrics/reset"): self._reset,
            ("GET", "/dev/faults"): self._list_faults,
            ("POST", "/dev/faults"): self._add_fault,
            ("DELETE", "/dev/faults"): self._remove_faults,
            ("GET", "/dev/state"): self._state,
            ("POST", "/dev/messages"): self._hasten,
            ("POST", "/dev/dead-letters"): self._retry,
            ("GET", "/dev"): self._page,
            ("GET", "/dev/"): self._page,
        }

    @property
    def middleware(self) -> Middleware:
        """To be put before the application's own routes; behind the guard."""

        @web.middleware
        async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
            action = self._actions.get((request.method, request.path))
            if action is None and request.path == "/" and _by_hand(request):
                action = self._page
            return await (handler(request) if action is None else action(request))

        return middleware

    async def _metrics(self, _: web.Request) -> web.Response:
        return _answer(self._numbers())

    def _numbers(self) -> dict[str, object]:
        return {half: meter.snapshot() for half, meter in self._meters.items()}

    async def _reset(self, _: web.Request) -> web.Response:
        for meter in self._meters.values():
            meter.reset()
        return _answer(self._numbers())

    async def _list_faults(self, _: web.Request) -> web.Response:
        return _answer({"faults": self._faults.active(), "kinds": KINDS})

    async def _add_fault(self, request: web.Request) -> web.Response:
        try:
            fault = self._faults.put(msgspec.json.decode(await request.read(), type=Fault))
        except (msgspec.MsgspecError, ValueError) as error:
            return _answer({"error": f"not a fault: {error}. Its fields are: {', '.join(FIELDS)}"}, status=400)
        return _answer(fault, status=201)

    async def _remove_faults(self, request: web.Request) -> web.Response:
        which = request.query.get("id")
        if which is None:
            self._faults.clear()
        elif not (which.isdecimal() and self._faults.remove(int(which))):
            return _answer({"error": "there is no such fault in force"}, status=404)
        return _answer({"faults": self._faults.active()})

    async def _state(self, _: web.Request) -> web.Response:
        store = self._qstash.broker.store
        metrics = self._qstash.metrics()
        messages = sorted(store.messages, key=lambda message: message.number, reverse=True)
        # The last answer to each that was tried: only the log tells, the latest line of it last.
        last = {event.message: event.answer for event in store.events if event.answer is not None}
        letters = sorted(store.dead_letters, key=lambda letter: letter.number, reverse=True)
        return _answer(
            {
                "metrics": self._numbers(),
                "faults": self._faults.active(),
                "kinds": KINDS,
                "now": metrics.now,
                "in_flight": metrics.in_flight,
                "waiting": metrics.waiting,
                "schedules": metrics.schedules,
                "dead": metrics.dead_letters,
                "messages": [self._message(message, last) for message in messages[:_MOST_SHOWN]],
                "kafka": None if self._kafka is None else await self._kafka.shown(),
                "dead_letters": [
                    {
                        "id": letter.id,
                        "url": without_user_and_query(letter.message.url),
                        "failed_at": letter.failed_at,
                        "labels": letter.message.options.labels,
                        "status": letter.answer.status,
                        "said": _said(letter.answer),
                    }
                    for letter in letters[:_MOST_SHOWN]
                ],
            }
        )

    def _message(self, message: Message, last: Mapping[str, Answer]) -> dict[str, object]:
        answer = last.get(message.id)
        return {
            "id": message.id,
            "url": without_user_and_query(message.url),
            "due": message.due,
            "labels": message.options.labels,
            "attempt": message.retried + 1,
            "attempts": message.options.retries + 1,
            "status": None if answer is None else answer.status,
            "said": "" if answer is None else _said(answer),
            "flying": self._qstash.broker.dispatching.flying(message.id),
        }

    async def _hasten(self, request: web.Request) -> web.Response:
        broker = self._qstash.broker
        message = broker.store.messages.get(request.query.get("id", ""))
        if message is None:
            return _answer({"error": "there is no such message any more"}, status=404)
        if not broker.hasten(message):
            return _answer({"error": "it is due already, and in flight or held up by its queue or limits"}, status=409)
        await broker.store.flush()
        return _answer({"messageId": message.id})

    async def _retry(self, request: web.Request) -> web.Response:
        broker = self._qstash.broker
        letter = broker.store.dead_letters.get(request.query.get("id", ""))
        if letter is None:
            return _answer({"error": "there is no such dead letter any more"}, status=404)
        message = broker.dead_letters.retry(letter, ())
        await broker.store.flush()
        return _answer({"messageId": message})

    async def _page(self, _: web.Request) -> web.Response:
        page = resources.files("eventsource_upstash.local").joinpath("page.html").read_text("utf-8")
        return web.Response(text=page, content_type="text/html", headers=_PAGE_HEADERS)


def _said(answer: Answer) -> str:
    """The beginning of what came back, in one line."""
    text = answer.error if answer.error is not None else answer.body[:_MOST_SAID].decode("utf-8", "replace")
    return " ".join(text[:_MOST_SAID].split())


def _by_hand(request: web.Request) -> bool:
    """Whether somebody looks with a browser, and is not using an API."""
    return (
        request.method == "GET"
        and "text/html" in request.headers.get("Accept", "")
        and "Authorization" not in request.headers
        and not request.query_string
    )


def _answer(value: object, *, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), status=status, content_type="application/json")
