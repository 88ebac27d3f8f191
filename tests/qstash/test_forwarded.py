"""The public URL behind proxies: only from headers that are trusted, and only what one's own proxies added."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from eventsource_upstash.backends.qstash import Receiver, TrustedProxies
from eventsource_upstash.ports import Unverified
from tests.qstash.signing import BODY, CURRENT, NEXT, URL, signed

INSIDE = "http://10.0.0.7:3000/projections"


def verify(proxies: TrustedProxies | None, headers: Mapping[str, str], url: str = INSIDE, public: str = URL) -> None:
    Receiver(CURRENT, NEXT, proxies=proxies).verify({**signed(url=public), **headers}, BODY, url)


def test_no_header_is_trusted_unless_told() -> None:
    forwarded = {
        "x-forwarded-proto": "https",
        "x-forwarded-host": "app.example.com",
        "forwarded": "proto=https;host=app.example.com",
    }
    with pytest.raises(Unverified, match="another URL"):
        verify(None, forwarded)
    verify(None, forwarded, URL)


@pytest.mark.parametrize(
    ("hops", "headers"),
    [
        (1, {"x-forwarded-proto": "https", "x-forwarded-host": "app.example.com"}),
        (1, {"X-Forwarded-Proto": "HTTPS", "X-Forwarded-Host": "evil.example.com , app.example.com "}),
        (2, {"x-forwarded-proto": "https,http", "x-forwarded-host": "evil, app.example.com, inner"}),
    ],
)
def test_x_forwarded(hops: int, headers: dict[str, str]) -> None:
    verify(TrustedProxies(hops), headers)


def test_what_a_proxy_does_not_tell_stays() -> None:
    verify(TrustedProxies(), {"x-forwarded-proto": "https"}, "http://app.example.com/projections")
    verify(TrustedProxies(), {"x-forwarded-host": "app.example.com"}, "https://10.0.0.7/projections")
    verify(TrustedProxies(), {}, URL)
    verify(TrustedProxies(header="forwarded"), {}, URL)


@pytest.mark.parametrize(
    ("hops", "value"),
    [
        (1, "for=1.2.3.4;proto=https;host=app.example.com"),
        (1, 'for="[::1]";Proto=https;HOST="app.example.com"'),
        (1, 'host=evil.example.com;proto=http, host="app.exampl\\e.com" ; proto=https'),
        (2, "host=evil, host=app.example.com;proto=https,host=inner"),
        (1, 'by="a,b;c";host=app.example.com;proto=https'),
    ],
)
def test_forwarded(hops: int, value: str) -> None:
    verify(TrustedProxies(hops, header="forwarded"), {"forwarded": value})


def test_the_other_header_is_what_the_caller_wrote() -> None:
    with pytest.raises(Unverified, match="another URL"):
        verify(TrustedProxies(), {"forwarded": "host=app.example.com;proto=https"})
    with pytest.raises(Unverified, match="another URL"):
        verify(
            TrustedProxies(header="forwarded"), {"x-forwarded-host": "app.example.com", "x-forwarded-proto": "https"}
        )


def test_fewer_values_than_proxies_tell_nothing() -> None:
    with pytest.raises(Unverified, match="another URL"):
        verify(TrustedProxies(2), {"x-forwarded-host": "app.example.com", "x-forwarded-proto": "https"})
    with pytest.raises(Unverified, match="another URL"):
        verify(TrustedProxies(2, header="forwarded"), {"forwarded": "host=app.example.com;proto=https"})


def test_path_and_query_are_the_requests() -> None:
    told = {"x-forwarded-proto": "https", "x-forwarded-host": "app.example.com:8443"}
    verify(TrustedProxies(), told, "http://10.0.0.7:3000/a%20b?c=d", "https://app.example.com:8443/a%20b?c=d")


@pytest.mark.parametrize(
    "host", ["a/b", "user@host", "a b", "ä", "a:port", "[::1", "a?b", "a#b", "x" * 9_000, "\ud800"]
)
def test_no_host(host: str) -> None:
    with pytest.raises(Unverified, match=r"trusted proxy|forwarding header"):
        verify(TrustedProxies(), {"x-forwarded-host": host})


def test_no_scheme() -> None:
    with pytest.raises(Unverified, match="trusted proxy"):
        verify(TrustedProxies(), {"x-forwarded-proto": "ftp"})


@pytest.mark.parametrize("value", ["=", "host", 'host="a', "host=a;host=b", "host=a b=c", ";", ",", "proto=ftp"])
def test_no_forwarded(value: str) -> None:
    with pytest.raises(Unverified, match=r"Forwarded|trusted proxy"):
        verify(TrustedProxies(header="forwarded"), {"forwarded": value})


@pytest.mark.parametrize("url", ["", "/projections", "ftp://x/", "http://ä/", "http:///"])
def test_a_request_without_a_whole_url(url: str) -> None:
    with pytest.raises(Unverified, match="no whole one"):
        verify(TrustedProxies(), {}, url)


def test_shown() -> None:
    assert repr(TrustedProxies(2)) == "TrustedProxies(2, header='x-forwarded')"
