"""A corpus: events and documents as releases of an app have written them, which the code of today has to read.

```python
CORPUS = Path(__file__).parent / "corpus"


def test_what_older_releases_wrote_is_read() -> None:
    check_corpus(registry, CORPUS)
```

The files are committed and stay as they are. Each new schema version gets a file of its own, once: `add_to_corpus`
writes it, and never writes over another. A change of a class that old events do not fit is found by this test, and not
by the projection that stops at them.

A file holds samples of one version:

```json
{
  "event": "task-created",
  "version": 1,
  "samples": [{"id": "1", "text": "Do the dishes!"}]
}
```

`event` is the type's name as it was recorded, or `projection` stands there, with a projection's name, for documents.
Files may be named, and be in folders, as one likes; `add_to_corpus` calls them `events/task-created.v1.json`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NamedTuple
from urllib.parse import quote

import msgspec

from ..domain.codec import reason
from ..domain.projections import Projection
from ..domain.registry import Registry
from ..errors import Misuse

__all__ = ["add_to_corpus", "check_corpus"]


class _File(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A file of a corpus."""

    version: Annotated[int, msgspec.Meta(ge=1)]
    samples: Annotated[list[msgspec.Raw], msgspec.Meta(min_length=1)]
    event: str | None = None
    projection: str | None = None


class _Kept(NamedTuple):
    """What the files of a corpus hold, and which of them are none."""

    files: dict[str, _File]
    broken: list[str]


def check_corpus(registry: Registry, folder: str | os.PathLike[str]) -> Mapping[str, tuple[object, ...]]:
    """Check that a registry reads what is in a corpus, and that the corpus has what the registry writes.

    - Each sample of an event decodes, through the upcasters, as the class of today. Those of ignored types need not.
    - Each sample of a document decodes, where it is of the projection's present version; an older version's view is not
      read any more.
    - The present version of each event type has a sample, under its present name. So has that of each projection which
      has any.

    Args:
        registry: The app's.
        folder: Where the `.json` files are, in it or in folders in it.

    Returns:
        What was read, by file: instances of the classes of today, to look at what the upcasters made of them.

    Raises:
        AssertionError: Something is not so. It tells all that is wrong: type, version, file and remedy of each.
    """
    root = Path(folder)
    kept = _load(root)
    problems = list(kept.broken)
    read: dict[str, tuple[object, ...]] = {}
    for name, file in kept.files.items():
        instances = list(_read(registry, name, file, problems))
        read[name] = tuple(instances)
    problems += _missing(registry, kept.files.values())
    if problems:
        listed = "".join(f"\n- {problem}" for problem in problems)
        raise AssertionError(f"the corpus in {root.name!r} and the registry do not fit:{listed}")
    return read


def add_to_corpus(
    registry: Registry,
    folder: str | os.PathLike[str],
    *events: object,
    documents: Mapping[Projection[Any], Sequence[object]] | None = None,  # Any: of whatever document each is
) -> tuple[Path, ...]:
    """Add samples of the present versions to a corpus, where it has none yet. No file is ever written over.

    For a script that is run when a version is new, with a sample or two of every event type: it writes what is missing.

    Args:
        registry: The app's.
        folder: Where the corpus is, or is to be.
        *events: Events, such as an app would append. Those of one type come into one file.
        documents: Documents by projection.

    Returns:
        The files that were written; none where the corpus had samples of all these versions.

    Raises:
        Misuse: An event or a document is not of the registry.
        InvalidEvent: One could not be stored and read back as it is.
    """
    root = Path(folder)
    kept = _load(root) if root.exists() else _Kept({}, [])
    if kept.broken:
        raise Misuse(f"nothing is added to a corpus with files that are none: {'; '.join(kept.broken)}")
    new: dict[tuple[str, str, int], list[msgspec.Raw]] = {}
    for event in events:
        known = registry.types.of(event)
        new.setdefault(("event", known.name, known.version), []).append(msgspec.Raw(known.encode(event)))
    for projection, samples in (documents or {}).items():
        if not any(projection is each for each in registry.projections):
            raise Misuse(f"{projection!r} is no projection of this registry")
        encoded = [_encode_document(projection, each) for each in samples]
        if encoded:
            new["projection", projection.name, projection.version] = encoded
    there = {_identity(file) for file in kept.files.values()}
    return tuple(
        _write(root, kind, name, version, samples)
        for (kind, name, version), samples in new.items()
        if (kind, name, version) not in there
    )


def _encode_document(projection: Projection[object], document: object) -> msgspec.Raw:
    if type(document) is not projection.document:
        raise Misuse(
            f"projection {projection.name!r}: a sample is a {projection.document.__name__}, not a "
            f"{type(document).__name__}"
        )
    return msgspec.Raw(projection.codec.encode_checked(document))


def _write(root: Path, kind: str, name: str, version: int, samples: list[msgspec.Raw]) -> Path:
    # A type's name may hold what a file's may not.
    path = root / f"{kind}s" / f"{quote(name, safe='')}.v{version}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    encoded = msgspec.json.format(msgspec.json.encode({kind: name, "version": version, "samples": samples}), indent=2)
    with path.open("xb") as file:
        file.write(encoded + b"\n")
    return path


def _load(root: Path) -> _Kept:
    kept = _Kept({}, [])
    if not root.is_dir():
        kept.broken.append(f"there is no folder {root.name!r}; add_to_corpus(registry, folder, event, ...) makes one")
    for path in sorted(root.rglob("*.json")):
        name = path.relative_to(root).as_posix()
        try:
            file = msgspec.json.decode(path.read_bytes(), type=_File)
        except msgspec.MsgspecError as error:
            kept.broken.append(f"{name} is no file of a corpus: {reason(error)}")
            continue
        if (file.event is None) is (file.projection is None):
            kept.broken.append(f"{name} is no file of a corpus: it names either an event or a projection")
            continue
        kept.files[name] = file
    return kept


def _identity(file: _File) -> tuple[str, str, int]:
    kind, name = ("projection", file.projection) if file.event is None else ("event", file.event)
    return (kind, name or "", file.version)


def _read(registry: Registry, name: str, file: _File, problems: list[str]) -> Iterator[object]:
    if file.event is not None:
        yield from _read_events(registry, name, file.event, file, problems)
    else:
        yield from _read_documents(registry, name, file, problems)


def _read_events(registry: Registry, name: str, type: str, file: _File, problems: list[str]) -> Iterator[object]:
    what = f"{name}: event type {type!r}, version {file.version}"
    if type in registry.types.ignored:
        return
    known = registry.types.by_name.get(type)
    if known is None:
        problems.append(
            f"{what}: it is not registered; register its class again, name it in formerly=({type!r},) of the type that "
            f"it is called now, or declare registry.ignore({type!r}) if its events do not matter any more"
        )
        return
    if file.version > known.version:
        problems.append(
            f"{what}: the registry knows it up to version {known.version} only, and a version is never taken back; "
            f"register it with version={file.version} or above, and the upcasters that lead there"
        )
        return
    remedy = (
        f"if the class changed, give it version={known.version + 1} and an upcaster from_version={known.version}"
        if file.version == known.version
        else f"mend the upcasters from version {file.version} to {known.version}"
    )
    yield from _decode(partial(known.decode_version, file.version), file.samples, what, remedy, problems)


def _read_documents(registry: Registry, name: str, file: _File, problems: list[str]) -> Iterator[object]:
    what = f"{name}: projection {file.projection!r}, version {file.version}"
    projection = next((each for each in registry.projections if each.name == file.projection), None)
    if projection is None:
        problems.append(f"{what}: it is not registered; where nobody reads its view any more, delete the file")
        return
    if file.version > projection.version:
        problems.append(
            f"{what}: the registry has version {projection.version}, and a version is never taken back; raise it above "
            f"{file.version}"
        )
        return
    if file.version < projection.version:
        return  # another view, which is built from the events
    remedy = f"give the projection version={projection.version + 1}, so that its view is built anew"
    yield from _decode(projection.codec.decode, file.samples, what, remedy, problems)


def _decode(
    decode: Callable[[bytes], object], samples: Sequence[msgspec.Raw], what: str, remedy: str, problems: list[str]
) -> Iterator[object]:
    for index, sample in enumerate(samples):
        try:
            instance = decode(bytes(sample))
        except Exception as error:  # noqa: PERF203  # each of them is told
            problems.append(f"{what}, sample {index}: {reason(error)}; {remedy}")
        else:
            yield instance


def _missing(registry: Registry, files: Iterable[_File]) -> Iterator[str]:
    """What the registry writes, and the corpus has no sample of."""
    there = {_identity(file) for file in files}
    for known in registry.types.by_class.values():
        if ("event", known.name, known.version) not in there:
            yield (
                f"event type {known.name!r}, version {known.version}: there is no sample yet; add one with "
                f"add_to_corpus(registry, folder, {known.cls.__name__}(...))"
            )
    kept = {name for kind, name, _ in there if kind == "projection"}
    for projection in registry.projections:
        if projection.name in kept and ("projection", projection.name, projection.version) not in there:
            yield (
                f"projection {projection.name!r}, version {projection.version}: there is no sample yet; add one with "
                f"add_to_corpus(registry, folder, documents={{{projection.name}: [...]}})"
            )
