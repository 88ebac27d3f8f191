"""`check`: everything that is to hold of a history, its log and its views."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from .facts import Facts
from .histories import History
from .log_checks import check_acknowledged, check_conditions, check_failed, check_once, check_positions, check_reads
from .records import AppendCall, CatchUpCall, CheckpointCall, Entry, HeadCall, ReadLogCall, ReadStreamCall, ViewCall
from .stream_checks import check_streams
from .verdict import Verdict, Violation
from .view_checks import View, check_checkpoints, check_fresh_reads, check_views

CHECKS = (
    check_streams,
    check_positions,
    check_acknowledged,
    check_once,
    check_failed,
    check_conditions,
    check_reads,
    check_checkpoints,
)
"""The checks of a history and its log."""

VIEW_CHECKS = (check_views, check_fresh_reads)
"""The checks of views beside them."""


def check(history: History, log: Iterable[Entry], views: Sequence[View] = ()) -> Verdict:
    """Look whether a history, and what it left, keep the promises.

    Args:
        history: What the processes did.
        log: The whole log in its order, read when they had ended. An append that nobody knows of may still come after
            it was read: that is no violation.
        views: The views, read before the log.

    Returns:
        The verdict, with every violation.
    """
    facts = Facts(history, list(log))
    violations: list[Violation] = []
    for each in CHECKS:
        violations += each(facts)
    for each_of_views in VIEW_CHECKS:
        violations += each_of_views(facts, views)
    return Verdict(violations, _counts(facts, views))


def _counts(facts: Facts, views: Sequence[View]) -> dict[str, int]:
    calls = Counter((type(each.call), each.answer.outcome) for each in facts.history.operations)
    there = sum(
        operations[0].answer.outcome == "unknown" and mark in facts.found for mark, operations in facts.appends.items()
    )
    return {
        "operations": len(facts.history.operations),
        "processes": len({each.process for each in facts.history.operations}),
        "appends acknowledged": calls[AppendCall, "ok"],
        "appends refused by a conflict": calls[AppendCall, "conflict"],
        "appends failed": calls[AppendCall, "failed"],
        "appends with a condition": sum(call.condition is not None for _, call in facts.each(AppendCall)),
        "appends of unknown outcome": calls[AppendCall, "unknown"],
        "of these in the log": there,
        "events in the log": len(facts.log),
        "streams": len({entry.stream for entry in facts.log}),
        "reads of streams": calls[ReadStreamCall, "ok"],
        "reads of the log": calls[ReadLogCall, "ok"],
        "questions for the head": calls[HeadCall, "ok"],
        "catch-ups": calls[CatchUpCall, "ok"],
        "questions for a checkpoint": calls[CheckpointCall, "ok"],
        "reads of views": calls[ViewCall, "ok"],
        "views compared with the log": len(views),
    }
