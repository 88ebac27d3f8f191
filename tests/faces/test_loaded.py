"""What is loaded: an app does not pay for what it does not use. Told by the modules of a process of its own."""

from __future__ import annotations

import json
from importlib.util import find_spec

import pytest

from tests.faults.processes import run

STEPS = {
    "model": """
from dataclasses import dataclass
from eventsource_upstash import Registry

registry = Registry()

@registry.event("added")
@dataclass(frozen=True)
class Added:
    id: str

@dataclass(frozen=True)
class Item:
    id: str

items = registry.projection("items", Item)

@items.on(Added, key="id")
def added(document, event):
    return Item(event.id)
""",
    "append": """
from eventsource_upstash import connect
app = connect("memory:", registry)
app.event_store.append("item-1", Added("1"))
""",
    "fold and read": """
app.projector.catch_up()
assert app.projection_store.view(items).get("1") == Item("1")
assert [each.event for each in app.event_store.read()] == [Added("1")]
""",
    "limits": "app.rate_limit('posts', limit=1, window=1).check('me')",
    "messages": "app.messages.send('/job')",
    "aggregates": "app.event_store.load(registry.aggregate('item', Item), 'item-1')",
    "reactors": "registry.reactor('echo').on(Added)(lambda event: None); app.projector.catch_up()",
    "rebuilds": "app.projector.rebuild(items)",
    "parked events": "list(app.projector.parked(items))",
    "status": "app.projection_store.status()",
}

# What each step is the first to need.
NEEDED = {
    "append": "_flow.handling blocking ports.log backends.memory.log",
    "fold and read": "_flow.(catching_up freshness noting passes querying) blocking.(projector views)",
    "limits": "_flow.limiting backends.memory.limits domain.limits blocking.limits",
    "messages": "_flow.(messaging delivering sending) backends.memory.mailbox domain.cron ports.messages",
    "reactors": "_flow.(reacting outboxes carrying) domain.(reactors reactions outgoing)",
    "aggregates": "domain.(aggregates snapshots) _flow.caching",
    "rebuilds": "_flow.rebuilding",
    "parked events": "_flow.parking",
    "status": "_flow.statuses",
}

# What no step needs.
UNUSED = (
    "_flow.(cipher feeding following parting partitions reactions sealing) _io.(event_loop http pool)"
    " backends.(kafka qstash redis sqlite) backends.memory.keys ports.(followers keys) aio cli local sql testing web"
)

PROGRAM = """
import json, sys
told = {}
for step, code in json.loads(sys.argv[1]).items():
    exec(compile(code, step, "exec"), globals())
    told[step] = sorted(each for each in sys.modules if each.startswith("eventsource_upstash."))
print(json.dumps(told))
"""


def names(text: str) -> set[str]:
    """`a.(b c) d` is `a.b`, `a.c` and `d`."""
    found: set[str] = set()
    room = ""
    for word in text.split():
        before, bracket, inside = word.partition("(")
        room, name = (before, inside) if bracket else (room, word)
        found.add(f"eventsource_upstash.{room}{name.removesuffix(')')}")
        if name.endswith(")"):
            room = ""
    return found


@pytest.fixture(scope="module")
def loaded() -> dict[str, set[str]]:
    """The modules of ours that are there after each step."""
    told: dict[str, list[str]] = json.loads(run(PROGRAM, json.dumps(STEPS)))
    return {step: set(modules) for step, modules in told.items()}


def test_a_model_loads_no_face_no_flow_and_no_backend(loaded: dict[str, set[str]]) -> None:
    rooms = {each.split(".")[1] for each in loaded["model"]}
    assert {"domain", "errors"} <= rooms <= {"connect", "domain", "errors"}


@pytest.mark.parametrize("step", NEEDED)
def test_what_is_used_is_loaded_then_and_not_before(step: str, loaded: dict[str, set[str]]) -> None:
    before = list(STEPS)[list(STEPS).index(step) - 1]
    assert not names(NEEDED[step]) & loaded[before]
    assert names(NEEDED[step]) <= loaded[step]


def test_what_nobody_uses_is_never_loaded(loaded: dict[str, set[str]]) -> None:
    unused = names(UNUSED)
    assert not {each for each in loaded["status"] if each in unused or each.rpartition(".")[0] in unused}


def test_every_module_that_is_left_out_is_one_that_there_is() -> None:
    assert [each for each in sorted(names(UNUSED)) if find_spec(each) is None] == []
