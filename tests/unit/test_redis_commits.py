"""Commits to views in Redis: what the script is given, and what is made of its answers, by a server that answers so."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from eventsource_upstash import Misuse, OutcomeUnknown, Refused
from eventsource_upstash.backends.redis import commits as committing
from eventsource_upstash.backends.redis.index import ONE_LEAF, Names
from eventsource_upstash.backends.redis.keys import KEYS, Keys
from eventsource_upstash.backends.redis.records import read_view, text_of_notes
from eventsource_upstash.backends.redis.replies import Refusal
from eventsource_upstash.domain.indexes import Entries
from eventsource_upstash.domain.projections import NO_NOTES, Notes, ProjectionId
from eventsource_upstash.errors import TooLarge
from eventsource_upstash.ports import Commit, Committed, Outcome, Progress, Pull, Role
from tests.unit.answering import NOW, TASKS, Answering, commit_of, record, run, views_over
from tests.unit.builds import ALL, DIRECTORY, FULL, HEAD, LEAVES, OTHERS, PULL, SECOND, SERVES, cost
from tests.unit.test_redis_reads import placed


def commit(*commits: Commit, answers: list[object], then: Pull | None = None, **options: Any) -> tuple[Any, Answering]:
    views, server = views_over(*answers, **options)
    committed: Committed = run(views.commit(list(commits), then))
    assert not server.answers, "it asks for less than it has to"
    return committed, server


class TestRecords:
    """The record of a view."""

    def test_it_has_all_builds_and_what_the_one_that_serves_has(self) -> None:
        view = read_view(
            TASKS, record("3 4 1 9 1-b B 0 0 - {}", "2 7 0 4 2-a S 1 1 a,b ", "1 5 0 3 0 K 0 0 - ", last=8)
        )
        assert view.builds.all == (
            Progress(TASKS, 2, 7, 0, Role.SERVING, met=True), Progress(TASKS, 3, 4, 1, Role.BUILDING, notes=NO_NOTES),
            Progress(TASKS, 1, 5, 0, Role.KEPT),
        )  # fmt: skip
        assert (view.builds.last, view.count, view.version, view.ends) == (8, 4, "2-a", True)
        assert read_view(TASKS, SERVES).ends is False
        assert read_view(TASKS, record("1 5 0 3 0 D 0 0 - ", "2 0 0 0 0 S 0 0 - ")).builds.all[1].role is Role.DROPPED

    def test_of_a_view_that_nothing_was_written_to_there_is_none(self) -> None:
        view = read_view(TASKS, None)
        assert view.builds.all == (Progress(TASKS, 1, 0),)
        assert (view.count, view.version, view.ends, view.builds.last) == (0, "0", False, 1)

    @pytest.mark.parametrize("text", [
        "2 1\n1 5 0 3 0 S 1 0 - \n", "1\n", "", "1 1\n", record("1 5 0 3 0 B 1 0 - "), record("1 5 0 3 0 X 1 0 - "),
        record("1 5 0 3 0 S 1 0 -"), record("1 5 x 3 0 S 1 0 - "), record("1 5 0 3 0 S 1 0 - {"), 7,
    ])  # fmt: skip
    def test_what_is_none_is_refused(self, text: object) -> None:
        with pytest.raises(Refused, match=r"namespace 'ns': the key '{ns}:view:tasks@1' holds"):
            run(views_over([HEAD, text])[0].get_many(TASKS, [], NOW))

    def test_notes_stand_in_one_line_or_not_at_all(self) -> None:
        assert text_of_notes(NO_NOTES) == ""
        text = text_of_notes(Notes(parked=3, shape="a\nb"))
        assert "\n" not in text
        assert read_view(TASKS, record(f"1 5 0 3 0 S 1 0 - {text}")).builds.serving.notes == Notes(
            parked=3, shape="a\nb"
        )


class TestCommits:
    """A commit: one request, unless it does not fit."""

    def test_what_a_commit_is_given(self) -> None:
        given = commit_of({"a": b"1", "b": None, "c": b"\xff", "d": None}, records={"r": b"2", "q": None}, edition=4)
        committed, server = commit(given, answers=[["ok", 6, [False], []]])
        assert committed == Committed((Outcome.COMMITTED,), None, committed.receipt)
        assert cost(committed.receipt) == (1, 6)
        (asked,) = server.asked
        assert asked.keys == [
            *("{ns}:head", "{ns}:notice", "{ns}:log", "{ns}:log:0", "{ns}:view:tasks@1", "{ns}:leaves:tasks@1:1"),
            *("{ns}:doc:tasks@1:1:a", "{ns}:doc:tasks@1:1:c", "{ns}:record:tasks@1:1:r"),
            *("{ns}:doc:tasks@1:1:b", "{ns}:doc:tasks@1:1:d", "{ns}:record:tasks@1:1:q", "{ns}:keys:tasks@1:1"),
        ]
        assert asked.arguments == [
            *[""] * 7, "0", "1",
            *("1", "5", "4", "7", "", "", "3", "3", "", "2", "0", "", "0", "1"),
            *("2", "2", "50000", "0", "1"), "1", "\0/w==", "2", "a", "c", "b", "d",
        ]  # fmt: skip

    def test_what_is_known_to_be_new_is_named_and_nothing_else(self) -> None:
        given = commit_of({"a": b"1", "b": None, "c": b"3", "d": None}, created=["c", "d"])
        asked = commit(given, answers=[["ok", 6, [False], []]])[1].asked[0]
        assert asked.arguments[9 + 6 : 9 + 14] == ["2", "1", "1", "1", "0", "", "0", "1"]
        assert asked.arguments[9 + 14 : 9 + 19] == ["1", "1", "50000", "0", "1"]
        assert asked.arguments[9 + 19 :] == ["1", "3", "c", "b"]

    def test_where_no_name_is_new_or_gone_no_leaf_is_touched(self) -> None:
        asked = commit(commit_of(created=()), answers=[["ok", 3, [False], []]])[1].asked[0]
        assert asked.keys[6:] == ["{ns}:doc:tasks@1:1:a"]
        assert asked.arguments[9 + 6 :] == ["1", "0", "0", "0", "0", "", "0", "0", "1"]

    def test_what_documents_are_found_by_is_noted_where_it_changes(self) -> None:
        before = {"a": Entries((("score", "1"),), 99), "b": Entries((("team", "x"),)), "c": Entries((("score", "3"),))}
        entries = {
            "a": Entries((("score", "2"),), 99),
            "c": Entries((("score", "3"),)),
            "d": Entries((("by-size", "4"),), 7),
        }
        given = commit_of({"a": b"1", "b": None, "c": b"3", "d": b"4"}, created=["d"], entries=entries, before=before)
        asked = commit(given, answers=[["ok", 9, [False], []]])[1].asked[0]
        ends, indexes, version, count = asked.arguments[9 + 10 : 9 + 14]
        assert (ends, version) == ("1", "0")
        assert sorted(indexes.split(",")) == ["by-size", "score", "team"]
        assert int(count) == 5
        place = 9 + 14
        sizes = [tuple(asked.arguments[place + 5 * leaf : place + 5 * leaf + 2]) for leaf in range(5)]
        changed = {key.split(":")[1]: size for key, size in zip(asked.keys[-5:], sizes, strict=True)}
        assert changed == {"keys": ("1", "1"), "index-score": ("1", "1"), "index-team": ("0", "1"),
                           "index-by-size": ("1", "0"), "ends": ("1", "0")}  # fmt: skip
        contents = asked.arguments[place + 25 : place + 28]
        assert contents == ["\n99\nscore 2\n\n1", "\n\nscore 3\n\n3", "\n7\nby-size 4\n\n4"]
        assert sorted(asked.arguments[place + 28 :]) == sorted(
            ["d", "b", "2\ta", "1\ta", "x\tb", "4\td", f"{7:020d}\td"]
        )

    def test_entries_that_are_lost_are_names_that_are_gone(self) -> None:
        given = commit_of({"a": b"1"}, created=(), before={"a": Entries((("score", "1"),))})
        asked = commit(given, answers=[["ok", 4, [False], []]])[1].asked[0]
        assert asked.keys[6:] == ["{ns}:doc:tasks@1:1:a", "{ns}:index-score:tasks@1:1"]
        assert asked.arguments[-1] == "1\ta"

    @pytest.mark.parametrize(("beside", "head", "said"), [
        (True, None, ""), (True, 7, ""), (False, None, "-"), (False, 7, "7"), (False, 0, "0"),
    ])  # fmt: skip
    def test_the_head_is_said_where_the_log_is_elsewhere(self, beside: bool, head: int | None, said: str) -> None:
        asked = commit(commit_of(head=head), answers=[["ok", 4, [False], []]], beside=beside)[1].asked[0]
        assert asked.arguments[9 + 4] == said

    def test_each_has_its_outcome(self) -> None:
        records = [
            False,
            SERVES,
            record("1 7 0 3 0 S 1 0 - "),
            record("1 9 0 3 0 S 1 0 - "),
            record("1 4 0 3 0 S 1 0 - "),
            SECOND,
        ]
        commits = [commit_of(projection=ProjectionId(f"p{number}", 1)) for number in range(len(records))]
        commits[1] = commits[1]._replace(edition=1)
        committed, server = commit(*commits, answers=[["ok", 9, records, []]])
        assert committed.outcomes == (
            Outcome.COMMITTED, Outcome.MISMATCH, Outcome.ALREADY, Outcome.AHEAD, Outcome.MISMATCH, Outcome.SUPERSEDED,
        )  # fmt: skip
        assert server.asked[0].arguments[7:9] == ["0", "6"]

    def test_who_comes_too_late_knows_then_which_build_serves(self) -> None:
        views, server = views_over(["ok", 3, [SECOND], []], [HEAD, SECOND, "{}"])
        assert run(views.commit([commit_of()], None)).outcomes == (Outcome.SUPERSEDED,)
        run(views.get_many(TASKS, ["a"], NOW))
        assert server.asked[1].arguments[2] == "{ns}:doc:tasks@1:2:a"

    @pytest.mark.parametrize("answer", [["ok", 3, [False], []], ["ok", 3, [False] * 3, []], ["again", 3, [None]]])
    def test_an_answer_about_others_is_none_of_ours(self, answer: object) -> None:
        with pytest.raises(OutcomeUnknown, match="Redis, commit: the answer is none"):
            commit(commit_of(), commit_of(projection=OTHERS), answers=[answer])

    def test_one_that_goes_back_is_misuse(self) -> None:
        with pytest.raises(Misuse, match="'tasks': a commit from position 5 to 4"):
            commit(commit_of()._replace(checkpoint=4), answers=[])

    def test_what_comes_next_is_pulled_with_it(self) -> None:
        answer = ["ok", 7, [False], [], "9", [SERVES, None], "5", [placed(106)], False]
        answer[4] = "106"
        answer[6] = "105"
        committed, server = commit(commit_of(), then=PULL._replace(settle=True, aside={OTHERS: 3}), answers=[answer])
        assert [each.projection for each in committed.pulled.progress] == [TASKS, OTHERS]
        assert (committed.pulled.head, committed.pulled.after) == (106, 105)
        assert [row[0] for row in committed.pulled.events] == [106]
        assert cost(committed.receipt) == cost(committed.pulled.receipt) == (1, 7)
        asked = server.asked[0]
        assert asked.keys[4:7] == ["{ns}:view:tasks@1", "{ns}:view:others@2", "{ns}:view:tasks@1"]
        assert asked.arguments[:9] == ["10", str(ALL), "0", "1", "0", "0", " 2:3 ", "2", "1"]

    @pytest.mark.parametrize("records", [[SERVES], [SERVES, None, None]])
    def test_a_page_for_others_is_none_of_ours(self, records: list[object]) -> None:
        answer = ["ok", 7, [False], [], "106", records, "105", [placed(106)], False]
        with pytest.raises(OutcomeUnknown, match="Redis, commit: the answer is none"):
            commit(commit_of(), then=PULL, answers=[answer])

    def test_another_archive_of_the_log_is_pulled_by_itself(self) -> None:
        next_ = ["ok", 4, "106", [SERVES, None], "105", [placed(106)], False]
        committed, server = commit(
            commit_of(), then=PULL, answers=[["ok", 7, [False], [], "106", [SERVES, None], "105", [], "3"], next_]
        )
        assert [row[0] for row in committed.pulled.events] == [106]
        assert cost(committed.receipt) == (2, 11)
        assert server.asked[1].keys == [
            *("{ns}:head", "{ns}:notice", "{ns}:log", "{ns}:log:3", "{ns}:view:tasks@1", "{ns}:view:others@2")
        ]
        assert server.asked[1].arguments == ["10", str(ALL), "0", "0", "3", "0", ""]

    def test_a_log_elsewhere_is_pulled_by_itself(self) -> None:
        answers = [["ok", 4, [False], []], ["ok", 2, [SERVES]], ["ok", 2, "5", [], False]]
        committed, server = commit(commit_of(), then=Pull((TASKS,), 10, ALL), answers=answers, beside=False)
        assert (committed.pulled.head, committed.pulled.after, committed.pulled.events) == (5, 5, [])
        assert server.asked[0].arguments[:9] == [*[""] * 7, "0", "1"]
        assert cost(committed.receipt) == (3, 8)

    def test_names_in_other_leaves_than_was_thought_are_named_again(self) -> None:
        answers = [["again", 3, [["2-aa", LEAVES], None]], ["ok", 5, [False, False], []]]
        committed, server = commit(
            commit_of({"a": b"1", "n": b"2", "z": None}), commit_of(projection=OTHERS), answers=answers
        )
        assert cost(committed.receipt) == (2, 8)
        assert server.asked[1].keys[-4 - 3 : -3][:3] == [
            *("{ns}:keys:tasks@1:1", "{ns}:keys:tasks@1:1:1", "{ns}:keys:tasks@1:1:2")
        ]
        assert server.asked[1].arguments[9 + 12 : 9 + 14] == ["2-aa", "3"]

    def test_a_leaf_that_is_too_large_is_split(self) -> None:
        answers = [["ok", 5, [False, False], [["2", "1"]]], ["ok", 7, "keys 1 m\n"]]
        committed, server = commit(commit_of(), commit_of(projection=OTHERS), answers=answers)
        assert cost(committed.receipt) == (2, 12)
        asked = server.asked[1]
        assert asked.keys == [
            *("{ns}:view:others@2", "{ns}:leaves:others@2:1", "{ns}:keys:others@2:1", "{ns}:keys:others@2:1:1")
        ]
        assert [*asked.arguments[:5], asked.arguments[6]] == ["1", "0", "keys", "0", "1", "50000"]
        assert asked.arguments[5].startswith("1-")
        assert len(asked.arguments[5]) == 12

    def test_of_several_leaves_the_one_that_is_too_large_is_split(self) -> None:
        answers = [["again", 3, [["2-aa", LEAVES]]], ["ok", 5, [False], [["1", "2"]]], ["ok", 7, LEAVES]]
        _, server = commit(commit_of({"a": b"1", "n": b"2"}), answers=answers)
        assert server.asked[2].arguments[2:4] == ["keys", "1"]

    def test_a_split_that_fails_denies_no_commit(self, caplog: pytest.LogCaptureFixture) -> None:
        answers = [["ok", 5, [False], [["1", "1"]]], Refusal("OOM")]
        with caplog.at_level(logging.WARNING, "eventsource_upstash.view"):
            committed, _ = commit(commit_of(), answers=answers)
        assert committed.outcomes == (Outcome.COMMITTED,)
        assert cost(committed.receipt) == (1, 5)
        assert "tasks" in caplog.text
        assert "keys was not split" in caplog.text
        assert "OOM" in caplog.text

    @pytest.mark.parametrize("size", [None, 9])
    def test_one_that_is_too_large_names_its_projections(self, size: int | None) -> None:
        with pytest.raises(TooLarge, match="a commit to the view of projection 'tasks', 'others'") as caught:
            commit(commit_of(), commit_of(projection=OTHERS), answers=[TooLarge(what="it", size=size, limit=8)])
        assert (caught.value.size, caught.value.limit) == (size, 8)

    def test_where_the_page_makes_the_reply_too_large_it_is_pulled_by_itself(self) -> None:
        answers = [FULL, ["ok", 4, [False], []], ["ok", 3, "106", [SERVES, None], "105", [placed(106)], False]]
        committed, server = commit(commit_of(), then=PULL, answers=answers)
        assert [row[0] for row in committed.pulled.events] == [106]
        assert committed.outcomes == (Outcome.COMMITTED,)
        assert cost(committed.receipt) == (2, 7)
        assert server.asked[1].arguments[:9] == [*[""] * 7, "0", "1"]

    def test_a_request_that_is_too_large_is_not_sent_without_the_page(self) -> None:
        with pytest.raises(TooLarge):
            commit(commit_of(), then=PULL, answers=[TooLarge(what="it", size=9, limit=8)])


class TestGroups:
    """Commits that do not fit into a request together."""

    def sent(self, commits: list[Commit], groups: list[int], **options: Any) -> Committed:
        answers: list[object] = [["ok", 4, [False] * count, []] for count in groups]
        committed, server = commit(*commits, answers=answers, **options)
        assert [int(asked.arguments[8]) for asked in server.asked] == groups
        assert len(committed.outcomes) == len(commits)
        assert cost(committed.receipt) == (len(groups), 4 * len(groups))
        return committed

    def sized(self, *counts: int, size: int = 1) -> list[Commit]:
        return [
            commit_of({f"d{each}": b"x" * size for each in range(count)}, ProjectionId(f"p{number}", 1))
            for number, count in enumerate(counts)
        ]

    @pytest.mark.parametrize(
        ("counts", "groups"),
        [
            ((4,), [1]),
            ((2, 2), [2]),
            ((2, 3), [1, 1]),
            ((3, 2, 2, 1), [1, 2, 1]),
            ((4, 1, 3, 1), [1, 2, 1]),
            ((1, 1, 1, 1, 1), [4, 1]),
        ],
    )
    def test_by_their_documents(
        self, counts: tuple[int, ...], groups: list[int], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(committing, "MAX_DOCUMENTS", 4)
        self.sent(self.sized(*counts), groups)

    def test_records_count_as_documents(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(committing, "MAX_DOCUMENTS", 2)
        self.sent([commit_of(records={"r": b"1"}), commit_of(projection=OTHERS)], [1, 1])
        with pytest.raises(TooLarge, match=r"projection 'tasks'.* 3 .*2 documents") as caught:
            self.sent([commit_of(records={"r": b"1", "q": None})], [])
        assert (caught.value.size, caught.value.limit) == (3, 2)

    @pytest.mark.parametrize(
        ("sizes", "groups"),
        [
            ((10, 10), [2]),
            ((10, 11), [1, 1]),
            ((20, 1), [1, 1]),
            ((15, 10, 10), [1, 2]),
            ((15, 6, 14, 1), [1, 2, 1]),
            ((30,), [1]),
        ],
    )
    def test_by_their_bytes(self, sizes: tuple[int, ...], groups: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(committing, "MAX_TOGETHER", 20)
        commits = [self.sized(*[1] * len(sizes), size=size)[number] for number, size in enumerate(sizes)]
        self.sent(commits, groups)

    def test_records_and_what_documents_are_found_by_are_bytes_too(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(committing, "MAX_TOGETHER", 20)
        one = commit_of({"a": None}, OTHERS)
        recorded = commit_of({"a": b"1"}, records={"r": b"x" * 19, "q": None})
        self.sent([recorded, one], [2])
        self.sent([recorded, one._replace(documents={"a": b"1"})], [1, 1])
        indexed = commit_of({"a": b"1234"}, entries={"a": Entries((("i", "xx"), ("j", "yy")))})
        self.sent([indexed, one], [2])
        self.sent([indexed, one._replace(documents={"a": b"1"})], [1, 1])

    def test_two_to_one_build_are_two_requests(self) -> None:
        first, second = commit_of(), commit_of()._replace(expected=7, checkpoint=8)
        self.sent([first, second], [1, 1])
        self.sent([first, commit_of(projection=OTHERS), second], [2, 1])
        self.sent([first, second._replace(generation=2)], [2])

    def test_only_the_last_one_pulls(self) -> None:
        answers: list[object] = [["ok", 4, [False], []], ["ok", 4, [False], [], "5", [SERVES, None], "5", [], False]]
        committed, _ = commit(commit_of(), commit_of()._replace(expected=7, checkpoint=8), answers=answers, then=PULL)
        assert committed.pulled is not None
        assert committed.pulled.head == 5
        assert cost(committed.receipt) == (2, 8)

    @pytest.mark.parametrize(("letter", "count", "fits"), [(b"x", 3_000_000, True), (b"\x01", 1_400_000, False)])
    def test_each_is_measured_before_the_first_is_written(self, letter: bytes, count: int, fits: bool) -> None:
        small, large = commit_of(), commit_of({"b": letter * count})
        if fits:
            self.sent([small, large], [1, 1])
        else:
            with pytest.raises(TooLarge, match="a commit to the view of projection 'tasks'") as caught:
                self.sent([small, large], [])
            assert caught.value.size is not None
            assert 6 * count < caught.value.size < 6 * count + 12_000
            assert caught.value.limit == 8_000_000


class TestLeaves:
    """Which names are in which leaf."""

    def names(self, *answers: object, draw: float = 0.5, leaf_names: int = 4) -> tuple[Names, Answering]:
        server = Answering(*answers)
        return Names(server, Keys("ns"), leaf_names, lambda: draw), server

    @pytest.mark.parametrize(("name", "leaf"), [("", 0), ("lz", 0), ("m", 1), ("sz", 1), ("t", 2), ("z", 2)])
    def test_a_name_is_in_the_leaf_that_begins_before_it(self, name: str, leaf: int) -> None:
        assert DIRECTORY.leaf_of(KEYS, name) == leaf
        assert DIRECTORY.leaf_at(KEYS, f"({name}") == DIRECTORY.leaf_at(KEYS, f"[{name}") == leaf
        assert DIRECTORY.leaf_of("index-team", name) == 0

    def test_the_ends_are_in_the_first_and_the_last_leaf(self) -> None:
        assert (DIRECTORY.leaf_at(KEYS, "-"), DIRECTORY.leaf_at(KEYS, "+")) == (0, 2)
        assert (DIRECTORY.leaf_at("ends", "-"), DIRECTORY.leaf_at("ends", "+")) == (0, 0)

    def test_what_is_learned_is_known_until_something_else_is(self) -> None:
        names, _ = self.names()
        assert names.known(TASKS, 1) is ONE_LEAF
        names.learn(TASKS, 1, "2-aa", LEAVES)
        assert names.known(TASKS, 1) == DIRECTORY
        assert names.known(TASKS, 2) is names.known(OTHERS, 1) is ONE_LEAF
        names.learn(TASKS, 1, "0", None)
        names.learn(TASKS, 1, "0", None)
        assert names.known(TASKS, 1) is ONE_LEAF

    def test_a_name_may_begin_with_a_space(self) -> None:
        names, _ = self.names()
        names.learn(TASKS, 1, "1-bb", "keys 1  m\n")
        assert names.known(TASKS, 1).sets == {KEYS: ([0, 1], [" m"])}

    @pytest.mark.parametrize("lines", [None, ""])
    def test_a_directory_that_is_gone_is_told(self, lines: str | None) -> None:
        with pytest.raises(
            Refused, match=r"namespace 'ns': the key '{ns}:leaves:tasks@1:3' is gone.*projection 'tasks'"
        ):
            self.names()[0].learn(TASKS, 3, "2-aa", lines)

    def test_names_are_spread_over_their_leaves(self) -> None:
        names, _ = self.names()
        names.learn(TASKS, 1, "2-aa", LEAVES)
        changes = {
            KEYS: (["a", "u", "b"], ["v", "n"]),
            "index-team": (["x\ta"], []),
            "index-size": ([], ["y\ta"]),
            "ends": ([], []),
        }
        spread = names.spread(TASKS, 1, changes)
        assert spread.version == "2-aa"
        assert [each[:4] for each in spread.leaves] == [
            (KEYS, 0, ["a", "b"], []), (KEYS, 2, ["u"], ["v"]), (KEYS, 1, [], ["n"]),
            ("index-team", 0, ["x\ta"], []), ("index-size", 0, [], ["y\ta"]),
        ]  # fmt: skip

    @pytest.mark.parametrize(
        ("count", "draw", "looks"),
        [(1, 0.15, True), (1, 0.16, False), (2, 0.31, True), (2, 0.32, False), (0, 0.0, False)],
    )
    def test_a_leaf_is_looked_at_as_often_as_it_has_grown(self, count: int, draw: float, looks: bool) -> None:
        names, _ = self.names(draw=draw, leaf_names=100)
        added = [f"x\t{number}" for number in range(count)]
        (leaf,) = names.spread(TASKS, 1, {"index-team": (added, ["gone"])}).leaves
        assert (leaf.look, leaf.largest) == (looks, 100)

    def test_the_size_of_an_only_leaf_of_keys_is_known(self) -> None:
        names, _ = self.names(draw=0.0)
        assert not names.spread(TASKS, 1, {KEYS: (["a"], [])}).leaves[0].look
        names.learn(TASKS, 1, "2-aa", LEAVES)
        assert names.spread(TASKS, 1, {KEYS: (["a"], [])}).leaves[0].look

    @pytest.mark.parametrize(
        ("name", "largest"),
        [("a", 50_000), ("a" * 100, 50_000), ("a" * 101, 49_751), ("ü" * 450, 10_000), ("", 50_000)],
    )
    def test_long_names_make_small_leaves(self, name: str, largest: int) -> None:
        names, _ = self.names(leaf_names=50_000)
        assert names.spread(TASKS, 1, {KEYS: (["b", name], [])}).leaves[0].largest == largest

    def test_names_that_are_gone_take_no_bytes(self) -> None:
        names, _ = self.names(leaf_names=1_000_000)
        assert names.spread(TASKS, 1, {KEYS: ([], ["gone"])}).leaves[0].largest == 100_000

    def test_a_name_as_long_as_a_leaf_is_one(self) -> None:
        assert self.names()[0].spread(TASKS, 1, {KEYS: (["a" * 10_000_000], [])}).leaves[0].largest == 1

    def test_a_split_names_the_next_leaf_and_learns_the_directory(self) -> None:
        names, server = self.names(["ok", 7, LEAVES], ["ok", 6, "keys 1 m\n"])
        names.learn(TASKS, 1, "1-bb", "keys 1 m\n")
        (leaf,) = names.spread(TASKS, 1, {KEYS: (["n"], [])}).leaves
        assert cost(run(names.split(TASKS, 1, leaf))) == (1, 7)
        asked = server.asked[0]
        assert asked.keys == [
            *("{ns}:view:tasks@1", "{ns}:leaves:tasks@1:1", "{ns}:keys:tasks@1:1:1", "{ns}:keys:tasks@1:1:2")
        ]
        assert asked.arguments == ["1", "1-bb", "keys", "1", "2", f"2-{2**39:010x}", "4"]
        assert names.known(TASKS, 1) == DIRECTORY._replace(version=f"2-{2**39:010x}")

    @pytest.mark.parametrize("answer", ["small", "stale"])
    def test_a_split_that_is_not_needed_changes_nothing(self, answer: str) -> None:
        names, _ = self.names([answer, 3])
        (leaf,) = names.spread(TASKS, 1, {KEYS: (["n"], [])}).leaves
        assert cost(run(names.split(TASKS, 1, leaf))) == (1, 3)
        assert names.known(TASKS, 1) is ONE_LEAF

    def test_a_split_without_a_directory_is_told(self) -> None:
        names, _ = self.names(["lost", 3])
        (leaf,) = names.spread(TASKS, 1, {KEYS: (["n"], [])}).leaves
        with pytest.raises(Refused, match=r"'{ns}:leaves:tasks@1:3' is gone.*'tasks'"):
            run(names.split(TASKS, 3, leaf))
