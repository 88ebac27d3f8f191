"""The key store in Redis, held to its contract, and to its price."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import upstash_redis

from eventsource_upstash import CorruptLog, UpstashKeys
from eventsource_upstash.local import LocalUpstash
from eventsource_upstash.ports import KeyStore, SubjectKey
from eventsource_upstash.testing import KeysContract
from eventsource_upstash.testing.colours import Colour


class TestUpstashKeys(KeysContract):
    @pytest.fixture(autouse=True)
    def _running(self, upstash: LocalUpstash) -> None:
        self.upstash = upstash

    def open_keys(self, folder: Path) -> KeyStore:
        name = hashlib.sha256(str(folder).encode()).hexdigest()[:24]
        return UpstashKeys(self.upstash.redis_url, self.upstash.redis_token, namespace=name)


def test_what_each_step_costs(upstash: LocalUpstash) -> None:
    run = Colour.BLOCKING.run
    store = UpstashKeys(upstash.redis_url, upstash.redis_token, namespace="costs-of-keys")
    keys = store.keys(Colour.BLOCKING.port)
    offered = {f"s{number}": SubjectKey(f"k{number}", bytes(32)) for number in range(1000)}
    run(keys.create_many(offered))  # sends the scripts, once
    run(keys.get_many(["s1"]))
    run(keys.readmit("s1"))
    receipts = [
        run(keys.create_many({f"{name} too": key for name, key in offered.items()}))[1],
        run(keys.create_many(offered))[1],
        run(keys.get_many(list(offered)))[1],
        run(keys.forget("s1")),
        run(keys.readmit("s1")),
    ]
    assert [(each.requests, each.commands) for each in receipts] == [(1, 3), (1, 2), (1, 2), (1, 1), (1, 3)]
    assert upstash.redis_token not in repr(store)


def test_what_is_no_key_is_told(upstash: LocalUpstash) -> None:
    store = UpstashKeys(upstash.redis_url, upstash.redis_token, namespace="no-keys")
    client = upstash_redis.Redis(upstash.redis_url, upstash.redis_token, allow_telemetry=False)
    client.set("{no-keys}:subject:ada", "k1 not base64 at all")
    with pytest.raises(CorruptLog, match="is no key of this library") as caught:
        Colour.BLOCKING.run(store.keys(Colour.BLOCKING.port).get_many(["ada"]))
    assert "base64 at all" not in str(caught.value)
    client.close()  # type: ignore[no-untyped-call]
