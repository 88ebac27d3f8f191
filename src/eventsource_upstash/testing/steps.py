"""One schedule of a world: what its actors did, step by step, and what else could have happened at each of them."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Hashable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple, TypeAlias

from ..errors import EventSourceError, OutcomeUnknown, Unavailable
from .fingerprints import fingerprint
from .pausing import UNTOLD, Moment, Pause

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
        shared: Answers all that the actors share, and all that the check looks at beside how they ended. Where it is
            given, a schedule that comes to a state in which another one has been is not run to its end: it can only go
            on as that one did.
    """

    actors: Mapping[str, Actor]
    check: Callable[[Endings], None]
    shared: Callable[[], object] | None = None


class Explored(NamedTuple):
    """What `explore` has tried.

    Attributes:
        schedules: How many orders there were. All of them passed.
        crashes: How many of them had an actor crash.
        lost_answers: How many had an answer lost.
        refusals: How many had a call refused.
        runs: How many of them were run, as a whole or up to a state that is known, where the world tells what is
            `shared`; 0 where each of them was run to its end.
    """

    schedules: int
    crashes: int = 0
    lost_answers: int = 0
    refusals: int = 0
    runs: int = 0

    def plus(self, other: Explored) -> Explored:
        """Both of them together."""
        return Explored(*(left + right for left, right in zip(self, other, strict=True)))


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


class Choice(NamedTuple):
    """What was chosen of how many options, and where.

    Attributes:
        taken: The number of the option.
        options: How many there were.
        state: Where everybody was; None where that is not told, or there was nothing to choose.
        learned: What each actor had learned, and the answers that were due.
    """

    taken: int
    options: int
    state: Hashable = None
    learned: tuple[Mapping[str, bytes], Mapping[str, bytes]] = ({}, {})


class Run:
    """One schedule: the choices that are given, and then the first option each time.

    Args:
        world: What is run.
        prefix: The choices that it begins with.
        budget: What may go wrong in it.
        known: What follows from states that were seen, where the world tells them.
    """

    def __init__(
        self, world: World, prefix: Sequence[Choice], budget: Budget, known: Mapping[Hashable, Explored] | None = None
    ) -> None:
        self.world = world
        self.known: Mapping[Hashable, Explored] | None = known if world.shared is not None else None
        self.budget = budget
        self.spent: Budget = Budget(switches=0)
        self.prefix = prefix
        self.taken: list[Choice] = []
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
        # What each has learned so far, and the answer that it has not been given yet: where an actor is, and what it
        # will do, follows from it. Of one that has ended, how.
        self.learned: dict[str, bytes] = dict.fromkeys(world.actors, b"")
        self.due: dict[str, bytes] = {}

    def to_the_end(self) -> Explored:
        """Resume the actors until all have ended, and check. Answers how many schedules that is.

        That is one; none when it turns out to be like one before it; or all that follow from a state that is known.
        """
        try:
            while self.waiting:
                options = self._options()
                if not options:
                    return Explored(0)
                state = self._state() if len(options) > 1 and len(self.taken) >= len(self.prefix) else None
                if state is not None and self.known is not None and state in self.known:
                    return self.known[state]
                choice = self._choose(len(options), state)
                if self.budget.merging:
                    self._sleep(options, choice)
                self._step(*options[choice])
            if len(self.taken) < len(self.prefix):
                raise RuntimeError(_ANOTHER_WORLD)
            self.world.check(self.endings)
            spent = self.spent
            return Explored(1, spent.crashes > 0, spent.lost_answers > 0, spent.refusals > 0)
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

    def _state(self) -> Hashable:
        """Where everybody is. What follows from two that are equal is the same; None where the world tells nothing."""
        shared, budget = self.world.shared, self.budget
        if self.known is None or shared is None:
            return None
        actors = tuple(
            (self.learned[name], name in self.arrived, name in self.answered, name in self.asleep, self.due.get(name))
            for name in self.world.actors
        )
        if budget.switches is None:
            return fingerprint(shared()), actors, self.spent._replace(switches=None)
        return fingerprint(shared()), actors, self.spent, self.last

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

    def _choose(self, count: int, state: Hashable) -> int:
        depth = len(self.taken)
        choice = self.prefix[depth].taken if depth < len(self.prefix) else 0
        if choice >= count:
            raise RuntimeError(_ANOTHER_WORLD)
        self.taken.append(
            Choice(choice, count, state, (dict(self.learned), dict(self.due)) if state is not None else ({}, {}))
        )
        if depth + 1 == len(self.prefix):
            learned, due = self.prefix[depth].learned
            self.learned.update(learned)
            self.due.update(due)
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
        actor, pause = self.world.actors[name], self.waiting[name]
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
            self._learn(name, pause, error, waits_for_answer=reached.moment is Moment.AFTER)
            if reached.moment is Moment.BEFORE:
                self.arrived.add(name)
            self.steps.append(f"{name} {at} until {reached}")

    def _learn(self, name: str, pause: Pause | None, error: Exception | None, *, waits_for_answer: bool) -> None:
        """Note what an actor has been told by being resumed."""
        if self.known is None or pause is None or len(self.taken) < len(self.prefix):
            return
        due = self.due.pop(name, b"")
        told = f"{pause} {type(error).__name__}".encode() + (due if error is None else b"")
        if error is None and pause.moment is Moment.BEFORE and pause.call != "sleep":
            if pause.answer is UNTOLD:
                raise TypeError(
                    f"a pause {pause} does not tell its answer; states are told by what actors have learned"
                )
            if waits_for_answer:
                self.due[name] = fingerprint(pause.answer)
            else:
                told += fingerprint(pause.answer)
        self.learned[name] = fingerprint((self.learned[name], told))

    def _end(self, name: str, step: str, ending: Ending) -> None:
        if self.known is not None and len(self.taken) >= len(self.prefix):
            self.due.pop(name, None)
            self.learned[name] = fingerprint(ending)
        del self.waiting[name]
        self.endings[name] = ending
        self.steps.append(f"{name} {step}")

    def _failed(self, reason: str) -> ScheduleFailed:
        return ScheduleFailed(reason, self.steps, [each.taken for each in self.taken])
