"""A URL to an app, wired. Only wiring: each part can be built alone as well."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .backends.memory import InProcess, Memory
from .domain.registry import Registry
from .errors import Misuse
from .ports import Backend

if TYPE_CHECKING:
    from .aio import AsyncApp
    from .blocking import App


def connect(url: str | Backend, registry: Registry) -> App:
    """An app on the backend that a URL names. Opens nothing yet.

    Args:
        url: `memory:` for a log in this process, or `sqlite:FILE` for one in a file. Or a backend, where a URL cannot
            say it all: `SQLite("todo.db", synchronous="NORMAL")`.
        registry: The app's event types, projections and aggregates.

    Raises:
        Misuse: The URL names no backend that there is.
    """
    from .blocking import App

    return App(backend_of(url), registry, InProcess())


def connect_async(url: str | Backend, registry: Registry) -> AsyncApp:
    """The same for an event loop: `connect_async(...)` is not awaited, what it answers is used with `await`."""
    from .aio import AsyncApp

    return AsyncApp(backend_of(url), registry, InProcess())


def backend_of(url: str | Backend) -> Backend:
    """The backend that a URL names, or the one given. Raises `Misuse` when there is none."""
    if not isinstance(url, str):
        return url
    scheme, colon, rest = url.partition(":")
    if scheme == "memory" and colon and not rest:
        return Memory()
    if scheme == "sqlite" and rest.startswith("//") and not rest.startswith("///"):
        raise Misuse("connect: sqlite:FILE or sqlite:///FILE names a file; sqlite://FILE would name a host")
    if scheme == "sqlite" and rest:
        from .backends.sqlite import SQLite

        # sqlite:///todo.db, as other libraries write it, means the same file as sqlite:todo.db.
        return SQLite(rest.removeprefix("///"))
    # The rest of a URL may hold a password, so only the scheme is repeated.
    raise Misuse(f"connect: no backend for a URL that starts with {scheme!r}; there is 'memory:' and 'sqlite:FILE'")
