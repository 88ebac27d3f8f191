"""Whether an instance is read back as it was given, where its types alone do not promise it.

msgspec encodes what it finds and decodes what is declared. So a value of a field without a type may come back as
another one (a tuple as a list, the key 1 as "1"), a large int in a field for floats as its neighbour, and an instance
of a subclass as one of its base class, without its own fields. A comparer looks at just those places, in an instance
and in what was decoded from its encoding. Classes without such a place have no comparer, and cost nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Protocol, cast, get_args, get_origin, get_type_hints

from msgspec import NODEFAULT, UNSET, UnsetType
from msgspec import inspect as _inspect

from .schema import is_pydantic

Comparer = Callable[[object, object, str], None]
"""Compares what was given with what is read back; the path is for the message. Raises `Changed`."""


_TEXT = frozenset([str])
_SCALARS = frozenset([str, int, float, bool, type(None)])


class Changed(Exception):
    """Something would be read back otherwise. Its text names the field, and no data."""


class _Field(Protocol):
    """What we use of a field of a pydantic model."""

    annotation: object
    exclude: object


class _Model(Protocol):
    """What we use of a pydantic model."""

    model_extra: object


def comparer(cls: type[object], info: _inspect.Type | None) -> Comparer | None:
    """What compares the fields of an instance, or None when its types promise all that it would look for.

    Args:
        cls: The class.
        info: What msgspec knows of it; None for a pydantic model.
    """
    build = _Build()
    inner = build.model(cls) if info is None else build.fields(cast("_inspect.StructType", info))
    return inner.needed()


class _OfClass:
    """Compares two instances by their fields."""

    def __init__(self) -> None:
        self.fields: list[tuple[str, Comparer]] = []
        self.extra = False

    def needed(self) -> Comparer | None:
        """Itself, if there is any field to look at."""
        return self.inside if self.fields or self.extra else None

    def inside(self, given: object, read: object, path: str) -> None:
        """Compare the fields only: what is read may be a twin of the class."""
        for name, compare in self.fields:
            compare(getattr(given, name), getattr(read, name), f"{path}.{name}")
        if self.extra:
            _same(cast("_Model", given).model_extra, cast("_Model", read).model_extra, path)

    def __call__(self, given: object, read: object, path: str) -> None:
        """Compare class and fields."""
        if given.__class__ is not read.__class__:
            raise _changed(path, given, read)
        if self.fields or self.extra:
            self.inside(given, read, path)


class _Build:
    def __init__(self) -> None:
        self.classes: dict[type[object], _OfClass] = {}

    def of(self, info: _inspect.Type) -> Comparer | None:
        """What compares two values of a type, or None where nothing can change."""
        match info:
            case _inspect.AnyType():
                return _same
            case _inspect.FloatType():
                return _float
            case _inspect.Metadata(type=inner):
                return self.of(inner)
            case _inspect.UnionType(types=types):
                return self._union(types)
            case _inspect.SetType(item_type=item) | _inspect.FrozenSetType(item_type=item):
                return _SETS.get(self.of(item), _same_set)
            case _inspect.VarTupleType(item_type=item) | _inspect.CollectionType(item_type=item):
                compare = self.of(item)
                return None if compare is None else _items(compare)
            case _inspect.TupleType(item_types=items):
                return _places([self.of(item) for item in items])
            case _inspect.NamedTupleType(fields=fields):
                return _places([self.of(field.type) for field in fields])
            case _inspect.DictType(key_type=key, value_type=value):
                return _entries(self.of(key), self.of(value), text=isinstance(key, _inspect.StrType))
            case _inspect.TypedDictType(fields=fields):
                return _named([(field.encode_name, self.of(field.type)) for field in fields])
            case _inspect.StructType() | _inspect.DataclassType():
                return self.fields(info)
            case _inspect.CustomType(cls=cls):
                return self.model(cls) if is_pydantic(cls) else None
            case _:
                return None

    def fields(self, info: _inspect.StructType | _inspect.DataclassType) -> _OfClass:
        """What compares two instances of a class."""
        known = self.classes.get(info.cls)
        if known is None:
            known = self.classes[info.cls] = _OfClass()
            droppable = _droppable(info)
            pairs = [
                (field.name, _kept(self.of(field.type)) if field.name in droppable else self.of(field.type))
                for field in info.fields
            ]
            known.fields = [(name, compare) for name, compare in pairs if compare is not None]
        return known

    def model(self, cls: type[object]) -> _OfClass:
        """What compares two instances of a pydantic model."""
        known = self.classes.get(cls)
        if known is None:
            known = self.classes[cls] = _OfClass()
            fields = cast("Mapping[str, _Field]", getattr(cls, "model_fields"))  # noqa: B009  # `type` has no such
            pairs = [(name, self._annotation(field.annotation)) for name, field in fields.items() if not field.exclude]
            known.fields = [(name, compare) for name, compare in pairs if compare is not None]
            known.extra = cast("Mapping[str, object]", getattr(cls, "model_config")).get("extra") == "allow"  # noqa: B009
        return known

    def _annotation(self, annotation: object) -> Comparer | None:
        try:
            return self.of(_inspect.type_info(annotation))
        except Exception:
            return self._found  # pydantic knows types that msgspec cannot describe

    def _found(self, given: object, read: object, path: str) -> None:
        if is_pydantic(type(read)):
            self.model(type(read))(given, read, path)
        elif read.__class__ in (list, dict) and given != read:
            raise Changed(f"{path} would not be read back as it is given")

    def _union(self, types: Iterable[_inspect.Type]) -> Comparer | None:
        members = list(types)
        if any(isinstance(member, _inspect.AnyType) for member in members):
            return _same
        # Which member it is shows in what was decoded: no two members of a union decode to the same class.
        by_class: dict[type[object], Comparer] = {}
        for member in members:
            compare = self.of(member)
            if compare is not None:
                by_class[_class_of(member)] = compare
        if not by_class:
            return None

        def union(given: object, read: object, path: str) -> None:
            compare = by_class.get(read.__class__)
            if compare is not None:
                compare(given, read, path)

        return union


def _droppable(info: _inspect.StructType | _inspect.DataclassType) -> set[str]:
    """Fields that may be UNSET, and so be left out, and that have another default."""
    # Of a default that is UNSET msgspec tells none.
    optional = [
        field.name for field in info.fields if field.default is not NODEFAULT or field.default_factory is not NODEFAULT
    ]
    hints = get_type_hints(get_origin(info.cls) or info.cls) if optional else {}
    return {name for name in optional if UnsetType in get_args(hints[name])}


def _kept(compare: Comparer | None) -> Comparer:
    def kept(given: object, read: object, path: str) -> None:
        if given is UNSET and read is not UNSET:
            raise Changed(f"{path} is UNSET, and would be read back as its default")
        if compare is not None:
            compare(given, read, path)

    return kept


_CLASSES = (
    (_inspect.FloatType, float),
    (_inspect.ListType, list),
    (_inspect.SetType, set),
    (_inspect.FrozenSetType, frozenset),
    ((_inspect.VarTupleType, _inspect.TupleType), tuple),
)


def _class_of(info: _inspect.Type) -> type[object]:
    while isinstance(info, _inspect.Metadata):
        info = info.type
    cls = getattr(info, "cls", None)
    if isinstance(cls, type) and not isinstance(info, _inspect.TypedDictType):
        return cls
    return next((cls for kinds, cls in _CLASSES if isinstance(info, kinds)), dict)


def _items(compare: Comparer) -> Comparer:
    def items(given: object, read: object, path: str) -> None:
        left, right = cast("Iterable[object]", given), cast("list[object]", read)
        if isinstance(compare, _OfClass) and not compare.needed() and set(map(type, left)) <= set(map(type, right)):
            return  # a long list of small things: at the speed of C
        if compare is _float and int not in set(map(type, left)):
            return  # likewise
        for index, (one, other) in enumerate(zip(left, right, strict=True)):
            compare(one, other, f"{path}[{index}]")

    return items


def _places(compares: list[Comparer | None]) -> Comparer | None:
    needed = [(index, compare) for index, compare in enumerate(compares) if compare is not None]
    if not needed:
        return None

    def places(given: object, read: object, path: str) -> None:
        left, right = list(cast("Iterable[object]", given)), cast("tuple[object, ...]", read)
        for index, compare in needed:
            compare(left[index], right[index], f"{path}[{index}]")

    return places


def _entries(key: Comparer | None, value: Comparer | None, *, text: bool) -> Comparer | None:
    if key is _same and value is _same:
        return _same
    if key is None and value is None:
        return None

    def entries(given: object, read: object, path: str) -> None:
        left, right = cast("Mapping[object, object]", given), cast("Mapping[object, object]", read)
        if len(left) != len(right):
            raise Changed(f"{path} has two keys that would be one")
        # JSON keeps the order of keys.
        for (name, one), (other_name, other) in zip(left.items(), right.items(), strict=True):
            if text and not isinstance(name, str):
                raise _changed_key(path, name, other_name)
            if key is _float:
                _float(name, other_name, path)
            elif key is not None and (name.__class__ is not other_name.__class__ or name != other_name):
                raise _changed_key(path, name, other_name)
            if value is not None:
                value(one, other, f"{path}.{name}")

    return entries


def _named(compares: list[tuple[str, Comparer | None]]) -> Comparer:
    needed = [(name, compare) for name, compare in compares if compare is not None]

    def named(given: object, read: object, path: str) -> None:
        left, right = cast("Mapping[str, object]", given), cast("Mapping[str, object]", read)
        if left.keys() != right.keys():
            raise Changed(f"{path} has a key that its TypedDict does not declare, and that would not be read back")
        for name, compare in needed:
            if name in right:
                compare(left[name], right[name], f"{path}.{name}")

    return named


def _float(given: object, read: object, path: str) -> None:
    if given.__class__ is int and given != read:
        raise Changed(f"{path} holds {_NO_FLOAT}")


_NO_FLOAT = "an int that no float equals, which would be read back as another number"


def _as_many(given: object, read: object, path: str) -> None:
    if len(cast("Collection[object]", given)) != len(cast("Collection[object]", read)):  # a list in a field for a set
        raise Changed(f"{path} holds an item twice, which would be read back once")


def _same_set(given: object, read: object, path: str) -> None:
    _as_many(given, read, path)
    left, right = cast("Iterable[object]", given), cast("Iterable[object]", read)
    kinds = set(map(type, right))
    for one in left:
        if type(one) not in kinds:
            raise Changed(f"{path} holds {_a(one)}, which would be read back as something else")


def _float_set(given: object, read: object, path: str) -> None:
    _as_many(given, read, path)
    if set(cast("Iterable[object]", given)) != read:
        raise Changed(f"{path} holds {_NO_FLOAT}")


_SETS: dict[Comparer | None, Comparer] = {None: _as_many, _float: _float_set}


def _same(given: object, read: object, path: str) -> None:
    """Compare plain data, types and all; by a stack of its own, however deeply it is nested."""
    if _plain(given) and given == read:
        return
    stack = [(given, read, path)]
    while stack:
        one, other, where = stack.pop()
        kind = one.__class__
        if kind is not other.__class__:
            raise _changed(where, one, other)
        if kind is dict:
            left, right = cast("dict[object, object]", one), cast("dict[object, object]", other)
            for name, value in left.items():
                if name.__class__ is not str:
                    raise Changed(f"{where} has a key that is {_a(name)}, which would be read back as a str")
                stack.append((value, right[name], f"{where}.{name}"))
        elif kind is list:
            pairs = enumerate(zip(cast("list[object]", one), cast("list[object]", other), strict=True))
            stack.extend([(value, back, f"{where}[{index}]") for index, (value, back) in pairs])
        elif one != other:
            raise Changed(f"{where} would not be read back as it is given")


def _plain(value: object) -> bool:
    """Whether it is data that JSON keeps as it is. Mostly at the speed of C, and without a path to tell."""
    if value.__class__ in _SCALARS:
        return True
    open_ = [value]
    while open_:
        value = open_.pop()
        if value.__class__ is dict:
            if not _TEXT.issuperset(map(type, cast("dict[object, object]", value))):
                return False
            values: Collection[object] = cast("dict[object, object]", value).values()
        elif value.__class__ is list:
            values = cast("list[object]", value)
        else:
            return False
        if not _SCALARS.issuperset(map(type, values)):
            open_.extend([inner for inner in values if inner.__class__ not in _SCALARS])
    return True


def _changed(path: str, given: object, read: object) -> Changed:
    return Changed(f"{path} holds {_a(given)}, which would be read back as {_a(read)}")


def _changed_key(path: str, given: object, read: object) -> Changed:
    return Changed(f"{path} has a key that is {_a(given)}, which would be read back as {_a(read)}")


def _a(value: object) -> str:
    if value is None:
        return "None"
    name = type(value).__name__
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"
