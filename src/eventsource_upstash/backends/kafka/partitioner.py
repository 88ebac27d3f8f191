"""Which partition a stream is in: as Kafka's own producers choose it, so that other producers agree."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

_SEED: Final = 0x9747B28C
_MIX: Final = 0x5BD1E995
_32_BITS: Final = 0xFFFF_FFFF


def murmur2(key: bytes) -> int:
    """The 32-bit hash of Kafka's default partitioner, as an unsigned number."""
    length = len(key)
    hashed = _SEED ^ length
    whole = length & ~3
    for at in range(0, whole, 4):
        word = int.from_bytes(key[at : at + 4], "little") * _MIX & _32_BITS
        word = (word ^ word >> 24) * _MIX & _32_BITS
        hashed = hashed * _MIX & _32_BITS ^ word
    if whole < length:
        hashed = (hashed ^ int.from_bytes(key[whole:], "little")) * _MIX & _32_BITS
    hashed = (hashed ^ hashed >> 13) * _MIX & _32_BITS
    return hashed ^ hashed >> 15


@lru_cache(maxsize=4096)
def _hashed(stream: str) -> int:
    return murmur2(stream.encode()) & 0x7FFF_FFFF


def partition_for(stream: str, partitions: int) -> int:
    """The partition of a stream, whose name is the key of its records.

    As Java's default partitioner and librdkafka's `murmur2_random` choose it for a record with a key.
    """
    return _hashed(stream) % partitions if partitions > 1 else 0
