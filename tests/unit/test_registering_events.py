"""Every mistake that can be seen when an event type is registered is an error then, which names place and remedy."""

from __future__ import annotations

import re
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import attrs
import msgspec
import pydantic
import pytest

from eventsource_upstash import Misuse, RegistrationError, Registry
from eventsource_upstash.domain.schema import inspect_class

if TYPE_CHECKING:
    from somewhere import Unimportable  # type: ignore[import-not-found]


@dataclass(frozen=True)
class Opened:
    id: str
    amount: int = 0


@dataclass(frozen=True)
class Closed:
    id: str


@dataclass(frozen=True)
class Account:
    id: str
    balance: int = 0


@dataclass(frozen=True)
class Refers:
    other: Unimportable


@dataclass(frozen=True)
class HoldsPath:
    id: str
    where: Path


@dataclass(frozen=True)
class HoldsDeep:
    parts: list[dict[str, tuple[int, complex]]]


class Plain:
    pass


class OpenedStruct(msgspec.Struct, frozen=True):
    id: str


@attrs.frozen
class OpenedAttrs:
    id: str


class OpenedModel(pydantic.BaseModel):
    id: str


def refused(text: str, act: Callable[[], object]) -> RegistrationError:
    with pytest.raises(RegistrationError, match=re.escape(text)) as caught:
        act()
    assert isinstance(caught.value, Misuse)
    return caught.value


# --- event types


def test_a_decorator_answers_the_class_itself() -> None:
    registry = Registry()
    assert registry.event("opened")(Opened) is Opened


@pytest.mark.parametrize(
    "name",
    ["", " ", "-opened", "opened account", "öffnung", "a" * 129, "open\ned", "opened\n", "opened\0", 5, None, Opened],
)
def test_a_type_name_that_cannot_be_one(name: object) -> None:
    refused("event type", lambda: Registry().event(cast("str", name)))
    refused("event type", lambda: Registry().upcast(cast("str", name), from_version=1))
    refused("event type", lambda: Registry().ignore(cast("str", name)))


@pytest.mark.parametrize("name", ["a", "A", "0", "todo.task/created:v-1_x", "a" * 128])
def test_a_type_name_that_can(name: str) -> None:
    assert Registry().event(name)(Opened) is Opened


@pytest.mark.parametrize("version", [0, -1, True, 1.0, "1", None, 2**31, 202611221530])
def test_a_version_that_cannot_be_one(version: object) -> None:
    given = cast("int", version)
    for what, register in (
        ("event type 'opened'", lambda: Registry().event("opened", version=given)),
        ("upcaster of 'opened'", lambda: Registry().upcast("opened", from_version=given)),
        ("projection 'accounts'", lambda: Registry().projection("accounts", Account, version=given)),
        ("aggregate 'account'", lambda: Registry().aggregate("account", Account, version=given)),
    ):
        error = refused("a version is a whole number from 1 to 2147483647, not ", register)
        assert str(error).startswith(f"{what}: ")
        assert str(error).endswith(repr(version))


def test_the_greatest_version() -> None:
    assert Registry().projection("accounts", Account, version=2**31 - 1).version == 2_147_483_647


def test_a_type_name_that_is_taken() -> None:
    registry = Registry()
    registry.event("opened")(Opened)
    error = refused("event type 'opened' is registered already, for Opened", lambda: registry.event("opened")(Closed))
    assert str(error) == "event type 'opened' is registered already, for Opened"


def test_a_class_that_is_registered_already() -> None:
    registry = Registry()
    registry.event("opened")(Opened)
    refused("Opened is registered already, as 'opened'", lambda: registry.event("begun")(Opened))


def test_several_registries_do_not_know_of_each_other() -> None:
    Registry().event("opened")(Opened)
    Registry().event("opened")(Opened)


@pytest.mark.parametrize("cls", [Plain, str, dict, int, list[int], Callable, None, "Opened", Opened("1"), OpenedModel])
def test_something_of_the_wrong_kind(cls: object) -> None:
    what = cast("type", OpenedModel(id="1") if cls is OpenedModel else cls)
    refused("is not a dataclass, msgspec.Struct, attrs class or pydantic model", lambda: Registry().event("x")(what))


def test_decorators_in_the_wrong_order() -> None:
    # @dataclass above @registry.event: the class is no dataclass yet when it is registered.
    class Naked:
        id: str

    error = refused("Naked is not a dataclass", lambda: Registry().event("naked")(Naked))
    assert "@registry.event(...) above @dataclass" in str(error)


def test_a_field_that_cannot_be_stored() -> None:
    error = refused("event type 'moved': field HoldsPath.where", lambda: Registry().event("moved")(HoldsPath))
    assert "PosixPath" in str(error) or "Path" in str(error)


def test_a_field_deep_inside_that_cannot_be_stored() -> None:
    refused("HoldsDeep.parts[]{}[1]", lambda: Registry().event("deep")(HoldsDeep))


def test_a_field_whose_type_is_not_there() -> None:
    refused("event type 'refers': name 'Unimportable' is not defined", lambda: Registry().event("refers")(Refers))


def test_a_field_whose_type_is_local() -> None:
    @dataclass(frozen=True)
    class Inner:
        x: int

    @dataclass(frozen=True)
    class Outer:
        inner: Inner

    refused("define the types of its fields above the class, at module level", lambda: Registry().event("o")(Outer))


def test_a_class_that_holds_itself_is_registered_below_itself() -> None:
    registry = Registry()
    assert registry.event("grown")(Tree) is Tree


@dataclass(frozen=True)
class Tree:
    name: str
    branches: tuple[Tree, ...] = ()


def test_a_failed_registration_leaves_nothing_behind() -> None:
    registry = Registry()
    refused("HoldsPath", lambda: registry.event("moved")(HoldsPath))
    registry.event("moved")(Opened)
    refused("Plain", lambda: registry.projection("accounts", Plain))
    registry.projection("accounts", Account)
    refused("Plain", lambda: registry.aggregate("account", Plain))
    registry.aggregate("account", Account)


# --- upcasters


def test_a_gap_in_the_upcasters_names_each_that_is_missing() -> None:
    registry = Registry()
    registry.upcast("opened", from_version=2)(lambda data: data)
    error = refused(
        "event type 'opened', version 5: no upcaster from_version=1, from_version=3, from_version=4",
        lambda: registry.event("opened", version=5)(Opened),
    )
    assert "@registry.upcast('opened', ...) above the class" in str(error)


def test_a_date_as_a_version_lacks_more_upcasters_than_can_be_told() -> None:
    told = ", ".join(f"from_version={step}" for step in range(1, 11))
    error = refused(f"no upcaster {told}, ...;", lambda: Registry().event("opened", version=20261122)(Opened))
    assert len(str(error)) < 400


@pytest.mark.parametrize(("version", "more"), [(2, ""), (11, ""), (12, ", ..."), (13, ", ...")])
def test_ten_upcasters_that_are_missing_are_told_and_that_there_are_more(version: int, more: str) -> None:
    told = ", ".join(f"from_version={step}" for step in range(1, min(version, 11)))
    refused(f"no upcaster {told}{more}; declare", lambda: Registry().event("opened", version=version)(Opened))


def test_those_that_cannot_be_told_are_not_gathered_either() -> None:
    tracemalloc.start()
    try:
        refused("no upcaster", lambda: Registry().event("opened", version=300_000)(Opened))
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_an_upcaster_that_leads_past_the_class() -> None:
    registry = Registry()
    registry.upcast("opened", from_version=1)(lambda data: data)
    refused("the upcaster from_version=1 leads past it; raise the version", lambda: registry.event("opened")(Opened))


def test_two_upcasters_from_one_version() -> None:
    registry = Registry()
    registry.upcast("opened", from_version=1)(lambda data: data)
    refused("there is one already", lambda: registry.upcast("opened", from_version=1)(lambda data: data))


def test_an_upcaster_below_its_class() -> None:
    registry = Registry()
    registry.event("opened")(Opened)
    refused("declare it above the event class", lambda: registry.upcast("opened", from_version=1)(lambda data: data))


def test_an_upcaster_that_cannot_be_called() -> None:
    async def waits(data: dict[str, object]) -> dict[str, object]:
        return data

    def two(data: dict[str, object], more: object) -> dict[str, object]:
        return data

    def generates(data: dict[str, object]) -> Iterator[object]:
        yield data

    upcast = Registry().upcast("opened", from_version=1)
    refused("waits is an async or generator function", lambda: upcast(cast("Callable[..., dict[str, object]]", waits)))
    refused("generates is an async or generator", lambda: upcast(cast("Callable[..., dict[str, object]]", generates)))
    refused("cannot be called as two(data)", lambda: upcast(cast("Callable[..., dict[str, object]]", two)))
    refused("'str' is not a function", lambda: upcast(cast("Callable[..., dict[str, object]]", "upcast")))


# --- ignored types


def test_a_type_is_an_event_or_ignored() -> None:
    registry = Registry()
    registry.event("opened")(Opened)
    refused("an event cannot be ignored as well", lambda: registry.ignore("opened"))
    registry.ignore("closed")
    registry.ignore("closed")  # in two modules, say
    error = refused("was declared as ignored", lambda: registry.event("closed")(Closed))
    assert str(error).startswith("event type 'closed' was declared")


@attrs.define
class ChangingAttrs:
    id: str


@dataclass
class Changing:
    id: str


class ChangingStruct(msgspec.Struct):
    id: str


@dataclass(frozen=True)
class Deep:
    first: OpenedStruct
    second: tuple[OpenedAttrs, ...]
    third: Opened | None


@dataclass(frozen=True)
class DeepAndChanging:
    inner: tuple[ChangingAttrs | None, ...]


@pytest.mark.parametrize(
    ("cls", "immutable"),
    [
        (Opened, True),
        (OpenedStruct, True),
        (OpenedAttrs, True),
        (Deep, True),
        (Changing, False),
        (ChangingStruct, False),
        (ChangingAttrs, False),
        (DeepAndChanging, False),
        (OpenedModel, False),
    ],
)
def test_whether_one_instance_can_be_handed_to_several(cls: type, immutable: bool) -> None:
    assert inspect_class(cls, "event type 'x'").immutable is immutable
