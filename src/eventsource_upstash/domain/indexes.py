"""Index values in a form whose order as text is their own order, and what a document is found by."""

from __future__ import annotations

import math
import struct
from typing import Final, NamedTuple

from ..errors import Misuse
from .names import MAX_NAME, check_text

LARGEST: Final = 2**53
"""Whole numbers up to this one, and down to its negative, are told apart: an index holds 64-bit floating point."""

NUMBERS: Final = ("n", "n~")
"""Bounds of all numbers, both inclusive: no value stands outside of them that is a number."""

STRINGS: Final = ("s", "s\U0010ffff")
"""Bounds of all strings, both inclusive."""

_ALL: Final = (1 << 64) - 1
_pack: Final = struct.Struct(">d").pack


class Entries(NamedTuple):
    """What a document is found by, besides its key, and until when.

    Attributes:
        values: Name of each index that it stands in, and its value there, encoded. An index name comes once at most.
        expires_us: The moment from which on it is absent, in microseconds since 1970 (UTC), or None.
    """

    values: tuple[tuple[str, str], ...] = ()
    expires_us: int | None = None


NO_ENTRIES: Final = Entries()


def encode_value(value: object, where: str) -> str:
    """An index value as text: 'n' and 16 digits for a number, 's' and itself for a string.

    Args:
        value: A whole or floating point number (bool counts as one), or a string of 1 to 255 characters.
        where: What messages call the place, such as "projection 'players', index 'score'".

    Raises:
        Misuse: It is neither, is NaN or infinite, is a whole number that would be rounded, or holds control characters.
    """
    if isinstance(value, str):
        text = str.__str__(value)  # an Enum of strings would answer its name to str()
        check_text(text, f"{where}: a value", MAX_NAME)
        return "s" + text
    if isinstance(value, int):
        if not -LARGEST <= value <= LARGEST:
            raise Misuse(f"{where}: a whole number beyond 2**53, where numbers in an index can no longer be told apart")
        number = float(value)
    elif isinstance(value, float):
        number = value
    else:
        raise Misuse(
            f"{where}: a value is a number, a string or None, not {type(value).__name__}; of a date, its timestamp()"
        )
    if not math.isfinite(number):
        raise Misuse(f"{where}: NaN and infinity have no place in an order; None is for what is not to be found")
    # The bits of a float sort like its value once the sign bit is turned over, and all bits of a negative one. To turn
    # over the sign bit is to negate; both zeros become -0.0 first, since equal values have one text.
    if number >= 0:
        return "n" + _pack(-abs(number)).hex()
    (bits,) = struct.unpack(">Q", _pack(number))
    return f"n{bits ^ _ALL:016x}"
