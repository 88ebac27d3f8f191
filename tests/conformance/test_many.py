"""Logs that take many appends at once, held to that contract; and that it notices those which do it wrong."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

import pytest
from msgspec.structs import replace

from eventsource_upstash import ANY, SQLite
from eventsource_upstash.domain.events import Appended
from eventsource_upstash.ports import Append, AppendsMany, Backend, Conflict, KeyReused, Log, Unmet
from eventsource_upstash.testing.conformance import AppendsManyContract
from eventsource_upstash.testing.wrapping import BackendWrapper, LogWrapper

Answers: TypeAlias = "list[Appended | Conflict | KeyReused | Unmet]"


class TestSQLite(AppendsManyContract):
    def open_backend(self, folder: Path) -> Backend:
        return SQLite(folder / "events.db")


class Many(LogWrapper):
    """Does as it should."""

    async def append_many(self, appends: Sequence[Append]) -> Answers:
        return await self.inner_many(appends)

    async def inner_many(self, appends: Sequence[Append]) -> Answers:
        assert isinstance(self.inner, AppendsMany)
        return await self.inner.append_many(appends)


class LosesTheLast(Many):
    async def append_many(self, appends: Sequence[Append]) -> Answers:
        answers = await self.inner_many(appends[:-1] or appends)
        return [*answers, answers[-1]] if len(appends) > 1 else answers


class InAnotherOrder(Many):
    async def append_many(self, appends: Sequence[Append]) -> Answers:
        by_stream = sorted(appends, key=lambda append: append.stream)
        return await self.inner_many(by_stream)


class GoesOn(Many):
    """Writes what comes after the one in the way."""

    async def append_many(self, appends: Sequence[Append]) -> Answers:
        answers = [await self.inner.append(append) for append in appends]
        wrong = [index for index, answer in enumerate(answers) if not isinstance(answer, Appended)]
        return answers[: wrong[0] + 1] if wrong else answers


class NoConditions(Many):
    async def append_many(self, appends: Sequence[Append]) -> Answers:
        return await self.inner_many([replace(append, condition=None) for append in appends])


class WritesAgain(Many):
    async def append_many(self, appends: Sequence[Append]) -> Answers:
        return await self.inner_many([replace(append, expected=ANY) for append in appends])


def contract(log: type[Many]) -> AppendsManyContract:
    class Wrapped(BackendWrapper):
        def wrap_log(self, inner: Log) -> Log:
            return log(inner)

    class Contract(AppendsManyContract):
        def open_backend(self, folder: Path) -> Backend:
            return Wrapped(SQLite(folder / "events.db"))

    return Contract()


BROKEN = {
    LosesTheLast: {"test_many_appends_are_what_they_are_one_after_another"},
    InAnotherOrder: {"test_many_appends_are_what_they_are_one_after_another"},
    GoesOn: {"test_nothing_is_written_after_the_one_of_many_that_is_in_the_way"},
    NoConditions: {"test_many_appends_keep_their_conditions"},
    WritesAgain: {"test_many_appends_that_are_sent_again_are_written_once"},
}


@pytest.mark.parametrize("log", BROKEN)
def test_a_log_that_does_it_wrong_is_caught(log: type[Many], tmp_path: Path) -> None:
    assert BROKEN[log] <= set(contract(log).run_tests(tmp_path))


def test_a_log_that_does_it_right_passes_by_the_same_way(tmp_path: Path) -> None:
    assert contract(Many).run_tests(tmp_path) == {}


def test_every_test_can_fail() -> None:
    tests = {name for name in dir(AppendsManyContract) if name.startswith("test_")}
    assert tests == set().union(*BROKEN.values())
