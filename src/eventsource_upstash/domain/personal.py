"""Personal data in events: which fields hold it, whose it is, and how it stands in a payload while it is sealed.

A payload with sealed fields is a JSON object, like every other one. It begins with a header that says whose data it is
and under which key it was encrypted; each sealed field's value is an object that holds the ciphertext:

    {"$sealed":{"subject":"c-1","key":"...","fields":["name"]},"customer_id":"c-1","name":{"$personal":"..."}}

So whoever looks finds out from the first bytes alone, and a reader who does not open it fails at a field of the wrong
type rather than take a ciphertext for a name.
"""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable, Iterable
from typing import Annotated, Any, Final, TypeAlias, TypeVar, cast, get_args, get_origin, get_type_hints
from uuid import UUID

import msgspec

from ..errors import RegistrationError
from .names import is_name
from .schema import Model, ModelField, Schema, is_pydantic

T = TypeVar("T")


class _Mark:
    def __repr__(self) -> str:
        return "Personal"


_MARK: Final = _Mark()

Personal: TypeAlias = Annotated[T | None, _MARK]
"""A field of an event that holds personal data: `name: Personal[str]`. None once its subject is forgotten.

It is encrypted in the log, under a key of the person whom `registry.event(..., subject=...)` names.
"""

SEALED: Final = b'{"$sealed":'
"""What a payload with sealed fields begins with."""

UNOPENED: Final = b"\0sealed"
"""What stands in place of a payload whose sealed fields do not fit their place: no decoder takes it."""


def begins(payload: object, mark: bytes) -> bool:
    """Whether a payload begins so; not one that is none, as a log that was tampered with may hold."""
    return isinstance(payload, bytes) and payload.startswith(mark)


class Sealed(msgspec.Struct, frozen=True):
    """The header of a payload with sealed fields.

    Attributes:
        subject: Whose data it is.
        key: Id of the key that it was encrypted under.
        fields: Names of the sealed fields, as they stand in the payload.
    """

    subject: str
    key: str
    fields: tuple[str, ...]


class SealedPayload(msgspec.Struct, frozen=True):
    """A payload with sealed fields, as far as its header."""

    header: Sealed = msgspec.field(name="$sealed")


class SealedValue(msgspec.Struct, frozen=True):
    """The value of a sealed field: nonce and ciphertext."""

    data: bytes = msgspec.field(name="$personal")


class PersonalData:
    """What is personal in the events of one type.

    Attributes:
        fields: Names of the fields, as they stand in the payload.
        subject_of: Whose data an event holds. Raises whatever the function does that the app gave for it.
    """

    __slots__ = ("fields", "subject_of")

    def __init__(self, fields: tuple[str, ...], subject_of: Callable[[Any], object]) -> None:
        self.fields: tuple[str, ...] = fields
        self.subject_of: Callable[[Any], object] = subject_of  # Any: of whatever class the type's events are


def personal_data(cls: type, schema: Schema, subject: object, what: str) -> PersonalData | None:
    """What is personal in a class of events; None where nothing is.

    Args:
        cls: The class.
        schema: What is known of it.
        subject: What was given as `subject=`.
        what: How to call it in an error, such as "event type 'customer-moved'".

    Raises:
        RegistrationError: A mark stands deeper than at a field of the class itself, nobody or somebody unknown is named
            as the subject, or a subject is named where nothing is personal.
    """
    marked = _marked(cls, what)
    if not marked:
        if subject is not None:
            raise RegistrationError(f"{what}: subject={subject!r}, but no field of {cls.__name__} is Personal[...]")
        return None
    if getattr(schema.info, "array_like", False):
        raise RegistrationError(
            f"{what}: {cls.__name__} is stored as an array (array_like=True), in which no field can be sealed"
        )
    names = _payload_names(cls, schema)
    if "$sealed" in names.values():
        raise RegistrationError(f"{what}: a field of {cls.__name__} is stored as '$sealed', which is the library's")
    return PersonalData(tuple(names[name] for name in marked), _subject_function(cls, subject, marked, names, what))


def is_personal(cls: type) -> bool:
    """Whether any field of a class is marked, or anything within its fields."""
    try:
        return bool(_marked(cls, cls.__name__))
    except RegistrationError:
        return True


def subject_text(subject: object) -> str | None:
    """A subject as it is stored; None for what cannot be one."""
    if isinstance(subject, (UUID, int)) and not isinstance(subject, bool):
        return str(subject)
    if isinstance(subject, str):
        text = str.__str__(subject)  # an Enum of strings would answer its name to str()
        return text if is_name(text) else None
    return None


def _marked(cls: type, what: str) -> list[str]:
    found: list[str] = []
    for name, hint in _hints(cls).items():
        inner = hint
        if _is_marked(hint):
            found.append(name)
            inner = get_args(hint)[0]
        _refuse_deeper(inner, f"{cls.__name__}.{name}", what, set())
    return found


def _refuse_deeper(hint: object, path: str, what: str, seen: set[int]) -> None:
    """Refuse a mark anywhere within a field's type: only whole fields are sealed."""
    if id(hint) in seen:
        return
    seen.add(id(hint))
    if _is_marked(hint):
        raise RegistrationError(
            f"{what}: a Personal[...] stands within the type of field {path}; only whole fields of the event itself "
            "can be sealed: mark that field, as in Personal[list[str]] or Personal[Address]"
        )
    for inner in get_args(hint):
        _refuse_deeper(inner, path, what, seen)
    declared = get_origin(hint) or hint  # as Box, of Box[int]
    if isinstance(declared, type):
        for name, each in _hints(declared).items():
            _refuse_deeper(each, f"{path}.{name}", what, seen)


def _is_marked(hint: object) -> bool:
    return _has_mark(getattr(hint, "__metadata__", ()))


def _has_mark(metadata: Iterable[object]) -> bool:
    return any(each is _MARK for each in metadata)


def _hints(cls: type) -> dict[str, object]:
    if is_pydantic(cls):  # it has resolved them itself, where classes of a function are known too
        return {name: _hint(field) for name, field in cast("Model", cls).model_fields.items()}
    marks = ("__dataclass_fields__", "__struct_fields__", "__attrs_attrs__", "_fields")
    if not (any(hasattr(cls, mark) for mark in marks) or hasattr(cls, "__total__")):
        return {}
    try:
        return dict(get_type_hints(cls, include_extras=True))
    except Exception:  # a class of a function, deep inside a model: what it is made of, only pydantic finds
        texts = [each for base in cls.__mro__ for each in inspect.get_annotations(base).items()]
        return {name: _personal(object) for name, text in texts if "Personal" in str(text)}


def _hint(field: ModelField) -> object:
    """A model's field's type as it was written, of whose marks pydantic keeps the outermost apart."""
    return _personal(field.annotation) if _has_mark(field.metadata) else field.annotation


def _personal(hint: object) -> object:
    return cast("Any", Annotated)[hint, _MARK]


def _payload_names(cls: type, schema: Schema) -> dict[str, str]:
    """Field names to the names under which they stand in a payload."""
    if schema.info is not None:
        return {field.name: field.encode_name for field in schema.info.fields}
    model = cast("Model", cls)
    by_alias = model.model_config.get("serialize_by_alias")
    return {
        name: (field.serialization_alias if by_alias else None) or name for name, field in model.model_fields.items()
    }


def _subject_function(
    cls: type, subject: object, marked: list[str], names: dict[str, str], what: str
) -> Callable[[Any], object]:
    listed = ", ".join(f"{cls.__name__}.{name}" for name in marked)
    if subject is None:
        raise RegistrationError(
            f"{what}: {listed} is personal, and it is not said whose; name the field that holds the person's id, as in "
            "@registry.event(..., subject='customer_id')"
        )
    if isinstance(subject, str):
        if subject not in names:
            raise RegistrationError(
                f"{what}: subject={subject!r} is not a field of {cls.__name__}; it has {', '.join(sorted(names))}"
            )
        if subject in marked:
            raise RegistrationError(
                f"{what}: subject={subject!r} is personal itself; a subject is an id that may stay when the person is "
                "forgotten"
            )
        return operator.attrgetter(subject)
    if callable(subject):
        return cast("Callable[[Any], object]", subject)
    raise RegistrationError(f"{what}: subject= is the name of a field or a function of the event, not {subject!r}")
