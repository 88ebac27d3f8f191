"""Records that somebody else wrote, to be taken for this library's own, or to stop whoever reads them."""

from __future__ import annotations

import json
from collections.abc import Mapping

from eventsource_upstash.domain.events import event_id

OURS: Mapping[str, object] = {
    "specversion": "1.0",
    "id": event_id(7_000_000, 8),
    "source": "eventsource-upstash",
    "type": "ordered",
    "subject": "order-1",
    "data": {"sku": "x"},
}
LONG = "x" * 70_000
FIELDS: Mapping[str, tuple[object, ...]] = {
    "subject": ("", "\0", "a\nb", LONG, "\u202e", "a\u2028b", "order-1\ud800", None, 5, "order-1:2", "../x"),
    "type": ("", "\0", LONG, "'; DROP TABLE events", "a b", "\u043erdered", "ordered\n", "kafka:foreign", None, 7),
    "schemaversion": (0, -1, 10**30, 2**63, 2**31, 1.5, "1", None, True),
    "metadata": ("x", "[]", "{", '{"a":1}', "5", "null", "[" * 5000, "\0", 5),
    "tags": ("x", "[]", "[1]", "{}", '[""]', '["a","a"]', "[[]]", "null", "[" * 5000, ["a"]),
    "key": ("", "\0", LONG, 5),
    "keydigest": ("", "%%", LONG),
    "ordinal": (-1, 10**30, 5, 1.5),
    "id": ("", event_id(0, 0), event_id(2**48 * 1000 - 1, 2**61), LONG, "\0", 5),
    "data_base64": ("", "%%", 5, "eyJza3UiOiJ4In0="),
    "specversion": ("", "1.1", "2.0", "1.0\0", 1.0, None),
    "source": ("", None, "eventsource-upstash ", "\0"),
    "time": ("x", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00-23:59", 5),
}
RAW = json.dumps(OURS).encode()
VALUES: Mapping[str, bytes | None] = {
    **{f"{name}-{at}": json.dumps({**OURS, name: value}).encode()
       for name, values in FIELDS.items() for at, value in enumerate(values)},
    "a tombstone": None,
    "nothing": b"",
    "a byte order mark": b"\xef\xbb\xbf" + RAW,
    "UTF-16": RAW.decode().encode("utf-16"),
    "a null byte behind": RAW + b"\0",
    "two at once": RAW + RAW,
    "no UTF-8 in a name": RAW.replace(b"order-1", b"\xff\xfe"),
    "a lone surrogate": RAW.replace(b'"x"', b'"\\ud800"'),
    "no number": RAW.replace(b'"x"', b"NaN"),
    "nested deeply": RAW.replace(b'"x"', b"[" * 3000 + b"]" * 3000),
    "of another schema registry": b"\0\0\0\0\x01" + RAW,
    "control characters": bytes(range(32)),
    "a name twice": RAW[:-1] + b',"subject":"order-9"}',
}  # fmt: skip
KEYS: tuple[bytes | None, ...] = (b"order-1", None, b"", b"\xff", b"\0", b"k" * 70_000)
HEADERS: Mapping[str, tuple[tuple[str, bytes | None], ...]] = {
    "none": (),
    "doubled": (("content-type", b"text/plain"), ("content-type", b"application/cloudevents+json")),
    "another's": (("content-type", b"application/cloudevents+json; charset=UTF-16"), ("ce_type", b"other")),
    "empty": (("", b""),),
    "null": (("content-type", None),),
    "huge": (("h" * 5000, b"v" * 100_000),),
    "many": tuple((f"h{at}", b"v") for at in range(1000)),
    "hostile": (("a\r\nb: c", b"\r\n\xff\0"), ("'; --", b"{}")),
}
