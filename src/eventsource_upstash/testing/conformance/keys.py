"""The contract of a key store."""

# ruff: noqa: D102  a test's name is its documentation

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from functools import partial, wraps
from pathlib import Path
from typing import ClassVar, TypeVar

import pytest

from ...ports import Keys, KeyStore, SubjectKey
from ..colours import Colour

C = TypeVar("C", bound="KeysContract")

CALLERS = 4


class KeysLab:
    """What a test works with: a key store on storage of its own, in one colour.

    Attributes:
        colour: The colour that the test runs in.
        keys: The keys under test.
        store: The store that they are in.
    """

    def __init__(self, colour: Colour, opened: Callable[[], KeyStore], *, reopens: bool) -> None:
        self.colour = colour
        self._opened = opened
        self._reopens = reopens
        self.store: KeyStore = opened()
        self.keys: Keys = self.store.keys(colour.port)

    def reopen(self) -> None:
        """Close the store, and open what it has stored."""
        self.store.close()
        if self._reopens:
            self.store = self._opened()
        self.keys = self.store.keys(self.colour.port)

    def another(self) -> Keys:
        """The keys as another process would open them; the same ones where there can be none."""
        return (self._opened() if self._reopens else self.store).keys(self.colour.port)

    async def create(self, subject: str, key: SubjectKey) -> SubjectKey | None:
        """What is answered to the offer of one key."""
        answers, _ = await self.keys.create_many({subject: key})
        assert list(answers) == [subject]
        return answers[subject]

    async def get(self, *subjects: str) -> dict[str, SubjectKey | None]:
        """The keys of subjects."""
        found, _ = await self.keys.get_many(subjects)
        return found


def key(number: int) -> SubjectKey:
    """A key, of bytes of every kind."""
    return SubjectKey(f"k{number}", bytes((number * 37 + index * 101) % 256 for index in range(32)))


def _in_colour(test: Callable[[C, KeysLab], object]) -> Callable[[C, KeysLab], None]:
    @wraps(test)
    def run(contract: C, lab: KeysLab) -> None:
        waiting = test(contract, lab)
        assert inspect.iscoroutine(waiting)
        lab.colour.run(waiting)

    return run


class KeysContract:
    """The contract of `KeyStore` and `Keys`: every sentence of it that a test can hold.

    Attributes:
        reopens: Whether the storage outlives the object.
    """

    reopens: ClassVar[bool] = True

    def open_keys(self, folder: Path) -> KeyStore:
        """Open the store that belongs to a folder; the same one when it is called with the same folder again."""
        raise NotImplementedError

    @pytest.fixture(params=list(Colour), ids=["blocking", "event-loop"])
    def lab(self, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[KeysLab]:
        """The store, opened in one colour and then in the other."""
        lab = self._keys_lab(request.param, tmp_path)
        yield lab
        lab.store.close()

    def _keys_lab(self, colour: Colour, folder: Path) -> KeysLab:
        return KeysLab(colour, partial(self.open_keys, folder), reopens=self.reopens)

    def run_tests(self, folder: Path, colour: Colour = Colour.BLOCKING) -> dict[str, BaseException]:
        """Run every test without pytest's runner. Answers which of them failed, and with what."""
        failures: dict[str, BaseException] = {}
        for name, test in inspect.getmembers(self, inspect.ismethod):
            if not name.startswith("test_"):
                continue
            own = folder / name
            own.mkdir(parents=True)
            lab = self._keys_lab(colour, own)
            try:
                test(lab)
            except Exception as error:
                failures[name] = error
            finally:
                lab.store.close()
        return failures

    @_in_colour
    async def test_a_key_that_is_offered_is_kept(self, lab: KeysLab) -> None:
        assert await lab.create("ada", key(1)) == key(1)
        assert await lab.get("ada") == {"ada": key(1)}

    @_in_colour
    async def test_the_key_that_is_there_stays(self, lab: KeysLab) -> None:
        await lab.create("ada", key(1))
        assert await lab.create("ada", key(2)) == key(1)
        assert await lab.get("ada") == {"ada": key(1)}

    @_in_colour
    async def test_a_subject_that_never_had_a_key_is_not_known(self, lab: KeysLab) -> None:
        await lab.create("ada", key(1))
        assert await lab.get("bob", "ada", "cy") == {"ada": key(1)}

    @_in_colour
    async def test_several_are_answered_each_for_itself(self, lab: KeysLab) -> None:
        await lab.create("ada", key(1))
        await lab.create("bob", key(2))
        await lab.keys.forget("bob")
        answers, _ = await lab.keys.create_many({"cy": key(3), "bob": key(4), "ada": key(5)})
        assert answers == {"cy": key(3), "bob": None, "ada": key(1)}
        assert await lab.get("ada", "bob", "cy") == {"ada": key(1), "bob": None, "cy": key(3)}

    @_in_colour
    async def test_of_nobody_there_is_nothing(self, lab: KeysLab) -> None:
        assert (await lab.keys.create_many({}))[0] == {}
        assert (await lab.keys.get_many([]))[0] == {}

    @_in_colour
    async def test_a_key_that_was_destroyed_is_gone(self, lab: KeysLab) -> None:
        await lab.create("ada", key(1))
        await lab.create("bob", key(2))
        await lab.keys.forget("ada")
        assert await lab.get("ada", "bob") == {"ada": None, "bob": key(2)}

    @_in_colour
    async def test_who_was_forgotten_is_given_no_key(self, lab: KeysLab) -> None:
        await lab.create("ada", key(1))
        await lab.keys.forget("ada")
        assert await lab.create("ada", key(2)) is None
        assert await lab.get("ada") == {"ada": None}

    @_in_colour
    async def test_somebody_unknown_can_be_forgotten(self, lab: KeysLab) -> None:
        await lab.keys.forget("ada")
        await lab.keys.forget("ada")
        assert await lab.create("ada", key(1)) is None
        assert await lab.get("ada") == {"ada": None}

    @_in_colour
    async def test_who_is_readmitted_is_given_a_new_key(self, lab: KeysLab) -> None:
        await lab.create("ada", key(1))
        await lab.keys.forget("ada")
        await lab.keys.readmit("ada")
        assert await lab.get("ada") == {"ada": None}, "it is still known that there was a key"
        assert await lab.create("ada", key(2)) == key(2)
        assert await lab.get("ada") == {"ada": key(2)}
        await lab.keys.forget("ada")
        assert await lab.create("ada", key(3)) is None, "forgotten once more"

    @_in_colour
    async def test_who_was_readmitted_can_be_forgotten_before_there_is_a_key(self, lab: KeysLab) -> None:
        await lab.keys.forget("ada")
        await lab.keys.readmit("ada")
        await lab.keys.forget("ada")
        assert await lab.create("ada", key(1)) is None

    @_in_colour
    async def test_readmitting_changes_nothing_else(self, lab: KeysLab) -> None:
        await lab.create("ada", key(1))
        await lab.keys.readmit("ada")
        await lab.keys.readmit("bob")
        assert await lab.get("ada", "bob") == {"ada": key(1)}
        assert await lab.create("ada", key(2)) == key(1)

    @_in_colour
    async def test_subjects_are_told_apart_exactly(self, lab: KeysLab) -> None:
        subjects = [
            "a",
            "A",
            "a ",
            " a",
            "a:b",
            "a:b:",
            "*",
            "å",
            "a\u030a",
            "-",
            "+",
            "'; --",
            "%41",
            "x" * 255,
            "👩‍🚀",
        ]
        for number, subject in enumerate(subjects):
            assert await lab.create(subject, key(number)) == key(number)
        await lab.keys.forget("a")
        kept = {subject: key(number) for number, subject in enumerate(subjects)}
        assert await lab.get(*subjects) == {**kept, "a": None}

    @_in_colour
    async def test_there_may_be_many(self, lab: KeysLab) -> None:
        offered = {f"s{number}": key(number) for number in range(2_500)}
        assert (await lab.keys.create_many(offered))[0] == offered
        assert await lab.get(*offered) == offered

    @_in_colour
    async def test_it_stays_when_the_store_is_closed(self, lab: KeysLab) -> None:
        for number, subject in enumerate(("ada", "bob", "cy")):
            await lab.create(subject, key(number))
        await lab.keys.forget("bob")
        await lab.keys.forget("cy")
        await lab.keys.readmit("cy")
        lab.reopen()
        assert await lab.get("ada", "bob", "cy", "dee") == {"ada": key(0), "bob": None, "cy": None}
        assert await lab.create("bob", key(5)) is None
        assert await lab.create("cy", key(6)) == key(6)

    @_in_colour
    async def test_callers_who_create_at_once_get_one_key(self, lab: KeysLab) -> None:
        for round_ in range(10):
            subject = f"s{round_}"
            callers = [lab.another() for _ in range(CALLERS)]
            work = [partial(each.create_many, {subject: key(number)}) for number, each in enumerate(callers)]
            answers = await lab.colour.together(work)
            given = {str(answer[subject]) for answer, _ in answers}
            assert len(given) == 1, "several callers were given different keys"
            assert given == {str((await lab.get(subject))[subject])}

    @_in_colour
    async def test_what_is_destroyed_meanwhile_stays_destroyed(self, lab: KeysLab) -> None:
        for round_ in range(10):
            subject = f"s{round_}"
            creating, forgetting = lab.another(), lab.another()

            async def create(keys: Keys = creating, subject: str = subject) -> None:
                await keys.create_many({subject: key(1)})

            async def forget(keys: Keys = forgetting, subject: str = subject) -> None:
                await keys.forget(subject)

            await lab.colour.together([create, forget])
            assert await lab.get(subject) == {subject: None}

    @_in_colour
    async def test_no_key_is_shown(self, lab: KeysLab) -> None:
        secret = SubjectKey("k", b"open sesame, open sesame, open!!")
        answer = await lab.create("ada", secret)
        shown = f"{lab.store!r} {lab.store!s} {lab.keys!r} {answer!r} {answer!s}"
        assert "sesame" not in shown
