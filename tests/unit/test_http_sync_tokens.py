"""Sync tokens: a caller reads what it wrote, whatever order answers come in and however far copies lag behind."""

from __future__ import annotations

import contextvars

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventsource_upstash import Refused
from eventsource_upstash._io import blocking
from eventsource_upstash._io.port import HttpResponse
from eventsource_upstash.backends.redis.sync_tokens import Sending, SyncTokens
from eventsource_upstash.backends.redis.transport import HttpTransport
from tests.faults.transport.support import Said
from tests.searching import examples

TOKEN = "upstash-sync-token"


class Caller:
    """A thread, or a task: somebody with a context of its own, who waits for one answer at a time.

    Attributes:
        seen: The state that it has seen, or written.
        pending: The request under way: what was begun, the state of the answer (None as long as the primary has not
            done it), and whether the primary gives it.
    """

    def __init__(self) -> None:
        self.context = contextvars.copy_context()
        self.seen = 0
        self.pending: tuple[Sending, int | None, bool] | None = None


MOVES = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.one_of(st.sampled_from(["write", "do", "answer", "lose"]), st.tuples(st.just("read"), st.integers(0, 5))),
    ),
    max_size=60,
)


@given(MOVES)
@settings(max_examples=examples(500))
def test_nobody_reads_less_than_it_has_seen(moves: list[tuple[int, str | tuple[str, int]]]) -> None:
    tokens = SyncTokens()
    callers = [Caller() for _ in range(4)]
    head = 0
    for who, move in moves:
        caller = callers[who]
        if caller.pending is None and move == "write":
            caller.pending = (caller.context.run(tokens.begin), None, True)
        elif caller.pending is None and isinstance(move, tuple):
            sending = caller.context.run(tokens.begin)
            # The copy lags behind as far as it can; the token keeps it from lagging further.
            state = max(int(sending.token or 0), head - int(move[1]))
            assert state >= caller.seen, "a copy answers from before what the caller has seen"
            caller.pending = (sending, state, False)
        elif caller.pending is not None and isinstance(move, str) and move != "write":
            (begun, done, primary), caller.pending = caller.pending, None
            if done is None:
                head += 1
                done = head
            if move == "do":
                caller.pending = (begun, done, primary)
            elif move == "answer":
                caller.seen = done
                caller.context.run(tokens.answered, begun, str(done), by_primary=primary)


def test_a_late_answer_does_not_move_anybody_back() -> None:
    tokens = SyncTokens()
    slow, quick = Caller(), Caller()
    early = slow.context.run(tokens.begin)
    late = quick.context.run(tokens.begin)
    quick.context.run(tokens.answered, late, "2", by_primary=True)
    slow.context.run(tokens.answered, early, "1", by_primary=True)
    assert quick.context.run(tokens.begin).token == "2"
    assert slow.context.run(tokens.begin).token == "1"  # its own: the other one need not hold what this one wrote
    assert Caller().context.run(tokens.begin).token == "2"


def test_who_comes_later_is_sent_on_with_the_newest_of_all() -> None:
    tokens = SyncTokens()
    reader, writer = Caller(), Caller()
    reader.context.run(tokens.answered, reader.context.run(tokens.begin), "1", by_primary=False)
    writer.context.run(tokens.answered, writer.context.run(tokens.begin), "7", by_primary=True)
    assert reader.context.run(tokens.begin).token == "7"  # a page that one thread writes is read by another


def test_a_task_goes_on_from_what_its_parent_has_seen() -> None:
    tokens = SyncTokens()
    parent, other = Caller(), Caller()
    overlapping = other.context.run(tokens.begin)
    parent.context.run(tokens.answered, parent.context.run(tokens.begin), "3", by_primary=True)
    other.context.run(tokens.answered, overlapping, "2", by_primary=True)
    assert parent.context.copy().run(tokens.begin).token == "3"


def test_an_answer_without_a_token_changes_nothing() -> None:
    tokens = SyncTokens()
    caller = Caller()
    caller.context.run(tokens.answered, caller.context.run(tokens.begin), "3", by_primary=True)
    caller.context.run(tokens.answered, caller.context.run(tokens.begin), None, by_primary=True)
    assert caller.context.run(tokens.begin).token == "3"


def test_transports_to_one_database_share_their_tokens() -> None:
    def transport(*tokens_answered: str) -> tuple[Said, HttpTransport]:
        port = Said(*[HttpResponse(200, {TOKEN: token}, b'{"result":1}') for token in tokens_answered])
        return port, HttpTransport(port, "https://x.example.com", "token", tokens=shared)

    shared = SyncTokens()
    log_port, log = transport("first")
    views_port, views = transport("second")

    def write_and_read() -> None:
        blocking.run(log.command("SET", "k", "v"))
        blocking.run(views.command("GET", "k"))
        blocking.run(log.command("SET", "k", "v"))

    contextvars.copy_context().run(write_and_read)
    assert [request.headers.get(TOKEN) for request in log_port.sent] == [None, "second"]
    assert [request.headers.get(TOKEN) for request in views_port.sent] == ["first"]


def test_an_answer_that_failed_has_no_token() -> None:
    port = Said(HttpResponse(502, {TOKEN: "of a proxy"}, b""), HttpResponse(200, {}, b'{"result":1}'))
    transport = HttpTransport(port, "https://x.example.com", "token", clock=port.clock)
    contextvars.copy_context().run(lambda: blocking.run(transport.command("GET", "k")))
    assert [request.headers.get(TOKEN) for request in port.sent] == [None, None]


def test_what_a_copy_answers_covers_no_more_than_what_it_was_sent() -> None:
    tokens = SyncTokens()
    writer, other, reader = Caller(), Caller(), Caller()
    slow = writer.context.run(tokens.begin)
    other.context.run(tokens.answered, other.context.run(tokens.begin), "1", by_primary=True)
    writer.context.run(tokens.answered, slow, "2", by_primary=True)
    reading = reader.context.run(tokens.begin)
    assert reading.token == "1"
    reader.context.run(tokens.answered, reading, "1", by_primary=False)  # begun after the write, and without it
    assert writer.context.run(tokens.begin).token == "2"


def test_a_refusal_may_be_a_copys() -> None:
    tokens = SyncTokens()
    port = Said(
        HttpResponse(200, {TOKEN: "1"}, b'{"result":1}'), HttpResponse(400, {TOKEN: "0"}, b'{"error":"ERR no"}')
    )
    transport = HttpTransport(port, "https://x.example.com", "token", tokens=tokens)

    def write_twice() -> None:
        blocking.run(transport.command("SET", "k", "v"))
        with pytest.raises(Refused):
            blocking.run(transport.command("SET", "k", "v"))

    contextvars.copy_context().run(write_twice)
    assert Caller().context.run(tokens.begin).token == "1"
