"""What goes wrong all the time, by one seed: faults of the local Upstash, processes that are killed or stand still."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence

import aiohttp

from benchmarks.soak.results import Trouble, Writing
from benchmarks.soak.services import App, DidNotStart, Upstash, Valkey

REDIS: Mapping[str, tuple[float, float]] = {
    "lose-request": (0.01, 0),
    "lose-answer": (0.01, 0),
    "duplicate": (0.01, 0),
    "delay": (0.02, 0.3),
    "error-500": (0.01, 0),
    "error-429": (0.004, 0),
    "cut-answer": (0.005, 0),
    "slow-answer": (0.005, 0.05),
    "quota": (0.001, 0),
    "database-full": (0.001, 0),
}
"""Kinds that strike a request to Redis: how likely, and for how many seconds where they wait."""

QSTASH: Mapping[str, tuple[float, float]] = {
    "lose-request": (0.03, 0),
    "lose-answer": (0.03, 0),
    "duplicate": (0.03, 0),
    "delay": (0.05, 0.5),
    "error-500": (0.03, 0),
    "error-429": (0.01, 0),
    "cut-answer": (0.02, 0),
    "deliver-twice": (0.1, 0),
    "deliver-late": (0.1, 3.0),
    "deliver-out-of-order": (0.05, 0),
    "lose-delivery": (0.05, 0),
    "lose-delivery-answer": (0.05, 0),
    "sign-with-next-key": (0.05, 0),
    "sign-with-wrong-key": (0.02, 0),
}
"""The same for a request to QStash, or a delivery by it."""

ROUNDS = 90
"""A short run is cut into so many rounds; in each of them a process is hurt."""

SHORTEST, LONGEST = 1.0, 40.0
"""Seconds of a round, at least and at most."""


class Troubles:
    """Carries out what goes wrong.

    Attributes:
        done: How often each thing was done to a process.

    Args:
        upstash: What misbehaves.
        valkey: What is killed, and stands still.
        apps: Likewise, but for the first.
        seed: Of the dice.
        writing: Where it is written down.
        seconds: How long a round is, on average.
    """

    def __init__(
        self, upstash: Upstash, valkey: Valkey, apps: Sequence[App], seed: int, writing: Writing, seconds: float
    ) -> None:
        self.done: dict[str, int] = {}
        self._upstash = upstash
        self._valkey = valkey
        self._mortal = list(apps[1:])  # the first one lives as long as the run: a leak takes its time to be seen
        self._dice = random.Random(seed)
        self._seed = seed
        self._writing = writing
        self._began = time.monotonic()
        self._round = seconds
        self._kinds: dict[int, str] = {}

    async def misbehave(self, session: aiohttp.ClientSession) -> None:
        """Have the local Upstash misbehave from now on."""
        number = 0
        for half, kinds in (("redis", REDIS), ("qstash", QSTASH)):
            for kind, (probability, seconds) in kinds.items():
                number += 1
                fault = {"kind": kind, "half": half, "probability": probability, "seed": self._seed * 1000 + number}
                fault |= {"count": None, "seconds": seconds}
                async with session.post(f"{self._url}/dev/faults", json=fault) as answer:
                    answer.raise_for_status()

    async def struck(self, session: aiohttp.ClientSession) -> dict[str, int]:
        """How often each kind has struck."""
        async with session.get(f"{self._url}/dev/faults") as answer:
            told = await answer.json()
        return {f"{each['half']} {each['kind']}": each["struck"] for each in told["faults"]}

    async def behave(self, session: aiohttp.ClientSession) -> None:
        """Have it behave again."""
        async with session.delete(f"{self._url}/dev/faults") as answer:
            answer.raise_for_status()

    @property
    def _url(self) -> str:
        return self._upstash.environment["UPSTASH_REDIS_REST_URL"]

    async def hurt(self) -> None:
        """Kill and stop processes, until cancelled; what is down is started again before that."""
        deeds: list[tuple[int, Callable[[], Awaitable[None]]]] = [
            (1, self._kill_app),
            (2, self._pause_app),
            (3, self._pause_valkey),
            (6, self._kill_valkey),
        ]
        turn = self._dice.randrange(6)
        while True:
            await asyncio.sleep(self._round * self._dice.uniform(0.5, 1.5))
            turn += 1
            for every, deed in deeds:
                if turn % every == 0:
                    # Not to be left half done: a paused Valkey would stand still for ever.
                    task = asyncio.ensure_future(deed())
                    try:
                        await asyncio.shield(task)
                    except asyncio.CancelledError:
                        await task
                        raise

    async def _kill_app(self) -> None:
        app = self._dice.choice(self._mortal)
        began = time.monotonic()
        await app.kill()
        await again(app)
        self._note(f"{app.name} killed", began)

    async def _pause_app(self) -> None:
        # It goes on with what it was about, as if no time had passed: others have folded meanwhile what it has read.
        app = self._dice.choice(self._mortal)
        began = time.monotonic()
        app.pause()
        await asyncio.sleep(min(self._round / 2, self._dice.uniform(0.5, 8)))
        app.resume()
        self._note(f"{app.name} paused", began)

    async def _pause_valkey(self) -> None:
        began = time.monotonic()
        self._valkey.pause()
        await asyncio.sleep(min(self._round / 3, self._dice.uniform(1, 6)))
        self._valkey.resume()
        self._note("valkey paused", began)

    async def _kill_valkey(self) -> None:
        began = time.monotonic()
        await self._valkey.kill()
        await asyncio.sleep(min(self._round / 3, self._dice.uniform(0.2, 3)))
        await self._valkey.start()
        self._note("valkey killed", began)

    def _note(self, what: str, began: float) -> None:
        self.done[what] = self.done.get(what, 0) + 1
        at = (began - self._began) / 60
        self._writing.add(Trouble(round(at, 4), what, round(time.monotonic() - began, 2)))


async def again(app: App) -> None:
    """Start an app, as often as it takes: while what it stands on is away, it says so and ends."""
    for pause in itertools.repeat(0.5):
        with contextlib.suppress(DidNotStart):
            return await app.start()
        await asyncio.sleep(pause)
    return None
