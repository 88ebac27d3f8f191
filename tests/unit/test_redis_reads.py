"""Reads of the log in Redis: what the scripts are given, and what their answers mean, by a server that answers so."""

from __future__ import annotations

from typing import Any

import pytest

from eventsource_upstash import CorruptLog, OutcomeUnknown, Refused
from eventsource_upstash.backends.redis import entries, lua
from eventsource_upstash.backends.redis.archives import SMALLEST_PAGE, Archives
from eventsource_upstash.backends.redis.lua import script
from eventsource_upstash.backends.redis.marks import means_all, words_of
from eventsource_upstash.backends.redis.reading import run as run_script
from eventsource_upstash.backends.redis.scripts import Script
from eventsource_upstash.domain.codec import encode_tags
from eventsource_upstash.domain.events import Receipt
from eventsource_upstash.domain.queries import Query, QueryItem
from eventsource_upstash.errors import TooLarge
from eventsource_upstash.ports import MAX_PAGE_BYTES, Append, Page, StreamPage
from tests.unit.answering import NOW, Answering, entry, log_over, run

ALL = 1_000_000
TYPES = Query((QueryItem(frozenset(("b", "a")), frozenset(("g",))),))
FULL = TooLarge(what="the reply", size=None, limit=10)


def placed(position: int, count: int = 1, *, tags: str = "", metadata: str = "", stream: str = "s") -> list[Any]:
    """An entry of the log that ends with a position; its revisions are 100 less."""
    fields = ["s", stream, "r", str(position - 100), "i", "7-3", "m", metadata, "t", tags]
    for index in range(count):
        fields += ["2:added", f"e{position - count + 1 + index}"]
    return [f"{position}-0", fields]


def read(*answers: object, after: int = 0, limit: int = 10, query: Query | None = None) -> tuple[Page, Answering]:
    log, server = log_over(*answers)
    page = run(log.read(after, limit, ALL, query))
    assert not server.answers
    return page, server


def cost(receipt: Receipt) -> tuple[int, int]:
    return receipt.requests, receipt.commands


def positions(page: Page | StreamPage) -> list[int]:
    return [row[0] for row in page.events]


class TestPages:
    """A page of the whole log."""

    def test_it_holds_the_events_in_order(self) -> None:
        page, server = read(
            ["ok", 3, "104", [placed(103, 2, metadata="{}"), placed(104, tags='["x"]')], False], after=101
        )
        assert page.head == 104
        assert page.events == [
            (102, "s", 2, 7, 3, "added", 2, b"{}", None, b"e102"),
            (103, "s", 3, 7, 4, "added", 2, b"{}", None, b"e103"),
            (104, "s", 4, 7, 3, "added", 2, None, b'["x"]', b"e104"),
        ]
        assert server.asked[0].keys == ["{ns}:head", "{ns}:log", "{ns}:log:0"]
        assert server.asked[0].arguments == ["101", "10", str(ALL), "0"]
        assert cost(page.receipt) == (1, 3)

    def test_an_entry_that_begins_before_is_cut_and_so_is_one_beyond_the_limit(self) -> None:
        page, _ = read(["ok", 3, "110", [placed(104, 3), placed(107, 3)], False], after=102, limit=4)
        assert positions(page) == [103, 104, 105, 106]

    def test_it_ends_where_one_is_missing(self) -> None:
        page, _ = read(["ok", 3, "110", [placed(102, 2), placed(105, 2)], False], after=100)
        assert positions(page) == [101, 102]

    def test_at_the_head_there_is_none_whatever_is_answered(self) -> None:
        assert read(["ok", 3, "101", [placed(103)], False], after=101)[0].events == []

    def test_who_is_told_of_another_archive_names_it_from_then_on(self) -> None:
        log, server = log_over(["ok", 2, "104", [], "3"], ["ok", 3, "104", [placed(101)], False])
        page = run(log.read(100, 10, ALL))
        assert [asked.keys[2] for asked in server.asked] == ["{ns}:log:0", "{ns}:log:3"]
        assert [asked.arguments[3] for asked in server.asked] == ["0", "3"]
        assert cost(page.receipt) == (2, 5)
        assert log.archives.reading == 3

    def test_less_is_asked_for_where_a_reply_is_too_large(self) -> None:
        log, server = log_over(FULL, FULL, ["ok", 3, "101", [placed(101)], False], ["ok", 3, "101", [], False])
        run(log.read(100, 10, ALL))
        run(log.read(101, 10, ALL))  # and from then on
        sizes = [int(asked.arguments[2]) for asked in server.asked]
        assert sizes == [ALL, ALL // 2, ALL // 4, ALL // 4]

    def test_it_is_not_asked_for_ever(self) -> None:
        log, server = log_over(*[FULL] * 2)
        with pytest.raises(TooLarge):
            run(log.read(100, 10, 2 * SMALLEST_PAGE - 1))
        assert [int(asked.arguments[2]) for asked in server.asked] == [2 * SMALLEST_PAGE - 1, SMALLEST_PAGE]

    @pytest.mark.parametrize("found", [
        [placed(103, 2), placed(103)], [["103-0", ["s", "s", "r", "3", "i", "7-3", "m", "", "t", ""]]],
        [["103-0", [*placed(103)[1], "2:added"]]], [["103-0", placed(103)[1][:5]]], [["x", placed(103)[1]]], [7],
        [placed(102, 2, tags='\1["x"]')], [placed(103, 2, tags="\1[5,6]")],
    ])  # fmt: skip
    def test_what_was_not_written_so_is_told(self, found: object) -> None:
        with pytest.raises(CorruptLog, match=r"namespace 'ns': the entry after position 10\d is not what was written"):
            read(["ok", 3, "105", found, False], after=101 if found != [placed(102, 2, tags='\1["x"]')] else 100)

    @pytest.mark.parametrize("found", [[], [placed(105)]])
    def test_what_is_missing_is_told(self, found: object) -> None:
        with pytest.raises(CorruptLog, match="namespace 'ns': the log has no event after position 101, though"):
            read(["ok", 3, "105", found, False], after=101)

    def test_each_event_may_have_tags_of_its_own(self) -> None:
        page, _ = read(["ok", 3, "102", [placed(102, 2, tags='\1["x",null]')], False], after=100)
        assert [row[8] for row in page.events] == [b"x", None]

    def test_a_type_may_have_colons(self) -> None:
        fields = placed(102)[1]
        fields[-2] = "2:added:by:hand"
        page, _ = read(["ok", 3, "102", [["102-0", fields]], False], after=101)
        assert [row[5:7] for row in page.events] == [("added:by:hand", 2)]

    def test_the_head_is_asked_of_the_primary(self) -> None:
        log, server = log_over(["ok", 2, "104", [], False])
        head, receipt = run(log.head())
        assert (head, cost(receipt)) == (104, (1, 2))
        assert server.asked[0].keys == ["{ns}:head", "{ns}:log", "{ns}:log:0"]
        assert int(server.asked[0].arguments[0]) >= 2**53 - 1
        assert server.asked[0].arguments[1:] == ["1", "1", "0"]

    @pytest.mark.parametrize(("record", "position"), [(None, 0), ("2 17 9 0 0", 17)])
    def test_a_head_record_holds_a_position(self, record: str | None, position: int) -> None:
        assert log_over()[0].position_of(record) == position

    @pytest.mark.parametrize("record", ["2 17 9 0", "1 17 9 0 0", "2 x 9 0 0", "2 17 9 0 0 0", "", 7, "3 x 9 0 0"])
    def test_a_head_record_that_is_none_is_refused(self, record: object) -> None:
        with pytest.raises(Refused, match=r"namespace 'ns': the key '{ns}:head' holds"):
            log_over()[0].position_of(record)


class TestQueries:
    """A page of what a query means."""

    def found(self, position: int, total: int, *offsets: int, tags: str = "") -> list[Any]:
        id_, fields = placed(position, total, tags=tags)
        found: list[str] = []
        for offset in offsets:
            found += [str(offset), *fields[10 + 2 * offset : 12 + 2 * offset]]
        return [id_, str(total), fields[:10], found]

    def test_it_holds_what_was_found(self) -> None:
        answer = ["ok", 9, "200", [self.found(104, 3, 0, 2), self.found(106, 2, 1, tags='\1["x","y"]')], "150", False]
        page, server = read(answer, after=100, query=TYPES)
        assert page.events == [
            (102, "s", 2, 7, 3, "added", 2, None, None, b"e102"),
            (104, "s", 4, 7, 5, "added", 2, None, None, b"e104"),
            (106, "s", 6, 7, 4, "added", 2, None, b"y", b"e106"),
        ]
        assert (page.head, page.reached, cost(page.receipt)) == (200, 150, (1, 9))
        assert server.asked[0].keys == ["{ns}:head", "{ns}:log", "{ns}:marks", "{ns}:log:0", "{ns}:marks:0"]
        assert server.asked[0].arguments == ["100", "10", str(ALL), "0", *("1", "2", "1", "gg", "2", "ta", "tb")]

    def test_nobody_is_taken_back(self) -> None:
        assert read(["ok", 2, "200", [], "90", False], after=100, query=TYPES)[0].reached == 100

    def test_archives_that_are_known_are_named(self) -> None:
        log, server = log_over(["ok", 2, "400", [], "250", "101,201,301"], ["ok", 3, "400", [], "400", False])
        page = run(log.read(150, 10, ALL, TYPES))
        assert server.asked[1].keys[3:] == [
            *("{ns}:log:1", "{ns}:marks:1", "{ns}:log:2", "{ns}:marks:2", "{ns}:log:3", "{ns}:marks:3")
        ]
        assert [asked.arguments[3] for asked in server.asked] == ["0", "1"]
        assert cost(page.receipt) == (2, 5)
        assert page.reached == 400

    def test_no_more_archives_are_named_than_a_request_may_look_into(self) -> None:
        log, server = log_over(["ok", 3, "4000", [], "4000", False])
        log.archives.learn_cuts(",".join(str(101 + 100 * number) for number in range(30)))
        run(log.read(100, 10, ALL, TYPES))
        assert server.asked[0].keys[3::2] == [f"{{ns}}:log:{index}" for index in range(1, 17)]

    def test_the_archive_that_the_next_event_is_in_is_the_first(self) -> None:
        log, server = log_over(*[["ok", 3, "400", [], "400", False]] * 2)
        log.archives.learn_cuts("101,201")
        run(log.read(99, 10, ALL, TYPES))
        run(log.read(100, 10, ALL, TYPES))
        assert [asked.arguments[3] for asked in server.asked] == ["0", "1"]

    def test_less_is_asked_for_where_a_reply_is_too_large(self) -> None:
        _, server = read(FULL, ["ok", 3, "101", [], "101", False], query=TYPES)
        assert [int(asked.arguments[2]) for asked in server.asked] == [ALL, ALL // 2]

    def test_it_is_not_asked_for_ever(self) -> None:
        log, _ = log_over(FULL)
        with pytest.raises(TooLarge):
            run(log.read(100, 10, SMALLEST_PAGE, TYPES))

    def test_a_mark_without_its_event_is_told(self) -> None:
        with pytest.raises(CorruptLog, match="namespace 'ns': the log has no event at position 17"):
            read(["lost", 3, "17"], query=TYPES)

    @pytest.mark.parametrize("numbers", [(104, 102), (104, 104), (99,), (100,), (151,), (160,)])
    def test_events_that_are_out_of_place_are_none_of_ours(self, numbers: tuple[int, ...]) -> None:
        with pytest.raises(Refused, match="none of this library's scripts"):
            read(["ok", 3, "200", [self.found(each, 1, 0) for each in numbers], "150", False], after=100, query=TYPES)

    def test_what_was_not_written_so_is_told(self) -> None:
        with pytest.raises(CorruptLog, match="namespace 'ns': an entry after position 104 is not what was written"):
            read(["ok", 3, "200", [self.found(104, 1, 0), 7], "150", False], after=100, query=TYPES)
        with pytest.raises(CorruptLog, match="an entry after position 0 is"):
            read(["ok", 3, "200", [7], "150", False], after=100, query=TYPES)

    @pytest.mark.parametrize(("item", "all_"), [
        (QueryItem(), True), (QueryItem(frozenset("a")), False), (QueryItem(tags=frozenset("a")), False),
    ])  # fmt: skip
    def test_a_query_that_means_everything_needs_no_marks(self, item: QueryItem, all_: bool) -> None:
        assert means_all(Query((QueryItem(frozenset("x")), item))) is all_


class TestStreams:
    """A page of one stream."""

    def read(self, *answers: object, after: int = 0, limit: int = 10, **more: Any) -> tuple[StreamPage, Answering]:
        log, server = log_over(*answers)
        page = run(log.read_stream("s", after, limit, more.pop("max_bytes", ALL), **more))
        assert not server.answers
        return page, server

    def test_it_holds_the_events_in_order(self) -> None:
        page, server = self.read(["ok", 3, "4", [entry(3, 2), entry(4)], False, False], after=1)
        assert [row[:4] for row in page.events] == [(102, "s", 2, 7), (103, "s", 3, 7), (104, "s", 4, 7)]
        assert (page.revision, page.snapshot, cost(page.receipt)) == (4, None, (1, 3))
        assert server.asked[0].keys == ["{ns}:revision:s", "{ns}:stream:s", "{ns}:stream-0:s"]
        assert server.asked[0].arguments == ["1", "10", str(ALL), "0"]

    def test_an_entry_that_begins_before_is_cut_and_so_is_one_beyond_the_limit(self) -> None:
        page, _ = self.read(["ok", 3, "9", [entry(4, 3), entry(7, 3)], False, False], after=2, limit=4)
        assert [row[2] for row in page.events] == [3, 4, 5, 6]

    def test_it_ends_where_one_is_missing(self) -> None:
        page, _ = self.read(["ok", 3, "9", [entry(2, 2), entry(5, 2)], False, False])
        assert [row[2] for row in page.events] == [1, 2]

    def test_bytes_are_bounded(self) -> None:
        page, _ = self.read(["ok", 3, "9", [entry(4, 4)], False, False], max_bytes=3)
        assert [row[2] for row in page.events] == [1, 2]

    def test_another_archive_is_named(self) -> None:
        page, server = self.read(["ok", 2, "9", [], "2", False], ["ok", 3, "9", [entry(4, 4)], False, False])
        assert [asked.keys[2] for asked in server.asked] == ["{ns}:stream-0:s", "{ns}:stream-2:s"]
        assert [asked.arguments[3] for asked in server.asked] == ["0", "2"]
        assert cost(page.receipt) == (2, 5)

    def test_less_is_asked_for_where_a_reply_is_too_large(self) -> None:
        _, server = self.read(FULL, ["ok", 3, "1", [entry(1)], False, False])
        assert [int(asked.arguments[2]) for asked in server.asked] == [ALL, ALL // 2]
        with pytest.raises(TooLarge):
            self.read(FULL, max_bytes=SMALLEST_PAGE)

    @pytest.mark.parametrize("after", [4, 5])
    def test_behind_its_end_there_is_nothing(self, after: int) -> None:
        page, _ = self.read(["ok", 3, "4", [entry(9)], False, False], after=after)
        assert (page.events, page.revision, cost(page.receipt)) == ([], 4, (1, 3))

    def test_a_snapshot_comes_with_what_is_behind_it(self) -> None:
        page, server = self.read(["ok", 3, "4", [entry(4, 2)], False, "2 state"], snapshot="total")
        assert [row[2] for row in page.events] == [3, 4]
        assert page.snapshot == ("total", 2, b"state")
        assert server.asked[0].keys[3:] == ["{ns}:snapshot:1:s:total"]

    def test_a_snapshot_of_all_of_it_has_nothing_behind_it(self) -> None:
        page, _ = self.read(["ok", 3, "4", [], False, "4 state"], snapshot="total")
        assert (page.events, page.snapshot) == ([], ("total", 4, b"state"))

    def test_a_snapshot_that_fills_a_reply_has_the_rest_in_another(self) -> None:
        page, server = self.read(
            ["ok", 3, "4", [], False, "2 state"], ["ok", 4, "4", [entry(4, 2)], False, False], limit=7, snapshot="total"
        )
        assert [row[2] for row in page.events] == [3, 4]
        assert page.snapshot == ("total", 2, b"state")
        assert cost(page.receipt) == (2, 7)
        assert server.asked[1].arguments == ["2", "7", str(ALL), "0"]
        assert len(server.asked[1].keys) == 3

    @pytest.mark.parametrize("found", [
        [entry(3, 2), entry(3)], [["3-0", ["p", "9", "i", "7-3", "m", "", "t", ""]]], [["x", entry(3)[1]]], [7],
        [["3-0", ["p", "x", *entry(3)[1][2:]]]],  # type: ignore[index]
    ])  # fmt: skip
    def test_what_was_not_written_so_is_told(self, found: object) -> None:
        with pytest.raises(CorruptLog, match=r"namespace 'ns': the entry of 's' after revision \d is not what was"):
            self.read(["ok", 3, "9", found, False, False], after=1)

    @pytest.mark.parametrize("found", [[], [entry(5)]])
    def test_what_is_missing_is_told(self, found: object) -> None:
        with pytest.raises(CorruptLog, match="namespace 'ns': stream 's' has no event after revision 1, though"):
            self.read(["ok", 3, "9", found, False, False], after=1)


class TestScripts:
    """How a script of ours is run."""

    def test_its_commands_are_billed_with_it(self) -> None:
        server = Answering(["ok", 7])
        answer, receipt = run(run_script(server, script("keep"), ["k"], [1]))
        assert (answer, cost(receipt)) == (["ok", 7], (1, 7))

    @pytest.mark.parametrize("answer", [None, "ok", ["ok"], ["ok", "7"], ["ok", True], {"ok": 1}, [], 7])
    @pytest.mark.parametrize(("reads", "kind"), [(True, Refused), (False, OutcomeUnknown)])
    def test_what_is_none_of_its_answers_is_told(self, answer: object, reads: bool, kind: type[Exception]) -> None:
        if isinstance(answer, dict):
            kind = Refused
        with pytest.raises(kind, match=r"script 'some': .*\(TypeError\)|no Redis"):
            run(run_script(Answering(answer), Script("some", "text", reads=reads), ["k"], []))

    @pytest.mark.parametrize(("index", "key"), [((), "a"), ((1,), "a"), ((3,), "c")])
    def test_the_key_of_something_else_is_named(self, index: tuple[int, ...], key: str) -> None:
        with pytest.raises(Refused, match=f"the database: the key '{key}' holds"):
            run(run_script(Answering(["foreign", 2, "what", *index]), script("keep"), ["a", "b", "c"], []))

    def test_comments_are_not_sent_and_the_first_line_says_what_is_locked(self) -> None:
        script = lua.script.__wrapped__  # each is put together once, when it is imported
        for text in (script("keep").text, script("drop", "view", "leaves", locks_its_keys=False).text):
            lines = text.splitlines()
            assert not [line for line in lines if not line.strip() or line.lstrip().startswith("--")]
            assert text.endswith("\n")
        assert script("keep").name == "keep"
        assert script("keep").text.startswith("#!lua flags=allow-key-locking\n")
        assert not script("drop", "view", "leaves", locks_its_keys=False).text.startswith("#!")
        assert script("read", "page", reads=True).reads
        assert not script("keep").reads

    def test_a_script_without_its_first_line_keeps_the_numbers_of_its_lines(self) -> None:
        asked = Script("some", "#!lua flags=x\nreturn 1\nend")
        assert (asked.plain, asked.sha == asked.plain_sha) == ("\nreturn 1\nend", False)
        assert Script("some", "return 1").plain == "return 1"


class TestWords:
    """What the events of an append can be found by."""

    def words(self, types: str, tags: Any) -> list[str]:
        return words_of(Append("s", 0, [(each, 1, b"") for each in types], NOW, 5, tags=tags))

    def test_a_word_about_all_events_says_so(self) -> None:
        assert self.words("aa", encode_tags(["x", "y"])) == ["ta", "*", "gx", "*", "gy", "*"]

    def test_another_one_says_about_which(self) -> None:
        tags = [encode_tags(["x"]), None, encode_tags(["x", "y"])]
        assert self.words("aba", tags) == ["ta", "0,2", "tb", "1", "gx", "0,2", "gy", "2"]

    def test_a_tag_that_stands_there_twice_counts_once(self) -> None:
        assert self.words("ab", [b'["x","x"]', b'["x"]']) == ["ta", "0", "tb", "1", "gx", "*"]

    @pytest.mark.parametrize("tags", [b"no tags", b"\xff", None])
    def test_what_are_no_tags_cannot_be_found_by(self, tags: bytes | None) -> None:
        assert self.words("a", tags) == ["ta", "*"]


class TestTexts:
    """What is written, read back."""

    @pytest.mark.parametrize("content", [b"", b"text", "ü".encode(), b"\xff\x00", b"\0text", b"\0", b"\1text"])
    def test_bytes_become_text_and_come_back(self, content: bytes) -> None:
        text = entries.to_text(content)
        assert entries.to_bytes(text) == content
        assert (text == content.decode("utf-8", "replace")) is (content not in (b"\xff\x00", b"\0text", b"\0"))

    @pytest.mark.parametrize(("tags", "text"), [
        (None, ""), (b"[]", "[]"), ((b"x", b"x"), "x"), ((b"x", None), '\1["x",null]'), ((None, None), ""),
        (b"\1x", "\0AXg="), ((b"\xff", b"x"), '\1["\\u0000/w==","x"]'),
    ])  # fmt: skip
    def test_tags_of_all_or_of_each(self, tags: Any, text: str) -> None:
        assert entries.text_of_tags(tags) == text

    def test_a_snapshot_comes_back(self) -> None:
        snapshot = entries.read_snapshot("n", "12 a b")
        assert snapshot == ("n", 12, b"a b")
        assert entries.snapshot_record(snapshot) == "12 a b"


class TestArchives:
    """What a process knows of the keys that the log is cut into."""

    def test_pages_shrink_to_a_smallest_and_never_grow(self) -> None:
        archives = Archives()
        assert archives.page_bytes == MAX_PAGE_BYTES
        assert archives.shrink(SMALLEST_PAGE + 1)
        assert archives.page_bytes == SMALLEST_PAGE
        assert archives.shrink(1_000_000)  # by somebody who asked before
        assert archives.page_bytes == SMALLEST_PAGE
        assert not archives.shrink(SMALLEST_PAGE)
        assert not archives.shrink(SMALLEST_PAGE - 1)

    def test_a_position_is_in_the_archive_that_begins_with_it(self) -> None:
        archives = Archives()
        assert archives.holding(5) == 0
        archives.learn_cuts("11,21")
        assert [archives.holding(each) for each in (1, 10, 11, 20, 21, 30)] == [0, 0, 1, 1, 2, 2]
        archives.learn_cuts("")
        assert archives.cuts == ()

    def test_not_endlessly_many_streams_are_known(self) -> None:
        archives = Archives()
        for number in range(10_000):
            archives.learn(f"s{number}", number + 1)
        assert (archives.of("s0"), archives.of("s9999"), archives.of("other")) == (1, 10_000, 0)
        archives.learn("one more", 3)
        assert (archives.of("s0"), archives.of("one more")) == (0, 3)
