"""Asks whether any installed package is known to be vulnerable: what users install, and then what development does.

Called as ``.venv/bin/python .ci/audit.py``. It fails where a vulnerability is known, and nowhere else: where the service
cannot be asked, or knows nothing of a version, it says so, and how it asked. The service is PyPI's own, as `pip-audit`
asks it. A mirror may know the newest version of a package only: what is said of that holds where it is the one that is
installed.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import Distribution, PackageNotFoundError, distribution, distributions
from typing import Any, Final, NamedTuple

import requests
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from pip_audit._service import PyPIService, ResolvedDependency, SkippedDependency, VulnerabilityResult

OURS: Final = "eventsource-upstash"
AT_ONCE: Final = 8
SECONDS: Final = 10
NOT_ASKED: Final = "could not be asked"


class Newest(requests.Session):
    """Asks for the newest version where the one that was asked for is not known."""

    def get(self, url: str | bytes, **options: Any) -> requests.Response:  # Any: as `requests` has it
        answer = super().get(url, **options)
        if answer.status_code == requests.codes.not_found:
            project, version, _ = str(url).rsplit("/", 2)
            newest = super().get(f"{project}/json", **options)
            if newest.ok and newest.json()["info"]["version"] == version:
                return newest
        return answer


class Service(PyPIService):
    """PyPI's, without a cache: what was true yesterday is not asked for."""

    def __init__(self) -> None:
        self.session = Newest()  # type: ignore[assignment]  # a caching one is one as well
        self.timeout = SECONDS


class Audited(NamedTuple):
    """What is known of one package."""

    name: str
    version: str
    vulnerabilities: list[VulnerabilityResult]
    unknown: str


def asked(service: Service, package: tuple[str, str]) -> Audited:
    """Ask for one package."""
    name, version = package
    try:
        found, vulnerabilities = service.query(ResolvedDependency(name, Version(version)))
    except Exception as error:  # whatever a network can do
        return Audited(name, version, [], f"{NOT_ASKED} ({type(error).__name__})")
    unknown = "this version is not known to it" if isinstance(found, SkippedDependency) else ""
    return Audited(name, version, vulnerabilities, unknown)


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
    service = Service()
    with ThreadPoolExecutor(AT_ONCE) as lanes:
        results = list(lanes.map(lambda package: asked(service, package), sorted(packages.items())))
    bad = [each for each in results if each.vulnerabilities]
    unknown = [each for each in results if each.unknown]
    seconds = time.monotonic() - started
    print(f"{whose}: {len(results) - len(unknown)} of {len(results)} packages are known to the service, {seconds:.0f} s")
    for each in bad:
        for one in each.vulnerabilities:
            mended = ", ".join(map(str, one.fix_versions)) or "no version"
            print(f"  {each.name} {each.version}: {one.id}, mended by {mended}: {one.description[:160]}")
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
    if not known:
        print("the service could not be asked from here: NOTHING WAS AUDITED")
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
