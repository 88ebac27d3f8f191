"""What URLs and headers are told by: in a user, a query and the values of headers stand tokens, cookies, signatures."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import msgspec

__all__ = ["without_header_values", "without_user_and_query"]


def without_user_and_query(url: str) -> str:
    """A URL, or what stands for one, up to its path, and without a user and a password before its host."""
    path, mark, _ = url.partition("#")[0].partition("?")
    scheme, slashes, rest = path.partition("://")
    host, slash, more = rest.partition("/")
    return f"{scheme}{slashes}{host.rpartition('@')[2]}{slash}{more}{'?...' if mark else ''}"


def without_header_values(value: msgspec.Struct) -> str:
    """The `repr` of a struct, where of `headers` only the names stand."""
    fields = {name: getattr(value, name) for name in value.__struct_fields__}
    told = (f"{name}={sorted(content) if name == 'headers' else content!r}" for name, content in fields.items())
    return f"{type(value).__name__}({', '.join(told)})"
