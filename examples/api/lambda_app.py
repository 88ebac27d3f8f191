"""The API on AWS Lambda, behind a function URL or API Gateway: `examples.api.lambda_app.handler`.

No worker runs between two requests: QStash delivers, and whoever reads brings the views up to date. What a server says
when it starts, a deployment says once: `python -m examples.api.set_up`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mangum import Mangum

from .asgi_app import create_app
from .service import Service

# Any: as the package declares events, contexts and answers.
Handler = Callable[[Any, Any], Mapping[str, Any]]


# --8<-- [start:handler]
def create_handler(service: Service | None = None) -> Handler:
    """The handler, over a service of its own or the one that is handed in."""
    text = ["text/", "application/json", "application/problem+json", "image/svg+xml"]  # the rest travels as base64
    return Mangum(create_app(service), lifespan="off", text_mime_types=text)  # its lifespan would be one request's


# --8<-- [end:handler]


def __getattr__(name: str) -> Handler:
    if name == "handler":  # made when Lambda asks for it, so that importing this file opens nothing
        made = globals()["handler"] = create_handler()
        return made
    raise AttributeError(name)
