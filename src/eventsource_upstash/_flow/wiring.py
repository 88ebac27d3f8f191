"""What can be seen to be wrong before the first event: parts that do not belong together."""

from __future__ import annotations

import logging
from typing import Final, TypeVar, cast

from .._io.port import Port
from ..domain.jobs import check_job_path
from ..domain.progress import ProjectionId
from ..domain.projections import Projection
from ..domain.reactors import OutboxProjection, Reactor
from ..domain.registry import Registry
from ..errors import Misuse
from ..ports import Backend, NoticeTransport
from .working import Jobs

D = TypeVar("D")

_log: Final = logging.getLogger("eventsource_upstash.app")


async def check(backend: Backend, transport: NoticeTransport | None, jobs: Jobs, port: Port) -> tuple[str, ...]:
    """See `App.check`."""
    doubts = await backend.check(port)
    if transport is not None:
        doubts += await transport.check(port)
        doubts += _doubts_of_jobs(transport, jobs, port)
    for doubt in doubts:
        _log.warning("%s", doubt)
    return doubts


def _doubts_of_jobs(transport: NoticeTransport, jobs: Jobs, port: Port) -> tuple[str, ...]:
    """Whether jobs can be called at all, where it is not the app that calls them."""
    if not jobs.paths or transport.messages(port) is None:
        return ()
    try:
        transport.job_url(jobs.paths[0])
    except Misuse as unknown:
        return (f"messages to jobs cannot be sent: {unknown}",)
    return ()


def check_parts(backend: object, registry: object) -> None:
    """Refuse what is no backend or no registry. Raises `Misuse`."""
    if not (hasattr(backend, "log") and hasattr(backend, "views")):
        raise Misuse(
            f"{backend!r} is no backend; hand over Memory() or SQLite(...), or let connect(url, registry) read a URL"
            if not isinstance(backend, str)
            else "a URL is no backend; hand over Memory() or SQLite(...), or let connect(url, registry) read the URL"
        )
    if not isinstance(registry, Registry):
        raise Misuse(f"{registry!r} is no Registry")


def check_views_of(backend: Backend, log: Backend) -> None:
    """Refuse views that cannot keep how far they are in that log. Raises `Misuse`."""
    if log is not backend and log.capabilities.partitions:
        raise Misuse(
            f"{log!r} is a log in partitions, whose views it opens itself: tell it where they are kept, as in "
            "Kafka(topic, views=...), and hand it to the projection store as its backend"
        )


def check_wiring(log: Backend, folded_from: Backend, appends: Registry, folds: Registry) -> None:
    """Refuse views that are folded from another log than events are appended to. Raises `Misuse`."""
    if log is not folded_from:
        raise Misuse(
            f"the event store is on {log!r}, but the views are folded from {folded_from!r}: nothing would ever arrive. "
            "Hand both the same backend object, or ProjectionStore(..., log_backend=...) the event store's"
        )
    if appends is not folds:
        raise Misuse("event store and projection store have different registries; hand both the same one")


def any_of(projection: Projection[D]) -> Projection[object]:
    """A projection as the flows take it, to which its documents' class is all one."""
    return cast("Projection[object]", projection)


def retired_version(registry: Registry, name: str, version: int) -> ProjectionId:
    """A version of a projection that is not registered. Raises `Misuse` for one that is."""
    wanted = ProjectionId(name, version)
    if type(version) is not int or version < 1:
        raise Misuse(f"version={version!r}: it is a whole number from 1")
    if any(known.id == wanted for known in registry.subscriptions):
        raise Misuse(
            f"projection {name!r}, version {version}, is registered here: catch-up would build its view again at once. "
            "Take it out of the code first"
        )
    return wanted


def check_views(projection: Projection[D]) -> None:
    """Refuse the outbox of a reactor where a view is to be built anew: it would decide everything again.

    Raises `Misuse`.
    """
    if isinstance(projection, OutboxProjection):
        raise Misuse(
            f"the outbox of reactor {projection.reactor!r} is never built anew: what it decided is done. For another "
            "decision on old events register a reactor with another name"
        )


def outbox_of(registry: Registry, reactor: object) -> OutboxProjection:
    """The outbox of a reactor of that registry. Raises `Misuse`."""
    if not isinstance(reactor, Reactor):
        raise Misuse(f"{reactor!r} is no reactor; hand over what registry.reactor(...) answered")
    if not any(reactor is known for known in registry.reactors):
        raise Misuse(f"reactor {reactor.name!r} belongs to another registry than this app")
    return cast("OutboxProjection", reactor.outbox)


def check_keys(seals: object, opens: object) -> None:
    """Refuse views that are folded with other keys than events are encrypted with. Raises `Misuse`."""
    if seals is not opens:
        raise Misuse("event store and projection store have different key stores; hand both the same object as keys=")


def job_url(transport: NoticeTransport | None, path: str) -> str:
    """See `App.job_url`."""
    check_job_path(path)
    if transport is None:
        raise Misuse(f"job {path!r}: nothing carries messages here, so it has no URL")
    return transport.job_url(path)
