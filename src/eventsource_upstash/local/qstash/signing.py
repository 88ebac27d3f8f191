"""`Upstash-Signature`: a JWT over the body and the URL it is for."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import time
from collections.abc import Mapping
from typing import Final

import msgspec

__all__ = ["LIFETIME", "new_key", "sign"]

LIFETIME: Final = 300
"""Seconds that a signature is valid."""


def sign(key: str, url: str, body: bytes, *, skew: float = 0.0) -> str:
    """A signature as the service makes it: HS256, valid for five minutes.

    It is dated by the machine's own clock and not by the movable one, because whoever verifies it does not move theirs.

    Args:
        key: The signing key.
        url: The destination as it was published to: the public one.
        body: The raw body.
        skew: Seconds that the clock of the signer is ahead.
    """
    now = int(time.time() + skew)
    claims = {
        "iss": "Upstash",
        "sub": url,
        "exp": now + LIFETIME,
        "nbf": now,
        "iat": now,
        "jti": f"jwt_{secrets.token_hex(14)}",
        # Padded, as the service does; receivers compare without the padding.
        "body": base64.urlsafe_b64encode(hashlib.sha256(body).digest()).decode(),
    }
    signed = f"{_segment({'alg': 'HS256', 'typ': 'JWT'})}.{_segment(claims)}"
    mac = hmac.new(key.encode(), signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{_unpadded(mac)}"


def new_key() -> str:
    """A signing key that nobody has seen."""
    return f"sig_{secrets.token_hex(14)}"


def _segment(claims: Mapping[str, object]) -> str:
    return _unpadded(msgspec.json.encode(claims))


def _unpadded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
