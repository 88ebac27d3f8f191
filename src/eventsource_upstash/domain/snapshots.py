"""An aggregate's state as bytes that are kept beside its stream, and what makes them one that can be gone on from."""

from __future__ import annotations

import zlib
from inspect import get_annotations
from typing import Final, Generic, TypeVar, cast

import msgspec

from .codec import Codec
from .schema import Model

S = TypeVar("S")

_SEAL: Final = 8
"""Length of what stands before the encoded state: a checksum of it, in hexadecimal digits."""


class Unusable(Exception):
    """What was kept cannot be gone on from. Its text says why, without the data."""


class Snapshots(Generic[S]):
    """Encodes and decodes the states of one aggregate.

    What is kept begins with a checksum of the state and of the fields of its class. So one that was damaged is told,
    and one of a class that has gained, lost or changed a field: it might decode all the same, a new field holding its
    default, and not be what the events make.

    Attributes:
        name: What snapshots are kept under.
        every: How many events lead from one to the next.
    """

    __slots__ = ("_cls", "_codec", "_shape", "every", "name")

    def __init__(self, name: str, state: type[S], every: int, what: str) -> None:
        self.name: str = name
        self.every: int = every
        self._cls = state
        self._codec: Codec[S] = Codec(state, what)
        self._shape = zlib.crc32(_shape(state))

    def encode(self, state: S | None, last: tuple[int, int]) -> bytes:
        """A state to bytes that are known to read back as the same.

        Args:
            state: The state.
            last: Which event it was folded up to: when it was recorded, and its number.

        Raises:
            InvalidEvent: It holds what would not be read back as it is.
            TypeError: It is of a subclass, and would be read back without what that adds.
        """
        if state is not None and state.__class__ is not self._cls:
            raise TypeError(f"a {type(state).__name__} would be read back as a {self._cls.__name__}")
        encoded = b"" if state is None else self._codec.encode_checked(state)
        return self._sealed(b"%d.%d " % last + encoded)

    def decode(self, kept: bytes) -> tuple[S | None, tuple[int, int]]:
        """Bytes to a state of its own, which nobody else has, and the event it was folded up to. Raises `Unusable`."""
        if self._sealed(kept[_SEAL:]) != kept:
            raise Unusable(f"it is damaged, or the fields of {self._cls.__name__} were others")
        before, _, encoded = kept[_SEAL:].partition(b" ")
        recorded_us, _, number = before.partition(b".")
        last = (int(recorded_us), int(number))
        if not encoded:
            return None, last
        try:
            return self._codec.decode(encoded), last
        except Exception as error:
            raise Unusable(f"it does not decode into {self._cls.__name__} any more") from error

    def _sealed(self, contents: bytes) -> bytes:
        return b"%08x" % zlib.crc32(contents, self._shape) + contents


def _shape(cls: type[object]) -> bytes:
    """The fields of a class and of all that they hold. Whatever else shows in it costs a snapshot, and no more."""
    try:
        schema = msgspec.json.schema(cls, schema_hook=_model_schema)
    except Exception:  # a type that no JSON schema can tell
        return repr([get_annotations(each) for each in cls.__mro__]).encode()
    return msgspec.json.encode(schema, order="sorted")


def _model_schema(cls: type[object]) -> dict[str, object]:
    return cast("Model", cls).model_json_schema()
