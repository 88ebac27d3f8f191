"""The search answers what trying out every order answers, and copes with long histories."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations
from random import Random

from eventsource_upstash.testing.history.linearizing import Effect, Item, Refusal, Sight, Step, holds, search
from tests.searching import examples


def every_order(steps: Sequence[Step]) -> bool:
    """Whether any order of any choice of the unknown ones explains all: by trying, with nothing clever about it."""
    known = [step for step in steps if step.returned is not None]
    unknown = [step for step in steps if step.returned is None]
    for chosen in range(1 << len(unknown)):
        some = [*known, *(step for bit, step in enumerate(unknown) if chosen >> bit & 1)]
        if any(_in_time(order) and _explained(order) for order in permutations(some)):
            return True
    return False


def _in_time(order: Sequence[Step]) -> bool:
    return not any(
        later.returned is not None and later.returned < earlier.invoked
        for place, earlier in enumerate(order)
        for later in order[place + 1 :]
    )


def _explained(order: Sequence[Step]) -> bool:
    stream: list[Item] = []
    for step in order:
        what = step.what
        if isinstance(what, Effect):
            if not holds(what.expected, len(stream)) or what.start not in (None, len(stream)):
                return False
            stream += what.items
        elif isinstance(what, Refusal):
            if holds(what.expected, len(stream)) or what.actual not in (None, len(stream)):
                return False
        else:
            seen = stream[what.after :] if what.whole else stream[what.after : what.after + len(what.items)]
            if tuple(seen) != what.items:
                return False
    return True


def random_steps(random: Random, count: int, *, doctored: bool) -> list[Step]:
    """A few overlapping operations on a stream, answered rightly; or, doctored, one of them perhaps not."""
    stream: list[Item] = []
    steps: list[Step] = []
    for number in range(count):
        now = 10 * number
        invoked, returned = now - random.randrange(1, 30), now + random.randrange(1, 30)
        expected: int | str = random.choice(list[int | str](["any", "exists", len(stream), random.randrange(3)]))
        items = tuple((f"{number}", place) for place in range(1, random.randrange(2, 4)))
        kind = random.randrange(4)
        if kind == 0:
            after = random.randrange(len(stream) + 2)
            limit = random.randrange(1, 3)
            seen = tuple(stream[after:])
            steps.append(Step(Sight(after, seen[:limit], len(seen) < limit), invoked, returned))
        elif kind == 1:
            if random.random() < 0.5 and holds(expected, len(stream)):
                stream += items
            steps.append(Step(Effect(items, expected), invoked, None))
        elif holds(expected, len(stream)):
            start = random.choice([None, len(stream)])
            stream += items
            steps.append(Step(Effect(items, expected, start), invoked, returned))
        else:
            steps.append(Step(Refusal(expected, random.choice([None, len(stream)])), invoked, returned))
    if doctored:
        at = random.randrange(len(steps))
        steps[at] = _doctored(steps[at], random)
    return steps


def _doctored(step: Step, random: Random) -> Step:
    what = step.what
    if isinstance(what, Sight):
        return step._replace(what=what._replace(items=what.items[: random.randrange(3)], whole=True))
    if isinstance(what, Refusal):
        return step._replace(what=what._replace(actual=random.randrange(4)))
    expected: int | str = random.choice(list[int | str](["any", 0, 1]))
    return step._replace(what=what._replace(start=random.randrange(4), expected=expected))


def test_it_agrees_with_trying_every_order() -> None:
    random = Random(7)
    answers = {True: 0, False: 0}
    for number in range(examples(400)):
        steps = random_steps(random, random.randrange(1, 7), doctored=number % 2 == 1)
        expected = every_order(steps)
        assert (search(steps).stuck is None) == expected, steps
        answers[expected] += 1
    assert min(answers.values()) > 50, "both answers are common"


def long_steps(count: int) -> list[Step]:
    random, stream, steps = Random(1), list[Item](), list[Step]()
    for number in range(count):
        now = 10 * number
        invoked, returned = now - random.randrange(1, 90), now + random.randrange(1, 90)
        item = (f"{number}", 1)
        if number % 3 == 0:
            after = max(0, len(stream) - 3)
            steps.append(Step(Sight(after, tuple(stream[after:]), whole=True), invoked, returned))
        elif number % 17 == 0:
            if number % 2:
                stream.append(item)
            steps.append(Step(Effect((item,)), invoked, None))
        elif random.random() < 0.3:
            steps.append(Step(Refusal(len(stream) + 1, len(stream)), invoked, returned))
        else:
            steps.append(Step(Effect((item,), len(stream), len(stream)), invoked, returned))
            stream.append(item)
    return [*steps, Step(Sight(0, tuple(stream), whole=True), 10**12, 10**12 + 1)]


def test_a_long_history_needs_few_states() -> None:
    steps = long_steps(4_000)
    searched = search(steps)
    assert searched.stuck is None
    assert searched.steps < len(steps)


def test_what_is_wrong_with_a_long_history_is_found_as_soon() -> None:
    steps = long_steps(4_000)
    at = next(at for at in range(2_000, 4_000) if isinstance(steps[at].what, Sight))
    sight = steps[at].what
    assert isinstance(sight, Sight)
    steps[at] = steps[at]._replace(what=sight._replace(items=(*sight.items[:-1], ("nobody's", 1))))
    searched = search(steps)
    assert searched.stuck is not None
    assert "nobody's" in searched.stuck
    assert searched.steps < len(steps)


def test_it_gives_up_and_says_so() -> None:
    unknown = [Step(Effect(((f"{number}", 1),)), number, None) for number in range(12)]
    searched = search([*unknown, Step(Refusal(3, 99), 20, 21)], limit=500)
    assert searched.stuck is not None
    assert "undecided" in searched.stuck
