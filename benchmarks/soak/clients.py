"""Who uses the app in a run: writers, readers, and the watcher who sees when what was appended is in the view."""

from __future__ import annotations

import asyncio
import random
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode

import aiohttp
import msgspec

from benchmarks.soak.measuring import Histogram
from benchmarks.soak.results import Command, Doc, Look, Reading, Writing, now
from benchmarks.soak.services import NAMESPACE
from eventsource_upstash import AsyncApp, EventSourceError, UpstashRedis, connect_async
from examples.todo.domain import registry, tasks

MANY = 90
"""Tasks in the list from which on more are deleted than created."""

PATIENCE = 60.0
"""Seconds that a writer sends a command again for, until its outcome counts as unknown."""

ANSWERED = (200, 201, 204)
REFUSED = (404, 409, 422)
"""Statuses that say that nothing was written: not by this request, nor by one before it under the same key."""


class Shown(msgspec.Struct):
    """A task as the app shows it."""

    id: str
    text: str
    done: bool


@dataclass
class Shared:
    """What all of them know of a run.

    Attributes:
        url: Where the app is.
        tasks: Tasks that are there, as far as is known, and who may delete each: nobody else, so that a deletion is one
            append.
        counts: Answers by kind.
        acknowledged: The highest position that was answered.
        waiting: Positions that were answered, and when: not yet seen in the view.
        stopping: Set when writers and readers are to end.
    """

    url: str
    tasks: dict[str, str] = field(default_factory=dict[str, str])
    counts: Counter[str] = field(default_factory=Counter[str])
    acknowledged: int = 0
    waiting: deque[tuple[int, int]] = field(default_factory=deque[tuple[int, int]])
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    async def pause(self, seconds: float) -> None:
        """Wait, but no longer than the run goes on."""
        try:
            await asyncio.wait_for(self.stopping.wait(), seconds)
        except asyncio.TimeoutError:
            return


class Writer:
    """Creates, completes, renames and deletes tasks, one after the other, each until its outcome is known."""

    def __init__(
        self, name: str, shared: Shared, session: aiohttp.ClientSession, dice: random.Random, writing: Writing
    ) -> None:
        self._name = name
        self._shared = shared
        self._session = session
        self._dice = dice
        self._writing = writing
        self._number = 0

    async def run(self, idle: float) -> None:
        """Write until the run stops, with so many seconds between two commands, on average."""
        while not self._shared.stopping.is_set():
            await self._one()
            await self._shared.pause(self._dice.expovariate(1 / idle))

    async def _one(self) -> None:
        known = self._shared.tasks
        self._number += 1
        key = f"{self._dice.getrandbits(96):024x}"
        mark = f"{self._name} {self._number} {key[:6]}"
        action = self._action(len(known))
        if action == "create":
            done = await self._perform(Command(self._name, f"task-{key}", mark, action, now()), key, "", {"text": mark})
            if done.outcome == "ok":
                known[key] = self._name
            return
        if action == "delete":
            own = [each for each, owner in known.items() if owner == self._name]
            if not own:
                return
            task = self._dice.choice(own)
            del known[task]
            await self._perform(Command(self._name, f"task-{task}", "deleted", action, now()), key, task, None)
            return
        # Some of all, the newest most: there writers meet.
        task = self._dice.choice(list(known)[-4:] if self._dice.random() < 0.4 else list(known))
        change: dict[str, object] = {"text": mark}
        if action == "complete":
            change["done"] = self._dice.random() < 0.8  # else it is to be done again
        await self._perform(Command(self._name, f"task-{task}", mark, action, now()), key, task, change)

    def _action(self, known: int) -> str:
        if known < MANY // 4:
            return "create"
        weights = [10, 35, 35, 20] if known > MANY else [25, 35, 30, 10]
        return self._dice.choices(["create", "complete", "rename", "delete"], weights)[0]

    async def _perform(self, command: Command, key: str, task: str, body: Mapping[str, object] | None) -> Command:
        method = "POST" if command.action == "create" else "DELETE" if body is None else "PATCH"
        path = f"/api/tasks/{task}".rstrip("/")
        counts = self._shared.counts
        until, tries = now() + int(PATIENCE * 1e9), 0
        try:
            while True:
                tries += 1
                status, position = await self._send(method, path, key, body)
                ended = now()
                if status in ANSWERED or status in REFUSED or ended > until:
                    break
                counts[f"sent again after {status or 'no answer'}"] += 1
                await asyncio.sleep(min(2.0, 0.05 * 2**tries) * self._dice.random())
        except asyncio.CancelledError:
            self._writing.add(command)  # its outcome is unknown, and it may be in the log
            raise
        outcome = "ok" if status in ANSWERED else "refused" if status in REFUSED else "unknown"
        again = None
        if outcome == "ok" and self._dice.random() < 0.02:  # as whoever has lost the answer would
            status, other = await self._send(method, path, key, body)
            again = other if status in ANSWERED else None
            counts["sent again though answered"] += 1
        command = msgspec.structs.replace(
            command, ended=ended, outcome=outcome, position=position, tries=tries, again=again
        )
        self._writing.add(command)
        counts[f"refused ({status})" if outcome == "refused" else outcome] += 1
        counts[f"{command.action} {outcome}"] += 1
        if position:
            self._shared.acknowledged = max(self._shared.acknowledged, position)
            self._shared.waiting.append((position, ended))
        return command

    async def _send(self, method: str, path: str, key: str, body: Mapping[str, object] | None) -> tuple[int, int]:
        """Send a request once: its status, 0 where there was no answer, and the position told."""
        try:
            async with self._session.request(
                method, self._shared.url + path, json=body, headers={"Idempotency-Key": key}
            ) as answer:
                await answer.read()
                told = answer.headers.get("Event-Position", "0") if answer.status in ANSWERED else "0"
                return answer.status, int(told)
        except (aiohttp.ClientError, asyncio.TimeoutError, OSError):
            return 0, 0


class Reader:
    """Reads the list and tasks of it: `weak` takes what comes, `at least` names a position, `strong` the log's head."""

    def __init__(
        self, kind: str, shared: Shared, session: aiohttp.ClientSession, dice: random.Random, writing: Writing
    ) -> None:
        self._kind = kind
        self._shared = shared
        self._session = session
        self._dice = dice
        self._writing = writing

    async def run(self, idle: float) -> None:
        """Read until the run stops, with so many seconds between two reads, on average."""
        while not self._shared.stopping.is_set():
            await self._one()
            await self._shared.pause(self._dice.expovariate(1 / idle))

    async def _one(self) -> None:
        at_least: int | None = 0
        if self._kind == "strong":
            at_least = await self._head()
        elif self._kind == "at least":
            at_least = self._shared.acknowledged
        if at_least is None:
            return
        known = list(self._shared.tasks)
        if not known or self._dice.random() < 0.3:
            await self._list(at_least)
        else:
            await self._task(self._dice.choice(known), at_least)

    async def _head(self) -> int | None:
        status, body = await self._get("/api/events?recent=1")
        return int(msgspec.json.decode(body)["status"]["head"]) if status == 200 else None

    async def _list(self, at_least: int) -> None:
        began = now()
        status, body = await self._get(self._path("/api/tasks", at_least))
        if status == 200:
            seen: dict[str, Doc | None] = {
                each.id: Doc(each.text, each.done) for each in msgspec.json.decode(body, type=list[Shown])
            }
            self._writing.add(Reading(self._kind, began, now(), at_least, seen, whole=True))

    async def _task(self, id: str, at_least: int) -> None:
        began = now()
        status, body = await self._get(self._path(f"/api/tasks/{id}", at_least))
        if status == 404:
            self._writing.add(Reading(self._kind, began, now(), at_least, {id: None}))
        elif status == 200:
            shown = msgspec.json.decode(body, type=Shown)
            self._writing.add(Reading(self._kind, began, now(), at_least, {id: Doc(shown.text, shown.done)}))

    def _path(self, path: str, at_least: int) -> str:
        return f"{path}?{urlencode({'at_least': at_least})}" if at_least else path

    async def _get(self, path: str) -> tuple[int, bytes]:
        status, body = 0, b""
        try:
            async with self._session.get(self._shared.url + path) as answer:
                status, body = answer.status, await answer.read()
        except (aiohttp.ClientError, asyncio.TimeoutError, OSError):
            status = 0
        self._shared.counts[f"read {self._kind}: {status or 'no answer'}"] += 1
        return status, body


class Watcher:
    """Looks how far the view is, without ever bringing it anywhere: it folds nothing, and asks for nothing fresh.

    Attributes:
        app: The app that it looks with.
        looked: What it saw last.
        whole: Seconds from an answer to an append until it was seen in the view, of the whole run.
        recent: The same since whoever reads it has put a new one there.
    """

    def __init__(self, shared: Shared, environment: Mapping[str, str], writing: Writing) -> None:
        self.app: AsyncApp = connect_async(backend(environment), registry)
        self.looked = Look(0, 0, 0, 0)
        self.whole = Histogram()
        self.recent = Histogram()
        self._shared = shared
        self._writing = writing

    async def run(self, every: float) -> None:
        """Look until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(every)

    async def look(self) -> None:
        """Look once."""
        began = now()
        try:
            status = next(each for each in await self.app.projection_store.status() if each.name == tasks.name)
        except EventSourceError:
            self._shared.counts["look: no answer"] += 1
            return
        look = Look(began, now(), int(status.head), int(status.checkpoint))
        if (look.head, look.checkpoint) != (self.looked.head, self.looked.checkpoint):
            self._writing.add(look)
        self.looked = look
        waiting = self._shared.waiting
        for _ in range(len(waiting)):
            position, answered = waiting.popleft()
            if position > look.checkpoint:
                waiting.append((position, answered))
                continue
            seconds = max(0, look.ended - answered) / 1e9
            self.whole.add(seconds)
            self.recent.add(seconds)


def backend(environment: Mapping[str, str]) -> UpstashRedis:
    """The database of the run."""
    url, token = environment["UPSTASH_REDIS_REST_URL"], environment["UPSTASH_REDIS_REST_TOKEN"]
    return UpstashRedis(url, token, namespace=NAMESPACE)
