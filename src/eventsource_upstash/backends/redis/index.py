"""The names that a build's documents stand under, in order, in leaves that stay small: keys, index values, ends.

Each of these sets of names has one leaf at first, and that is all there is of most views. A leaf that has become too
large is split: its upper half becomes a leaf of its own, and the build's directory gets a line for it. Leaves are never
joined again: one whose documents are all deleted stays, as a line of the directory without a key, and is filled again
when names come that belong to it. Who commits names the leaves by the directory that it knows, with its version; the
version that counts stands in the view's record, which every commit reads anyway.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple, TypeAlias, cast

from ..._io.retrying import RANDOM
from ...domain.events import Receipt
from ...domain.projections import ProjectionId
from ...errors import Refused
from .keys import KEYS, Keys
from .lua import script
from .reading import run
from .transport import Transport

SPLIT: Final = script("split", "view")

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
        version: Tells it from every other one of the build; "0" while each set has one leaf only.
        sets: Of each set with several leaves their numbers, in the order of their names, and the first name of each but
            the first.
    """

    version: str
    sets: Mapping[str, tuple[Sequence[int], Sequence[str]]]

    def leaf_of(self, set_: str, name: str) -> int:
        """The number of the leaf that a name belongs to."""
        found = self.sets.get(set_)
        return 0 if found is None else found[0][bisect_right(found[1], name)]

    def leaf_at(self, set_: str, bound: str) -> int:
        """The number of the leaf that a bound belongs to: '-', '+', or a name behind '[' or '('."""
        if bound == "+":
            return self.sets[set_][0][-1] if set_ in self.sets else 0
        return 0 if bound == "-" else self.leaf_of(set_, bound[1:])


ONE_LEAF: Final = Directory("0", {})


class Leaf(NamedTuple):
    """What a commit changes in a leaf.

    Attributes:
        set: Which set of names it is a leaf of.
        number: Which leaf of that set.
        created: Names to add.
        deleted: Names to remove.
        largest: Most names that it may have before it is split.
        look: Whether to look how large it is then. While keys have one leaf, the size of that one is known anyway.
    """

    set: str
    number: int
    created: list[str]
    deleted: list[str]
    largest: int = 0
    look: bool = False


class Spread(NamedTuple):
    """What a commit changes in a build's sets of names.

    Attributes:
        version: Of the directory by which it was made.
        leaves: The leaves that it changes; none if no name is new or gone.
    """

    version: str
    leaves: list[Leaf]


Changes: TypeAlias = "Mapping[str, tuple[list[str], list[str]]]"
"""By set, names that are new and names that are gone."""


class Names:
    """The directories of all builds of a namespace, as far as this process knows them.

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

    def known(self, projection: ProjectionId, generation: int) -> Directory:
        """The directory of a build, as it was last seen."""
        return self._directories.get(self._keys.leaves(projection, generation), ONE_LEAF)

    def spread(self, projection: ProjectionId, generation: int, changes: Changes) -> Spread:
        """Which leaves names belong to, by the directory as it was last seen."""
        directory = self.known(projection, generation)
        leaves: list[Leaf] = []
        for set_, (created, deleted) in changes.items():
            touched: dict[int, Leaf] = {}
            if set_ not in directory.sets:
                if created or deleted:
                    touched[0] = Leaf(set_, 0, created, deleted)
            else:
                for name in created:
                    _touch(touched, directory, set_, name).created.append(name)
                for name in deleted:
                    _touch(touched, directory, set_, name).deleted.append(name)
            longest = max([len(name.encode()) for name in created], default=0)
            largest = max(1, min(self._leaf_names, LEAF_BYTES // (longest + NAME_BYTES)))
            known = set_ == KEYS and directory is ONE_LEAF
            for leaf in touched.values():
                look = not known and self._draw() < len(leaf.created) * LOOKS / largest
                leaves.append(leaf._replace(largest=largest, look=look))
        return Spread(directory.version, leaves)

    def learn(self, projection: ProjectionId, generation: int, version: str, lines: str | None) -> None:
        """Take the directory that a script answered. Raises `Refused` if there is none, and has to be."""
        where = self._keys.leaves(projection, generation)
        if version == ONE_LEAF.version:
            self._directories.pop(where, None)
            return
        if not lines:
            raise self.lost(projection, generation)
        sets: dict[str, tuple[list[int], list[str]]] = {}
        for line in lines[:-1].split("\n"):
            set_, number, first = line.split(" ", 2)
            numbers, firsts = sets.setdefault(set_, ([0], []))
            numbers.append(int(number))
            firsts.append(first)
        self._directories[where] = Directory(version, sets)

    def lost(self, projection: ProjectionId, generation: int) -> Refused:
        """The error for a directory that is not there any more."""
        return Refused(
            f"namespace {self._keys.namespace!r}: the key {self._keys.leaves(projection, generation)!r} is gone, which "
            f"tells where the keys of the view of projection {projection.name!r} are. Was something deleted or "
            "evicted? Restore a backup, and switch eviction off"
        )

    async def split(self, projection: ProjectionId, generation: int, leaf: Leaf) -> Receipt:
        """Split a leaf, unless it has no more names than it may have, or somebody split any leaf meanwhile.

        Safe to be done twice, or by two at once: whoever comes second does nothing.

        Cost: 1 request, at most 7 commands, once in some 25,000 new names.

        Raises: as `Transport.script`, and `Refused` if the directory is gone.
        """
        of = self._keys
        known = self.known(projection, generation)
        new = len(known.sets[leaf.set][0]) if leaf.set in known.sets else 1
        # Not the number alone: a database that was set back splits otherwise the second time.
        version = f"{new}-{int(self._draw() * 2**40):010x}"
        keys = [
            of.view(projection),
            of.leaves(projection, generation),
            of.leaf(projection, generation, leaf.set, leaf.number),
            of.leaf(projection, generation, leaf.set, new),
        ]
        arguments: list[str | int] = [generation, known.version, leaf.set, leaf.number, new, version, leaf.largest]
        answer, receipt = await run(self._transport, SPLIT, keys, arguments)
        if answer[0] == "lost":
            raise self.lost(projection, generation)
        if answer[0] == "ok":
            self.learn(projection, generation, version, cast("str", answer[2]))
        return receipt


def _touch(touched: dict[int, Leaf], directory: Directory, set_: str, name: str) -> Leaf:
    number = directory.leaf_of(set_, name)
    if number not in touched:
        touched[number] = Leaf(set_, number, [], [])
    return touched[number]
