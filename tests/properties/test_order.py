"""An index in memory is put in order when somebody looks, one change at a time or all at once: it is the same order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventsource_upstash.backends.memory import indexes
from eventsource_upstash.backends.memory.indexes import Build, Order
from eventsource_upstash.domain.indexes import Entries
from eventsource_upstash.ports import Span

places = st.tuples(st.sampled_from(["n1", "n2", "n3"]), st.sampled_from("abcdef"))
# What changes between two looks.
turns = st.lists(st.lists(places, max_size=8), max_size=6)


@pytest.fixture(params=[0, 2, 1_000], ids=["all at once", "either", "one by one"], scope="module")
def few(request: pytest.FixtureRequest) -> int:
    value: int = request.param
    return value


@given(first=st.sets(places), turns=turns)
def test_an_order_holds_what_was_added_and_not_removed(few: int, first: set[tuple[str, str]], turns: object) -> None:
    assert isinstance(turns, list)
    there = set(first)
    order = Order(first)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(indexes, "FEW", few)
        for turn in turns:
            for place in turn:
                if place in there:
                    order.remove(place)
                    there.remove(place)
                else:
                    order.add(place)
                    there.add(place)
            assert order.look() == sorted(there)


documents = st.dictionaries(
    st.sampled_from("abcdef"),
    st.one_of(
        st.none(),
        st.builds(
            lambda values, end: Entries(tuple(values.items()), end),
            st.dictionaries(st.sampled_from(["one", "two"]), st.sampled_from(["n1", "n2"])),
            st.one_of(st.none(), st.just(5)),
        ),
    ),
)


@given(commits=st.lists(st.tuples(documents, st.booleans()), max_size=6))
def test_what_a_build_finds_is_what_its_entries_say(commits: list[tuple[dict[str, Entries | None], bool]]) -> None:
    build = Build()
    for changed, looked_at in commits:
        build.put(
            {key: None if entries is None else b"{}" for key, entries in changed.items()},
            {key: entries for key, entries in changed.items() if entries},
        )
        if looked_at:
            check(build)
    check(build)


def check(build: Build) -> None:
    for index in ("one", "two"):
        expected = sorted(
            (value, key) for key, each in build.entries.items() for name, value in each.values if name == index
        )
        found, start, end = build.span(Span(index, "n", "n~"))
        assert found[start:end] == expected
        assert {key: build.place_of(index, key) for _, key in expected} == {key: (v, key) for v, key in expected}
    assert [key for _, key in build.keys_after(None)] == sorted(build.documents)
    assert build.ends == sum(each.expires_us is not None for each in build.entries.values())
    assert build.entries.keys() <= build.documents.keys()
