"""The registry: which event types, upcasters, projections, aggregates and reactors an app has."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar, cast

from ..errors import RegistrationError
from .event_types import EventType, EventTypes, Tagger, Upcaster
from .events import MAX_VERSION
from .folding import OnError
from .folds import check_handler
from .names import check_part_name, check_type_name
from .projections import Projection

if TYPE_CHECKING:
    from .aggregates import Aggregate
    from .reactors import Reactor

_STEPS_TOLD: Final = 10  # of upcasters that are missing: a date as a version lacks millions

T = TypeVar("T")
E = TypeVar("E")

_Class: TypeAlias = "type[E]"  # `type` is the name of a parameter below


class Registry:
    """What an app knows: its event types, its projections, its aggregates and its reactors.

    One per app, at module level; the decorators fill it while modules are imported, and every mistake that can be seen
    then is raised then. Several registries do not know of each other.
    """

    def __init__(self) -> None:
        self.types: EventTypes = EventTypes()
        self._upcasters: dict[str, dict[int, Upcaster]] = {}
        self._projections: dict[tuple[str, int], Projection[object]] = {}
        self._aggregates: dict[str, Aggregate[object]] = {}
        self._reactors: dict[str, Reactor] = {}

    def __repr__(self) -> str:
        return (
            f"<Registry of {len(self.types.by_class)} event types, {len(self._projections)} projections, "
            f"{len(self._aggregates)} aggregates, {len(self._reactors)} reactors>"
        )

    @property
    def projections(self) -> tuple[Projection[object], ...]:
        """Every projection, in the order of registration."""
        return tuple(self._projections.values())

    @property
    def aggregates(self) -> tuple[Aggregate[object], ...]:
        """Every aggregate, in the order of registration."""
        return tuple(self._aggregates.values())

    @property
    def reactors(self) -> tuple[Reactor, ...]:
        """Every reactor, in the order of registration."""
        return tuple(self._reactors.values())

    @property
    def subscriptions(self) -> tuple[Projection[object], ...]:
        """All that a catch-up folds: every projection, and the outbox of every reactor."""
        outboxes = [cast("Projection[object]", each.outbox) for each in self._reactors.values()]
        return (*self._projections.values(), *outboxes)

    def event(
        self,
        type: str,
        *,
        version: int = 1,
        formerly: Iterable[str] = (),
        subject: str | Callable[[Any], object] | None = None,  # Any: the class is not known before it is decorated
        tags: Tagger | None = None,
    ) -> Callable[[type[E]], type[E]]:
        """Register a class as an event type.

        Args:
            type: The name that its events are recorded under, for good. Not the class's name: that may change.
            version: The schema version that the class stands for. From 2 on, an upcaster from every earlier version has
                to be declared above it.
            formerly: Other names that its events are recorded under: what is read under one of them is of this type,
                for reads, folds and queries. `Recorded.type` stays as recorded. All names share one chain of versions
                and upcasters, which is declared under `type`.
            subject: Whose the personal data is, where fields of the class are `Personal[...]`: the name of the field
                that holds the person's id, or a function of the event that answers it.
            tags: A function of an event that answers its tags: `lambda event: (f"course:{event.course}",)`. It is asked
                when the event is appended, and the tags are recorded with it, before those of the append.

        Raises:
            RegistrationError: A name or the class is registered already, or a name is ignored; the class or one of
                its fields cannot be stored; an upcaster is missing; what tells the tags cannot be called with an event.
        """
        check_type_name(type)
        _check_version(f"event type {type!r}", version)
        names = _check_former_names(type, formerly)
        if callable(subject):
            check_handler(subject, f"event type {type!r}, subject", ("event",))
        if tags is not None:
            check_handler(tags, f"event type {type!r}, tags", ("event",))

        def register(cls: _Class[E]) -> _Class[E]:
            self._register_event(type, version, cls, names, subject, tags)
            return cls

        return register

    def upcast(
        self, type: str, *, from_version: int
    ) -> Callable[[Callable[[dict[str, object]], dict[str, object]]], Callable[[dict[str, object]], dict[str, object]]]:
        """Register how the data of an older schema version becomes that of the next one.

        Declared above the event class, so that a gap shows when the class is registered. The function is given the
        event's JSON object as a dict of its own and answers the next version's.

        Args:
            type: The event type's present name, whatever it was called in that version.
            from_version: The version that it starts from; it leads to `from_version + 1`.

        Raises:
            RegistrationError: There is one from this version already, the event is registered already, or the function
                cannot be called with a dict.
        """
        check_type_name(type)
        _check_version(f"upcaster of {type!r}", from_version)

        def register(
            upcaster: Callable[[dict[str, object]], dict[str, object]],
        ) -> Callable[[dict[str, object]], dict[str, object]]:
            where = f"upcaster of {type!r} from version {from_version}"
            check_handler(upcaster, where, ("data",))
            if type in self.types.by_name:
                raise RegistrationError(
                    f"{where}: declare it above the event class, which is registered already{self._as(type)}"
                )
            chain = self._upcasters.setdefault(type, {})
            if from_version in chain:
                raise RegistrationError(f"{where}: there is one already")
            chain[from_version] = upcaster
            return upcaster

        return register

    def ignore(self, type: str) -> None:
        """Declare that recorded events of a type do not matter here: a type that was retired, or another app's.

        Its events stay in the log. Projections, aggregates and reads pass them over. That holds for the name given: a
        retired type that had others before needs one call for each.

        Raises:
            RegistrationError: The type is registered as an event, or is a former name of one.
        """
        check_type_name(type)
        if type in self.types.by_name:
            raise RegistrationError(
                f"event type {type!r} is registered{self._as(type)}; an event cannot be ignored as well"
            )
        self.types.ignored.add(type)

    def projection(
        self,
        name: str,
        document: type[T],
        *,
        version: int = 1,
        on_error: OnError = "stop",
        changes: bool = False,
        partitioned: bool = False,
    ) -> Projection[T]:
        """Register a projection. Its handlers are added with `Projection.on`.

        Args:
            name: Its name, for good: the view is stored under it.
            document: The class of its documents: dataclass, msgspec.Struct, attrs class or pydantic model.
            version: Raise it when the folds or the class change meaning: a new version is a new view, and the one
                before it serves until the new one has met the head. Versions of one name may be registered side by
                side, for as long as one is to be kept up while the other is built.
            on_error: What becomes of an event whose fold fails. "stop": the view stays before it, and catch-up tries
                again. "park": it is set aside, with all later ones of the same document, until `retry_parked`.
                "skip": it is passed over and noted.
            changes: Whether what changes is noted in a feed beside the view, for `view.changes` and live pages.
            partitioned: Whether each document is that of one stream (so handlers have no `key=`), and in a log of
                several partitions (Kafka) the view is kept in parts, one for each, so that workers fold them side by
                side, and an event that cannot be folded stops one partition only. On any other log it changes nothing.

        Raises:
            RegistrationError: The name is taken, or the class cannot be stored; `partitioned` with `changes`.
        """
        check_part_name("projection", name)
        _check_version(f"projection {name!r}", version)
        if (name, version) in self._projections:
            raise RegistrationError(f"projection {name!r} is registered already, in version {version}")
        projection = Projection(
            self.types, name, document, version, on_error=on_error, changes=changes, partitioned=partitioned
        )
        self._projections[projection.id] = cast("Projection[object]", projection)
        return projection

    def aggregate(
        self, name: str, state: type[T], *, version: int = 1, snapshot_every: int | None = None
    ) -> Aggregate[T]:
        """Register an aggregate. Its handlers are added with `Aggregate.on` and `Aggregate.decide`.

        Args:
            name: Its name. Snapshots are kept under it.
            state: The class of its state: dataclass, msgspec.Struct, attrs class or pydantic model.
            version: Raise it when the folds or the class change meaning: snapshots of an older version are not used.
            snapshot_every: Keep the state beside its stream each time that so many events have been added, so that
                loading reads what came since, and not the whole stream. None for never.

        Raises:
            RegistrationError: The name is taken, the class is none that could be stored, or a number cannot be one.
        """
        check_part_name("aggregate", name)
        _check_version(f"aggregate {name!r}", version)
        if snapshot_every is not None and (type(snapshot_every) is not int or snapshot_every < 1):
            raise RegistrationError(
                f"aggregate {name!r}: snapshot_every={snapshot_every!r}: it is a whole number of events from 1, or None"
            )
        if name in self._aggregates:
            raise RegistrationError(f"aggregate {name!r} is registered already")
        from .aggregates import Aggregate  # for those who have any

        aggregate = Aggregate(self.types, name, state, version, snapshot_every)
        self._aggregates[name] = cast("Aggregate[object]", aggregate)
        return aggregate

    def reactor(self, name: str, *, on_error: OnError = "stop", since: datetime | None = None) -> Reactor:
        """Register a reactor. Its handlers are added with `Reactor.on`.

        Args:
            name: Its name, for good: how far it is, and what it has still to do, is stored under it.
            on_error: What becomes of an event whose handler fails, and of a reaction that cannot be carried out
                whatever is tried. "stop": the reactor stays there, and every catch-up tries again and raises. "park":
                it is set aside, with what comes after it under the same key, until `app.reactions.retry`. "skip": it is
                passed over and noted.
            since: Events that were recorded before that are not reacted to. For a reactor that is added to a log which
                has events already; without it, it reacts to all of them.

        Raises:
            RegistrationError: The name is taken or can be none, or `since` is no datetime with a time zone.
        """
        check_part_name("reactor", name)
        if name in self._reactors:
            raise RegistrationError(f"reactor {name!r} is registered already")
        from .reactors import Reactor  # for those who have any

        reactor = Reactor(self.types, name, on_error=on_error, since=since)
        self._reactors[name] = reactor
        return reactor

    def _as(self, name: str) -> str:
        """What to add to 'is registered' about a name: nothing where it is a type's present name."""
        known = self.types.by_name[name]
        return "" if known.name == name else f", as a former name of {known.name!r}"

    def _register_event(
        self,
        name: str,
        version: int,
        cls: type,
        formerly: tuple[str, ...],
        subject: object,
        tags: Tagger | None,
    ) -> None:
        what = f"event type {name!r}"
        self._check_free(name, what, formerly)
        chain = self._upcasters.get(name, {})
        event_type = EventType(name, version, cls, chain, formerly, subject, tags)
        if event_type.personal and self.types.unsealed:
            raise RegistrationError(
                f"{what} holds personal data, and an event store that has no key store was made of this registry "
                "before; register all types first, and hand it one: EventStore(..., keys=...)"
            )
        if cls in self.types.by_class:
            raise RegistrationError(
                f"{what}: {cls.__name__} is registered already, as {self.types.by_class[cls].name!r}"
            )
        missing = list(islice((step for step in range(1, version) if step not in chain), _STEPS_TOLD + 1))
        if missing:
            steps = ", ".join(f"from_version={step}" for step in missing[:_STEPS_TOLD])
            raise RegistrationError(
                f"{what}, version {version}: no upcaster {steps}{', ...' if len(missing) > _STEPS_TOLD else ''}; "
                f"declare @registry.upcast({name!r}, ...) above the class"
            )
        beyond = [step for step in chain if step >= version]
        if beyond:
            raise RegistrationError(
                f"{what}, version {version}: the upcaster from_version={beyond[0]} leads past it; raise the version"
            )
        for each in event_type.names:
            self.types.by_name[each] = event_type
        self.types.by_class[cls] = event_type
        self.types.tagging |= tags is not None

    def _check_free(self, name: str, what: str, formerly: tuple[str, ...]) -> None:
        """Refuse names that stand for something else already. Raises `RegistrationError`."""
        for each in (name, *formerly):
            of = what if each == name else f"{what}, formerly={each!r}: event type {each!r}"
            if each in self.types.by_name:
                raise RegistrationError(
                    f"{of} is registered already{self._as(each)}, for {self.types.by_name[each].cls.__name__}"
                )
            if each in self.types.ignored:
                raise RegistrationError(f"{of} was declared as ignored; it cannot be an event as well")
            if each != name and each in self._upcasters:
                raise RegistrationError(
                    f"{what}, formerly={each!r}: its upcasters belong to the present name; declare them as "
                    f"@registry.upcast({name!r}, ...)"
                )


def _check_version(what: str, version: int) -> None:
    if type(version) is not int or not 0 < version <= MAX_VERSION:
        raise RegistrationError(f"{what}: a version is a whole number from 1 to {MAX_VERSION}, not {version!r}")


def _check_former_names(name: str, formerly: Iterable[str]) -> tuple[str, ...]:
    what = f"event type {name!r}, formerly={formerly!r}"
    if isinstance(formerly, str) or not isinstance(cast("object", formerly), Iterable):
        raise RegistrationError(f"{what}: it is several names, as in formerly=({formerly!r},)")
    names = tuple(formerly)
    for each in names:
        check_type_name(each)
    if len({name, *names}) <= len(names):
        raise RegistrationError(f"{what}: each name once, and without the present one")
    return names
