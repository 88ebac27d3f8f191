"""What a mutant is: one change of one function."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

SOURCE = Path("src/eventsource_upstash")


@dataclass(frozen=True)
class Mutant:
    """One change of one function.

    Attributes:
        module: The file, from `SOURCE`.
        function: Its qualified name in the module.
        change: What became what; `#2` behind it is the second such change in the function.
        start: The byte where what is replaced begins.
        end: The byte behind it.
        new: What stands there instead.
        lines: The lines of the statement; a test that runs none of them cannot tell.
        unchanged: The function's source, by which an earlier verdict is known to hold still.
        around: The lines of the function: who runs many of them knows more of it than that it is called.
    """

    module: str
    function: str
    change: str
    start: int
    end: int
    new: str
    lines: range
    unchanged: str
    around: range = range(0)

    @property
    def name(self) -> str:
        return f"{self.module} {self.function}: {self.change}"

    def applied(self, source: bytes) -> bytes:
        return source[: self.start] + self.new.encode() + source[self.end :]
