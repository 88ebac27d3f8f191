"""What a person reads of a run: a line every few seconds, and a page at the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.soak.lives import Life
from benchmarks.soak.measuring import Growth
from benchmarks.soak.results import Sample
from benchmarks.soak.running import Result


def line(sample: Sample, left: float) -> str:
    """A sample in one line."""
    held = " ".join(f"{life.split()[0]} {each['rss']:.0f}" for life, each in sample.held.items())
    lag = " ".join(f"{name} {seconds(sample.lag[name])}" for name in ("p50", "p95", "max"))
    return (
        f"{sample.at:6.1f} min, {left:5.0f} s left: {sample.acknowledged} commands, {sample.folded} events in the "
        f"view, lag {lag}, {sample.keys} keys; MiB: {held}"
    )


def seconds(value: float) -> str:
    """A time in milliseconds, or in seconds where it is long."""
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.1f} s"


def table(result: Result) -> str:
    """The figures of a run, as a table of Markdown."""
    each = max(1, result.acknowledged)
    redis, qstash = result.metrics["redis"], result.metrics["qstash"]
    apps = [numbers for caller, numbers in redis.items() if caller.startswith("app-")]
    commands, requests = (sum(numbers.get(name, 0) for numbers in apps) for name in ("commands", "requests"))
    rows = {
        "ran": f"{result.seconds / 60:.1f} minutes",
        "commands acknowledged": f"{result.acknowledged:,}: {result.acknowledged / result.seconds:.1f} a second",
        "events folded": f"{result.folded:,}: {result.folded / result.seconds:.1f} a second",
        "from the answer to an append until it is seen in the view": ", ".join(
            f"{name} {seconds(result.lag[name])}" for name in ("p50", "p95", "p99", "max")
        ),
        "commands by what and outcome": listed(
            {name: n for name, n in result.counts.items() if name.split()[0] in ACTIONS}, "no command"
        ),
        "sent again, by the status before": listed(of(result.counts, "sent again after "), "none"),
        "reads, by freshness and status": listed(of(result.counts, "read "), "none"),
        "sent again though answered": f"{result.counts.get('sent again though answered', 0):,}",
        "faults of Redis over REST": listed(of(result.faults, "redis "), "none"),
        "faults of QStash": listed(of(result.faults, "qstash "), "none"),
        "done to processes": listed(dict(sorted(result.done.items())), "nothing"),
        "billed, all told": f"{commands:,} commands in {requests:,} requests, by the apps: {commands / each:.1f} and "
        f"{requests / each:.1f} for each command acknowledged; {qstash.get('total', {}).get('requests', 0):,} requests "
        "to QStash",
        "at the end the view was at the head": "not in time"
        if result.settled is None
        else f"{seconds(result.settled)} after the last command, by messages alone",
    }
    return "| what | figures |\n| --- | --- |\n" + "".join(
        f"| {what} | {figures} |\n" for what, figures in rows.items()
    )


ACTIONS = ("create", "complete", "rename", "delete")


def of(counts: Mapping[str, int], beginning: str) -> dict[str, int]:
    """What begins with some words, by the rest."""
    return {name.removeprefix(beginning): count for name, count in counts.items() if name.startswith(beginning)}


def listed(counts: Mapping[str, int], nothing: str) -> str:
    """Counts in one line."""
    return ", ".join(f"{name} {count:,}" for name, count in counts.items()) or nothing


def processes(found: Sequence[Life]) -> str:
    """What each process held, and how its memory went over the second half of its longest life."""
    heads = [
        "process",
        "lives",
        "MiB at first, at last, most",
        "file descriptors, most",
        "threads, most",
        "memory grows",
    ]
    rows = [heads, ["---"] * len(heads)]
    for name in dict.fromkeys(each.name for each in found):
        lives = [each for each in found if each.name == name]
        long = max(lives, key=lambda each: len(each.minutes))
        memory = (long.rss[0], long.rss[-1], max(max(each.rss) for each in lives))
        fds, threads = max(max(each.fds) for each in lives), max(max(each.threads) for each in lives)
        told = ", ".join(f"{mib:.0f}" for mib in memory)
        rows.append([name, str(len(lives)), told, f"{fds:.0f}", f"{threads:.0f}", grows(long.growth)])
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def grows(judged: Growth | None) -> str:
    """How memory went, in words."""
    if judged is None:
        return "too short a life to tell"
    return f"{judged.per_minute:+.3f} MiB a minute: {'**without bound**' if judged.leak else 'within bounds'}"
