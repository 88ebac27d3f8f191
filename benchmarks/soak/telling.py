"""What a person reads of a run: a line every few seconds, and a page at the end."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.soak.measuring import MIB
from benchmarks.soak.results import Sample
from benchmarks.soak.running import Result

assert MIB


def line(sample: Sample, left: float) -> str:
    """A sample in one line."""
    held = " ".join(f"{name.split()[0]} {each['rss']:.0f}" for name, each in sample.held.items())
    lag = sample.lag
    return (
        f"{sample.at:6.1f} min, {left:5.0f} s left: {sample.acknowledged} commands, {sample.folded} events in the view, "
        f"lag p50 {ms(lag['p50'])} p99 {ms(lag['p99'])}, {sample.keys} keys; MiB: {held}"
    )


def ms(seconds: float) -> str:
    """Milliseconds, or seconds where they are many."""
    return f"{seconds * 1000:.0f} ms" if seconds < 10 else f"{seconds:.1f} s"


def table(result: Result) -> str:
    """The figures of a run, as a table of Markdown."""
    rows: list[tuple[str, str]] = [
        ("commands acknowledged", f"{result.acknowledged:,}, {result.acknowledged / result.seconds:.1f} a second"),
        ("events folded", f"{result.folded:,}, {result.folded / result.seconds:.1f} a second"),
        (
            "from the answer until it is in the view",
            ", ".join(f"{name} {ms(result.lag[name])}" for name in ("p50", "p95", "p99", "max")),
        ),
        ("commands by outcome", outcomes(result.counts)),
        (
            "reads",
            ", ".join(
                f"{name.removeprefix('read ')} {n:,}" for name, n in result.counts.items() if name[:5] == "read "
            ),
        ),
        ("faults of the local Upstash", ", ".join(f"{name} {n:,}" for name, n in result.faults.items())),
        ("done to processes", ", ".join(f"{name} {n:,}" for name, n in sorted(result.done.items()))),
        ("billed", billed(result)),
        ("the view reached the head at the end, by messages alone", settled(result.settled)),
    ]
    return "| what | figures |\n| --- | --- |\n" + "".join(f"| {what} | {figures} |\n" for what, figures in rows)


def outcomes(counts: Mapping[str, int]) -> str:
    """Answers by kind."""
    return ", ".join(
        f"{name} {n:,}" for name, n in counts.items() if name.startswith(("ok", "refused", "unknown", "sent"))
    )


def billed(result: Result) -> str:
    """Billed commands and messages for each command that was acknowledged, with all that was read and folded for it."""
    redis, qstash = result.metrics["redis"], result.metrics["qstash"]
    apps = sum(numbers.get("commands", 0) for name, numbers in redis.items() if name.startswith("app-"))
    requests = sum(numbers.get("requests", 0) for name, numbers in redis.items() if name.startswith("app-"))
    each = max(1, result.acknowledged)
    sent = qstash.get("total", {}).get("requests", 0)
    return f"{apps:,} commands in {requests:,} requests, {apps / each:.1f} and {requests / each:.1f} for each; {sent:,} requests to QStash"


def settled(seconds: float | None) -> str:
    """How long the view took at the end."""
    return "not in time" if seconds is None else f"{seconds:.1f} s after the last command"


def memory(result: Result) -> str:
    """What became of the memory of each process."""
    lines = [
        f"{name}: {each.per_minute:+.3f} MiB a minute over the second half, {each.grown:+.1f} MiB"
        + (" GROWS WITHOUT BOUND" if each.leak else "")
        for name, each in result.growth.items()
    ]
    return "\n".join(lines) or "no process lived long enough for its memory to be judged"
