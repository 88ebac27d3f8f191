"""The endpoint as a WSGI application: Flask, Django, Bottle, or a WSGI server by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import quote

from ..blocking import App
from ..blocking.projector import Projector
from .endpoint import DEFAULT_TIME_BUDGET, MAX_BODY, Endpoint, Request, Response, Verifier, problem, with_length

if TYPE_CHECKING:
    # WSGI's own types, which the standard library names from Python 3.11 on only: a server puts anything there.
    Environment: TypeAlias = dict[str, Any]
    StartResponse: TypeAlias = Callable[[str, list[tuple[str, str]]], object]

_REASONS = {int(status): status.phrase for status in HTTPStatus}


def wsgi_app(
    app: App | Projector,
    *,
    verifier: Verifier | None = None,
    public_url: str | None = None,
    time_budget: float = DEFAULT_TIME_BUDGET,
) -> Callable[[Environment, StartResponse], Iterable[bytes]]:
    """The endpoint as a WSGI application, to be mounted where notifications arrive.

    Args:
        app: An app, or a projector built by hand.
        verifier: Tells whether a notification is genuine; the notifier's own without one. A backend that is reached
            over the open network needs one.
        public_url: The URL that notifications are addressed to, where a proxy makes the request's own look different.
        time_budget: Seconds that one delivery may fold. What is left then is notified anew.

    Raises:
        Misuse: No verifier for a public backend, or an argument that cannot be one.
    """
    endpoint = Endpoint(app, verifier=verifier, public_url=public_url, time_budget=time_budget)

    def application(environ: Environment, start_response: StartResponse) -> Iterable[bytes]:
        return respond(answer_of(environ, endpoint.handle, MAX_BODY), start_response)

    return application


def respond(response: Response, start_response: StartResponse) -> Iterable[bytes]:
    """Hand an answer to the server."""
    start_response(status_line(response.status), list(with_length(response).items()))
    return [response.body]


def status_line(status: int) -> str:
    """A status and its name."""
    return f"{status} {_REASONS.get(status, 'Refused For Good')}"


def request_of(environ: Environment, body: bytes = b"") -> Request:
    """A request in plain values."""
    return Request(environ["REQUEST_METHOD"], _url(environ), _headers(environ), body)


def answer_of(environ: Environment, handle: Callable[[Request], Response], limit: int) -> Response:
    """The answer to a request, by what handles it in plain values.

    Of a body that has more bytes than the limit, no more is read than shows that it has.
    """
    # Without a length, only some servers tell where the body ends; with others, reading on would wait for ever.
    length = environ.get("CONTENT_LENGTH") or (limit + 1 if environ.get("wsgi.input_terminated") else 0)
    try:
        wanted = min(max(int(length), 0), limit + 1)
    except ValueError:
        return problem(400, "the Content-Length is not a number")
    body = environ["wsgi.input"].read(wanted)
    if environ.get("CONTENT_LENGTH") and len(body) < wanted:
        return problem(400, "the body ended before its Content-Length")  # the caller hung up; half of it is not it
    if not length and environ.get("HTTP_TRANSFER_ENCODING"):
        return problem(411, "the body has to come with a Content-Length")
    return handle(request_of(environ, body))


def _headers(environ: Environment) -> dict[str, str]:
    headers = {
        name[5:].replace("_", "-").lower(): str(value) for name, value in environ.items() if name.startswith("HTTP_")
    }
    if environ.get("CONTENT_TYPE"):
        headers["content-type"] = environ["CONTENT_TYPE"]
    return headers


def _url(environ: Environment) -> str:
    host = environ.get("HTTP_HOST") or f"{environ['SERVER_NAME']}:{environ['SERVER_PORT']}"
    # WSGI hands paths over decoded, as Latin-1 text that stands for bytes.
    path = quote((environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")).encode("latin-1"))
    query = environ.get("QUERY_STRING", "")
    return f"{environ['wsgi.url_scheme']}://{host}{path}" + (f"?{query}" if query else "")
