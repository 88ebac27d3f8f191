"""Deliveries that QStash did not make, or not these, not here, not now: each of them has to be refused."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

from eventsource_upstash.backends.qstash import Receiver
from tests.qstash.signing import BODY, CURRENT, HEADER, NEXT, URL, base64url, body_hash, claims, token, without

NOW: Final = 1_795_244_434
REGION: Final = ("sig_region_current_0000000000000", "sig_region_next_000000000000000")
PUBLIC_KEY: Final = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE\n-----END PUBLIC KEY-----\n"

Verify = Callable[[dict[str, str], bytes, str], None]
Build = Callable[..., Receiver]


class Forgery(NamedTuple):
    """A request that is not to be believed.

    Attributes:
        name: What is wrong with it.
        signature: Its header Upstash-Signature.
        body: Its body.
        headers: Its other headers.
        later: Seconds after the delivery that is copied.
    """

    name: str
    signature: str
    body: bytes = BODY
    headers: dict[str, str] = {}  # noqa: RUF012  nobody changes it
    later: float = 0.0


def receiver(now: float = NOW, build: Build = Receiver, **options: Any) -> Receiver:
    return build(CURRENT, NEXT, url=URL, regions={"us-east-1": REGION}, clock=lambda: int(now * 1e9), **options)


def true(**changed: object) -> str:
    """A token of QStash for this URL and body, with some claims changed."""
    return token({**claims(now=NOW), **changed})


def raw(header: str, payload: str, key: str = CURRENT) -> str:
    """A token over texts that are no JSON that `json` would write."""
    signed = f"{base64url(header.encode())}.{base64url(payload.encode())}"
    return f"{signed}.{base64url(hmac.new(key.encode(), signed.encode(), hashlib.sha256).digest())}"


def forgeries() -> Iterator[Forgery]:
    """All of them."""
    yield from _of_the_signature()
    yield from _of_the_header()
    yield from _of_the_claims()
    yield from _of_the_json()
    yield from _of_the_request()


def _of_the_signature() -> Iterator[Forgery]:
    head, payload, signature = true().split(".")
    for key in ("", "sig", CURRENT[:-1], CURRENT + "0", CURRENT.upper(), CURRENT + "\n", PUBLIC_KEY, URL, "Upstash"):
        yield Forgery(f"signed with the key {key[:12]!r}", token(claims(now=NOW), key))
    yield Forgery("signed with the key as base64", token(claims(now=NOW), base64.b64encode(CURRENT.encode()).decode()))
    yield Forgery("signed with the key of a region that is not named", token(claims(now=NOW), REGION[0]))
    yield Forgery("signed with the default key for a region", true(), headers={"upstash-region": "us-east-1"})
    for kept in (0, 1, 8, 21, 42):
        yield Forgery(f"{kept} characters of the signature", f"{head}.{payload}.{signature[:kept]}")
    yield Forgery("a signature that goes on", f"{head}.{payload}.{signature}AAAA")
    yield Forgery("a signature twice", f"{head}.{payload}.{signature}{signature}")
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    at = alphabet.index(signature[-1])
    yield Forgery("other last bits that decode alike", f"{head}.{payload}.{signature[:-1]}{alphabet[at ^ 1]}")
    yield Forgery("padding behind the signature", f"{head}.{payload}.{signature}=")
    yield Forgery("padding within", f"{head}=.{payload}=.{signature}=")
    for name, spoiled in (
        ("blank before", f" {true()}"),
        ("blank behind", f"{true()} "),
        ("line break behind", f"{true()}\n"),
        ("line break within", f"{head}.{payload[:9]}\r\n {payload[9:]}.{signature}"),
        ("NUL behind", f"{true()}\0"),
        ("Bearer before", f"Bearer {true()}"),
        ("quoted", f'"{true()}"'),
        ("twice, as a proxy joins them", f"{true()}, {true()}"),
        ("a forged one before the true one", f"{head}.e30.{signature},{true()}"),
        ("two parts", f"{head}.{payload}"),
        ("four parts", f"{true()}.{signature}"),
        ("five parts, as of what is encrypted", f"{true()}..{signature}"),
        ("no payload, as of a detached one", f"{head}..{signature}"),
        ("only dots", ".."),
        ("JSON serialization", json.dumps({"payload": payload, "protected": head, "signature": signature})),
        ("full-width letters", f"{head}.{payload}.{signature[:-1]}{chr(0xFEE0 + ord('A'))}"),
        ("Arabic digits", f"{head}.{payload}.{signature[:-1]}\u0661"),
        ("the other base64 alphabet", true().replace("-", "+").replace("_", "/") + "+"),
        ("parts exchanged", f"{payload}.{head}.{signature}"),
        ("very long", f"{head}.{payload}.{'A' * 1_000_000}"),
        ("a very long header", f"{'A' * 1_000_000}.{payload}.{signature}"),
        ("empty", ""),
        ("hexadecimal", f"{head}.{payload}.{base64.urlsafe_b64decode(signature + '=').hex()}"),
    ):
        yield Forgery(name, spoiled)


def _of_the_header() -> Iterator[Forgery]:
    _, payload, signature = true().split(".")
    for alg in (
        "none",
        "None",
        "NONE",
        "nOnE",
        "",
        "HS384",
        "HS512",
        "RS256",
        "ES256",
        "PS256",
        "EdDSA",
        "hs256",
        "HS256 ",
    ):
        unsigned = f"{base64url(json.dumps({**HEADER, 'alg': alg}).encode())}.{payload}"
        for last in ("", "AA", signature):
            yield Forgery(f"alg {alg!r} and the signature {last[:4]!r}", f"{unsigned}.{last}")
        yield Forgery(f"alg {alg!r}, signed by HS256", token(claims(now=NOW), header={**HEADER, "alg": alg}))
    for digest in ("HS384", "HS512"):
        for named in (digest, "HS256"):
            forged = token(claims(now=NOW), header={**HEADER, "alg": named}, digest=digest)
            yield Forgery(f"{named}, signed by {digest}", forged)
    yield Forgery(
        "RS256 with a public key as the secret", token(claims(now=NOW), PUBLIC_KEY, header={**HEADER, "alg": "RS256"})
    )
    own = {"kty": "oct", "k": base64url(b"the attacker's key")}
    for extra in (
        {"jwk": own},
        {"jku": "https://evil.example.com/keys"},
        {"x5u": "https://evil.example.com/cert"},
        {"kid": "../../dev/null"},
        {"kid": "' UNION SELECT 'x"},
        {"x5c": ["MIIB"]},
    ):
        forged = token(claims(now=NOW), "the attacker's key", header={**HEADER, **extra})
        yield Forgery(f"a key of the attacker's own in {next(iter(extra))}", forged)
    extensions: list[dict[str, Any]] = [{"crit": ["exp"]}, {"crit": []}, {"crit": None}, {"crit": ["b64"]}]
    extensions += [{"b64": False}, {"b64": True}]
    for extension in extensions:
        yield Forgery(f"{extension}", token(claims(now=NOW), header={**HEADER, **extension}))
    headers: list[Any] = ["HS256", None, 1, {}, {"alg": ["HS256"]}, {"alg": None}, {"alg": 256}, {"typ": "JWT"}]
    for header in headers:
        yield Forgery(f"the header {header!r}", token(claims(now=NOW), header=header))
    yield Forgery("alg twice", raw('{"alg":"HS256","alg":"none"}', json.dumps(claims(now=NOW))))
    yield Forgery("alg by an escape", raw('{"\\u0061lg":"none","typ":"JWT"}', json.dumps(claims(now=NOW))))


def _of_the_claims() -> Iterator[Forgery]:
    right = claims(now=NOW)
    for name in ("iss", "sub", "exp", "nbf", "body"):
        yield Forgery(f"without {name}", token(without(right, name)))
        for value in (None, [], {}, [right[name]], {"$ne": ""}, True):
            yield Forgery(f"{name} is {value!r}", true(**{name: value}))
    for issuer in ("", "upstash", "Upstash ", "Upstash\0", "https://upstash.com", "UPSTASH", "Upst\u0430sh"):
        yield Forgery(f"issued by {issuer!r}", true(iss=issuer))
    for end in (
        NOW,
        NOW - 1,
        0,
        -1,
        1.5,
        NOW + 300.5,
        1e300,
        2**53 + 1,
        2**63,
        2**64,
        10**400,
        str(NOW + 300),
        "never",
    ):
        yield Forgery(f"exp is {str(end)[:20]}", true(exp=end))
    for text in (
        "1e400",
        "-1e400",
        "NaN",
        "Infinity",
        "1e10",
        "1.7952447e9",
        "0x7fffffff",
        "01795244734",
        "1_795_244_734",
    ):
        yield Forgery(f"exp is {text}", raw(json.dumps(HEADER), json.dumps(right).replace(str(NOW + 300), text)))
    for name in ("nbf", "iat"):
        for moment in (NOW + 1, NOW + 3600, 2**53, -1, "0", 0.5, 1e300):
            yield Forgery(f"{name} is {moment!r}", true(**{name: moment}))
    yield Forgery("for an audience", true(aud="somebody"))
    yield Forgery("for several audiences", true(aud=[URL]))
    for hashed in (
        "",
        "=",
        "=" * 43,
        body_hash(b"other"),
        body_hash(BODY)[:-1],
        body_hash(BODY)[:20],
        body_hash(BODY) + "A",
    ):
        yield Forgery(f"the hash {hashed[:6]!r}", true(body=hashed))
    yield Forgery("the hash in hexadecimal", true(body=hashlib.sha256(BODY).hexdigest()))
    yield Forgery(
        "the hash in standard base64", true(body=base64.b64encode(hashlib.sha256(b"\xff" * 7).digest()).decode())
    )
    yield Forgery("a hash by SHA-1", true(body=base64url(hashlib.sha1(BODY).digest())))
    yield Forgery("the body itself", true(body=BODY.decode()))
    host = URL.partition("//")[2]
    for other in (
        "", "/projections", "https://app.example.com", f"{URL}/", f"{URL}?", f"{URL}#", f"{URL}?x=1", f"{URL}#x",
        f"http://{host}", f"//{host}", f"HTTPS://{host}", URL.upper(), f" {URL}", f"{URL} ", f"{URL}\0", f"{URL}\n",
        "https://app.example.com:443/projections", "https://app.example.com./projections",
        "https://user@app.example.com/projections", "https://app.example.com@evil.example.com/projections",
        "https://app.example.com//projections", "https://app.example.com/./projections",
        "https://app.example.com/x/../projections", "https://app.example.com/%70rojections",
        "https://app.example.com/projections%2f", "https://app.example.com\\projections",
        "https://evil.example.com/projections", "https://app.example.com.evil.example.com/projections",
        "https://\u0430pp.example.com/projections", "https://app.example.com/jobs/other", "projections", "*",
    ):  # fmt: skip
        yield Forgery(f"signed for {other!r}", true(sub=other))


def _of_the_json() -> Iterator[Forgery]:
    header, right = json.dumps(HEADER), json.dumps(claims(now=NOW))
    yield Forgery("claims twice, the right ones first", raw(header, right[:-1] + ',"sub":"https://evil.example.com/"}'))
    yield Forgery("the end twice, the right one first", raw(header, f'{right[:-1]},"exp":{NOW - 1}}}'))
    for name, text in (
        ("a byte order mark", "\ufeff" + right),
        ("something behind it", right + "{}"),
        ("cut off", right[:-1]),
        ("in a list", f"[{right}]"),
        ("in a string", json.dumps(right)),
        ("single quotes", right.replace('"', "'")),
        ("a comment", right[:-1] + "/**/ }x"),
        ("a comma at the end", right[:-1] + ",}"),
        ("a lone surrogate in the URL", right.replace("projections", "projections\\ud800")),
        ("NUL in the issuer", right.replace("Upstash", "Upstash\\u0000")),
        ("deep", '{"iss":' + "[" * 4000 + "]" * 4000 + "}"),
        ("nothing", ""),
        ("null", "null"),
    ):
        yield Forgery(f"claims: {name}", raw(header, text))
    signed = f"{base64url(header.encode())}.{base64url(b'{' + bytes([255, 254]) + b'}')}"
    forged = f"{signed}.{base64url(hmac.new(CURRENT.encode(), signed.encode(), hashlib.sha256).digest())}"
    yield Forgery("claims that are no UTF-8", forged)


def _of_the_request() -> Iterator[Forgery]:
    for name, body in (
        ("empty", b""), ("a byte more", BODY + b" "), ("a byte less", BODY[:-1]), ("NUL behind", BODY + b"\0"),
        ("another", b'{"position":8}'), ("a line break", BODY + b"\r\n"), ("a mark", b"\xef\xbb\xbf" + BODY),
        ("in capitals", BODY.upper()), ("written again", b'{"position": 7}'), ("too large", bytes(17 * 1024 * 1024)),
    ):  # fmt: skip
        yield Forgery(f"the body: {name}", true(), body)
    for later in (300, 301, 3600, 86_400, 10**9, -3600):
        yield Forgery(f"sent again {later} s later", true(), later=later)
    elsewhere = {
        "host": "evil.example.com",
        "x-forwarded-host": "evil.example.com",
        "x-forwarded-proto": "http",
        "x-forwarded-port": "80",
        "x-forwarded-prefix": "/jobs",
        "x-forwarded-path": "/jobs/other",
        "forwarded": "host=evil.example.com;proto=http",
        "x-original-url": "/jobs/other",
        "x-rewrite-url": "/jobs/other",
        "x-original-host": "evil.example.com",
        "x-http-method-override": "POST",
    }
    there = {"x-forwarded-host": "evil.example.com", "x-original-url": "/jobs/other", "host": "evil.example.com"}
    for sub in (
        "https://evil.example.com/projections",
        "http://evil.example.com/projections",
        "https://app.example.com/jobs/other",
    ):
        for headers in (elsewhere, there, {"host": "evil.example.com"}, {"x-original-url": "/jobs/other"}):
            yield Forgery(f"for {sub}, with headers that say so", true(sub=sub), headers=headers)
