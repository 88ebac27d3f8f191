"""A transport that answers by itself: what is asked of Redis, and what is made of the answers, without a Redis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from eventsource_upstash._io import blocking
from eventsource_upstash.backends.redis.archives import Archives
from eventsource_upstash.backends.redis.keys import Keys
from eventsource_upstash.backends.redis.log import RedisLog
from eventsource_upstash.backends.redis.replies import Refusal, Reply
from eventsource_upstash.backends.redis.transport import Transport
from eventsource_upstash.backends.redis.views import RedisViews
from eventsource_upstash.backends.sending import Call, Trouble
from eventsource_upstash.domain.events import ANY, Expectation
from eventsource_upstash.domain.projections import ProjectionId
from eventsource_upstash.ports import Append, Commit
from tests.faults.transport.support import Clocked

TASKS: Final = ProjectionId("tasks", 1)
NOW: Final = 1_800_000_000_000_000
LOST: Final = Trouble("did not answer", unknown=True)

run = blocking.run


class Asked(NamedTuple):
    """A command that was sent: of a script its keys and arguments."""

    keys: list[str]
    arguments: list[str]


class Answering(Transport):
    """Answers one thing after the other: a result, `LOST`, a `Refusal`; an exception is raised.

    Attributes:
        asked: Each command that was sent.
        many: The commands of each request that sent several.
    """

    def __init__(self, *answers: object, sends_twice: bool = False, pipelines: bool = False) -> None:
        port = Clocked(blocking.PORT)
        super().__init__(port, "the-server", total_timeout=20.0, attempts=6, clock=port.clock, draw=lambda: 0.5)
        self.answers = list(answers)
        self.asked: list[Asked] = []
        self.many: list[list[Asked]] = []
        self.sends_twice = sends_twice
        self.pipelines = pipelines

    def _next(self, call: Call) -> Any:
        assert self.answers, "it asks for more than it has to"
        call.sent(10)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def attempt(self, call: Call, command: Sequence[str]) -> Reply | Refusal | Trouble:
        """See `Transport.attempt`."""
        self.asked.append(_asked(command))
        answer = self._next(call)
        return answer if isinstance(answer, (Refusal, Trouble)) else Reply(answer)

    async def attempt_many(
        self, call: Call, commands: Sequence[Sequence[str]]
    ) -> list[Reply | Refusal] | Refusal | Trouble:
        """See `Transport.attempt_many`."""
        self.many.append([_asked(command) for command in commands])
        answers: list[Reply | Refusal] | Refusal | Trouble = self._next(call)
        return answers


def _asked(command: Sequence[str]) -> Asked:
    if not command[0].startswith("EVAL"):
        return Asked(list(command[:1]), list(command[1:]))
    behind = 3 + int(command[2])
    return Asked(list(command[3:behind]), list(command[behind:]))


def log_over(*answers: object, **options: Any) -> tuple[RedisLog, Answering]:
    """A log whose server answers so."""
    transport = Answering(*answers, **options)
    return RedisLog(transport, Keys("ns"), Archives(), roll_at=1_000_000, lost_after_us=60_000_000), transport


def views_over(*answers: object, beside: bool = True) -> tuple[RedisViews, Answering]:
    """Views whose server answers so; their log is beside them, or has another namespace."""
    transport = Answering(*answers)
    archives = Archives()
    log = RedisLog(transport, Keys("ns" if beside else "log"), archives, roll_at=1_000_000, lost_after_us=60_000_000)
    return RedisViews(transport, Keys("ns"), log, archives if beside else Archives()), transport


def append_of(count: int = 1, expected: int | Expectation = ANY, **more: Any) -> Append:
    """An append of some events to the stream `s`."""
    return Append("s", expected, [("added", 1, b"%d" % number) for number in range(count)], NOW, 5, **more)


def commit_of(
    documents: dict[str, bytes | None] | None = None, projection: ProjectionId = TASKS, **more: Any
) -> Commit:
    """A commit of some documents to a view, from position 5 to 7."""
    return Commit(projection, more.pop("generation", 1), 5, 7, {"a": b"1"} if documents is None else documents, **more)


def entry(revision: int, count: int = 1, *, position: int = 0, recorded_us: int = 7, number: int = 0) -> list[object]:
    """An entry of a stream that ends with a revision."""
    fields = ["p", str(position or revision + 100), "i", f"{recorded_us}-{number}", "m", "", "t", ""]
    for index in range(count):
        fields += ["1:added", f"e{revision - count + 1 + index}"]
    return [f"{revision}-0", fields]


def record(*builds: str, last: int = 1) -> str:
    """A view's record; a build is `generation checkpoint edition count version role met ends indexes notes`."""
    return f"1 {last}\n" + "".join([f"{each}\n" for each in builds])
