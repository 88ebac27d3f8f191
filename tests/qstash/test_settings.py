"""What QStash is configured by: each argument and variable is checked, and all that is wrong is said at once."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, cast

import pytest

from eventsource_upstash import Misuse
from eventsource_upstash.backends.qstash import Delivery, QStash, Receiver, TrustedProxies
from tests.qstash.carrier import TOKEN

URL = "https://app.example.com/projections"
FULL = {
    "QSTASH_TOKEN": TOKEN,
    "QSTASH_URL": "https://qstash-us-east-1.upstash.io",
    "QSTASH_CURRENT_SIGNING_KEY": "sig_a",
    "QSTASH_NEXT_SIGNING_KEY": "sig_b",
    "EVENTSOURCE_NOTIFY_URL": URL,
    "EVENTSOURCE_NAMESPACE": "todo",
}


@pytest.mark.parametrize(
    "destination",
    [
        "",
        "two words",
        "a/b",
        "ftp://app.example.com/",
        "https://",
        "https:///path",
        "https://app.example.com/projections#part",
        "https://user:password@app.example.com/",
        "https://app.example.com/späti",
        "https://app.example.com/a b",
        "https://app.example.com:port/",
        "https://app.example.com/\n",
        "HTTPS://app.example.com/",
        "group\n",
        None,
        7,
    ],
)
def test_no_destination(destination: str) -> None:
    with pytest.raises(Misuse, match="destination") as misuse:
        QStash(destination, token=TOKEN)
    assert "password" not in str(misuse.value).replace("user or password", "")


@pytest.mark.parametrize(
    "destination",
    [
        "https://a.example",
        "http://127.0.0.1:3000/x?y=z",
        "https://[::1]:8443/",
        "https://a.example/%C3%A4?b=c%20d",
        "my.group_1-x",
    ],
)
def test_destinations(destination: str) -> None:
    assert QStash(destination, token=TOKEN).destination == destination


@pytest.mark.parametrize(
    "token", [None, "", " ", "a b", "Bearer abc", "bearer abc", '"abc"', "'abc'", "abc\n", "tökén", 7]
)
def test_no_token(token: str) -> None:
    with pytest.raises(Misuse, match="token") as misuse:
        QStash(URL, token=token)
    assert "abc" not in str(misuse.value)


@pytest.mark.parametrize(
    ("current", "following"), [("sig_a", None), (None, "sig_b"), ("sig_a", ""), ("", "sig_b"), ("a b", "c d")]
)
def test_no_pair_of_keys(current: str | None, following: str | None) -> None:
    with pytest.raises(Misuse, match="signing_key"):
        QStash(URL, token=TOKEN, current_signing_key=current, next_signing_key=following)


@pytest.mark.parametrize("namespace", ["", "-a", "a:b", "a b", "ä", "a" * 65, None, "a\n"])
def test_no_namespace(namespace: str) -> None:
    with pytest.raises(Misuse, match="namespace has 1 to 64"):
        QStash(URL, token=TOKEN, namespace=namespace)


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf"), True, "1", None])
def test_no_timeout(timeout: float) -> None:
    with pytest.raises(Misuse, match="timeout="):
        QStash(URL, token=TOKEN, timeout=timeout)


@pytest.mark.parametrize(
    "delivery",
    [
        Delivery(parallelism=0),
        Delivery(parallelism=True),
        Delivery(retries=-1),
        Delivery(retries=101),
        Delivery(retry_delay=""),
        Delivery(retry_delay="1\n2"),
        Delivery(timeout=0),
        Delivery(timeout=10**9),
        Delivery(label="a:b"),
        Delivery(label=""),
    ],
)
def test_no_delivery(delivery: Delivery) -> None:
    with pytest.raises(Misuse):
        QStash(URL, token=TOKEN, delivery=delivery)


def test_all_at_once() -> None:
    with pytest.raises(Misuse) as misuse:
        QStash("", token="", url="x", namespace="", timeout=0, current_signing_key="a", delivery=Delivery(retries=-1))
    for name in ("destination", "token", "url", "namespace", "timeout", "next_signing_key", "retries"):
        assert name in str(misuse.value)


def test_a_receiver_needs_keys() -> None:
    with pytest.raises(Misuse, match=r"QSTASH_CURRENT_SIGNING_KEY.*QSTASH_NEXT_SIGNING_KEY"):
        QStash(URL, token=TOKEN).receiver()


@pytest.mark.parametrize(
    "make",
    [
        lambda: Receiver("", ""),
        lambda: Receiver("a", ""),
        lambda: Receiver("a", "b", url="x"),
        lambda: Receiver("a", "b", url=URL, proxies=TrustedProxies()),
        lambda: Receiver("a", "b", leeway=-1),
        lambda: Receiver("a", "b", leeway=601),
        lambda: Receiver("a", "b", leeway=float("nan")),
        lambda: Receiver("a", "b", regions={"US_EAST_1": ("", "")}),
        lambda: Receiver("a", "b", regions={"US_EAST_1": cast("Any", None)}),
        lambda: Receiver("a", "b", regions={"US_EAST_1": cast("Any", ("a", "b", "c"))}),
        lambda: Receiver("a", "b", regions={"US EAST": ("a", "b")}),
        lambda: QStash(URL, token="t", regions={"US_EAST_1": cast("Any", "ab")}),
        lambda: QStash(URL, token="t", delivery=cast("Any", {"retries": 1})),
        lambda: TrustedProxies(0),
        lambda: TrustedProxies(True),
        lambda: TrustedProxies(21),
        lambda: TrustedProxies(header="via"),
    ],
)
def test_what_cannot_be_made(make: Callable[[], object]) -> None:
    with pytest.raises(Misuse):
        make()


def test_from_the_environment() -> None:
    transport = QStash.from_env(environ=FULL)
    assert (transport.destination, transport.url, transport.namespace) == (URL, FULL["QSTASH_URL"], "todo")
    assert transport.token == TOKEN
    assert repr(transport.receiver()) == f"Receiver(url={URL!r})"


def test_from_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in FULL.items():
        monkeypatch.setenv(name, value)
    assert QStash.from_env("group").destination == "group"


def test_the_default_url() -> None:
    environ = {"QSTASH_TOKEN": TOKEN, "QSTASH_TOPIC": "group"}
    transport = QStash.from_env(environ=environ, namespace="other")
    assert (transport.url, transport.destination, transport.namespace) == (
        "https://qstash.upstash.io",
        "group",
        "other",
    )


def test_an_empty_environment_names_all_that_is_missing() -> None:
    with pytest.raises(Misuse) as misuse:
        QStash.from_env(environ={"QSTASH_TOKEN": "", "QSTASH_URL": ""})
    assert re.findall(r"[A-Z_]{6,}", str(misuse.value)) == ["QSTASH_TOKEN", "EVENTSOURCE_NOTIFY_URL", "QSTASH_TOPIC"]


def test_a_broken_environment_names_all_that_is_wrong() -> None:
    environ = {
        "QSTASH_REGION": "mars",
        "QSTASH_TOKEN": "a b",
        "QSTASH_URL": "qstash.upstash.io",
        "QSTASH_CURRENT_SIGNING_KEY": "c d",
        "US_EAST_1_QSTASH_NEXT_SIGNING_KEY": "sig_hidden",
        "QSTASH_TOPIC": "group",
        "EVENTSOURCE_NOTIFY_URL": "ftp://x",
        "EVENTSOURCE_NAMESPACE": "a:b",
    }
    with pytest.raises(Misuse) as misuse:
        QStash.from_env(environ=environ)
    message = str(misuse.value)
    for name in (*environ, "US_EAST_1_QSTASH_CURRENT_SIGNING_KEY", "QSTASH_NEXT_SIGNING_KEY"):
        assert name in message
    for value in ("a b", "c d", "sig_hidden"):
        assert value not in message


REGIONAL = {
    "QSTASH_REGION": "us-east-1",
    "US_EAST_1_QSTASH_TOKEN": "us-token",
    "US_EAST_1_QSTASH_URL": "https://qstash-us-east-1.upstash.io",
    "US_EAST_1_QSTASH_CURRENT_SIGNING_KEY": "us-current",
    "US_EAST_1_QSTASH_NEXT_SIGNING_KEY": "us-next",
    "EU_CENTRAL_1_QSTASH_CURRENT_SIGNING_KEY": "eu-current",
    "EU_CENTRAL_1_QSTASH_NEXT_SIGNING_KEY": "eu-next",
    "QSTASH_TOKEN": "default-token",
    "QSTASH_TOPIC": "group",
}


def test_the_region_named_publishes_and_all_regions_are_verified() -> None:
    transport = QStash.from_env(environ=REGIONAL)
    assert (transport.token, transport.url) == ("us-token", "https://qstash-us-east-1.upstash.io")
    assert set(transport.receiver().keys) == {"US_EAST_1", "EU_CENTRAL_1"}


def test_a_region_without_its_variables() -> None:
    environ = {"QSTASH_REGION": "EU_CENTRAL_1", "QSTASH_TOKEN": TOKEN, "QSTASH_TOPIC": "group"}
    with pytest.raises(Misuse, match=r"EU_CENTRAL_1_QSTASH_TOKEN.*EU_CENTRAL_1_QSTASH_URL"):
        QStash.from_env(environ=environ)
