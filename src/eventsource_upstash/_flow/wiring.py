"""What can be seen to be wrong before the first event: parts that do not belong together."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final, TypeVar, cast

from ..domain.progress import ProjectionId
from ..domain.projections import Projection
from ..domain.registry import Registry
from ..errors import Misuse
from ..ports import EVERYTHING

if TYPE_CHECKING:
    from collections.abc import Callable

    from .._io.port import Port
    from ..ports import Backend, KeyStore, Log, NoticeTransport, PartitionedLog, Views
    from .abilities import Abilities
    from .catching_up import CatchingUp
    from .notifying import Notifying
    from .parking import Parking
    from .partitions import Partitions
    from .rebuilding import Rebuild
    from .sealing import Sealing
    from .working import Jobs

D = TypeVar("D")
T = TypeVar("T")

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


def once(of: object, name: str, make: Callable[[], T]) -> T:
    """A part of an object that is made when it is first asked for.

    Whichever threads ask at once, all are given the same one: where two of them make it, one is dropped.

    Args:
        of: The object.
        name: The attribute that it is kept in, set by nobody else.
        make: Makes it, and does nothing else.
    """
    parts = vars(of)
    return cast("T", parts[name] if name in parts else parts.setdefault(name, make()))


def check_backends(*backends: object) -> None:
    """Refuse what is no backend. Raises `Misuse`."""
    for backend in backends:
        if not (hasattr(backend, "log") and hasattr(backend, "views")):
            what = "a URL" if isinstance(backend, str) else repr(backend)
            read = "the URL" if isinstance(backend, str) else "a URL"
            raise Misuse(
                f"{what} is no backend; hand over Memory() or SQLite(...), or let connect(url, registry) read {read}"
            )


def check_parts(backend: object, registry: object) -> None:
    """Refuse what is no backend or no registry. Raises `Misuse`."""
    check_backends(backend)
    if not isinstance(registry, Registry):
        raise Misuse(f"{registry!r} is no Registry")


def check_views_of(backend: Backend, log: Backend) -> None:
    """Refuse views that cannot keep how far they are in that log. Raises `Misuse`."""
    if log is not backend and log.capabilities.partitions:
        raise Misuse(
            f"{log!r} is a log in partitions, whose views it opens itself: tell it where they are kept, as in "
            "Kafka(topic, views=...), and hand it to the projection store as its backend"
        )


def partitions_of(
    backend: Backend, log: Log, views: Views, sealing: Sealing | None, registry: Registry, port: Port
) -> Partitions | None:
    """The partitions of a backend's log; None where it is one sequence.

    Args:
        backend: Where log and views are.
        log: Its log.
        views: Its views, folded from all of the log.
        sealing: Opens personal data, where there is a key store.
        registry: The projections.
        port: What waits.
    """
    if not backend.capabilities.partitions:
        return None
    from .partitions import Partitions

    return Partitions(backend, cast("PartitionedLog", log), views, sealing, registry, port)


def parted_views(views: Views, partitions: Partitions | None) -> Views:
    """The views, with those answered as one that are kept in parts."""
    if partitions is None:
        return views
    from .parted_views import PartedViews

    return cast("Views", PartedViews(views, partitions))


def parking_of(views: Views, log: Log, catching_up: CatchingUp) -> Parking:
    """What looks after parked events, in parts where the log is in partitions."""
    from .parking import Parking

    if catching_up.parting is None:
        return Parking(views, log, catching_up.noting)
    from .parted_care import PartedParking

    return PartedParking(views, log, catching_up, catching_up.parting.partitions)


def rebuild_of(views: Views, catching_up: CatchingUp, notifying: Notifying | None) -> Rebuild:
    """What makes builds of views, in parts where the log is in partitions."""
    from .rebuilding import Rebuild

    if catching_up.parting is None:
        return Rebuild(views, catching_up, notifying)
    from .parted_care import PartedRebuild

    return PartedRebuild(views, catching_up, notifying, catching_up.parting)


def check_cache(streams: int) -> None:
    """Refuse what is no number of streams. Raises `Misuse`."""
    if type(streams) is not int or streams < 0:
        raise Misuse(f"cache={streams!r}: it is how many streams' states are kept, a whole number from 0")


def abilities(backend: Backend) -> Abilities | None:
    """What the log of a backend can do; None where it is everything, as in a database."""
    can = backend.capabilities
    if can == EVERYTHING:
        return None
    from .abilities import Abilities

    return Abilities(can, repr(backend))


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
    if projection.outbox:
        from ..domain.reactors import OUTBOX

        reactor = projection.name.removeprefix(OUTBOX)
        raise Misuse(
            f"the outbox of reactor {reactor!r} is never built anew: what it decided is done. For another "
            "decision on old events register a reactor with another name"
        )


def check_keys(seals: object, opens: object) -> None:
    """Refuse views that are folded with other keys than events are encrypted with. Raises `Misuse`."""
    if seals is not opens:
        raise Misuse("event store and projection store have different key stores; hand both the same object as keys=")


def job_url(transport: NoticeTransport | None, path: str) -> str:
    """See `App.job_url`."""
    from ..domain.jobs import check_job_path  # for those who have jobs

    check_job_path(path)
    if transport is None:
        raise Misuse(f"job {path!r}: nothing carries messages here, so it has no URL")
    return transport.job_url(path)


def sealing(keys: KeyStore | None, port: Port, registry: Registry) -> Sealing | None:
    """What seals and opens, over a key store; None without one.

    Raises:
        Misuse: An event type of the registry holds personal data, and there is no key store; or the package that
            encrypts is not installed.
    """
    types = registry.types
    if keys is None:
        personal = next((known for known in types.by_class.values() if known.personal), None)
        if personal is not None:
            raise Misuse(
                f"event type {personal.name!r} ({personal.cls.__name__}) holds personal data, and there is no key "
                "store to encrypt it with; hand one over, as in connect(url, registry, keys=SQLiteKeys('keys.db'))"
            )
        types.unsealed = True
        return None
    if not (hasattr(keys, "keys") and hasattr(keys, "close")):
        raise Misuse(f"keys={keys!r} is no key store; hand over MemoryKeys(), SQLiteKeys(...) or UpstashKeys(...)")
    from .cipher import check_cipher  # these for those who have personal data
    from .sealing import Sealing

    check_cipher()
    return Sealing(keys.keys(port), types)


def sealed_log(log: Log, sealing: Sealing | None) -> Log:
    """The log, with its personal data encrypted where there is a key store."""
    if sealing is None:
        return log
    from .sealing import SealedLog

    return SealedLog(log, sealing)


def opened_views(views: Views, sealing: Sealing | None) -> Views:
    """The views, with their pages opened where there is a key store."""
    if sealing is None:
        return views
    from .sealing import OpenedViews

    return cast("Views", OpenedViews(views, sealing))


def needs_keys(sealing: Sealing | None) -> Sealing:
    """Refuse to forget where there is nothing to forget. Raises `Misuse`."""
    if sealing is None:
        raise Misuse(
            "there is no key store here; hand one over, as in connect(url, registry, keys=SQLiteKeys('keys.db'))"
        )
    return sealing
