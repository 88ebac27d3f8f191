"""What the HTTP server itself logs, without what callers sent: a line that is no HTTP may hold their token."""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any, Final

from aiohttp.http_exceptions import HttpProcessingError

if TYPE_CHECKING:
    _Adapter = logging.LoggerAdapter[logging.Logger]
else:
    _Adapter = logging.LoggerAdapter

__all__ = ["LOGGER"]


class _Discreet(_Adapter):
    """aiohttp quotes the line that it could not read: of such an error only the kind is logged."""

    def process(
        self,
        msg: object,
        kwargs: MutableMapping[str, Any],  # Any: as in LoggerAdapter
    ) -> tuple[object, MutableMapping[str, Any]]:
        """Have the kind of the error in its place."""
        error = kwargs.get("exc_info")
        if isinstance(error, HttpProcessingError):
            kwargs["exc_info"] = None
            msg = f"{msg}: it is no HTTP ({type(error).__name__})"
        return msg, kwargs


LOGGER: Final = _Discreet(logging.getLogger("eventsource_upstash.local.http"), {})
