"""What each process of a run held over its lives, by the samples that were taken."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from benchmarks.soak.measuring import Growth, growth
from benchmarks.soak.results import Sample


@dataclass
class Life:
    """One life of a process.

    Attributes:
        name: What the process is called.
        minutes: When each sample was taken.
        rss: Resident memory, of each, in MiB.
        fds: Open file descriptors, of each.
        threads: Likewise.
    """

    name: str
    minutes: list[float] = field(default_factory=list[float])
    rss: list[float] = field(default_factory=list[float])
    fds: list[float] = field(default_factory=list[float])
    threads: list[float] = field(default_factory=list[float])

    @property
    def growth(self) -> Growth | None:
        """Of the memory; None where the life was too short to tell."""
        return growth(self.minutes, self.rss)


def lives(samples: Iterable[Sample]) -> list[Life]:
    """All lives, in the order of their beginnings."""
    found: dict[str, Life] = {}
    for sample in samples:
        for life, held in sample.held.items():
            each = found.setdefault(life, Life(life.split()[0]))
            each.minutes.append(sample.at)
            each.rss.append(held["rss"])
            each.fds.append(held["fds"])
            each.threads.append(held["threads"])
    return list(found.values())


def leaks(found: Iterable[Life]) -> bool:
    """Whether the memory of a process of the app grows without bound. What Valkey holds is data."""
    return any(each.growth is not None and each.growth.leak for each in found if each.name.startswith("app-"))
