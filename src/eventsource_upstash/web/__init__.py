"""The endpoint that notifications call, jobs, and views, for any web framework: ASGI, WSGI, Lambda, plain values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .aws_lambda import lambda_handler
from .conditional import etag, not_modified, validators
from .endpoint import Endpoint, Request, Response, Unverified, Verifier
from .job_lambda import lambda_jobs
from .job_wsgi import wsgi_jobs
from .jobs import JobEndpoint
from .limits import too_many
from .view_endpoint import Streaming, ViewEndpoint
from .view_lambda import lambda_view
from .view_wsgi import wsgi_view
from .wsgi import wsgi_app

if TYPE_CHECKING:
    from .asgi import AsyncEndpoint, asgi_app
    from .job_asgi import AsyncJobEndpoint, asgi_jobs
    from .view_asgi import AsyncStreaming, AsyncViewEndpoint, asgi_view

__all__ = [
    "AsyncEndpoint",
    "AsyncJobEndpoint",
    "AsyncStreaming",
    "AsyncViewEndpoint",
    "Endpoint",
    "JobEndpoint",
    "Request",
    "Response",
    "Streaming",
    "Unverified",
    "Verifier",
    "ViewEndpoint",
    "asgi_app",
    "asgi_jobs",
    "asgi_view",
    "etag",
    "lambda_handler",
    "lambda_jobs",
    "lambda_view",
    "not_modified",
    "too_many",
    "validators",
    "wsgi_app",
    "wsgi_jobs",
    "wsgi_view",
]


def __getattr__(name: str) -> object:
    # The event-loop side, and asyncio with it, for those who use it.
    if name in {"AsyncEndpoint", "asgi_app"}:
        from . import asgi

        return getattr(asgi, name)
    if name in {"AsyncJobEndpoint", "asgi_jobs"}:
        from . import job_asgi

        return getattr(job_asgi, name)
    if name in {"AsyncStreaming", "AsyncViewEndpoint", "asgi_view"}:
        from . import view_asgi

        return getattr(view_asgi, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
