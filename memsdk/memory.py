"""`Memory`: an agent's long-term memory in one folder. Orchestration only; each verb checks, then calls one service."""

from __future__ import annotations

import builtins  # a method named `list` hides the type
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self, overload
from uuid import UUID

from uuid_utils.compat import uuid7

from memsdk import filters as filter_language
from memsdk import gathering, inputs, transfer
from memsdk.errors import ClosedError, InvalidInputError
from memsdk.messages import ChatMessage, clean_history, drafts_of
from memsdk.models import Draft, Forgotten, Kind, Record, Scope, Stats, Task, Verification
from memsdk.recalled import Recall
from memsdk.recalling import Question
from memsdk.reranking import ordering_of
from memsdk.verification import Progress

if TYPE_CHECKING:
    from memsdk.documents import DocumentShelf
    from memsdk.examples import ExampleShelf
    from memsdk.parts import Parts
    from memsdk.passages import PassageShelf
    from memsdk.ports import Embedder, Index, Reranker
    from memsdk.scoped import ScopedMemory
    from memsdk.sessions import SessionShelf
    from memsdk.tools import ToolShelf

DEFAULT_KINDS = (Kind.MEMORY, Kind.DOCUMENT)
IndexName = Literal["embedded", "embedded-inline", "exact"]


class Memory:
    """What an agent remembers: safe in SQLite, found by meaning and by word.

    Thread-safe. Several processes may open one store. Every verb takes keyword-only `user_id`, `agent_id`, `session_id`;
    a record without a `user_id` is shared by all users, and no read of one user shows another's record.

    Example:
        with Memory.open("agent-memory") as memory:
            memory.remember("Ana is allergic to peanuts.", user_id="ana")
            for hit in memory.recall("What can't Ana eat?", user_id="ana"):
                print(hit.score, hit.text)
    """

    def __init__(self, parts: Parts) -> None:
        """Use `Memory.open`."""
        self._open_parts: Parts | None = parts

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        embedder: str | Path | Embedder | None = None,
        index: IndexName | Index = "embedded",
        reranker: str | Path | Reranker | None = None,
        **settings: object,
    ) -> Self:
        """Open a store folder; it is made on first use.

        Args:
            path: the folder.
            embedder: a preset ("packaged", "BAAI/llm-embedder"), a sentence-transformers folder, a hub id or an object;
                None takes the store's own, or for a new store the packaged model.
            index: "embedded" (Qdrant Edge in a host process that all processes of this machine share),
                "embedded-inline" (in this process; no other may open the store), or "exact" (in memory, for tests).
            reranker: looks again at the best hits of each `recall`: "late" (late interaction, by the store's own encoder), a
                folder or hub id of a cross-encoder, the URL of an OpenAI-compatible server, or an object.
            settings: any field of `memsdk.settings.Settings`; `MEMSDK_*` variables set them too.

        Raises:
            EmbedderMismatchError: the store's vectors were made by another embedder.
            RerankerError: there is no such reranker.
            StoreError, IndexingError, InvalidInputError: see `memsdk.errors`.
        """
        from memsdk.wiring import build  # the one place that names concrete classes

        return cls(build(path, embedder=embedder, index=index, reranker=reranker, settings=settings))

    def close(self) -> None:
        """Write what waits, let go of the store. Twice is once."""
        parts, self._open_parts = self._open_parts, None
        if parts is not None:
            parts.close()

    def __enter__(self) -> Self:
        """The memory itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    # Each shelf is imported when it is first used: `memsdk recall` from a shell waits for all that is not.
    @cached_property
    def documents(self) -> DocumentShelf:
        """Files and texts, in chunks."""
        from memsdk.documents import DocumentShelf

        return DocumentShelf(self)

    @cached_property
    def examples(self) -> ExampleShelf:
        """Solved examples, for few-shot prompts."""
        from memsdk.examples import ExampleShelf

        return ExampleShelf(self)

    @cached_property
    def passages(self) -> PassageShelf:
        """Long texts that grow."""
        from memsdk.passages import PassageShelf

        return PassageShelf(self)

    @cached_property
    def sessions(self) -> SessionShelf:
        """Conversations, listed and read back."""
        from memsdk.sessions import SessionShelf

        return SessionShelf(self)

    @cached_property
    def tools(self) -> ToolShelf:
        """What can be called."""
        from memsdk.tools import ToolShelf

        return ToolShelf(self)

    @property
    def _parts(self) -> Parts:
        if self._open_parts is None:
            raise ClosedError("this memory was closed; open it again with Memory.open(...)")
        return self._open_parts

    @overload
    def remember(  # type: ignore[overload-overlap]  # a str is a sequence of str
        self, content: str | ChatMessage, *, user_id: str | None = None, agent_id: str | None = None,
        session_id: str | None = None, metadata: Mapping[str, object] | None = None, tags: Sequence[str] | None = None,
        occurred_at: datetime | str | None = None, expires_at: datetime | str | None = None,
        ttl: timedelta | float | None = None, id: str | None = None, supersedes: UUID | str | None = None,
        shared: bool = False, wait: bool = True,
    ) -> Record: ...  # fmt: skip
    @overload
    def remember(
        self, content: Sequence[str | ChatMessage], *, user_id: str | None = None, agent_id: str | None = None,
        session_id: str | None = None, metadata: Mapping[str, object] | None = None, tags: Sequence[str] | None = None,
        occurred_at: datetime | str | None = None, expires_at: datetime | str | None = None,
        ttl: timedelta | float | None = None, id: str | None = None, supersedes: UUID | str | None = None,
        shared: bool = False, wait: bool = True,
    ) -> builtins.list[Record]: ...  # fmt: skip
    def remember(
        self,
        content: str | ChatMessage | Sequence[str | ChatMessage],
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        session_id: str | None = None,
        metadata: Mapping[str, object] | None = None,
        tags: Sequence[str] | None = None,
        occurred_at: datetime | str | None = None,
        expires_at: datetime | str | None = None,
        ttl: timedelta | float | None = None,
        id: str | None = None,
        supersedes: UUID | str | None = None,
        shared: bool = False,
        wait: bool = True,
    ) -> Record | list[Record]:
        """Remember a text, a chat message, or a list of them; once it returns they are kept and can be recalled.

        The same text in the same scope is one record, and counted (`seen`); a chat message is the same only where its
        session, role, name, time and text agree, or its id.

        Args:
            content: a text, or `{"role", "content"}` with optional `"name"`, `"time"`, `"id"`, `"metadata"`; or a list.
            metadata: JSON values under names; filters find them. `tags` is filed as `metadata["tags"]`.
            occurred_at: when it was said; now, where it is not given.
            expires_at: when it ends; or `ttl`, a timedelta or seconds from now.
            id: an id of your own (for one text): unique per user, session and kind. The same content again is a no-op, new
                content an update.
            supersedes: the record that this one replaces; `recall(as_of=...)` still finds that one.
            shared: says that a missing user_id is meant, where the store requires one.
            wait: False returns after the commit; the record is found a moment later.

        Raises:
            InvalidInputError: nothing was written.
            NotFoundError: no record to supersede in this scope.
            IndexingError, EmbedderError: it is stored, and will be found once the cause is mended.
                (The first write of a new store needs the index, and stores nothing without it.)
        """
        parts = self._parts
        scope = self._scope(user_id=user_id, agent_id=agent_id, session_id=session_id, shared=shared)
        like = Draft(
            kind=Kind.MEMORY,
            text="",
            scope=scope,
            metadata=inputs.clean_metadata(metadata, tags=tags),
            occurred_at=inputs.clean_time(occurred_at, what="occurred_at"),
            expires_at=inputs.clean_expiry(expires_at=expires_at, ttl=ttl, now=parts.clock.now()),
            external_id=inputs.clean_id(id, what="id"),
            supersedes=None if supersedes is None else inputs.clean_uuid(supersedes, what="supersedes"),
        )
        written = [item.record for item in parts.writer.add(drafts_of(content, like=like), wait=wait)]
        is_one = isinstance(content, str | Mapping)
        return written[0] if is_one else written

    def update(
        self,
        id: UUID | str,
        text: str | None = None,
        *,
        metadata: Mapping[str, object] | None = None,
        tags: Sequence[str] | None = None,
        occurred_at: datetime | str | None = None,
        expires_at: datetime | str | None = None,
        ttl: timedelta | float | None = None,
    ) -> Record:
        """Write a new revision of a record; `history` keeps the old ones. What is not given stays as it is.

        Raises:
            NotFoundError: no such record.
        """
        return self._parts.access.update(
            id,
            text,
            users=None,
            metadata=metadata,
            tags=tags,
            occurred_at=occurred_at,
            expires_at=expires_at,
            ttl=ttl,
        )

    def forget(
        self,
        id: UUID | str | Sequence[UUID | str] | None = None,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        session_id: str | None = None,
        kinds: Sequence[Kind | str] | None = None,
        filters: Mapping[str, object] | None = None,
        before: datetime | str | None = None,
        older_than: timedelta | None = None,
    ) -> Forgotten:
        """Erase records so that no byte of their texts stays in the store; returns a receipt.

        The conditions are joined by and. A `user_id` alone erases all of that user: records, documents, recalls, feedback.
        Also erased are the recalls' outputs that were given with a forgotten record in view, as they may quote it.

        Args:
            id: a record's id, or several.
            before: those created before this time; or `older_than`, a timedelta back from now.

        Raises:
            InvalidInputError: no condition was given.
            NotFoundError: none of the ids exists.
        """
        return self._parts.access.forget(
            id, users=None, user_id=user_id, agent_id=agent_id, session_id=session_id, kinds=kinds, filters=filters,
            before=before, older_than=older_than,
        )  # fmt: skip

    def recall(
        self,
        query: str,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        session_id: str | None = None,
        kinds: Sequence[Kind | str] | None = None,
        k: int = 5,
        filters: Mapping[str, object] | None = None,
        as_of: datetime | str | None = None,
        history: Sequence[str | ChatMessage] | None = None,
        max_tokens: int | None = None,
        recency: timedelta | float | None = None,
        diversity: float = 0.0,
        collapse: bool = False,
        budget: Mapping[Kind | str, int] | None = None,
        explain: bool = False,
        this_session: bool = False,
        shared: bool = False,
    ) -> Recall:
        """Find what is worth knowing for this query: the user's own records and the shared ones, best first.

        Args:
            user_id: whose; without it only shared records are found.
            agent_id: sees that agent's records and those of none.
            kinds: which kinds to search; memories and documents by default.
            k: how many hits at most, 1 to 1,000; of each kind, where a `budget` is given.
            filters: `{"tag": "x", "n": {"$gte": 3}, "$or": [...]}`; see `memsdk.filters`.
            as_of: search what was current at that time: created by then, not yet superseded, updated or expired.
            history: the turns before the query, oldest first; each counts half of the one after it. See `enable`.
            max_tokens: the budget that `Recall.render()` keeps.
            budget: tokens by kind, such as `{"tool": 400}`: each kind then has its own hits and its own section, the
                kinds without a share in what `max_tokens` leaves them.
            recency: how old halves what age may take of a hit's score (half of it): a timedelta or days.
            diversity: 0 to 1, how much a hit loses that is like those before it.
            collapse: of texts that say nearly the same in the same words only the best is a hit.
            explain: fill each hit's `why`.
            this_session: only records of `session_id`; otherwise a session is no border for reading.
            shared: says that a missing user_id is meant, where the store requires one.

        Raises:
            InvalidInputError: an argument can't be used.
        """
        parts = self._parts
        if this_session and session_id is None:
            raise InvalidInputError("this_session=True needs a session_id")
        question = Question(
            query=inputs.clean_text(query, what="the query", most=inputs.MAX_QUERY_CHARS),
            scope=self._scope(user_id=user_id, agent_id=agent_id, session_id=session_id, shared=shared),
            kinds=inputs.clean_kinds(kinds, default=DEFAULT_KINDS),
            k=inputs.clean_k(k),
            where=filter_language.parse(filters),
            as_of=inputs.clean_time(as_of, what="as_of"),
            this_session=this_session,
            history=clean_history(history),
            max_tokens=None
            if max_tokens is None
            else inputs.clean_limit(max_tokens, what="max_tokens", most=10**7),
            explain=explain,
            ordering=ordering_of(recency=recency, diversity=diversity, collapse=collapse),
            second=parts.second,
        )
        shares = gathering.clean_budget(budget, kinds=question.kinds)
        if shares:
            recall, entry = gathering.gather(parts.recaller, question, id=uuid7(), budget=shares)
        else:
            recall, entry = parts.recaller.recall(question, id=uuid7())
        if parts.settings.log_recalls:
            parts.background.record(entry)
        return recall

    def get(self, id: UUID | str) -> Record:
        """One record. Raises NotFoundError."""
        return self._parts.access.get(id, users=None)

    def list(
        self,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        session_id: str | None = None,
        kinds: Sequence[Kind | str] | None = None,
        filters: Mapping[str, object] | None = None,
        limit: int = 100,
        after: UUID | str | None = None,
    ) -> builtins.list[Record]:
        """Records, oldest first: a user's own, or without a user_id everybody's. Page with `after`, the last id seen."""
        return self._parts.access.list(
            users=inputs.clean_user(user_id),
            agent_id=agent_id,
            session_id=session_id,
            kinds=kinds,
            filters=filters,
            limit=limit,
            after=after,
        )

    def history(self, id: UUID | str) -> builtins.list[Record]:
        """Every revision of a record, oldest first. Raises NotFoundError."""
        return self._parts.access.history(id, users=None)

    def feedback(
        self,
        recall: Recall | UUID | str,
        *,
        output: str | None = None,
        score: float | None = None,
        used: Sequence[UUID | str] = (),
        metadata: Mapping[str, object] | None = None,
    ) -> UUID:
        """File what became of a recall: the agent's output, how it was received (0 to 1), the records that it used.

        Raises:
            NotFoundError: no such recall, or its log entry has expired.
            InvalidInputError: neither output nor score nor used was given, or the score is not from 0 to 1.
        """
        return self._parts.access.feedback(
            recall, users=None, output=output, score=score, used=used, metadata=metadata
        )

    def scoped(
        self, *, user_id: str | None = None, agent_id: str | None = None, session_id: str | None = None
    ) -> ScopedMemory:
        """The same surface with the scope filled in; it reaches no further than that scope."""
        scope = inputs.clean_scope(user_id=user_id, agent_id=agent_id, session_id=session_id)
        inputs.require_user(scope, required=self._parts.settings.require_user, shared=False)
        from memsdk.scoped import ScopedMemory

        return ScopedMemory(self, scope)

    def flush(self) -> None:
        """Wait until all that was written, by any process, is indexed and on disk."""
        self._parts.flush()

    def stats(self) -> Stats:
        """What the store holds."""
        return self._parts.stats()

    def verify(self) -> Verification:
        """Compare SQL and the index; `Verification.clean` says whether they agree."""
        return self._parts.verifier.verify()

    def repair(self, *, progress: Progress | None = None) -> Verification:
        """Mend every difference that `verify` finds, and verify again."""
        return self._parts.verifier.repair(progress=progress)

    def reindex(
        self, *, embedder: str | Path | Embedder | None = None, progress: Progress | None = None
    ) -> None:
        """Build all vectors anew, with another embedder if one is given, while the old ones serve; then switch."""
        self._parts.reindex(embedder, progress=progress)

    def enable(self, task: Task | str, *, progress: Progress | None = None) -> bool:
        """Index documents for `convsearch` too, so that `recall(..., history=...)` searches them as it was trained to.

        The space is built while the others serve, and costs the embedding of every document. Where the embedder has no
        prefixes, all tasks share one space and nothing is built. Without it, a recall with a history searches the
        documents' own space. Returns False where the task serves already.

        Raises:
            InvalidInputError: no such task, or one that needs no enabling.
        """
        return self._parts.enable(inputs.clean_task(task), progress=progress)

    def retire(self) -> builtins.list[str]:
        """Drop the vectors that no task uses any more, after a `reindex`; returns the collections' names.

        Until then a `reindex` back to the embedder before is quick: only what changed since is embedded again.
        """
        return self._parts.rebuilder.retire()

    def optimize(self) -> bool:
        """Build the search graphs beside the serving ones; worth it beyond some 20,000 records. True if one was built."""
        return self._parts.optimize()

    def sweep(self) -> Forgotten:
        """Erase what has expired, and recalls beyond the log's retention. Every open does this too."""
        return self._parts.forgetter.sweep()

    def backup(self, path: str | Path) -> Path:
        """Copy the store to a new folder while others write. Opening the copy rebuilds its index from SQL if it must."""
        return self._parts.backup(inputs.clean_path(path, what="path"))

    def export_jsonl(
        self, path: str | Path, *, user_id: str | None = None, progress: Progress | None = None
    ) -> int:
        """Write all that is needed to rebuild the store elsewhere, a JSON object a line; returns how many lines."""
        file, users = inputs.clean_path(path, what="path"), inputs.clean_user(user_id)
        return transfer.export_jsonl(self._parts, file, users=users, progress=progress)

    def import_jsonl(self, path: str | Path, *, progress: Progress | None = None) -> transfer.Imported:
        """Read what `export_jsonl` wrote; what the store has already is left as it is."""
        return transfer.import_jsonl(self._parts, inputs.clean_path(path, what="path"), progress=progress)

    def _scope(
        self, *, user_id: str | None, agent_id: str | None, session_id: str | None, shared: bool
    ) -> Scope:
        scope = inputs.clean_scope(user_id=user_id, agent_id=agent_id, session_id=session_id)
        inputs.require_user(scope, required=self._parts.settings.require_user, shared=shared)
        return scope
