"""Views in Redis: what the scripts are given, and what is made of their answers, by a server that answers so."""

from __future__ import annotations

import pytest

from eventsource_upstash import Misuse, OutcomeUnknown, Refused
from eventsource_upstash.backends.redis import views as viewing
from eventsource_upstash.backends.redis.keys import Keys, index_set
from eventsource_upstash.backends.redis.views import RedisViews
from eventsource_upstash.domain.events import Receipt
from eventsource_upstash.domain.indexes import NO_ENTRIES, Entries
from eventsource_upstash.domain.projections import ProjectionId
from eventsource_upstash.errors import TooLarge
from eventsource_upstash.ports import Progress, Pull, Role, Span, Wanted
from tests.unit.answering import NOW, TASKS, Answering, commit_of, record, run, views_over
from tests.unit.builds import ALL, ENDING, FULL, HEAD, LEAVES, OTHERS, PULL, SECOND, SERVES, SPLIT, cost
from tests.unit.test_redis_reads import placed


class TestReads:
    """Reads of the build that serves."""

    def over(self, *answers: object, beside: bool = True) -> tuple[RedisViews, Answering]:
        return views_over(*answers, beside=beside)

    def test_documents_come_with_how_far_they_are(self) -> None:
        views, server = self.over([HEAD, SERVES, "{}", None, "\n99\n\n{1}", f"\n{NOW}\n\n{{2}}"])
        got = run(views.get_many(TASKS, ["a", "b", "c", "d"], 98))
        assert got.documents == {"a": b"{}", "c": b"{1}", "d": b"{2}"}
        assert (got.progress, got.head, cost(got.receipt)) == (Progress(TASKS, 1, 5, met=True), 9, (1, 1))
        assert server.asked[0] == (
            ["MGET"],
            ["{ns}:head", "{ns}:view:tasks@1", *[f"{{ns}}:doc:tasks@1:1:{key}" for key in "abcd"]],
        )

    def test_what_has_ended_is_absent(self) -> None:
        views, _ = self.over([HEAD, SERVES, "\n99\n\n{1}", "\n100\n\n{2}"])
        assert run(views.get_many(TASKS, ["a", "b"], 99)).documents == {"b": b"{2}"}

    def test_the_head_of_a_log_elsewhere_is_not_known(self) -> None:
        views, server = self.over([SERVES, "{}"], beside=False)
        got = run(views.get_many(TASKS, ["a"], NOW))
        assert (got.documents, got.head) == ({"a": b"{}"}, None)
        assert server.asked[0].arguments == ["{ns}:view:tasks@1", "{ns}:doc:tasks@1:1:a"]

    def test_of_the_primary_they_are_asked_by_a_script(self) -> None:
        views, server = self.over(["ok", 2, [HEAD, SERVES, "{}"]])
        got = run(views.get_many(TASKS, ["a"], NOW, primary=True))
        assert (got.documents, cost(got.receipt)) == ({"a": b"{}"}, (1, 2))
        assert server.asked[0] == (["{ns}:head", "{ns}:view:tasks@1", "{ns}:doc:tasks@1:1:a"], [])

    def test_records_are_read_like_documents(self) -> None:
        views, server = self.over([HEAD, SERVES, "text", None])
        got = run(views.records(TASKS, ["a", "b"]))
        assert (got.documents, got.head, cost(got.receipt)) == ({"a": b"text"}, 9, (1, 1))
        assert server.asked[0].arguments[2:] == ["{ns}:record:tasks@1:1:a", "{ns}:record:tasks@1:1:b"]

    def test_another_build_that_serves_is_asked_and_remembered(self) -> None:
        views, server = self.over([HEAD, SECOND, "old"], [HEAD, SECOND, "new"], [HEAD, SECOND, "new"])
        got = run(views.get_many(TASKS, ["a"], NOW))
        assert (got.documents, got.progress.generation, cost(got.receipt)) == ({"a": b"new"}, 2, (2, 2))
        run(views.get_many(TASKS, ["a"], NOW))
        assert [asked.arguments[2] for asked in server.asked] == [
            *("{ns}:doc:tasks@1:1:a", "{ns}:doc:tasks@1:2:a", "{ns}:doc:tasks@1:2:a")
        ]

    def test_many_are_asked_for_in_several_requests(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(viewing, "MANY", 4)
        later = record("1 8 0 3 0 S 1 0 - ")
        views, server = self.over([HEAD, SERVES, "1", "2"], ["2 99 0 0 0", later, "3", None], [HEAD, later, "5"])
        got = run(views.get_many(TASKS, list("abcde"), NOW))
        assert got.documents == {"a": b"1", "b": b"2", "c": b"3", "e": b"5"}
        # As far as all of them are at least: as the first ones are.
        assert (got.progress.checkpoint, got.head, cost(got.receipt)) == (5, 9, (3, 3))
        assert [len(asked.arguments) for asked in server.asked] == [4, 4, 3]

    def test_a_build_that_takes_its_place_amid_them_is_read_from_the_beginning(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(viewing, "MANY", 3)
        old, new = [HEAD, SERVES, "old"], [HEAD, SECOND, "new"]
        views, _ = self.over(old, new, new, new)
        got = run(views.get_many(TASKS, ["a", "b"], NOW))
        assert (got.documents, got.progress.generation, cost(got.receipt)) == ({"a": b"new", "b": b"new"}, 2, (4, 4))

    @pytest.mark.parametrize(("count", "asked"), [(7, [7, 3, 3, 1]), (2, [2, 1, 1]), (3, [3, 1, 1, 1])])
    def test_half_as_many_are_asked_for(self, count: int, asked: list[int]) -> None:
        names = [f"d{number}" for number in range(count)]
        views, server = self.over(FULL, *[[HEAD, SERVES, *["x"] * each] for each in asked[1:]])
        assert list(run(views.get_many(TASKS, names, NOW)).documents) == names
        assert [len(each.arguments) - 2 for each in server.asked] == asked

    def test_one_that_is_too_large_is_told(self) -> None:
        with pytest.raises(TooLarge):
            run(self.over(FULL)[0].get_many(TASKS, ["a"], NOW))
        with pytest.raises(TooLarge):
            run(self.over(FULL)[0].count(TASKS, None, NOW))

    @pytest.mark.parametrize("found", [["{}"], ["{}", None]])
    def test_of_the_primary_come_as_many_as_fit(self, found: list[object]) -> None:
        views, server = self.over(["ok", 2, [HEAD, SERVES, *found]], ["ok", 2, [HEAD, SERVES, "c"]])
        names = ["a", "b", "c"][: len(found) + 1]
        got = run(views.get_many(TASKS, names, NOW, primary=True))
        assert got.documents == {"a": b"{}", names[-1]: b"c"}
        assert server.asked[1].keys[2:] == [f"{{ns}}:doc:tasks@1:1:{names[-1]}"]

    def test_nothing_at_all_is_none_of_ours(self) -> None:
        with pytest.raises(Refused, match="get many: the answer is none"):
            run(self.over(["ok", 2, [HEAD, SERVES]])[0].get_many(TASKS, ["a"], NOW, primary=True))
        with pytest.raises(Refused, match="load: the answer is none"):
            run(self.over(["ok", 2, []])[0].load([Wanted(TASKS, 1, ["a"])]))

    def test_what_is_loaded_comes_for_each_that_wants_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(viewing, "MANY", 4)
        views, server = self.over(["ok", 2, ["\n\nscore 7\n\n{}", None, "r"]], ["ok", 3, ["x", None]])
        wanted = [Wanted(TASKS, 1, ["a", "b"], ["r"]), Wanted(OTHERS, 2, ["a"], ["q"])]
        (one, other), receipt = run(views.load(wanted))
        assert one == ({"a": b"{}"}, {"a": Entries((("score", "7"),))}, {"r": b"r"})
        assert other == ({"a": b"x"}, {}, {})
        assert cost(receipt) == (2, 5)
        assert server.asked[0].keys == [
            *("{ns}:doc:tasks@1:1:a", "{ns}:doc:tasks@1:1:b", "{ns}:record:tasks@1:1:r", "{ns}:doc:others@2:2:a")
        ]
        assert server.asked[1].keys == ["{ns}:doc:others@2:2:a", "{ns}:record:others@2:2:q"]
        assert server.asked[0].arguments == []

    def test_nothing_wanted_costs_nothing(self) -> None:
        assert run(self.over()[0].load([])) == ([], Receipt())

    def test_how_far_everybody_is(self) -> None:
        views, server = self.over(["ok", 2, [HEAD, SECOND, None]])
        progress, head, receipt = run(views.progress([TASKS, OTHERS]))
        assert [(each.projection, each.generation, each.role) for each in progress] == [
            (TASKS, 2, Role.SERVING), (TASKS, 1, Role.KEPT), (OTHERS, 1, Role.SERVING),
        ]  # fmt: skip
        assert (head, cost(receipt)) == (9, (1, 2))
        assert server.asked[0].keys == ["{ns}:head", "{ns}:view:tasks@1", "{ns}:view:others@2"]

    def test_more_than_was_asked_for_is_none_of_ours(self) -> None:
        with pytest.raises(Refused, match="progress: the answer is none"):
            run(self.over(["ok", 2, [HEAD, SERVES, None, None]])[0].progress([TASKS, OTHERS]))

    def test_how_far_everybody_is_in_a_log_elsewhere(self) -> None:
        views, server = self.over(["ok", 2, [SERVES]], ["ok", 3, "17", [], False], beside=False)
        _, head, receipt = run(views.progress([TASKS]))
        assert (head, cost(receipt)) == (17, (2, 5))
        assert server.asked[0].keys == ["{ns}:view:tasks@1"]
        assert server.asked[1].keys[0] == "{log}:head"

    def test_a_pull_that_is_too_large_asks_for_less(self) -> None:
        views, server = self.over(FULL, ["ok", 3, "5", [SERVES, None], "5", [], False])
        pulled = run(views.pull(PULL))
        assert (pulled.after, pulled.head, pulled.events, cost(pulled.receipt)) == (5, 5, [], (1, 3))
        assert [asked.arguments[1] for asked in server.asked] == [str(ALL), str(ALL // 2)]
        with pytest.raises(TooLarge):
            run(self.over(FULL)[0].pull(PULL._replace(max_bytes=1)))

    def test_a_pull_from_a_log_elsewhere_asks_both(self) -> None:
        views, server = self.over(
            ["ok", 2, [SERVES]], ["ok", 3, "7", [], False], ["ok", 4, "7", [placed(7, 3)], False], beside=False
        )
        pulled = run(views.pull(Pull((TASKS,), 10, ALL)))
        assert ([row[0] for row in pulled.events], pulled.after, pulled.head) == ([6, 7], 5, 7)
        assert cost(pulled.receipt) == (3, 9)
        assert [asked.keys[0] for asked in server.asked] == ["{ns}:view:tasks@1", "{log}:head", "{log}:head"]

    def test_a_pull_says_what_it_is_for(self) -> None:
        aside = {TASKS: 4, OTHERS: 3, ProjectionId("more", 1): 1}
        views, server = self.over(["ok", 3, "5", [SECOND, None], "5", [], False])
        pulled = run(views.pull(Pull((TASKS, OTHERS), 7, 8, rear=True, settle=True, aside=aside, serving=True)))
        assert server.asked[0].arguments == ["7", "8", "1", "1", "0", "1", " 1:4 2:3 "]
        assert [(each.projection, each.generation) for each in pulled.progress] == [(TASKS, 2), (OTHERS, 1)]

    def test_a_pull_from_another_archive_names_it(self) -> None:
        views, server = self.over(
            ["ok", 3, "106", [SERVES, None], "105", [], "2"],
            ["ok", 4, "106", [SERVES, None], "105", [placed(106)], False],
        )
        pulled = run(views.pull(PULL))
        assert [row[0] for row in pulled.events] == [106]
        assert cost(pulled.receipt) == (2, 7)
        assert server.asked[1].keys[3] == "{ns}:log:2"


class TestFinding:
    """Listings, counts and ranks."""

    BY_SCORE = Span("score", "1", "7")

    def page(
        self, *names: str, record: str = SERVES, told: object = None, more: str = "0", last: str = ""
    ) -> list[object]:
        return ["ok", 3, HEAD, record, told, list(names), [f"\n\nscore 1\n\n{each}" for each in names], more, last]

    def test_a_listing_is_in_the_order_of_keys(self) -> None:
        views, server = views_over(self.page("a", "b", more="1", last="b"))
        listed = run(views.items(TASKS, None, 10, ALL, NOW))
        assert listed.documents == [("a", b"a"), ("b", b"b")]
        assert (listed.more, listed.last, listed.head, listed.progress.checkpoint) == (True, ("", "b"), 9, 5)
        assert cost(listed.receipt) == (1, 3)
        assert server.asked[0].keys == ["{ns}:head", "{ns}:view:tasks@1"]
        assert server.asked[0].arguments == [
            *("{ns}:", "tasks@1", "keys", "", "1", "0", "0", "-", "+", "0", "10", str(ALL), str(NOW))
        ]

    @pytest.mark.parametrize(("after", "low"), [(None, "-"), ("", "-"), ("b", "(b")])
    def test_a_listing_goes_on_behind_a_key(self, after: str | None, low: str) -> None:
        views, server = views_over(self.page(), self.page())
        listed = run(views.items(TASKS, after, 1_000, ALL, NOW))
        assert (listed.documents, listed.more, listed.last) == ([], False, None)
        assert server.asked[0].arguments[7:11] == [low, "+", "0", "250"]

    @pytest.mark.parametrize(
        ("after", "reverse", "low", "high", "leaf"),
        [
            (None, False, "[1", "(7 ", "0"),
            (("5", "n"), False, "(5\tn", "(7 ", "3"),
            (("0", "n"), False, "[1", "(7 ", "0"),
            (None, True, "[1", "(7 ", "3"),
            (("5", "a"), True, "[1", "(5\ta", "0"),
            (("9", "a"), True, "[1", "(7 ", "3"),
            (("1", ""), False, "(1\t", "(7 ", "0"),
        ],
    )
    def test_an_index_is_read_from_either_end(
        self, after: tuple[str, str] | None, reverse: bool, low: str, high: str, leaf: str
    ) -> None:
        first = self.page("3\tk", told=LEAVES, record=SPLIT, more="1", last="3\tk")
        views, server = views_over(first, self.page("3\tk", record=SPLIT))
        listed = run(views.find(TASKS, self.BY_SCORE, None, 10, ALL, NOW))
        assert (listed.documents, listed.last) == ([("k", b"3\tk")], ("3", "k"))
        run(views.find(TASKS, self.BY_SCORE, after, 10, ALL, NOW, reverse=reverse))
        arguments = server.asked[1].arguments
        assert arguments[2:7] == ["index-score", "score", "1", "2-aa", leaf]
        assert arguments[7:10] == [low, high, str(int(reverse))]

    def test_another_build_is_remembered(self) -> None:
        views, server = views_over(self.page(record=SECOND), self.page(record=SECOND))
        assert run(views.items(TASKS, None, 10, ALL, NOW)).progress.generation == 2
        run(views.items(TASKS, None, 10, ALL, NOW))
        assert [asked.arguments[4] for asked in server.asked] == ["1", "2"]

    @pytest.mark.parametrize("answer", ["lost", "strange"])
    def test_a_directory_that_is_gone_is_told(self, answer: str) -> None:
        told = r"the key '{ns}:leaves:tasks@1:2' is gone.*'tasks'"
        with pytest.raises(Refused, match=told):
            run(views_over([answer, 3, SECOND])[0].items(TASKS, None, 10, ALL, NOW))
        with pytest.raises(Refused, match=told):
            run(views_over([answer, 3, SECOND])[0].rank(TASKS, self.BY_SCORE, "k", NOW))

    def test_an_answer_of_other_lengths_is_none_of_ours(self) -> None:
        page = self.page("a", "b")
        page[6] = ["{}"]
        with pytest.raises(Refused, match="items: the answer is none"):
            run(views_over(page)[0].items(TASKS, None, 10, ALL, NOW))

    def test_a_rank_is_how_many_come_before(self) -> None:
        views, server = views_over(
            ["ok", 4, HEAD, SERVES, "30", "7", [], []], ["ok", 4, HEAD, SECOND, "30", None, [], []]
        )
        ranked = run(views.rank(TASKS, self.BY_SCORE, "k", NOW))
        assert (ranked.count, ranked.total, ranked.head, ranked.progress.checkpoint) == (7, 30, 9, 5)
        assert cost(ranked.receipt) == (1, 4)
        ended = f"({NOW + 1:020d}"
        assert server.asked[0].arguments == ["{ns}:", "tasks@1", "score", "1", "[1", "(7 ", "k", str(NOW), ended, ""]
        assert run(views.rank(TASKS, self.BY_SCORE, "k", NOW)).count is None
        assert server.asked[1].keys == ["{ns}:head", "{ns}:view:tasks@1"]

    def test_it_is_asked_of_the_build_that_was_seen_to_serve(self) -> None:
        answer = ["ok", 4, HEAD, SECOND, "30", "7", [], []]
        views, server = views_over(answer, answer)
        run(views.rank(TASKS, self.BY_SCORE, "k", NOW))
        run(views.rank(TASKS, self.BY_SCORE, "k", NOW))
        assert [asked.arguments[3] for asked in server.asked] == ["1", "2"]

    def test_a_record_that_is_none_is_named(self) -> None:
        views, _ = views_over(["strange", 2, "what"])
        with pytest.raises(Refused, match=r"namespace 'ns': the key '{ns}:view:tasks@1' holds"):
            run(views.rank(TASKS, self.BY_SCORE, "k", NOW))

    def test_a_span_may_end_before_a_key(self) -> None:
        views, server = views_over(["ok", 4, HEAD, SERVES, "30", None, [], []])
        counted = run(views.count(TASKS, Span("score", "1", "7", "k"), NOW))
        assert (counted.count, counted.total, cost(counted.receipt)) == (30, 30, (1, 4))
        assert server.asked[0].arguments[4:7] == ["[1", "(7\tk", ""]

    def test_all_are_counted_by_the_record(self) -> None:
        views, server = views_over([HEAD, SERVES], ["ok", 2, [HEAD, SERVES]])
        counted = run(views.count(TASKS, None, NOW))
        assert (counted.count, counted.total, counted.head, cost(counted.receipt)) == (3, 3, 9, (1, 1))
        assert server.asked[0].arguments == ["{ns}:head", "{ns}:view:tasks@1"]
        assert cost(run(views.count(TASKS, None, NOW, primary=True)).receipt) == (1, 2)

    def test_where_documents_end_all_are_counted_by_the_script(self) -> None:
        answer = ["ok", 3, HEAD, ENDING, "2", None, [], []]
        views, server = views_over([HEAD, ENDING], answer, answer)
        counted = run(views.count(TASKS, None, NOW))
        assert (counted.count, counted.total, cost(counted.receipt)) == (2, 2, (2, 4))
        assert server.asked[1].arguments[2:8] == ["", "1", "-", "+", "", str(NOW)]
        assert cost(run(views.count(TASKS, None, NOW)).receipt) == (1, 3)  # it is known then

    def test_what_has_ended_is_listed(self) -> None:
        answer = ["ok", 4, HEAD, ENDING, "2", None, ["a", "b"], ["\n9\n\n", "\n8\nscore 7\n\n"]]
        views, server = views_over(answer, answer)
        ended = run(views.ended(TASKS, NOW, 10))
        assert ended.documents == {"a": Entries((), 9), "b": Entries((("score", "7"),), 8)}
        assert (ended.progress.checkpoint, cost(ended.receipt)) == (5, (1, 4))
        run(views.ended(TASKS, NOW, 5_000))
        assert [asked.arguments[9] for asked in server.asked] == ["10", "1000"]
        assert server.asked[0].arguments[7:9] == [str(NOW), f"({NOW + 1:020d}"]
        with pytest.raises(Refused, match="ended: the answer is none"):
            run(views_over([*answer[:7], ["\n9\n\n"]])[0].ended(TASKS, NOW, 10))


class TestBuilds:
    """Another build begins, serves, is dropped."""

    def test_one_begins(self) -> None:
        both = record("1 5 0 3 0 S 1 0 - ", "2 0 0 0 0 B 0 0 - ", last=2)
        views, server = views_over(["ok", 3, both])
        progress, receipt = run(views.begin(TASKS))
        assert (progress.generation, progress.role, cost(receipt)) == (2, Role.BUILDING, (1, 3))
        assert server.asked[0] == (["{ns}:view:tasks@1"], [])

    @pytest.mark.parametrize(("answer", "served"), [("1", True), ("0", False)])
    def test_one_that_is_kept_serves_again(self, answer: str, served: bool) -> None:
        views, server = views_over(["ok", 3, answer, SECOND], [HEAD, SECOND, "{}"])
        assert run(views.serve(TASKS, 1, 2))[0] is served
        assert server.asked[0] == (["{ns}:view:tasks@1"], ["1", "2"])
        run(views.get_many(TASKS, ["a"], NOW))  # which one serves is known from then on
        assert server.asked[1].arguments[2] == "{ns}:doc:tasks@1:2:a"

    @pytest.mark.parametrize(("limit", "said"), [(400, "400"), (0, "1"), (20_000, "10000")])
    def test_one_is_dropped(self, limit: int, said: str) -> None:
        views, server = views_over(["ok", 6, "1", SECOND], ["ok", 6, "0", SECOND])
        gone, receipt = run(views.drop(TASKS, 1, ["r", "q"], limit))
        assert (gone, cost(receipt)) == (True, (1, 6))
        asked = server.asked[0]
        assert asked.keys == [
            "{ns}:view:tasks@1",
            "{ns}:leaves:tasks@1:1",
            "{ns}:record:tasks@1:1:r",
            "{ns}:record:tasks@1:1:q",
        ]
        assert asked.arguments == ["{ns}:", "tasks@1", "1", said, "0"]
        assert run(views.drop(TASKS, 1, [], limit, serving=True))[0] is False
        assert server.asked[1].arguments[4] == "1"

    def test_which_one_serves_then_is_known(self) -> None:
        views, server = views_over(["ok", 6, "1", SECOND], [HEAD, SECOND, "{}"])
        run(views.drop(TASKS, 1, [], 10, serving=True))
        run(views.get_many(TASKS, ["a"], NOW))
        assert server.asked[1].arguments[2] == "{ns}:doc:tasks@1:2:a"

    def test_the_one_that_serves_is_not(self) -> None:
        with pytest.raises(Misuse, match="'tasks': generation 1 of its view is the one that serves"):
            run(views_over(["serves", 2, SERVES])[0].drop(TASKS, 1, [], 10))

    def test_what_is_none_of_its_answers_leaves_the_outcome_unknown(self) -> None:
        for step in ("begin", "serve", "drop", "commit"):
            views, _ = views_over(["ok", 3])
            calls = {
                "begin": lambda views=views: views.begin(TASKS),
                "serve": lambda views=views: views.serve(TASKS, 1, 2),
                "drop": lambda views=views: views.drop(TASKS, 1, [], 10),
                "commit": lambda views=views: views.commit([commit_of()], None),
            }
            with pytest.raises(OutcomeUnknown, match=f"Redis, {step}: the answer is none"):
                run(calls[step]())


def test_each_thing_has_a_key_of_its_own() -> None:
    keys = Keys("ns")
    assert (keys.namespace, keys.prefix) == ("ns", "{ns}:")
    assert keys.leaf(TASKS, 3) == "{ns}:keys:tasks@1:3"
    assert keys.leaf(TASKS, 3, index_set("score"), 2) == "{ns}:index-score:tasks@1:3:2"
    assert keys.snapshot("a:b", "c") != keys.snapshot("a", "b:c")
    with pytest.raises(Misuse, match="namespace='a b'"):
        Keys("a b")
    assert Entries((), None) == NO_ENTRIES
