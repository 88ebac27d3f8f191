"""The app's jobs as a WSGI application: Flask, Django, Bottle, or a WSGI server by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from ..blocking import App
from .endpoint import Request, Response, Verifier
from .jobs import MAX_JOB_BODY, JobEndpoint
from .wsgi import answer_of, respond

if TYPE_CHECKING:
    from .wsgi import Environment, StartResponse


def wsgi_jobs(
    app: App, *, verifier: Verifier | None = None, public_url: str | None = None
) -> Callable[[Environment, StartResponse], Iterable[bytes]]:
    """The app's jobs as a WSGI application, to be mounted where their messages arrive.

    Args:
        app: The app whose jobs they are.
        verifier: Tells whether a message is genuine; the notifier's own without one. A backend that is reached over the
            open network needs one.
        public_url: The URL that the paths of jobs are put behind, where neither `app.job_url` nor the request tells.

    Raises:
        Misuse: No verifier for a public backend, or an argument that cannot be one.
    """
    endpoint = JobEndpoint(app, verifier=verifier, public_url=public_url)

    def application(environ: Environment, start_response: StartResponse) -> Iterable[bytes]:
        def handle(request: Request) -> Response:
            # WSGI hands paths over decoded, as Latin-1 text; those of jobs are ASCII.
            return endpoint.handle(request, str(environ.get("PATH_INFO", "")))

        return respond(answer_of(environ, handle, MAX_JOB_BODY), start_response)

    return application
