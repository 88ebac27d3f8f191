"""Tokens as QStash signs them, and others, written without the code under test."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Mapping

CURRENT = "sig_current_000000000000000000"
NEXT = "sig_next_00000000000000000000000"
URL = "https://app.example.com/projections"
BODY = b'{"position":7}'
HEADER = {"alg": "HS256", "typ": "JWT"}
DIGESTS = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def body_hash(body: bytes) -> str:
    return base64url(hashlib.sha256(body).digest())


def claims(body: bytes = BODY, url: str = URL, now: float | None = None) -> dict[str, object]:
    """The claims of a delivery that is signed now."""
    moment = int(time.time() if now is None else now)
    return {
        "iss": "Upstash",
        "sub": url,
        "exp": moment + 300,
        "nbf": 0,
        "iat": moment,
        "jti": "jwt_67kxXD6UBAk7DqU6hzuHMDdXFXfP",
        "body": body_hash(body),
    }


def token(
    given: object, key: str = CURRENT, header: object = HEADER, *, digest: str = "HS256", raw: str | None = None
) -> str:
    """A token over claims, or over a payload that is no JSON."""
    payload = (json.dumps(given) if raw is None else raw).encode()
    signed = f"{base64url(json.dumps(header).encode())}.{base64url(payload)}"
    return f"{signed}.{base64url(hmac.new(key.encode(), signed.encode(), DIGESTS[digest]).digest())}"


def signed(body: bytes = BODY, url: str = URL, key: str = CURRENT, **changed: object) -> dict[str, str]:
    """The headers of a delivery, with some claims changed."""
    return {"upstash-signature": token({**claims(body, url), **changed}, key), "content-type": "application/json"}


def without(given: Mapping[str, object], name: str) -> dict[str, object]:
    return {key: value for key, value in given.items() if key != name}
