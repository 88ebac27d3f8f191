"""Documents that have ended -> nothing: their storage is freed, some time after they are absent from what is read."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Final

from ..domain.events import FREE, Receipt
from ..domain.indexes import Entries
from ..domain.progress import ProjectionId
from ..ports import Ended, Outcome, Views, Wanted
from .noting import PARKED, Noting, directory_of, staying, with_changes
from .passes import Pass

_log: Final = logging.getLogger("eventsource_upstash.view")

PURGE_AFTER_US: Final = 60_000_000
"""Ended documents are deleted once they have ended for so many microseconds: until then an event may still come that
was recorded before their end by a clock that is behind."""

PURGE_EVERY: Final = 60.0
"""Seconds between two looks of a process for documents of one projection that have ended."""


AT_ONCE: Final = 200
"""Documents deleted in one step: few enough for any step, whatever they are found by."""


class Purging:
    """Deletes documents that have ended."""

    def __init__(self, views: Views, noting: Noting) -> None:
        self._views = views
        self._noting = noting
        self._purged: dict[ProjectionId, float] = {}

    async def purge(self, work: Pass) -> Receipt:
        """Delete documents that have ended a while ago, now that all is folded that was recorded before."""
        receipt = FREE
        now = time.monotonic()
        for projection in work.projections:
            if not projection.ends or now - self._purged.get(projection.id, -PURGE_EVERY) < PURGE_EVERY:
                continue
            self._purged[projection.id] = now
            more = True
            while more and not work.late:
                ended = await self._views.ended(projection.id, self._noting.now_us - PURGE_AFTER_US, AT_ONCE)
                receipt += ended.receipt
                progress = ended.progress
                more = len(ended.documents) >= AT_ONCE
                if not work.head <= progress.checkpoint:  # events may come that were recorded before their ends
                    break
                documents, cost = await self._not_awaited(ended)
                receipt += cost
                if not documents:
                    break
                commit = staying(progress)._replace(
                    documents=dict.fromkeys(documents), before=documents, head=work.head
                )
                if projection.changes:
                    commit = with_changes(commit)
                committed = await self._views.commit([commit], None)
                receipt += committed.receipt
                if committed.outcomes[0] is not Outcome.COMMITTED:
                    break
                _log.info("%s: documents deleted that have ended: %d", projection.id, len(documents))
        return receipt

    async def _not_awaited(self, ended: Ended) -> tuple[Mapping[str, Entries], Receipt]:
        """Those of the documents that no parked event waits for: to one that is tried again they may be there yet."""
        progress = ended.progress
        if not ended.documents or not progress.notes.parked:
            return ended.documents, FREE
        found, receipt = await self._views.load([Wanted(progress.projection, progress.generation, (), (PARKED,))])
        keys = directory_of(found[0]).keys
        return {key: entries for key, entries in ended.documents.items() if key not in keys}, receipt
