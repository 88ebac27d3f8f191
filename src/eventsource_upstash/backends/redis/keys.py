"""The names of the keys: one namespace, one hash tag, and no two names that can meet in one key."""

from __future__ import annotations

from ...domain.names import NAMESPACE_RULE, is_namespace
from ...domain.projections import ProjectionId
from ...errors import Misuse


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
        head: The log's head record.
        notice: The notification that is outstanding.
        log: The log's present key.
        marks: What the events in it can be found by.
    """

    __slots__ = ("_prefix", "head", "log", "marks", "namespace", "notice")

    def __init__(self, namespace: str) -> None:
        if not is_namespace(namespace):
            raise Misuse(f"namespace={namespace!r}: it has {NAMESPACE_RULE}")
        self.namespace: str = namespace
        self._prefix = prefix = f"{{{namespace}}}:"
        self.head: str = f"{prefix}head"
        self.notice: str = f"{prefix}notice"
        self.log: str = f"{prefix}log"
        self.marks: str = f"{prefix}marks"

    def log_archive(self, index: int) -> str:
        """A key of the log that is full."""
        return f"{self._prefix}log:{index}"

    def marks_archive(self, index: int) -> str:
        """What the events in that full key of the log can be found by."""
        return f"{self._prefix}marks:{index}"

    def revision(self, stream: str) -> str:
        """A stream's record: its revision, its last append, its keys."""
        return f"{self._prefix}revision:{stream}"

    def snapshot(self, stream: str, name: str) -> str:
        """A snapshot of a stream. With the length of the stream's name, since either name may hold colons."""
        return f"{self._prefix}snapshot:{len(stream)}:{stream}:{name}"

    def stream(self, stream: str) -> str:
        """A stream's present key."""
        return f"{self._prefix}stream:{stream}"

    def stream_archive(self, stream: str, index: int) -> str:
        """A key of the stream that is full."""
        return f"{self._prefix}stream-{index}:{stream}"

    def once(self, key: str) -> str:
        """The record of an idempotency key."""
        return f"{self._prefix}once:{key}"

    def view(self, projection: ProjectionId) -> str:
        """A view's record: generation, checkpoint, number of documents, version of its index, why it is stopped."""
        return f"{self._prefix}view:{projection.name}@{projection.version}"

    def index(self, projection: ProjectionId, generation: int, leaf: int = 0) -> str:
        """The names of a view's documents, in order: one leaf of them. The script of a listing makes the same names."""
        first = f"{self._prefix}keys:{projection.name}@{projection.version}:{generation}"
        return f"{first}:{leaf}" if leaf else first

    def leaves(self, projection: ProjectionId, generation: int) -> str:
        """The directory of the leaves, where there are several."""
        return f"{self._prefix}leaves:{projection.name}@{projection.version}:{generation}"

    def documents(self, projection: ProjectionId, generation: int) -> str:
        """What the keys of a view's documents begin with."""
        return f"{self._prefix}doc:{projection.name}@{projection.version}:{generation}:"
