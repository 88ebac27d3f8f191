"""For the tests of apps, and of backends.

- **Scenarios**: `given(aggregate, event, ...).when(command).then(event)`, and the same for projections: what the folds
  and the decisions of an app do, without a backend.
- **Stepping**: `explore` runs every order in which concurrent callers can meet, and a crash, a lost answer or a refusal
  at every wait; `pausing(backend)` is what they wait on.
- **Conformance**: `LogContract`, `ViewsContract`, `PromisesContract`, `ReactorsContract`, `MailboxContract`,
  `LimitsContract` (or `TimedLimitsContract`) and the two of notifications, which the test class of a backend inherits.
  They need pytest: `pip install eventsource-upstash[testing]`. See `eventsource_upstash.testing.conformance`.
- **Corpus**: `check_corpus(registry, folder)` reads what older releases of an app have written; `add_to_corpus` adds
  the samples of a new version.
- **Histories**: `eventsource_upstash.testing.history` records what several processes do, and checks what they leave.
- **Wrapping**: `BackendWrapper`, `LogWrapper` and `ViewsWrapper` put a fault into a backend that works.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .corpus import add_to_corpus, check_corpus
from .pausing import Moment, Pause, PausingBackend, pausing
from .scenarios import InStream, given, in_stream
from .stepping import Ending, Endings, Explored, ScheduleFailed, World, explore, replay
from .wrapping import BackendWrapper, LogWrapper, ViewsWrapper

if TYPE_CHECKING:
    from .conformance import (
        FreeNotificationsContract,
        KeysContract,
        LimitsContract,
        LogContract,
        MailboxContract,
        NotificationsContract,
        PromisesContract,
        ReactorsContract,
        TimedLimitsContract,
        ViewsContract,
    )

__all__ = [
    "BackendWrapper",
    "Ending",
    "Endings",
    "Explored",
    "FreeNotificationsContract",
    "InStream",
    "KeysContract",
    "LimitsContract",
    "LogContract",
    "LogWrapper",
    "MailboxContract",
    "Moment",
    "NotificationsContract",
    "Pause",
    "PausingBackend",
    "PromisesContract",
    "ReactorsContract",
    "ScheduleFailed",
    "TimedLimitsContract",
    "ViewsContract",
    "ViewsWrapper",
    "World",
    "add_to_corpus",
    "check_corpus",
    "explore",
    "given",
    "in_stream",
    "pausing",
    "replay",
]


def __getattr__(name: str) -> object:
    if name.endswith("Contract") and name in __all__:  # pytest, for those who use it
        from . import conformance

        return getattr(conformance, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
