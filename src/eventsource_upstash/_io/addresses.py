"""URLs, as far as messages and settings need them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from ..errors import Misuse


def host_of(url: str) -> str:
    """The host of a URL, for messages; nothing else of it, since paths and queries may hold secrets."""
    from urllib.parse import urlsplit

    return urlsplit(url).hostname or "a URL"


def check_base_url(name: str, url: str) -> str:
    """The URL without a slash at its end.

    Args:
        name: What the URL is called where it was set.
        url: As it was set.

    Raises:
        Misuse: It is no http or https URL, or holds what belongs elsewhere. The message does not repeat it.
    """
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(url)
        port_fits = parts.port is None or parts.port > 0
    except ValueError:
        raise Misuse(f"{name} is no URL: it looks like https://HOST") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or not port_fits or not url.isprintable():
        raise Misuse(f"{name} is no URL of a REST API: it starts with https://, not with {parts.scheme[:16]!r}")
    if parts.username is not None or parts.password is not None:
        raise Misuse(f"{name} holds a user name or a password: leave it out, the token goes beside the URL")
    if parts.query or parts.fragment:
        raise Misuse(f"{name} holds a query or a fragment: leave it out, the token goes beside the URL")
    return url.rstrip("/")


def quoted(text: str) -> str:
    """A text as a part of a path: nothing in it means anything to a URL."""
    from urllib.parse import quote

    return quote(text, safe="")


def take_credentials(url: str) -> tuple[str, str, str]:
    """A URL without user name and password, and these two, decoded; "" for what is not there."""
    from urllib.parse import unquote, urlsplit

    try:
        parts = urlsplit(url)
    except ValueError:
        return url, "", ""
    credentials, at, host = parts.netloc.rpartition("@")
    if not at:
        return url, "", ""
    user, _, password = credentials.partition(":")
    return parts._replace(netloc=host).geturl(), unquote(user), unquote(password)


class Address(NamedTuple):
    """The parts of a URL that may name several hosts, and hold a password. What they hold is decoded.

    Attributes:
        scheme: In lower case.
        username: None where there is none.
        password: Likewise.
        hosts: As they stand there, with their ports; empty where there are none.
        path: Without the slash at its beginning.
        options: What stands behind the question mark, by name.
    """

    scheme: str
    username: str | None
    password: str | None
    hosts: str
    path: str
    options: Mapping[str, str]

    def __repr__(self) -> str:
        return f"Address({self.scheme!r})"


def read_address(url: str, shape: str) -> Address:
    """Take a URL apart.

    Args:
        url: The URL.
        shape: What is said of one that cannot be: how it has to look.

    Raises:
        Misuse: It has a fragment, an option twice, or what no URL has. The message does not repeat it.
    """
    from urllib.parse import parse_qsl, unquote, urlsplit

    try:
        parts = urlsplit(url)
        pairs = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError:
        raise Misuse(shape) from None
    options = dict(pairs)
    if parts.fragment or len(options) < len(pairs) or not url.isprintable():
        raise Misuse(f"{shape}; no name twice behind the '?', no '#', and no line break")
    login, at, hosts = parts.netloc.rpartition("@")
    username, colon, password = login.partition(":")
    return Address(
        parts.scheme,
        unquote(username) if at else None,
        unquote(password) if colon else None,
        hosts,
        unquote(parts.path.removeprefix("/")),
        options,
    )
