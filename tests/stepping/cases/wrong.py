"""What is wrong on purpose: scripts with a line changed, and notification protocols. Each is caught by some case."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from eventsource_upstash.backends.redis.scripts import Script
from tests.stepping import broken_notices as broken
from tests.stepping.broken_notices import around
from tests.stepping.cases import notices
from tests.stepping.cases.places import SCRIPTED
from tests.stepping.notified import Wishes


class WrongScript(NamedTuple):
    """A script with something else in it, and the case that has to notice.

    Attributes:
        scripts: Which: what they are called in Python.
        old: What is in it, once.
        new: What is there instead.
        case: The case.
        place: Where it is run: "Redis", "Redis, cut" or "Redis, told".
        trouble: With which trouble.
        steps: How many steps the schedule has in which it is first noticed.
    """

    scripts: tuple[str, ...]
    old: str
    new: str
    case: str
    place: str = "Redis"
    trouble: str = "none"
    steps: int = 0


APPEND: Final = ("APPEND",)
COMMIT: Final = ("COMMIT",)
PULLS: Final = ("COMMIT", "PULL")

RECORD_FIRST: Final = """
if once then
call('SET', once, ARGV[14] .. text(head + count) .. ' ' .. text(count) .. ARGV[15])
end
local function repeated(position, revision)
"""
LEAKING: Final = """
for offset = 1, commit.puts do
put[#put + 1] = KEYS[commit.key + 1 + offset]
put[#put + 1] = ARGV[commit.contents + offset]
end
else
outcomes[index] = false
"""

SCRIPTS: Final[Mapping[str, WrongScript]] = {
    "append: the revision is not compared": WrongScript(
        APPEND,
        "expected ~= '*' and expected ~= text(revision) and",
        "false and",
        "two appends: at one revision",
        steps=6,
    ),
    "append: the idempotency record is not looked at": WrongScript(
        APPEND, "if once and records[4] then", "if false then", "two appends: under one key", steps=6
    ),
    "append: the idempotency record is written before the revision is compared": WrongScript(
        APPEND,
        "local function repeated(position, revision)\n",
        RECORD_FIRST,
        "two appends: under two keys, at one revision",
        steps=6,
    ),
    "append: the condition is looked at one position too far": WrongScript(
        APPEND,
        "matching(key, item, since, head,",
        "matching(key, item, since + 1, head,",
        "two appends: on one condition",
        steps=6,
    ),
    "append: the condition is not looked for in keys that are put away": WrongScript(
        APPEND,
        "for index = archives, oldest, -1 do",
        "for index = archives, archives, -1 do",
        "two appends: on one condition",
        "Redis, cut",
        steps=8,
    ),
    "append: its own earlier attempt is not looked for": WrongScript(
        APPEND,
        "for _, entry in ipairs(recent) do\nif entry[2][4] == identity then",
        "for _, entry in ipairs(recent) do\nif false then",
        "two appends: at any revision, one clock behind",
        trouble="a lost answer",
        steps=9,
    ),
    "append: a log's key begins one position too early": WrongScript(
        APPEND,
        "cuts = cuts .. (cuts == '' and '' or ',') .. text(head + 1)",
        "cuts = cuts .. (cuts == '' and '' or ',') .. text(head)",
        "two appends: at one revision",
        "Redis, cut",
        steps=6,
    ),
    "append: what is outstanding never counts as lost": WrongScript(
        APPEND,
        "if raised == 0 or elapsed > tonumber(ARGV[6]) or elapsed < -tonumber(ARGV[6]) then",
        "if raised == 0 then",
        "two appends, notify, deliver: the flag expires",
        "Redis, told",
        "a crash",
        steps=19,
    ),
    "append: one that is asked again is not told what it owes": WrongScript(
        APPEND,
        "return { 'known', calls, records[4], text(raised) }",
        "return { 'known', calls, records[4], '0' }",
        "append, notify, deliver",
        "Redis, told",
        "a lost answer",
        steps=9,
    ),
    "append: it answers the revision that it has found": WrongScript(
        APPEND,
        "return { 'ok', calls, position, after, owes,",
        "return { 'ok', calls, position, text(revision), owes,",
        "two appends: at any revision, one clock behind",
        steps=6,
    ),
    "commit: the checkpoint is not compared": WrongScript(
        COMMIT, "and build.checkpoint == commit.expected", "", "two catch-ups: by different pages", steps=22
    ),
    "commit: documents are written before the fence": WrongScript(
        COMMIT, "\nelse\noutcomes[index] = false\n", LEAKING, "two catch-ups: by different pages", steps=22
    ),
    "commit: the indexes are forgotten": WrongScript(
        COMMIT, "if leaf.created > 0 then", "if leaf.created > 0 and leaf.keys then", "append, catch-up", steps=12
    ),
    "commit: what is gone stays in the indexes": WrongScript(
        COMMIT, "if #members > 0 then\nremoved", "if false then\nremoved", "append, catch-up", steps=12
    ),
    "commit: what is parked is not counted": WrongScript(
        COMMIT, "build.notes = commit.notes", "", "append, catch-up", steps=8
    ),
    "commit: a build serves before it has met the head": WrongScript(
        COMMIT,
        "if known and tonumber(commit.checkpoint) >= known then\nif build.role == 'B'\n"
        "and (commit.head == '' or tonumber(commit.checkpoint) >= tonumber(view.serving.checkpoint)) then",
        "if true then\nif build.role == 'B' then",
        "rebuild: by pages",
        trouble="a crash",
        steps=15,
    ),
    "commit: what it has reached is answered for the head": WrongScript(
        COMMIT,
        "local checkpoints = counting(all, ARGV[6], ARGV[7])",
        "head = tonumber(plan[1].checkpoint)\nlocal checkpoints = counting(all, ARGV[6], ARGV[7])",
        "two appends, notify, deliver",
        "Redis, told",
        steps=19,
    ),
    "pull: what is outstanding is never settled": WrongScript(
        PULLS, "if pull[4] == '1' and raised then", "if false then", "append, notify, deliver", "Redis, told", steps=16
    ),
    "settle: a publish that failed is not withdrawn": WrongScript(
        ("SETTLE",),
        "or ARGV[2] ~= '' and string.match(found[2], '^%d+') == ARGV[1] then",
        "then",
        "append, notify, deliver",
        "Redis, told",
        "a refusal",
        steps=9,
    ),
}


@contextmanager
def patched(wrong: WrongScript) -> Iterator[None]:
    """The scripts are so, for as long."""
    before: list[tuple[Any, str, Script]] = []
    try:
        for module in SCRIPTED:
            for name in wrong.scripts:
                script = vars(module).get(name)
                if isinstance(script, Script):
                    assert script.text.count(wrong.old) == 1, f"{name} has {wrong.old!r} not once"
                    before.append((module, name, script))
                    setattr(module, name, Script(name, script.text.replace(wrong.old, wrong.new)))
        assert before
        yield
    finally:
        for module, name, script in before:
            setattr(module, name, script)


class WrongProtocol(NamedTuple):
    """A protocol with something wrong in it, and the case that has to notice."""

    wishes: Wishes
    case: str
    trouble: str
    wrong: Mapping[str, Any]
    steps: int
    lost_after_us: float = notices.LOST_AFTER_US


PROTOCOLS: Final[Mapping[str, WrongProtocol]] = {
    "the commit answers the head of before": WrongProtocol(
        notices.TWO,
        "two appends, notify, deliver",
        "none",
        {"prepare": around(views=broken.AnswersTheHeadOfBefore)},
        23,
    ),
    "settled when any one is at the head": WrongProtocol(
        notices.LATE,
        "append, notify, deliver: a projection added, a reader",
        "none",
        {"prepare": around(views=broken.SettlesForAnybody)},
        35,
    ),
    "held by a projection that is stopped": WrongProtocol(
        notices.STOPPED,
        "append, notify, deliver: a projection stopped",
        "none",
        {"prepare": around(views=broken.WaitsForTheStopped)},
        14,
    ),
    "never lost": WrongProtocol(
        notices.EXPIRING, "two appends, notify, deliver: the flag expires", "a crash", {}, 19, math.inf
    ),
    "never withdrawn": WrongProtocol(
        notices.ONE, "append, notify, deliver", "a refusal", {"prepare": around(log=broken.NeverWithdraws)}, 7
    ),
    "owed once only": WrongProtocol(
        notices.ONE, "append, notify, deliver", "a lost answer", {"prepare": around(log=broken.OwesOnceOnly)}, 8
    ),
    "named by the position alone": WrongProtocol(
        notices.HURRIED,
        "append, notify, deliver: a page at a time",
        "none",
        {"named": lambda position, _: f"{position}"},
        22,
    ),
    "content with the position in the message": WrongProtocol(
        notices.HURRIED,
        "append, notify, deliver: a page at a time",
        "none",
        {"endpoint": broken.ContentWithThePosition},
        20,
    ),
    "forgets the rest when time is up": WrongProtocol(
        notices.HURRIED, "append, notify, deliver: a page at a time", "none", {"endpoint": broken.ForgetsTheRest}, 20
    ),
}
