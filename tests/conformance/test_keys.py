"""The key stores of this package, held to their contract; and stores that break it, each of which is caught."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from eventsource_upstash import MemoryKeys, Receipt, SQLiteKeys
from eventsource_upstash.domain.events import FREE
from eventsource_upstash.ports import Keys, KeyStore, Port, SubjectKey
from eventsource_upstash.testing import KeysContract
from eventsource_upstash.testing.colours import Colour

Found = tuple[dict[str, SubjectKey | None], Receipt]


class TestMemoryKeys(KeysContract):
    reopens = False

    def open_keys(self, folder: Path) -> KeyStore:
        return MemoryKeys()


class TestSQLiteKeys(KeysContract):
    def open_keys(self, folder: Path) -> KeyStore:
        return SQLiteKeys(folder / "keys.db")


class Store:
    """Keys in a dict, done right: what is broken below is one method of it. Answers and takes turns by itself."""

    def __init__(self) -> None:
        self.kept: dict[str, SubjectKey | None] = {}
        self.back: set[str] = set()

    def keys(self, port: Port) -> Keys:
        return self

    def close(self) -> None: ...

    def __repr__(self) -> str:
        return "Store()"

    async def create_many(self, offered: Mapping[str, SubjectKey]) -> Found:
        for subject in self.back & set(offered):
            self.back.remove(subject)
            del self.kept[subject]
        return {subject: self.kept.setdefault(subject, each) for subject, each in offered.items()}, FREE

    async def get_many(self, subjects: Sequence[str]) -> Found:
        return {subject: self.kept[subject] for subject in subjects if subject in self.kept}, FREE

    async def forget(self, subject: str) -> Receipt:
        self.kept[subject] = None
        self.back.discard(subject)
        return FREE

    async def readmit(self, subject: str) -> Receipt:
        if subject in self.kept and self.kept[subject] is None:
            self.back.add(subject)
        return FREE


class KeepsNothing(Store):
    async def create_many(self, offered: Mapping[str, SubjectKey]) -> Found:
        return dict(offered), FREE


class TakesTheLatest(Store):
    async def create_many(self, offered: Mapping[str, SubjectKey]) -> Found:
        for subject, each in offered.items():
            if self.kept.get(subject, each) is not None:
                self.kept[subject] = each
        return await super().create_many(offered)


class KnowsEverybody(Store):
    async def get_many(self, subjects: Sequence[str]) -> Found:
        return {subject: self.kept.get(subject) for subject in subjects}, FREE


class AnswersTheFirstOnly(Store):
    async def create_many(self, offered: Mapping[str, SubjectKey]) -> Found:
        return await super().create_many(dict(list(offered.items())[:1]))


class StumblesOverNobody(Store):
    async def create_many(self, offered: Mapping[str, SubjectKey]) -> Found:
        max(offered)
        return await super().create_many(offered)


class DestroysNothing(Store):
    async def forget(self, subject: str) -> Receipt:
        return FREE


class LeavesNoTrace(Store):
    async def forget(self, subject: str) -> Receipt:
        self.kept.pop(subject, None)
        return FREE


class ForgetsTheKnownOnly(Store):
    async def forget(self, subject: str) -> Receipt:
        return await super().forget(subject) if subject in self.kept else FREE


class ReadmitsNobody(Store):
    async def readmit(self, subject: str) -> Receipt:
        return FREE


class ReadmitsForGood(Store):
    async def forget(self, subject: str) -> Receipt:
        self.kept[subject] = None
        return FREE


class ReadmitsByDeleting(Store):
    async def readmit(self, subject: str) -> Receipt:
        self.kept.pop(subject, None)
        return FREE


class FoldsNames(Store):
    async def create_many(self, offered: Mapping[str, SubjectKey]) -> Found:
        found, _ = await super().create_many({subject.strip().lower(): each for subject, each in offered.items()})
        return {subject: found[subject.strip().lower()] for subject in offered}, FREE


class EndsAtAThousand(Store):
    async def get_many(self, subjects: Sequence[str]) -> Found:
        return await super().get_many(subjects[:1_000])


class LosesAllWhenClosed(Store):
    def close(self) -> None:
        self.kept.clear()


class GivesEachItsOwn(Store):
    """It looks, waits, and then writes."""

    async def create_many(self, offered: Mapping[str, SubjectKey]) -> Found:
        before = dict(self.kept)
        await Colour.EVENT_LOOP.breathe()
        found = {subject: before.get(subject, each) for subject, each in offered.items()}
        self.kept.update(found)
        return found, FREE


class Talks(Store):
    def __repr__(self) -> str:
        return f"Store({[each and each.secret for each in self.kept.values()]})"


GUARDS: dict[Callable[[], KeyStore], tuple[str, ...]] = {
    KeepsNothing: ("test_a_key_that_is_offered_is_kept",),
    TakesTheLatest: ("test_the_key_that_is_there_stays", "test_callers_who_create_at_once_get_one_key"),
    KnowsEverybody: ("test_a_subject_that_never_had_a_key_is_not_known",),
    AnswersTheFirstOnly: ("test_several_are_answered_each_for_itself",),
    StumblesOverNobody: ("test_of_nobody_there_is_nothing",),
    DestroysNothing: ("test_a_key_that_was_destroyed_is_gone", "test_what_is_destroyed_meanwhile_stays_destroyed"),
    LeavesNoTrace: ("test_who_was_forgotten_is_given_no_key", "test_what_is_destroyed_meanwhile_stays_destroyed"),
    ForgetsTheKnownOnly: ("test_somebody_unknown_can_be_forgotten",),
    ReadmitsNobody: ("test_who_is_readmitted_is_given_a_new_key",),
    ReadmitsForGood: ("test_who_was_readmitted_can_be_forgotten_before_there_is_a_key",),
    ReadmitsByDeleting: ("test_readmitting_changes_nothing_else", "test_who_is_readmitted_is_given_a_new_key"),
    FoldsNames: ("test_subjects_are_told_apart_exactly",),
    EndsAtAThousand: ("test_there_may_be_many",),
    LosesAllWhenClosed: ("test_it_stays_when_the_store_is_closed",),
    GivesEachItsOwn: ("test_callers_who_create_at_once_get_one_key",),
    Talks: ("test_no_key_is_shown",),
}

TESTS = {name for name in dir(KeysContract) if name.startswith("test_")}


class Broken(KeysContract):
    reopens = False

    def __init__(self, opened: Callable[[], KeyStore]) -> None:
        self.opened = opened

    def open_keys(self, folder: Path) -> KeyStore:
        return self.opened()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("keys")


@functools.cache
def failures(opened: type[Store], folder: Path) -> dict[str, BaseException]:
    return Broken(opened).run_tests(folder / opened.__name__, Colour.EVENT_LOOP)


@pytest.mark.parametrize("store", GUARDS)
def test_a_broken_store_is_caught(store: type[Store], folder: Path) -> None:
    missed = set(GUARDS[store]) - set(failures(store, folder))
    assert not missed


def test_the_same_store_unbroken_passes(tmp_path: Path) -> None:
    assert Broken(Store).run_tests(tmp_path, Colour.EVENT_LOOP) == {}


def test_every_test_can_fail(folder: Path) -> None:
    caught = {name for store in GUARDS for name in failures(store, folder)}
    assert TESTS - caught == set()
    assert {name for names in GUARDS.values() for name in names} <= TESTS


def test_nothing_of_a_destroyed_key_is_left_in_the_file(tmp_path: Path) -> None:
    secret = b"open sesame, open sesame, open!!"
    store = SQLiteKeys(tmp_path / "keys.db")
    keys = store.keys(Colour.BLOCKING.port)
    Colour.BLOCKING.run(keys.create_many({"ada": SubjectKey("k", secret)}))
    assert any(secret in path.read_bytes() for path in tmp_path.iterdir())
    Colour.BLOCKING.run(keys.forget("ada"))
    assert not any(secret in path.read_bytes() for path in tmp_path.iterdir())
    store.close()
