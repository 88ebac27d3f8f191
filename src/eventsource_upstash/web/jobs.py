"""What happens when a message for a job arrives, on plain values: no framework, no colour."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote, urlsplit
from uuid import uuid4

from .._flow.working import Jobs
from .._io.blocking import PORT, run
from .._io.port import Port
from ..blocking import App
from ..domain.jobs import NON_RETRYABLE, Job, NotRetryable, RetryLater
from ..domain.sending import MAX_ID
from ..errors import Misuse
from ..ports import ID_HEADER, MAX_MESSAGE_BYTES, NoticeTransport, Unverified, Verifier
from .endpoint import Request, Response, problem
from .paths import path_and_query

_log: Final = logging.getLogger("eventsource_upstash.jobs")

MAX_JOB_BODY: Final = MAX_MESSAGE_BYTES
"""Most bytes of a job's message."""

_MAX_DIGITS: Final = 6


class JobHandling:
    """Answers messages for jobs, over the flows."""

    def __init__(
        self,
        jobs: Jobs,
        port: Port,
        verifier: Verifier | None,
        public_url: str | None,
        *,
        transport: NoticeTransport | None,
        public: bool,
    ) -> None:
        if public_url is not None:
            parts = urlsplit(public_url)
            if not parts.netloc or parts.query or parts.fragment:
                raise Misuse(
                    "public_url= is not the whole URL that the paths of jobs are put behind, without a query, as in "
                    "https://app.example.com"
                )
        self._jobs = jobs
        self._port = port
        self._base = _base_of(transport) if public_url is None else public_url.rstrip("/")
        self._prefix = "" if self._base is None else urlsplit(self._base).path
        self._verifier = verifier
        self._transport = transport if verifier is None else None
        self._verifiers: dict[str, Verifier | None] = {}
        # Now, not at the first message: whether there is anything to verify with.
        self._verifies = verifier is not None or (transport is not None and transport.verifier(self._base) is not None)
        if public and not self._verifies:
            raise Misuse(
                "these jobs would be open to everybody: the backend is reached over the open network and no verifier "
                "is configured. Hand over a verifier, with the signing keys of whoever sends"
            )

    async def handle(self, request: Request, mounted: str | None = None) -> Response:
        """See `JobEndpoint.handle`."""
        if request.method != "POST":
            return problem(405, "only POST is answered here", {"allow": "POST"})
        if len(request.body) > MAX_JOB_BODY:
            return problem(413, f"a message has at most {MAX_JOB_BODY} bytes")
        path = self._path(request, mounted)
        if path is None:
            return problem(404, "there is no job at this path")
        refused = self._verify(request, path)
        return refused if refused is not None else await self._work(job_of(path, request))

    def _path(self, request: Request, mounted: str | None) -> str | None:
        """The path of the job that a request is for: as the sender addressed it, or as the mount has it."""
        whole = unquote(path_and_query(request.url)[0])
        known = self._base is not None and whole.startswith(f"{self._prefix}/")
        public = whole[len(self._prefix) :] if known else None
        return next((path for path in (public, mounted, whole) if path is not None and path in self._jobs), None)

    def _verify(self, request: Request, path: str) -> Response | None:
        """The answer to a request that is not genuine; None for one that is."""
        if not self._verifies:
            return None
        _, query = path_and_query(request.url)
        addressed = request.url if self._base is None else f"{self._base}{path}" + (f"?{query}" if query else "")
        try:
            verifier = self._verifier_for(addressed, cached=not query)
            if verifier is not None:
                verifier.verify(request.headers, request.body, addressed)
        except (Unverified, Misuse) as reason:  # a URL that nobody could have signed is misuse
            _log.warning("job %s: refused a message: %s", path, reason)
            return problem(401, "the message is not signed by whom it has to be")
        except Exception:
            _log.exception("job %s: a message could not be verified; the sender will try again", path)
            return problem(500, "not verified yet; try again")
        return None

    def _verifier_for(self, addressed: str, *, cached: bool) -> Verifier | None:
        if self._transport is None:
            return self._verifier
        if self._base is None:
            addressed, cached = "", True
        found = self._verifiers.get(addressed)
        if found is None:
            found = self._transport.verifier(addressed or None)
            if cached:
                self._verifiers[addressed] = found
        return found

    async def _work(self, job: Job) -> Response:
        try:
            answer = await self._jobs.run(self._port, job)
        except NotRetryable as reason:
            _log.error("job %s: message %s is given up: %s", job.path, job.id, reason)
            return problem(NON_RETRYABLE, "no retry can help", {"upstash-nonretryable-error": "true"})
        except RetryLater as reason:
            _log.warning("job %s: message %s is to be tried again later: %s", job.path, job.id, reason)
            after = {} if reason.after is None else {"retry-after": str(math.ceil(reason.after))}
            return problem(503, "not now; try again", after)
        except Exception:
            _log.exception("job %s: message %s failed; the sender will try again", job.path, job.id)
            return problem(500, "not done yet; try again")
        _log.info("job %s: message %s is done", job.path, job.id)
        if answer is None:
            return Response(200, {}, b"")
        return Response(200, {"content-type": "application/octet-stream", "x-content-type-options": "nosniff"}, answer)


class JobEndpoint:
    """The endpoint that messages for the app's jobs arrive at, on plain values, for blocking frameworks.

    Args:
        app: The app whose jobs they are.
        verifier: Tells whether a message is genuine; the notifier's own without one. A backend that is reached over the
            open network needs one.
        public_url: The URL that the paths of jobs are put behind, as the sender addresses them; what `app.job_url` says
            without it, and where that is not known the request's own URL.

    Raises:
        Misuse: No verifier for a public backend, or an argument that cannot be one.
    """

    def __init__(self, app: App, *, verifier: Verifier | None = None, public_url: str | None = None) -> None:
        self.flow: JobHandling = JobHandling(
            app.jobs, PORT, verifier, public_url, transport=app.notifier.transport, public=app.backend.public
        )

    def handle(self, request: Request, mounted: str | None = None) -> Response:
        """Have a job do its work, because a message for it came.

        Args:
            request: The request; its path chooses the job.
            mounted: The path below where the endpoint is mounted, where that differs.

        Returns:
            200 with what the handler answered; 404 for a path that no job has; 401 for what the verifier refused; 405
            and 413 for what is no message; 489 where the handler says that no retry can help, 503 with `Retry-After`
            where it asks to be called later; else 500, without detail, so that the sender tries again. It never raises.
        """
        return run(self.flow.handle(request, mounted))


def job_of(path: str, request: Request) -> Job:
    """The message in a request. What its headers say is not covered by a signature; its body is."""
    headers = request.headers
    retried = headers.get("upstash-retried", "")
    known = retried.isascii() and retried.isdigit() and len(retried) <= _MAX_DIGITS
    return Job(
        path,
        _id_of(headers),
        request.body,
        headers,
        int(retried) + 1 if known else 1,
        headers.get("upstash-schedule-id") or None,
    )


def _id_of(headers: Mapping[str, str]) -> str:
    for name in (ID_HEADER, "upstash-message-id"):
        given = headers.get(name, "")
        if 0 < len(given) <= MAX_ID and given.isprintable():
            return given
    return uuid4().hex  # whoever sent it did not name it


def _base_of(transport: NoticeTransport | None) -> str | None:
    """What the paths of jobs are put behind, if the transport knows."""
    if transport is None:
        return None
    try:
        return transport.job_url("/").rstrip("/")
    except Misuse:
        return None
