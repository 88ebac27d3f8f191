"""Reaction -> what it asks for: an append, a command, messages. Each under the id that was derived for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from .._io.port import Port
from ..domain.aggregates import Aggregate
from ..domain.codec import decode_metadata, encode_tags
from ..domain.events import Appended, Receipt
from ..domain.outgoing import NotHere, Outgoing, decode_command, has_command
from ..domain.registry import Registry
from ..errors import ConcurrencyError, Misuse, OutcomeUnknown, Unavailable, UnknownEventType
from ..ports import Backend, Message, Messages, NoticeTransport
from .delivering import Posting
from .executing import Attempt, Executing
from .handling import Handling

RETRIES: Final = 3
"""How often a command is decided again where others write its stream at the same time."""

PASSING: Final = (Unavailable, OutcomeUnknown, NotHere, UnknownEventType)
"""What may go better later, or in a process with newer code, as during a deploy. Whatever else is raised will be raised
again."""


def carrier(
    backend: Backend, transport: NoticeTransport | None, port: Port, clock: Callable[[], int]
) -> Messages | None:
    """What carries messages for an app of these parts: the transport, or the backend's mailbox, or None."""
    carries = None if transport is None else transport.messages(port)
    if carries is None and (mailbox := backend.mailbox(port)) is not None:
        return Posting(mailbox, clock)
    return carries


class Carrying:
    """Carries out reactions, one append or command at a time, messages together.

    Args:
        handling: Appends.
        executing: Executes.
        registry: The aggregates.
        messages: Answers what carries messages, or None; asked when there is one to be sent.
    """

    def __init__(
        self, handling: Handling, executing: Executing, registry: Registry, messages: Callable[[], Messages | None]
    ) -> None:
        self._handling = handling
        self._executing = executing
        self._registry = registry
        self._messages = messages

    async def publish(self, sends: Sequence[Outgoing]) -> Receipt:
        """Hand messages over to whoever carries them. Raises what `Messages.publish` does, and `NotHere`."""
        messages = self._messages()
        if messages is None:
            raise NotHere(
                "a reactor answered Send, and nobody carries messages here: hand the event store a notifier over "
                "QStash, as in EventStore(..., notifier=Notifier(QStash.from_env())), or Memory() or SQLite(...), "
                "which have a mailbox, or hand the projector messages="
            )
        try:
            return await messages.publish(
                [Message(each.id, each.target, each.body, each.headers, each.due_us, each.retries) for each in sends]
            )
        except Misuse as error:
            if any(each.target.startswith("/") for each in sends):  # where the app's jobs are is a matter of settings
                raise NotHere(str(error)) from error
            raise

    async def do(self, outgoing: Outgoing, attempt: Attempt) -> bool:
        """Append, or execute. Answers whether nothing in the log tells of it: it was a command that decided nothing.

        Args:
            outgoing: The reaction.
            attempt: Tells whether it is still to be carried out, and is told what was spent. Of a command it is asked
                after the state that it decides on was read: whoever saw it decide nothing, and took it out, may have
                gone on since.

        Raises:
            Overtaken: It is not to be carried out any more; nothing was done.
            Unavailable: Others were quicker each time.
            Exception: Whatever an append, or a decide handler, raises.
        """
        if outgoing.kind == "append":
            await self._append(outgoing, attempt)
            return False
        return await self._execute(outgoing, attempt)

    def is_private(self, outgoing: Outgoing) -> bool:
        """Whether the words of what goes wrong with it may tell personal data, as it was decrypted for an aggregate."""
        aggregate = self._aggregate(outgoing)
        return aggregate is not None and aggregate.personal

    def is_here(self, outgoing: Outgoing) -> bool:
        """Whether this process has what carries it out: the aggregate and the class of a command, a carrier."""
        if outgoing.kind == "execute":
            aggregate = self._aggregate(outgoing)
            return aggregate is not None and has_command(aggregate, outgoing.command)
        return outgoing.kind == "append" or self._messages() is not None

    def _aggregate(self, outgoing: Outgoing) -> Aggregate[object] | None:
        return next((each for each in self._registry.aggregates if each.name == outgoing.aggregate), None)

    async def _append(self, outgoing: Outgoing, attempt: Attempt) -> None:
        tags = [encode_tags(each.tags) for each in outgoing.events]
        append = self._handling.prepare(
            outgoing.target,
            outgoing.new_events,
            outgoing.expected_revision,
            outgoing.id,
            _metadata(outgoing),
            tags[0] if tags.count(tags[0]) == len(tags) else tags,
        )
        answer = await self._handling.submit(append)
        attempt.spent = answer.receipt
        if not isinstance(answer, Appended):
            raise self._handling.refusal(append, answer)

    async def _execute(self, outgoing: Outgoing, attempt: Attempt) -> bool:
        aggregate = self._aggregate(outgoing)
        if aggregate is None:
            raise NotHere(
                f"a command for aggregate {outgoing.aggregate!r} was decided for event {outgoing.type!r} at position "
                f"{outgoing.position}, and there is no aggregate of that name here. Keep it until nothing is pending, "
                "or give the command up: app.reactions.discard(reactor, key=...)"
            )
        command = decode_command(aggregate, outgoing)
        try:
            executed = await self._executing.execute(
                aggregate, outgoing.target, command, RETRIES, outgoing.id, _metadata(outgoing), outgoing.tags, attempt
            )
        except ConcurrencyError as error:
            raise Unavailable(f"others wrote stream {outgoing.target!r} each time; try again later") from error
        attempt.spent = executed.receipt
        return executed.position is None


def _metadata(outgoing: Outgoing) -> dict[str, object]:
    return dict(decode_metadata(outgoing.metadata.encode() or None))
