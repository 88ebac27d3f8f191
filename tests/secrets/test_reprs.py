"""No class of the package shows a secret in its `repr`, `str` or in a log line, and no error in its text.

The classes are found, not listed: a new one is built with secrets in every parameter that is meant for one, and the
test says so where it cannot be built. What content is (a destination of a message, an event) is content.
"""

from __future__ import annotations

import importlib
import logging
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import eventsource_upstash
from eventsource_upstash import NativeTopic, RestTopic, TrustedProxies
from tests import canary
from tests.canary import secret
from tests.secrets.building import FORMS, HOST, Builder, Unbuildable, classes, sensitive

BY_HAND: Mapping[str, Callable[[], Any]] = {
    "NativeTopic": lambda: NativeTopic("127.0.0.1:9", "todo", username="ada", password=secret("password")),
    "RestTopic": lambda: RestTopic(FORMS[-1], "todo", username="ada", password=secret("password"), partitions=1),
    "TrustedProxies": lambda: TrustedProxies(1),
}
"""What takes more than the kinds of its parameters tell."""

MESSAGES = ("Message", "Send", "Schedule", "Claimed", "Buried", "Letter")
"""Those that show a destination whole: it is what they are about."""

PATHS = ("QStash", "Receiver", "Environment", "Request")
"""Those that show the path of a URL, and no more of it."""

OTHERS = {
    "eventsource_upstash.local.qstash.": "of the local server, which shows none: tests/attacks/test_local_pages.py",
    "eventsource_upstash.local.kafka.answering.Call": "likewise",
    "eventsource_upstash.backends.redis.sync_tokens.Sending": "this token names a state of the database",
    "eventsource_upstash.web.endpoint.Response": "an answer is for whoever asked, and its headers are the library's",
    "eventsource_upstash.web.view_asgi.AsyncStreaming": "likewise",
    "eventsource_upstash.web.view_endpoint.Streaming": "likewise",
}
"""Those that may show what they hold, and why."""

CLASSES = classes()
BUILDER = Builder(CLASSES, BY_HAND)


def shown(value: object) -> Iterator[str]:
    """A value as it gets into messages, log lines and reports."""
    yield f"{value!r} {value!s} {value} {value!a} {[value]} { {'of': value} }"
    yield logging.LogRecord("x", logging.INFO, "", 0, "about %s, which is %r", (value, value), None).getMessage()
    if isinstance(value, BaseException):
        yield "".join(traceback.format_exception(value))


def leak(cls: type, value: object) -> str:
    """What of a value shows a secret."""
    text = " ".join(shown(value))
    if cls.__name__ in MESSAGES:
        for form in FORMS:
            text = text.replace(form, "")
    if cls.__name__ in PATHS:
        text = text.replace(f"{HOST}/p/{secret('path')}", "")
    return canary.find(text)


def exempt(cls: type) -> bool:
    return f"{cls.__module__}.{cls.__qualname__}".startswith(tuple(OTHERS))


def look(cls: type) -> tuple[str, bool]:
    """What a class shows, and whether it could be built."""
    try:
        built = BUILDER.build(cls)
    except Unbuildable as error:
        if sensitive(cls):
            pytest.fail(f"{cls.__name__} takes a secret, and is not looked at: add it to BY_HAND ({error})")
        return "", False
    try:
        return leak(cls, built), True
    except AttributeError:  # its `repr` needs more than what stands for its parts
        assert not sensitive(cls)
        return "", False


@pytest.mark.parametrize("room", sorted({each.__module__.split(".")[1] for each in CLASSES}))
def test_no_instance_shows_a_secret(room: str) -> None:
    found: dict[str, str] = {}
    for cls in CLASSES:
        if cls.__module__.split(".")[1] == room and not exempt(cls):
            told, _ = look(cls)
            if told:
                found[f"{cls.__module__}.{cls.__qualname__}"] = told
    assert found == {}


def test_nearly_all_are_built_and_what_is_public_is_found() -> None:
    built = {cls for cls in CLASSES if not exempt(cls) and look(cls)[1]}
    assert len(built) > 500
    everything = (getattr(eventsource_upstash, name) for name in eventsource_upstash.__all__)
    public = {each for each in everything if isinstance(each, type)}
    assert {each.__name__ for each in public - set(CLASSES)} == set()
    assert sum(bool(sensitive(cls)) for cls in built) > 40


def test_what_is_left_out_is_there() -> None:
    names = {f"{cls.__module__}.{cls.__qualname__}" for cls in CLASSES}
    assert [each for each in OTHERS if not any(name.startswith(each) for name in names)] == []
    assert set(BY_HAND) | set(MESSAGES) | set(PATHS) <= {cls.__qualname__ for cls in CLASSES}


# --- guards: a class that is new


@dataclass
class Careless:
    api_token: str


@dataclass
class Pointing:
    webhook_url: str


class Reporting(Exception):
    def __init__(self, password: str) -> None:
        super().__init__(f"{password} is wrong")


@dataclass
class Deep:
    inner: Careless


class Unheard:
    def __init__(self, secret: str) -> None:
        raise ValueError("no")


@pytest.mark.parametrize("cls", [Careless, Pointing, Reporting, Deep])
def test_a_new_class_that_shows_one_is_found(cls: type) -> None:
    builder = Builder([*CLASSES, Careless], BY_HAND)
    assert "[A SECRET]" in leak(cls, builder.build(cls))


def test_a_new_class_that_cannot_be_built_is_told() -> None:
    with pytest.raises(pytest.fail.Exception, match="Unheard takes a secret, and is not looked at"):
        look(Unheard)


def test_a_new_class_of_a_new_module_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "brand_new").mkdir()
    (tmp_path / "brand_new" / "__init__.py").write_text("")
    (tmp_path / "brand_new" / "inner.py").write_text("class Brandnew:\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert [each.__name__ for each in classes(importlib.import_module("brand_new"))] == ["Brandnew"]
