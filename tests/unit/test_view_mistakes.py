"""What users of views get wrong, and what they are told: None as a value, an index that is new, an end that is none."""

from __future__ import annotations

import logging
import pickle
import re
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any, Literal, cast

import msgspec
import pytest

from eventsource_upstash import (
    App,
    LogRewound,
    Memory,
    Misuse,
    Projection,
    ProjectionStopped,
    RegistrationError,
    Registry,
    StaleView,
    ViewNotBuilt,
    connect,
    connect_async,
)
from eventsource_upstash.domain.folding import OnError
from eventsource_upstash.domain.indexes import encode_value


@dataclass(frozen=True)
class Measured:
    value: float
    parts: int
    probes: tuple[str, ...] = ("a",)


@dataclass(frozen=True)
class Mean:
    value: float
    unit: str | None = None


@dataclass(frozen=True)
class Total:
    total: int


def code(
    on_error: OnError = "stop", *, index: str | None = None, ends: bool = False
) -> tuple[Registry, Projection[Mean]]:
    registry = Registry()
    registry.event("measured")(Measured)
    means = registry.projection("means", Mean, on_error=on_error)
    if index is not None:
        means.index(index, index)
    if ends:
        means.expires("value")
    means.on(Measured, key=lambda event: event.probes)(lambda _, event: Mean(event.value / event.parts))
    return registry, means


def opened(backend: Memory, on_error: OnError = "stop", *, index: str | None = None) -> tuple[App, Projection[Mean]]:
    registry, means = code(on_error, index=index)
    return connect(backend, registry), means


@pytest.mark.parametrize("colour", ["blocking", "event loop"])
def test_equal_to_none_is_not_everything(colour: Literal["blocking", "event loop"]) -> None:
    registry, means = code(index="unit")
    nobody = cast("str", None)
    view = (connect if colour == "blocking" else connect_async)("memory:", registry).projection_store.view(means)
    with pytest.raises(Misuse, match=r"index 'unit': equal\(None\): documents without a value are not in the index"):
        view.index("unit").equal(nobody)


def test_a_new_index_says_that_the_view_has_to_be_built_anew() -> None:
    backend = Memory()
    app, _ = opened(backend)
    app.event_store.append("probe-1", Measured(1.0, 1))
    app.projector.catch_up()
    app, means = opened(backend, index="value")
    index = app.projection_store.view(means).index("value")
    with pytest.raises(
        ViewNotBuilt, match=r"without index 'value'\. Raise its version above 1, or call rebuild"
    ) as error:
        index.top(1)
    assert isinstance(error.value, StaleView)
    assert "Try again" not in str(error.value)
    app.projector.rebuild(means)
    assert index.top(1) == [("a", Mean(1.0))]


@pytest.mark.parametrize("end", [-1.0, 1.7e12, float("nan")])
def test_an_end_that_is_no_time(end: float) -> None:
    _, means = code(ends=True)
    with pytest.raises(Misuse, match=r"a number is seconds since 1970, from 0 to 10\*\*11; was it milliseconds"):
        means.entries_of(Mean(end))


def test_who_asked_for_a_position_that_there_is_not() -> None:
    app, means = opened(Memory())
    with pytest.raises(LogRewound) as error:
        app.projection_store.view(means).get("a", at_least=7)
    copy: LogRewound = pickle.loads(pickle.dumps(error.value))
    assert (copy.asked, copy.checkpoint, copy.head) == (True, 7, 0)
    assert not LogRewound(projection="means", checkpoint=7, head=0).asked


def test_a_rebuild_that_is_stopped_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    backend = Memory()
    app, _ = opened(backend, "skip")
    app.event_store.append("probe-1", Measured(1.0, 1), Measured(1.0, 0))
    app.projector.catch_up()
    app, means = opened(backend)
    with caplog.at_level(logging.ERROR, logger="eventsource_upstash.projector"):
        with pytest.raises(ProjectionStopped, match="stopped at position 2: its rebuild, generation 2"):
            app.projector.rebuild(means)
        for _ in range(3):
            assert app.projector.catch_up().complete
    (record,) = [each for each in caplog.records if each.levelno >= logging.ERROR]
    assert re.match(
        r"the rebuild of projection 'means' is stopped at position 2: handler .*: ZeroDivisionError",
        record.getMessage(),
    )
    assert record.exc_info is not None
    assert record.exc_info[0] is ZeroDivisionError


def test_an_event_that_stops_is_not_set_aside_for_its_other_keys() -> None:
    backend = Memory()
    app, means = opened(backend, "park")
    app.event_store.append("probe-1", Measured(1.0, 0))
    app.projector.catch_up()
    app, means = opened(backend, "stop")  # with an event parked for the key
    app.event_store.append("probe-1", Measured(1.0, 0, ("a", "b")), Measured(2.0, 1, ("c",)))
    for _ in range(2):
        with pytest.raises(ProjectionStopped, match="stopped at position 2"):
            app.projector.catch_up()
    assert [each.position for each in app.projector.parked(means)] == [1]
    assert app.projector.skipped(means) == ()


def test_an_end_is_told_with_the_projection_that_it_is_of() -> None:
    _, means = code(ends=True)
    assert means.entries_of(Mean(1e11 - 1)).expires_us == 99_999_999_999_000_000
    with pytest.raises(Misuse, match=r"^projection 'means', expires: a number is seconds since 1970"):
        means.entries_of(Mean(1e11))


@pytest.mark.parametrize(
    ("end", "told"),
    [
        (datetime(2030, 1, 1), r"a datetime without a time zone; use datetime\.now\(timezone\.utc\)"),  # noqa: DTZ001
        ("soon", "it is a datetime with a time zone, seconds since 1970 or None, not str"),
        (True, "it is a datetime with a time zone, seconds since 1970 or None, not bool"),
    ],
)
def test_what_can_be_no_end_is_told_with_what_can(end: Any, told: str) -> None:
    means = Registry().projection("means", Mean)
    means.expires(lambda _: end)
    with pytest.raises(Misuse, match=f"^projection 'means', expires: {told}"):
        means.entries_of(Mean(1.0))


def test_an_end_may_be_in_any_time_zone() -> None:
    means = Registry().projection("means", Mean)
    means.expires(lambda _: datetime(1970, 1, 1, 1, 0, 2, 500_000, tzinfo=timezone(timedelta(hours=1))))
    assert means.entries_of(Mean(1.0)).expires_us == 2_500_000


def test_a_view_whose_documents_end_from_now_on_has_to_be_built_anew() -> None:
    backend = Memory()
    app, _ = opened(backend)
    app.event_store.append("probe-1", Measured(1.0, 1))
    app.projector.catch_up()
    app.event_store.append("probe-1", Measured(2.0, 1))
    ending = connect(backend, code(ends=True)[0])
    with pytest.raises(ProjectionStopped, match=r"'means' was built with other indexes .* \('none', now '\(ends\)'\)"):
        ending.projector.catch_up()


def test_a_value_that_an_index_cannot_hold_is_told_with_the_index() -> None:
    registry, means = code(index="unit")
    with pytest.raises(Misuse, match=r"^projection 'means', index 'unit': a value cannot be empty"):
        means.entries_of(Mean(1.0, ""))
    with pytest.raises(
        RegistrationError, match=r"^projection 'means', index 'unit': there is one of that name already"
    ):
        means.index("unit", "unit")
    with pytest.raises(RegistrationError, match=r"index 'five': it is the name of a field or a function .*, not 5$"):
        means.index("five", cast("str", 5))
    assert means.indexes == ("unit",)
    assert registry.projections == (means,)


def test_documents_that_do_not_fit_their_class_any_more_are_told_by_their_key() -> None:
    backend = Memory()
    app, _ = opened(backend)
    app.event_store.append("probe-1", Measured(1.0, 1))
    app.projector.catch_up()
    later = Registry()
    later.event("measured")(Measured)
    means = later.projection("means", Total)
    view = connect(backend, later).projection_store.view(means)
    for read in (lambda: list(view.items()), lambda: view.get("a"), lambda: view.get_many(["a"])):
        with pytest.raises(Misuse, match=r"^projection 'means': document 'a' does not decode"):
            read()


def test_the_name_of_an_index_that_can_be_none_is_told() -> None:
    with pytest.raises(RegistrationError, match=r"^index 'a b': its name has 1 to 128 letters, digits and \. _ -"):
        Registry().projection("means", Mean).index("a b", "value")


class Half(msgspec.Struct, frozen=True):
    whole: float

    @property
    def half(self) -> float:
        return self.whole / 2


def test_an_index_may_be_of_what_a_document_computes() -> None:
    halves = Registry().projection("halves", Half)
    halves.index("half", "half")
    assert halves.entries_of(Half(3.0)).values == (("half", encode_value(1.5, "a test")),)
    with pytest.raises(RegistrationError, match=r"index 'other': 'quarter' is not a field of Half; it has whole$"):
        halves.index("other", "quarter")
