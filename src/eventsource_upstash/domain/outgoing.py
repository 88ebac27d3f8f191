"""Reactions on their way: what a reactor decided, encoded, as its outbox keeps it until it is carried out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias, TypeVar, cast

import msgspec

from ..errors import Misuse
from .aggregates import Aggregate
from .codec import Codec, encode_metadata
from .event_types import EventTypes
from .events import Expectation, NewEvent, Recorded
from .names import check_stream, check_tags
from .personal import is_personal
from .reactions import Append, Execute, Reaction, Send
from .sending import MAX_MESSAGE_BYTES, check_destination, check_headers, check_retries, due_us, encode_body
from .telling import without_header_values

S = TypeVar("S")

Kind: TypeAlias = Literal["append", "execute", "send"]


class NotHere(Misuse):
    """This process cannot carry out a reaction, and one with other code or another configuration can: it waits."""


class OutgoingEvent(msgspec.Struct, frozen=True, omit_defaults=True):
    """An event that is to be appended, as it will stand in the log.

    Attributes:
        type: Its type name.
        version: The schema version that it was encoded in.
        payload: Its JSON.
        tags: What it can be found by: what its type declares, and what the reaction adds.
    """

    type: str
    version: int
    payload: str
    tags: tuple[str, ...] = ()


class Outgoing(msgspec.Struct, frozen=True, omit_defaults=True):
    """A reaction that was decided and is to be carried out, complete in itself.

    Attributes:
        id: Derived from reactor, event and ordinal: idempotency key of an append or a command, id of a message.
        kind: What it is.
        position: Position of the event that it is the reaction to.
        source: That event's stream.
        type: That event's type.
        target: The stream that is appended to or executed on, or the URL that is sent to.
        events: What is to be appended.
        expected: The revision that the stream has to be at, or the name of an expectation.
        aggregate: Name of the aggregate of a command.
        command: Name of the command's class.
        payload: The command as JSON.
        metadata: Metadata as JSON; empty for none.
        tags: Tags of what a command decides.
        body: What is sent.
        headers: What goes with it, names in lower case.
        due_us: When it is due, in microseconds since 1970; 0 for at once.
        retries: How often a delivery that failed is tried again; None for the carrier's own measure.
    """

    id: str
    kind: Kind
    position: int
    source: str
    type: str
    target: str
    events: tuple[OutgoingEvent, ...] = ()
    expected: int | str = "ANY"
    aggregate: str = ""
    command: str = ""
    payload: str = ""
    metadata: str = ""
    tags: tuple[str, ...] = ()
    body: bytes = b""
    headers: dict[str, str] = {}
    due_us: int = 0
    retries: int | None = None

    def __repr__(self) -> str:
        return without_header_values(self)

    @property
    def new_events(self) -> list[NewEvent]:
        """The events as a log takes them."""
        return [(each.type, each.version, each.payload.encode()) for each in self.events]

    @property
    def expected_revision(self) -> int | Expectation:
        """The expectation as a log takes it."""
        return self.expected if isinstance(self.expected, int) else Expectation[self.expected]


class Encoding:
    """Encodes what the handlers of a reactor answer.

    Args:
        types: The event types of its registry.
        reactor: The reactor's name.
    """

    def __init__(self, types: EventTypes, reactor: str) -> None:
        self._types = types
        self._reactor = reactor
        self._commands: dict[tuple[str, type], Codec[object]] = {}
        self._personal: dict[type, bool] = {}

    def encode(self, answered: object, recorded: Recorded[object], where: str) -> list[Outgoing]:
        """What a handler answered, as it is kept.

        Args:
            answered: A reaction, several, or None.
            recorded: The event that it is the reaction to.
            where: How to call the handler in an error.

        Raises:
            TypeError: It answered something else.
            Misuse: A reaction that cannot be one: an event or a command that cannot be stored, a name that can be none.
        """
        reactions = _several(answered, where)
        event_id = recorded.id
        found: list[Outgoing] = []
        for ordinal, reaction in enumerate(reactions):
            known = Outgoing(
                f"{self._reactor}-{event_id}-{ordinal}", "send", recorded.position, recorded.stream, recorded.type, ""
            )
            match reaction:
                case Append():
                    found.append(self._append(reaction, known, where))
                case Execute():
                    found.append(self._execute(reaction, known, where))
                case Send():
                    self._check_clear(type(reaction.body), f"{where}: Send of a {type(reaction.body).__name__}")
                    found.append(_send(reaction, known, recorded.recorded_us, where))
        return found

    def _append(self, reaction: Append, known: Outgoing, where: str) -> Outgoing:
        check_stream(reaction.stream)
        tags = _tags(reaction.tags, where)
        if not reaction.events:
            raise Misuse(f"{where}: Append to stream {reaction.stream!r} without an event; hand it at least one")
        events: list[OutgoingEvent] = []
        for event in reaction.events:
            of = self._types.of(event)
            if of.personal is not None:
                raise Misuse(
                    f"{where}: Append of event type {of.name!r}, which holds personal data: until it is appended it "
                    "would be kept in clear, also of somebody who is forgotten. Execute a command without any"
                )
            events.append(OutgoingEvent(of.name, of.version, of.encode(event).decode(), of.tags_of(event, tags)))
        expected = reaction.expected_revision
        if not isinstance(expected, Expectation) and (type(expected) is not int or expected < 0):
            raise Misuse(f"{where}: Append(expected_revision={expected!r}): it is a revision from 0, EXISTS or ANY")
        return msgspec.structs.replace(
            known,
            kind="append",
            target=reaction.stream,
            events=tuple(events),
            expected=expected.name if isinstance(expected, Expectation) else expected,
            metadata=_metadata(reaction.metadata),
        )

    def _execute(self, reaction: Execute[object], known: Outgoing, where: str) -> Outgoing:
        aggregate = reaction.aggregate
        if not isinstance(cast("object", aggregate), Aggregate):
            raise Misuse(f"{where}: Execute({aggregate!r}): it is given what registry.aggregate(...) answered")
        if aggregate.types is not self._types:
            raise Misuse(f"{where}: Execute: aggregate {aggregate.name!r} belongs to another registry")
        check_stream(reaction.stream)
        cls = type(reaction.command)
        codec = self._commands.get((aggregate.name, cls))
        if codec is None:
            codec = self._codec_of(aggregate, cls, where)
        return msgspec.structs.replace(
            known,
            kind="execute",
            target=reaction.stream,
            aggregate=aggregate.name,
            command=cls.__name__,
            payload=codec.encode_checked(reaction.command).decode(),
            metadata=_metadata(reaction.metadata),
            tags=_tags(reaction.tags, where),
        )

    def _codec_of(self, aggregate: Aggregate[object], cls: type, where: str) -> Codec[object]:
        if cls not in aggregate.commands:
            raise Misuse(
                f"{where}: Execute: aggregate {aggregate.name!r} has no decide handler for {cls.__name__}; register "
                f"one with @{aggregate.name}.decide({cls.__name__})"
            )
        if not has_command(aggregate, cls.__name__):
            raise Misuse(
                f"{where}: Execute: aggregate {aggregate.name!r} has decide handlers for several classes called "
                f"{cls.__name__!r}: a command is kept under that name until it is executed. Give each class a name of "
                "its own"
            )
        self._check_clear(cls, f"{where}: Execute of command {cls.__name__}")
        codec: Codec[object] = Codec(cls, f"command {cls.__name__} of aggregate {aggregate.name!r}")
        self._commands[aggregate.name, cls] = codec
        return codec

    def _check_clear(self, cls: type, what: str) -> None:
        """Refuse what says of itself that it holds personal data: it would be kept in clear until it is done."""
        known = self._personal.get(cls)
        if known is None:
            known = self._personal[cls] = is_personal(cls)
        if known:
            raise Misuse(
                f"{what}, which holds personal data: until that is done it would be kept in clear, also of somebody "
                "who is forgotten. Hand on an id, by which whoever needs the data loads it"
            )


def command_class(aggregate: Aggregate[S], name: str) -> type:
    """The class of an aggregate's commands of that name.

    Raises:
        NotHere: There is none, or there are two.
    """
    found = _commands(aggregate, name)
    if len(found) != 1:
        how = f"{len(found)} decide handlers for classes called" if found else "no decide handler for a class called"
        raise NotHere(
            f"aggregate {aggregate.name!r} has {how} {name!r}: a command that a reactor executes is kept under that "
            "name until it is executed. Give each class a name of its own, and keep it; or give the command up: "
            "app.reactions.discard(reactor, key=...)"
        )
    return found[0]


def has_command(aggregate: Aggregate[S], name: str) -> bool:
    """Whether an aggregate decides on commands of a class of that name, and of one only."""
    return len(_commands(aggregate, name)) == 1


def _commands(aggregate: Aggregate[S], name: str) -> list[type]:
    return [cls for cls in aggregate.commands if cls.__name__ == name]


def decode_command(aggregate: Aggregate[S], outgoing: Outgoing) -> object:
    """The command of a reaction.

    Raises:
        NotHere: Its class is not here: not yet, or not any more.
        Misuse: Its class has changed.
    """
    cls = command_class(aggregate, outgoing.command)
    codec: Codec[object] = Codec(cls, f"command {cls.__name__} of aggregate {aggregate.name!r}")
    try:
        return codec.decode(outgoing.payload.encode())
    except Exception as error:
        raise Misuse(
            f"command {cls.__name__} of aggregate {aggregate.name!r} was decided for event {outgoing.type!r} at "
            f"position {outgoing.position}, and its class has changed since: it does not decode "
            f"({type(error).__name__}). Give new fields a default"
        ) from error


def _send(reaction: Send, known: Outgoing, recorded_us: int, where: str) -> Outgoing:
    try:
        check_destination(reaction.url)
        check_retries(reaction.retries)
        body = encode_body(reaction.body)
        headers = check_headers(reaction.headers, body=reaction.body)
        due = due_us(reaction.delay, reaction.not_before, recorded_us)
    except Misuse as error:
        raise Misuse(f"{where}: Send: {error}") from None
    if len(body) > MAX_MESSAGE_BYTES:
        raise Misuse(f"{where}: Send: the body has {len(body)} bytes, at most {MAX_MESSAGE_BYTES} are carried")
    return msgspec.structs.replace(
        known, target=reaction.url, body=body, headers=headers, due_us=due, retries=reaction.retries
    )


def _metadata(metadata: Mapping[str, object]) -> str:
    return encode_metadata(metadata).decode() if metadata else ""


def _tags(tags: Sequence[str], where: str) -> tuple[str, ...]:
    if isinstance(cast("object", tags), (str, bytes)):
        raise Misuse(f"{where}: tags={tags!r}: tags are several strings, as in tags=({tags!r},)")
    given = tuple(tags)
    check_tags(given)
    return tuple(dict.fromkeys(given))


def _several(answered: object, where: str) -> Sequence[Reaction]:
    if answered is None:
        return ()
    if isinstance(answered, (Append, Execute, Send)):
        return (cast("Append | Execute[object] | Send", answered),)
    if isinstance(answered, (list, tuple)):
        given = cast("Sequence[object]", answered)
        wrong = next((each for each in given if not isinstance(each, (Append, Execute, Send))), None)
        if wrong is None and None not in given:
            return cast("Sequence[Reaction]", given)
        answered = wrong
    raise TypeError(
        f"{where} answered a {type(answered).__name__}; it answers Append, Execute or Send, a list of them, or None"
    )
