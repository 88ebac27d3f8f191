"""Queries over the log by type and tag, and the condition that an append may put on their answer.

The words are those of Dynamic Consistency Boundaries (https://dcb.events/specification/).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import cast

import msgspec

from ..errors import Misuse
from .names import check_tags


class QueryItem(msgspec.Struct, frozen=True):
    """An event matches when its type is one of the types, and it has all of the tags.

    Attributes:
        types: Type names as recorded; none at all stands for every type.
        tags: Tags that the event has to have, every one of them; none at all asks for none.
        classes: Further types, by the class of their events. A query that reaches a log has none left: an event store
            puts the names in their place that its registry knows them by.
    """

    types: frozenset[str] = frozenset()
    tags: frozenset[str] = frozenset()
    classes: frozenset[type] = frozenset()

    def matches(self, type: str, tags: Collection[str]) -> bool:
        """Whether an event of that type, as recorded, with those tags is meant.

        Raises:
            Misuse: The item names a class, whose recorded names only a registry knows.
        """
        if self.classes:
            named = ", ".join(sorted(each.__name__ for each in self.classes))
            raise Misuse(f"a query by class ({named}) matches no recorded type before it is used on an event store")
        return (not self.types or type in self.types) and self.tags.issubset(tags)


class Query(msgspec.Struct, frozen=True):
    """Which events are meant: those that any of the items matches. Made by `Query.of` and `Query.all`, joined by `|`.

    ```python
    Query.of(types=[CourseDefined, CapacityChanged], tags=["course:c1"]) | Query.of(tags=["student:s1"])
    ```

    Attributes:
        items: At least one.
    """

    items: tuple[QueryItem, ...]

    @classmethod
    def of(cls, *, types: Iterable[type | str] = (), tags: Iterable[str] = ()) -> Query:
        """A query of one item: events of any of the types, that have all of the tags.

        Args:
            types: Classes of registered events, or names that events are recorded under; none stands for every type.
            tags: Tags; none asks for none.

        Raises:
            Misuse: Neither a type nor a tag is given, or something else than that.
        """
        given_types = _several(types, "types", "a class of events, or the name of a type")
        given_tags = _several(tags, "tags", "a tag")
        check_tags(cast("tuple[str, ...]", given_tags))
        if not given_types and not given_tags:
            raise Misuse("a query of neither a type nor a tag; Query.all() is the one that every event matches")
        names: set[str] = set()
        classes: set[type] = set()
        for each in given_types:
            if isinstance(each, type):
                classes.add(each)
            elif isinstance(each, str):
                names.add(each)
            else:
                raise Misuse(f"types has {each!r}: a type is the class of registered events, or a name as recorded")
        return cls((QueryItem(frozenset(names), frozenset(cast("tuple[str, ...]", given_tags)), frozenset(classes)),))

    @classmethod
    def all(cls) -> Query:
        """The query that every event matches."""
        return cls((QueryItem(),))

    def __or__(self, other: Query) -> Query:
        """Events that this query means, and those that the other one does."""
        if not isinstance(cast("object", other), Query):
            return NotImplemented
        return Query(tuple(dict.fromkeys((*self.items, *other.items))))

    def matches(self, type: str, tags: Collection[str]) -> bool:
        """Whether an event of that type, as recorded, with those tags is meant. Raises as `QueryItem.matches`."""
        return any(item.matches(type, tags) for item in self.items)


class AppendCondition(msgspec.Struct, frozen=True):
    """An append takes effect only if no event that the query means came after a position.

    Attributes:
        query: What the decision was made on.
        after: Position of the last event that the caller has seen of it, or any later position up to which there was no
            other. 0, which leaves none out, for an append that no such event may precede.
    """

    query: Query
    after: int = 0


def _several(given: object, name: str, one: str) -> tuple[object, ...]:
    if isinstance(given, (str, bytes, type)) or not isinstance(given, Iterable):
        shown = given.__name__ if isinstance(given, type) else repr(given)
        raise Misuse(f"{name}={shown}: these are several, even where it is {one} only: {name}=[{shown}]")
    return tuple(cast("Iterable[object]", given))
