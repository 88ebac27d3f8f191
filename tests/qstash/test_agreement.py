"""Agreement with the official receivers, Python's and TypeScript's, in both directions.

Whatever both of them accept is accepted, but for the cases in `STRICTER`; whatever is accepted, both of them accept.
They do not agree with each other: the Python one asks for `nbf`, `exp` and `sub`, and for HS256 only; the TypeScript
one for none of that. What only one of them accepts is refused.
"""

from __future__ import annotations

import re
import warnings
from typing import NamedTuple

import pytest
import qstash
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from qstash.errors import SignatureError

from eventsource_upstash.backends.qstash import Receiver
from eventsource_upstash.ports import Unverified
from tests.qstash.signing import CURRENT, HEADER, NEXT, URL, body_hash, claims, token
from tests.qstash.typescript import TypeScriptReceiver

STRICTER = {
    "no JWT": "one spelling: padding (=) and characters outside base64url are no part of a JWT (RFC 7515)",
    "an extension": "crit and b64 ask for what QStash does not use (RFC 7797)",
    "$.exp": "a moment is whole seconds since 1970, as exact as every language holds them: the two round differently",
    "$.nbf": "likewise",
    "$.iat": "likewise",
    "characters, at most": "a header that no server passes on",
    "JSON is malformed": "half of a surrogate pair is no character",
}
"""What both official receivers accept and ours does not: words of our reason, and why."""

BODY = '{"position":7}'


class Delivery(NamedTuple):
    signature: str
    body: str = BODY
    url: str = URL


def ours(delivery: Delivery, leeway: float = 0.0) -> str | None:
    try:
        Receiver(CURRENT, NEXT, leeway=leeway).verify(
            {"upstash-signature": delivery.signature}, delivery.body.encode(), delivery.url
        )
    except Unverified as refused:
        return str(refused)
    return None


def pythons(delivery: Delivery, clock_tolerance: int = 0) -> str | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the length of the keys
        try:
            qstash.Receiver(CURRENT, NEXT).verify(
                signature=delivery.signature, body=delivery.body, url=delivery.url, clock_tolerance=clock_tolerance
            )
        except SignatureError as refused:
            return str(refused)
        except (KeyError, AttributeError, TypeError, UnicodeEncodeError) as crashed:
            return repr(crashed)  # it looks at the claim `body` without looking whether it is text
    return None


def agree(delivery: Delivery, typescript: TypeScriptReceiver) -> None:
    said, python = ours(delivery), pythons(delivery)
    script = typescript.refusal(delivery.signature, delivery.body, delivery.url)
    if said is None:
        assert (python, script) == (None, None)
    elif python is None and script is None:
        assert any(words in said for words in STRICTER), f"refused by ours alone: {said}"


ODD: st.SearchStrategy[object] = st.sampled_from(
    [
        None,
        True,
        False,
        "",
        "x",
        "0",
        "1",
        0,
        1,
        -1,
        0.0,
        1.5,
        -1e300,
        2**53,
        2**53 + 2,
        10**30,
        [],
        ["x"],
        {},
        "Upstash",
        URL,
    ]
)
MOMENTS = st.sampled_from([-600, -60, 60, 600])


@st.composite
def claims_of_a_delivery(draw: st.DrawFn) -> dict[str, object]:
    given = claims(BODY.encode())
    for name in draw(st.sets(st.sampled_from([*given, "aud", "other"]), max_size=2)):
        change = draw(st.sampled_from(["drop", "odd", "moment", "pad"]))
        if change == "drop":
            given.pop(name, None)
        elif change == "odd":
            given[name] = draw(ODD)
        elif change == "moment":
            given[name] = int(str(claims()["iat"])) + draw(MOMENTS)
        elif isinstance(given.get(name), str):
            given[name] = f"{given[name]}{draw(st.sampled_from(['=', '==', '====', ' ', '/', '?']))}"
    return given


HEADERS: st.SearchStrategy[object] = st.sampled_from(
    [
        HEADER,
        {"alg": "HS256"},
        {"alg": "HS256", "typ": "at+jwt"},
        {"alg": "HS256", "kid": "x"},
        {"alg": "HS256", "kid": 7},
        {"alg": "HS256", "kid": None},
        {"alg": "HS256", "b64": True},
        {"alg": "HS256", "b64": False},
        {"alg": "HS256", "crit": ["b64"], "b64": True},
        {"alg": "HS256", "crit": []},
        {"alg": "HS256", "crit": ["exp"], "exp": 1},
        {"alg": "HS256", "crit": None},
        {"alg": "HS512"},
        {"alg": "none"},
        {"alg": "hs256"},
        {"alg": None},
        {"alg": ["HS256"]},
        {},
        [],
        "HS256",
        None,
    ]
)
KEYS = st.sampled_from([CURRENT, CURRENT, NEXT, "sig_other", CURRENT[:-1], ""])
CHARACTERS = st.sampled_from("ABab09-_+/=. \n%é")


@st.composite
def deliveries(draw: st.DrawFn) -> Delivery:
    digest = draw(st.sampled_from(["HS256", "HS256", "HS256", "HS384", "HS512"]))
    signature = token(draw(claims_of_a_delivery()), draw(KEYS), draw(HEADERS), digest=digest)
    return Delivery(
        signature,
        draw(st.sampled_from([BODY, BODY, BODY, "", BODY + "\n", '{"position": 7}', "é"])),
        draw(st.sampled_from([URL, URL, URL, URL + "/", URL + "?a=b", "http" + URL[5:], "x", ""])),
    )


@st.composite
def mutated(draw: st.DrawFn) -> Delivery:
    """A genuine delivery whose token was changed in a place or two."""
    signature = token(claims(BODY.encode()), draw(st.sampled_from([CURRENT, NEXT])))
    for _ in range(draw(st.integers(1, 2))):
        # The last character of each segment holds bits that mean nothing: places worth a second look.
        ends = [match.start() - 1 for match in re.finditer(r"\.|$", signature) if match.start()]
        at = draw(st.sampled_from(ends) | st.integers(0, len(signature) - 1))
        before, after = signature[:at], signature[at + 1 :]
        signature = draw(
            st.sampled_from(
                [
                    before + after,
                    before + draw(CHARACTERS) + after,
                    before + signature[at] + draw(CHARACTERS) + after,
                    before + signature[at] + "=" + after,
                    ".".join(signature.split(".")[: draw(st.integers(1, 3))]),
                    signature.swapcase(),
                ]
            )
        )
    return Delivery(signature)


NOT_PER_EXAMPLE = settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])


@NOT_PER_EXAMPLE
@given(delivery=deliveries())
def test_generated(typescript_receiver: TypeScriptReceiver, delivery: Delivery) -> None:
    agree(delivery, typescript_receiver)


@NOT_PER_EXAMPLE
@given(delivery=mutated())
def test_mutated(typescript_receiver: TypeScriptReceiver, delivery: Delivery) -> None:
    agree(delivery, typescript_receiver)


@pytest.mark.parametrize("key", [CURRENT, NEXT])
@pytest.mark.parametrize("body", ["", BODY, "é", "\n"])
@pytest.mark.parametrize("url", [URL, URL + "?a=b&c=%20", "http://localhost:3000", "https://xn--bcher-kva.example/"])
@pytest.mark.parametrize("padding", ["", "=", "=="])
def test_genuine(typescript_receiver: TypeScriptReceiver, key: str, body: str, url: str, padding: str) -> None:
    given_claims = {**claims(body.encode(), url), "body": body_hash(body.encode()) + padding}
    delivery = Delivery(token(given_claims, key), body, url)
    assert (ours(delivery), pythons(delivery)) == (None, None)
    assert typescript_receiver.refusal(*delivery) is None


def odd(**changed: object) -> str:
    return token({**claims(BODY.encode()), **changed})


ALONE = {
    "no JWT": lambda: odd() + "=",
    "an extension": lambda: token(claims(BODY.encode()), header={**HEADER, "b64": True}),
    "$.exp": lambda: odd(exp=1e12),
    "$.nbf": lambda: odd(nbf=-1),
    "$.iat": lambda: odd(iat=1.5),
    "characters, at most": lambda: odd(other="x" * 16_384),
    "JSON is malformed": lambda: odd(jti="\ud800"),
}


@pytest.mark.parametrize("words", ALONE)
def test_where_ours_alone_refuses(typescript_receiver: TypeScriptReceiver, words: str) -> None:
    """Each case that is listed is one: both of them accept it."""
    delivery = Delivery(ALONE[words]())
    assert words in str(ours(delivery))
    assert pythons(delivery) is None
    assert typescript_receiver.refusal(*delivery) is None


def test_every_case_that_is_listed_is_shown() -> None:
    assert set(ALONE) == set(STRICTER)


@pytest.mark.parametrize("leeway", [0, 60, 600])
@pytest.mark.parametrize("off", [-900, -630, -570, -90, -30, 30, 90, 570, 630, 900])
@pytest.mark.parametrize("claim", ["exp", "nbf"])
def test_leeway(typescript_receiver: TypeScriptReceiver, leeway: int, off: int, claim: str) -> None:
    """As the TypeScript one's. The Python one's `clock_tolerance` does nothing: it is handed to the wrong argument."""
    moment = int(str(claims()["iat"]))
    delivery = Delivery(odd(**{"exp": moment + 10_000, "iat": 0, claim: moment + off}))
    wanted = off + leeway > 0 if claim == "exp" else off - leeway < 0
    assert (ours(delivery, leeway) is None) is wanted
    assert (typescript_receiver.refusal(*delivery, clock_tolerance=leeway) is None) is wanted


def test_the_official_one_has_no_leeway() -> None:
    """Where this fails, the official package was mended, and `test_leeway` can hold it too."""
    given_claims = claims(BODY.encode())
    # By the next key: what it says of a token by the current one hides the reason behind the attempt with the next.
    late = Delivery(token({**given_claims, "exp": int(str(given_claims["iat"])) - 30}, NEXT))
    assert "expired" in str(pythons(late, clock_tolerance=60))
    assert ours(late, leeway=60) is None
