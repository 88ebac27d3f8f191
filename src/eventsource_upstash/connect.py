"""A URL to an app, wired. Only wiring: each part can be built alone as well."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from .errors import Misuse

# What is only told here is not loaded here: a model that is imported for its events needs no backend and no face.
if TYPE_CHECKING:
    from .aio import AsyncApp
    from .blocking import App
    from .domain.registry import Registry
    from .ports import Backend, KeyStore, NoticeTransport


class Parts(NamedTuple):
    """What a URL names: where log and views are, and how notifications travel."""

    backend: Backend
    transport: NoticeTransport


def connect(
    url: str | Backend,
    registry: Registry,
    *,
    cache: int = 0,
    keys: KeyStore | None = None,
    clock: Callable[[], int] = time.time_ns,
) -> App:
    """An app on the backend that a URL names. Opens nothing yet.

    Args:
        url: `memory:` for a log in this process; `sqlite:FILE` for one in a file; `upstash:`, or `upstash:NAMESPACE`,
            for Upstash Redis and QStash as the environment names them (see `UpstashRedis.from_env` and
            `QStash.from_env`); `kafka://HOST:PORT/TOPIC?views=sqlite:views.db`, and its like, for a topic of Kafka with
            views elsewhere, or `kafka:` for the one that the environment names. Or a backend, where a URL cannot say it
            all: `SQLite("todo.db", synchronous="NORMAL")`.
        registry: The app's event types, projections and aggregates.
        cache: For how many streams the state of an aggregate is kept in this process: see `EventStore`.
        keys: Where the keys are that personal data is encrypted with: `SQLiteKeys("keys.db")`.
        clock: Nanoseconds since 1970 (UTC), as `time.time_ns` tells them: what all parts of the app go by. A test hands
            over one that it moves.

    Raises:
        Misuse: The URL names no backend that there is; or variables of the environment are missing or malformed, and
            then it names all of them; or there are event types with personal data, and no key store.
    """
    from .blocking import App

    backend, transport = parts_of(url)
    return App(backend, registry, transport, cache=cache, keys=keys, clock=clock)


def connect_async(
    url: str | Backend,
    registry: Registry,
    *,
    cache: int = 0,
    keys: KeyStore | None = None,
    clock: Callable[[], int] = time.time_ns,
) -> AsyncApp:
    """The same for an event loop: `connect_async(...)` is not awaited, what it answers is used with `await`."""
    from .aio import AsyncApp

    backend, transport = parts_of(url)
    return AsyncApp(backend, registry, transport, cache=cache, keys=keys, clock=clock)


def parts_of(url: str | Backend) -> Parts:
    """The parts that a URL names, or the backend given. Raises `Misuse` when there are none."""
    from .backends.memory import InProcess

    if not isinstance(url, str):
        return Parts(url, InProcess())
    scheme, colon, rest = url.partition(":")
    if scheme == "memory" and colon and not rest:
        from .backends.memory import Memory

        return Parts(Memory(), InProcess())
    if scheme == "sqlite" and rest.startswith("//") and not rest.startswith("///"):
        raise Misuse("connect: sqlite:FILE or sqlite:///FILE names a file; sqlite://FILE would name a host")
    if scheme == "sqlite" and rest:
        from .backends.sqlite import SQLite

        # sqlite:///todo.db, as other libraries write it, means the same file as sqlite:todo.db.
        return Parts(SQLite(rest.removeprefix("///")), InProcess())
    if scheme == "upstash" and colon and not rest.startswith("//"):
        return upstash(rest or None, os.environ)
    if scheme == "upstash" and colon:
        raise Misuse(
            "connect: after 'upstash:' stands at most a namespace, as in upstash:todo; address and token are read from "
            "the environment"
        )
    if scheme in ("kafka", "kafkas", "kafka+https", "kafka+http") and colon:
        return Parts(kafka(url, os.environ), _notices(os.environ))
    # The rest of a URL may hold a password, so only the scheme is repeated; and what has none may be a token.
    begins = f"starts with {scheme!r}" if colon and len(scheme) <= 16 else "has no known scheme"
    raise Misuse(
        f"connect: no backend for a URL that {begins}; there is 'memory:', 'sqlite:FILE', 'upstash:' and 'kafka:'"
    )


def backend_of(url: str, environ: Mapping[str, str]) -> Backend:
    """Where log and views are that a URL names: for whoever needs no notifications.

    Args:
        url: As for `connect`.
        environ: The environment that it is read from.

    Raises:
        Misuse: As `connect`.
    """
    if url.startswith("upstash:") and not url.startswith("upstash://"):
        from .backends.redis import UpstashRedis

        return UpstashRedis.from_env(namespace=url.removeprefix("upstash:") or None, environ=environ)
    if url.startswith("kafka"):
        return kafka(url, environ, needs_views=False)
    return parts_of(url).backend


def kafka(url: str, environ: Mapping[str, str], *, needs_views: bool = True) -> Backend:
    """A topic of Kafka that a URL or the environment names, with its views where one of them says.

    Args:
        url: As for `connect`.
        environ: The environment that it is read from.
        needs_views: Whether it has to be said where views are. Else they are in memory, for whoever uses the log alone.

    Raises:
        Misuse: What is named cannot be, or something is not.
    """
    from .backends.kafka import Kafka
    from .backends.kafka.settings import VIEWS, read_url

    named = read_url(url, environ)
    views = named.views or ("upstash:" if environ.get("UPSTASH_REDIS_REST_URL") else None if needs_views else "memory:")
    if views is None:
        raise Misuse(
            "connect: a topic of Kafka keeps no views: say where they are, as in kafka://HOST:PORT/TOPIC?views=sqlite:"
            f"views.db, or by {VIEWS}, or by the variables of Upstash Redis"
        )
    if views.startswith("kafka"):
        raise Misuse("connect: views= is where views are kept: sqlite:FILE, upstash: or memory:, and not another topic")
    return Kafka(named.topic, views=backend_of(views, environ), beginning=named.beginning)


def _notices(environ: Mapping[str, str]) -> NoticeTransport:
    """How notifications travel: by QStash where the environment names it, else in this process."""
    if not any(name.endswith("QSTASH_TOKEN") for name in environ):
        from .backends.memory import InProcess

        return InProcess()
    from .backends.qstash import QStash
    from .backends.qstash.settings import read_environment

    if problems := read_environment(environ).problems:
        raise Misuse(
            f"QStash: {'; '.join(problems)}. Or take QSTASH_TOKEN out of the environment: notifications stay in the "
            "process then, for its own worker"
        )
    return QStash.from_env(environ=environ)


def upstash(namespace: str | None, environ: Mapping[str, str]) -> Parts:
    """Upstash Redis and QStash, as the environment names them. Raises `Misuse` that names all that is wrong with it."""
    from .backends.qstash import QStash
    from .backends.qstash.settings import read_environment
    from .backends.redis import UpstashRedis
    from .backends.redis.backend import environment_problems
    from .backends.redis.keys import Keys

    problems = [*environment_problems(environ, namespace=False), *read_environment(environ).problems]
    if namespace is not None:
        Keys(namespace)
    if problems:
        listed = "".join(f"\n- {problem}" for problem in dict.fromkeys(problems))
        raise Misuse(
            f"connect('upstash:'): the environment lacks something.{listed}\nThe values stand in the Upstash console; "
            "'eventsource-upstash dev' prints those of a local Upstash, but for the endpoint's URL, which is yours"
        )
    return Parts(
        UpstashRedis.from_env(namespace=namespace, environ=environ),
        QStash.from_env(namespace=namespace, environ=environ),
    )
