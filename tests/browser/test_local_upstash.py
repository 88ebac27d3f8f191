"""The local Upstash attacked by pages of other origins, in a real browser; and its own page, with hostile contents.

An attacker's page knows the addresses and the tokens, which are fixed, and tries whatever a page can. Its name may be
pointed at this machine meanwhile (DNS rebinding): the browser then takes the server for the page's own.
"""

from __future__ import annotations

import functools
import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
import pytest
from aiohttp import web
from playwright.sync_api import Browser, Page, Playwright, Route

from eventsource_upstash.local import LocalUpstash
from eventsource_upstash.local.kafka import app as kafka_app
from eventsource_upstash.local.qstash import routes
from eventsource_upstash.local.redis import app as redis_app
from tests.browser.conftest import ARGUMENTS, chromium

EVIL = "evil.example"
REBOUND = "rebound.example"
PLAIN = "--disable-features=LocalNetworkAccessChecks,LocalNetworkAccessChecksWebSockets"
SECRET = "a-value-that-nobody-else-may-read"
HOSTILE = "</script><img src=x onerror=pwned()>\"'><svg/onload=pwned()>"

# Each way writes under its own name, and puts down what it could read. `at` is where the REST API is, `queue` QStash.
ATTACK = """
async ({ at, queue, token, secret }) => {
  const read = [], done = [];
  const saw = (way, text) => { if (String(text).length) read.push(`${way}: ${String(text).slice(0, 200)}`); };
  const set = (way) => `${at}/set/evil-${way}/1?_token=${token}`;
  const command = (way) => JSON.stringify(["SET", `evil-${way}`, "1"]);
  const fault = (way) => JSON.stringify({ kind: "delay", path: `/evil-${way}`, probability: 0 });
  const publish = (way) => `${queue}/v2/publish/http://127.0.0.1:9/evil-${way}?qstash_token=${encodeURIComponent(secret)}`;
  const tried = (way, work) => done.push(Promise.resolve().then(work).then((text) => saw(way, text ?? ""), () => {}));
  const text = async (url, options) => (await fetch(url, options)).text();
  const plain = { "Content-Type": "text/plain" };

  for (const mode of ["cors", "no-cors"]) {
    for (const credentials of ["include", "omit"]) {
      const way = `${mode}-${credentials}`, options = { mode, credentials };
      tried(way, () => text(`${at}/get/secret?_token=${token}`, options));
      tried(way, () => text(`${at}/dev/state`, options));
      tried(way, () => text(`${queue}/v2/keys?qstash_token=${encodeURIComponent(secret)}`, options));
      const post = (url, body) => tried(way, () => text(url, { ...options, method: "POST", body, headers: plain }));
      post(`${at}/?_token=${token}`, command(way));
      post(`${at}/dev/faults`, fault(way));
      post(`${queue}/dev/faults`, fault(`q-${way}`));
      post(publish(way), "{}");
    }
  }
  // What a beacon is, but that one can wait for it.
  tried("beacon", () => text(`${at}/?_token=${token}`,
    { mode: "no-cors", keepalive: true, method: "POST", body: command("beacon"), headers: plain }));
  const headers = { Authorization: `Bearer ${token}`, "Content-Type": "application/json" };
  tried("preflight", () => text(at, { method: "POST", headers, body: command("preflight") }));
  tried("preflight", () => text(`${at}/dev/faults`, { method: "DELETE" }));
  tried("preflight", () => text(`${queue}/dev/clock`, { method: "POST", headers, body: '{"frozen": true, "at": 1}' }));

  const element = (way, name, attributes, loaded) => tried(way, () => new Promise((end) => {
    const made = Object.assign(document.createElement(name), attributes);
    made.onload = made.onerror = () => { let told = ""; try { told = loaded?.(made) ?? ""; } catch {} end(told); };
    document.body.append(made);
  }));
  element("image", "img", { src: set("image") });
  element("script", "script", { src: set("script") });
  element("style", "link", { rel: "stylesheet", href: set("style") });
  element("frame", "iframe", { src: set("frame") });
  for (const url of [`${at}/dev/state`, `${at}/dev/`, `${at}/get/secret?_token=${token}`]) {
    element("frame", "iframe", { src: url }, (frame) => frame.contentDocument?.body?.innerText ?? "");
    element("script", "script", { src: url }, () => "");
  }
  const submitted = (way, action, value) => tried(way, () => new Promise((end) => {
    const frame = document.createElement("iframe");
    frame.name = `of-${way}`;
    document.body.append(frame);
    frame.onload = () => end("");
    const form = Object.assign(document.createElement("form"), { action, method: "post", target: frame.name });
    form.enctype = "text/plain";
    const [name, rest] = value;
    form.append(Object.assign(document.createElement("input"), { name, value: rest }));
    document.body.append(form);
    form.submit();
  }));
  submitted("form", `${at}/?_token=${token}`, ['["SET","evil-form","', '1"]']);
  const told = '{"kind": "delay", "probability": 0, "path": "/evil-form", "command": "';
  submitted("form-fault", `${at}/dev/faults`, [told, '"}']);
  submitted("form-publish", publish("form"), ["{", "}"]);
  tried("link", () => new Promise((end) => {
    const frame = Object.assign(document.createElement("iframe"), { name: "of-link" });
    document.body.append(frame);
    frame.onload = () => end("");
    const link = Object.assign(document.createElement("a"), { href: set("link"), target: "of-link" });
    document.body.append(link);
    link.click();
  }));
  for (const path of [`/subscribe/secret?_token=${token}`, `/monitor?_token=${token}`]) {
    tried("events", () => new Promise((end) => {
      const source = new EventSource(at + path);
      source.onmessage = (event) => { source.close(); end(event.data); };
      source.onerror = () => { source.close(); end(""); };
    }));
  }
  tried("socket", () => new Promise((end) => {
    const socket = new WebSocket(set("socket").replace("http", "ws"));
    socket.onopen = () => end("it opened");
    socket.onerror = () => end("");
  }));
  await Promise.all(done);
  return read;
}
"""


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of the attacker's own server."""
    folder = tmp_path_factory.mktemp("elsewhere")
    (folder / "index.html").write_text("<!doctype html><title>Kittens</title><body>")
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def browser(playwright: Playwright) -> Iterator[Browser]:
    """A browser to whom the attacker's names are names of this machine, and that leaves it to servers to be careful.

    Today's Chromium asks its user before a page from the network reaches this machine; not all browsers do.
    """
    rules = f"--host-resolver-rules=MAP {EVIL} 127.0.0.1, MAP {REBOUND} 127.0.0.1"
    browser = playwright.chromium.launch(executable_path=chromium(), args=[*ARGUMENTS, rules, PLAIN])
    yield browser
    browser.close()


@contextmanager
def serving() -> Iterator[LocalUpstash]:
    with LocalUpstash() as upstash:
        command(upstash, "SET", "secret", SECRET)
        yield upstash


@pytest.fixture(scope="module")
def upstash() -> Iterator[LocalUpstash]:
    with serving() as upstash:
        yield upstash


@pytest.fixture(scope="module")
def unguarded() -> Iterator[LocalUpstash]:
    """One that looks at neither Host nor Origin."""

    @web.middleware
    async def anybody(request: web.Request, handler: Any) -> web.StreamResponse:
        answer: web.StreamResponse = await handler(request)
        return answer

    with pytest.MonkeyPatch.context() as patch:
        for module in (redis_app, routes, kafka_app):
            patch.setattr(module, "guard", anybody)
        with serving() as upstash:
            yield upstash


def command(upstash: LocalUpstash, *words: str) -> Any:
    headers = {"Authorization": f"Bearer {upstash.redis_token}"}
    return httpx.post(upstash.redis_url, json=words, headers=headers).json()["result"]


def written(upstash: LocalUpstash) -> set[str]:
    """What an attack has left behind: its keys, its faults, its messages."""
    upstash.run(upstash.qstash.idle())
    state = httpx.get(f"{upstash.redis_url}/dev/state").json()
    found = {f"key {each}" for each in command(upstash, "KEYS", "evil*")}
    found |= {f"fault {each.get('path')}" for each in state["faults"]}
    letters = [*state["messages"], *state["dead_letters"]]
    found |= {f"message {urlsplit(each['url']).path}" for each in letters}
    return found | ({"the clock"} if state["now"] == 1 else set())


def attack(page: Page, upstash: LocalUpstash, host: str) -> list[str]:
    """Try everything from the page that is open; what it could read."""
    addresses = [url.replace("127.0.0.1", host) for url in (upstash.redis_url, upstash.qstash_url)]
    known = {"at": addresses[0], "queue": addresses[1], "token": quote(upstash.redis_token)}
    read = page.evaluate(ATTACK, {**known, "secret": upstash.environment()["QSTASH_TOKEN"]})
    return list(read)


def opened(browser: Browser, url: str) -> Page:
    page = browser.new_page()
    page.goto(url)
    return page


def rebound(browser: Browser, upstash: LocalUpstash, half: str) -> Page:
    """A page that came from its own server, whose name is this machine's from now on: of the same origin as it."""
    page = browser.new_page()
    port = urlsplit(upstash.redis_url if half == "redis" else upstash.qstash_url).port
    start = f"http://{REBOUND}:{port}/kittens"
    page.route(start, lambda route: route.fulfill(body="<!doctype html><body>", content_type="text/html"))
    page.goto(start)
    return page


def test_a_page_of_another_site_writes_nothing_and_reads_nothing(
    browser: Browser, upstash: LocalUpstash, elsewhere: int
) -> None:
    for host in ("127.0.0.1", "localhost"):
        page = opened(browser, f"http://{EVIL}:{elsewhere}/")
        assert attack(page, upstash, host) == []
        page.close()
    assert written(upstash) == set()


@pytest.mark.parametrize("half", ["redis", "qstash"])
def test_a_page_whose_name_was_pointed_here_writes_nothing_and_reads_nothing_but_refusals(
    half: str, browser: Browser, upstash: LocalUpstash
) -> None:
    """It reads what its own origin answers: that this server answers to names of this machine only."""
    page = rebound(browser, upstash, half)
    read = attack(page, upstash, REBOUND)
    assert read, "it is of one origin with it, for the browser"
    assert [each for each in read if "names of this machine" not in each] == []
    assert written(upstash) == set()
    page.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_another_page_of_this_machine_uses_nothing_below_dev(
    host: str, browser: Browser, upstash: LocalUpstash, elsewhere: int
) -> None:
    """The API it may use: it is an app under development, with its token."""
    page = opened(browser, f"http://{host}:{elsewhere}/")
    read = page.evaluate(
        """async (urls) => {
          const read = [];
          for (const url of urls)
            for (const options of [{}, { mode: "no-cors" }, { method: "POST", body: '{"kind": "quota"}' },
                { method: "POST", mode: "no-cors", body: '{"kind": "quota"}' }, { method: "DELETE" }])
              try { read.push(await (await fetch(url, options)).text()); } catch {}
          return read.filter(Boolean);
        }""",
        [f"{url}{path}" for url in (upstash.redis_url, upstash.qstash_url) for path in ("/dev/state", "/dev/faults")],
    )
    assert read == []
    assert written(upstash) == set()
    page.close()


# --- its own page


@pytest.fixture
def own() -> Iterator[LocalUpstash]:
    with LocalUpstash(kafka=True) as upstash:
        fill(upstash)
        yield upstash


def fill(upstash: LocalUpstash) -> None:
    """Hostile names and contents wherever the page shows some."""
    token = upstash.environment()["QSTASH_TOKEN"]
    headers = {"Authorization": f"Bearer {token}", "Upstash-Retries": "0", "X-Dev-Caller": HOSTILE}
    answering = HostileApp()
    with answering as url:
        for place in (f"{url}/{HOSTILE}", "http://127.0.0.1:9/'onmouseover='pwned()"):
            for delay in ({}, {"Upstash-Delay": "1h"}):
                where = f"{upstash.qstash_url}/v2/publish/{quote(place, safe=':/')}"
                httpx.post(where, headers=headers | delay, content=b"{}").raise_for_status()
        upstash.run(upstash.qstash.idle())
    upstash.kafka.create_topic("todo")
    record = {"key": HOSTILE, "value": HOSTILE}
    login = (upstash.kafka.username, upstash.kafka.password)
    httpx.post(f"{upstash.kafka.url}/produce/todo", json=record, auth=login).raise_for_status()
    for each in ({"path": HOSTILE}, {"command": HOSTILE}):
        fault = {"kind": "quota", "probability": 0, **each}
        httpx.post(f"{upstash.redis_url}/dev/faults", json=fault).raise_for_status()
    command_of = {"Authorization": f"Bearer {upstash.redis_token}~{quote(HOSTILE)}"}
    httpx.post(upstash.redis_url, json=[HOSTILE, "x"], headers=command_of)


class HostileApp:
    """A destination whose answers are markup."""

    def __enter__(self) -> str:
        class Handler(Quiet):
            def do_POST(self) -> None:
                self.send_response(500)
                self.end_headers()
                self.wfile.write(HOSTILE.encode())

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


def looked_at(browser: Browser, upstash: LocalUpstash, page_text: str | None = None) -> tuple[int, str]:
    """How often a script of others ran on the page, and the page's text."""
    ran: list[object] = []
    page = browser.new_page()
    page.expose_function("pwned", lambda: ran.append(1))
    if page_text is not None:
        page.route(f"{upstash.redis_url}/dev/", lambda route: with_text(route, page_text))
    page.goto(f"{upstash.redis_url}/dev/")
    page.locator("#records td").first.wait_for(state="attached")
    page.locator("#dead td").first.wait_for(state="attached")
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")
    page.evaluate("() => window.pwned && fetch('/dev/state').then((answer) => answer.text())")  # behind what it began
    text = page.locator("body").inner_text()
    strange = page.locator("td :is(img, svg, script)").count()
    page.close()
    return len(ran) + strange, text


def with_text(route: Route, text: str) -> None:
    route.fulfill(body=text, content_type="text/html")


def test_names_and_contents_of_others_are_text_on_the_page(browser: Browser, own: LocalUpstash) -> None:
    ran, text = looked_at(browser, own)
    assert ran == 0
    assert text.count(HOSTILE) >= 4, "key and value, a fault, an answer"


def test_where_they_were_markup_it_would_be_seen(browser: Browser, own: LocalUpstash) -> None:
    page = (Path(redis_app.__file__).parents[1] / "page.html").read_text()
    careless = page.replace("made.textContent = content", "made.innerHTML = content")
    assert careless != page
    assert looked_at(browser, own, careless)[0] > 0


# --- guards: without the look at Host and Origin the attacks succeed


def test_without_the_guard_a_page_of_another_site_writes(
    browser: Browser, unguarded: LocalUpstash, elsewhere: int
) -> None:
    page = opened(browser, f"http://{EVIL}:{elsewhere}/")
    attack(page, unguarded, "127.0.0.1")
    page.close()
    simple = ("cors-include", "cors-omit", "no-cors-include", "no-cors-omit", "form")
    elements = ("image", "script", "style", "frame", "link", "beacon")
    wanted = {f"key evil-{way}" for way in (*simple, *elements)}
    wanted |= {f"{what} /evil-{way}" for what in ("fault", "message") for way in simple}
    assert wanted - written(unguarded) == set()


def test_without_the_guard_a_name_that_was_pointed_here_reads(browser: Browser, unguarded: LocalUpstash) -> None:
    page = rebound(browser, unguarded, "redis")
    read = attack(page, unguarded, REBOUND)
    page.close()
    assert any(SECRET in each for each in read), read
    assert {each.partition(":")[0] for each in read} >= {"cors-include", "no-cors-omit", "frame", "events", "preflight"}
    assert "the clock" in written(unguarded) or "key evil-preflight" in written(unguarded)
