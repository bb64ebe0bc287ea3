"""Every error memsdk raises on purpose. Each says what was got, what was expected and what to do.

* MemsdkError
  x InvalidInputError (also a ValueError)   an argument that can't be used; nothing was changed
    + FilterError                           a filter that can't be understood
    + ScopeError                            a user id is missing, or lies outside a scoped view
  x NotFoundError (also a KeyError)         no such record, session, document or recall
  x ConflictError                           the id given is taken by another record
  x StoreError                              the store folder or its database can't be used
    + StoreLockedError                      another process holds the database for too long
    + StoreReadOnlyError                    the folder or the disk can't be written
    + StoreVersionError                     the store was made by a newer memsdk
    + StoreCorruptError                     the database file is damaged
    + DiskFullError                         too little free space to write safely
  x IndexingError                           the vector index failed
    + IndexUnavailableError                 the index host can't be started or reached
    + IndexCorruptError                     a shard can't be loaded
    + ForkedProcessError                    an open index was carried through fork()
  x EmbedderError                           the embedding model can't be loaded or used
    + EmbedderMismatchError                 the store holds vectors of another embedder
    + QueryVersionError                     a trained query version can't be used
  x RerankerError                           the reranker can't be loaded or used
  x IngestError                             a file can't be read as what it claims to be
    + MissingExtraError                     a parser that is not installed is needed
  x RewardModelError                        the language model that scores can't be loaded or used
    + RewardServerError                     its server can't be reached, or answers what can't be read
  x ClosedError                             the memory was closed
"""

from __future__ import annotations


class MemsdkError(Exception):
    """The root: catch this to catch all that memsdk raises on purpose."""

    exit_code = 1


class InvalidInputError(MemsdkError, ValueError):
    """An argument that can't be used. Nothing was changed."""

    exit_code = 2


class FilterError(InvalidInputError):
    """A filter that can't be understood."""


class ScopeError(InvalidInputError):
    """A user id is missing where the store requires one, or lies outside a scoped view."""


class NotFoundError(MemsdkError, KeyError):
    """No such record, session, document or recall."""

    exit_code = 3

    def __str__(self) -> str:
        """The message as it is; KeyError would quote it."""
        return str(self.args[0]) if self.args else ""


class ConflictError(MemsdkError):
    """The id given is taken by another record."""

    exit_code = 2


class StoreError(MemsdkError):
    """The store folder or its database can't be used."""

    exit_code = 4


class StoreLockedError(StoreError):
    """Another process holds the database for longer than the busy timeout."""


class StoreReadOnlyError(StoreError):
    """The store's folder, or the disk it is on, can't be written."""


class StoreVersionError(StoreError):
    """The store was made by a newer memsdk."""


class StoreCorruptError(StoreError):
    """The database file is damaged."""


class DiskFullError(StoreError):
    """Too little free space to write safely."""


class IndexingError(MemsdkError):
    """The vector index failed. What was acknowledged is safe in SQLite."""

    exit_code = 5


class IndexUnavailableError(IndexingError):
    """The index host can't be started or reached."""


class IndexCorruptError(IndexingError):
    """A shard can't be loaded."""


class ForkedProcessError(IndexingError):
    """An open index was carried through `fork()`."""


class EmbedderError(MemsdkError):
    """The embedding model can't be loaded or used."""

    exit_code = 6


class EmbedderMismatchError(EmbedderError):
    """The store holds vectors of another embedder than the one it was opened with."""

    def __init__(self, *, store: str, given: str) -> None:
        super().__init__(
            f"the store's vectors were made by {store}, not by {given}; open it without `embedder=`,"
            f" or run `memsdk reindex --embedder {given}` to build new vectors while the old ones serve"
        )


class QueryVersionError(EmbedderError):
    """A trained query version can't be used: it names other vectors than the store's, or its files are not whole."""


class RerankerError(MemsdkError):
    """The reranker can't be loaded or used. A recall never raises it: it serves the order found without."""

    exit_code = 6


class IngestError(MemsdkError):
    """A file can't be read as what it claims to be."""

    exit_code = 7


class MissingExtraError(IngestError):
    """A parser that is not installed is needed."""

    def __init__(self, *, what: str, extra: str) -> None:
        super().__init__(f"{what} needs the `{extra}` extra; run `pip install 'memsdk[{extra}]'`")


class RewardModelError(MemsdkError):
    """The language model that scores can't be loaded or used."""

    exit_code = 8


class RewardServerError(RewardModelError):
    """The server of a language model can't be reached, refuses, or answers what can't be read."""


class ClosedError(MemsdkError):
    """The memory was closed; open it again with `Memory.open(...)`."""
