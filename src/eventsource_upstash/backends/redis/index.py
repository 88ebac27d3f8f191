"""The key index of a view: the names of its documents in order, in leaves that stay small.

The first leaf is all there is of most views. A leaf that has become too large is split: its upper half becomes a leaf
of its own, and the directory gets a line for it. Leaves are never joined again: one whose documents are all deleted
stays, as a line of the directory without a key, and is filled again when names come that belong to it. Who commits
names the leaves by the directory that it knows, with its version; the version that counts stands in the view's record,
which every commit reads anyway.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, cast

from ..._io.retrying import RANDOM
from ...domain.events import Receipt
from ...domain.projections import ProjectionId
from ...errors import Refused
from .keys import Keys
from .lua import script
from .reading import run
from .transport import Transport

SPLIT: Final = script("split")

LEAF_NAMES: Final = 50_000
"""Most names in a leaf, give or take a commit or two."""

LEAF_BYTES: Final = 10_000_000
"""Most bytes of a leaf if all its names were as long as the longest of those that were just added. However long and
short names follow one another, a leaf then stays below 40 MB: there is room for few above any length."""

NAME_BYTES: Final = 100
"""What a name takes beside its own bytes, about."""

LOOKS: Final = 16
"""How often a leaf is looked at, on average, while it grows from nothing to its largest."""


class Directory(NamedTuple):
    """Which names are in which leaf.

    Attributes:
        version: Tells it from every other one of the view; "0" while there is one leaf only.
        numbers: The leaves' numbers, in the order of their names.
        firsts: The first name of each leaf but the first.
    """

    version: str
    numbers: Sequence[int]
    firsts: Sequence[str]

    def leaf_of(self, name: str) -> int:
        """The number of the leaf that a name belongs to."""
        return self.numbers[bisect_right(self.firsts, name)]


ONE_LEAF: Final = Directory("0", (0,), ())


class Leaf(NamedTuple):
    """What a commit changes in a leaf.

    Attributes:
        number: Which.
        created: Names to add.
        deleted: Names to remove.
        look: Whether to look how large it is then. While there is one leaf, that is known anyway.
    """

    number: int
    created: list[str]
    deleted: list[str]
    look: bool


class Spread(NamedTuple):
    """What a commit changes in an index.

    Attributes:
        version: Of the directory by which it was made.
        largest: Most names that a leaf may have before it is split.
        leaves: The leaves that it changes; none if no name is new or gone.
    """

    version: str
    largest: int
    leaves: list[Leaf]


class KeyIndex:
    """The key indexes of all views of a namespace, as far as this process knows them.

    Args:
        transport: Carries the scripts.
        keys: The namespace's keys.
        leaf_names: Most names in a leaf.
        draw: Draws a number from 0 up to 1.
    """

    def __init__(
        self,
        transport: Transport,
        keys: Keys,
        leaf_names: int = LEAF_NAMES,
        draw: Callable[[], float] = RANDOM,
    ) -> None:
        self._transport = transport
        self._keys = keys
        self._leaf_names = leaf_names
        self._draw = draw
        self._directories: dict[str, Directory] = {}

    def spread(
        self, projection: ProjectionId, generation: int, created: Sequence[str], deleted: Sequence[str]
    ) -> Spread:
        """Which leaves names belong to, by the directory as it was last seen."""
        directory = self._directories.get(self._keys.leaves(projection, generation), ONE_LEAF)
        touched: dict[int, Leaf] = {}
        if directory is ONE_LEAF:
            if created or deleted:
                touched[0] = Leaf(0, list(created), list(deleted), look=False)
        else:
            for name in created:
                self._touch(touched, directory, name).created.append(name)
            for name in deleted:
                self._touch(touched, directory, name).deleted.append(name)
        longest = max([len(name.encode()) for name in created], default=0)
        largest = max(1, min(self._leaf_names, LEAF_BYTES // (longest + NAME_BYTES)))
        leaves = [
            leaf._replace(look=directory is not ONE_LEAF and self._draw() < len(leaf.created) * LOOKS / largest)
            for leaf in touched.values()
        ]
        return Spread(directory.version, largest, leaves)

    @staticmethod
    def _touch(touched: dict[int, Leaf], directory: Directory, name: str) -> Leaf:
        number = directory.leaf_of(name)
        if number not in touched:
            touched[number] = Leaf(number, [], [], look=False)
        return touched[number]

    def learn(self, projection: ProjectionId, generation: int, version: str, lines: str | None) -> None:
        """Take the directory that a script answered. Raises `Refused` if there is none, and has to be."""
        where = self._keys.leaves(projection, generation)
        if version == ONE_LEAF.version:
            self._directories.pop(where, None)
            return
        if not lines:
            raise self.lost(projection, generation)
        numbers, firsts = [0], list[str]()
        for line in lines[:-1].split("\n"):
            number, _, first = line.partition(" ")
            numbers.append(int(number))
            firsts.append(first)
        self._directories[where] = Directory(version, numbers, firsts)

    def lost(self, projection: ProjectionId, generation: int) -> Refused:
        """The error for a directory that is not there any more."""
        return Refused(
            f"namespace {self._keys.namespace!r}: the key {self._keys.leaves(projection, generation)!r} is gone, which "
            f"tells where the keys of the view of projection {projection.name!r} are. Was something deleted or "
            "evicted? Restore a backup, and switch eviction off"
        )

    async def split(self, projection: ProjectionId, generation: int, leaf: int, largest: int) -> Receipt:
        """Split a leaf, unless it has no more names than `largest`, or somebody split any leaf meanwhile.

        Safe to be done twice, or by two at once: whoever comes second does nothing.

        Cost: 1 request, at most 9 commands, once in some 25,000 new documents.

        Raises: as `Transport.script`, and `Refused` if the directory is gone.
        """
        of = self._keys
        where = of.leaves(projection, generation)
        known = self._directories.get(where, ONE_LEAF)
        new = len(known.numbers)
        # Not the number alone: a database that was set back splits otherwise the second time.
        version = f"{new}-{int(self._draw() * 2**40):010x}"
        keys = [
            of.view(projection),
            where,
            of.index(projection, generation, leaf),
            of.index(projection, generation, new),
        ]
        answer, receipt = await run(
            self._transport, SPLIT, keys, [generation, known.version, leaf, new, version, largest]
        )
        if answer[0] == "lost":
            raise self.lost(projection, generation)
        if answer[0] == "ok":
            self.learn(projection, generation, version, cast("str", answer[2]))
        return receipt
