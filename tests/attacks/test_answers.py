"""Answers of Redis and of QStash with anything in them: errors of this library's, no others, and never an endless loop.

`THOROUGH=20` tries every change at every place.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventsource_upstash import (
    EventSourceError,
    Memory,
    Message,
    Messages,
    QStash,
    Query,
    RateLimit,
    Refused,
    Schedules,
    UpstashKeys,
    UpstashRedis,
)
from eventsource_upstash._io import http
from eventsource_upstash._io.blocking import PORT, run
from eventsource_upstash._io.port import HttpResponse
from eventsource_upstash.local import LocalUpstash
from eventsource_upstash.ports import SubjectKey
from tests.attacks.lying import CHANGES, WILD, Endless, Liar, lie, lies
from tests.searching import examples, thorough
from tests.web.players import Left, Players, Scored

ENVIRON: Final = {
    "QSTASH_TOKEN": "the-token",
    "QSTASH_CURRENT_SIGNING_KEY": "sig_1",
    "QSTASH_NEXT_SIGNING_KEY": "sig_2",
    "EVENTSOURCE_NOTIFY_URL": "https://app.example.com/projections",
}


class Case(NamedTuple):
    """An app whose servers lie."""

    players: Players
    qstash: QStash

    @property
    def view(self) -> Any:
        return self.players.app.projection_store.view(self.players.players)

    @property
    def redis(self) -> UpstashRedis:
        backend = self.players.app.backend
        assert isinstance(backend, UpstashRedis)
        return backend


Ask = Callable[[Case], object]


def _many(case: Case) -> object:
    return case.players.app.event_store.append(
        "s-1", Scored("a", 5), Left("a"), metadata={"a": 1}, tags=["x"], idempotency_key="k"
    )


REDIS: Final[dict[str, Ask]] = {
    "append": lambda case: case.players.app.event_store.append("s-1", Scored("a", 5)),
    "append many": _many,
    "conflict": lambda case: case.players.app.event_store.append("s-1", Scored("a", 5), expected_revision=1),
    "read": lambda case: list(case.players.app.event_store.read()),
    "query": lambda case: list(case.players.app.event_store.read(query=Query.of(types=[Scored], tags=["x"]))),
    "read stream": lambda case: list(case.players.app.event_store.read_stream("s-1")),
    "head": lambda case: case.players.app.event_store.head(),
    "catch up": lambda case: case.players.app.projector.catch_up(),
    "rebuild": lambda case: case.players.app.projector.rebuild(case.players.players),
    "parked": lambda case: list(case.players.app.projector.parked(case.players.players)),
    "get": lambda case: case.view.get("a"),
    "get many": lambda case: case.view.get_many(["a", "b"]),
    "at least": lambda case: case.view.get("a", at_least=1, timeout=0.01),
    "items": lambda case: list(case.view.items()),
    "count": lambda case: case.view.count(),
    "top": lambda case: case.view.index("score").top(5),
    "range": lambda case: list(case.view.index("score").range(0, 10)),
    "equal": lambda case: list(case.view.index("name").equal("a")),
    "rank": lambda case: case.view.index("score").rank("a"),
    "count in index": lambda case: case.view.index("score").count(),
    "version": lambda case: case.view.version(),
    "changes": lambda case: case.view.changes(),
    "status": lambda case: list(case.players.app.projection_store.status()),
    "limit": lambda case: RateLimit(case.redis, "calls", limit=10, window=60).check("me"),
    "bucket": lambda case: RateLimit(case.redis, "calls", limit=10, window=60, algorithm="bucket").check("me"),
    "check": lambda case: run(case.redis.check(PORT)),
}

FOLDING: Final = ("catch up", "rebuild")


def _keys(case: Case) -> object:
    keys = UpstashKeys("https://redis.example.com", "t", namespace=f"{case.redis.namespace}-keys").keys(PORT)
    return [
        run(keys.create_many({"anna": SubjectKey("k1", b"0" * 32)})),
        run(keys.get_many(["anna", "bert"])),
        run(keys.readmit("anna")),
    ]


REDIS["keys"] = _keys


class Recorded(NamedTuple):
    ask: Ask
    answers: list[HttpResponse]


def case(namespace: str = "lies") -> Case:
    backend = UpstashRedis("https://redis.example.com", "the-token", namespace=namespace)
    return Case(Players(backend, expires=False), QStash.from_env(environ=ENVIRON))


@pytest.fixture(scope="module")
def recorded() -> Mapping[str, Recorded]:
    """What a true server answers to each: a stream has two events, and the view knows them where it is not folded."""
    found: dict[str, Recorded] = {}
    with LocalUpstash() as upstash, pytest.MonkeyPatch.context() as patch:
        real = http.send
        answers: list[HttpResponse] = []

        def send(request: Any) -> HttpResponse:
            headers = {**request.headers, "authorization": f"Bearer {upstash.redis_token}"}
            url = request.url.replace("https://redis.example.com", upstash.redis_url)
            answers.append(real(type(request)(request.method, url, headers, request.body, 10.0)))
            return answers[-1]

        patch.setattr(http, "send", send)
        for name, ask in REDIS.items():
            of = case(uuid4().hex)
            of.players.app.event_store.append("s-1", Scored("a", 3), Scored("b", 4), tags=["x"], metadata={"q": 1})
            if name not in FOLDING:
                of.players.app.projector.catch_up()
            answers.clear()
            try:
                ask(of)
            except EventSourceError:  # the conflict
                assert name == "conflict"
            found[name] = Recorded(ask, answers.copy())
    return found


def told(ask: Ask, liar: Liar) -> None:
    """Ask a liar. What is raised has to be of this library."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(http, "send", liar.send)
        patch.setattr(time, "sleep", lambda seconds: None)  # before it is asked again
        said = ""
        try:
            ask(case())
        except EventSourceError as error:
            said = str(error)
    assert "the-token" not in said


def test_the_answers_are_those_of_a_true_server(recorded: Mapping[str, Recorded]) -> None:
    assert all(each.answers for each in recorded.values())
    assert sum(len(lies(each.answers)) for each in recorded.values()) > 300


@settings(max_examples=examples(25))
@given(data=st.data())
def test_redis_answers_anything(recorded: Mapping[str, Recorded], data: st.DataObject) -> None:
    # Many in each example, since drawing costs more than asking.
    name = data.draw(st.sampled_from(sorted(recorded)))
    ask, answers = recorded[name]
    number, path = data.draw(st.sampled_from(lies(answers)))
    for change in data.draw(st.lists(st.sampled_from(CHANGES), min_size=4, max_size=8)):
        told(ask, Liar(answers, number, lie(answers[number], path, change)))


@settings(max_examples=examples(40))
@given(name=st.sampled_from(sorted(REDIS)), body=st.binary(max_size=60), status=st.sampled_from([200, 400, 500, 429]))
def test_redis_answers_any_bytes(name: str, body: bytes, status: int) -> None:
    told(REDIS[name], Liar([HttpResponse(status, {}, b"{}")], 0, body))


def test_every_lie_at_every_place(recorded: Mapping[str, Recorded]) -> None:
    """In CI one in many of them, another one at each place."""
    step = max(1, 50 // thorough())
    every = 0
    for ask, answers in recorded.values():
        for number, path in lies(answers):
            for change in CHANGES:
                every += 1
                if every % step == 0:
                    told(ask, Liar(answers, number, lie(answers[number], path, change)))
    assert every > 10_000


@pytest.mark.parametrize(
    ("name", "result"),
    [
        ("read", ["ok", 3, "2", [], "1"]),
        ("read stream", ["ok", 3, "2", [], "1", None]),
        ("append", ["again", 3, "1", "1", "5"]),
        ("catch up", ["ok", 2, "2", [None, None], "0", [], "1"]),
        ("get", []),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_server_that_always_wants_to_be_asked_again(name: str, result: list[object]) -> None:
    liar = Liar([HttpResponse(200, {}, b"{}")], 0, json.dumps({"result": result}).encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(http, "send", liar.send)
        with pytest.raises(EventSourceError):
            REDIS[name](case())


def test_who_asks_for_ever_is_found_out() -> None:
    """The proof that the suite can fail: a loop as there was one in each of these."""

    def read(of: Case) -> object:
        while True:
            result, _ = run(of.redis.transport(PORT).command("GET", "k"))
            if not result:
                return None

    liar = Liar([HttpResponse(200, {}, b"{}")], 0, b'{"result":"more"}')
    with pytest.raises(Endless):
        told(read, liar)


def test_what_is_misread_is_found_out() -> None:
    """Likewise: an answer that is taken for what it ought to be."""

    def length(of: Case) -> object:
        result, _ = run(of.redis.transport(PORT).command("GET", "k"))
        text: Any = result
        return text.partition(" ")

    with pytest.raises(AttributeError):
        told(length, Liar([HttpResponse(200, {}, b"{}")], 0, b'{"result":5}'))


STORED = {"scheduleId": "s", "cron": "* * * * *", "destination": "https://x.example.com/", "header": {"a": ["b"]}}
LETTER = {"dlqId": "1724242424242-0", "messageId": "m", "url": "https://x.example.com/", "createdAt": 1, "body": "b"}
MESSAGE = Message("m-1", "https://x.example.com/", b"{}", {}, 0, None, "POST")

QSTASH: Final[Mapping[str, tuple[Ask, list[object]]]] = {
    "notify": (lambda case: run(case.qstash.notices(PORT).send(1, 1)), [{"messageId": "m"}]),
    "publish": (lambda case: _messages(case).publish([MESSAGE]), [{"messageId": "m"}]),
    "publish many": (lambda case: _messages(case).publish([MESSAGE] * 3), [[{"messageId": "m"}] * 3]),
    "dead": (
        lambda case: Messages(Memory(), case.qstash).dead(),
        [{"messages": [LETTER], "cursor": "c"}, {"messages": []}],
    ),
    "revive": (lambda case: Messages(Memory(), case.qstash).revive("m"), [{"messages": [LETTER]}, {}]),
    "schedules": (lambda case: Schedules(case.qstash).list(), [[STORED, STORED]]),
    "schedule": (lambda case: Schedules(case.qstash).get("s"), [STORED]),
    "sweep": (lambda case: Schedules(case.qstash).ensure_sweep(), [STORED, {"scheduleId": "s"}]),
    "check": (lambda case: run(case.qstash.check(PORT)), [{"current": "sig_1", "next": "sig_2"}]),
}


class _Publishing(NamedTuple):
    qstash: QStash

    def publish(self, messages: list[Message]) -> object:
        carrier = self.qstash.messages(PORT)
        assert carrier is not None
        return run(carrier.publish(messages))


def _messages(case: Case) -> _Publishing:
    return _Publishing(case.qstash)


@pytest.mark.parametrize("name", QSTASH)
def test_qstash_answers_anything(name: str) -> None:
    ask, bodies = QSTASH[name]
    answers = [HttpResponse(200, {}, json.dumps(body).encode()) for body in bodies]
    step = max(1, 10 // thorough())
    every = [(number, path, change) for number, path in lies(answers) for change in CHANGES]
    for number, path, change in every[::step]:
        told(ask, Liar(answers, number, lie(answers[number], path, change)))


@settings(max_examples=examples(40))
@given(name=st.sampled_from(sorted(QSTASH)), body=st.binary(max_size=60), status=st.sampled_from([200, 400, 404, 500]))
def test_qstash_answers_any_bytes(name: str, body: bytes, status: int) -> None:
    told(QSTASH[name][0], Liar([HttpResponse(status, {}, b"{}")], 0, body))


def test_cursors_without_an_end() -> None:
    class Pages(Liar):
        def send(self, request: Any) -> HttpResponse:
            self.asked += 1
            body = {"messages": [], "cursor": str(self.asked)}
            return HttpResponse(200, {}, json.dumps(body).encode())

    pages = Pages([], 0, b"")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(http, "send", pages.send)
        with pytest.raises(Refused, match="not QStash"):
            Messages(Memory(), QStash.from_env(environ=ENVIRON)).revive("m")


def test_cursors_in_a_circle() -> None:
    bodies = [{"messages": [], "cursor": cursor} for cursor in "abab"]
    answers = [HttpResponse(200, {}, json.dumps(body).encode()) for body in bodies]
    liar = Liar(answers, 4, b"{}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(http, "send", liar.send)
        assert not Messages(Memory(), QStash.from_env(environ=ENVIRON)).revive("m")
    assert liar.asked == 3


@pytest.mark.parametrize("reset", [2**62, -1, 10**300, 10**16])  # the last one: the year 318857, in milliseconds
def test_a_limit_that_ends_at_no_time(reset: int) -> None:
    """Found by every lie at every place: a moment that no calendar has."""
    answer = HttpResponse(200, {}, json.dumps({"result": [5, reset]}).encode())
    told(REDIS["bucket"], Liar([answer], 0, answer.body))


def test_the_lies_are_many() -> None:
    assert len(CHANGES) == len(WILD) + 4
    assert examples(1) >= 1
