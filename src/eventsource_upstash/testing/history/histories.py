"""A history: the operations of all processes, put together from their records."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec
from typing_extensions import Self

from .recorder import Recorder
from .records import UNKNOWN, Answered, AppendCall, Begun, Invoked, Operation, Record

_decoder: msgspec.json.Decoder[Record] = msgspec.json.Decoder(Begun | Invoked | Answered)


class History:
    """What all processes of a workload did.

    Args:
        operations: Their operations, in any order.

    Attributes:
        operations: The same, in the order in which they began. Of an append that was tried again, under the same mark,
            all tries are one operation.
    """

    def __init__(self, operations: Iterable[Operation]) -> None:
        self.operations: tuple[Operation, ...] = tuple(sorted(_merged(operations), key=lambda each: each.invoked))

    def __repr__(self) -> str:
        return f"History({len(self.operations)} operations)"

    @classmethod
    def read(cls, folder: str | Path) -> Self:
        """Read the files of the recorders, all `*.jsonl` of a folder.

        A line that was cut off, by a kill, is left out: what it would have said is unknown then.

        Raises:
            ValueError: A file holds something else.
        """
        return cls(each for path in sorted(Path(folder).glob("*.jsonl")) for each in _operations(_records(path)))

    @classmethod
    def of(cls, *recorders: Recorder) -> Self:
        """What these recorders have recorded so far."""
        return cls(
            each
            for recorder in recorders
            for each in _operations(recorder.records if recorder.path is None else _records(recorder.path))
        )

    def __add__(self, other: History) -> History:
        """Both together."""
        return History([*self.operations, *other.operations])


def _records(path: Path) -> list[Record]:
    records: list[Record] = []
    torn: str | None = None
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        if not line:
            continue
        try:
            record = _decoder.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            if torn:
                raise ValueError(f"{torn} is no record, and it is not the end of a life") from error
            torn = f"{path}:{number}"
            continue
        if torn and not isinstance(record, Begun):
            raise ValueError(f"{torn} is no record, and it is not the end of a life")
        torn = None
        records.append(record)
    return records


def _operations(records: Sequence[Record]) -> Iterable[Operation]:
    process = ""
    open_: dict[int, Invoked] = {}
    for record in records:
        if isinstance(record, Begun):
            yield from _left(process, open_)
            process, open_ = record.process, {}
        elif isinstance(record, Invoked):
            open_[record.number] = record
        else:
            begun = open_.pop(record.number)
            # What nobody knows may yet happen, so it has no end either.
            returned = None if record.answer.outcome == "unknown" else record.at
            yield Operation(process, begun.call, begun.at, returned, record.answer)
    yield from _left(process, open_)


def _left(process: str, open_: dict[int, Invoked]) -> Iterable[Operation]:
    return (Operation(process, each.call, each.at, None, UNKNOWN) for each in open_.values())


def _merged(operations: Iterable[Operation]) -> Iterable[Operation]:
    tries: dict[str, list[Operation]] = {}
    for operation in operations:
        if isinstance(operation.call, AppendCall):
            tries.setdefault(operation.call.mark, []).append(operation)
        else:
            yield operation
    for same in tries.values():
        if len(same) == 1:
            yield same[0]
        else:
            yield from _together(same)


def _together(tries: list[Operation]) -> Iterable[Operation]:
    """An append that was tried several times: what is known of it as a whole."""
    first = min(tries, key=lambda each: each.invoked)
    if any(each.call != first.call for each in tries):
        raise ValueError(f"two different appends have one mark: {' and '.join(str(each) for each in tries)}")
    done = sorted((each for each in tries if each.answer.outcome == "ok"), key=lambda each: each.returned or 0)
    if done:
        yield first._replace(returned=done[0].returned, answer=done[0].answer)
        answer = done[0].answer
        # Told of two places, it may stand in two: both are looked for.
        told = (answer.position, answer.revision)
        yield from (each for each in done if (each.answer.position, each.answer.revision) != told)
    elif any(each.answer.outcome == "unknown" for each in tries):
        yield first._replace(returned=None, answer=UNKNOWN)
    else:
        yield max(tries, key=lambda each: each.returned or 0)._replace(invoked=first.invoked)
