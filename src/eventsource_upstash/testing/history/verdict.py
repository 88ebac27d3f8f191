"""What a check found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

SHOWN: Final = 20
"""How many violations of one check a report tells in full."""


class Violation(msgspec.Struct, frozen=True):
    """Something that must not be.

    Attributes:
        check: What was to hold, as the check's name.
        told: What does not, with the operations and positions that show it.
    """

    check: str
    told: str

    def __str__(self) -> str:
        return f"{self.check}: {self.told}"


class HistoryViolated(AssertionError):
    """The history breaks a promise.

    Attributes:
        verdict: What was found.
    """

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(str(verdict))
        self.verdict = verdict


class Verdict:
    """What was found, as a report: `str(verdict)`.

    Attributes:
        violations: What must not be. Nothing where every promise was kept.
        counts: What was looked at, by name: a check that saw nothing shows nothing.
    """

    def __init__(self, violations: Sequence[Violation], counts: Mapping[str, int]) -> None:
        self.violations: tuple[Violation, ...] = tuple(violations)
        self.counts: Mapping[str, int] = dict(counts)

    @property
    def ok(self) -> bool:
        """Whether there is no violation."""
        return not self.violations

    def raise_(self) -> Verdict:
        """Raise `HistoryViolated` if there is a violation; else answer the verdict itself."""
        if self.violations:
            raise HistoryViolated(self)
        return self

    def __repr__(self) -> str:
        return f"Verdict({len(self.violations)} violations)"

    def __str__(self) -> str:
        lines = ["looked at:", *(f"  {count:>9,} {name}" for name, count in self.counts.items())]
        if self.ok:
            return "\n".join([*lines, "no violation"])
        lines.append(f"{len(self.violations)} violation{'s' if len(self.violations) > 1 else ''}:")
        shown: Counter[str] = Counter()
        for violation in self.violations:
            shown[violation.check] += 1
            if shown[violation.check] <= SHOWN:
                lines.append("  " + str(violation).replace("\n", "\n    "))
        lines += [f"  {check}: and {count - SHOWN} more" for check, count in shown.items() if count > SHOWN]
        return "\n".join(lines)
