# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# Matplotlib's own types leave its keywords open.
"""The plot of a run, for pages of either theme: `python -m benchmarks.soak.plot FOLDER WHERE` writes two SVG files."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl
from matplotlib.figure import Figure

from benchmarks.soak.results import Sample, Trouble, lines

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class Theme:
    """Colours that can be read on a page, as the diagrams have them."""

    name: str
    ink: str
    soft: str
    line: str
    marks: Sequence[str]


THEMES = (
    Theme("light", "#1d2b33", "#52636d", "#7a8b94", ("#00796b", "#c05600", "#5b4bb3", "#8a6d00", "#b3261e", "#2563a8")),
    Theme("dark", "#e6eef0", "#a9bbc2", "#7f949d", ("#4fd1bd", "#ffa657", "#b3a6ff", "#e3c75f", "#ff8a80", "#7cb7ff")),
)

FOREVER = {"valkey": "Valkey", "upstash": "local Upstash", "soak": "the soak itself"}
MARKED = (("valkey killed", "-"), ("valkey paused", ":"))


def draw(folder: Path, where: Path) -> list[Path]:
    """Draw a run. Answers the files: none of a run that ended before its first sample."""
    samples, troubles = list(lines(folder, "samples", Sample)), list(lines(folder, "troubles", Trouble))
    if not samples:
        return []
    return [_draw(samples, troubles, theme, where / f"soak-{theme.name}.svg") for theme in THEMES]


def _draw(samples: Sequence[Sample], troubles: Sequence[Trouble], theme: Theme, file: Path) -> Path:
    # The page's own fonts; and the same file for the same run.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "soak", "font.family": "sans-serif"}):
        figure = Figure(figsize=(8.6, 6.4), layout="constrained")
        lag, memory = figure.subplots(2, 1, sharex=True)
        _lag(lag, samples, troubles, theme)
        _memory(memory, samples, troubles, theme)
        for axes in (lag, memory):
            axes.spines[["top", "right"]].set_visible(False)
            axes.grid(visible=True, axis="y", color=theme.line, alpha=0.25)
            axes.tick_params(which="both", colors=theme.soft)
            for line in axes.spines.values():
                line.set_edgecolor(theme.line)
            for label in (axes.xaxis.label, axes.yaxis.label):
                label.set_color(theme.ink)
            axes.legend(frameon=False, fontsize=8, ncols=4, loc="upper left", labelcolor=theme.ink)
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    # Digits that nobody can see would be half of the file.
    path = re.compile(r' d="[^"]*"')
    file.write_text(path.sub(lambda found: re.sub(r"(\d\.\d)\d+", r"\1", found[0]), file.read_text()))
    return file


def _lag(axes: Axes, samples: Sequence[Sample], troubles: Sequence[Trouble], theme: Theme) -> None:
    seen = [each for each in samples if each.lag["count"]]
    for number, name in enumerate(("p50", "p95", "max")):
        axes.plot(
            [each.at for each in seen],
            [max(0.01, each.lag[name]) for each in seen],
            label=name,
            color=theme.marks[number],
            linewidth=1,
        )
    axes.set_yscale("log")
    axes.set_ylim(0.01, 300)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_ylabel("seconds from the answer to the view")
    _marked(axes, troubles, theme)


def _memory(axes: Axes, samples: Sequence[Sample], troubles: Sequence[Trouble], theme: Theme) -> None:
    names = dict.fromkeys(life.split()[0] for each in samples for life in each.held)
    for number, name in enumerate(names):
        points = [
            (each.at, held["rss"]) for each in samples for life, held in each.held.items() if life.split()[0] == name
        ]
        axes.plot(
            [at for at, _ in points],
            [rss for _, rss in points],
            label=FOREVER.get(name, name),
            color=theme.marks[number % len(theme.marks)],
            linewidth=1,
        )
    _marked(axes, troubles, theme, labels=False)
    axes.set_ylim(0, 1.3 * max(held["rss"] for each in samples for held in each.held.values()))
    axes.set_ylabel("resident memory, MiB")
    axes.set_xlabel("minutes")


def _marked(axes: Axes, troubles: Sequence[Trouble], theme: Theme, *, labels: bool = True) -> None:
    """Where something was done to a process: apps as ticks at the bottom, Valkey as lines."""
    for what, style in MARKED:
        for number, each in enumerate(each for each in troubles if each.what == what):
            label = what.capitalize() if labels and not number else None
            axes.axvline(each.at, color=theme.soft, linestyle=style, linewidth=0.8, alpha=0.6, label=label, zorder=0)
    apps = [each.at for each in troubles if each.what.startswith("app-")]
    axes.plot(
        apps,
        [0.015] * len(apps),
        transform=axes.get_xaxis_transform(),
        linestyle="none",
        marker="|",
        color=theme.soft,
        label="an app killed or paused" if labels else None,
    )


if __name__ == "__main__":
    for written in draw(Path(sys.argv[1]), Path(sys.argv[2])):
        print(written)
