"""The contracts of `Log` and `Views`, and the library's promises on top of them, as test classes to inherit.

Whoever writes a backend writes one class, and runs it with pytest:

```python
from eventsource_upstash.testing.conformance import LogContract, PromisesContract, ViewsContract


class TestMyBackend(LogContract, ViewsContract, PromisesContract):
    def open_backend(self, folder: Path) -> Backend:
        return MyBackend(folder / "events")
```

`open_backend` is called with an empty folder for each test, and again with the same folder where a test opens the
storage again; a backend on a server makes a namespace of the folder's path. What has to be set up around the tests goes
into pytest's fixtures, as ever. A backend that keeps everything in its own object says `reopens = False`. One whose
log cannot do everything (`Backend.capabilities`) inherits `BareLogContract` and `BarePromisesContract` instead, and of
`ExpectingContract`, `ConditionsContract`, `StreamsContract`, `AtomicContract` and `LastingKeysContract` those that are
of what it can do: a test sees to it that these are neither too few nor too many. One that
costs money replaces `check_receipt`; one whose notifications cost some inherits `NotificationsContract` as well, and
every other one `FreeNotificationsContract`. A backend of a log only, or of views only, inherits only that contract, and
opens something else beside it, such as `Memory`.

Each test that is given a `lab` runs twice: stepped over the blocking port, with a thread for each of several callers,
and on an event loop. The tests `..._in_any_order_of_steps` pause the backend at every wait and run all orders in which
two or three callers can meet, some with a crash, a lost answer or a refusal at each wait. None of them sleeps, and none
can be skipped: a rule that a backend does not keep is a test that it does not pass.

To see that the tests can fail on your backend, break it (`eventsource_upstash.testing.wrapping`), and ask `run_tests`
for what failed:

```python
def test_a_forgotten_key_is_noticed(tmp_path: Path) -> None:
    class Forgets(LogContract):
        def open_backend(self, folder: Path) -> Backend:
            return ForgetfulBackend(MyBackend(folder / "events"))

    assert "test_recall_answers_what_the_append_answered" in Forgets().run_tests(tmp_path)
```
"""

from __future__ import annotations

import pytest

# Before they are imported: pytest then tells the values of an assertion that failed, as it does in tests of one's own.
pytest.register_assert_rewrite(
    *(
        f"{__name__}.{name}"
        for name in (
            "keys",
            "kit",
            "lab",
            "lasting",
            "limits",
            "log_appending",
            "log_atomic",
            "log_capabilities",
            "log_competing",
            "log_concurrency",
            "log_conditions",
            "log_expecting",
            "log_lasting_keys",
            "log_many",
            "log_querying",
            "log_reading",
            "log_snapshots",
            "log_streams",
            "mailbox",
            "mailbox_schedules",
            "notifying",
            "promises",
            "promises_deciding",
            "reacting",
            "viewing",
            "views_builds",
            "views_committing",
            "views_concurrency",
            "views_ends",
            "views_indexes",
            "views_reading",
            "views_records",
            "views_stepping",
            "views_switching",
        )
    )
)

from .keys import KeysContract, KeysLab  # noqa: E402
from .kit import Contract, Lab, in_colour  # noqa: E402
from .lasting import NothingIsLostForLong  # noqa: E402
from .limits import LimitsCounting, LimitsInTime  # noqa: E402
from .log_appending import LogAppending, LogRepeating  # noqa: E402
from .log_atomic import LogAtomic, LogUntorn  # noqa: E402
from .log_capabilities import LogCapabilities  # noqa: E402
from .log_competing import LogCompeting, LogCompetingStepping  # noqa: E402
from .log_concurrency import LogConcurrency, LogStepping  # noqa: E402
from .log_conditions import LogConditions, LogDeciding  # noqa: E402
from .log_expecting import LogExpecting, LogExpectingAgain  # noqa: E402
from .log_lasting_keys import LogLastingKeys  # noqa: E402
from .log_many import LogMany  # noqa: E402
from .log_querying import LogQuerying  # noqa: E402
from .log_reading import LogKeeping, LogReading  # noqa: E402
from .log_snapshots import LogSnapshots, LogSnapshotsStepping  # noqa: E402
from .log_streams import LogStreams  # noqa: E402
from .mailbox import MailboxMessages  # noqa: E402
from .mailbox_schedules import MailboxSchedules  # noqa: E402
from .notifying import FreeNotifications, LogSettling, OutstandingNotifications  # noqa: E402
from .promises import EveryOperationHasAPrice, NothingIsAppliedTwice, NothingIsLost  # noqa: E402
from .promises_deciding import NothingIsAppendedTwice, NothingIsDecidedTwice  # noqa: E402
from .reacting import ReactionsInOrder, ReactionsOnce  # noqa: E402
from .views_builds import ViewsBuilding, ViewsPullingBuilds  # noqa: E402
from .views_committing import ViewsCommitting  # noqa: E402
from .views_concurrency import ViewsConcurrency, ViewsStepping  # noqa: E402
from .views_ends import ViewsEnds  # noqa: E402
from .views_indexes import ViewsFinding, ViewsIndexing  # noqa: E402
from .views_reading import ViewsPulling, ViewsReading  # noqa: E402
from .views_records import ViewsRecords  # noqa: E402
from .views_stepping import BuildsStepping  # noqa: E402
from .views_switching import ViewsDropping, ViewsSwitching  # noqa: E402

__all__ = [
    "AppendsManyContract",
    "AtomicContract",
    "BareLogContract",
    "BarePromisesContract",
    "ConditionsContract",
    "Contract",
    "ExpectingContract",
    "FreeNotificationsContract",
    "KeysContract",
    "KeysLab",
    "Lab",
    "LastingKeysContract",
    "LimitsContract",
    "LogContract",
    "MailboxContract",
    "NotificationsContract",
    "PromisesContract",
    "ReactorsContract",
    "StreamsContract",
    "TimedLimitsContract",
    "ViewsContract",
    "in_colour",
]


class BareLogContract(
    LogCapabilities,
    LogAppending,
    LogRepeating,
    LogReading,
    LogKeeping,
    LogQuerying,
    LogSettling,
    LogConcurrency,
    LogStepping,
):
    """What every log keeps, whatever else it can do. A log in one partition keeps it as one without partitions does."""


class ExpectingContract(LogExpecting, LogExpectingAgain, LogCompeting, LogCompetingStepping):
    """What a log keeps that can `expected_revisions`."""


class ConditionsContract(LogConditions, LogDeciding):
    """What a log keeps that can `conditions`, and `expected_revisions` besides."""


class StreamsContract(LogStreams, LogSnapshots, LogSnapshotsStepping):
    """What a log keeps that can `streams`."""


class AtomicContract(LogAtomic, LogUntorn):
    """What a log keeps that can `atomic_appends`."""


class LastingKeysContract(LogLastingKeys):
    """What a log keeps that can `lasting_keys`."""


class AppendsManyContract(LogMany):
    """What a log keeps that takes many appends in one step: `ports.AppendsMany`."""


class LogContract(
    BareLogContract, ExpectingContract, ConditionsContract, StreamsContract, AtomicContract, LastingKeysContract
):
    """The contract of `Log`: every sentence of it that a test can hold."""


class LimitsContract(LimitsCounting):
    """The contract of a limiter that may have a clock of its own."""


class TimedLimitsContract(LimitsContract, LimitsInTime):
    """The contract of a limiter that goes by the time that it is told."""


class MailboxContract(MailboxMessages, MailboxSchedules):
    """The contract of a mailbox, for a backend whose app delivers its messages itself."""


class NotificationsContract(OutstandingNotifications):
    """The contract of a log whose notifications cost something, and of views that settle them."""


class FreeNotificationsContract(FreeNotifications):
    """The contract of a log whose notifications cost nothing."""


class ViewsContract(
    ViewsCommitting,
    ViewsPulling,
    ViewsReading,
    ViewsRecords,
    ViewsIndexing,
    ViewsFinding,
    ViewsEnds,
    ViewsBuilding,
    ViewsPullingBuilds,
    ViewsSwitching,
    ViewsDropping,
    ViewsConcurrency,
    ViewsStepping,
    BuildsStepping,
):
    """The contract of `Views`, folded from the same backend's log."""


class BarePromisesContract(NothingIsLost, NothingIsAppliedTwice, NothingIsLostForLong, EveryOperationHasAPrice):
    """What the library promises over every backend, whatever its log can do."""


class PromisesContract(BarePromisesContract, NothingIsAppendedTwice, NothingIsDecidedTwice):
    """What the library promises over a backend that keeps both contracts."""


class ReactorsContract(ReactionsOnce, ReactionsInOrder):
    """What the library promises of reactors over a backend that keeps the contracts of `Log` and `Views`."""
