"""The app's jobs as an ASGI application: Starlette, FastAPI, Django, Litestar, Quart, or an ASGI server by itself."""

from __future__ import annotations

from .._io.event_loop import PORT
from ..aio import AsyncApp
from .asgi import Message, Receive, Send, serve
from .endpoint import Request, Response, Verifier
from .jobs import MAX_JOB_BODY, JobHandling


class AsyncJobEndpoint:
    """The endpoint that messages for the app's jobs arrive at, on plain values, for event-loop frameworks.

    Takes and raises what `JobEndpoint` does.
    """

    def __init__(self, app: AsyncApp, *, verifier: Verifier | None = None, public_url: str | None = None) -> None:
        self.flow: JobHandling = JobHandling(
            app.jobs, PORT, verifier, public_url, transport=app.notifier.transport, public=app.backend.public
        )

    async def handle(self, request: Request, mounted: str | None = None) -> Response:
        """Have a job do its work, because a message for it came. Answers as `JobEndpoint.handle`."""
        return await self.flow.handle(request, mounted)


def asgi_jobs(app: AsyncApp, *, verifier: Verifier | None = None, public_url: str | None = None) -> AsgiJobs:
    """The app's jobs as an ASGI application, to be mounted where their messages arrive.

    Args:
        app: The app whose jobs they are.
        verifier: Tells whether a message is genuine; the notifier's own without one. A backend that is reached over the
            open network needs one.
        public_url: The URL that the paths of jobs are put behind, where neither `app.job_url` nor the request tells.

    Raises:
        Misuse: No verifier for a public backend, or an argument that cannot be one.
    """
    return AsgiJobs(AsyncJobEndpoint(app, verifier=verifier, public_url=public_url))


class AsgiJobs:
    """Jobs as an ASGI application. Made by `asgi_jobs`."""

    def __init__(self, endpoint: AsyncJobEndpoint) -> None:
        self.endpoint = endpoint

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request, or the server's lifespan."""

        async def handle(request: Request) -> Response:
            # Some servers say the path with the mount, some without.
            path, mount = str(scope["path"]), str(scope.get("root_path", "")).rstrip("/")
            return await self.endpoint.handle(request, path[len(mount) :] if path.startswith(f"{mount}/") else path)

        await serve(scope, receive, send, handle, MAX_JOB_BODY)
