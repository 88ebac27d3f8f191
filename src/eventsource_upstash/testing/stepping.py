"""The stepping scheduler: every order in which callers can get in each other's way, and a failure at every wait.

A coroutine of this library waits only for its backend. `pausing(backend)` stops it before and after each call to the
log and the views; `explore` resumes the stopped coroutines in every possible order, one schedule after another, without
a thread or an event loop. What it finds it can tell, and do again:

```python
def two_appends() -> World:
    backend = Memory()
    store = AsyncEventStore(pausing(backend), registry)

    def check(endings: Endings) -> None:
        assert sum(ending.ok for ending in endings.values()) == 1

    return World(
        actors={
            "left": store.append("task-1", TaskCreated("1", "Dishes"), expected_revision=0),
            "right": store.append("task-1", TaskCreated("1", "Laundry"), expected_revision=0),
        },
        check=check,
    )


def test_one_of_two_appends_wins_in_every_order() -> None:
    assert explore(two_appends).schedules == 20
```

The world is made anew for each schedule, so it has to be the same each time. `crashes`, `lost_answers` and `refusals`
say how many of each may happen in one schedule, at any wait. The check may look at the backend through the blocking
face.

Most orders of steps differ in nothing that anybody could see: what an actor does with an answer it does by itself.
`merging=True` runs one of all those that are alike, which is every order in which calls reach the backend, with every
failure at each of them.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple, TypeAlias

from ..errors import EventSourceError, OutcomeUnknown, Unavailable
from .pausing import Moment, Pause

# A face's coroutines have `Any` as what they yield and are sent: that is how `async def` is typed.
Actor: TypeAlias = Coroutine[Any, Any, object]
"""A coroutine over a pausing backend."""


class Ending(NamedTuple):
    """How an actor ended.

    Attributes:
        returned: What it returned, if it did.
        error: What it raised, if it did. Only errors of this library get here; any other one fails the schedule.
        crashed: Whether it was dropped on its way.
    """

    returned: object = None
    error: EventSourceError | None = None
    crashed: bool = False

    @property
    def ok(self) -> bool:
        """Whether it came to its end without an error."""
        return self.error is None and not self.crashed


Endings: TypeAlias = Mapping[str, Ending]
"""How each actor ended, by its name."""


class World(NamedTuple):
    """What is to be tried in every order.

    Attributes:
        actors: Coroutines that run against each other, by name.
        check: Called when all have ended. Raises `AssertionError` when something is not as it has to be.
    """

    actors: Mapping[str, Actor]
    check: Callable[[Endings], None]


class Explored(NamedTuple):
    """What `explore` has tried.

    Attributes:
        schedules: How many orders there were. All of them passed.
        crashes: How many of them had an actor crash.
        lost_answers: How many had an answer lost.
        refusals: How many had a call refused.
    """

    schedules: int
    crashes: int = 0
    lost_answers: int = 0
    refusals: int = 0


class ScheduleFailed(AssertionError):
    """A schedule in which the check, or an actor, failed.

    Attributes:
        schedule: What happened, step by step, to be read.
        choices: The same, to be handed to `replay`.
    """

    def __init__(self, reason: str, schedule: Sequence[str], choices: Sequence[int]) -> None:
        steps = "\n".join(f"  {number:2}. {step}" for number, step in enumerate(schedule, 1))
        super().__init__(f"{reason}\nin this schedule, which replay(world, {list(choices)}) does again:\n{steps}")
        self.schedule: tuple[str, ...] = tuple(schedule)
        self.choices: tuple[int, ...] = tuple(choices)


class Budget(NamedTuple):
    """What may go wrong in one schedule, and how often it may be switched from an actor that could have gone on."""

    crashes: int = 0
    lost_answers: int = 0
    refusals: int = 0
    switches: int | None = None
    merging: bool = False


def explore(
    world: Callable[[], World],
    *,
    crashes: int = 0,
    lost_answers: int = 0,
    refusals: int = 0,
    switches: int | None = None,
    merging: bool = False,
) -> Explored:
    """Run every schedule of a world, depth first.

    Args:
        world: Makes the actors and what they work on, anew for each schedule.
        crashes: How many actors may be dropped, at any wait, in one schedule. What the call had done stays done.
        lost_answers: How many calls may be done and yet raise `OutcomeUnknown`.
        refusals: How many calls may raise `Unavailable` without being done.
        switches: How often a schedule may switch away from an actor that could have gone on; None for any number. With
            three actors or more this keeps the number of schedules small, and two or three find nearly everything.
        merging: Whether of schedules that differ in nothing that anybody could see, one is run: a step that is an
            actor's own (its beginning, what it does with an answer, a refusal, a crash) is taken as soon as it can be,
            and not before and after every step of the others too. Only for actors that share nothing but what they
            reach by way of a pause: a clock that ticks on, or a list that two of them change, is not for it.

    Raises:
        ScheduleFailed: The check failed, or an actor raised what no caller expects. The first such schedule is told.
    """
    budget = Budget(crashes, lost_answers, refusals, switches, merging)
    schedules = crashed = lost = refused = 0
    prefix: list[int] | None = []
    while prefix is not None:
        run = _Run(world(), prefix, budget)
        if run.to_the_end():
            schedules += 1
            crashed += run.spent.crashes > 0
            lost += run.spent.lost_answers > 0
            refused += run.spent.refusals > 0
        prefix = run.next_prefix()
    return Explored(schedules, crashed, lost, refused)


def replay(
    world: Callable[[], World],
    choices: Sequence[int],
    *,
    crashes: int = 0,
    lost_answers: int = 0,
    refusals: int = 0,
    switches: int | None = None,
    merging: bool = False,
) -> list[str]:
    """Run the one schedule that `choices` stand for, with the limits that it was found with. Answers its steps.

    Raises:
        ScheduleFailed: As `explore`.
    """
    run = _Run(world(), choices, Budget(crashes, lost_answers, refusals, switches, merging))
    run.to_the_end()
    return run.steps


_GO: Final = "goes on"
_WAIT: Final = "waits"
_CRASH: Final = "crashes"
_LOSE: Final = "loses the answer"
_REFUSE: Final = "is refused"
_ANOTHER_WORLD: Final = "the world is not the same each time it is made, so its schedules cannot be told apart"


def _is_own(pause: Pause | None) -> bool:
    """Whether what an actor does next concerns nobody else: it begins, has an answer, or has slept."""
    return pause is None or pause.moment is Moment.AFTER or pause.call == "sleep"


class _Dropped(BaseException):
    """Raised where an actor waits that is not needed any more."""


def drop(actor: Actor) -> None:
    """End an actor that waits, and is not needed any more."""
    # `close` alone leaves an asynchronous generator that it waits for running (until Python 3.13), so that cannot end.
    with suppress(RuntimeError):  # it waits in a `finally`: it cannot be ended any better
        with suppress(_Dropped):
            actor.throw(_Dropped)
        actor.close()


class _Run:
    """One schedule: the choices that are given, and then the first option each time."""

    def __init__(self, world: World, prefix: Sequence[int], budget: Budget) -> None:
        self.world = world
        self.budget = budget
        self.spent = Budget(switches=0)
        self.prefix = prefix
        self.taken: list[tuple[int, int]] = []
        self.steps: list[str] = []
        self.waiting: dict[str, Pause | None] = dict.fromkeys(world.actors)
        self.endings: dict[str, Ending] = {}
        self.last: str | None = None
        # Who has come to a call, and of whom it has not been chosen yet whether it is refused; and who had an answer
        # since its last call.
        self.arrived: set[str] = set()
        self.answered: set[str] = set()
        # Whose next call was done first in a schedule before this one, with nothing since that it could be told from.
        self.asleep: set[str] = set()

    def to_the_end(self) -> bool:
        """Resume the actors until all have ended, and check. False when it turns out to be like one before it."""
        try:
            while self.waiting:
                options = self._options()
                if not options:
                    return False
                choice = self._choose(len(options))
                if self.budget.merging:
                    self._sleep(options, choice)
                self._step(*options[choice])
            if len(self.taken) < len(self.prefix):
                raise RuntimeError(_ANOTHER_WORLD)
            self.world.check(self.endings)
            return True
        except ScheduleFailed:
            raise
        except AssertionError as error:
            raise self._failed(str(error)) from error
        except EventSourceError as error:
            raise self._failed(f"{type(error).__name__}: {error}") from error
        finally:
            # Not before the check: a process that crashed runs no `finally` either.
            for actor in self.world.actors.values():
                drop(actor)

    def next_prefix(self) -> list[int] | None:
        """The choices of the next schedule; None when this was the last one."""
        taken = self.taken
        while taken:
            choice, count = taken.pop()
            if choice + 1 < count:
                return [*(earlier for earlier, _ in taken), choice + 1]
        return None

    def _options(self) -> list[tuple[str, str]]:
        """What can happen next: which actor, and what becomes of it. The one that ran last comes first."""
        names = sorted(self.waiting, key=lambda name: name != self.last)
        budget, spent = self.budget, self.spent
        if budget.merging:
            for name in self.waiting:
                options = self._by_itself(name)
                if options:
                    return options
        if self.last in self.waiting and budget.switches is not None and spent.switches == budget.switches:
            names = names[:1]
        options = [(name, _GO) for name in names if name not in self.asleep]
        if not budget.merging:
            for name in names:
                options += self._troubles(name)
        return options

    def _sleep(self, options: Sequence[tuple[str, str]], choice: int) -> None:
        """Two calls that only read are done in one order: what was to be chosen before this one need not follow it.

        Those are sleep sets (Godefroid 1990). Not with a bound on switches: one order may be within it, another not.
        """
        chosen, pause = options[choice][0], self.waiting[options[choice][0]]
        if self.budget.switches is not None or _is_own(pause) or options[choice][1] is not _GO:
            return
        if pause is None or not pause.reads:
            self.asleep.clear()
            return
        before = self.asleep.union([name for name, _ in options[:choice]])
        self.asleep = {name for name in before - {chosen} if (at := self.waiting[name]) is not None and at.reads}

    def _by_itself(self, name: str) -> list[tuple[str, str]]:
        """What an actor can do next that no other one sees; nothing where it is about to call."""
        pause = self.waiting[name]
        if pause is None:
            return [(name, _GO)]
        # A crash between an answer and the next call is one, and is tried when the answer has come.
        troubles = [each for each in self._troubles(name) if each[1] is not _CRASH or name not in self.answered]
        if _is_own(pause):
            return [(name, _GO), *troubles]
        return [(name, _WAIT), *troubles] if troubles and name in self.arrived else []

    def _troubles(self, name: str) -> list[tuple[str, str]]:
        budget, spent, pause = self.budget, self.spent, self.waiting[name]
        if pause is None:
            return []  # it has not begun: to crash now is never to have been there
        options: list[tuple[str, str]] = []
        if spent.crashes < budget.crashes:
            options.append((name, _CRASH))
        if spent.lost_answers < budget.lost_answers and pause.moment is Moment.AFTER:
            options.append((name, _LOSE))
        if spent.refusals < budget.refusals and not _is_own(pause):
            options.append((name, _REFUSE))
        return options

    def _choose(self, count: int) -> int:
        depth = len(self.taken)
        choice = self.prefix[depth] if depth < len(self.prefix) else 0
        if choice >= count:
            raise RuntimeError(_ANOTHER_WORLD)
        self.taken.append((choice, count))
        return choice

    def _step(self, name: str, what: str) -> None:
        pause = self.waiting[name]
        self.arrived.discard(name)
        if what is _WAIT:
            return
        alone = self.budget.merging and _is_own(pause)
        (self.answered.add if pause is not None and _is_own(pause) else self.answered.discard)(name)
        at = "starts" if pause is None else f"{what}, {pause}" if what is not _GO else _GO
        spent = self.spent
        if not alone:
            if self.last is not None and name != self.last and self.last in self.waiting:
                spent = spent._replace(switches=(spent.switches or 0) + 1)
            self.last = name
        error: Exception | None = None
        if what is _CRASH:
            self.spent = spent._replace(crashes=spent.crashes + 1)
            self._end(name, at, Ending(crashed=True))
            return
        if what is _LOSE:
            spent = spent._replace(lost_answers=spent.lost_answers + 1)
            error = OutcomeUnknown(f"the answer of {pause} was lost, as the schedule says")
        elif what is _REFUSE:
            spent = spent._replace(refusals=spent.refusals + 1)
            error = Unavailable(f"{pause} was refused, as the schedule says")
        self.spent = spent
        self._resume(name, at, error)

    def _resume(self, name: str, at: str, error: Exception | None) -> None:
        actor = self.world.actors[name]
        try:
            reached: object = actor.send(None) if error is None else actor.throw(error)
        except StopIteration as stop:
            self._end(name, f"{at}, and returns {stop.value!r}", Ending(stop.value))
        except EventSourceError as raised:
            self._end(name, f"{at}, and raises {type(raised).__name__}", Ending(error=raised))
        except Exception as raised:
            self.steps.append(f"{name} {at}, and raises {raised!r}")
            raise self._failed(f"{name} raised {raised!r}") from raised
        else:
            if not isinstance(reached, Pause):
                raise TypeError(f"{name} waits for something other than a pausing backend: {reached!r}")
            self.waiting[name] = reached
            if reached.moment is Moment.BEFORE:
                self.arrived.add(name)
            self.steps.append(f"{name} {at} until {reached}")

    def _end(self, name: str, step: str, ending: Ending) -> None:
        del self.waiting[name]
        self.endings[name] = ending
        self.steps.append(f"{name} {step}")

    def _failed(self, reason: str) -> ScheduleFailed:
        return ScheduleFailed(reason, self.steps, [choice for choice, _ in self.taken])
