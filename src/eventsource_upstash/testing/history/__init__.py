"""Histories: what several processes did to a backend at once, and whether it kept its promises.

Each process records what it asks and what it is answered; a checker looks for an order of events that explains all of
it, and compares it with what stands in the log and in the views in the end:

```python
recorder = Recorder("writer-1", folder / "writer-1.jsonl")
store = recorder.event_store(EventStore(SQLite("todo.db"), registry))
store.append("task-1", TaskCreated("1", "Dishes"), expected_revision=0)
...
check(History.read(folder), log=entries(event_store.read())).raise_()
```

It is for logs in one piece: of a topic in several partitions no order of all events is known.
"""

from __future__ import annotations

from .checking import check
from .faces import (
    MARK,
    MarkOf,
    RecordedEventStore,
    RecordedProjectionStore,
    RecordedProjector,
    RecordedView,
    entries,
    mark_in_metadata,
)
from .histories import History
from .plans import Act, Plan, Step, plans, run_plan
from .recorder import OpenAppend, OpenCall, OpenCatchUp, OpenPosition, OpenRead, OpenView, Recorder
from .records import Answer, Entry, Operation
from .verdict import HistoryViolated, Verdict, Violation
from .view_checks import View

__all__ = [
    "MARK",
    "Act",
    "Answer",
    "Entry",
    "History",
    "HistoryViolated",
    "MarkOf",
    "OpenAppend",
    "OpenCall",
    "OpenCatchUp",
    "OpenPosition",
    "OpenRead",
    "OpenView",
    "Operation",
    "Plan",
    "RecordedEventStore",
    "RecordedProjectionStore",
    "RecordedProjector",
    "RecordedView",
    "Recorder",
    "Step",
    "Verdict",
    "View",
    "Violation",
    "check",
    "entries",
    "mark_in_metadata",
    "plans",
    "run_plan",
]
