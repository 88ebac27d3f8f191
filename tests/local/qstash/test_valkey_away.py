"""While its Valkey is away, QStash keeps what was to be written, and nothing of the attempts to write it."""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from eventsource_upstash.local.qstash.store import Store

OUTAGE = 20


def test_attempts_to_write_are_not_held_on_to(tmp_path: Path) -> None:
    async def run() -> tuple[int, int]:
        client: Redis = Redis.from_url(f"unix://{tmp_path}/nobody")
        store = Store(client)
        for number in range(OUTAGE):
            store.counters.put("messages", number)
            with pytest.raises(RedisError):
                await store.flush()
        gc.collect()
        held = sum(isinstance(each, RedisError) for each in gc.get_objects())
        await client.aclose()
        return held, store.counters.get("messages") or 0

    held, kept = asyncio.run(run())
    assert kept == OUTAGE - 1
    assert held <= 2, "the last failure, and no chain of all since Valkey went away"
