"""What `remember` takes: a text, a chat message, or a list of them; made into drafts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from memsdk.errors import InvalidInputError
from memsdk.inputs import clean_id, clean_metadata, clean_text, clean_time
from memsdk.models import Draft

ChatMessage = Mapping[str, object]
"""`{"role", "content"}` with optional `"name"`, `"time"` (ISO 8601 or datetime), `"id"`, `"metadata"`."""

ROLES = ("system", "developer", "user", "assistant", "tool", "function")
_FIELDS = frozenset({"role", "content", "name", "time", "id", "metadata"})


def drafts_of(content: object, *, like: Draft) -> list[Draft]:
    """A draft for each text or message, with the scope, times and metadata of `like` where it has none of its own."""
    if isinstance(content, str | bytes | Mapping) or not isinstance(content, Sequence):
        return [_draft(content, like=like, what="the text")]
    if like.external_id is not None or like.supersedes is not None:
        raise InvalidInputError("id and supersedes go with one text; a message has its own `id`")
    return [_draft(item, like=like, what=f"item {number}") for number, item in enumerate(content)]


def clean_history(history: object) -> tuple[str, ...]:
    """The turns before a query, oldest first, as lines with their speakers."""
    if history is None:
        return ()
    if isinstance(history, str) or not isinstance(history, Sequence):
        raise InvalidInputError(
            f"history is {type(history).__name__}, expected a list of texts or chat messages"
        )
    blank = Draft.blank()
    turns = [_draft(turn, like=blank, what=f"history item {number}") for number, turn in enumerate(history)]
    return tuple(f"{turn.name or turn.role}: {turn.text}" if turn.is_message else turn.text for turn in turns)


def _draft(item: object, *, like: Draft, what: str) -> Draft:
    if not isinstance(item, Mapping):
        return replace(like, text=clean_text(item, what=what))
    unknown = sorted(str(name) for name in item if name not in _FIELDS)
    if unknown or "role" not in item or "content" not in item:
        raise InvalidInputError(
            f"{what} is not a chat message: it has {', '.join(map(str, item)) or 'nothing'};"
            f" role and content are needed, {', '.join(sorted(_FIELDS - {'role', 'content'}))} may be there"
        )
    if item["role"] not in ROLES:
        raise InvalidInputError(f"{what}: role is {item['role']!r:.40}, expected one of {', '.join(ROLES)}")
    return replace(
        like,
        text=clean_text(_content(item["content"], what=what), what=f"{what}: content"),
        role=str(item["role"]),
        name=clean_id(item.get("name"), what=f"{what}: name"),
        metadata={**like.metadata, **clean_metadata(item.get("metadata"))},
        occurred_at=clean_time(item.get("time"), what=f"{what}: time") or like.occurred_at,
        external_id=clean_id(item.get("id"), what=f"{what}: id") or like.external_id,
        is_message=True,
    )


def _content(content: object, *, what: str) -> object:
    """OpenAI's content may be a list of parts; their texts are taken, in order."""
    if not isinstance(content, list):
        return content
    texts = [part.get("text") for part in content if isinstance(part, Mapping) and part.get("type") == "text"]
    if not texts:
        raise InvalidInputError(f"{what}: content has no text part; memsdk remembers text")
    return "\n".join(clean_text(text, what=f"{what}: a content part") for text in texts)
