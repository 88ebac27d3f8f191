"""What is known of a view: whose it is, and what is kept with its checkpoint."""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec

_PART: Final = "~p~"


class ProjectionId(NamedTuple):
    """What tells one projection's view from another's: a new version is a new view."""

    name: str
    version: int

    def __str__(self) -> str:
        return f"{self.name} v{self.version}"

    @property
    def known(self) -> str:
        """The name that users know it by: of a part of a view, the projection's."""
        return self.name.partition(_PART)[0]

    def part(self, partition: int) -> ProjectionId:
        """The part of its view that is folded from one partition of the log. No name of a user's holds a tilde."""
        return self._replace(name=f"{self.name}{_PART}{partition}")

    @property
    def parts(self) -> ProjectionId:
        """Where it is kept how many parts its view has: that number is its checkpoint."""
        return self._replace(name=f"{self.name}~parts~")


class Stopped(msgspec.Struct, frozen=True):
    """Why and since when a projection does not go on.

    Attributes:
        position: Position of the event that it cannot fold.
        reason: What went wrong there.
        since_us: When it stopped first, in microseconds since 1970 (UTC).
    """

    position: int
    reason: str
    since_us: int = 0


class Notes(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is known of a build of a view, besides how far it is. Kept with its checkpoint, in the same step.

    Attributes:
        stopped: Why it does not go on, if it does not.
        parked: Events that are set aside because their fold failed, or one before them of the same key.
        skipped: Events that were passed over, ever, because their fold failed.
        changes: How many commits have been noted in its change feed, ever.
        shape: What its documents are indexed by: another shape makes another view.
        pending: Documents of a reactor's outbox that hold what is to be sent.
        failed: Documents of a reactor's outbox whose first reaction could not be carried out.
        mark: Id of the event at the checkpoint, where the view is kept elsewhere than the log; empty where it is not.
        places: The checkpoint as a text (`domain.positions`), where it is a vector: views are kept and compared by a
            number, how many places lie behind in all. Empty where that number is all there is to it.
    """

    stopped: Stopped | None = None
    parked: int = 0
    skipped: int = 0
    changes: int = 0
    shape: str = ""
    pending: int = 0
    failed: int = 0
    mark: str = ""
    places: str = ""


NO_NOTES: Final = Notes()
