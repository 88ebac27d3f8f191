"""Deliveries that are from QStash, and all that are not: refused with the check that failed, and never otherwise."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventsource_upstash import Memory, connect
from eventsource_upstash.backends.qstash import QStash, Receiver, TrustedProxies
from eventsource_upstash.ports import Unverified, Verifier
from eventsource_upstash.web import Endpoint, Request
from tests.qstash.signing import BODY, CURRENT, HEADER, NEXT, URL, body_hash, claims, signed, token, without
from tests.unit.todo import todo

NOW = 1_795_244_434


def receiver(now: float = NOW, *, leeway: float = 0.0, url: str | None = URL) -> Receiver:
    return Receiver(CURRENT, NEXT, url=url, leeway=leeway, clock=lambda: int(now * 1e9))


def reason(headers: Mapping[str, str], body: bytes = BODY, url: str = URL, by: Receiver | None = None) -> str:
    with pytest.raises(Unverified) as refused:
        (by or receiver()).verify(headers, body, url)
    return str(refused.value)


def at(moment: float = NOW, *, key: str = CURRENT, **changed: object) -> dict[str, str]:
    return {"upstash-signature": token({**claims(now=moment), **changed}, key)}


@pytest.mark.parametrize("key", [CURRENT, NEXT])
@pytest.mark.parametrize("name", ["upstash-signature", "Upstash-Signature", "UPSTASH-SIGNATURE"])
@pytest.mark.parametrize("nbf", [0, NOW])
def test_genuine(key: str, name: str, nbf: int) -> None:
    verifier: Verifier = receiver()
    verifier.verify({name: at(key=key, nbf=nbf)["upstash-signature"]}, BODY, "http://10.0.0.1/projections")


def test_the_hash_may_be_padded() -> None:
    plain = str(claims()["body"])
    receiver().verify(at(body=plain + "="), BODY, URL)


def test_an_empty_body() -> None:
    by = Receiver(CURRENT, NEXT)
    by.verify(signed(b""), b"", URL)


def test_neither_key() -> None:
    assert "neither the current nor the next key" in reason(at(key="sig_other"))


def test_another_url() -> None:
    said = reason(at(), by=receiver(url="https://app.example.com/projections/"))
    assert "for 'https://app.example.com/projections', arrived at 'https://app.example.com/projections/'" in said
    assert "current key" in said
    assert "another URL" in reason(at(key=NEXT), url="https://other.example.com/", by=receiver(url=None))


def test_a_query_is_a_part_of_the_url_and_not_shown() -> None:
    said = reason(at(sub=URL + "?key=hidden"))
    assert "another URL" in said
    assert "hidden" not in said
    receiver(url=URL + "?key=hidden").verify(at(sub=URL + "?key=hidden"), BODY, URL)


@pytest.mark.parametrize("body", [b'{"position": 7}', b"", BODY + b"\n", b'{"position":8}'])
def test_a_body_written_again_by_a_framework(body: bytes) -> None:
    said = reason(at(key=NEXT), body)
    assert "next key" in said
    assert "raw bytes" in said


@pytest.mark.parametrize("body", ["", '{"position":7}', {"position": 7}, None, 7])
def test_no_bytes_at_all(body: bytes) -> None:
    assert "hand over those" in reason(at(), body)


def test_an_old_delivery_sent_again() -> None:
    receiver(NOW + 299).verify(at(), BODY, URL)
    assert "expired 0 s ago" in reason(at(), by=receiver(NOW + 300))
    assert "expired 3300 s ago by this machine's clock (signed 3600 s ago, current key)" in reason(
        at(), by=receiver(NOW + 3600)
    )


def test_a_clock_that_is_ten_minutes_off() -> None:
    assert "expired 300 s ago" in reason(at(), by=receiver(NOW + 600))
    assert "not valid for another 600 s by this machine's clock (nbf" in reason(at(nbf=NOW), by=receiver(NOW - 600))
    assert "not valid for another 600 s by this machine's clock (iat" in reason(at(), by=receiver(NOW - 600))


def test_leeway() -> None:
    receiver(NOW + 899, leeway=600).verify(at(), BODY, URL)
    assert "expired 600 s ago" in reason(at(), by=receiver(NOW + 900, leeway=600))
    receiver(NOW - 600, leeway=600).verify(at(nbf=NOW), BODY, URL)
    assert "another 601 s" in reason(at(nbf=NOW), by=receiver(NOW - 601, leeway=600))


def test_another_issuer() -> None:
    assert "issued by 'upstash', not by Upstash" in reason(at(iss="upstash"))


def test_an_audience() -> None:
    assert "audience" in reason(at(aud="somebody"))


@pytest.mark.parametrize("claim", ["iss", "sub", "exp", "nbf", "body"])
def test_a_claim_is_missing(claim: str) -> None:
    headers = {"upstash-signature": token(without(claims(now=NOW), claim))}
    assert f"`{claim}`" in reason(headers)


@pytest.mark.parametrize("claim", ["iss", "sub", "exp", "nbf", "iat", "jti", "body"])
@pytest.mark.parametrize("value", [None, True, [], {}, 1.5, 2**60, -1])
def test_a_claim_of_another_kind(claim: str, value: object) -> None:
    headers = {"upstash-signature": token({**claims(now=NOW), claim: value})}
    assert f"$.{claim}" in reason(headers)


@pytest.mark.parametrize("raw", ["", "null", "[]", '"x"', "{", "[" * 9_000, "{}"])
def test_claims_that_are_none(raw: str) -> None:
    said = reason({"upstash-signature": token(None, raw=raw)})
    assert ("claims" in said) is bool(raw)


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ({"typ": "JWT"}, "alg"),
        ({"alg": "none"}, "signed by 'none'"),
        ({"alg": "hs256"}, "signed by 'hs256'"),
        ({"alg": "RS256"}, "signed by 'RS256'"),
        ({"alg": ["HS256"]}, "$.alg"),
        ({**HEADER, "crit": ["exp"]}, "crit"),
        ({**HEADER, "crit": None}, "crit"),
        ({**HEADER, "b64": False}, "b64"),
        ({**HEADER, "kid": 7}, "$.kid"),
        ([HEADER], "cannot be read"),
        ("x", "cannot be read"),
    ],
)
def test_another_header(header: object, said: str) -> None:
    assert said in reason({"upstash-signature": token(claims(now=NOW), header=header)})


@pytest.mark.parametrize("digest", ["HS384", "HS512"])
def test_another_algorithm_of_the_same_key(digest: str) -> None:
    given = {"upstash-signature": token(claims(now=NOW), header={"alg": digest}, digest=digest)}
    assert f"signed by '{digest}'" in reason(given)


def test_no_signature_at_all_where_the_algorithm_is_none() -> None:
    head, payload, _ = token(claims(now=NOW), header={"alg": "none"}).split(".")
    assert "no JWT" in reason({"upstash-signature": f"{head}.{payload}."})


def test_one_spelling_only() -> None:
    genuine = at()["upstash-signature"]
    head, payload, signature = genuine.split(".")
    last = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    other = signature[:-1] + last[last.index(signature[-1]) ^ 1]
    assert base64.urlsafe_b64decode(other + "=") == base64.urlsafe_b64decode(signature + "=")
    for spelled in (
        f"{head}.{payload}.{other}",
        f"{genuine}=",
        f"{genuine}\n.",
        f"{head}.{payload}.{signature}.",
        f"Bearer {genuine}",
    ):
        reason({"upstash-signature": spelled})


@pytest.mark.parametrize(
    "value",
    ["", " ", ".", "..", "...", "a.b.c", "a" * 16_385, "a." * 9_000, "ä.ö.ü", "\x00", "\ud800.a.b", "a.b", "a.a.a"],
)
def test_garbage(value: str) -> None:
    reason({"upstash-signature": value})


@pytest.mark.parametrize("value", [b"abc", 7, ["abc"], object()])
def test_a_header_that_is_no_text(value: str) -> None:
    assert "not text" in reason({"upstash-signature": value})


def test_no_header_at_all() -> None:
    assert "no header Upstash-Signature" in reason({})


def test_a_body_beyond_all_limits() -> None:
    assert "more than any message" in reason(at(), bytes(16 * 1024 * 1024 + 1))


def test_reasons_hold_no_key_and_no_control_character() -> None:
    for headers in (at(key="sig_other"), at(iss="\x1b[1m\n"), at(sub="\x1b[1m\n"), {"upstash-signature": "\x1b"}):
        said = reason(headers)
        assert said.isprintable()
        assert CURRENT not in said
        assert NEXT not in said


REGIONS = {"US_EAST_1": ("sig_us_1", "sig_us_2"), "eu-central-1": ("sig_eu_1", "sig_eu_2")}


@pytest.mark.parametrize("spelled", ["US-EAST-1", "us-east-1", "US_EAST_1", " us-east-1 "])
@pytest.mark.parametrize("key", ["sig_us_1", "sig_us_2"])
def test_a_region_has_keys_of_its_own(spelled: str, key: str) -> None:
    by = Receiver(CURRENT, NEXT, url=URL, regions=REGIONS)
    by.verify({**signed(key=key), "upstash-region": spelled}, BODY, URL)
    assert "neither the current nor the next key" in reason(signed(key=key), by=by)
    assert "of US_EAST_1" in reason({**signed(), "upstash-region": spelled}, by=by)


@pytest.mark.parametrize("region", ["", "mars-1", "x" * 9_999, "\ud800"])
def test_an_unknown_region_is_checked_with_the_default_keys(region: str) -> None:
    by = Receiver(CURRENT, NEXT, url=URL, regions=REGIONS)
    by.verify({**signed(), "upstash-region": region}, BODY, URL)
    assert "neither" in reason({**signed(key="sig_us_1"), "upstash-region": region}, by=by)


def test_an_unknown_region_where_there_are_no_default_keys() -> None:
    by = Receiver("", "", url=URL, regions=REGIONS)
    by.verify({**signed(key="sig_eu_2"), "upstash-region": "EU-CENTRAL-1"}, BODY, URL)
    assert "'mars'; there are keys for US_EAST_1, EU_CENTRAL_1 only" in reason(
        {**signed(key="sig_eu_2"), "upstash-region": "mars"}, by=by
    )


def test_a_rotation_loses_nothing() -> None:
    """The next key becomes the current one, and a new one comes after it; what is on its way is signed by either."""
    before, after = Receiver("sig_1", "sig_2", url=URL), Receiver("sig_2", "sig_3", url=URL)
    for by, keys in ((before, ("sig_1", "sig_2")), (after, ("sig_2", "sig_3"))):
        for key in keys:
            by.verify(signed(key=key), BODY, URL)
    assert "neither" in reason(signed(key="sig_1"), by=after)


def test_the_destination_is_the_public_url() -> None:
    transport = QStash(URL, token="t", current_signing_key=CURRENT, next_signing_key=NEXT)
    transport.receiver().verify(signed(), BODY, "http://10.0.0.7:3000/")
    by_proxy = transport.receiver(proxies=TrustedProxies())
    by_proxy.verify(
        {**signed(), "x-forwarded-proto": "https", "x-forwarded-host": "app.example.com"},
        BODY,
        "http://app:3000/projections",
    )
    group = QStash("group", token="t", current_signing_key=CURRENT, next_signing_key=NEXT)
    group.receiver().verify(signed(), BODY, URL)
    group.receiver(public_url=URL).verify(signed(), BODY, "http://10.0.0.7:3000/")
    assert "another URL" in reason(signed(), url="http://10.0.0.7:3000/", by=group.receiver())


def test_through_the_endpoint(caplog: pytest.LogCaptureFixture) -> None:
    endpoint = Endpoint(connect(Memory(), todo().registry), verifier=receiver())
    assert endpoint.handle(Request("POST", "http://10.0.0.7/", at(body=body_hash(b"")), b"")).status == 200
    with caplog.at_level(logging.WARNING):
        refused = endpoint.handle(Request("POST", URL, at(NOW - 900), BODY))
    assert refused.status == 401
    assert b"expired" not in refused.body
    assert "expired 600 s ago" in caplog.text


TEXT = st.text(st.characters(exclude_categories=()), max_size=60)
SEGMENT = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=.", max_size=40)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT.filter(lambda text: text.isascii()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(list(claims())), inner, max_size=3),
    max_leaves=6,
)


@given(
    signature=TEXT | st.tuples(SEGMENT, SEGMENT, SEGMENT).map(".".join),
    region=TEXT,
    body=st.binary(max_size=20),
    url=TEXT,
    forwarded=TEXT
    | st.lists(st.sampled_from(["host=", "proto=", '"', "\\", ";", ",", "a", ":", " ", "="])).map("".join),
    header=st.sampled_from(["x-forwarded", "forwarded"]),
)
def test_any_garbage_is_unverified(
    signature: str, region: str, body: bytes, url: str, forwarded: str, header: str
) -> None:
    by = Receiver(CURRENT, NEXT, proxies=TrustedProxies(header=header))
    headers = {
        "upstash-region": region,
        "forwarded": forwarded,
        "x-forwarded-host": forwarded,
        "x-forwarded-proto": forwarded,
    }
    for given_signature in (signature, signed(body)["upstash-signature"]):
        with pytest.raises(Unverified):
            by.verify({**headers, "upstash-signature": given_signature}, body, f"{url}/")


@given(header=JSON, payload=JSON, changed=st.dictionaries(st.sampled_from(list(claims())), JSON, max_size=3))
def test_any_signed_garbage_is_unverified_or_right(header: object, payload: object, changed: dict[str, object]) -> None:
    by = Receiver(CURRENT, NEXT, url=URL)
    for given_header, given_payload in ((header, claims()), (HEADER, payload), (HEADER, {**claims(), **changed})):
        try:
            by.verify({"upstash-signature": token(given_payload, header=given_header)}, BODY, URL)
        except Unverified:
            continue
        assert isinstance(given_payload, dict)
        for claim in ("iss", "sub", "body"):
            assert str(given_payload[claim]).rstrip("=") == claims()[claim]
        assert json.dumps(given_payload["exp"]).isdigit()
