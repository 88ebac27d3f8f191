"""What counts in memory and in SQLite answers what the official package answers, over the local Upstash."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from upstash_ratelimit import FixedWindow, Ratelimit, SlidingWindow, TokenBucket
from upstash_ratelimit.limiter import Limiter
from upstash_redis import Redis

from eventsource_upstash import Memory, SQLite, UpstashRedis
from eventsource_upstash.local import LocalUpstash
from eventsource_upstash.testing.colours import Colour
from tests.limits.support import Limit, MovedClock

STEPS = 120


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("algorithm", ["sliding", "fixed", "bucket"])
def test_the_same_calls_have_the_same_answers(
    upstash: LocalUpstash, clock: MovedClock, tmp_path: Path, algorithm: str, seed: int
) -> None:
    draw = random.Random(f"{algorithm}-{seed}")
    limit, window_ms = draw.choice([(1, 60_000), (5, 10_000), (10, 60_000), (7, 12_345), (100, 86_400_000)])
    refill = draw.randint(1, limit)
    package: Limiter = SlidingWindow(limit, window_ms, "ms")
    if algorithm == "fixed":
        package = FixedWindow(limit, window_ms, "ms")
    if algorithm == "bucket":
        package = TokenBucket(limit, refill, window_ms, "ms")
    rule: dict[str, Any] = {"limit": limit, "window": window_ms / 1_000, "algorithm": algorithm}
    if algorithm == "bucket":
        rule["refill"] = refill
    redis = UpstashRedis(upstash.redis_url, upstash.redis_token, namespace=uuid4().hex)
    ours = [Limit(Colour.BLOCKING, each, clock, **rule) for each in (Memory(), SQLite(tmp_path / "l.db"), redis)]
    prefix = uuid4().hex
    seen = set()
    with Redis(upstash.redis_url, upstash.redis_token) as client:
        theirs = Ratelimit(client, package, prefix)
        ends: dict[str, int] = {}
        for _ in range(STEPS):
            clock.now_ms += draw.choice([0, 0, 0, 1, window_ms // 10, window_ms // 2, window_ms, 3 * window_ms + 7])
            who, cost = draw.choice("ab"), draw.choice([1, 1, 1, draw.randint(1, limit)])
            if algorithm == "bucket" and ends.get(who, clock.now_ms + 1) <= clock.now_ms:
                # The server's clock does not move with ours: what would have expired there is deleted by hand.
                for key in client.keys("*"):
                    if key == f"{prefix}:{who}" or (key.startswith(redis._keys.prefix) and key.endswith(digest(who))):
                        client.delete(key)
            wanted = theirs.limit(who, cost)
            expected = (wanted.allowed, wanted.remaining, wanted.reset)
            for each in ours:
                answer = each.check(who, cost)
                assert (answer.allowed, answer.remaining, answer.reset.timestamp()) == expected, each.face.flow
            if wanted.allowed and algorithm == "bucket":
                ends[who] = clock.now_ms + -(-(limit - wanted.remaining) // refill) * window_ms
            seen.add(wanted.allowed)
    assert seen == {True, False}


def digest(identifier: str) -> str:
    return hashlib.blake2b(identifier.encode(), digest_size=16).hexdigest()
