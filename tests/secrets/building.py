"""Every class of the package, built with secrets in all its parameters that are meant for one."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any

import eventsource_upstash
from tests.canary import secret

SECRET = re.compile(
    r"token|password|secret|authori[sz]ation|credential|login|(signing|current|next|private|api)_key$|_keys$|headers?$"
)
"""Parameters that take a secret, or headers with one in them."""

URL = re.compile(r"url$|^destination$|callback$|^proxy")
"""Parameters that take a URL, which is to be told by its host only."""

HOST = "service.example.com"
FORMS = (
    f"https://ada:{secret('user')}@{HOST}/p/{secret('path')}?key={secret('query')}",
    f"https://{HOST}/p/{secret('path')}?key={secret('query')}",  # where a user is refused
    f"https://{HOST}/p/{secret('path')}",
    f"https://{HOST}",
)


def modules(package: ModuleType = eventsource_upstash) -> Iterator[ModuleType]:
    yield package
    for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if not found.name.endswith("__main__"):  # those run when they are imported
            yield importlib.import_module(found.name)


def classes(package: ModuleType = eventsource_upstash) -> list[type]:
    """Every class that is defined in the package, but those whose names say that they are of one file."""
    found = {
        each
        for module in modules(package)
        for name, each in vars(module).items()
        if inspect.isclass(each) and not name.startswith("_") and each.__module__ == module.__name__
    }
    return sorted(found, key=lambda each: (each.__module__, each.__qualname__))


def sensitive(cls: type) -> list[str]:
    """The parameters of a class that take a secret."""
    return [
        name
        for name, each in parameters(cls)
        if SECRET.search(name) or (URL.search(name) and "str" in str(each.annotation))
    ]


def parameters(cls: type) -> list[tuple[str, inspect.Parameter]]:
    try:
        found = inspect.signature(cls).parameters
    except (ValueError, TypeError):
        return []  # as its base takes them, which is an error's text or nothing
    return [(name, each) for name, each in found.items() if each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)]


class Stub:
    """Stands for what is no secret, and of a kind that cannot be made out of nothing."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Stub()

    def __call__(self, *_: object, **__: object) -> Any:
        return Stub()


class Unbuildable(Exception):
    pass


class Builder:
    """Builds an instance of each class, out of nothing but the kinds of its parameters.

    Args:
        known: The classes that a parameter may be of, by name.
        by_hand: Those that take more than that: what builds them.
    """

    def __init__(self, known: Sequence[type], by_hand: Mapping[str, Any]) -> None:
        self.known = {each.__name__: each for each in known}
        self.by_hand = by_hand

    def build(self, cls: type) -> Any:
        """An instance, with secrets in it. Raises `Unbuildable`."""
        if cls.__qualname__ in self.by_hand:
            return self.by_hand[cls.__qualname__]()
        told = ""
        for form in FORMS:
            self.form = form
            built, told = self._tried(cls)
            if not told:
                return built
        raise Unbuildable(told)

    def _tried(self, cls: type) -> tuple[Any, str]:
        try:
            return self._build(cls, 3), ""
        except Exception as error:  # whatever it says to something that is no such thing
            return None, f"{cls.__name__}: {type(error).__name__}: {error}"

    def _build(self, cls: type, depth: int) -> Any:
        given: dict[str, Any] = {}
        positional: list[Any] = []
        for name, parameter in parameters(cls):
            meant = SECRET.search(name) or URL.search(name)
            if parameter.default is not parameter.empty and not meant:
                continue
            value = self.value(name, str(parameter.annotation), depth)
            if parameter.kind is parameter.POSITIONAL_ONLY:
                positional.append(value)
            else:
                given[name] = value
        return cls(*positional, **given)

    def value(self, name: str, annotation: str, depth: int) -> Any:
        """What a parameter is given, by its name and the text of its annotation."""
        annotation = re.sub(r"^(?:ForwardRef\('|<class '|')|(?:'\)|'>|')$", "", annotation)
        kind = annotation.split("[")[0].split(" | ")[0].rpartition(".")[2]
        if URL.search(name) and "str" in annotation:
            return self.form
        hidden = secret(name) if SECRET.search(name) else "name"
        simple: dict[str, Any] = {
            "str": hidden,
            "bytes": hidden.encode(),
            "int": 1,
            "float": 1.0,
            "bool": False,
            "None": None,
        }
        simple |= {"object": hidden, "Any": hidden, "Callable": lambda *_, **__: None}
        simple |= {each: [hidden] for each in ("Sequence", "Collection", "Iterable", "list", "tuple")}
        simple |= {each: frozenset((hidden,)) for each in ("frozenset", "set")}
        if kind in ("Mapping", "dict", "MutableMapping"):
            return {"authorization": f"Bearer {hidden}"} if SECRET.search(name) else {}
        if kind in simple:
            return simple[kind]
        if kind in self.known and depth and not getattr(self.known[kind], "_is_protocol", False):
            return self._build(self.known[kind], depth - 1)
        return Stub()
