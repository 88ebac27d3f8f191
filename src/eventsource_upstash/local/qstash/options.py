"""What the headers of a publish say, checked as the service checks them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

from .errors import ApiError
from .expressions import evaluate
from .records import FlowControl, Options

__all__ = ["check_name", "check_url", "duration", "parse_options", "title_case"]

METHODS: Final = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"})
MAX_PERIOD: Final = 7 * 86_400

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_DURATION: Final = re.compile(r"(?:\d+[smhd])+\Z")
_PART: Final = re.compile(r"(\d+)([smhd])")
_NAME: Final = re.compile(r"[A-Za-z0-9._-]+\Z")

CALLBACK: Final = "upstash-callback-"
FAILURE_CALLBACK: Final = "upstash-failure-callback-"
FORWARD: Final = "upstash-forward-"


def parse_options(headers: Iterable[tuple[str, str]], base: Options | None = None) -> Options:
    """What the headers ask for.

    Args:
        headers: Names and values, as they came.
        base: What holds where the headers are silent: that of a message that is retried by hand.

    Raises:
        ApiError: 400, naming the header that makes no sense.
    """
    pairs = [(name.lower(), value.strip()) for name, value in headers]
    asked = dict(pairs)
    options = base or Options()
    forwarded = [
        (title_case(name.removeprefix(FORWARD)), value) for name, value in pairs if name.startswith(FORWARD) and value
    ]
    if base is None and asked.get("content-type"):
        forwarded = [(name, value) for name, value in forwarded if name != "Content-Type"]
        forwarded.insert(0, ("Content-Type", asked["content-type"]))
    overridden = {name for name, _ in forwarded}
    options.headers = [pair for pair in options.headers if pair[0] not in overridden] + forwarded

    if (method := asked.get("upstash-method")) is not None:
        options.method = _method(method)
    if (retries := asked.get("upstash-retries")) is not None:
        options.retries = _whole("Upstash-Retries", retries)
    if expression := asked.get("upstash-retry-delay"):
        evaluate(expression, 0)
        options.retry_delay = expression
    if timeout := asked.get("upstash-timeout"):
        options.timeout = duration("Upstash-Timeout", timeout) * 1000
    if delay := asked.get("upstash-delay"):
        options.delay = duration("Upstash-Delay", delay) * 1000
    if not_before := asked.get("upstash-not-before"):
        options.not_before = _whole("Upstash-Not-Before", not_before) * 1000
    if label := asked.get("upstash-label"):
        options.labels = [check_name("label", part.strip()) for part in label.split(",")]
    if redact := asked.get("upstash-redact-fields"):
        options.redact = [_redaction(part.strip()) for part in redact.split(",")]
    if flow := _flow(asked):
        options.flow = flow
    if deduplication_id := asked.get("upstash-deduplication-id"):
        if ":" in deduplication_id:
            raise ApiError(400, "deduplication id cannot contain ':'")
        options.deduplication_id = deduplication_id
    options.content_based = asked.get("upstash-content-based-deduplication", "").lower() == "true"

    if callback := asked.get("upstash-callback"):
        options.callback = check_url(callback, "callback url")
    if failure_callback := asked.get("upstash-failure-callback"):
        options.failure_callback = check_url(failure_callback, "failure callback url")
    for prefix, into in (
        (CALLBACK, options.callback_headers),
        (FAILURE_CALLBACK, options.failure_callback_headers),
    ):
        given = {name.removeprefix(prefix): value for name, value in pairs if name.startswith(prefix)}
        # A callback has no callbacks of its own.
        into.update((name, value) for name, value in given.items() if not name.startswith(("callback", "failure")))
        # What a callback will be sent with must not turn out to be nonsense when it is sent.
        if into:
            callback_options(into, Options())
    return options


def callback_options(headers: dict[str, str], original: Options) -> Options:
    """How a callback is to be delivered: as its headers say, with the retries of the original message.

    Args:
        headers: What came with the prefix of callbacks, without it.
        original: That of the message.
    """
    options = parse_options(((f"upstash-{name}", value) for name, value in headers.items()))
    if "retries" not in headers:
        options.retries = original.retries
    options.callback = options.failure_callback = None
    options.deduplication_id, options.content_based = None, False
    return options


def duration(name: str, value: str) -> int:
    """Seconds of a duration as in `1d10h30m`.

    Raises:
        ApiError: 400, it is none.
    """
    if not _DURATION.match(value):
        raise ApiError(400, f"invalid {name} {value!r}: it is a number and a unit, as in 10s, 5m, 2h or 1d10h30m")
    return sum(int(number) * _UNITS[unit] for number, unit in _PART.findall(value))


def check_name(what: str, name: str) -> str:
    """The name, if it may be one: of a queue, schedule, URL group, label or flow control key.

    Raises:
        ApiError: 400, it may not.
    """
    if not _NAME.match(name):
        raise ApiError(
            400, f"invalid {what} {name!r}: it must only contain alphanumeric, hyphen, period, or underscore"
        )
    return name


def check_url(url: str, what: str = "destination url") -> str:
    """The URL, if something can be sent there.

    Raises:
        ApiError: 400, it cannot.
    """
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as problem:
        raise ApiError(400, f"invalid {what}: {problem}") from problem
    if parts.scheme not in {"http", "https"}:
        raise ApiError(400, f'invalid {what}: endpoint has invalid scheme, add "http://" or "https://" in front of it')
    if not parts.hostname:
        raise ApiError(400, f"invalid {what}: endpoint has no host")
    return url


def title_case(name: str) -> str:
    """A header's name as the service writes it: `Content-Type`."""
    return "-".join(part.capitalize() for part in name.split("-"))


def flow_control(key: str, value: str) -> FlowControl:
    """What `parallelism=2, rate=10, period=1m` asks for, in any order.

    Raises:
        ApiError: 400, it asks for nothing, or for nonsense.
    """
    check_name("flow control key", key)
    asked: dict[str, str] = {}
    for part in value.split(","):
        name, equals, number = part.partition("=")
        if not equals or name.strip().lower() not in {"parallelism", "rate", "period"}:
            raise ApiError(400, f"invalid flow control value {value!r}: it is as in parallelism=2, rate=10, period=1m")
        asked[name.strip().lower()] = number.strip()
    if not asked.keys() & {"parallelism", "rate"}:
        raise ApiError(400, "invalid flow control value: parallelism or rate is required")
    period = asked.get("period", "1")
    seconds = int(period) if period.isdecimal() else duration("flow control period", period)
    if not 1 <= seconds <= MAX_PERIOD:
        raise ApiError(400, "invalid flow control period: it is between 1 second and 7 days")
    return FlowControl(
        key,
        parallelism=_positive("parallelism", asked["parallelism"]) if "parallelism" in asked else None,
        rate=_positive("rate", asked["rate"]) if "rate" in asked else None,
        period=seconds,
    )


def _flow(asked: dict[str, str]) -> FlowControl | None:
    key, value = asked.get("upstash-flow-control-key"), asked.get("upstash-flow-control-value")
    if not key and not value:
        return None
    if not key or not value:
        raise ApiError(400, "Upstash-Flow-Control-Key and Upstash-Flow-Control-Value go together")
    return flow_control(key, value)


def _method(method: str) -> str:
    if method.upper() not in METHODS:
        raise ApiError(400, f"invalid method {method!r}: it is one of {', '.join(sorted(METHODS))}")
    return method.upper()


def _redaction(part: str) -> str:
    name = part.lower()
    if name in {"body", "header", "headers"} or re.fullmatch(r"header\[[^\[\]]+\]", name):
        return "headers" if name == "header" else name
    raise ApiError(400, f"invalid Upstash-Redact-Fields {part!r}: it is body, headers or header[name]")


def _whole(name: str, value: str) -> int:
    if not value.isdecimal() or len(value) > 15:
        raise ApiError(400, f"invalid {name} {value!r}: it is a whole number, 0 or more")
    return int(value)


def _positive(name: str, value: str) -> int:
    number = _whole(name, value)
    if number < 1:
        raise ApiError(400, f"invalid flow control {name}: it is 1 or more")
    return number
