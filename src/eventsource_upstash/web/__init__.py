"""The endpoint that a notification calls, for any web framework: ASGI, WSGI, AWS Lambda, or plain values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .aws_lambda import lambda_handler
from .endpoint import Endpoint, Request, Response, Unverified, Verifier
from .wsgi import wsgi_app

if TYPE_CHECKING:
    from .asgi import AsyncEndpoint, asgi_app

__all__ = [
    "AsyncEndpoint",
    "Endpoint",
    "Request",
    "Response",
    "Unverified",
    "Verifier",
    "asgi_app",
    "lambda_handler",
    "wsgi_app",
]


def __getattr__(name: str) -> object:
    if name in {"AsyncEndpoint", "asgi_app"}:  # the event-loop side, and asyncio with it, for those who use it
        from . import asgi

        return getattr(asgi, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
