"""`memory.documents`: files and texts, cut into chunks that can be recalled; ingesting again changes what changed."""

from __future__ import annotations

import builtins  # a method named `list` hides the type
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

from uuid_utils.compat import uuid7

from memsdk import inputs
from memsdk.errors import IngestError, InvalidInputError
from memsdk.models import Document, Draft, Forgotten, IngestReport, Kind, Metadata, Scope
from memsdk.ports import Change, Message, Parsed, Whose
from memsdk.remembering import changes_of
from memsdk.shelving import shelve

if TYPE_CHECKING:
    from memsdk.memory import Memory
    from memsdk.parts import Parts

Source = str | Path
OnSource = Callable[[str, int], None]
"""Told of each source that is done, and how many chunks or messages it gave."""

MAX_CHUNK_TOKENS = 200
TITLE_ROOM_TOKENS = 56
MAX_TEXT_CHARS = 100_000_000
GROUP = 128  # chunks indexed together


@dataclass(slots=True)
class _Tally:
    """What an ingest did so far."""

    added: list[Document] = field(default_factory=list)
    updated: list[Document] = field(default_factory=list)
    unchanged: list[Document] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)
    messages: int = 0
    tools: int = 0
    examples: int = 0
    shelved: int = 0  # files of tools or examples
    chunks_added: int = 0
    chunks_removed: int = 0

    def report(self) -> IngestReport:
        """The report of it."""
        return IngestReport(
            added=tuple(self.added),
            updated=tuple(self.updated),
            unchanged=tuple(self.unchanged),
            failed=tuple(self.failed),
            messages=self.messages,
            tools=self.tools,
            examples=self.examples,
            chunks_added=self.chunks_added,
            chunks_removed=self.chunks_removed,
        )


class DocumentShelf:
    """Documents by source: `ingest`, `list`, `remove`."""

    def __init__(self, memory: Memory, *, scope: Scope | None = None) -> None:
        """Args: `scope` limits what can be reached, and whose what is ingested is; None is everybody's."""
        self._memory = memory
        self._bound = scope

    def ingest(
        self,
        sources: Source | Sequence[Source] = (),
        *,
        text: str | None = None,
        title: str | None = None,
        key: str | None = None,
        media_type: str = "text/plain",
        user_id: str | None = None,
        agent_id: str | None = None,
        metadata: Mapping[str, object] | None = None,
        tags: Sequence[str] | None = None,
        shared: bool = False,
        on_source: OnSource | None = None,
    ) -> IngestReport:
        """Read files and folders, or one text, into chunks that `recall` finds. Chat exports become memories.

        A source is known by its path (or `key`): unchanged it is left alone, changed only its changed chunks are replaced.
        A file that can't be read is listed in the report's `failed`, and the others are read.

        Args:
            sources: files or folders: md, txt, rst, html, pdf, docx, csv, json, jsonl, source code, chat exports; lists of
                tools and of solved examples go to `memory.tools` and `memory.examples`.
            text: a document given as it is, with its `title` and, to recognise it next time, a `key` (else the title).
            media_type: how to read `text`, such as text/markdown.
            on_source: called after each source is kept.

        Raises:
            IngestError: not one source could be read.
            InvalidInputError: an argument can't be used.
        """
        parts = self._memory._parts  # noqa: SLF001 -- a room of Memory
        scope = self._scope(user_id=user_id, agent_id=agent_id, shared=shared)
        extra = inputs.clean_metadata(metadata, tags=tags)
        tally = _Tally()
        if text is not None:
            if sources:
                raise InvalidInputError("give sources or text, not both")
            named = _title(title, key)
            key = inputs.clean_id(key, what="key")
            media_type = inputs.clean_text(media_type, what="media_type", most=inputs.MAX_ID_CHARS)
            body = inputs.clean_text(text, most=MAX_TEXT_CHARS)
            parsed = parts.reader.read_text(body, title=named, media_type=media_type, key=key)
            everything: Iterator[Parsed] = (
                replace(part, title=named) for part in parsed
            )  # not the first heading's
        else:
            if title is not None or key is not None:
                raise InvalidInputError("title and key go with text; a file has its own name and path")
            everything = _read(parts, inputs.clean_paths(sources), tally)
        prose = self._shelving(everything, scope=scope, metadata=extra, tally=tally, on_source=on_source)
        for group in _grouped(parts, prose, scope=scope, metadata=extra):
            self._store(parts, group, scope=scope, tally=tally, on_source=on_source)
        if tally.failed and not (
            tally.added or tally.updated or tally.unchanged or tally.messages or tally.shelved
        ):
            raise IngestError("; ".join(f"{source}: {problem}" for source, problem in tally.failed[:5]))
        return tally.report()

    def list(
        self, *, user_id: str | None = None, limit: int = 100, after: UUID | str | None = None
    ) -> builtins.list[Document]:
        """Documents, oldest first: of one user, or without a user_id all within reach. Page with `after`."""
        user = inputs.clean_id(user_id, what="user_id")
        users = self._users if user is None else inputs.narrow(self._users, user)
        cursor = None if after is None else inputs.clean_uuid(after, what="after")
        documents = self._memory._parts.store.documents  # noqa: SLF001
        return documents.list(users=users, agents=self._agents, limit=inputs.clean_limit(limit), after=cursor)

    def remove(self, document: Document | UUID | str) -> Forgotten:
        """Erase a document and its chunks. Raises NotFoundError."""
        wanted = document.id if isinstance(document, Document) else inputs.clean_uuid(document)
        bound = self._bound
        users = None if bound is None else (bound.user_id,)
        agents = None if bound is None or bound.agent_id is None else (bound.agent_id,)
        return self._memory._parts.forgetter.remove_document(wanted, users=users, agents=agents)  # noqa: SLF001

    @property
    def _users(self) -> Whose:
        return None if self._bound is None else tuple(dict.fromkeys((self._bound.user_id, None)))

    @property
    def _agents(self) -> Whose:
        agent = None if self._bound is None else self._bound.agent_id
        return None if agent is None else (agent, None)

    def _scope(self, *, user_id: str | None, agent_id: str | None, shared: bool) -> Scope:
        if self._bound is not None:
            if (user_id, agent_id) != (None, None):
                raise InvalidInputError("a scoped view fills in user_id and agent_id; leave them out")
            return Scope(user_id=self._bound.user_id, agent_id=self._bound.agent_id)
        return self._memory._scope(user_id=user_id, agent_id=agent_id, session_id=None, shared=shared)  # noqa: SLF001

    def _shelving(
        self,
        sources: Iterator[Parsed],
        *,
        scope: Scope,
        metadata: Metadata,
        tally: _Tally,
        on_source: OnSource | None,
    ) -> Iterator[Parsed]:
        """The sources that are prose or chats; tools and examples go to their own shelves on the way."""
        for parsed in sources:
            if not (parsed.tools or parsed.examples):
                yield parsed
                continue
            try:
                written = shelve(self._memory, parsed, scope=scope, metadata=metadata)
            except InvalidInputError as error:
                tally.failed.append((parsed.key, str(error)))
                continue
            tally.shelved += 1
            changed = sum(item.outcome != "unchanged" for item in written)
            tally.tools += changed if parsed.tools else 0
            tally.examples += changed if parsed.examples else 0
            if on_source is not None:
                on_source(parsed.key, len(written))

    def _store(
        self, parts: Parts, group: Sequence[_Cut], *, scope: Scope, tally: _Tally, on_source: OnSource | None
    ) -> None:
        """Keep a group of sources and index their changed chunks together."""
        changes: list[Change] = []
        try:
            for cut in group:
                if cut.parsed.messages:
                    written = parts.writer.add(_message_drafts(cut.parsed, scope=scope))
                    tally.messages += sum(item.outcome == "added" for item in written)
                if cut.parsed.sections or not cut.parsed.messages:
                    changes += _store_document(parts, cut, scope=scope, tally=tally)
        except BaseException:  # what the group has stored so far is indexed by the background
            parts.store.outbox.release(changes)
            raise
        parts.writer.index(changes, wait=True)
        if on_source is not None:
            for cut in group:
                on_source(cut.parsed.key, len(cut.chunks) + len(cut.parsed.messages))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cut:
    """A parsed source and the drafts of its chunks."""

    parsed: Parsed
    document: Document
    chunks: tuple[Draft, ...]


def _read(parts: Parts, paths: Sequence[Path], tally: _Tally) -> Iterator[Parsed]:
    for path in parts.reader.sources(paths):
        try:
            yield from parts.reader.read(path)
        except IngestError as error:
            tally.failed.append((str(path), str(error)))


def _grouped(
    parts: Parts, sources: Iterator[Parsed], *, scope: Scope, metadata: Metadata
) -> Iterator[list[_Cut]]:
    """Sources with their chunks, as many together as make a good batch for the encoder."""
    group: list[_Cut] = []
    for parsed in sources:
        group.append(_cut(parts, parsed, scope=scope, metadata=metadata))
        if sum(len(cut.chunks) + len(cut.parsed.messages) for cut in group) >= GROUP:
            yield group
            group = []
    if group:
        yield group


def _cut(parts: Parts, parsed: Parsed, *, scope: Scope, metadata: Metadata) -> _Cut:
    serving = parts.serving.current()
    room = serving.embedder.spec.max_tokens - TITLE_ROOM_TOKENS
    pieces = parts.chunker(serving).chunk(parsed.sections, max_tokens=max(16, min(MAX_CHUNK_TOKENS, room)))
    now = parts.clock.now()
    own = {**parsed.metadata, **metadata}
    document = Document(
        id=uuid7(),
        key=parsed.key,
        title=parsed.title,
        media_type=parsed.media_type,
        content_hash=_content_hash(parsed, own, key=parts.store.admin.secret()),
        user_id=scope.user_id,
        agent_id=scope.agent_id,
        metadata=dict(own),
        created_at=now,
        updated_at=now,
    )
    chunks = tuple(
        Draft(
            kind=Kind.DOCUMENT,
            text=piece.text,
            scope=scope,
            metadata=own,
            title=parsed.title,
            section=piece.headings,
            position=number,
        )
        for number, piece in enumerate(pieces)
    )
    return _Cut(parsed=parsed, document=document, chunks=chunks)


def _store_document(parts: Parts, cut: _Cut, *, scope: Scope, tally: _Tally) -> list[Change]:
    known = parts.store.documents.find(key=cut.document.key, scope=scope)
    if known is not None and known.content_hash == cut.document.content_hash:
        tally.unchanged.append(known)
        return []
    stored, written, removed, gone = parts.store.documents.replace(
        cut.document, chunks=cut.chunks, owner=parts.store.token
    )
    (tally.added if known is None else tally.updated).append(stored)
    tally.chunks_added += sum(item.outcome == "added" for item in written)
    tally.chunks_removed += removed
    return changes_of(written) + gone


def _message_drafts(parsed: Parsed, *, scope: Scope) -> list[Draft]:
    return [
        _message_draft(message, parsed=parsed, scope=scope)
        for message in parsed.messages
        if message.content.strip()
    ]


def _message_draft(message: Message, *, parsed: Parsed, scope: Scope) -> Draft:
    session = message.session_id or inputs.clean_id(
        Path(parsed.key).name[: inputs.MAX_ID_CHARS], what="session_id"
    )
    return Draft(
        kind=Kind.MEMORY,
        text=inputs.clean_text(message.content, what="a message"),
        scope=Scope(user_id=scope.user_id, agent_id=scope.agent_id, session_id=session),
        metadata=inputs.clean_metadata(message.metadata),
        role=message.role,
        name=message.name,
        external_id=message.id,
        occurred_at=message.time,
        is_message=True,
    )


def _content_hash(parsed: Parsed, metadata: Metadata, *, key: bytes) -> str:
    content = [
        parsed.title,
        [[*section.headings, section.text] for section in parsed.sections],
        dict(metadata),
    ]
    return hashlib.blake2b(json.dumps(content, sort_keys=True).encode(), key=key, digest_size=16).hexdigest()


def _title(title: str | None, key: str | None) -> str:
    if not (title or key):
        raise InvalidInputError("a text needs a title (and, where titles repeat, a key)")
    return inputs.clean_text(title or key, what="title", most=inputs.MAX_ID_CHARS)
