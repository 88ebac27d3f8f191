"""One run, from the first process to the last."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import msgspec

from benchmarks.soak.clients import Reader, Shared, Watcher, Writer
from benchmarks.soak.measuring import Histogram, held_by
from benchmarks.soak.results import Doc, Fact, Sample, Writing
from benchmarks.soak.services import App, Service, Upstash, Valkey
from benchmarks.soak.spread import Spread
from benchmarks.soak.trouble import LONGEST, Troubles
from eventsource_upstash import EventSourceError, Recorded
from examples.todo.domain import Task, TaskCreated, TaskDeleted, TaskUpdated, tasks

SETTLING = 90.0
"""Seconds that the view is given, at the end, to reach the head by messages alone."""

ATTEMPTS = 10
"""How often the log is read at the end, each time from where the last attempt came to."""

LOOKS = 0.1
"""Seconds between two looks at the view."""

READERS = ("weak", "at least", "strong")


@dataclass(frozen=True)
class Plan:
    """What is to be run.

    Attributes:
        seconds: How long writers write.
        writers: How many.
        apps: How many processes of the app there are.
        seed: Of all dice.
        every: Seconds between two samples.
        folder: Where the results go.
        module: What serves the app.
        write_idle: Seconds between two commands of one writer, on average.
        read_idle: The same for a reader.
        round: Seconds after which a process is hurt, on average.
    """

    seconds: float
    writers: int
    apps: int
    seed: int
    every: float
    folder: Path
    module: str = "examples.todo.serve"
    write_idle: float = 0.1
    read_idle: float = 1.5
    round: float = LONGEST


class Result(msgspec.Struct):
    """What came of it, but for the verdict.

    Attributes:
        seconds: How long writers wrote.
        acknowledged: Commands whose answer said that they are done.
        folded: Events in the view.
        lag: Seconds from the answer until it was seen in the view.
        counts: Answers by kind.
        faults: How often each kind of the local Upstash's faults has struck.
        done: What was done to processes.
        metrics: What the local Upstash counted, by half and caller.
        settled: Seconds from the last answer until the view was at the head, by messages alone; None: not in time.
        problems: What ended badly, apart from the verdict.
    """

    seconds: float
    acknowledged: int
    folded: int
    lag: dict[str, float]
    counts: dict[str, int]
    faults: dict[str, int]
    done: dict[str, int]
    metrics: dict[str, dict[str, dict[str, int]]]
    settled: float | None
    problems: list[str]


@dataclass
class Run:
    """A run while it goes on.

    Args:
        plan: What is to be run.
        told: Set when it is to end early.
        tell: Given each sample, with the seconds that are left.
    """

    plan: Plan
    told: asyncio.Event
    tell: Callable[[Sample, float], None]
    services: list[Service] = field(default_factory=list[Service])
    problems: list[str] = field(default_factory=list[str])

    async def run(self) -> Result:
        """Run, and leave nothing running."""
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(self._end)
            return await self._run(stack)

    async def _end(self) -> None:
        for service in reversed(self.services):
            await service.stop()

    async def _started(self, service: Service) -> None:
        self.services.append(service)
        await service.start()

    def _writing(self, stack: contextlib.AsyncExitStack, name: str) -> Writing:
        writing = Writing(self.plan.folder, name)
        stack.callback(writing.close)
        return writing

    async def _run(self, stack: contextlib.AsyncExitStack) -> Result:
        plan, dice = self.plan, random.Random(self.plan.seed)
        valkey = Valkey(plan.folder)
        await self._started(valkey)
        upstash = Upstash(plan.folder, valkey.url)
        await self._started(upstash)
        apps: list[App] = []
        spread = await stack.enter_async_context(Spread(apps, random.Random(dice.random())))
        url = f"http://127.0.0.1:{spread.port}"
        for number in range(plan.apps):
            name = f"app-{number}"
            environment = {**upstash.environment_of(name), "EVENTSOURCE_NOTIFY_URL": f"{url}/projections"}
            app = App(name, plan.folder, environment, plan.module)
            apps.append(app)
        await asyncio.gather(*map(self._started, apps))
        session = await stack.enter_async_context(
            # A connection for each request: so each goes to another app.
            aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(force_close=True), timeout=aiohttp.ClientTimeout(total=30)
            )
        )
        shared = Shared(url)
        watcher = Watcher(shared, upstash.environment_of("watcher"), self._writing(stack, "looks"))
        stack.push_async_callback(watcher.app.close)
        troubles = Troubles(upstash, valkey, apps, plan.seed, self._writing(stack, "troubles"), plan.round)
        await troubles.misbehave(session)
        began = time.monotonic()
        commands, readings = self._writing(stack, "commands"), self._writing(stack, "readings")
        writers = [
            Writer(f"w{number}", shared, session, random.Random(dice.random()), commands).run(plan.write_idle)
            for number in range(plan.writers)
        ]
        readers = [
            Reader(kind, shared, session, random.Random(dice.random()), readings).run(plan.read_idle)
            for kind in READERS
        ]
        sampling = self._sampling(began, shared, watcher, valkey, self._writing(stack, "samples"))
        users = [asyncio.ensure_future(each) for each in (*writers, *readers)]
        beside = [asyncio.ensure_future(each) for each in (watcher.run(LOOKS), troubles.hurt(), sampling)]
        seconds = await self._until_over(began, [*users, *beside])
        faults = await troubles.struck(session)
        await troubles.behave(session)
        await _cancelled(beside[1])
        shared.stopping.set()
        await self._finished(users)
        settled = await self._settled(watcher, upstash, session)
        for task in beside:
            await _cancelled(task)
        await self._keep_log(stack, watcher)
        async with session.get(f"{upstash.environment['UPSTASH_REDIS_REST_URL']}/dev/metrics") as answer:
            metrics = await answer.json()
        counts = dict(sorted(shared.counts.items()))
        return Result(
            seconds,
            counts.get("ok", 0),
            watcher.looked.checkpoint,
            watcher.whole.told(),
            counts,
            faults,
            troubles.done,
            metrics,
            settled,
            self.problems,
        )

    async def _until_over(self, began: float, tasks: Sequence[asyncio.Future[None]]) -> float:
        """Wait until the time is over, or it is told to stop, or one of the tasks has failed. Answers the seconds."""
        told = asyncio.ensure_future(self._told())
        await asyncio.wait([*tasks, told], timeout=self.plan.seconds, return_when=asyncio.FIRST_COMPLETED)
        told.cancel()
        for task in tasks:
            if task.done():
                self.problems.append(f"the run itself failed: {task.exception()!r}")
        return time.monotonic() - began

    async def _told(self) -> None:
        await self.told.wait()

    async def _finished(self, users: Sequence[asyncio.Future[None]]) -> None:
        """Let everybody finish what they are about; faults are over by now."""
        done, late = await asyncio.wait(users, timeout=SETTLING)
        for task in late:
            task.cancel()
        for task in done:
            if not task.cancelled() and (error := task.exception()) is not None:
                self.problems.append(f"the run itself failed: {error!r}")

    async def _settled(self, watcher: Watcher, upstash: Upstash, session: aiohttp.ClientSession) -> float | None:
        """Wait for the view to reach the head by messages alone. Nobody waits for the pauses between their attempts."""
        began = time.monotonic()
        base = upstash.environment["UPSTASH_REDIS_REST_URL"]
        while time.monotonic() - began < SETTLING:
            await watcher.look()
            if watcher.looked.head == watcher.looked.checkpoint:
                return time.monotonic() - began
            async with session.get(f"{base}/dev/state") as answer:
                state = await answer.json()
            for message in state["messages"]:
                async with session.post(f"{base}/dev/messages", params={"id": message["id"]}):
                    pass  # one that is on its way already is left alone
            await asyncio.sleep(0.3)
        return None

    async def _sampling(self, began: float, shared: Shared, watcher: Watcher, valkey: Valkey, writing: Writing) -> None:
        keys = 0
        while True:
            await asyncio.sleep(self.plan.every)
            seconds = time.monotonic() - began
            lag, watcher.recent = watcher.recent.told(), Histogram()
            held: dict[str, dict[str, float]] = {}
            for name, pid in [("soak", os.getpid()), *[(each.name, each.pid) for each in self.services]]:
                found = held_by(pid) if pid is not None else None
                if found is not None and pid is not None:
                    held[f"{name} {pid}"] = found
            keys = await valkey.keys() or keys  # it may be down, or stand still
            sample = Sample(round(seconds / 60, 4), shared.counts["ok"], watcher.looked.checkpoint, lag, held, keys)
            writing.add(sample)
            self.tell(sample, max(0.0, self.plan.seconds - seconds))

    async def _keep_log(self, stack: contextlib.AsyncExitStack, watcher: Watcher) -> None:
        """Write down log and list as they are at the end. On a busy machine that takes more than one attempt."""
        log = self._writing(stack, "log")
        position = 0
        for _ in range(ATTEMPTS):
            position, error = await self._keep_on(log, watcher, position)
            if error is None:
                return
        self.problems.append("log and view could not be read at the end: see the folder of Valkey")

    async def _keep_on(self, log: Writing, watcher: Watcher, after: int) -> tuple[int, EventSourceError | None]:
        """Go on with it. Answers the position that it came to, and what went wrong, if something did."""
        try:
            async for recorded in watcher.app.event_store.read(after=after):
                log.add(_fact(recorded))
                after = recorded.position
            view = watcher.app.projection_store.view(tasks)
            shown = {key: _doc(task) async for key, task in view.items(at_least=after, timeout=SETTLING)}
        except EventSourceError as error:
            return after, error
        (self.plan.folder / "view.json").write_bytes(msgspec.json.encode(shown))
        return after, None


def _fact(recorded: Recorded[object]) -> Fact:
    match recorded.event:
        case TaskCreated(text=text):
            return Fact(recorded.position, recorded.stream, recorded.revision, text)
        case TaskUpdated(text=text, done=done):
            return Fact(recorded.position, recorded.stream, recorded.revision, text, done)
        case TaskDeleted():
            return Fact(recorded.position, recorded.stream, recorded.revision, "", deleted=True)
        case other:
            raise TypeError(other)


def _doc(task: Task) -> Doc:
    return Doc(task.text, task.done)


async def _cancelled(task: asyncio.Future[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
