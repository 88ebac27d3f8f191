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
failure at each of them. A world that tells what its actors share (`World.shared`) is run further still: a schedule ends
where it comes to a state in which another one has been.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

from .steps import Actor, Budget, Choice, Ending, Endings, Explored, Run, ScheduleFailed, World, drop

__all__ = ["Actor", "Ending", "Endings", "Explored", "ScheduleFailed", "World", "drop", "explore", "replay"]


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
    known: dict[Hashable, Explored] = {}
    path: list[Choice] = []
    found = [Explored(0)]  # what there was in all, and then below each choice of the path
    runs = 0
    while True:
        run = Run(world(), path, budget, known)
        ended = run.to_the_end()
        runs += run.world.shared is not None
        found += [Explored(0)] * (len(run.taken) - len(path))
        path += run.taken[len(path) :]
        found[-1] = found[-1].plus(ended)
        while path and path[-1].taken + 1 == path[-1].options:
            below, state = found.pop(), path.pop().state
            if state is not None:
                known[state] = below
            found[-1] = found[-1].plus(below)
        if not path:
            return found[0]._replace(runs=runs)
        path[-1] = path[-1]._replace(taken=path[-1].taken + 1)


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
    prefix = [Choice(each, each + 1) for each in choices]
    run = Run(world(), prefix, Budget(crashes, lost_answers, refusals, switches, merging))
    run.to_the_end()
    return run.steps
