"""`Log.append` and `Log.recall` where a log knows an idempotency key for good, whichever stream it was used for."""

# ruff: noqa: D102  a test's name is its documentation

from __future__ import annotations

from functools import partial

from msgspec.structs import replace

from ...domain.events import Appended
from ...ports import KeyReused
from .kit import Contract, Lab, appended, in_colour, repeats

CALLERS = 4
ROUNDS = 8


class LogLastingKeys(Contract):
    """Keys that are known for good. For a log that can `lasting_keys`."""

    @in_colour
    async def test_a_key_used_for_another_stream_is_refused(self, lab: Lab) -> None:
        await lab.log.append(lab.appending("a", b"1", key="key-1", digest=b"of a"))
        answer = await lab.log.append(lab.appending("b", b"1", key="key-1", digest=b"of b"))
        assert isinstance(answer, KeyReused)
        assert isinstance(await lab.log.recall("b", "key-1"), KeyReused)
        assert await lab.stream("b") == []

    @in_colour
    async def test_keys_are_still_known_when_the_log_is_opened_again(self, lab: Lab) -> None:
        append = lab.appending("a", b"1", b"2", key="key-1")
        first = appended(await lab.log.append(append))
        lab.reopen()
        assert repeats(await lab.log.recall("a", "key-1"), first)
        assert repeats(await lab.log.append(append), first)
        assert isinstance(await lab.log.append(replace(append, digest=b"other")), KeyReused)
        assert isinstance(await lab.log.recall("b", "key-1"), KeyReused)
        assert len(await lab.everything()) == 2

    @in_colour
    async def test_of_appends_under_one_key_one_is_written(self, lab: Lab) -> None:
        for index in range(ROUNDS):
            key = f"key-{index}"
            appends = [lab.appending("a", b"%d" % index, key=key, digest=b"same") for _ in range(CALLERS)]
            answers = await lab.colour.together([partial(lab.log.append, append) for append in appends])
            assert all(isinstance(answer, Appended) for answer in answers)
            written = [answer for answer in answers if isinstance(answer, Appended)]
            assert sum(not answer.repeated for answer in written) == 1
            assert len({(answer.position, answer.revision) for answer in written}) == 1
        assert [row[9] for row in await lab.everything()] == [b"%d" % index for index in range(ROUNDS)]
