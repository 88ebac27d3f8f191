"""Appends to Redis: what the script is given, and what each of its answers means, by a server that answers so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from eventsource_upstash import CorruptLog, LogRewound, OutcomeUnknown, Refused, Unavailable
from eventsource_upstash.backends.redis import log as logs
from eventsource_upstash.backends.redis.replies import Refusal, Reply
from eventsource_upstash.domain.events import EXISTS, Appended, Receipt
from eventsource_upstash.domain.queries import AppendCondition, Query, QueryItem
from eventsource_upstash.errors import TooLarge
from eventsource_upstash.ports import MAX_PAGE_BYTES, Append, Conflict, KeyReused, Snapshot, Unmet
from tests.unit.answering import LOST, NOW, Answering, append_of, entry, log_over, run

MINE = {"recorded_us": NOW, "number": 5}
"""What tells an append of `append_of` from others."""


def ok(position: int, revision: int, status: str = "ok", *, owes: str = "0", calls: int = 6) -> list[object]:
    return [status, calls, str(position), str(revision), owes, False, False]


def stream(revision: int, *entries: object, calls: int = 3, wanted: object = False) -> list[object]:
    return ["ok", calls, str(revision), list(entries), wanted, False]


def conflict(actual: int, *entries: object, raised: int = 0) -> list[object]:
    return ["conflict", 3, str(actual), list(entries), str(raised)]


def cost(receipt: Receipt) -> tuple[int, int, int]:
    return receipt.requests, receipt.commands, receipt.retries


def append(given: Append, *answers: object, **options: Any) -> tuple[Any, Answering]:
    log, server = log_over(*answers, **options)
    answer = run(log.append(given))
    assert not server.answers, "it asks for less than it has to"
    return answer, server


def test_what_an_append_is_given() -> None:
    answer, server = append(append_of(2), ok(8, 2, owes="1", calls=7))
    (asked,) = server.asked
    assert asked.keys == [
        *("{ns}:head", "{ns}:notice", "{ns}:log", "{ns}:marks", "{ns}:revision:s", "{ns}:stream:s"),
        *("{ns}:log:0", "{ns}:marks:0", "{ns}:stream-0:s"),
    ]
    head = ["2", "*", f"{NOW}-5", "0", "", "60000000", "0", "0"]
    assert asked.arguments[:8] == head
    assert asked.arguments[9:] == [
        "1000000",
        "s",
        "",
        "",
        "",
        "",
        "",
        "1",
        "",
        "0",
        "1:added",
        "0",
        "1:added",
        "1",
        "tadded",
        "*",
    ]
    assert answer == Appended(8, 2, answer.receipt, repeated=False, owes_notification=True)
    assert cost(answer.receipt) == (1, 7, 0)


def test_what_an_append_with_everything_is_given() -> None:
    condition = AppendCondition(Query((QueryItem(frozenset(("b", "a")), frozenset(("z", "y"))),)), 150)
    given = append_of(
        2, EXISTS, metadata=b"{}", tags=(b'["y"]', None), key="once", digest=b"\xab", notifies=True,
        condition=condition, snapshot=Snapshot("total", 3, b"7"),
    )  # fmt: skip
    log, server = log_over(ok(8, 2))
    log.archives.learn_cuts("101,201")
    log.archives.log = 2
    log.archives.learn("s", 4)
    run(log.append(given))
    (asked,) = server.asked
    assert asked.keys[6:] == [
        *("{ns}:log:2", "{ns}:marks:2", "{ns}:stream-4:s", "{ns}:once:once", "{ns}:snapshot:1:s:total"),
        "{ns}:marks:1",  # where what comes after the condition's position begins
    ]
    tags = '\1["[\\"y\\"]",null]'
    assert asked.arguments[:8] == ["2", "+", f"{NOW}-5", "0", str(NOW), "60000000", "2", "4"]
    assert asked.arguments[9:20] == [
        "1000000",
        "s",
        "{}",
        tags,
        f"ab/{NOW}-5 ",
        " s",
        "3 7",
        "2",
        "150",
        "1",
        "1:added",
    ]
    assert asked.arguments[23:] == ["tadded", "*", "gy", "0", "1", "3", "1", "gy", "1", "gz", "2", "ta", "tb"]


@pytest.mark.parametrize(("after", "oldest"), [(99, "0"), (100, "1"), (199, "1"), (200, "2")])
def test_a_condition_is_about_the_archives_from_the_one_of_the_next_event_on(after: int, oldest: str) -> None:
    log, server = log_over(ok(8, 2))
    log.archives.learn_cuts("101,201")
    log.archives.log = 2
    run(log.append(append_of(condition=AppendCondition(Query((QueryItem(frozenset("a")),)), after))))
    assert server.asked[0].arguments[17:19] == [str(after), oldest]
    assert server.asked[0].keys[9:] == [f"{{ns}}:marks:{index}" for index in range(int(oldest), 2)]


@pytest.mark.parametrize("expected", [0, 3])
def test_an_expected_revision_is_said_as_it_is(expected: int) -> None:
    _, server = append(append_of(1, expected), ok(8, 4))
    assert server.asked[0].arguments[1] == str(expected)


def test_an_append_counts_as_many_bytes_as_it_takes_and_some_for_the_entry() -> None:
    small, large = (
        append(append_of(), ok(1, 1))[1],
        append(append_of(metadata=b"m" * 50, tags=b"t" * 20), ok(1, 1))[1],
    )
    sizes = [int(server.asked[0].arguments[8]) for server in (small, large)]
    assert sizes[1] - sizes[0] == 50 + 20
    assert 100 < sizes[0] < 150
    events = [("added", 1, "ü".encode() * 1_000)]
    long = append(Append("s" * 40, 0, events, NOW, 5), ok(1, 1))[1]
    assert int(long.asked[0].arguments[8]) - sizes[0] == 39 + 2_000 - 1


def test_who_is_told_of_other_archives_names_these() -> None:
    again = ["again", 2, "3", "2", "11,21,31"]
    log, server = log_over(again, ["ok", 9, "41", "1", "0", "11,21,31,41", "3"])
    answer = run(log.append(append_of()))
    assert server.asked[1].keys[6:9] == ["{ns}:log:3", "{ns}:marks:3", "{ns}:stream-2:s"]
    assert [asked.arguments[3] for asked in server.asked] == ["0", "0"]
    assert cost(answer.receipt) == (2, 11, 0)
    assert (log.archives.log, log.archives.of("s"), log.archives.cuts) == (4, 3, (11, 21, 31, 41))


def test_after_a_lost_answer_it_is_said_that_it_may_be_there() -> None:
    answer, server = append(append_of(), LOST, ["again", 2, "1", "1", "11"], ok(8, 2))
    first, second, _ = server.asked
    assert [asked.arguments[3] for asked in server.asked] == ["0", "1", "1"]
    assert [second.arguments[:3], second.arguments[4:]] == [first.arguments[:3], first.arguments[4:]]
    assert cost(answer.receipt) == (3, 1 + 2 + 6, 1)


def test_a_client_that_sends_twice_says_first_that_it_may_be_there() -> None:
    answer, server = append(append_of(), ["unknown", 2], ok(8, 2), sends_twice=True)
    assert [asked.arguments[3] for asked in server.asked] == ["1", "2"]
    assert answer.position == 8
    assert cost(answer.receipt) == (2, 8, 0)


@pytest.mark.parametrize(("sends_twice", "answers"), [(False, [["unknown", 2]]), (True, [LOST, ["unknown", 2]])])
def test_what_cannot_be_told_is_unknown(sends_twice: bool, answers: list[object]) -> None:
    with pytest.raises(OutcomeUnknown, match=r"namespace 'ns': .* stream 's' was lost"):
        append(append_of(), *answers, sends_twice=sends_twice)


@pytest.mark.parametrize(("answers", "repeated"), [([], True), ([LOST], False)])
def test_what_is_there_already_is_a_repeat_unless_this_call_has_written_it(
    answers: list[object], repeated: bool
) -> None:
    assert append(append_of(), *answers, ok(8, 2, "repeated"))[0].repeated is repeated


@pytest.mark.parametrize(("identity", "answers", "repeated"), [
    (f"{NOW}-5", [], True), (f"{NOW}-5", [LOST], False), (f"{NOW}-6", [LOST], True),
])  # fmt: skip
def test_a_key_that_is_known_is_answered_as_the_first_time(
    identity: str, answers: list[object], repeated: bool
) -> None:
    given = append_of(1, key="k", digest=b"\xab", notifies=True)
    answer, _ = append(given, *answers, ["known", 2, f"ab/{identity} 8 2 s", "8"])
    assert answer == Appended(8, 2, answer.receipt, repeated=repeated, owes_notification=True)
    assert append(given, ["known", 2, f"ab/{identity} 8 2 s", "7"])[0].owes_notification is False
    unnotified = append_of(1, key="k", digest=b"\xab")
    assert append(unnotified, ["known", 2, f"ab/{identity} 8 2 s", "8"])[0].owes_notification is False


@pytest.mark.parametrize("record", [f"ac/{NOW}-5 8 2 s", f"ab/{NOW}-5 8 2 t"])
def test_a_key_that_was_used_for_something_else(record: str) -> None:
    answer, _ = append(append_of(1, key="k", digest=b"\xab"), ["known", 2, record, "0"])
    assert isinstance(answer, KeyReused)
    assert cost(answer.receipt) == (1, 2, 0)


@pytest.mark.parametrize(("record", "found"), [
    (f"ab/{NOW}-5 8 2 s", Appended), (f"ab/{NOW}-5 8 2 t", KeyReused), (None, Receipt),
])  # fmt: skip
def test_what_is_recalled_by_a_key(record: str | None, found: type[object]) -> None:
    log, server = log_over(record)
    answer = run(log.recall("s", "k"))
    assert isinstance(answer, found)
    assert cost(answer if isinstance(answer, Receipt) else answer.receipt) == (1, 1, 0)
    assert server.asked[0].arguments == ["{ns}:once:k"]
    if isinstance(answer, Appended):
        assert (answer.position, answer.revision, answer.repeated) == (8, 2, True)


def test_to_recall_writes_nothing() -> None:
    with pytest.raises(Unavailable, match="nothing was written"):
        run(log_over(*[LOST] * 6)[0].recall("s", "k"))


def test_something_else_at_a_key_is_named() -> None:
    log, _ = log_over("something else")
    with pytest.raises(Refused, match=r"namespace 'ns': the key '{ns}:once:k' holds"):
        run(log.recall("s", "k"))


class TestConflicts:
    """What an append is told whose stream is not where it expected it."""

    def test_what_was_missed_comes_with_it(self) -> None:
        answer, _ = append(append_of(1, 1), conflict(4, entry(2), entry(4, 2)))
        assert isinstance(answer, Conflict)
        assert [row[2] for row in answer.missed] == [2, 3, 4]
        assert (answer.actual, answer.complete) == (4, True)
        assert cost(answer.receipt) == (1, 3, 0)

    def test_what_was_missed_and_is_not_what_was_written_is_told(self) -> None:
        with pytest.raises(CorruptLog, match="namespace 'ns': the entry of 's' after revision 2 is not what was"):
            append(append_of(1, 1), conflict(4, entry(2), ["4-0", ["p"]]))

    def test_an_entry_that_begins_before_is_cut(self) -> None:
        answer, server = append(append_of(1, 2), conflict(4, entry(4, 3)))
        assert [row[2] for row in answer.missed] == [3, 4]
        assert len(server.asked) == 1

    def test_too_many_to_carry_are_cut_and_it_is_said(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(logs, "MAX_PAGE_EVENTS", 2)
        answer, _ = append(append_of(1, 1), conflict(4, entry(4, 3)))
        assert [row[2] for row in answer.missed] == [2, 3]
        assert not answer.complete

    @pytest.mark.parametrize("expected", [5, 9, EXISTS])
    def test_whoever_expected_more_has_missed_nothing(self, expected: Any) -> None:
        answer, _ = append(append_of(1, expected), conflict(4))
        assert answer == Conflict(4, [], complete=True, receipt=answer.receipt)
        assert cost(answer.receipt) == (1, 3, 0)

    def test_whoever_expected_as_much_has_missed_nothing(self) -> None:
        assert append(append_of(1, 4), conflict(4))[0].missed == []

    @pytest.mark.parametrize("expected", [5, EXISTS])
    def test_a_late_attempt_may_still_come_true(self, expected: Any) -> None:
        with pytest.raises(OutcomeUnknown, match=r"namespace 'ns': the stream 's' is at revision 4, which is before"):
            append(append_of(1, expected), LOST, conflict(4))

    def test_what_is_in_archives_is_read(self) -> None:
        answer, server = append(
            append_of(1, 1), conflict(6, entry(6)), stream(6, entry(3, 2), calls=4), stream(6, entry(5, 2)),
            stream(6, entry(6)),
        )  # fmt: skip
        assert [row[2] for row in answer.missed] == [2, 3, 4, 5, 6]
        assert answer.complete
        assert cost(answer.receipt) == (4, 3 + 4 + 3 + 3, 0)
        assert [asked.arguments[0] for asked in server.asked[1:]] == ["1", "3", "5"]
        assert [asked.arguments[2] for asked in server.asked[1:]] == [str(MAX_PAGE_BYTES)] * 3

    def test_no_more_is_read_than_is_carried(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(logs, "MAX_PAGE_EVENTS", 3)
        answer, server = append(append_of(1, 1), conflict(6), stream(6, entry(3, 2)), stream(6, entry(4)))
        assert [row[2] for row in answer.missed] == [2, 3, 4]
        assert not answer.complete
        assert [asked.arguments[1] for asked in server.asked[1:]] == ["3", "1"]

    def test_no_more_bytes_are_read_than_are_carried(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(logs, "MAX_PAGE_BYTES", 4)
        answer, _ = append(append_of(1, 1), conflict(6), stream(6, entry(3, 2)))
        assert [row[2] for row in answer.missed] == [2, 3]
        assert not answer.complete

    def test_what_came_after_it_was_answered_is_left_out(self) -> None:
        answer, _ = append(append_of(1, 1), conflict(3), stream(5, entry(5, 4)))
        assert [row[2] for row in answer.missed] == [2, 3]
        assert answer.complete

    @pytest.mark.parametrize(
        ("lost", "raised", "notifies"), [(True, 103, True), (False, 103, True), (True, 102, True), (True, 103, False)]
    )
    def test_this_very_append_in_an_archive_is_no_conflict(self, lost: bool, raised: int, notifies: bool) -> None:
        answer, _ = append(
            append_of(2, 1, notifies=notifies), *([LOST] if lost else []), conflict(6, entry(6), raised=raised),
            stream(6, entry(3, 2, **MINE)),
        )  # fmt: skip
        owes = raised == 103 and notifies
        assert answer == Appended(103, 3, answer.receipt, repeated=not lost, owes_notification=owes)
        assert cost(answer.receipt) == (2 + lost, 6 + lost, int(lost))

    def test_the_rest_of_this_very_append_may_be_on_the_next_page(self) -> None:
        whole = entry(4, 3, **MINE)
        first = [whole[0], whole[1]]
        page = [entry(2, 1, **MINE)]
        answer, server = append(append_of(3, 1), conflict(6, entry(6)), stream(6, *page), stream(6, first, calls=5))
        assert (answer.position, answer.revision, answer.repeated) == (104, 4, True)
        assert server.asked[2].arguments[:3] == ["3", "1", "1"]
        assert server.asked[2].keys[:2] == ["{ns}:revision:s", "{ns}:stream:s"]
        assert cost(answer.receipt) == (3, 3 + 3 + 5, 0)

    @pytest.mark.parametrize("rest", [[], [entry(4, recorded_us=NOW, number=8)]])
    def test_what_only_begins_like_this_append_is_a_conflict(self, rest: Sequence[object]) -> None:
        pages = [stream(4, *rest)] if rest else [stream(3)]
        answer, _ = append(append_of(3, 1), conflict(3), stream(3, entry(3, 2, **MINE)), *pages)
        assert isinstance(answer, Conflict)
        assert [row[2] for row in answer.missed] == [2, 3]

    def test_what_was_missed_may_be_gone(self) -> None:
        answer, _ = append(append_of(1, 1), conflict(3), stream(1))
        assert (answer.actual, answer.missed, answer.complete) == (3, [], False)

    def test_another_append_there_is_a_conflict(self) -> None:
        answer, _ = append(append_of(1, 1), conflict(2), stream(2, entry(2, recorded_us=NOW, number=6)))
        assert isinstance(answer, Conflict)


class TestUnmet:
    """What an append is told whose condition is not met, where it may be in the archives of its stream."""

    def test_nothing_of_the_stream_is_in_archives(self) -> None:
        answer, _ = append(append_of(), ["unmet", 4, "9", "0"])
        assert answer == Unmet(9, answer.receipt)
        assert cost(answer.receipt) == (1, 4, 0)

    @pytest.mark.parametrize("lost", [False, True])
    def test_this_very_append_is_among_them(self, lost: bool) -> None:
        before = [LOST] if lost else []
        answer, server = append(
            append_of(2), *before, ["unmet", 4, "9", "8"], stream(9, entry(4, 4)), stream(9, entry(6, 2, **MINE))
        )
        assert answer == Appended(106, 6, answer.receipt, repeated=not lost)
        assert [asked.arguments[:2] for asked in server.asked[-2:]] == [["0", "8"], ["4", "4"]]
        assert [asked.arguments[2] for asked in server.asked[-2:]] == [str(MAX_PAGE_BYTES)] * 2
        assert cost(answer.receipt) == (3 + lost, 10 + lost, int(lost))

    def test_it_is_not_among_them(self) -> None:
        answer, _ = append(append_of(2), ["unmet", 4, "9", "4"], stream(9, entry(2, 2)), stream(9, entry(4, 2)))
        assert answer == Unmet(9, answer.receipt)
        assert cost(answer.receipt) == (3, 10, 0)

    def test_it_is_looked_back_so_far_and_no_farther(self) -> None:
        _, server = append(append_of(), ["unmet", 4, "9", "300"], stream(301, entry(300, 200)))
        assert server.asked[1].arguments[:2] == ["100", "200"]


class TestTrouble:
    """Each answer that is none to what was asked has its error."""

    def test_a_log_that_was_set_back(self) -> None:
        with pytest.raises(LogRewound) as caught:
            append(append_of(), ["rewound", 2, "7", "9"])
        assert (caught.value.projection, caught.value.head, caught.value.checkpoint) == (None, 7, 9)

    def test_a_stream_that_lost_its_end(self) -> None:
        with pytest.raises(
            CorruptLog, match=r"namespace 'ns': stream 's' holds an event of revision 9, .* ends with 7"
        ):
            append(append_of(), ["torn", 2, "7", "9"])

    @pytest.mark.parametrize("key", [None, "k"])
    def test_something_at_a_key_of_a_new_log(self, key: str | None) -> None:
        with pytest.raises(Refused, match=r"namespace 'ns': the log is empty") as caught:
            append(append_of(key=key), ["occupied", 2])
        names = ["{ns}:head", "{ns}:revision:s", "{ns}:notice"] + ([] if key is None else ["{ns}:once:k"])
        assert f"the keys {', '.join(map(repr, names))} holds" in str(caught.value)

    @pytest.mark.parametrize(("reason", "remedy"), [
        ("OOM command not allowed", "The database is full"), ("ERR what", "something else, choose another one"),
    ])  # fmt: skip
    def test_what_the_engine_refused(self, reason: str, remedy: str) -> None:
        with pytest.raises(Refused, match=rf"namespace 'ns': the append to stream 's' .*{reason}.*{remedy}"):
            append(append_of(), ["error", 2, reason])
        with pytest.raises(Refused) as caught:
            append(append_of(), ["error", 2, "x" * 400])
        assert "x" * 300 in str(caught.value)
        assert "x" * 301 not in str(caught.value)

    def test_a_request_that_is_too_large_names_the_append(self) -> None:
        with pytest.raises(TooLarge, match=r"the append of 2 event\(s\) to stream 's'") as caught:
            append(append_of(2), TooLarge(what="the request", size=9, limit=8))
        assert (caught.value.size, caught.value.limit) == (9, 8)

    def test_more_events_than_a_script_takes_are_not_sent(self) -> None:
        append(append_of(3_000), ok(3_000, 3_000))
        with pytest.raises(TooLarge, match=r"the append to stream 's'.*3,?001.*3,?000 events"):
            append(append_of(3_001))

    def test_something_else_at_a_key_of_the_log(self) -> None:
        with pytest.raises(Refused, match=r"the key '{ns}:revision:s' holds"):
            append(append_of(), ["foreign", 2, "what", 5])
        with pytest.raises(Refused, match=r"the key '{ns}:head' holds"):
            append(append_of(), ["foreign", 2, "what"])


class TestMany:
    """Several appends: the first alone, those after it in one request."""

    def many(self, appends: Sequence[Append], *answers: object, **options: Any) -> tuple[list[Any], Answering]:
        log, server = log_over(*answers, **{"pipelines": True, **options})
        found = run(log.append_many(appends))
        assert not server.answers
        return found, server

    def test_each_is_written_where_the_one_before_ends(self) -> None:
        answers = [Reply(ok(10, 2)), Reply(ok(11, 3, "repeated"))]
        found, server = self.many([append_of(2), append_of(2), append_of()], ok(8, 2, calls=7), answers)
        assert [(each.position, each.repeated) for each in found] == [(8, False), (10, False), (11, True)]
        ((second, third),) = server.many
        assert [each.arguments[3] for each in (second, third)] == ["0", "0"]
        assert [(each.arguments[5], each.arguments[9]) for each in (second, third)] == [("60000000", "1000000")] * 2
        assert [each.arguments[17] for each in (second, third)] == ["=8", "=10"]
        total = sum([each.receipt for each in found], Receipt())
        assert cost(total) == (2, 7 + 6 + 6, 0)

    @pytest.mark.parametrize("refused", [
        Refusal("OOM"), Reply(["behind", 2, "8"]), Reply(None), Reply(["unmet", 2, "8", "0"]),
    ])  # fmt: skip
    def test_what_comes_after_one_that_was_not_written_is_left_to_the_caller(self, refused: object) -> None:
        answers = [Reply(ok(9, 1)), refused, Reply(ok(11, 3))]
        found, _ = self.many([append_of() for _ in range(4)], ok(8, 2), answers)
        assert [each.position for each in found] == [8, 9]
        # Three were sent; those that were not written cost what their calls cost.
        assert cost(sum([each.receipt for each in found], Receipt())) == (2, 6 + 3 + 5, 0)

    def test_where_the_first_of_them_was_not_written_only_the_first_append_was(self) -> None:
        found, _ = self.many([append_of()] * 3, ok(8, 2), [Reply(["behind", 2, "8"]), Reply(ok(9, 1))])
        assert [(each.position, cost(each.receipt)) for each in found] == [(8, (2, 6 + 2, 0))]

    def test_what_each_has_cut_is_learned(self) -> None:
        log, _ = log_over(ok(8, 2), [Reply(["ok", 9, "9", "3", "0", "5", "4"])], pipelines=True)
        run(log.append_many([append_of(), append_of()]))
        assert (log.archives.cuts, log.archives.log, log.archives.of("s")) == ((5,), 1, 4)

    def test_one_is_an_append(self) -> None:
        found, server = self.many([append_of()], ok(8, 2))
        assert [each.position for each in found] == [8]
        assert not server.many

    def test_none_follows_one_that_was_not_written(self) -> None:
        found, _ = self.many([append_of(1, 1), append_of()], conflict(3, entry(3, 2)))
        assert [type(each) for each in found] == [Conflict]

    def test_what_cannot_send_several_sends_the_first(self) -> None:
        found, _ = self.many([append_of(), append_of()], ok(8, 2), pipelines=False)
        assert len(found) == 1

    def test_no_more_bytes_are_sent_than_are_enough(self, monkeypatch: pytest.MonkeyPatch) -> None:
        large = append_of(metadata=b"m" * 1_000)
        size = int(append(large, ok(1, 1))[1].asked[0].arguments[8])
        monkeypatch.setattr(logs, "MANY_BYTES", 2 * size)
        found, server = self.many([large] * 4, ok(8, 2), [Reply(ok(9, 1)), Reply(ok(10, 1))])
        assert [each.position for each in found] == [8, 9, 10]
        assert [len(sent) for sent in server.many] == [2]
        monkeypatch.setattr(logs, "MANY_BYTES", size - 1)
        assert len(self.many([large] * 4, ok(8, 2))[0]) == 1

    def test_no_more_are_sent_than_are_many(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(logs, "MANY", 2)
        found, server = self.many([append_of()] * 4, ok(8, 2), [Reply(ok(9, 1)), Reply(ok(10, 1))])
        assert (len(found), [len(sent) for sent in server.many]) == (3, [2])


def test_a_snapshot_is_kept_and_what_it_costs_is_told() -> None:
    log, server = log_over(["ok", 3])
    receipt = run(log.keep("s", Snapshot("total", 4, b"\xff")))
    assert cost(receipt) == (1, 3, 0)
    assert server.asked[0].keys == ["{ns}:revision:s", "{ns}:snapshot:1:s:total"]
    assert server.asked[0].arguments == ["4", "4 \0/w=="]


def test_a_notification_is_settled_or_withdrawn() -> None:
    log, server = log_over(["ok", 3, "9"], ["ok", 2, "9"])
    head, receipt = run(log.settle(7))
    assert (head, cost(receipt)) == (9, (1, 3, 0))
    assert cost(run(log.withdraw(7, NOW))) == (1, 2, 0)
    assert [asked.keys for asked in server.asked] == [["{ns}:head", "{ns}:notice"]] * 2
    assert [asked.arguments for asked in server.asked] == [["7", ""], ["7", str(NOW)]]
