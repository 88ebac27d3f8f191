"""A look at the account before anything depends on it."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from ..._io.port import HttpRequest, Port
from ...errors import Refused
from .answers import exchange
from .settings import SigningKeys

TIMEOUT = 10.0


class _Keys(msgspec.Struct):
    current: str
    next: str


async def look_at(port: Port, url: str, token: str, pairs: Mapping[str, SigningKeys]) -> tuple[str, ...]:
    """What is doubtful about token and keys, in words; nothing where all is well.

    Args:
        port: What waits, and sends.
        url: QStash's.
        token: The account's.
        pairs: The signing keys that deliveries are verified with, by region.

    Raises:
        Refused: The token is not taken, or something else than QStash answers.
        Unavailable: It cannot be reached.
    """
    request = HttpRequest("GET", f"{url}/v2/keys", {"authorization": f"Bearer {token}"}, b"", TIMEOUT)
    response, _ = await exchange(port, request, token)
    try:
        keys = msgspec.json.decode(response.body, type=_Keys)
    except msgspec.MsgspecError as error:
        raise Refused(
            "QStash: the answer to a request for the signing keys is none of QStash's: check QSTASH_URL"
        ) from error
    if not pairs:
        doubt = (
            "no signing keys are set: this process can publish notifications and not receive them. The endpoint "
            "needs QSTASH_CURRENT_SIGNING_KEY and QSTASH_NEXT_SIGNING_KEY"
        )
        return (f"QStash: {doubt}",)
    known = {key for pair in pairs.values() for key in pair}
    if keys.current not in known:
        doubt = (
            "deliveries are signed with a key that is not among those set here, and will be refused: copy both signing "
            "keys of this account and region from the console"
        )
        return (f"QStash: {doubt}",)
    if keys.next not in known:
        doubt = "the next signing key was rotated: copy both signing keys before it is rotated again"
        return (f"QStash: {doubt}",)
    return ()
