"""The registry: which event types, upcasters, projections and aggregates an app has."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias, TypeVar, cast

from ..errors import RegistrationError
from .aggregates import Aggregate
from .event_types import EventType, EventTypes, Upcaster
from .folding import OnError
from .folds import check_handler
from .names import check_part_name, check_type_name
from .projections import Projection

T = TypeVar("T")
E = TypeVar("E")

_Class: TypeAlias = "type[E]"  # `type` is the name of a parameter below


class Registry:
    """What an app knows: its event types, its projections and its aggregates.

    One per app, at module level; the decorators fill it while modules are imported, and every mistake that can be seen
    then is raised then. Several registries do not know of each other.
    """

    def __init__(self) -> None:
        self.types: EventTypes = EventTypes()
        self._upcasters: dict[str, dict[int, Upcaster]] = {}
        self._projections: dict[tuple[str, int], Projection[object]] = {}
        self._aggregates: dict[str, Aggregate[object]] = {}

    def __repr__(self) -> str:
        return (
            f"<Registry of {len(self.types.by_name)} event types, {len(self._projections)} projections, "
            f"{len(self._aggregates)} aggregates>"
        )

    @property
    def projections(self) -> tuple[Projection[object], ...]:
        """Every projection, in the order of registration."""
        return tuple(self._projections.values())

    def event(self, type: str, *, version: int = 1) -> Callable[[type[E]], type[E]]:
        """Register a class as an event type.

        Args:
            type: The name that its events are recorded under, for good. Not the class's name: that may change.
            version: The schema version that the class stands for. From 2 on, an upcaster from every earlier version has
                to be declared above it.

        Raises:
            RegistrationError: The name or the class is registered already, the class or one of its fields cannot be
                stored, or an upcaster is missing.
        """
        check_type_name(type)
        _check_version(f"event type {type!r}", version)

        def register(cls: _Class[E]) -> _Class[E]:
            self._register_event(type, version, cls)
            return cls

        return register

    def upcast(
        self, type: str, *, from_version: int
    ) -> Callable[[Callable[[dict[str, object]], dict[str, object]]], Callable[[dict[str, object]], dict[str, object]]]:
        """Register how the data of an older schema version becomes that of the next one.

        Declared above the event class, so that a gap shows when the class is registered. The function is given the
        event's JSON object as a dict of its own and answers the next version's.

        Args:
            type: The event type's name.
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
                raise RegistrationError(f"{where}: declare it above the event class, which is registered already")
            chain = self._upcasters.setdefault(type, {})
            if from_version in chain:
                raise RegistrationError(f"{where}: there is one already")
            chain[from_version] = upcaster
            return upcaster

        return register

    def ignore(self, type: str) -> None:
        """Declare that recorded events of a type do not matter here: nothing stops at them.

        Raises:
            RegistrationError: The type is registered as an event.
        """
        check_type_name(type)
        if type in self.types.by_name:
            raise RegistrationError(f"event type {type!r} is registered; an event cannot be ignored as well")
        self.types.ignored.add(type)

    def projection(
        self,
        name: str,
        document: type[T],
        *,
        version: int = 1,
        on_error: OnError = "stop",
        changes: bool = False,
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

        Raises:
            RegistrationError: The name is taken, or the class cannot be stored.
        """
        check_part_name("projection", name)
        _check_version(f"projection {name!r}", version)
        if (name, version) in self._projections:
            raise RegistrationError(f"projection {name!r} is registered already, in version {version}")
        projection = Projection(self.types, name, document, version, on_error=on_error, changes=changes)
        self._projections[projection.id] = cast("Projection[object]", projection)
        return projection

    def aggregate(self, name: str, state: type[T]) -> Aggregate[T]:
        """Register an aggregate. Its handlers are added with `Aggregate.on` and `Aggregate.decide`.

        Args:
            name: Its name, for messages.
            state: The class of its state.

        Raises:
            RegistrationError: The name is taken, or the class is none that could be stored.
        """
        check_part_name("aggregate", name)
        if name in self._aggregates:
            raise RegistrationError(f"aggregate {name!r} is registered already")
        aggregate = Aggregate(self.types, name, state)
        self._aggregates[name] = cast("Aggregate[object]", aggregate)
        return aggregate

    def _register_event(self, name: str, version: int, cls: type) -> None:
        what = f"event type {name!r}"
        if name in self.types.by_name:
            raise RegistrationError(f"{what} is registered already, for {self.types.by_name[name].cls.__name__}")
        if name in self.types.ignored:
            raise RegistrationError(f"{what} was declared as ignored; it cannot be an event as well")
        chain = self._upcasters.get(name, {})
        event_type = EventType(name, version, cls, chain)
        if cls in self.types.by_class:
            raise RegistrationError(
                f"{what}: {cls.__name__} is registered already, as {self.types.by_class[cls].name!r}"
            )
        missing = [step for step in range(1, version) if step not in chain]
        if missing:
            steps = ", ".join(f"from_version={step}" for step in missing)
            raise RegistrationError(
                f"{what}, version {version}: no upcaster {steps}; "
                f"declare @registry.upcast({name!r}, ...) above the class"
            )
        beyond = [step for step in chain if step >= version]
        if beyond:
            raise RegistrationError(
                f"{what}, version {version}: the upcaster from_version={beyond[0]} leads past it; raise the version"
            )
        self.types.by_name[name] = event_type
        self.types.by_class[cls] = event_type


def _check_version(what: str, version: int) -> None:
    if type(version) is not int or version < 1:
        raise RegistrationError(f"{what}: a version is a whole number from 1, not {version!r}")
