"""Does a behaviour of the TLA+ model again with the real protocol, and compares the two after every action.

An action of the model is one call that reaches the log, the views or the carrier. The real appenders and workers are
coroutines that stop before and after each such call, so that the trace says whose call is next, what becomes of it,
and what the log, the views and the carrier hold then.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

from eventsource_upstash import EventSourceError, EventStore, OutcomeUnknown, ProjectionStore, Unavailable
from eventsource_upstash._io import blocking
from eventsource_upstash.ports import Backend
from eventsource_upstash.testing import pausing
from eventsource_upstash.testing.pausing import Moment, Pause, Pauses
from tests.models.traces import ACTORS, Step
from tests.stepping.model import LOST_AFTER_US
from tests.stepping.notified import Message, Notified, Wishes
from tests.stepping.subject import Paid

# What a coroutine is about to do, as the model names it. To load documents tells nobody anything.
WAITS: Final = {
    "log.append": "append",
    "notices.send": "send",
    "log.withdraw": "withdraw",
    "views.pull": "pull",
    "views.commit": "commit",
}
READ: Final = {"p1": "balances", "p2": "ledger"}
SAME: Final = {"publish": "send", "notify": "send", "unknown": "append", "dead": "idle"}


class Actor:
    """An appender or a worker: a coroutine at a pause.

    Attributes:
        running: The coroutine; None while there is nothing to do.
        pause: Where it waits.
        ended: What it answered last.
    """

    def __init__(self) -> None:
        self.running: Coroutine[Any, Any, object] | None = None
        self.pause: Pause | None = None
        self.ended: object = None

    @property
    def waits(self) -> str:
        return "idle" if self.pause is None else WAITS[self.pause.call]

    def begin(self, running: Coroutine[Any, Any, object]) -> None:
        """Begin, up to the first call."""
        self.running = running
        self._resume(None)
        self._skip()

    def call(self) -> None:
        """Let the call be done, and go on to the next one."""
        self._resume(None)
        self._resume(None)
        self._skip()

    def lose(self) -> None:
        """Let the call be done, and its answer be lost."""
        self._resume(None)
        self._resume(OutcomeUnknown("the answer was lost, as the trace says"))
        self._skip()

    def refuse(self) -> None:
        """Let the call fail, undone."""
        self._resume(Unavailable("refused, as the trace says"))
        self._skip()

    def die(self) -> None:
        """Drop it where it is."""
        assert self.running is not None
        self.running.close()
        self.running = self.pause = None

    def _skip(self) -> None:
        while self.pause is not None and self.pause.call not in WAITS:
            self._resume(None)
        assert self.pause is None or self.pause.moment is Moment.BEFORE

    def _resume(self, error: EventSourceError | None) -> None:
        assert self.running is not None
        try:
            self.pause = self.running.send(None) if error is None else self.running.throw(error)
        except StopIteration as stop:
            self.ended, self.running, self.pause = stop.value, None, None


class Traced:
    """One run of the world, as a trace says.

    Args:
        backend: Where everything is; nobody has used it.
        outstanding: Answers the position of the notification that is outstanding there, 0 for none.
        wishes: What is in it.
    """

    def __init__(self, backend: Backend, outstanding: Callable[[], int], wishes: Wishes) -> None:
        pauses = Pauses(after=True, inside=False)
        stepped = pausing(backend, after=True)
        self.world = Notified(backend, stepped, pauses, wishes)
        self.outstanding = outstanding
        self.actors: dict[str, Actor] = {}
        self.messages: dict[str, Message] = {}
        self.appends = 0

    def run(self, trace: Sequence[Step]) -> None:
        """Do each action, and compare what it leads to."""
        names: list[str] = []
        for step in trace:
            names.append(f"{step.name} {step.who}".strip())
            self.do(step)
            found, wanted = self.seen(), self.wanted(step)
            assert found == wanted, f"after {', '.join(names)}: there is {found}, and the model has {wanted}"
        self.world.carrier.pauses = None

    def do(self, step: Step) -> None:
        actor = self.actors.setdefault(step.who, Actor())
        getattr(self, "do" + re.sub("([A-Z])", r"_\1", step.name).lower(), self.do_call)(actor, step)
        if step.who in self.messages and actor.running is None:  # a delivery is answered
            message = self.messages.pop(step.who)
            if actor.ended == 200 and message in self.world.carrier.waiting:
                self.world.carrier.waiting.remove(message)

    def seen(self) -> dict[str, object]:
        """What there is, in the words of the model."""
        status = ProjectionStore(self.world.backend, self.world.registry).status()
        return {
            "head": self.head(),
            "flag": self.outstanding(),
            "checkpoints": [each.checkpoint for each in sorted(status, key=lambda each: each.name)],
            "queue": sorted(map(self.named, self.world.carrier.waiting)),
            "waits": [self.actors[who].waits if who in self.actors else "idle" for who in ACTORS],
        }

    def head(self) -> int:
        return EventStore(self.world.backend, self.world.registry).head()

    def wanted(self, step: Step) -> dict[str, object]:
        """What the model has."""
        return {
            "head": step.head,
            "flag": step.flag,
            "checkpoints": step.checkpoints,
            "queue": [tuple(each) for each in step.queue],
            "waits": [SAME.get(each, each) for each in step.waits],
        }

    def named(self, message: Message) -> tuple[int, int]:
        """A message as the model has it: its position, and how many of that position were sent before it."""
        alike = [each for each in self.world.carrier.sent if each.position == message.position]
        return message.position, alike.index(message)

    def found(self, step: Step) -> Message:
        return next(each for each in self.world.carrier.sent if self.named(each) == step.what)

    def do_call(self, actor: Actor, step: Step) -> None:
        assert step.name in ("Repeat", "Publish", "Withdraw", "Pull", "Commit", "Notify"), step.name
        actor.call()

    def do_append(self, actor: Actor, step: Step) -> None:
        self.appends += 1
        # The stream is new each time, so that its first idempotency key is, too.
        actor.begin(self.world.appender(f"{step.who}-{self.appends}", 1))
        actor.call()

    def do_append_unknown(self, actor: Actor, step: Step) -> None:
        self.appends += 1
        actor.begin(self.world.appender(f"{step.who}-{self.appends}", 1))
        actor.lose()

    def do_publish_unknown(self, actor: Actor, step: Step) -> None:
        actor.lose()

    def do_publish_refused(self, actor: Actor, step: Step) -> None:
        actor.refuse()

    def do_withdraw_refused(self, actor: Actor, step: Step) -> None:
        actor.refuse()

    def do_appender_dies(self, actor: Actor, step: Step) -> None:
        actor.die()

    def do_deliver(self, actor: Actor, step: Step) -> None:
        message = self.found(step)
        assert message in self.world.carrier.waiting
        self.do_deliver_again(actor, step)

    def do_deliver_again(self, actor: Actor, step: Step) -> None:
        message = self.messages[step.who] = self.found(step)
        actor.begin(self.world._answered(self.world.stepped, message))

    def do_worker_fails(self, actor: Actor, step: Step) -> None:
        """Killed, and every other time a call of it fails."""
        if self.appends % 2:
            actor.die()
            del self.messages[step.who]
        else:
            actor.refuse()
            assert actor.ended == 500

    def do_give_up(self, actor: Actor, step: Step) -> None:
        self.world.carrier.waiting.remove(self.found(step))

    def do_expire(self, actor: Actor, step: Step) -> None:
        self.world.now_us += LOST_AFTER_US + 1_000_000

    def do_read(self, actor: Actor, step: Step) -> None:
        views = ProjectionStore(self.world.still, self.world.registry)
        projection = {each.name: each for each in self.world.registry.projections}[READ[step.who]]
        views.view(projection).count(at_least=self.head())

    def do_heal(self, actor: Actor, step: Step) -> None:
        pauses, self.world.carrier.pauses = self.world.carrier.pauses, None
        blocking.run(self.world.store(self.world.still).append("healing", Paid(1)))
        self.world.carrier.pauses = pauses
