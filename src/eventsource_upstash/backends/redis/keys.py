"""The names of the keys: one namespace, one hash tag, and no two names that can meet in one key."""

from __future__ import annotations

from typing import Final

from ...domain.names import NAMESPACE_RULE, is_namespace
from ...domain.projections import ProjectionId
from ...errors import Misuse

KEYS: Final = "keys"
"""The set of names that are the documents' keys."""

ENDS: Final = "ends"
"""The set of names that begin with the documents' ends."""


def index_set(index: str) -> str:
    """The set of names that begin with the documents' values in an index. No index has a colon in its name."""
    return f"index-{index}"


class Keys:
    """The keys of one namespace.

    After the namespace comes a word of the library, then a colon, then what names the thing; of several parts all but
    the last are free of colons. So no stream, projection or document can be named such that two share a key.

    Args:
        namespace: 1 to 64 letters, digits and `. _ -`, with a letter or digit first.

    Raises:
        Misuse: The namespace cannot be one.

    Attributes:
        namespace: The namespace.
        prefix: What every key begins with.
        head: The log's head record.
        notice: The notification that is outstanding.
        log: The log's present key.
        marks: What the events in it can be found by.
    """

    __slots__ = ("head", "log", "marks", "namespace", "notice", "prefix")

    def __init__(self, namespace: str) -> None:
        if not is_namespace(namespace):
            raise Misuse(f"namespace={namespace!r}: it has {NAMESPACE_RULE}")
        self.namespace: str = namespace
        self.prefix: str = f"{{{namespace}}}:"
        prefix = self.prefix
        self.head: str = f"{prefix}head"
        self.notice: str = f"{prefix}notice"
        self.log: str = f"{prefix}log"
        self.marks: str = f"{prefix}marks"

    def log_archive(self, index: int) -> str:
        """A key of the log that is full."""
        return f"{self.prefix}log:{index}"

    def marks_archive(self, index: int) -> str:
        """What the events in that full key of the log can be found by."""
        return f"{self.prefix}marks:{index}"

    def revision(self, stream: str) -> str:
        """A stream's record: its revision, its last append, its keys."""
        return f"{self.prefix}revision:{stream}"

    def snapshot(self, stream: str, name: str) -> str:
        """A snapshot of a stream. With the length of the stream's name, since either name may hold colons."""
        return f"{self.prefix}snapshot:{len(stream)}:{stream}:{name}"

    def stream(self, stream: str) -> str:
        """A stream's present key."""
        return f"{self.prefix}stream:{stream}"

    def stream_archive(self, stream: str, index: int) -> str:
        """A key of the stream that is full."""
        return f"{self.prefix}stream-{index}:{stream}"

    def once(self, key: str) -> str:
        """The record of an idempotency key."""
        return f"{self.prefix}once:{key}"

    def limit(self, algorithm: str, window_ms: int, name: str) -> str:
        """What the keys of a rate limit begin with: the package adds whom it counts, and the window's number."""
        return f"{self.prefix}limit-{algorithm}-{window_ms}:{name}"

    def view(self, projection: ProjectionId) -> str:
        """A view's record: how far each of its builds is, and how many documents it has. See view.lua."""
        return f"{self.prefix}view:{projection.name}@{projection.version}"

    def leaf(self, projection: ProjectionId, generation: int, set_: str = KEYS, leaf: int = 0) -> str:
        """One leaf of a set of names that a build's documents stand under. leaves.lua makes the same names."""
        first = f"{self.prefix}{set_}:{projection.name}@{projection.version}:{generation}"
        return f"{first}:{leaf}" if leaf else first

    def leaves(self, projection: ProjectionId, generation: int) -> str:
        """The directory of a build's leaves, where a set of names has several."""
        return f"{self.prefix}leaves:{projection.name}@{projection.version}:{generation}"

    def documents(self, projection: ProjectionId, generation: int) -> str:
        """What the keys of a build's documents begin with."""
        return f"{self.prefix}doc:{projection.name}@{projection.version}:{generation}:"

    def records(self, projection: ProjectionId, generation: int) -> str:
        """What the keys of a build's records begin with."""
        return f"{self.prefix}record:{projection.name}@{projection.version}:{generation}:"
