"""Whatever is kept, and whoever executes: the states are the same."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from eventsource_upstash import EventStore, Memory
from tests.unit.test_snapshots import CLASSES, Add, Added, Empty, fold, summing

COMMANDS = st.lists(
    st.tuples(
        st.sampled_from(["execute", "append", "load", "elsewhere"]),
        st.sampled_from(["s", "t"]),
        st.one_of(st.builds(Add, st.lists(st.integers(-9, 9), max_size=5).map(tuple)), st.just(Empty())),
    ),
    max_size=25,
)


@given(
    commands=COMMANDS,
    every=st.sampled_from([1, 2, 7, None]),
    cache=st.sampled_from([0, 1, 5]),
    state=st.sampled_from(CLASSES),
)
def test_states_are_those_of_the_whole_stream(
    commands: list[tuple[str, str, Add | Empty]], every: int | None, cache: int, state: type
) -> None:
    the = summing(state, every=every)
    memory = Memory()
    here, elsewhere = (EventStore(memory, the.registry, cache=cache) for _ in range(2))
    for how, stream, command in commands:
        store = elsewhere if how == "elsewhere" else here
        if how == "append":
            store.append(stream, Added(5))
        if how in ("append", "load"):
            loaded = store.load(the.sums, stream)
            assert loaded.state == fold(memory, state, stream=stream)
        else:
            executed = store.execute(the.sums, stream, command)
            assert executed.state == fold(memory, state, stream=stream)
            assert executed.revision == len(list(store.read_stream(stream)))
