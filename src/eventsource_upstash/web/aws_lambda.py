"""The endpoint as an AWS Lambda handler: API Gateway REST (payload 1.0) and HTTP (2.0), function URLs, ALB."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import cast
from urllib.parse import urlencode

from ..blocking import App
from ..blocking.projector import Projector
from ..errors import Misuse
from .endpoint import DEFAULT_TIME_BUDGET, Endpoint, Request, Response, Verifier, problem

Event = Mapping[str, object]


def lambda_handler(
    app: App | Projector,
    *,
    verifier: Verifier | None = None,
    public_url: str | None = None,
    time_budget: float = DEFAULT_TIME_BUDGET,
) -> Callable[[Event, object], dict[str, object]]:
    """The endpoint as a Lambda handler, to be assigned to the name that the function is configured with.

    Args:
        app: An app, or a projector built by hand.
        verifier: Tells whether a notification is genuine; the notifier's own without one. A backend that is reached
            over the open network needs one.
        public_url: The URL that notifications are addressed to, where a gateway makes the request's own look different.
        time_budget: Seconds that one delivery may fold; keep it a few seconds below the function's timeout.

    Raises:
        Misuse: No verifier for a public backend, or an argument that cannot be one. The handler itself raises it for an
            event that is no HTTP request.
    """
    endpoint = Endpoint(app, verifier=verifier, public_url=public_url, time_budget=time_budget)

    def handler(event: Event, context: object) -> dict[str, object]:  # noqa: ARG001  # Lambda hands it over
        return answer_of(event, endpoint.handle)

    return handler


def answer_of(event: Event, handle: Callable[[Request], Response]) -> dict[str, object]:
    """The answer to the HTTP request in an event, by what handles it in plain values. Raises as `request_of`."""
    multi_value = wants_multi_value_headers(event)
    try:
        request = request_of(event)
    except ValueError:
        answer = problem(400, "the body is not base64, although the event says so")
        return response_of(answer, multi_value=multi_value)
    return response_of(handle(request), multi_value=multi_value)


def request_of(event: Event) -> Request:
    """The HTTP request in a Lambda event, of whichever shape.

    Raises:
        Misuse: It is no HTTP request.
    """
    context = mapping(event.get("requestContext"))
    http = mapping(context.get("http"))
    method = http.get("method") or event.get("httpMethod")
    if not isinstance(method, str):
        raise Misuse(
            "this Lambda event is no HTTP request: it has neither requestContext.http.method (function URL, HTTP API) "
            "nor httpMethod (REST API, load balancer)"
        )
    headers = {str(name).lower(): str(value) for name, value in mapping(event.get("headers")).items()}
    for name, values in mapping(event.get("multiValueHeaders")).items():
        if isinstance(values, list) and values:
            # One that comes twice is a list (RFC 9110, section 5.3); of those, `headers` has the last one only.
            several = [str(value) for value in cast("list[object]", values)]
            headers[str(name).lower()] = ", ".join(
                several if len(several) > 1 else [headers.get(str(name).lower(), several[0])]
            )
    body = event.get("body")
    raw = body.encode("utf-8", "surrogatepass") if isinstance(body, str) else b""
    if event.get("isBase64Encoded"):
        raw = base64.b64decode(raw, validate=True)
    return Request(method.upper(), _url(event, context, headers), headers, raw)


def wants_multi_value_headers(event: Event) -> bool:
    """Whether the answer has to name its headers as `multiValueHeaders`.

    A load balancer with multi-value headers switched on reads nothing else; one without reads `headers` only. It says
    which it is by what it sends: one of the two, never both, where API Gateway sends both and reads either.
    """
    return "multiValueHeaders" in event and "headers" not in event


def response_of(response: Response, *, multi_value: bool = False) -> dict[str, object]:
    """An answer as Lambda wants it."""
    headers = dict(response.headers)
    several = {name: [value] for name, value in headers.items()}
    try:
        body, encoded = response.body.decode(), False
    except UnicodeDecodeError:
        body, encoded = base64.b64encode(response.body).decode(), True
    return {
        "statusCode": response.status,
        **({"multiValueHeaders": several} if multi_value else {"headers": headers}),
        "body": body,
        "isBase64Encoded": encoded,
    }


def _url(event: Event, context: Mapping[str, object], headers: Mapping[str, str]) -> str:
    host = headers.get("host") or str(context.get("domainName") or "")
    # The stage is part of the URL that was called: payload 2.0 has it in rawPath, 1.0 only in the request context.
    path = str(event.get("rawPath") or context.get("path") or event.get("path") or "/")
    query = str(event.get("rawQueryString") or "") or _query(event, encoded="elb" in context)
    scheme = headers.get("x-forwarded-proto", "https")
    return f"{scheme}://{host}{path}" + (f"?{query}" if query else "")


def _query(event: Event, *, encoded: bool) -> str:
    several = mapping(event.get("multiValueQueryStringParameters"))
    parameters = several or mapping(event.get("queryStringParameters"))
    pairs = [
        (name, str(value))
        for name, values in parameters.items()
        for value in (cast("list[object]", values) if isinstance(values, list) else [values])
    ]
    # API Gateway hands the parameters over decoded, a load balancer as they were in the URL.
    return "&".join(f"{name}={value}" for name, value in pairs) if encoded else urlencode(pairs)


def mapping(value: object) -> Mapping[str, object]:
    """An object within an event; empty where it is missing or something else."""
    return cast("Mapping[str, object]", value) if isinstance(value, Mapping) else {}
