"""What QStash is configured by: checked values, and the environment variables that hold them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, Protocol, cast

from ...domain.names import DEFAULT_NAMESPACE, NAMESPACE_RULE, is_namespace
from ...domain.telling import without_user_and_query
from ...errors import Misuse

DEFAULT_URL: Final = "https://qstash.upstash.io"
"""Where QStash is when nobody says otherwise: the region EU_CENTRAL_1."""

REGIONS: Final = ("EU_CENTRAL_1", "US_EAST_1")
"""The regions of QStash, as its environment variables spell them. Each has a token and signing keys of its own."""

MAX_RETRIES: Final = 100
MAX_DELIVERY_TIMEOUT: Final = 12 * 3600

_WORD: Final = re.compile(r"[A-Za-z0-9._-]+")
_URL: Final = re.compile(
    r"(?P<scheme>https?)://(?P<authority>(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?)(?P<rest>[/?][!-~]*)?"
)
_SECRET: Final = re.compile(r"[!-~]+")


class OfficialClient(Protocol):
    """A client of the official package: `qstash.QStash` or `qstash.AsyncQStash`, as far as it is looked at here.

    Said this way, whoever does without that package can check types all the same.
    """

    @property
    def message(self) -> object:
        """Publishes."""
        ...

    @property
    def schedule(self) -> object:
        """Manages schedules."""
        ...


class SigningKeys(NamedTuple):
    """The pair of keys that deliveries are signed with. After a rotation the next one becomes the current one."""

    current: str
    next: str

    def __repr__(self) -> str:
        return "SigningKeys(...)"


class Delivery(NamedTuple):
    """How QStash delivers a notification to the endpoint.

    Attributes:
        parallelism: Most deliveries of one namespace at a time; None for no limit. With 1, what arrives while one is
            being folded waits, and then finds little or nothing to do.
        retries: How often a delivery that failed is tried again. Each try is billed as a message.
        retry_delay: QStash's expression for the pause before a retry, in milliseconds, with the variable `retried`, as
            in `"min(60000, 1000 * pow(2, retried))"`; None for its own: about 12 seconds, 2.5 minutes, 30 minutes.
        timeout: Seconds that QStash waits for the endpoint's answer: more than the endpoint's time budget.
        label: What the messages are found by in the console's log; None for the namespace.
    """

    parallelism: int | None = 1
    retries: int = 3
    retry_delay: str | None = None
    timeout: int = 60
    label: str | None = None


class Environment(NamedTuple):
    """What the environment says. Whatever is wrong with it is in `problems`, all of it at once."""

    destination: str | None
    token: str | None
    url: str
    keys: SigningKeys | None
    regions: Mapping[str, SigningKeys]
    namespace: str
    jobs_url: str | None
    problems: tuple[str, ...]

    def __repr__(self) -> str:
        return (
            f"Environment(destination={without_user_and_query(self.destination or '')!r}, problems={self.problems!r})"
        )


def read_environment(environ: Mapping[str, str], destination: str | None = None) -> Environment:
    """Read the variables of QStash, and collect what is missing or malformed instead of stopping at the first.

    Args:
        environ: `os.environ`, or what stands for it.
        destination: Where notifications go; None to read that from the environment too.
    """
    problems: list[str] = []
    prefix = _primary_region(environ, problems)
    token_name, url_name = f"{prefix}QSTASH_TOKEN", f"{prefix}QSTASH_URL"
    token = environ.get(token_name) or None
    if token is None:
        problems.append(f"{token_name} is not set: the token stands in the Upstash console, under QStash")
    else:
        problems += secret_problems(token_name, token)
    url = environ.get(url_name) or ("" if prefix else DEFAULT_URL)
    if url:
        problems += url_problems(url_name, url)
    else:
        problems.append(f"{url_name} is not set: QSTASH_REGION names that region")
    default_keys = _keys(environ, "", problems)
    by_region = {region: _keys(environ, f"{region}_", problems) for region in REGIONS}
    if destination is None:
        destination = _destination(environ, problems)
    else:
        problems += destination_problems("destination", destination)
    namespace = environ.get("EVENTSOURCE_NAMESPACE") or DEFAULT_NAMESPACE
    problems += namespace_problems("EVENTSOURCE_NAMESPACE", namespace)
    jobs_url = environ.get("EVENTSOURCE_JOBS_URL") or None
    problems += base_url_problems("EVENTSOURCE_JOBS_URL", jobs_url) if jobs_url is not None else []
    regions = {region: keys for region, keys in by_region.items() if keys is not None}
    return Environment(destination, token, url, default_keys, regions, namespace, jobs_url, tuple(problems))


def _primary_region(environ: Mapping[str, str], problems: list[str]) -> str:
    """The prefix of the variables to publish with: several regions are in use where QSTASH_REGION names one."""
    given = environ.get("QSTASH_REGION")
    if not given:
        return ""
    region = region_name(given)
    if region not in REGIONS:
        problems.append(f"QSTASH_REGION is {given[:40]!r}: the regions are {' and '.join(REGIONS)}")
        return ""
    return f"{region}_"


def _keys(environ: Mapping[str, str], prefix: str, problems: list[str]) -> SigningKeys | None:
    names = (f"{prefix}QSTASH_CURRENT_SIGNING_KEY", f"{prefix}QSTASH_NEXT_SIGNING_KEY")
    current, following = (environ.get(name) or None for name in names)
    if current is None and following is None:
        return None
    for name, other, value in zip(names, reversed(names), (current, following), strict=True):
        if value is None:
            problems.append(
                f"{name} is not set, while {other} is: both keys are needed, or rotating them loses messages"
            )
        else:
            problems += secret_problems(name, value)
    return SigningKeys(current, following) if current is not None and following is not None else None


def _destination(environ: Mapping[str, str], problems: list[str]) -> str | None:
    topic, url = environ.get("QSTASH_TOPIC") or None, environ.get("EVENTSOURCE_NOTIFY_URL") or None
    if topic is not None and url is not None:
        problems.append("QSTASH_TOPIC and EVENTSOURCE_NOTIFY_URL are both set: notifications go to one of them")
    elif topic is not None:
        problems += word_problems("QSTASH_TOPIC", topic, what="the name of a URL group")
    elif url is not None:
        problems += url_problems("EVENTSOURCE_NOTIFY_URL", url)
    else:
        problems.append(
            "neither EVENTSOURCE_NOTIFY_URL nor QSTASH_TOPIC is set: the endpoint's URL, as in "
            "https://app.example.com/projections, or the name of a URL group"
        )
    return url or topic


def refuse(problems: Sequence[str]) -> None:
    """Raise `Misuse` that names all problems at once, if there are any."""
    if problems:
        raise Misuse("QStash: " + "; ".join(problems))


def is_url(destination: str) -> bool:
    """Whether a destination is a URL; else it names a URL group."""
    return "://" in destination


def region_name(given: str) -> str:
    """A region as the variables spell it: `us-east-1` in the header is `US_EAST_1` there."""
    return given.strip().replace("-", "_").upper()


def origin_and_rest(url: str) -> tuple[str, str] | None:
    """A URL's scheme with host, and what follows; None where it is no whole http(s) URL."""
    match = _URL.fullmatch(url)
    return (f"{match['scheme']}://{match['authority']}", match["rest"] or "") if match else None


def destination_problems(name: str, value: object) -> list[str]:
    """What is wrong with a destination: a URL, or the name of a URL group."""
    if isinstance(value, str) and is_url(value):
        return url_problems(name, value)
    if isinstance(value, str) and _WORD.fullmatch(value):
        return []
    problem = (
        f"{name} is neither a whole URL, as in https://app.example.com/projections, nor the name of a URL group "
        "(letters, digits and . _ -)"
    )
    return [problem]


def url_problems(name: str, value: object) -> list[str]:
    """What is wrong with a URL. It is not repeated: it may hold a password."""
    if not isinstance(value, str) or not is_url(value):
        return [f"{name} is no whole URL, as in https://app.example.com/projections"]
    _, _, after = value.partition("://")
    if "@" in re.split(r"[/?#]", after, maxsplit=1)[0]:
        return [f"{name} holds a user or password before the host: QStash would show it in its log"]
    if "#" in value:
        return [f"{name} has a fragment (#...), which no server ever sees"]
    if not _URL.fullmatch(value):
        return [f"{name} is no http(s) URL of plain characters: percent-encode others, as in %20"]
    return []


def base_url_problems(name: str, value: object) -> list[str]:
    """What is wrong with a URL that paths are put behind."""
    problems = url_problems(name, value)
    if not problems and "?" in str(value):
        problems.append(f"{name} has a query (?...): the paths of jobs are put behind it")
    return problems


def secret_problems(name: str, value: object) -> list[str]:
    """What is wrong with a token or key, without showing it."""
    if not isinstance(value, str) or not value:
        return [f"{name} is empty or no text"]
    if value.lower().startswith("bearer "):
        return [f"{name} is the token alone, without 'Bearer '"]
    if not _SECRET.fullmatch(value):
        return [
            f"{name} holds a space, line break or other character that no token has: copied with what is around it?"
        ]
    if value[0] in "\"'":
        return [f"{name} begins with a quotation mark: take the quotation marks away"]
    return []


def keys_problems(pairs: Mapping[str, object]) -> list[str]:
    """What is wrong with pairs of signing keys by region; the one without a region is under ""."""
    problems: list[str] = []
    for region, pair in pairs.items():
        of = f" of {region}" if region else ""
        if not re.fullmatch("[A-Z0-9_]*", region):
            problems.append(f"a region is named as in US_EAST_1, not {region[:40]!r}")
        if isinstance(pair, tuple) and len(cast("tuple[object, ...]", pair)) == 2:
            current, following = cast("tuple[object, object]", pair)
            problems += secret_problems(f"current_signing_key{of}", current)
            problems += secret_problems(f"next_signing_key{of}", following)
        else:
            problems.append(f"the signing keys{of} are a pair: the current one and the next one")
    return problems


def word_problems(name: str, value: object, longest: int = 255, what: str = "a name") -> list[str]:
    """What is wrong with a name that QStash puts into its own: letters, digits and . _ -, and no colon."""
    if isinstance(value, str) and len(value) <= longest and _WORD.fullmatch(value):
        return []
    return [f"{name} is {what} of 1 to {longest} letters, digits and . _ -"]


def delivery_problems(given: object) -> list[str]:
    """What is wrong with the options of delivery."""
    if not isinstance(given, Delivery):
        return [f"delivery is a Delivery, not {type(given).__name__}"]
    parallelism, retries, retry_delay, timeout, label = given
    problems: list[str] = []
    if parallelism is not None and not is_whole(parallelism, 1):
        problems.append(f"parallelism={parallelism!r}: it is a number from 1, or None for no limit")
    if not is_whole(retries, 0, MAX_RETRIES):
        problems.append(f"retries={retries!r}: it is a number from 0 to {MAX_RETRIES}")
    if retry_delay is not None and not _is_printable(retry_delay):
        problems.append(
            f"retry_delay={retry_delay!r}: it is an expression in milliseconds, as in '1000 * (1 + retried)'"
        )
    if not is_whole(timeout, 1, MAX_DELIVERY_TIMEOUT):
        problems.append(f"timeout={timeout!r} of a delivery: it is a number of whole seconds from 1 to 12 hours")
    if label is not None:
        problems += word_problems("label", label)
    return problems


def _is_printable(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[ -~]+", value) is not None


def namespace_problems(name: str, value: object) -> list[str]:
    """What is wrong with a namespace: the same rule as for the keys of the log."""
    return [] if is_namespace(value) else [f"{name} has {NAMESPACE_RULE}"]


def is_whole(value: object, least: int, most: int | None = None) -> bool:
    """Whether it is a whole number within bounds; True and False are none."""
    if isinstance(value, bool) or not isinstance(value, int):
        return False
    return value >= least and (most is None or value <= most)


def is_seconds(value: object, most: float) -> bool:
    """Whether it is a number of seconds from 0 up to a bound."""
    return not isinstance(value, bool) and isinstance(value, (int, float)) and 0 <= value <= most  # NaN is not either
