"""The local Upstash and the pages of other sites: requests as a browser sends them, and nothing changes.

A page may send some requests without asking first: GET, HEAD and POST with a form's types of content, from forms,
images, links, `fetch` with `no-cors`; and the upgrade to a WebSocket. Its name may be pointed at 127.0.0.1 (DNS
rebinding), and then the browser takes the server for the page's own: no `Origin`, no `Sec-Fetch-Site: cross-site`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from urllib.parse import quote, urlsplit

import httpx
import pytest

from eventsource_upstash.local import LocalUpstash

EVIL = "https://evil.example"
FORM_TYPES = ("text/plain;charset=UTF-8", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x")


@pytest.fixture(params=["redis", "qstash", "kafka"])
def url(request: pytest.FixtureRequest, upstash: LocalUpstash) -> str:
    return {"redis": upstash.redis_url, "qstash": upstash.qstash_url, "kafka": upstash.kafka.url}[request.param]


def cross_site(mode: str, destination: str, origin: str | None) -> dict[str, str]:
    """The headers that today's browsers add by themselves."""
    told = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": mode, "Sec-Fetch-Dest": destination}
    return told if origin is None else told | {"Origin": origin}


# What a page can do without being asked: how, and with which headers.
WAYS: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "an image": ("GET", cross_site("no-cors", "image", None)),
    "a link": ("GET", {**cross_site("navigate", "document", None), "Sec-Fetch-User": "?1"}),
    "a frame": ("GET", cross_site("navigate", "iframe", None)),
    "a script": ("GET", cross_site("no-cors", "script", None)),
    "fetch, no-cors": ("POST", cross_site("no-cors", "empty", EVIL)),
    "fetch, cors": ("POST", cross_site("cors", "empty", EVIL)),
    "a form": ("POST", cross_site("navigate", "document", EVIL)),
    "a form of a sandboxed frame": ("POST", cross_site("navigate", "document", "null")),
    "a file": ("POST", cross_site("cors", "empty", "null")),
    "a beacon": ("POST", cross_site("no-cors", "empty", EVIL)),
    "an older browser": ("POST", {"Origin": EVIL}),
    "an older browser's file": ("POST", {"Origin": "null"}),
    "a page of a name that looks alike": ("POST", {"Origin": "http://127.0.0.1.evil.example"}),
    "a page of a name with a port": ("POST", {"Origin": "http://localhost.evil.example:3000"}),
    "a page of a user of ours": ("POST", {"Origin": "http://127.0.0.1@evil.example"}),
    "an extension": ("POST", {"Origin": "chrome-extension://abcdefghijklmnop"}),
    "no URL": ("POST", {"Origin": "http://[::1"}),
    "nothing": ("POST", {"Origin": ""}),
}


@pytest.fixture(scope="module")
def browser() -> Iterator[httpx.Client]:
    with httpx.Client() as client:
        yield client


def state_of(upstash: LocalUpstash, browser: httpx.Client) -> object:
    """All that a page could have changed."""
    auth = {"Authorization": f"Bearer {upstash.redis_token}"}
    faults = browser.get(f"{upstash.redis_url}/dev/faults").json()
    keys = browser.post(upstash.redis_url, headers=auth, json=["DBSIZE"]).json()
    shown = browser.get(f"{upstash.redis_url}/dev/state").json()
    return faults, keys, {name: shown.get(name) for name in ("messages", "dead_letters", "schedules", "topics")}


def targets(upstash: LocalUpstash) -> list[tuple[str, bytes]]:
    """What would change something, with a token where one goes into a URL: it is fixed, so a page knows it."""
    token = quote(upstash.redis_token)
    fault = json.dumps({"kind": "quota"}).encode()
    return [
        ("/dev/faults", fault),
        ("/dev/metrics/reset", b""),
        ("/dev/messages?id=1", b""),
        ("/dev/dead-letters?id=1", b""),
        (f"/set/evil/1?_token={token}", b""),
        (f"/?_token={token}", b'["SET","evil","1"]'),
        (f"/pipeline?_token={token}", b'[["SET","evil","1"]]'),
        ("/v2/publish/http://127.0.0.1:9/x", b"{}"),
        ("/v2/schedules/http://127.0.0.1:9/x", b"{}"),
        ("/produce/evil/1", b""),
        ("/confluent/topics/evil", b'{"records":[{"value":"x"}]}'),
    ]


def test_no_page_of_another_site_changes_anything(upstash: LocalUpstash, url: str, browser: httpx.Client) -> None:
    before = state_of(upstash, browser)
    for number, (way, (method, headers)) in enumerate(WAYS.items()):
        for place, (path, body) in enumerate(targets(upstash)):
            kind = {"Content-Type": FORM_TYPES[(number + place) % len(FORM_TYPES)]} if method == "POST" else {}
            content = body if method == "POST" else None
            answer = browser.request(method, url + path, headers={**headers, **kind}, content=content)
            assert answer.status_code == 403, (way, path, answer.text)
            assert "Access-Control-Allow-Origin" not in answer.headers
            assert not any(secret in answer.text for secret in upstash.environment().values())
    assert state_of(upstash, browser) == before


@pytest.mark.parametrize("origin", [EVIL, "null", "http://127.0.0.1.evil.example"])
def test_a_preflight_of_another_site_is_refused(url: str, origin: str, browser: httpx.Client) -> None:
    for path in ("/", "/dev/faults", "/v2/publish/x", "/produce/x/y"):
        for asked in ("authorization", "content-type", "authorization,upstash-encoding"):
            answer = browser.options(
                url + path,
                headers={
                    "Origin": origin,
                    "Access-Control-Request-Method": "POST",
                    "Access-Control-Request-Headers": asked,
                    "Access-Control-Request-Private-Network": "true",
                },
            )
            assert answer.status_code == 403
            assert not [name for name in answer.headers if name.lower().startswith("access-control-")]


def test_no_page_of_this_machine_but_its_own_may_use_what_needs_no_token(
    upstash: LocalUpstash, url: str, browser: httpx.Client
) -> None:
    """Another port of this machine is another site's page, too, for what asks for no token."""
    own = f"http://127.0.0.1:{urlsplit(url).port}"
    before = state_of(upstash, browser)
    for origin in ("http://127.0.0.1:3000", "http://localhost:3000", f"http://localhost:{urlsplit(url).port}"):
        for path in ("/dev/faults", "/dev/metrics/reset"):
            headers = {"Origin": origin, "Content-Type": "text/plain"}
            assert browser.post(url + path, headers=headers, content=b'{"kind":"quota"}').status_code == 403
    assert state_of(upstash, browser) == before
    assert browser.post(f"{url}/dev/metrics/reset", headers={"Origin": own}).status_code == 200, "its own may"


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.nip.example", "localhost.evil.example"])
def test_a_name_that_was_pointed_here_is_none_of_this_server(
    upstash: LocalUpstash, url: str, host: str, browser: httpx.Client
) -> None:
    """DNS rebinding: the page's own name, so the browser marks the requests as those to its own site."""
    before = state_of(upstash, browser)
    same = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}
    for path, body in targets(upstash):
        for headers in ({"Host": host, **same}, {"Host": host, **same, "Origin": f"http://{host}"}):
            assert browser.post(url + path, headers=headers, content=body).status_code == 403
            answer = browser.get(url + path, headers=headers)
            assert answer.status_code == 403
            assert not any(secret in answer.text for secret in upstash.environment().values())
    assert state_of(upstash, browser) == before


def test_a_socket_of_another_site_is_not_opened(url: str, browser: httpx.Client) -> None:
    """The upgrade to a WebSocket asks for no permission: it is the server that has to look at the origin."""
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    for path in ("/", "/dev/state", "/subscribe/x", "/monitor"):
        for origin in (EVIL, "null"):
            assert browser.get(url + path, headers={**upgrade, "Origin": origin}).status_code == 403
        assert browser.get(url + path, headers=upgrade).status_code != 101, "nothing here speaks that"


def test_to_look_changes_nothing(upstash: LocalUpstash, url: str, browser: httpx.Client) -> None:
    """GET and HEAD below `/dev/` need no token, and a link sends them: whatever they ask for stays as it is."""
    before = state_of(upstash, browser)
    for path in ("/dev/faults", "/dev/metrics/reset", "/dev/messages?id=1", "/dev/dead-letters?id=1", "/dev/state"):
        for method in ("GET", "HEAD"):
            browser.request(method, url + path)
    assert state_of(upstash, browser) == before
