"""The floor over REST: the same scripts, called by hand with httpx, msgspec and nothing else.

What it does: encode and decode typed events, say what each script wants to know, one POST each, look at the status and
at the script's answer, fold into documents, and go on from page to page.

What it leaves out, and a library cannot: another attempt after a failure, and what may be sent again; a script that the
server has forgotten; sync tokens; sizes that are refused beforehand; archives of the log; bytes that are no text;
gaps and damage in what is read; several projections; and errors that say what to do.
"""

from __future__ import annotations

import asyncio
import random
import time
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import httpx
import msgspec

from benchmarks import scripts, todo
from benchmarks.floors import FOLDS, TYPES, decode_task, encode, prepared
from benchmarks.measuring import Contestant, clock, median
from benchmarks.rest_cold import first_request
from benchmarks.upstash import running
from eventsource_upstash.backends.redis.commits import COMMIT
from eventsource_upstash.backends.redis.log import APPEND
from eventsource_upstash.backends.redis.pulling import PULL
from eventsource_upstash.backends.redis.views import LOAD

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.measuring import Job
    from benchmarks.upstash import Upstash

PAGE = 1_000
MAX_BYTES = 4 * 1024 * 1024
ROUNDS = 7


class Keys:
    """The names of the keys."""

    def __init__(self, namespace: str, projection: str = "tasks") -> None:
        self.space = space = f"{{{namespace}}}:"
        self.log = [f"{space}head", f"{space}notice", f"{space}log", f"{space}log:0"]
        self.view, self.document = f"{space}view:{projection}@1", f"{space}doc:{projection}@1:1:"
        self.directory, self.index = f"{space}leaves:{projection}@1:1", f"{space}keys:{projection}@1:1"


KEYS = Keys("bench")


class Connection:
    """One client of httpx, and the scripts loaded before the clock starts."""

    def __init__(self, upstash: Upstash) -> None:
        headers = {"authorization": f"Bearer {upstash.redis_token}"}
        self.client = httpx.Client(base_url=upstash.redis_url, headers=headers)
        for script in (APPEND, PULL, LOAD, COMMIT):
            self.client.post("/", content=encode(["SCRIPT", "LOAD", script.text])).raise_for_status()

    def run(self, sha: str, keys: Sequence[str], arguments: Sequence[str]) -> list[Any]:
        body = encode(["EVALSHA", sha, str(len(keys)), *keys, *arguments])
        return answer_of(self.client.post("/", content=body))


def answer_of(response: httpx.Response) -> list[Any]:
    response.raise_for_status()
    answer = cast("list[Any]", msgspec.json.decode(response.content)["result"])
    if answer[0] != "ok":
        raise RuntimeError(str(answer))
    return answer


def append_of(
    stream: str, events: Sequence[todo.TaskEvent], expected: int | str, names: Keys = KEYS
) -> tuple[list[str], list[str]]:
    """Keys and arguments of an append."""
    return append_with(stream, [(TYPES[type(event)], encode(event)) for event in events], expected, names)


def append_with(
    stream: str, events: Sequence[tuple[str, bytes]], expected: int | str, names: Keys
) -> tuple[list[str], list[str]]:
    """The same, of types and payloads."""
    now = str(time.time_ns() // 1000)
    words: list[str] = []
    marks: dict[str, list[str]] = {}
    for offset, (type_, payload) in enumerate(events):
        words.append(f"1:{type_}")
        words.append(payload.decode())
        marks.setdefault(f"t{type_}", []).append(str(offset))
    size = str(sum(map(len, words)))
    first, archive, space = names.log[:3], names.log[3], names.space
    keys = [*first, f"{space}marks", f"{space}revision:{stream}", f"{space}stream:{stream}"]
    keys += [archive, f"{space}marks:0", f"{space}stream-0:{stream}"]
    identity = f"{now}-{random.getrandbits(48)}"
    head = [str(len(events)), str(expected), identity, "0", now, "60000000", "0", "0", size, "16777216"]
    marked = [word for each in marks.items() for word in (each[0], ",".join(each[1]))]
    return keys, [*head, stream, "", "", "", "", "", str(len(marks)), "", "0", *words, *marked]


def append(timer: Callable[[], float], job: Job) -> float:
    with running() as upstash:
        connection = Connection(upstash)
        appends = prepared(todo.lines(job.size + todo.WARM_UP))
        sha = APPEND.sha
        for stream, event, expected in appends[: todo.WARM_UP]:
            connection.run(sha, *append_of(stream, [event], expected))
        with clock(timer) as spent:
            for stream, event, expected in appends[todo.WARM_UP :]:
                connection.run(sha, *append_of(stream, [event], expected))
        return spent.us(job.size)


def append_async(job: Job) -> float:
    async def work(upstash: Upstash) -> float:
        Connection(upstash)
        appends = prepared(todo.lines(job.size + todo.WARM_UP))
        headers = {"authorization": f"Bearer {upstash.redis_token}"}
        async with httpx.AsyncClient(base_url=upstash.redis_url, headers=headers) as client:

            async def one(stream: str, event: todo.TaskEvent, expected: int) -> None:
                keys, arguments = append_of(stream, [event], expected)
                body = encode(["EVALSHA", APPEND.sha, str(len(keys)), *keys, *arguments])
                answer_of(await client.post("/", content=body))

            for each in appends[: todo.WARM_UP]:
                await one(*each)
            with clock() as spent:
                for each in appends[todo.WARM_UP :]:
                    await one(*each)
            return spent.us(job.size)

    with running() as upstash:
        return asyncio.run(work(upstash))


def project_once(connection: Connection, timer: Callable[[], float], size: int, namespace: str = "bench") -> float:
    """Seconds to fold so many events into a view that is not there yet."""
    keys = Keys(namespace)
    events = [event for _, event, _ in prepared(todo.lines(size))]
    for start in range(0, size, 100):
        connection.run(APPEND.sha, *append_of(f"list-{start}", events[start : start + 100], "*", keys))
    with clock(timer) as spent:
        count = catch_up(connection, keys)
    assert count == todo.tasks_left(size)
    return spent.seconds


def project(timer: Callable[[], float], job: Job) -> float:
    with running() as upstash:
        connection = Connection(upstash)
        times = [project_once(connection, timer, job.size, f"bench-{turn}") for turn in range(ROUNDS)]
    return median(times) * 1e6 / job.size


def catch_up(connection: Connection, names: Keys) -> int:
    """Page after page until there is none. Answers how many documents there are."""
    want = [str(PAGE), str(MAX_BYTES), "0", "0", "0", "0", ""]
    _, _, _, _, after, entries, _ = connection.run(PULL.sha, [*names.log, names.view], want)
    count = 0
    while entries:
        changed, position = fold(connection, entries, names)
        stored, documents = changed
        put = {key: document for key, document in documents.items() if document is not None}
        new = [key for key in put if key not in stored]
        put = {**{key: put[key] for key in new}, **put}
        gone = [key for key, document in documents.items() if document is None and key in stored]
        count += len(new) - len(gone)
        leaves = 1 if new or gone else 0
        keys = [*names.log, names.view, names.view, names.directory]
        keys += [names.document + key for key in (*put, *gone)] + [names.index] * leaves
        counts = [str(len(put)), str(len(gone)), str(len(new)), str(len(gone))]
        arguments = [*want, "1", "1", "1", after, "0", position, "", "", *counts, "0", "", "0", str(leaves)]
        arguments += [str(len(new)), str(len(gone)), "50000", "0", "1"] * leaves
        arguments += [encode(document).decode() for document in put.values()]
        answer = connection.run(COMMIT.sha, keys, [*arguments, *new, *gone])
        if answer[2] != [None] or answer[3]:
            raise RuntimeError("somebody else has folded this page, or the index has to be split")
        after, entries = answer[6], answer[7]
    return count


def fold(
    connection: Connection, entries: Sequence[tuple[str, Sequence[str]]], names: Keys
) -> tuple[tuple[set[str], dict[str, todo.Task | None]], str]:
    """The keys of the documents that were there, what became of them, and the position after the page."""
    events: list[tuple[Callable[..., todo.Task | None], todo.TaskEvent]] = []
    position = ""
    for id_, fields in entries:
        position = id_.partition("-")[0]
        for index in range(10, len(fields), 2):
            decode, handler = FOLDS[fields[index].partition(":")[2]]
            events.append((handler, decode(fields[index + 1].encode())))
    wanted = list({event.id: None for _, event in events})
    found = connection.run(LOAD.sha, [names.document + key for key in wanted], [])[2]
    documents: dict[str, todo.Task | None] = {
        key: decode_task(document) for key, document in zip(wanted, found, strict=True) if document is not None
    }
    stored = set(documents)
    for handler, event in events:
        documents[event.id] = handler(documents.get(event.id), event)
    return (stored, documents), position


def rebuild(job: Job) -> float:
    """Seconds in all."""
    with running() as upstash:
        return project_once(Connection(upstash), time.perf_counter, job.size)


def contestant(name: str) -> Contestant:
    return Contestant(
        measures={
            "append": partial(append, time.perf_counter),
            "append-cpu": partial(append, time.process_time),
            "append-async": append_async,
            "project": partial(project, time.perf_counter),
            "project-cpu": partial(project, time.process_time),
            "rebuild": rebuild,
            "cold": partial(first_request, name),
            "script": scripts.of_commands,
            "script-large": scripts.of_commands_large,
        },
    )
