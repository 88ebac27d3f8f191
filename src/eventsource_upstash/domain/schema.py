"""What can be known of a class before its first instance: whether it can be stored, and whether it can be shared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, cast, get_origin

import msgspec
from msgspec import inspect as _inspect

from ..errors import RegistrationError

if TYPE_CHECKING:
    from msgspec.structs import StructConfig

_IMMUTABLE = (
    _inspect.NoneType,
    _inspect.BoolType,
    _inspect.IntType,
    _inspect.FloatType,
    _inspect.StrType,
    _inspect.BytesType,
    _inspect.DateTimeType,
    _inspect.TimeType,
    _inspect.DateType,
    _inspect.TimeDeltaType,
    _inspect.UUIDType,
    _inspect.DecimalType,
    _inspect.EnumType,
    _inspect.LiteralType,
)


_NO_KEYS = (
    _inspect.NoneType,
    _inspect.BoolType,
    _inspect.CollectionType,
    _inspect.TupleType,
    _inspect.DictType,
    _inspect.NamedTupleType,
    _inspect.TypedDictType,
    _inspect.StructType,
    _inspect.DataclassType,
    _inspect.CustomType,
)


class Schema(msgspec.Struct, frozen=True):
    """What was found out about a class.

    Attributes:
        immutable: No part of an instance can be changed, so one instance may be handed to several handlers.
        loose: Some part may hold a float or anything at all, where NaN could hide.
        deep: Nothing in the types bounds how deep an instance is nested: some part may hold anything, or its own kind.
        info: What msgspec knows of it; None for a pydantic model.
    """

    immutable: bool
    loose: bool
    deep: bool = True
    info: _inspect.StructType | _inspect.DataclassType | None = None


def is_pydantic(cls: object) -> bool:
    """Whether the class is a pydantic model, found out without importing pydantic."""
    return hasattr(cls, "__pydantic_validator__") and hasattr(cls, "model_validate_json")


class ModelField(Protocol):
    """What we use of what pydantic knows of a model's field."""

    annotation: object
    metadata: Sequence[object]
    serialization_alias: str | None


class Model(Protocol):
    """What we use of the class of a pydantic model."""

    model_config: Mapping[str, object]
    model_fields: Mapping[str, ModelField]

    def model_validate_json(self, data: bytes) -> object:
        """An instance, of JSON."""
        ...

    def model_validate(self, data: object) -> object:
        """An instance, of a dict."""
        ...

    def model_json_schema(self) -> dict[str, object]:
        """The JSON schema of its fields."""
        ...


def inspect_class(cls: type[object], what: str) -> Schema:
    """Look through a class and all that its fields can hold.

    Args:
        cls: A dataclass, msgspec.Struct, attrs class or pydantic model.
        what: How to call it in an error, such as "event type 'task-created'".

    Raises:
        RegistrationError: It is of another kind, or a field's type cannot be stored as JSON and read back.
    """
    marks = ("__dataclass_fields__", "__struct_fields__", "__attrs_attrs__", "__pydantic_validator__")
    if not isinstance(cast("object", cls), type) or not any(hasattr(cls, mark) for mark in marks):
        raise RegistrationError(
            f"{what}: {_name(cast('object', cls))} is not a dataclass, msgspec.Struct, attrs class or pydantic model; "
            "decorate it first, as in: @registry.event(...) above @dataclass(frozen=True)"
        )
    if is_pydantic(cls):
        # pydantic has proved the fields; its instances are handed out one by one unless they are frozen and flat,
        # which is not worth finding out: decoding once more is what it costs.
        return Schema(immutable=False, loose=True)
    try:
        info = _inspect.type_info(cls)
    except NameError as error:
        raise RegistrationError(
            f"{what}: {error}; define the types of its fields above the class, at module level. A class that holds "
            "itself has to be complete first: register it below itself, as in registry.event(...)(Tree)"
        ) from error
    except (TypeError, ValueError) as error:
        raise RegistrationError(f"{what}: {error}") from error
    walk = _Walk(what)
    immutable = walk.visit(info, _name(cls))
    return Schema(immutable, walk.loose, walk.deep, cast("_inspect.StructType | _inspect.DataclassType", info))


def _name(cls: object) -> str:
    return str(getattr(cls, "__name__", repr(cls)))


def _all(immutable: list[bool]) -> bool:
    # Over a list, not lazily: each part has to be looked at, for what it cannot hold.
    return all(immutable)


class _Walk:
    def __init__(self, what: str) -> None:
        self.what = what
        self.loose = False
        self.deep = False
        self.seen: dict[type[object], bool] = {}

    def visit(self, info: _inspect.Type, path: str) -> bool:
        """Whether a value of this type is immutable through and through."""
        match info:
            case _inspect.CustomType(cls=cls):
                if not is_pydantic(cls):
                    raise RegistrationError(
                        f"{self.what}: field {path} has the type {cls.__name__}, which cannot be stored as JSON and "
                        "read back; use a dataclass, Struct, datetime, UUID, Decimal, Enum, list, dict or a plain type"
                    )
                self.loose = self.deep = True
                return False
            case _inspect.AnyType() | _inspect.RawType():
                self.loose = self.deep = True
                return False
            case _inspect.FloatType():
                self.loose = True
                return True
            case _inspect.Metadata(type=inner):
                return self.visit(inner, path)
            case _inspect.UnionType(types=types):
                return _all([self.visit(inner, path) for inner in types])
            case _inspect.VarTupleType(item_type=item) | _inspect.FrozenSetType(item_type=item):
                return self.visit(item, f"{path}[]")
            case _inspect.TupleType(item_types=items):
                return _all([self.visit(item, f"{path}[{index}]") for index, item in enumerate(items)])
            case _inspect.CollectionType(item_type=item):
                self.visit(item, f"{path}[]")
                return False
            case _inspect.DictType(key_type=key, value_type=value):
                if isinstance(key.type if isinstance(key, _inspect.Metadata) else key, _NO_KEYS):
                    raise RegistrationError(
                        f"{self.what}: the keys of field {path} are of a type that JSON has no keys of; use texts, "
                        "numbers, UUIDs, moments or Enums, or a list of pairs"
                    )
                self.visit(key, f"{path}{{}}")
                self.visit(value, f"{path}{{}}")
                return False
            case _inspect.StructType() | _inspect.DataclassType():
                return self._fields(info, path)
            case _inspect.NamedTupleType() | _inspect.TypedDictType():
                immutable = _all([self.visit(field.type, f"{path}.{field.name}") for field in info.fields])
                return immutable and isinstance(info, _inspect.NamedTupleType)
            case _:
                return isinstance(info, _IMMUTABLE)

    def _fields(self, info: _inspect.StructType | _inspect.DataclassType, path: str) -> bool:
        cls = info.cls
        if cls in self.seen:
            self.deep = True  # it may hold itself; whether it does, or stands there twice, makes no difference
            return self.seen[cls]
        self.seen[cls] = True  # for a class that holds itself: decided by its other fields
        declared = get_origin(cls) or cls  # as Box, of Box[int]
        if isinstance(info, _inspect.StructType):
            config: StructConfig = getattr(declared, "__struct_config__")  # noqa: B009  # `type` has no such attribute
            frozen = config.frozen
        else:
            frozen = _is_frozen(declared)
        fields = [self.visit(field.type, f"{path}.{field.name}") for field in info.fields]
        self.seen[cls] = frozen and all(fields)
        return self.seen[cls]


class _Parameters(Protocol):
    """What we use of what a dataclass was declared with."""

    frozen: bool


def _is_frozen(cls: type[object]) -> bool:
    parameters = cast("_Parameters | None", getattr(cls, "__dataclass_params__", None))
    if parameters is not None:
        return parameters.frozen
    # attrs installs its own __setattr__ on a frozen class
    setter = cast("object", getattr(cls, "__setattr__", None))
    return getattr(setter, "__name__", "") == "_frozen_setattrs"
