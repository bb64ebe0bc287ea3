"""`memory.passages`: texts that grow, such as a draft, a transcript or a log, and what of them bears on their end."""

from __future__ import annotations

import builtins  # a method named `list` hides the type
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from uuid_utils.compat import uuid7

from memsdk import inputs
from memsdk.cutting import cut
from memsdk.errors import ConflictError, InvalidInputError, NotFoundError
from memsdk.filters import All, Filter, Match, Range
from memsdk.models import Draft, Forgotten, Hit, Kind, Metadata, Record, Scope, Stream
from memsdk.ports import RecordFilter, Tail
from memsdk.remembering import changes_of
from memsdk.shelf import Shelf
from memsdk.stretches import Passage, PassageRecall, end_of, in_their_text, pool_of, start_of
from memsdk.testing.failpoints import reach

if TYPE_CHECKING:
    from memsdk.memory import Memory

CHUNK_TOKENS = 128
"""As in LLM-Embedder's long-range language modelling (arXiv 2310.07554, section 3)."""

RECUT = 2
"""With each piece the last two chunks are cut again: then a text in pieces has the chunks that it would have at once."""

QUERY_CHARS = 1_000
"""How much of the recent text is searched for: its end, as long as a chunk or somewhat longer."""

MAX_APPEND_CHARS = 10_000_000
SPACE = 64  # characters of it that may follow the recent text
ATTEMPTS = 20  # when other writers were first each time


@dataclass(frozen=True, slots=True, kw_only=True)
class _End:
    """The last chunks of a stream, which are cut again, and where the stream ends."""

    chunks: tuple[Record, ...]  # next to each other, at most two
    chars: int

    @property
    def text(self) -> str:
        return "".join(chunk.text for chunk in self.chunks)


class PassageShelf:
    """Growing texts by the name of their stream: `append`, `recall`, `read`, `list`, `remove`."""

    def __init__(self, memory: Memory, *, scope: Scope | None = None) -> None:
        """Args: `scope` limits what can be reached, and whose what is appended is; None is everybody's."""
        self._shelf = Shelf(memory, Kind.PASSAGE, scope=scope)
        self._bound = scope

    def append(
        self,
        stream: str,
        text: str,
        *,
        at: int | None = None,
        user_id: str | None = None,
        agent_id: str | None = None,
        metadata: Mapping[str, object] | None = None,
        tags: Sequence[str] | None = None,
        shared: bool = False,
        wait: bool = True,
    ) -> Stream:
        """Add a text to the end of a stream, all or nothing; the first text begins it. Returns how long it is now.

        The text is cut into chunks of about 128 tokens at sentences and lines. In pieces it gets the chunks that it
        would get at once. Not a character is lost: `read` gives the text back.

        Args:
            stream: its name; each user, and each agent of theirs, has streams of their own.
            at: the character at which this text begins: `Stream.chars` of the last append. What the stream holds from
                there on is not added again, so a call that may have been made can be repeated, and `at=0` takes the
                whole text as it is now and adds what is new.
            metadata: filed with the chunks that this text is in.
            wait: False returns after the commit; the text is found a moment later.

        Raises:
            ConflictError: the stream holds other words there than this text does.
            InvalidInputError: an argument can't be used, or `at` lies beyond the end. Nothing was written.
            IndexingError, EmbedderError: it is stored, and will be found once the cause is mended.
        """
        parts = self._shelf.parts
        scope = self._exactly(stream, user_id=user_id, agent_id=agent_id, shared=shared)
        extra = inputs.clean_metadata(metadata, tags=tags)
        start = None if at is None else _clean_place(at, what="at")
        parts.serving.prepare()
        owner = parts.store.token if wait else None
        for _ in range(ATTEMPTS):
            end = self._end(scope)
            added = _clean_piece(text, begins=end.chars == 0)
            added = added if start is None else self._unsaid(scope, added, start=start, chars=end.chars)
            if not added:
                break
            kept, drafts = self._drafts(scope, end, added, metadata=extra)
            tail = Tail(
                scope=scope,
                last=end.chunks[-1].id if end.chunks else None,
                replaced=tuple(chunk.id for chunk in end.chunks[kept:]),
            )
            reach("sql-before-commit")
            extended = parts.store.passages.extend(tail, drafts, owner=owner)
            if extended is not None:
                reach("sql-after-commit")
                written, gone = extended
                parts.writer.index([*changes_of(written), *gone], wait=wait)
                break
        else:
            raise ConflictError(
                f"others append to {stream!r} all the time; let one writer do it, or use a stream for each"
            )
        return self._list(scope.session_id, users=(scope.user_id,), agents=(scope.agent_id,))[0]

    def recall(
        self,
        stream: str,
        recent_text: str,
        *,
        k: int = 4,
        before: int | None = None,
        user_id: str | None = None,
        agent_id: str | None = None,
        max_tokens: int | None = None,
        explain: bool = False,
        shared: bool = False,
    ) -> PassageRecall:
        """Find earlier chunks that bear on the recent text, each with the chunk that followed it, in the text's order.

        Args:
            stream: one of the user's own, or a shared one.
            recent_text: what was written last; its end is searched for.
            k: how many chunks at most, 1 to 1,000.
            before: only chunks that end at this character or sooner. Where the stream ends with the recent text it is
                the character at which that begins, as the reader has this in view; otherwise the end of the stream.
            max_tokens: the budget that `render()` keeps.

        Raises:
            NotFoundError: no such stream within reach.
        """
        asked = self._shelf.scope(user_id=user_id, agent_id=agent_id, shared=shared)
        found = self._find(_clean_name(stream), asked)
        recent = inputs.clean_text(recent_text, what="the recent text")
        scope = Scope(user_id=found.user_id, agent_id=found.agent_id, session_id=found.name)
        limit = self._window(scope, recent, found) if before is None else _clean_place(before, what="before")
        count = inputs.clean_k(k)
        (last,) = self._shelf.parts.store.passages.last(scope, count=1)
        recall = self._shelf.search(
            _query_of(recent),
            scope=replace(scope, session_id=None),  # the stream's name is not to outlive it in the recall log
            k=count,
            pool=pool_of(count),
            choose=partial(in_their_text, end=end_of(last) if limit is None else limit),
            where=_earlier(last.data["stream"], limit),
            max_tokens=None
            if max_tokens is None
            else inputs.clean_limit(max_tokens, what="max_tokens", most=10**7),
            explain=explain,
        )
        fields = {name: getattr(recall, name) for name in type(recall).model_fields}
        return PassageRecall(**{**fields, "hits": self._continued(scope, recall.hits, limit=limit)})

    def read(
        self, stream: str, *, start: int = 0, user_id: str | None = None, agent_id: str | None = None,
        shared: bool = False,
    ) -> str:  # fmt: skip
        """The text of a stream, from a character on. Raises NotFoundError."""
        asked = self._shelf.scope(user_id=user_id, agent_id=agent_id, shared=shared)
        found = self._find(_clean_name(stream), asked)
        scope = Scope(user_id=found.user_id, agent_id=found.agent_id, session_id=found.name)
        return self._text(scope, start=_clean_place(start, what="start"))

    def list(self, *, user_id: str | None = None, limit: int = 100) -> builtins.list[Stream]:
        """Streams, the one that grew last first: of one user, or without a user_id of all within reach."""
        user = inputs.clean_id(user_id, what="user_id")
        bound = self._bound
        reach = None if bound is None else tuple(dict.fromkeys((bound.user_id, None)))
        users = reach if user is None else inputs.narrow(reach, user)
        agents = None if bound is None or bound.agent_id is None else (bound.agent_id, None)
        return self._list(None, users=users, agents=agents, limit=inputs.clean_limit(limit))

    def remove(
        self, stream: str, *, user_id: str | None = None, agent_id: str | None = None, shared: bool = False
    ) -> Forgotten:
        """Erase a stream of exactly this user and agent, so that no byte of it stays. Raises NotFoundError."""
        scope = self._exactly(stream, user_id=user_id, agent_id=agent_id, shared=shared)
        receipt = self._shelf.parts.forgetter.forget(
            RecordFilter(
                kinds=(Kind.PASSAGE,),
                session_id=scope.session_id,
                users=(scope.user_id,),
                agents=(scope.agent_id,),
            )
        )
        if not receipt.records:
            raise _missing(stream)
        return receipt

    # -- the end of a stream

    def _end(self, scope: Scope) -> _End:
        chunks = self._shelf.parts.store.passages.last(scope, count=RECUT)
        if not chunks:
            return _End(chunks=(), chars=0)
        joined = len(chunks) == RECUT and end_of(chunks[0]) == start_of(chunks[1])
        return _End(chunks=tuple(chunks if joined else chunks[-1:]), chars=end_of(chunks[-1]))

    def _drafts(
        self, scope: Scope, end: _End, added: str, *, metadata: Metadata
    ) -> tuple[int, builtins.list[Draft]]:
        """How many of the last chunks stay as they are, and the chunks that come after those."""
        serving = self._shelf.parts.serving.current()
        texts = cut(end.text + added, count_tokens=serving.embedder.count_tokens, target=CHUNK_TOKENS)
        kept = 0
        while kept < min(len(end.chunks), len(texts)) and end.chunks[kept].text == texts[kept]:
            kept += 1
        first = end.chunks[0] if end.chunks else None
        name = str(uuid7()) if first is None else str(first.data["stream"])
        start, position = (0, 0) if first is None else (start_of(first), first.position or 0)
        drafts = []
        for number, text in enumerate(texts):
            grown = end.chunks[number].metadata if number < len(end.chunks) else {}
            drafts.append(
                Draft(
                    kind=Kind.PASSAGE,
                    id=uuid7(),  # an equal chunk elsewhere in the text is another one
                    text=text,
                    scope=scope,
                    metadata={**grown, **metadata},
                    data={"stream": name, "start": start},
                    position=position + number,
                )
            )
            start += len(text)
        return kept, drafts[kept:]

    def _unsaid(self, scope: Scope, text: str, *, start: int, chars: int) -> str:
        """What of a text that begins at `start` the stream does not hold yet."""
        if start > chars:
            raise InvalidInputError(
                f"at is {start:,}, beyond the stream's end at {chars:,}; append what lies between first"
            )
        held = self._text(scope, start=start)
        same = min(len(held), len(text))
        if held[:same] != text[:same]:
            place = next(place for place in range(same) if held[place] != text[place])
            raise ConflictError(
                f"from character {start + place:,} on stream {scope.session_id!r} holds other words than this text;"
                " a stream only grows: remove it, or append to another one"
            )
        return text[same:]

    def _text(self, scope: Scope, *, start: int) -> str:
        """The stream's text from a character on, read backwards, more at a time."""
        chunks: builtins.list[Record] = []
        before, count = None, 16
        while not chunks or start_of(chunks[0]) > start:
            page = self._shelf.parts.store.passages.last(scope, count=count, before=before)
            chunks = page + chunks
            if len(page) < count:
                break
            before, count = page[0].position, 2 * count
        text = "".join(chunk.text for chunk in chunks)
        return text[max(0, start - (start_of(chunks[0]) if chunks else 0)) :]

    def _window(self, scope: Scope, recent: str, found: Stream) -> int | None:
        """Where the recent text begins, if the stream ends with it; the space around it is not told apart."""
        recent = recent.strip()
        start = max(0, found.chars - len(recent) - SPACE)
        tail = self._text(scope, start=start).rstrip()
        if tail.endswith(recent):
            return start + len(tail) - len(recent)
        return 0 if recent.endswith(tail) and not start else None

    # -- finding

    def _continued(self, scope: Scope, hits: Sequence[Hit], *, limit: int | None) -> tuple[Passage, ...]:
        """The hits in the text's order, each with the next chunk, unless the reader has that in view."""
        places = [hit.position + 1 for hit in hits if hit.position is not None]
        following = {
            start_of(chunk): chunk.text
            for chunk in self._shelf.parts.store.passages.at(scope, places)
            if limit is None or end_of(chunk) <= limit
        }
        ordered = sorted(hits, key=start_of)
        return tuple(
            Passage.model_construct(**dict(hit), continuation=following.get(end_of(hit))) for hit in ordered
        )

    def _find(self, name: str, asked: Scope) -> Stream:
        """The stream of that name nearest to the scope: the user's own before a shared one, the agent's own first."""
        agents = None if asked.agent_id is None else (asked.agent_id, None)
        found = self._list(name, users=tuple(dict.fromkeys((asked.user_id, None))), agents=agents)
        if not found:
            raise _missing(name)
        return min(found, key=lambda one: (one.user_id != asked.user_id, one.agent_id != asked.agent_id))

    def _list(
        self,
        name: str | None,
        *,
        users: tuple[str | None, ...] | None,
        agents: tuple[str | None, ...] | None,
        limit: int = 100,
    ) -> builtins.list[Stream]:
        return self._shelf.parts.store.passages.list(users=users, agents=agents, name=name, limit=limit)

    def _exactly(self, stream: str, *, user_id: str | None, agent_id: str | None, shared: bool) -> Scope:
        scope = self._shelf.scope(user_id=user_id, agent_id=agent_id, shared=shared)
        return replace(scope, session_id=_clean_name(stream))


def _earlier(stream: object, limit: int | None) -> Filter:
    """Chunks of this stream that end by `limit`."""
    of_stream = Match("passage.stream", (str(stream),))
    return of_stream if limit is None else All((of_stream, Range(field="passage.end", lte=float(limit))))


def _query_of(recent: str) -> str:
    """The last thousand characters, from a word on."""
    if len(recent) <= QUERY_CHARS:
        return recent
    end = recent[-QUERY_CHARS:]
    return end.partition(" ")[2].strip() or end.strip() or recent.strip()[-QUERY_CHARS:]


def _clean_name(stream: object) -> str:
    name = inputs.clean_id(stream, what="the stream's name")
    if name is None:
        raise InvalidInputError("the stream's name is None; give a name, such as the draft's")
    return name


def _clean_piece(text: object, *, begins: bool) -> str:
    """A text as `clean_text` has it; within a stream it may be blank, such as the line between two paragraphs."""
    if not begins and isinstance(text, str) and text and text.isspace():
        return text
    return inputs.clean_text(text, most=MAX_APPEND_CHARS)


def _clean_place(value: object, *, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidInputError(f"{what} is {value!r:.40}, expected a number of characters")
    if value < 0:
        raise InvalidInputError(f"{what} is {value}, expected 0 or more characters")
    return value


def _missing(stream: str) -> NotFoundError:
    return NotFoundError(f"no stream {stream!r} in this scope; `passages.list()` shows what there is")
