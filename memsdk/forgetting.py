"""Forgetting: the texts erased in SQL, the vectors deleted, the write-ahead log truncated; and a receipt of it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from memsdk.background import Background
from memsdk.errors import InvalidInputError, MemsdkError, NotFoundError
from memsdk.indexing import Indexer
from memsdk.models import Forgotten
from memsdk.ports import Change, Clock, Documents, Eraser, Owner, RecordFilter, Whose
from memsdk.testing.failpoints import reach

logger = logging.getLogger(__name__)


class Forgetter:
    """Erases records, users, documents and what has expired."""

    def __init__(
        self,
        *,
        eraser: Eraser,
        documents: Documents,
        indexer: Indexer,
        background: Background,
        clock: Clock,
        owner: Owner,
        retention_days: float | None,
        remove_models: Callable[[Sequence[str]], None] = lambda names: None,
    ) -> None:
        """Args: `remove_models` removes the folders of query versions that went with their user."""
        self._remove_models = remove_models
        self._eraser = eraser
        self._documents = documents
        self._indexer = indexer
        self._background = background
        self._clock = clock
        self._owner = owner
        self._retention_days = retention_days

    def forget(self, where: RecordFilter) -> Forgotten:
        """Erase what the filter means. Named ids that do not exist raise NotFoundError, and nothing is erased."""
        if where == RecordFilter():
            raise InvalidInputError("forget what? give an id, user_id, filters or before; nothing was erased")
        self._background.write_log()  # so that what was shown lately is in the log, and leaves it too
        receipt, changes = self._eraser.forget(where, owner=self._owner())
        if where.ids is not None and not receipt.records:
            raise NotFoundError(
                f"no record {', '.join(map(str, where.ids))} in this scope; `list` shows what there is"
            )
        return self._finish(receipt, changes)

    def forget_user(self, user_id: str) -> Forgotten:
        """Erase all that a user ever said, asked or answered, their documents included."""
        self._background.write_log()
        receipt, changes = self._eraser.forget_users([user_id], owner=self._owner())
        self._remove_models(receipt.models_trained_on_it)
        return self._finish(receipt, changes)

    def remove_document(self, id: UUID, *, users: Whose, agents: Whose) -> Forgotten:
        """Erase a document and its chunks."""
        self._background.write_log()
        receipt, changes = self._documents.remove(id, users=users, agents=agents, owner=self._owner())
        return self._finish(receipt, changes)

    def sweep(self) -> Forgotten:
        """Erase what has expired and recalls beyond the log's retention; finish what an earlier forget left."""
        self._background.write_log()
        now = self._clock.now()
        receipt, changes = self._eraser.expire(now=now, recalls_before=self._oldest(now), owner=self._owner())
        return self._finish(receipt, changes)

    def expire(self) -> None:
        """The part of `sweep` that every open does: no vectors are touched, the outbox keeps them for later."""
        now = self._clock.now()
        receipt, _ = self._eraser.expire(now=now, recalls_before=self._oldest(now), owner=None)
        if receipt.records or receipt.recalls:
            self._eraser.scrub()

    def _oldest(self, now: datetime) -> datetime | None:
        return None if self._retention_days is None else now - timedelta(days=self._retention_days)

    def _finish(self, receipt: Forgotten, changes: Sequence[Change]) -> Forgotten:
        """SQL has committed: the record is gone from every read. Now its vectors and the log's copies."""
        reach("forget-erased")
        deleted = True
        try:
            self._indexer.index_now(changes)
        except MemsdkError as error:
            logger.warning(
                "vectors of forgotten records are still to be deleted (they hold no text): %s", error
            )
            deleted = False
        self._background.nudge()
        truncated = self._eraser.scrub()
        return receipt.model_copy(update={"vectors_deleted": deleted, "wal_truncated": truncated})
