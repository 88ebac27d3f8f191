"""A look at the account before anything depends on it."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from ..._io.port import HttpRequest, Port
from ...errors import Refused
from .answers import exchange
from .settings import SigningKeys, is_url

TIMEOUT = 10.0


class _Keys(msgspec.Struct):
    current: str
    next: str


async def look_at(
    port: Port, url: str, token: str, destination: str, pairs: Mapping[str, SigningKeys]
) -> tuple[str, ...]:
    """What is doubtful about token and keys, in words; nothing where all is well.

    Args:
        port: What waits, and sends.
        url: QStash's.
        token: The account's.
        destination: Where notifications go: a URL, or the name of a URL group.
        pairs: The signing keys that deliveries are verified with, by region.

    Raises:
        Refused: The token is not taken; the signing keys are another account's; there is no such URL group; or
            something else than QStash answers.
        Unavailable: It cannot be reached.
    """
    request = HttpRequest("GET", f"{url}/v2/keys", {"authorization": f"Bearer {token}"}, b"", TIMEOUT)
    response, _ = await exchange(port, request, token)
    try:
        keys = msgspec.json.decode(response.body, type=_Keys)
    except (ValueError, RecursionError) as error:
        raise Refused(
            "QStash: the answer to a request for the signing keys is none of QStash's: check QSTASH_URL"
        ) from error
    if not is_url(destination):
        group = HttpRequest("GET", f"{url}/v2/topics/{destination}", request.headers, b"", TIMEOUT)
        if (await exchange(port, group, token))[0].status == 404:
            raise Refused(
                f"QStash: there is no URL group {destination!r}: make it in the console, with the endpoint's URL"
            )
    if not pairs:
        doubt = (
            "no signing keys are set: this process can publish notifications and not receive them. The endpoint "
            "needs QSTASH_CURRENT_SIGNING_KEY and QSTASH_NEXT_SIGNING_KEY"
        )
        return (f"QStash: {doubt}",)
    known = {key for pair in pairs.values() for key in pair}
    if keys.current not in known:
        raise Refused(
            "QStash: deliveries are signed with a key that is not among those set here, and would be refused. Copy "
            "both signing keys of this account and region from the console"
        )
    if keys.next not in known:
        doubt = "the next signing key was rotated: copy both signing keys before it is rotated again"
        return (f"QStash: {doubt}",)
    return ()
