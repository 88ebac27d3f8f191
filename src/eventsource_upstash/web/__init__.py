"""The endpoint that a notification calls, and views, for any web framework: ASGI, WSGI, AWS Lambda, or plain values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .aws_lambda import lambda_handler
from .conditional import etag, not_modified, validators
from .endpoint import Endpoint, Request, Response, Unverified, Verifier
from .view_endpoint import Streaming, ViewEndpoint
from .view_lambda import lambda_view
from .view_wsgi import wsgi_view
from .wsgi import wsgi_app

if TYPE_CHECKING:
    from .asgi import AsyncEndpoint, asgi_app
    from .view_asgi import AsyncStreaming, AsyncViewEndpoint, asgi_view

__all__ = [
    "AsyncEndpoint",
    "AsyncStreaming",
    "AsyncViewEndpoint",
    "Endpoint",
    "Request",
    "Response",
    "Streaming",
    "Unverified",
    "Verifier",
    "ViewEndpoint",
    "asgi_app",
    "asgi_view",
    "etag",
    "lambda_handler",
    "lambda_view",
    "not_modified",
    "validators",
    "wsgi_app",
    "wsgi_view",
]


def __getattr__(name: str) -> object:
    # The event-loop side, and asyncio with it, for those who use it.
    if name in {"AsyncEndpoint", "asgi_app"}:
        from . import asgi

        return getattr(asgi, name)
    if name in {"AsyncStreaming", "AsyncViewEndpoint", "asgi_view"}:
        from . import view_asgi

        return getattr(view_asgi, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
