"""Forged, mutated and replayed deliveries are refused, and a receiver that lacks any one check is caught by them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventsource_upstash import Memory, connect
from eventsource_upstash.backends.qstash import Receiver, TrustedProxies
from eventsource_upstash.backends.qstash import receiver as module
from eventsource_upstash.backends.qstash.settings import SigningKeys
from eventsource_upstash.ports import Unverified
from eventsource_upstash.web import Endpoint, Request
from tests.attacks.forging import NOW, REGION, Build, Forgery, forgeries, receiver, true
from tests.qstash.signing import BODY, CURRENT, HEADER, NEXT, URL, base64url, claims, token
from tests.searching import examples
from tests.unit.todo import todo

FORGERIES = list(forgeries())


def accepts(forgery: Forgery, build: Build = Receiver) -> bool:
    headers = {"upstash-signature": forgery.signature, **forgery.headers}
    host = forgery.headers.get("host", "app.example.com")
    try:
        receiver(NOW + forgery.later, build).verify(headers, forgery.body, f"https://{host}/projections")
    except Unverified:
        return False
    return True


def test_what_is_genuine_is_accepted() -> None:
    """Else the rest of this page would say nothing."""
    assert accepts(Forgery("", true()))
    assert accepts(Forgery("", token(claims(now=NOW), NEXT)))
    assert accepts(Forgery("", token(claims(now=NOW), REGION[1]), headers={"upstash-region": "us-east-1"}))
    assert accepts(Forgery("", true(nbf=NOW, iat=NOW), later=299, headers={"host": "10.0.0.1"}))


def test_nothing_forged_is_accepted() -> None:
    assert len(FORGERIES) > 250
    assert [forgery.name for forgery in FORGERIES if accepts(forgery)] == []


@settings(max_examples=examples(150))
@given(st.data())
def test_nothing_mutated_is_accepted(data: st.DataObject) -> None:
    """Whatever is changed in a token, a body or the URL: no other spelling of any of them counts."""
    whole = true()
    at = data.draw(st.integers(0, len(whole) - 1))
    put = data.draw(st.text(st.characters(max_codepoint=0x2000), max_size=2) | st.sampled_from(list("AZaz09-_.=")))
    mutated = whole[:at] + put + whole[at + data.draw(st.integers(0, 2)) :]
    body = data.draw(st.binary(max_size=40))
    assert accepts(Forgery("", mutated)) == (mutated == whole)
    assert accepts(Forgery("", whole, body)) == (body == BODY)
    sub = data.draw(st.text(max_size=5).map(lambda more: URL + more) | st.text(max_size=40))
    assert accepts(Forgery("", true(sub=sub))) == (sub == URL)


def test_rotated_keys() -> None:
    """A delivery outlives one rotation, and not two."""
    old, following, last = CURRENT, NEXT, "sig_last_0000000000000000000000"
    at_once = token(claims(now=NOW), following)
    for keys, good in (((old, following), True), ((following, last), True), ((last, "sig_newest"), False)):
        by = Receiver(*keys, url=URL, clock=lambda: NOW * 10**9)
        if good:
            by.verify({"upstash-signature": at_once}, BODY, URL)
        else:
            with pytest.raises(Unverified, match="neither"):
                by.verify({"upstash-signature": at_once}, BODY, URL)


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "post", "", "POST /"])
def test_replayed_by_another_method(method: str) -> None:
    endpoint = Endpoint(connect(Memory(), todo().registry), verifier=receiver())
    headers = {"upstash-signature": true(), "x-http-method-override": "POST"}
    assert endpoint.handle(Request(method, URL, headers, BODY)).status == 405


def test_replayed_in_time_is_folded_again_and_changes_nothing() -> None:
    """A signature holds for five minutes: within them the same delivery counts again, and is harmless."""
    endpoint = Endpoint(connect(Memory(), todo().registry), verifier=receiver())
    body = b'{"position":0}'
    signed = {"upstash-signature": token(claims(body, now=NOW))}
    assert [endpoint.handle(Request("POST", URL, signed, body)).status for _ in range(3)] == [200, 200, 200]


@pytest.mark.parametrize(
    ("given_headers", "hops", "accepted"),
    [
        ({}, 1, True),
        ({"x-forwarded-host": "app.example.com", "x-forwarded-proto": "https"}, 1, True),
        ({"x-forwarded-host": "evil.example.com, app.example.com", "x-forwarded-proto": "https"}, 1, True),
        ({"x-forwarded-host": "app.example.com, evil.example.com", "x-forwarded-proto": "https"}, 1, False),
        ({"x-forwarded-host": "app.example.com, evil.example.com, proxy", "x-forwarded-proto": "https"}, 2, False),
        ({"x-forwarded-host": "app.example.com@evil.example.com"}, 1, False),
        ({"x-forwarded-host": "app.example.com/x"}, 1, False),
        ({"x-forwarded-host": "app.example.com#"}, 1, False),
        ({"x-forwarded-host": "app.example.com\r\nx: y"}, 1, False),
        ({"x-forwarded-proto": "javascript"}, 1, False),
        ({"x-forwarded-proto": "http"}, 1, False),
        ({"x-forwarded-host": ""}, 1, True),
        ({"x-forwarded-host": "a" * 9000}, 1, False),
        ({"forwarded": "host=evil.example.com"}, 1, True),  # not the header that is trusted
    ],
)
def test_behind_proxies(given_headers: Mapping[str, str], hops: int, accepted: bool) -> None:
    by = Receiver(CURRENT, NEXT, proxies=TrustedProxies(hops), clock=lambda: NOW * 10**9)
    headers = {"upstash-signature": true(), **given_headers}
    if accepted:
        by.verify(headers, BODY, URL)
    else:
        with pytest.raises(Unverified):
            by.verify(headers, BODY, URL)


class Believing(Receiver):
    """Takes claims for others than they are. Which, its subclasses say."""

    body = b""

    def verify(self, headers: Mapping[str, str], body: bytes, url: str) -> None:
        self.body = body
        super().verify(headers, body, url)

    def _payload(self, token: str, key: str) -> Any:
        return msgspec.structs.replace(super()._payload(token, key), **self.taken())

    def taken(self) -> dict[str, object]:
        raise NotImplementedError


class NoExpiry(Believing):
    def taken(self) -> dict[str, object]:
        return {"exp": 2**53}


class NoBeginning(Believing):
    def taken(self) -> dict[str, object]:
        return {"nbf": 0}


class NoIssueTime(Believing):
    def taken(self) -> dict[str, object]:
        return {"iat": NOW}


class AnyIssuer(Believing):
    def taken(self) -> dict[str, object]:
        return {"iss": "Upstash"}


class AnyAudience(Believing):
    def taken(self) -> dict[str, object]:
        return {"aud": None}


class AnyUrl(Believing):
    def taken(self) -> dict[str, object]:
        return {"sub": URL}


class AnyBody(Believing):
    def taken(self) -> dict[str, object]:
        return {"body": base64url(hashlib.sha256(self.body).digest())}


class UrlWithoutQuery(Receiver):
    def _payload(self, token: str, key: str) -> Any:
        claims = super()._payload(token, key)
        return msgspec.structs.replace(claims, sub=claims.sub.partition("?")[0])


class UrlInAnyCase(Receiver):
    def _payload(self, token: str, key: str) -> Any:
        claims = super()._payload(token, key)
        return msgspec.structs.replace(claims, sub=claims.sub.lower())


class StartOfTheHash(Believing):
    def _payload(self, token: str, key: str) -> Any:
        claims = Receiver._payload(self, token, key)
        whole = base64url(hashlib.sha256(self.body).digest())
        return msgspec.structs.replace(claims, body=whole) if claims.body and whole.startswith(claims.body) else claims


class UrlOfTheHeaders(Receiver):
    def _wanted_url(self, headers: Mapping[str, str], url: str) -> str:
        return f"https://{headers.get('x-forwarded-host') or headers.get('host') or 'app.example.com'}/projections"


class PathOfTheHeaders(Receiver):
    def _wanted_url(self, headers: Mapping[str, str], url: str) -> str:
        return f"https://app.example.com{headers.get('x-original-url', '/projections')}"


class NoSignature(Receiver):
    def _signed(self, token: str, region: str) -> str:
        if module._SEGMENTS.fullmatch(token) is None:
            raise Unverified("no JWT")
        return "current"


class StartOfTheSignature(Receiver):
    def _signed(self, token: str, region: str) -> str:
        head, _, given = token.rpartition(".")
        digest = base64url(hmac.new(CURRENT.encode(), head.encode(), hashlib.sha256).digest())
        return "current" if given and digest.startswith(given) else super()._signed(token, region)


class AnySpelling(Receiver):
    def _signed(self, token: str, region: str) -> str:
        head, _, given = token.strip().rpartition(".")
        digest = hmac.new(CURRENT.encode(), head.encode(), hashlib.sha256).digest()
        try:
            decoded = base64.urlsafe_b64decode(given + "==")
        except ValueError:
            decoded = b""
        return "current" if decoded == digest else super()._signed(token, region)


class AlgorithmOfTheHeader(Receiver):
    def _signed(self, token: str, region: str) -> str:
        head, _, given = token.rpartition(".")
        try:
            alg = json.loads(module._decoded(head.partition(".")[0]))["alg"]
        except (ValueError, LookupError, TypeError):
            alg = ""
        if str(alg).lower() == "none":
            return "current"
        hashes = {"HS384": hashlib.sha384, "HS512": hashlib.sha512}
        if isinstance(alg, str) and alg in hashes:
            digest = hmac.new(CURRENT.encode(), head.encode(), hashes[alg]).digest()
            return "current" if base64url(digest) == given else super()._signed(token, region)
        return super()._signed(token, region)


class KeyOfTheHeader(Receiver):
    def _signed(self, token: str, region: str) -> str:
        head, _, given = token.rpartition(".")
        try:
            key = module._decoded(json.loads(module._decoded(head.partition(".")[0]))["jwk"]["k"])
        except (ValueError, LookupError, TypeError):
            return super()._signed(token, region)
        return "current" if base64url(hmac.new(key, head.encode(), hashlib.sha256).digest()) == given else "none"


class AnyRegion(Receiver):
    def _pair(self, header: str) -> Any:
        return "", SigningKeys(CURRENT, REGION[0])


class EmptyKey(Receiver):
    def _pair(self, header: str) -> Any:
        return "", SigningKeys(CURRENT, "")


class NoHeader(Receiver):
    """Neither algorithm nor extensions are looked at."""

    def _signed(self, token: str, region: str) -> str:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "_check_header", lambda segment: None)
            return super()._signed(token, region)


class NumbersOfAnyKind(Receiver):
    def _payload(self, token: str, key: str) -> Any:
        found = json.loads(module._decoded(token.split(".")[1]))
        try:
            found["exp"] = int(float(found["exp"]))
            return msgspec.convert(found, type(super()._payload(true(), key)))
        except (ValueError, LookupError, TypeError, OverflowError):
            return super()._payload(token, key)


BROKEN: list[type[Receiver]] = [
    *(NoExpiry, NoBeginning, NoIssueTime, AnyIssuer, AnyAudience, AnyUrl, AnyBody, UrlWithoutQuery, UrlInAnyCase),
    *(StartOfTheHash, UrlOfTheHeaders, PathOfTheHeaders, NoSignature, StartOfTheSignature, AnySpelling),
    *(AlgorithmOfTheHeader, KeyOfTheHeader, AnyRegion, EmptyKey, NoHeader, NumbersOfAnyKind),
]


@pytest.mark.parametrize("broken", BROKEN, ids=lambda broken: broken.__name__)
def test_a_receiver_that_lacks_a_check_is_caught(broken: type[Receiver]) -> None:
    assert accepts(Forgery("", true()), broken)  # what is genuine it accepts all the same
    assert any(accepts(forgery, broken) for forgery in FORGERIES)


def test_the_header_that_is_forged_is_the_true_one_but_for_that() -> None:
    assert token(claims(now=NOW), header=HEADER) == true()
