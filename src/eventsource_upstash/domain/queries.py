"""Queries over the log by type and tag, and the condition that an append may put on their answer.

The words are those of Dynamic Consistency Boundaries (https://dcb.events/specification/).
"""

from __future__ import annotations

from collections.abc import Collection

import msgspec


class QueryItem(msgspec.Struct, frozen=True):
    """An event matches when its type is one of the types, and it has all of the tags.

    Attributes:
        types: Type names as recorded; none at all stands for every type.
        tags: Tags that the event has to have, every one of them; none at all asks for none.
    """

    types: frozenset[str] = frozenset()
    tags: frozenset[str] = frozenset()

    def matches(self, type: str, tags: Collection[str]) -> bool:
        """Whether an event of that type with those tags is meant."""
        return (not self.types or type in self.types) and self.tags.issubset(tags)


class Query(msgspec.Struct, frozen=True):
    """An event matches when any of the items does.

    Attributes:
        items: At least one.
    """

    items: tuple[QueryItem, ...]

    def matches(self, type: str, tags: Collection[str]) -> bool:
        """Whether an event of that type with those tags is meant."""
        return any(item.matches(type, tags) for item in self.items)


class AppendCondition(msgspec.Struct, frozen=True):
    """An append takes effect only if no event that matches came after a position.

    Attributes:
        query: What the decision was made on.
        after: The position up to which the caller has seen it; 0 for an append that nothing may precede.
    """

    query: Query
    after: int = 0
