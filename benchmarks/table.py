"""From cells to the table: medians, ratios, targets and whether they are met."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.rows import FLOOR, JSON, MSGSPEC, OURS, PY, QSTASH_SDK, REDIS_SDK, Row

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.running import Cell

    Results = dict[str, dict[str, Cell]]

HEADINGS = {
    FLOOR: "floor",
    OURS: "ours",
    JSON: "eventsourcing, JSON",
    MSGSPEC: "eventsourcing, msgspec",
    PY: "eventsource-py",
    REDIS_SDK: "upstash-redis",
    QSTASH_SDK: "qstash",
}
# Narrower ones, for the terminal.
SHORT = {JSON: "es JSON", MSGSPEC: "es msgspec", PY: "es-py"}


def number(value: float | None) -> str:
    if value is None:
        return "-"
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def best_peer(cells: dict[str, Cell]) -> float | None:
    """The best of the peers that do the same work: one with a caveat is shown, but not compared."""
    values = [
        cell.value
        for name, cell in cells.items()
        if name not in (FLOOR, OURS) and cell.value is not None and cell.caveat is None
    ]
    return min(values, default=None)


def peers(results: Results) -> list[str]:
    """Everybody but the floor and this library, in their order."""
    return [name for name in next(iter(results.values())) if name not in (FLOOR, OURS)]


def ratio(value: float | None, to: float | None) -> float | None:
    return None if value is None or not to else value / to


def limits(row: Row, results: Results) -> Iterator[tuple[str, float]]:
    """What `ours` has to be, at most, for each target that this run has the numbers for."""
    floor = results[row.name][FLOOR].value
    peer = best_peer(results[row.name])
    flat = results[row.flat_with][OURS].value if row.flat_with else None
    if row.times_floor is not None and floor is not None:
        yield f"{row.times_floor:g}x floor", row.times_floor * floor
    if row.over_floor is not None and floor is not None:
        yield f"floor + {row.over_floor:g}", row.over_floor + floor
    if row.times_faster is not None and peer is not None:
        yield row.faster, peer / row.times_faster
    if row.at_most is not None:
        yield f"{row.at_most:,g}", row.at_most
    if flat is not None:
        # A megabyte is what the allocator may take at any time.
        yield "flat", flat * 1.25 + 1


def verdict(row: Row, results: Results) -> str:
    ours = results[row.name][OURS].value
    known = dict(limits(row, results))
    if ours is None or not known:
        return "-"
    missed = [name for name, limit in known.items() if ours > limit]
    return "missed: " + ", ".join(missed) if missed else "met"


def columns(row: Row, results: Results) -> list[str]:
    cells = results[row.name]
    unit = "" if row.unit == "µs" else f", {row.unit}"
    ours = cells[OURS].value
    shown = {name: number(cell.value) + ("\\*" if cell.caveat else "") for name, cell in cells.items()}
    return [
        row.title + unit,
        shown[FLOOR],
        shown[OURS],
        number(ratio(ours, cells[FLOOR].value)),
        *(shown[name] for name in peers(results)),
        number(ratio(best_peer(cells), ours)),
        row.target,
        verdict(row, results),
    ]


def markdown(rows: list[Row], results: Results, machine: str) -> str:
    heading = [
        "work (µs an event, unless said)",
        HEADINGS[FLOOR],
        HEADINGS[OURS],
        "ours ÷ floor",
        *(HEADINGS[name] for name in peers(results)),
        "best peer ÷ ours",
        "target",
        "",
    ]
    dashes = [":--", *["--:"] * (len(heading) - 3), ":--", ":--"]
    table = [heading, dashes, *(columns(row, results) for row in rows)]
    lines = ["| " + " | ".join(line) + " |" for line in table]
    return "\n".join([*lines, "", machine, "", *notes(rows, results)]) + "\n"


def notes(rows: list[Row], results: Results) -> list[str]:
    """Every `*` and every `-` of a contestant, with its reason; equal reasons share a line."""
    where: dict[str, list[str]] = {}
    for row in rows:
        for name, cell in results[row.name].items():
            reason = cell.caveat or cell.cannot
            if reason:
                mark = "\\*" if cell.caveat else "-"
                where.setdefault(f"{mark} {HEADINGS[name]}: {reason}", []).append(row.title)
    return [f"- {reason} ({'; '.join(titles)})" for reason, titles in where.items()]


def terminal(rows: list[Row], results: Results) -> str:
    """The same, narrower, in aligned columns."""
    heading = [
        "",
        "floor",
        "ours",
        "ratio",
        *(SHORT.get(name, name) for name in peers(results)),
        "peer/ours",
        "target",
        "",
    ]
    table = [heading, *([cell.replace("\\", "") for cell in columns(row, results)] for row in rows)]
    widths = [max(len(line[index]) for line in table) for index in range(len(heading))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if 0 < index < len(heading) - 2 else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in table
    )
