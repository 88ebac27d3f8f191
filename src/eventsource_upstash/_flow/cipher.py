"""AES-256-GCM, by `cryptography`. Nothing of it is imported before personal data is stored or read."""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import Final

import msgspec

from ..errors import Misuse
from ..ports import SubjectKey

NONCE_BYTES: Final = 12
KEY_BYTES: Final = 32

_FORMAT: Final = "eventsource-upstash personal data, 1"


class DoesNotFit(Exception):
    """Internal: a ciphertext is not one of this key and place, or was changed."""


def check_cipher() -> None:
    """Refuse to go on without the package. Raises `Misuse`."""
    if find_spec("cryptography") is None:
        raise Misuse("personal data needs the package cryptography: pip install 'eventsource-upstash[personal]'")


def new_key() -> SubjectKey:
    """A key that nobody has."""
    return SubjectKey(os.urandom(12).hex(), os.urandom(KEY_BYTES))


def encrypt(key: SubjectKey, value: bytes, place: tuple[str, ...]) -> bytes:
    """A nonce and the ciphertext of a value, which can be decrypted at that place only."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    nonce = os.urandom(NONCE_BYTES)
    return nonce + AESGCM(key.secret).encrypt(nonce, value, _associated(key, place))


def decrypt(key: SubjectKey, data: bytes, place: tuple[str, ...]) -> bytes:
    """The value. Raises `DoesNotFit`."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        return AESGCM(key.secret).decrypt(data[:NONCE_BYTES], data[NONCE_BYTES:], _associated(key, place))
    except (InvalidTag, ValueError):
        raise DoesNotFit from None


def _associated(key: SubjectKey, place: tuple[str, ...]) -> bytes:
    return msgspec.json.encode([_FORMAT, key.id, *place])
