"""Asks whether any installed package is known to be vulnerable: what users install, and then what development does.

Called as ``.venv/bin/python .ci/audit.py``. It fails where a vulnerability is known, and nowhere else: where the
service cannot be asked, or knows nothing of a version, it says so, and how it asked. The service is PyPI's own, as
`pip-audit` asks it. A mirror may know the newest version of a package only: what is said of that holds where it is the
one that is installed.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import Distribution, PackageNotFoundError, distribution, distributions
from pathlib import Path
from typing import Final, NamedTuple

import requests
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from pip_audit._service import PyPIService, ResolvedDependency, SkippedDependency  # type: ignore[import-untyped]

OURS: Final = "eventsource-upstash"
AT_ONCE: Final = 8
SECONDS: Final = 10
NOT_ASKED: Final = "could not be asked"

KNOWN_TO_BE_BAD: Final = ("pycrypto", "2.6.1")
"""The last version of a package that was given up, with holes in it: where nothing is told of it, nothing is told."""


class Newest:
    """A session that asks for the newest version where the one that was asked for is not known."""

    def __init__(self) -> None:
        self._session = requests.Session()

    def get(self, url: str, timeout: int) -> requests.Response:
        """What the service answers."""
        answer = self._session.get(url, timeout=timeout)
        if answer.status_code == requests.codes.not_found:
            project, version, _ = url.rsplit("/", 2)
            newest = self._session.get(f"{project}/json", timeout=timeout)
            if newest.ok and newest.json()["info"]["version"] == version:
                return newest
        return answer


def service() -> PyPIService:
    """PyPI's, without a cache: what was true yesterday is not asked for."""
    made = PyPIService(Path(sys.prefix) / "audit", SECONDS)
    made.session = Newest()
    return made


class Audited(NamedTuple):
    """What is known of one package."""

    name: str
    version: str
    vulnerabilities: list[str]
    unknown: str


def asked(whom: PyPIService, package: tuple[str, str]) -> Audited:
    """Ask for one package."""
    name, version = package
    try:
        found, results = whom.query(ResolvedDependency(name, Version(version)))
    except Exception as error:  # whatever a network can do
        return Audited(name, version, [], f"{NOT_ASKED} ({type(error).__name__})")
    unknown = "this version is not known to it" if isinstance(found, SkippedDependency) else ""
    told = [
        f"{one.id}, mended by {', '.join(map(str, one.fix_versions)) or 'no version'}: {one.description[:160]}"
        for one in results
    ]
    return Audited(name, version, told, unknown)


def needed(name: str, extras: Iterable[str], found: dict[str, str]) -> None:
    """Add a package that is installed, and all that it needs here."""
    try:
        package = distribution(name)
    except PackageNotFoundError:
        return  # of an extra, or a system, that is not here
    found[canonicalize_name(name)] = package.version
    for text in package.requires or ():
        requirement = Requirement(text)
        wanted = [*extras, ""]
        if requirement.marker and not any(requirement.marker.evaluate({"extra": extra}) for extra in wanted):
            continue
        if canonicalize_name(requirement.name) not in found or requirement.extras:
            needed(requirement.name, requirement.extras, found)


def installed() -> Iterator[tuple[str, str]]:
    """What is installed here: name and version."""
    for each in distributions():
        yield canonicalize_name(each.metadata["Name"]), each.version


def report(whose: str, packages: dict[str, str]) -> tuple[int, int]:
    """Ask for packages, and print what is known. Answers how many are vulnerable, and how many are known."""
    started = time.monotonic()
    whom = service()
    with ThreadPoolExecutor(AT_ONCE) as lanes:
        results = list(lanes.map(lambda package: asked(whom, package), sorted(packages.items())))
    bad = [each for each in results if each.vulnerabilities]
    unknown = [each for each in results if each.unknown]
    seconds = time.monotonic() - started
    print(f"{whose}: {len(results) - len(unknown)} of {len(results)} packages are known to it, {seconds:.0f} s")
    for each in bad:
        for one in each.vulnerabilities:
            print(f"  {each.name} {each.version}: {one}")
    for why in sorted({each.unknown for each in unknown}):
        names = ", ".join(f"{each.name} {each.version}" for each in unknown if each.unknown == why)
        print(f"  NOT AUDITED, {why}: {names}")
    return len(bad), len(results) - len(unknown)


def main() -> int:
    """Audit both; 1 where a vulnerability is known."""
    print("asking PyPI's vulnerability service, as pip-audit does: for each version, else for the newest one")
    ours: Distribution = distribution(OURS)
    users: dict[str, str] = {}
    needed(OURS, ours.metadata.get_all("Provides-Extra") or (), users)
    del users[OURS]
    everything = dict(installed())
    del everything[OURS]
    development = {name: version for name, version in everything.items() if name not in users}
    counts = [report("what users install", users), report("what development installs beside it", development)]
    bad, known = map(sum, zip(*counts, strict=True))
    if not asked(service(), KNOWN_TO_BE_BAD).vulnerabilities:
        print(f"it tells nothing of {' '.join(KNOWN_TO_BE_BAD)}, which is vulnerable: NOTHING WAS AUDITED")
    elif not known:
        print("it could not be asked from here: NOTHING WAS AUDITED")
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
