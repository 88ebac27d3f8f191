"""`find`, `count` and `rank`: what documents are found by, besides their keys."""

# ruff: noqa: D102  a test's name is its documentation

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from ...domain.indexes import encode_value
from ...domain.projections import ProjectionId
from ...ports import MAX_PAGE_BYTES, NO_ENTRIES, Entries, Outcome
from .kit import Contract, Lab, in_colour
from .viewing import LISTS, NOW_US, TASKS, found_by, numbers, strings
from .views_reading import KEYS

NUMBERS_IN_ORDER = (
    -1.7e308, -(2**53), -1_000, -10, -9.5, -9, -1, -0.5, -5e-324, 0, 5e-324, 0.1, 0.5, 1, 1.5, 2, 9, 10, 10.5, 100,
    255, 256, 65_536, 1_700_000_000, 2**53 - 1, 2**53, 1.7e308,
)  # fmt: skip
"""Numbers whose digits, bits or lengths sort otherwise than they do."""

STRINGS_IN_ORDER = sorted(
    (
        "0", "-1", "10", "2", "A", "Z", "a", "a b", "a!", "aa", "a\u00e4", "a:b", "b", "n", "n~", "s", "ä", "a\u0308",
        "é" * 200, "ﬀ", "\uffee", "名", "🙂", "\U0001f642b", "*", "?", "[a]", "(a", "%", "'", '"', "\\", "+", "\u00a0",
    )
)  # fmt: skip
"""Strings that are mistaken for one another, for numbers, for bounds, or sorted by UTF-16 or a locale."""

SCORES = numbers("score")


async def put(lab: Lab, entries: Mapping[str, Entries | None], projection: ProjectionId = TASKS) -> None:
    """Commit documents that are found by those entries, by the next event; None deletes."""
    await lab.append("a")
    head, _ = await lab.log.head()
    documents = {key: None if each is None else b"document " + key.encode() for key, each in entries.items()}
    some = {key: each for key, each in entries.items() if each is not None and each != NO_ENTRIES}
    await lab.commit(projection, head, documents, entries=some)


class ViewsIndexing(Contract):
    """Entries change in the step of the commit that changes their documents."""

    @in_colour
    async def test_entries_are_loaded_with_their_documents(self, lab: Lab) -> None:
        a, b = found_by(score=1, name="é 🙂"), found_by(2 * NOW_US)
        await put(lab, {"a": a, "b": b, "c": Entries()})
        documents = {key: b"document " + key.encode() for key in "abc"}
        assert await lab.stored(TASKS, 1, ["c", "a", "b", "z"]) == (documents, {"a": a, "b": b}, {})
        assert (await lab.stored(TASKS, 1, ["c"])).entries == {}
        await put(lab, {"a": found_by(score=2), "b": Entries(), "c": found_by(score=3)})
        lab.reopen()
        changed = {"a": found_by(score=2), "c": found_by(score=3)}
        assert (await lab.stored(TASKS, 1, ["a", "b", "c"])).entries == changed
        await put(lab, {"a": None})
        assert (await lab.stored(TASKS, 1, ["a", "b", "c"])).entries == {"c": found_by(score=3)}

    @in_colour
    async def test_entries_change_with_their_documents(self, lab: Lab) -> None:
        expected: dict[str, Entries] = {}
        steps: list[dict[str, Entries | None]] = [
            {"a": found_by(score=3), "b": found_by(score=1), "c": found_by(score=2)},
            {"a": found_by(score=0)},
            {"a": found_by(score=1.5, name="x"), "b": found_by(name="y"), "d": found_by(score=7)},
            {"c": None, "b": found_by(score=9, name="x"), "never there": None},
            {"a": Entries(), "d": found_by(score=7, name="z")},
            {"a": found_by(name="x"), "b": None, "c": found_by(score=2)},
            {"a": None, "c": None, "d": None},
        ]
        for step in steps:
            await put(lab, step)
            for key, entries in step.items():
                expected.pop(key, None)
                if entries:
                    expected[key] = entries
            for span in (SCORES, strings("name"), strings("name", "x"), numbers("score", 1, 2)):
                places = sorted(
                    (value, key)
                    for key, entries in expected.items()
                    for index, value in entries.values
                    if index == span.index and span.low <= value <= span.high
                )
                assert await lab.found(TASKS, span) == [key for _, key in places]
                assert await lab.count(TASKS, span) == len(places)
                for rank, (_, key) in enumerate(places):
                    assert await lab.rank(TASKS, span, key) == (rank, len(places))

    @in_colour
    async def test_entries_change_though_the_document_stays_the_same(self, lab: Lab) -> None:
        for score in (5, 3, "three", 8):
            await put(lab, {"a": found_by(score=score), "b": found_by(score=4)})
            assert await lab.found(TASKS, strings("score")) == (["a"] if score == "three" else [])
        assert await lab.found(TASKS, SCORES) == ["b", "a"]
        await put(lab, {"a": Entries()})
        assert await lab.found(TASKS, SCORES) == ["b"]
        assert await lab.get(TASKS, ["a"]) == {"a": b"document a"}

    @in_colour
    async def test_a_commit_that_lost_changes_no_index(self, lab: Lab) -> None:
        await put(lab, {"a": found_by(score=1), "b": found_by(score=2)})
        head = (await lab.log.head())[0]
        commit = await lab.committing(TASKS, head, {"a": b"x"}, entries={"a": found_by(score=5)})
        await lab.commit(TASKS, head, {"b": b"x"}, entries={"b": found_by(score=3)})
        late: dict[str, bytes | None] = {"a": None, "b": b"late", "c": b"late"}
        lost = commit._replace(documents=late, entries={"b": found_by(score=0), "c": found_by(score=4)})
        for each, outcome in (
            (lost, Outcome.ALREADY),
            (lost._replace(expected=head + 1, checkpoint=head + 1), Outcome.MISMATCH),
            (lost._replace(expected=0, checkpoint=0), Outcome.AHEAD),
            (lost._replace(generation=2), Outcome.SUPERSEDED),
        ):
            assert await lab.outcome(each) is outcome
            assert await lab.found(TASKS, SCORES) == ["a", "b"]
            assert await lab.rank(TASKS, SCORES, "b") == (1, 2)
            assert (await lab.stored(TASKS, 1, ["a", "b", "c"])).entries == {
                "a": found_by(score=1),
                "b": found_by(score=3),
            }

    @in_colour
    async def test_commits_of_one_call_leave_their_entries_in_their_order(self, lab: Lab) -> None:
        rows = await lab.fill(2)
        one = {"a": found_by(score=1), "b": found_by(score=2)}
        other = {"a": found_by(score=3)}
        first = await lab.committing(TASKS, rows[0][0], {"a": b"1", "b": b"1"}, entries=one)
        second = first._replace(
            expected=rows[0][0], checkpoint=rows[1][0], documents={"a": b"2", "b": None}, entries=other, before=one
        )
        committed = await lab.views.commit([first, second], None)
        assert committed.outcomes == (Outcome.COMMITTED, Outcome.COMMITTED)
        assert await lab.found(TASKS, SCORES) == ["a"]
        assert await lab.found(TASKS, numbers("score", 1, 2)) == []

    @in_colour
    async def test_a_document_stands_in_several_indexes(self, lab: Lab) -> None:
        names = ("score", "Score", "score2", "scor", "s", "score.1", "score-1")
        await put(lab, {"all": Entries(tuple((name, encode_value(n, name)) for n, name in enumerate(names)))})
        await put(lab, {f"{n}": Entries(((name, encode_value(10, name)),)) for n, name in enumerate(names)})
        for n, name in enumerate(names):
            assert await lab.found(TASKS, numbers(name)) == ["all", f"{n}"]
            assert await lab.found(TASKS, numbers(name), reverse=True) == [f"{n}", "all"]
            assert await lab.count(TASKS, numbers(name, n, n)) == 1
        assert await lab.found(TASKS, numbers("unknown")) == []
        assert await lab.count(TASKS, numbers("unknown")) == 0
        assert await lab.rank(TASKS, numbers("unknown"), "all") == (None, 0)
        await put(lab, {"all": found_by(score=3)})
        assert await lab.found(TASKS, numbers("score2")) == ["2"]
        assert await lab.found(TASKS, SCORES) == ["all", "0"]

    @in_colour
    async def test_views_and_builds_have_indexes_of_their_own(self, lab: Lab) -> None:
        names = [TASKS, LISTS, ProjectionId("tasks", 2), ProjectionId("tasks", 11), ProjectionId("tasks-1", 1)]
        for n, name in enumerate(names):
            await put(lab, {f"{n}": found_by(score=1)}, name)
        for n, name in enumerate(names):
            assert await lab.found(name, SCORES) == [f"{n}"]
        building = await lab.begin(TASKS)
        await lab.commit(TASKS, 0, {"0": b"x", "a": b"x"}, generation=building, entries={"a": found_by(score=2)})
        assert await lab.found(TASKS, SCORES) == ["0"]
        assert await lab.rank(TASKS, SCORES, "a") == (None, 1)
        await lab.commit(TASKS, (await lab.log.head())[0], generation=building)
        assert await lab.found(TASKS, SCORES) == ["a"]
        assert await lab.rank(TASKS, SCORES, "0") == (None, 1)
        await lab.drop(TASKS, 1)
        assert await lab.found(TASKS, SCORES) == ["a"]
        await lab.views.drop(TASKS, building, [], 10, serving=True)
        assert await lab.found(TASKS, SCORES) == []
        assert await lab.count(TASKS, SCORES) == 0

    @in_colour
    async def test_more_than_a_thousand_documents_stand_in_an_index(self, lab: Lab) -> None:
        (row,) = await lab.fill(1)
        keys = [f"key-{index:04}" for index in range(1_100)]
        entries = {key: found_by(score=-index) for index, key in enumerate(keys)}
        await lab.commit(TASKS, row[0], dict.fromkeys(keys, b"x"), entries=entries)
        assert await lab.found(TASKS, SCORES) == keys[::-1]
        assert await lab.count(TASKS, SCORES) == 1_100
        assert await lab.count(TASKS, numbers("score", -1_049)) == 1_050
        assert await lab.rank(TASKS, SCORES, "key-0010") == (1_089, 1_100)
        gone: dict[str, bytes | None] = dict.fromkeys(keys[:1_050])
        await lab.commit(TASKS, row[0], gone)
        assert await lab.found(TASKS, SCORES, reverse=True) == keys[1_050:]

    @in_colour
    async def test_entries_are_there_when_the_views_are_opened_again(self, lab: Lab) -> None:
        await put(lab, {"a": found_by(score=2), "b": found_by(score=1, name="x")})
        lab.reopen()
        assert await lab.found(TASKS, SCORES) == ["b", "a"]
        await put(lab, {"b": found_by(score=3)})
        lab.reopen()
        assert await lab.found(TASKS, SCORES) == ["a", "b"]
        assert await lab.count(TASKS, strings("name")) == 0


class ViewsFinding(Contract):
    """What is found in a span of an index, in which order."""

    @in_colour
    async def test_numbers_are_found_in_their_order(self, lab: Lab) -> None:
        keys = {value: f"{(7 * index) % 27:02}" for index, value in enumerate(NUMBERS_IN_ORDER)}
        await put(lab, {key: found_by(score=value) for value, key in keys.items()})
        assert await lab.found(TASKS, SCORES) == list(keys.values())
        assert await lab.found(TASKS, SCORES, reverse=True) == list(keys.values())[::-1]
        page = await lab.views.find(TASKS, SCORES, None, 100, MAX_PAGE_BYTES, NOW_US)
        assert page.documents == [(key, b"document " + key.encode()) for key in keys.values()]

    @in_colour
    async def test_strings_are_found_in_order_of_their_characters(self, lab: Lab) -> None:
        keys = {value: f"{(7 * index) % 36:02}" for index, value in enumerate(STRINGS_IN_ORDER)}
        await put(lab, {key: found_by(name=value) for value, key in keys.items()})
        assert await lab.found(TASKS, strings("name")) == list(keys.values())
        assert await lab.found(TASKS, strings("name"), reverse=True) == list(keys.values())[::-1]
        for value, key in keys.items():
            assert await lab.found(TASKS, strings("name", value)) == [key]
            assert await lab.count(TASKS, strings("name", value)) == 1

    @in_colour
    async def test_equal_values_are_found_in_order_of_their_keys(self, lab: Lab) -> None:
        for value, span in ((1, SCORES), ("x", strings("score")), ("x", strings("score", "x"))):
            await put(lab, dict.fromkeys(KEYS, found_by(score=value)))
            assert await lab.found(TASKS, span) == sorted(KEYS)
            assert await lab.found(TASKS, span, reverse=True) == sorted(KEYS, reverse=True)
            for rank, key in enumerate(sorted(KEYS)):
                assert await lab.rank(TASKS, span, key) == (rank, len(KEYS))

    @in_colour
    async def test_what_comes_before_a_key_is_counted_of_the_highest_value_alone(self, lab: Lab) -> None:
        values = {"a": 1, "b": 2, "c": 2, "d b": 2, "d": 2, "é": 2, "0": 3}
        await put(lab, {key: found_by(score=value) for key, value in values.items()})
        for before in ("", "a", "b", "bb", "c", "d", "d b", "e", "é", "🙂"):
            for low in (None, 1, 2):
                inside = [key for key, value in values.items() if value == 1 or (value == 2 and key < before)]
                expected = len([key for key in inside if low != 2 or values[key] == 2])
                span = msgspec.structs.replace(numbers("score", low, 2), before=before)
                assert await lab.count(TASKS, span) == expected, f"from {low} to 2, before {before!r}"

    @in_colour
    async def test_a_value_and_its_key_are_told_apart(self, lab: Lab) -> None:
        pairs = [("a", "b c"), ("a b", "c"), ("a b c", "d"), ("ab", "c"), ("a!", "b"), ("a:b", "c"), ("a", "b:c")]
        await put(lab, {f"{key}/{n}": found_by(name=value) for n, (value, key) in enumerate(pairs)})
        places = sorted((value, f"{key}/{n}") for n, (value, key) in enumerate(pairs))
        assert await lab.found(TASKS, strings("name")) == [key for _, key in places]
        for value in {value for value, _ in pairs}:
            assert await lab.found(TASKS, strings("name", value)) == [key for at, key in places if at == value]

    @in_colour
    async def test_the_bounds_of_a_span_are_part_of_it(self, lab: Lab) -> None:
        values = (-2.5, -1, 0, 1, 1, 2, 10)
        await put(lab, {f"{n}": found_by(score=value) for n, value in enumerate(values)})
        bounds = (None, -3, -2.5, 0.5, 1, 10, 11)
        for low in bounds:
            for high in bounds:
                inside = [
                    f"{n}"
                    for n, value in enumerate(values)
                    if (low is None or low <= value) and (high is None or value <= high)
                ]
                span = numbers("score", low, high)
                assert await lab.found(TASKS, span) == inside, f"from {low} to {high}"
                assert await lab.found(TASKS, span, reverse=True) == inside[::-1], f"from {high} to {low}"
                assert await lab.count(TASKS, span) == len(inside), f"from {low} to {high}"
                for n in (0, 3, 4, 6):  # the least, those of one value, and the greatest
                    rank = inside.index(f"{n}") if f"{n}" in inside else None
                    assert await lab.rank(TASKS, span, f"{n}") == (rank, len(inside)), f"from {low} to {high}"

    @in_colour
    async def test_numbers_and_strings_never_meet(self, lab: Lab) -> None:
        both: dict[str, float | str] = {"1": 1, "2": "1", "3": -1, "4": "n", "5": "~", "6": "s", "7": 1e300, "8": "a"}
        await put(lab, {key: found_by(score=value) for key, value in both.items()})
        assert await lab.found(TASKS, SCORES) == ["3", "1", "7"]
        assert await lab.found(TASKS, strings("score")) == ["2", "8", "4", "6", "5"]
        assert await lab.count(TASKS, SCORES) == 3
        assert await lab.count(TASKS, strings("score")) == 5
        assert await lab.found(TASKS, strings("score", "1")) == ["2"]
        assert await lab.rank(TASKS, SCORES, "2") == (None, 3)
        assert await lab.rank(TASKS, strings("score"), "8") == (1, 5)

    @in_colour
    async def test_documents_without_entries_are_in_no_index(self, lab: Lab) -> None:
        await put(lab, {"a": Entries(), "b": found_by(score=1), "c": found_by(name="x")})
        assert await lab.found(TASKS, SCORES) == ["b"]
        assert await lab.count(TASKS, SCORES) == 1
        for key in ("a", "c", "nobody"):
            assert await lab.rank(TASKS, SCORES, key) == (None, 1)
        assert await lab.count(TASKS) == 3
        unseen = await lab.views.find(LISTS, SCORES, None, 10, MAX_PAGE_BYTES, NOW_US)
        assert (unseen.documents, unseen.more, unseen.last) == ([], False, None)
        assert await lab.rank(LISTS, SCORES, "b") == (None, 0)

    @in_colour
    async def test_what_is_found_comes_after_a_place(self, lab: Lab) -> None:
        places = [(encode_value(value, "score"), key) for value in (-1, 0, 2) for key in ("a", "b b", "🙂")]
        await put(lab, {f"{key}{value}": Entries((("score", value),)) for value, key in places})
        there = [(value, f"{key}{value}") for value, key in places]
        between = [(encode_value(value, "score"), key) for value in (-2, -1, 1, 2, 3) for key in ("A", "b", "~")]
        for after in (*there, *between, (SCORES.low, ""), (SCORES.high, "\U0010ffff")):
            for span in (SCORES, numbers("score", 0, 1), numbers("score", -1, 0)):
                inside = [key for value, key in there if span.low <= value <= span.high and (value, key) > after]
                page = await lab.views.find(TASKS, span, after, 100, MAX_PAGE_BYTES, NOW_US)
                assert [key for key, _ in page.documents] == inside
                inside = [key for value, key in there if span.low <= value <= span.high and (value, key) < after]
                page = await lab.views.find(TASKS, span, after, 100, MAX_PAGE_BYTES, NOW_US, reverse=True)
                assert [key for key, _ in page.documents] == inside[::-1]
                assert page.more is False

    @in_colour
    async def test_what_is_found_is_bounded(self, lab: Lab) -> None:
        (row,) = await lab.fill(1)
        entries = {f"{n}": found_by(score=n // 2) for n in range(6)}
        await lab.commit(TASKS, row[0], dict.fromkeys(entries, bytes(10)), entries=entries)
        for limit, max_bytes, count in (
            (1, 1_000, 1), (5, 1_000, 5), (6, 1_000, 6), (7, 1_000, 6),
            (100, 1, 1), (100, 10, 1), (100, 11, 2), (100, 30, 3), (100, 1_000, 6),
        ):  # fmt: skip
            for reverse in (False, True):
                page = await lab.views.find(TASKS, SCORES, None, limit, max_bytes, NOW_US, reverse=reverse)
                expected = sorted(entries, reverse=reverse)[:count]
                assert [key for key, _ in page.documents] == expected, f"limit={limit}, max_bytes={max_bytes}"
                assert page.more is (count < 6), f"limit={limit}, max_bytes={max_bytes}"
                assert page.last == (entries[expected[-1]].values[0][1], expected[-1])

    @in_colour
    async def test_pages_put_together_are_the_span(self, lab: Lab) -> None:
        entries = {key: found_by(score=index % 5) for index, key in enumerate(KEYS)}
        await put(lab, entries)
        for span in (SCORES, numbers("score", 1, 3)):
            places = sorted((each.values[0][1], key) for key, each in entries.items())
            inside = [key for value, key in places if span.low <= value <= span.high]
            for limit, max_bytes in ((1, MAX_PAGE_BYTES), (4, MAX_PAGE_BYTES), (100, 30)):
                for reverse in (False, True):
                    found = await lab.found(TASKS, span, limit=limit, max_bytes=max_bytes, reverse=reverse)
                    assert found == (inside[::-1] if reverse else inside)

    @in_colour
    async def test_a_place_stays_right_while_documents_change(self, lab: Lab) -> None:
        for reverse in (False, True):
            sign = -1 if reverse else 1
            entries = {f"{n:02}": found_by(score=sign * (n // 3)) for n in range(20)}
            await put(lab, entries)
            ordered = await lab.found(TASKS, SCORES, reverse=reverse)
            found = list[str]()
            after: tuple[str, str] | None = None
            changed = set[str]()
            behind, ahead = found_by(score=sign * -5), found_by(score=sign * 100)
            while True:
                page = await lab.views.find(TASKS, SCORES, after, 2, MAX_PAGE_BYTES, NOW_US, reverse=reverse)
                found += [key for key, _ in page.documents]
                assert len(found) <= 21, "documents are handed out again and again"
                if not page.more:
                    break
                after = page.last
                # Where the page ended is gone, what comes soon is moved away, and there are new ones on both sides.
                gone = found[-1]
                moved = ordered[min(ordered.index(gone) + 2, 19)]
                await put(lab, {gone: None, moved: behind, f"behind {len(found)}": behind, "ahead": ahead})
                changed |= {gone, moved}
            assert found == [*(key for key in ordered if key not in changed or key in found), "ahead"]
            await put(lab, dict.fromkeys(await lab.documents(TASKS)))
