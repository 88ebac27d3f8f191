"""Instances to JSON bytes and back, so that what was stored is what is read.

JSON by msgspec: dataclasses, Structs and attrs classes directly, pydantic models by their own methods. What could not
be read back is refused before it is stored: a mistyped event in the log would stop every projection for good.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Mapping
from typing import Final, Generic, Protocol, TypeVar, cast, get_type_hints

import msgspec

from ..errors import InvalidEvent
from .events import NO_METADATA
from .exactness import Changed, comparer
from .schema import Model, Schema, inspect_class, is_pydantic

T = TypeVar("T")


class _Instance(Protocol):
    """What we use of a pydantic model."""

    def model_dump_json(self) -> str: ...
    def model_dump(self, *, mode: str = ...) -> object: ...


def _to_builtin(value: object) -> object:
    if is_pydantic(type(value)):
        return cast("_Instance", value).model_dump(mode="json")
    raise TypeError(f"a value of type {type(value).__name__} cannot be stored as JSON")


def _from_builtin(cls: type, value: object) -> object:
    # Only pydantic models get here: inspect_class lets no other custom type through.
    try:
        return cast("Model", cls).model_validate(value)
    except ValueError as error:
        raise ValueError(reason(error)) from None  # msgspec adds where the model is


_ENCODER: Final = msgspec.json.Encoder(enc_hook=_to_builtin)
_encode = _ENCODER.encode


class Codec(Generic[T]):
    """Encodes and decodes the instances of one class.

    Attributes:
        cls: The class.
        schema: What is known of it.
        encode: Instance to bytes, without a check: for instances that were just built by a fold of ours.
        decode: Bytes to instance. Raises whatever the decoder does: see `reason`.
        encode_checked: Instance to bytes that are known to read back as the same. Raises `InvalidEvent` when a field
            holds what its type does not allow, what JSON cannot hold, or what would be read back as something else.
    """

    __slots__ = (
        "_check",
        "_compare",
        "_deep",
        "_loose",
        "_what",
        "cls",
        "decode",
        "encode",
        "encode_checked",
        "schema",
    )

    def __init__(self, cls: type[T], what: str) -> None:
        self.cls: type[T] = cls
        self.schema: Schema = inspect_class(cls, what)
        self._loose = self.schema.loose
        self._deep = self.schema.deep
        self._what = what
        self.encode: Callable[[T], bytes]
        self.decode: Callable[[bytes], T]
        if is_pydantic(cls):
            self.encode = _encode_model
            self.decode = cast("Callable[[bytes], T]", cast("Model", cls).model_validate_json)
        else:
            self.encode = _encode
            self.decode = msgspec.json.Decoder(cls, dec_hook=_from_builtin).decode
        self._check: Callable[[bytes], object] = _twin_decoder(cls) or self.decode
        self._compare = comparer(cls, self.schema.info)
        # Most classes need no comparison; theirs is the method that does not even ask.
        self.encode_checked: Callable[[T], bytes] = (
            self._encode_checked if self._compare is None else self._encode_compared
        )

    def _encode_checked(self, instance: T) -> bytes:
        try:
            encoded = self.encode(instance)
            if self._deep:
                check_depth(encoded)
            self._check(encoded)
        except Exception as error:
            raise InvalidEvent(f"{self._what} cannot be stored: {reason(error)}") from error
        return encoded

    def _encode_compared(self, instance: T) -> bytes:
        assert self._compare is not None
        try:
            encoded = self.encode(instance)
            if self._deep:
                check_depth(encoded)
            read = self._check(encoded)
            # msgspec writes NaN and infinity as null, which an optional or untyped field would read back as None.
            if self._loose and b"null" in encoded:
                self._check_finite(instance)
            self._compare(instance, read, "$")
        except InvalidEvent:
            raise
        except Changed as changed:
            raise InvalidEvent(f"{self._what} cannot be stored: field {changed}") from None
        except Exception as error:
            raise InvalidEvent(f"{self._what} cannot be stored: {reason(error)}") from error
        return encoded

    def _check_finite(self, instance: T) -> None:
        path = non_finite(to_builtins(instance))
        if path is not None:
            raise InvalidEvent(
                f"{self._what} cannot be stored: field {path} is not a finite number, which JSON cannot hold; use "
                "None, or a string"
            )

    def convert(self, value: object) -> T:
        """A dict, as an upcaster leaves it, to an instance."""
        return msgspec.convert(value, self.cls, dec_hook=_from_builtin)


def _twin_decoder(cls: type[object]) -> Callable[[bytes], object] | None:
    """A decoder for a Struct with the fields of a dataclass: it checks the same at less than half the price."""
    if not dataclasses.is_dataclass(cls) or is_pydantic(cls):
        return None
    fields = dataclasses.fields(cls)
    if not all(field.init for field in fields) or hasattr(cls, "__post_init__"):
        return None  # what it checks or computes itself is checked by decoding
    hints = get_type_hints(cls, include_extras=True)
    # An encoded instance lacks no field but those that are UNSET. They may be where that is their default: any other
    # field would be missed, or be read back as its default.
    named: list[tuple[str, object] | tuple[str, object, object]] = [
        (field.name, hints[field.name], msgspec.UNSET)
        if field.default is msgspec.UNSET
        else (field.name, hints[field.name])
        for field in fields
    ]
    twin = msgspec.defstruct(cls.__name__, named, kw_only=True, gc=False)
    return msgspec.json.Decoder(twin, dec_hook=_from_builtin).decode


MAX_DEPTH: Final = 100
"""Most lists and objects within each other in what is stored, where types do not bound them.

How deep a decoder can go depends on how deep the stack is that it is called on (Python bounds both together, at 1,000):
what could just be stored by one caller, another one, some calls deeper, could never read again.
"""

_BRACKETS: Final = rb'"[^"\\]*(?:\\.[^"\\]*)*"|[][{}]'


def check_depth(encoded: bytes) -> None:
    """Refuse JSON that is nested more than `MAX_DEPTH` deep. Raises `ValueError`."""
    if encoded.count(b"[") + encoded.count(b"{") <= MAX_DEPTH:
        return  # as of nearly all there is
    depth = 0
    for found in re.finditer(_BRACKETS, encoded):
        mark = encoded[found.start()]
        if mark in b"[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise ValueError(f"it is nested too deeply: at most {MAX_DEPTH} lists and objects within each other")
        elif mark != 34:  # a string
            depth -= 1


def _encode_model(instance: object) -> bytes:
    return cast("_Instance", instance).model_dump_json().encode()


def to_builtins(instance: object) -> object:
    """An instance as dicts, lists, strings and numbers."""
    if is_pydantic(type(instance)):
        return cast("_Instance", instance).model_dump()
    return msgspec.to_builtins(instance, enc_hook=_to_builtin)


def non_finite(value: object, path: str = "$") -> str | None:
    """The path of the first NaN or infinity in plain data, or None."""
    if isinstance(value, float):
        return None if math.isfinite(value) else path
    if isinstance(value, Mapping):
        items = cast("Mapping[object, object]", value).items()
        return next((hit for key, inner in items if (hit := non_finite(inner, f"{path}.{key}"))), None)
    if isinstance(value, (list, tuple, set, frozenset)):
        entries = enumerate(cast("list[object]", value))
        return next((hit for index, inner in entries if (hit := non_finite(inner, f"{path}[{index}]"))), None)
    return None


def encode_metadata(metadata: Mapping[str, object]) -> bytes:
    """Metadata to bytes. Raises `InvalidEvent` when it is not plain JSON data with names for keys."""
    try:
        encoded = _encode(metadata)
        check_depth(encoded)
        decoded: object = msgspec.json.decode(encoded)
    except Exception as error:
        raise InvalidEvent(f"metadata cannot be stored: {reason(error)}") from error
    if not isinstance(cast("object", metadata), Mapping) or decoded != metadata:
        raise InvalidEvent(
            "metadata would not be read back as it is given: use a dict of names to strings, finite numbers, bools, "
            "None, lists and dicts"
        )
    return encoded


def decode_metadata(encoded: bytes | None) -> Mapping[str, object]:
    """Bytes to metadata."""
    if encoded is None:
        return NO_METADATA
    return msgspec.json.decode(encoded, type=dict[str, object])


def encode_tags(tags: tuple[str, ...]) -> bytes | None:
    """Tags to bytes; none at all to None."""
    return _encode(tags) if tags else None


def decode_tags(encoded: bytes | None) -> tuple[str, ...]:
    """Bytes to tags."""
    if encoded is None:
        return ()
    return msgspec.json.decode(encoded, type=tuple[str, ...])


_DATA: Final = r"^(Invalid (?:enum )?value) (?:.*(?= - at `)|.*)"
"""Where msgspec repeats the offending input."""


def reason(error: BaseException) -> str:
    """Why something did not encode or decode, in one line and without the data itself.

    pydantic and msgspec repeat the offending input in their messages; a log line is no place for a user's data.
    """
    details = getattr(error, "errors", None)
    if is_pydantic_error(error) and callable(details):
        found = cast("list[dict[str, object]]", details())
        return "; ".join(f"{'.'.join(map(str, cast('tuple[object, ...]', e['loc'])))}: {e['msg']}" for e in found)
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, UnicodeEncodeError):
        return f"text with a lone surrogate cannot be stored ({error.reason})"
    line, *_ = str(error).splitlines() or [""]
    if "integer string conversion" in line:  # told differently from one Python to the next
        return "it holds a whole number of more than 4300 digits, which Python does not print"
    if not line or not isinstance(error, (msgspec.MsgspecError, TypeError, ValueError)):
        # A KeyError's text alone would say nothing.
        return f"{type(error).__name__}: {line}" if line else type(error).__name__
    return re.sub(_DATA, r"\1", line)


def is_pydantic_error(error: BaseException) -> bool:
    """Whether it is pydantic's ValidationError, found out without importing pydantic."""
    return type(error).__module__.startswith("pydantic") and type(error).__name__ == "ValidationError"
