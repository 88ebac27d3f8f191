"""The app's jobs as an AWS Lambda handler: API Gateway REST and HTTP, function URLs, load balancers."""

from __future__ import annotations

from collections.abc import Callable

from ..blocking import App
from .aws_lambda import Event, answer_of
from .endpoint import Verifier
from .jobs import JobEndpoint
from .view_lambda import path_of


def lambda_jobs(
    app: App, *, verifier: Verifier | None = None, public_url: str | None = None
) -> Callable[[Event, object], dict[str, object]]:
    """The app's jobs as a Lambda handler, to be assigned to the name that the function is configured with.

    Args:
        app: The app whose jobs they are.
        verifier: Tells whether a message is genuine; the notifier's own without one. A backend that is reached over the
            open network needs one.
        public_url: The URL that the paths of jobs are put behind, where neither `app.job_url` nor the request tells.

    Raises:
        Misuse: No verifier for a public backend, or an argument that cannot be one. The handler itself raises it for an
            event that is no HTTP request.
    """
    endpoint = JobEndpoint(app, verifier=verifier, public_url=public_url)

    def handler(event: Event, context: object) -> dict[str, object]:  # noqa: ARG001  # Lambda hands it over
        return answer_of(event, lambda request: endpoint.handle(request, path_of(event)))

    return handler
