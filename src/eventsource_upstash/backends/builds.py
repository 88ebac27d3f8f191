"""What becomes of a view's builds: the rules that the backends share which keep them in their own language."""

from __future__ import annotations

import msgspec

from ..domain.projections import NO_NOTES, ProjectionId
from ..errors import Misuse
from ..ports import Commit, Outcome, Progress, Role

FIRST = 1
"""Generation of the first build of a view."""

_FIRST = {Role.SERVING: 0, Role.BUILDING: 1}


class Builds(msgspec.Struct, frozen=True):
    """The builds of one view, as they are at one moment.

    Attributes:
        projection: Whose.
        all: The build that serves, then the one that is building, then the others from the newest to the oldest.
        last: The highest generation that there ever was.
    """

    projection: ProjectionId
    all: tuple[Progress, ...]
    last: int

    @property
    def serving(self) -> Progress:
        """The build that serves."""
        return self.all[0]

    @property
    def active(self) -> tuple[Progress, ...]:
        """The builds that are folded: the one that serves, and the one that is building."""
        return tuple(build for build in self.all[:2] if build.role in (Role.SERVING, Role.BUILDING))

    def of(self, generation: int) -> Progress | None:
        """The build of that generation."""
        return next((build for build in self.all if build.generation == generation), None)

    def replaced(self, *changed: Progress) -> Builds:
        """With builds as they have become, or been added."""
        by_generation = {build.generation: build for build in (*self.all, *changed)}
        builds = sorted(by_generation.values(), key=lambda build: (_FIRST.get(build.role, 2), -build.generation))
        return Builds(self.projection, tuple(builds), max(self.last, *by_generation))


def unseen(projection: ProjectionId) -> Builds:
    """The builds of a view that nothing was ever committed to."""
    return Builds(projection, (Progress(projection, FIRST, 0),), FIRST)


def judge(builds: Builds, commit: Commit) -> Outcome:
    """What becomes of a commit. The heart of 'nothing is applied twice'."""
    build = builds.of(commit.generation)
    if build is None or build.role not in (Role.SERVING, Role.BUILDING):
        return Outcome.SUPERSEDED
    if (build.checkpoint, build.edition) == (commit.expected, commit.edition):
        return Outcome.COMMITTED
    if build.checkpoint == commit.checkpoint:
        return Outcome.ALREADY
    if build.checkpoint > commit.checkpoint:
        return Outcome.AHEAD
    return Outcome.MISMATCH


def committed(builds: Builds, commit: Commit, head: int | None) -> Builds:
    """What a commit that takes effect makes of the builds: it moves, and at the head one that is building serves.

    Args:
        builds: As they were.
        commit: The commit.
        head: The log's last position in the step of the commit; None where views and log are apart.
    """
    build = builds.of(commit.generation)
    assert build is not None
    known = commit.head if head is None else head
    there = known is not None and commit.checkpoint >= known
    moved = msgspec.structs.replace(
        build,
        checkpoint=commit.checkpoint,
        edition=0 if commit.checkpoint > commit.expected else build.edition + 1,
        met=build.met or there,
        notes=commit.notes,
    )
    serving = builds.serving
    # Where the head is only what the caller last saw, the one that serves may have gone on since. Beside the log it
    # can be ahead only because the log was set back, and a rebuild is what mends that.
    behind = head is None and moved.checkpoint < serving.checkpoint
    if moved.role is not Role.BUILDING or not there or behind:
        # What is building has met the head only when it serves: until then readers know nothing of it.
        return builds.replaced(moved if moved.role is Role.SERVING else msgspec.structs.replace(moved, met=False))
    return builds.replaced(
        msgspec.structs.replace(moved, role=Role.SERVING), msgspec.structs.replace(serving, role=Role.KEPT)
    )


def begun(builds: Builds) -> tuple[Builds, Progress]:
    """With a build beside the one that serves, and that build: a new one unless one is building already."""
    building = next((build for build in builds.active if build.role is Role.BUILDING), None)
    if building is not None:
        return builds, building
    new = Progress(builds.projection, builds.last + 1, 0, role=Role.BUILDING)
    return builds.replaced(new), new


def served(builds: Builds, present: int, wanted: int) -> Builds | None:
    """With a kept build in the place of the one that serves; None where they are not what is said."""
    serving, kept = builds.serving, builds.of(wanted)
    if serving.generation == wanted and (before := builds.of(present)) is not None and before.role is Role.KEPT:
        return builds
    if serving.generation != present or kept is None or kept.role is not Role.KEPT:
        return None
    return builds.replaced(
        msgspec.structs.replace(serving, role=Role.KEPT), msgspec.structs.replace(kept, role=Role.SERVING)
    )


def dropping(builds: Builds, generation: int, *, serving: bool) -> Builds:
    """With a build marked as one whose documents are being deleted. Raises `Misuse` for the one that serves."""
    build = builds.of(generation)
    if build is None or build.role is Role.DROPPED:
        return builds
    dropped = msgspec.structs.replace(build, role=Role.DROPPED, notes=NO_NOTES)
    if build.role is not Role.SERVING:
        return builds.replaced(dropped)
    if not serving:
        raise Misuse(
            f"projection {builds.projection.name!r}: generation {generation} of its view is the one that serves; go "
            "back to another generation first, or say that it may go"
        )
    return builds.replaced(dropped, Progress(builds.projection, builds.last + 1, 0))


def gone(builds: Builds, generation: int) -> Builds:
    """Without a build of which nothing is left."""
    left = tuple(build for build in builds.all if build.generation != generation)
    return Builds(builds.projection, left, builds.last)
