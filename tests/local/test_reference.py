"""The reference names every kind of fault, every field, and every path below `/dev/`."""

from __future__ import annotations

import re
from pathlib import Path

import httpx

from eventsource_upstash.local import LocalUpstash
from eventsource_upstash.local.faults import FIELDS, KINDS

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "local.md").read_text("utf-8")
ROWS = re.findall(r"^\| `([^`]+)` \|", PAGE, re.MULTILINE)

NUMBERS = {"commands"}  # rows of another table


def test_kinds_and_fields() -> None:
    assert {row for row in ROWS if re.fullmatch(r"[a-z]+(-[a-z0-9]+)*", row)} - NUMBERS == set(KINDS)
    assert ", ".join(f"`{name}`" for name in FIELDS) in PAGE


def test_paths(upstash: LocalUpstash) -> None:
    served: set[str] = set()
    for row in ROWS:
        method, _, path = row.partition(" ")
        if path.startswith("/dev/") and row not in {"POST /dev/reset", "POST /dev/metrics/reset", "DELETE /dev/faults"}:
            served.add(row)
            # 400, 404: it is there, and wants more to be said than this.
            answer = httpx.request(method, upstash.qstash_url + path, content=b"[]" if method == "POST" else None)
            assert "is not part of" not in answer.text, row
            assert answer.status_code in {200, 400, 404}, row
    assert len(served) == 10
