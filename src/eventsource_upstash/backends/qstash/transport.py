"""`QStash(...)`: how notifications travel through QStash, and how the endpoint knows that they did."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..._io.blocking import BlockingPort
from ..._io.port import Port, Signal
from ...domain.jobs import check_job_path
from ...domain.names import DEFAULT_NAMESPACE
from ...domain.telling import without_user_and_query
from ...errors import Misuse
from ...ports import Messages, Notices, Timetable, Verifier
from .notices import Publishing
from .settings import (
    DEFAULT_URL,
    Delivery,
    OfficialClient,
    SigningKeys,
    base_url_problems,
    delivery_problems,
    destination_problems,
    is_seconds,
    is_url,
    keys_problems,
    namespace_problems,
    origin_and_rest,
    read_environment,
    refuse,
    region_name,
    secret_problems,
    url_problems,
)

if TYPE_CHECKING:
    from .forwarded import TrustedProxies
    from .receiver import Receiver

MAX_TIMEOUT = 600.0


class QStash:
    """Notifications through QStash: after an append, a signed request to the endpoint that folds.

    A plain description, for both colours: nothing is opened before a notification is sent. It holds a token and keys,
    and shows neither.

    Args:
        destination: The URL of the endpoint, as the public sees it, or the name of a URL group.
        token: From the Upstash console; not with `client`.
        url: The service's, where it is not the default region's.
        current_signing_key: From the console; what the endpoint verifies deliveries with.
        next_signing_key: Likewise. Both or none: a process that only publishes needs none.
        regions: Signing keys of further regions, as in `{"US_EAST_1": ("sig_...", "sig_...")}`.
        jobs_url: Where the app's jobs are: their paths are put behind it, as in `https://app.example.com/api`. Without
            it they are at the origin of the destination, where that is a URL.
        namespace: The app's: deliveries of one namespace do not pile up, and its messages carry its name.
        delivery: How QStash delivers: parallelism, retries, timeout.
        timeout: Seconds for telling QStash, with up to three attempts where one fails.
        client: A client of the official package, `qstash.QStash` or, for an event loop, `qstash.AsyncQStash`, to send
            with instead of a token.

    Raises:
        Misuse: An argument cannot be what it is to be; all of them are named at once.
    """

    def __init__(  # noqa: PLR0913  # options of one service, each given by name
        self,
        destination: str,
        *,
        token: str | None = None,
        url: str | None = None,
        current_signing_key: str | None = None,
        next_signing_key: str | None = None,
        regions: Mapping[str, tuple[str, str]] | None = None,
        jobs_url: str | None = None,
        namespace: str = DEFAULT_NAMESPACE,
        delivery: Delivery | None = None,
        timeout: float = 10.0,
        client: OfficialClient | None = None,
    ) -> None:
        delivery = Delivery() if delivery is None else delivery
        problems = destination_problems("destination", destination)
        if client is None:
            problems += secret_problems("token", token)
            problems += url_problems("url", url) if url is not None else []
        else:
            from .official import client_problems

            problems += client_problems(client)
            if token is not None or url is not None:
                problems.append("client has a token and a URL of its own: give either the client or these")
        pairs = {"": (current_signing_key, next_signing_key), **{region_name(k): v for k, v in (regions or {}).items()}}
        if current_signing_key is None and next_signing_key is None:
            del pairs[""]
        problems += keys_problems(pairs)
        problems += base_url_problems("jobs_url", jobs_url) if jobs_url is not None else []
        problems += namespace_problems("namespace", namespace)
        problems += delivery_problems(delivery)
        if not (is_seconds(timeout, MAX_TIMEOUT) and timeout > 0):
            problems.append(f"timeout={timeout!r}: it is a number of seconds above 0, up to {MAX_TIMEOUT:.0f}")
        refuse(problems)
        self.destination = destination
        self.namespace = namespace
        self.delivery = delivery
        self.timeout = timeout
        self.signal: Signal | None = None
        self.client = client
        # As the console gave it out for years, with the path of publishing behind it.
        self.url: str = (url or DEFAULT_URL).rstrip("/").removesuffix("/v2/publish")
        self._token = token or ""
        self._jobs_url = jobs_url
        self._pairs = {region: SigningKeys(str(pair[0]), str(pair[1])) for region, pair in pairs.items()}

    def __repr__(self) -> str:
        return f"QStash({without_user_and_query(self.destination)!r}, namespace={self.namespace!r})"

    @classmethod
    def from_env(
        cls,
        destination: str | None = None,
        *,
        jobs_url: str | None = None,
        namespace: str | None = None,
        delivery: Delivery | None = None,
        timeout: float = 10.0,
        environ: Mapping[str, str] | None = None,
    ) -> QStash:
        """From the environment: the variables that the console and the integrations of hosts set.

        QSTASH_TOKEN, QSTASH_URL (else the default region's), QSTASH_CURRENT_SIGNING_KEY and QSTASH_NEXT_SIGNING_KEY;
        the destination from EVENTSOURCE_NOTIFY_URL or, a URL group, QSTASH_TOPIC; EVENTSOURCE_JOBS_URL, where jobs are
        elsewhere than at the destination's origin; EVENTSOURCE_NAMESPACE. Where QSTASH_REGION names a region, token and
        URL are those with the region's name before them (US_EAST_1_QSTASH_TOKEN). Signing keys of regions
        (EU_CENTRAL_1_QSTASH_CURRENT_SIGNING_KEY) are taken along wherever they are set.

        Args:
            destination: Instead of the environment's.
            jobs_url: Instead of the environment's.
            namespace: Instead of the environment's.
            delivery: How QStash delivers.
            timeout: Seconds for telling QStash.
            environ: Instead of `os.environ`.

        Raises:
            Misuse: Names every variable that is missing or malformed.
        """
        found = read_environment(os.environ if environ is None else environ, destination)
        refuse(found.problems)
        return cls(
            found.destination or "",
            token=found.token,
            url=found.url,
            current_signing_key=found.keys.current if found.keys else None,
            next_signing_key=found.keys.next if found.keys else None,
            regions=found.regions,
            jobs_url=jobs_url or found.jobs_url,
            namespace=namespace or found.namespace,
            delivery=delivery,
            timeout=timeout,
        )

    @property
    def token(self) -> str:
        """The token, for whoever sends requests of its own; empty where a client has it."""
        return self._token

    def delivery_headers(self, prefix: str = "upstash-") -> dict[str, str]:
        """The headers that tell QStash how to deliver."""
        given = self.delivery
        headers = {
            f"{prefix}retries": str(given.retries),
            f"{prefix}timeout": f"{given.timeout}s",
            f"{prefix}label": given.label or self.namespace,
        }
        if given.retry_delay is not None:
            headers[f"{prefix}retry-delay"] = given.retry_delay
        if given.parallelism is not None:
            headers[f"{prefix}flow-control-key"] = self.namespace
            headers[f"{prefix}flow-control-value"] = f"parallelism={given.parallelism}"
        return headers

    def notices(self, port: Port) -> Notices:
        """The carrier, over a port.

        Raises:
            Misuse: A client of the official package that needs an event loop, where there is none.
        """
        self.check_port(port)
        if self.client is not None:
            from .official import OfficialPublishing

            return OfficialPublishing(port, self.client, self.destination, self.namespace, self.delivery)
        return Publishing(
            port, self.url, self._token, self.destination, self.namespace, self.delivery_headers(), self.timeout
        )

    def check_port(self, port: Port) -> None:
        """Refuse a client that needs an event loop, where there is none. Raises `Misuse`."""
        if self.client is not None and isinstance(port, BlockingPort):
            from .official import is_async

            if is_async(self.client):
                raise Misuse("an AsyncQStash needs an event loop: hand qstash.QStash to an app that blocks")

    async def check(self, port: Port) -> tuple[str, ...]:
        """See `NoticeTransport.check`: the token, and whether the signing keys are the account's.

        Cost: 1 request, 2 for a URL group.
        """
        from .checking import look_at

        return await look_at(port, self.url, self._token, self.destination, self._pairs) if self.client is None else ()

    def messages(self, port: Port) -> Messages | None:
        """What carries messages to URLs and to the app's jobs, over a port.

        Raises:
            Misuse: A client of the official package that needs an event loop, where there is none.
        """
        from .messages import Publisher

        self.check_port(port)
        return Publisher(port, self)

    def timetable(self, port: Port) -> Timetable | None:
        """The schedules of the account, over a port. Raises as `messages`."""
        from .timetable import Kept

        self.check_port(port)
        return Kept(port, self)

    def job_url(self, path: str) -> str:
        """See `NoticeTransport.job_url`."""
        check_job_path(path)
        base = self._jobs_url
        if base is None:
            parts = origin_and_rest(self.destination)
            if parts is None:
                raise Misuse(
                    f"job {path!r}: notifications go to the URL group {self.destination!r}, which does not tell where "
                    "the app is. Set EVENTSOURCE_JOBS_URL, or hand over jobs_url="
                )
            base = parts[0]
        return base.rstrip("/") + path

    def verifier(self, public_url: str | None) -> Verifier | None:
        """See `NoticeTransport.verifier`: a receiver."""
        return self.receiver(public_url=public_url)

    def receiver(
        self, *, public_url: str | None = None, proxies: TrustedProxies | None = None, leeway: float = 0.0
    ) -> Receiver:
        """What the endpoint verifies deliveries with: `Endpoint(app, verifier=transport.receiver())`.

        Args:
            public_url: The URL that QStash delivers to; without one, and without proxies, the destination, where that
                is a URL. A URL group has several: then it goes by the request's own URL.
            proxies: Proxies whose headers tell the public URL.
            leeway: Seconds that this machine's clock may be off.

        Raises:
            Misuse: There are no signing keys.
        """
        from .receiver import Receiver

        if not self._pairs:
            raise Misuse(
                "QStash: no signing keys to verify deliveries with. Set QSTASH_CURRENT_SIGNING_KEY and "
                "QSTASH_NEXT_SIGNING_KEY, or hand over current_signing_key= and next_signing_key="
            )
        if public_url is None and proxies is None and is_url(self.destination):
            public_url = self.destination
        current, following = self._pairs.get("", ("", ""))
        regions = {region: (pair.current, pair.next) for region, pair in self._pairs.items() if region}
        return Receiver(current, following, url=public_url, regions=regions, proxies=proxies, leeway=leeway)
