"""What events can be found by: the words that an append leaves behind, and the words of a query."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ...domain.codec import decode_tags
from ...domain.queries import Query
from ...ports import Append

TYPE: Final = "t"
TAG: Final = "g"


def words_of(append: Append) -> list[str]:
    """Each word, and the events that it is about: `*` for all of them, or their offsets from the first one."""
    words: dict[str, list[int]] = {}
    for offset, (type_, _, _) in enumerate(append.events):
        words.setdefault(TYPE + type_, []).append(offset)
    count = len(append.events)
    if append.tags is None or isinstance(append.tags, bytes):
        for tag in _tags(append.tags):
            words[TAG + tag] = list(range(count))
    else:
        for offset, each in enumerate(append.tags):
            for tag in _tags(each):
                words.setdefault(TAG + tag, []).append(offset)
    arguments: list[str] = []
    for word, offsets in words.items():
        arguments.append(word)
        arguments.append("*" if len(offsets) == count else ",".join(map(str, offsets)))
    return arguments


def _tags(encoded: bytes | None) -> tuple[str, ...]:
    """Tags, each once; none where the bytes are not tags: those can be read back, and not be found by."""
    try:
        return tuple(dict.fromkeys(decode_tags(encoded)))
    except (ValueError, RecursionError):
        return ()


def means_all(query: Query) -> bool:
    """Whether every event is meant, so that nothing has to be looked up."""
    return any(not item.types and not item.tags for item in query.items)


def arguments_of_query(query: Query) -> list[str]:
    """The items of a query: how many, for each how many groups of words, for each group how many words, and these.

    A group has the tag that an event has to have, or all the types of which it has to be of one. Tags come first: as a
    rule fewer events have one than are of a type.
    """
    arguments: list[str] = [str(len(query.items))]
    for item in query.items:
        groups: list[Sequence[str]] = [[TAG + tag] for tag in sorted(item.tags)]
        if item.types:
            groups.append([TYPE + type_ for type_ in sorted(item.types)])
        arguments.append(str(len(groups)))
        for group in groups:
            arguments.append(str(len(group)))
            arguments += group
    return arguments
