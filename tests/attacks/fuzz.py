"""What reads bytes from outside, under a coverage-guided fuzzer: `python -m tests.attacks.fuzz TARGET [SECONDS]`.

    pip install atheris
    python -m tests.attacks.fuzz receiver 300

A run prints what libFuzzer prints, and ends with an error at the first input that raises what it must not raise. Such
an input becomes a test. Without atheris, `tests/attacks/test_fuzz.py` gives each target what Hypothesis makes up.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from eventsource_upstash import EventSourceError, Memory, Registry, connect
from eventsource_upstash.backends.kafka.records import Records
from eventsource_upstash.backends.kafka.topic import Record
from eventsource_upstash.backends.qstash import Receiver, TrustedProxies
from eventsource_upstash.backends.redis import entries, records, replies
from eventsource_upstash.backends.redis.documents import read_entries
from eventsource_upstash.domain.codec import Codec, check_depth, decode_metadata, decode_tags
from eventsource_upstash.domain.positions import Vector, read_position
from eventsource_upstash.domain.projections import ProjectionId
from eventsource_upstash.errors import Misuse
from eventsource_upstash.ports import Unverified
from eventsource_upstash.web import Endpoint, Request, not_modified
from eventsource_upstash.web.feed import place_of
from eventsource_upstash.web.paths import key_of, path_and_query
from tests.qstash.signing import CURRENT, NEXT, URL, base64url, signed


@dataclass(frozen=True)
class Held:
    text: str = ""
    number: int = 0
    share: float = 0.0
    anything: Any = None
    held: dict[str, list[int]] = field(default_factory=dict)


CODEC: Final = Codec(Held, "event type 'held'")
RECEIVER: Final = Receiver(CURRENT, NEXT, url=URL)
PROXIED: Final = (
    Receiver(CURRENT, NEXT, proxies=TrustedProxies(header="forwarded")),
    Receiver(CURRENT, NEXT, proxies=TrustedProxies(2)),
)
ENDPOINT: Final = Endpoint(connect(Memory(), Registry()))


def receiver(data: bytes) -> None:
    """A token of the attacker's, and headers that say where it was sent to."""
    text = data.decode("latin-1")
    for value in (text, ".".join(map(base64url, (b'{"alg":"HS256"}', data, data)))):
        try:
            RECEIVER.verify({"upstash-signature": value, "upstash-region": text}, data, text)
        except Unverified:
            continue
        raise AssertionError("accepted")


def claims(data: bytes) -> None:
    """Claims and a header that are signed, whatever they hold: nothing but a refusal, or the right URL and body."""
    import hashlib
    import hmac

    split = data.find(b"\0")
    header, payload = (data[:split], data[split + 1 :]) if split >= 0 else (b'{"alg":"HS256"}', data)
    unsigned = f"{base64url(header)}.{base64url(payload)}"
    token = f"{unsigned}.{base64url(hmac.new(CURRENT.encode(), unsigned.encode(), hashlib.sha256).digest())}"
    try:
        RECEIVER.verify({"upstash-signature": token}, b"", URL)
    except Unverified:
        return
    assert URL.encode() in payload


def proxies(data: bytes) -> None:
    """What a proxy says, or who pretends to be one."""
    text = data.decode("latin-1")
    for by in PROXIED:
        try:
            by.verify({**signed(), "forwarded": text, "x-forwarded-host": text, "x-forwarded-proto": text}, b"", URL)
        except Unverified:
            continue
        raise AssertionError("accepted")


def endpoint(data: bytes) -> None:
    """The body of a notification that nobody verifies."""
    answer = ENDPOINT.handle(Request("POST", URL, {}, data))
    assert answer.status in (200, 413, 489, 500)


def positions(data: bytes) -> None:
    """`at_least`, `Last-Event-ID`, `If-None-Match`, paths."""
    text = data.decode("latin-1")
    try:
        position = read_position(text)
    except Misuse:
        pass
    else:
        assert position >= 0
        assert read_position(str(position)) == position
        assert not isinstance(position, Vector) or len(position.places) <= 8192
    try:
        place = place_of(text)
    except Misuse:
        pass
    else:
        assert place_of(str(place)) == place
    path, query = path_and_query(text)
    assert path in text
    assert query in text
    key_of(path, "/x", "/players")
    not_modified(text, "1")


def codec(data: bytes) -> None:
    """What is stored, as it is read."""
    for decode in (CODEC.decode, decode_metadata, decode_tags):
        try:
            found = decode(data)
        except (ValueError, RecursionError):  # msgspec's own are of these, and the flow names what does not decode
            continue
        if isinstance(found, Held):
            try:
                again = CODEC.decode(CODEC.encode_checked(found))
            except EventSourceError:
                continue
            assert again == found
    try:
        check_depth(data)
    except ValueError as error:
        assert "nested" in str(error)  # noqa: PT017  no test


def kafka(data: bytes) -> None:
    """Records that others wrote: CloudEvents, and what is none."""
    key, _, value = data.rpartition(b"\0")
    for translate in (None, lambda record: None):
        rows = Records("topic", translate).decode([Record(0, 0, 0, key, value)])[0].rows
        assert len(rows) == 1


def redis(data: bytes) -> None:
    """Answers, entries and records of Redis."""
    text = data.decode("latin-1")
    replies.read(200, {}, data)
    replies.read_many(200, {}, data, 2)
    words = text.split("\n")
    for read in (
        lambda: entries.read_log([["1-0", words]], 0, "here"),
        lambda: entries.read_stream([["1-0", words]], "s", 0, "here"),
        lambda: entries.read_found([["1-0", "1", words[:10], words[10:]]], "here"),
        lambda: entries.read_snapshot("s", text),
        lambda: records.read_view(ProjectionId("p", 1), text),
        lambda: read_entries(text),
    ):
        with suppress(EventSourceError, ValueError, LookupError):  # which the backend names; see `answered`
            read()


TARGETS: Final[Mapping[str, Callable[[bytes], None]]] = {
    each.__name__: each for each in (receiver, claims, proxies, endpoint, positions, codec, kafka, redis)
}

SEEDS: Final[Mapping[str, list[bytes]]] = {
    "receiver": [signed()["upstash-signature"].encode()],
    "claims": [
        b'{"alg":"HS256","typ":"JWT"}\0{"iss":"Upstash","sub":"' + URL.encode() + b'","exp":2000000000,"nbf":0}'
    ],
    "proxies": [b'for=1.2.3.4;host="a.example.com";proto=https, host=b', b"a.example.com, b.example.com"],
    "endpoint": [b'{"position":42}', b'{"position":"0:17,3:4"}'],
    "positions": [b"17", b"0:17,3:4", b"1-1.1:5@cDE", b"2-2@", b'W/"1", "2"', b"https://a/b?c=d#e"],
    "codec": [b'{"text":"x","number":1,"share":0.5,"anything":[{"a":null}],"held":{"a":[1]}}', b'["a"]'],
    "kafka": [
        b'k\0{"specversion":"1.0","id":"1","source":"s","type":"t","time":"2026-01-01T00:00:00Z","data":{}}',
        b'{"specversion":"1.0","id":"1-1","source":"s","type":"t","data_base64":"e30="}',
    ],
    "redis": [
        b'{"result":["ok",3,"2"]}',
        b"s\nt\nr\n1\ni\n1-1\nm\n\nt\n\n1:a\n{}",
        b"1 1\n1 2 0 2 0 S 1 0 - \n",
        b"\n5\na b\n\n{}",
    ],
}


def main(name: str, seconds: int) -> None:
    # Not at the top: it is installed by whoever runs this, and has types of its own on one Python only.
    atheris: Any = importlib.import_module("atheris")
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as corpus:
        for number, seed in enumerate(SEEDS[name]):
            Path(corpus, str(number)).write_bytes(seed)
        atheris.instrument_all()
        atheris.Setup([sys.argv[0], f"-max_total_time={seconds}", "-max_len=4096", corpus], TARGETS[name])
        atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 60)
