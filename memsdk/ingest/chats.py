"""Chat exports, told by their content: OpenAI's conversations.json, LoCoMo, plain role/content lists.

A conversation becomes one `Parsed` with messages. Where the file does not say which session they belong to, a
lone role/content list's `session_id` stays None (the caller knows best); several in one file get one each.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from hashlib import sha256

from pydantic import JsonValue

from memsdk.ingest.source import Source
from memsdk.ingest.times import moment
from memsdk.ports import Message, Parsed

Fields = Mapping[str, JsonValue]

_ROLES = {
    "user": "user", "human": "user",
    "assistant": "assistant", "ai": "assistant", "bot": "assistant", "model": "assistant",
    "system": "system", "developer": "system", "tool": "tool", "function": "tool",
}  # fmt: skip
_TIMES = ("time", "timestamp", "created_at", "create_time", "date")
_SESSIONS = ("session_id", "conversation_id", "thread_id", "id", "uuid")
_JUDGED = ("score", "approved", "liked", "rating", "feedback")  # how an answer was received
_SESSION = re.compile(r"session_(\d+)")
_UNSPOKEN = frozenset(("thoughts", "reasoning_recap", "user_editable_context", "model_editable_context"))


def conversations(value: JsonValue, source: Source) -> list[Parsed] | None:
    """The conversations in this JSON value; None where it is no chat export.

    Raises IngestError for an export that is broken further in, with the place.
    """
    for recognised, read in _SHAPES:
        if recognised(value):
            return [read(value, source, None)]
        if isinstance(value, list) and value and recognised(value[0]):
            return [read(item, source, place) for place, item in enumerate(value, start=1)]
    return None


# -- plain lists of messages ---------------------------------------------------------------------------


def _is_message(value: JsonValue) -> bool:
    return isinstance(value, dict) and "content" in value and str(value.get("role")).lower() in _ROLES


def _is_plain(value: JsonValue) -> bool:
    if isinstance(value, dict):
        value = value.get("messages")
    return isinstance(value, list) and bool(value) and _is_message(value[0])


def _plain(value: JsonValue, source: Source, place: int | None) -> Parsed:
    about: Fields = value if isinstance(value, dict) else {}
    items = about.get("messages") if isinstance(value, dict) else value
    at = "" if place is None else f"conversation {place}, "
    if not isinstance(items, list):
        raise source.error(f"{at}expected a list of messages, got {type(items).__name__}; mend or remove it")
    session = _first_text(about, _SESSIONS)
    if session is None and place is not None:
        session = _session(source, place)
    messages = [
        _message(item, source, f"{at}message {number}", session) for number, item in enumerate(items, start=1)
    ]
    return source.chat(
        *(message for message in messages if message.content.strip()),
        title=_first_text(about, ("title", "name")), part=None if place is None else session,
    )  # fmt: skip


def _message(item: JsonValue, source: Source, at: str, session: str | None) -> Message:
    if not isinstance(item, dict) or not isinstance(role := item.get("role"), str):
        raise source.error(
            f'{at}: expected {{"role": ..., "content": ...}}, got {str(item)[:80]}; mend or remove it'
        )
    metadata = item.get("metadata")
    about = metadata if isinstance(metadata, dict) else {}
    judged = {mark: item[mark] for mark in _JUDGED if isinstance(item.get(mark), (str, int, float))}
    return Message(
        role=_ROLES.get(role.lower(), role),
        content=_content(item.get("content")),
        name=_first_text(item, ("name",)),
        time=_time(item, _TIMES, source, at),
        id=_first_text(item, ("id", "message_id", "uuid")),
        session_id=_first_text(item, _SESSIONS[:3]) or session,
        metadata={**judged, **about},
    )


def _content(content: JsonValue) -> str:
    """A message's words: a string, or the text parts of a list of parts."""
    if isinstance(content, list):
        parts = (part.get("text") if isinstance(part, dict) else part for part in content)
        return "\n".join(part for part in parts if isinstance(part, str) and part)
    return content if isinstance(content, str) else ""


# -- OpenAI's conversations.json -----------------------------------------------------------------------


def _is_openai(value: JsonValue) -> bool:
    return isinstance(value, dict) and isinstance(value.get("mapping"), dict)


def _openai(value: JsonValue, source: Source, place: int | None) -> Parsed:
    """The branch that ends at `current_node`; edited questions and regenerated answers are left out."""
    mapping = value.get("mapping") if isinstance(value, dict) else None
    if not isinstance(value, dict) or not isinstance(mapping, dict):
        raise source.error(
            f"conversation {place}: expected an object with a `mapping`, got {str(value)[:80]}"
        )
    title = _first_text(value, ("title",))
    session = _first_text(value, ("conversation_id", "id")) or _session(source, place)
    messages = []
    for node in _branch(mapping, value.get("current_node")):
        message = node.get("message")
        if isinstance(message, dict) and (read := _openai_message(message, source, session)) is not None:
            messages.append(read)
    return source.chat(*messages, title=title, part=None if place is None else session)


def _branch(mapping: Fields, leaf: JsonValue) -> list[Fields]:
    """The nodes from the root to the leaf; without one, to the last node that has no children."""
    if not isinstance(leaf, str) or leaf not in mapping:
        ends = (key for key, node in mapping.items() if isinstance(node, dict) and not node.get("children"))
        leaf = max(ends, key=lambda key: _written(mapping[key]), default=None)
    branch: list[Fields] = []
    seen: set[str] = set()
    while isinstance(leaf, str) and leaf not in seen and isinstance(node := mapping.get(leaf), dict):
        seen.add(leaf)  # a damaged export may hold a loop
        branch.append(node)
        leaf = node.get("parent")
    return branch[::-1]


def _written(node: JsonValue) -> float:
    message = node.get("message") if isinstance(node, dict) else None
    time = message.get("create_time") if isinstance(message, dict) else None
    return time if isinstance(time, (int, float)) else 0.0


def _openai_message(message: Fields, source: Source, session: str) -> Message | None:
    """The message, or None for what was not said: hidden, empty, tool calls, reasoning."""
    author, content, about = (_object(message.get(name)) for name in ("author", "content", "metadata"))
    hidden = about.get("is_visually_hidden_from_conversation") is True
    if hidden or content.get("content_type") in _UNSPOKEN or message.get("recipient", "all") != "all":
        return None
    text = _content(content.get("parts")) or _content(content.get("text"))
    role = author.get("role")
    if not text.strip() or not isinstance(role, str):
        return None
    return Message(
        role=_ROLES.get(role, role), content=text, name=_first_text(author, ("name",)),
        time=_time(message, ("create_time",), source, f"message {message.get('id')}"),
        id=_first_text(message, ("id",)), session_id=session,
    )  # fmt: skip


# -- LoCoMo --------------------------------------------------------------------------------------------


def _is_locomo(value: JsonValue) -> bool:
    if not isinstance(value, dict):
        return False
    sessions = _locomo_sessions(_object(value.get("conversation")) or value)
    return bool(sessions) and all(isinstance(turn, dict) and "speaker" in turn for turn in sessions[0][1])


def _locomo_sessions(conversation: Fields) -> list[tuple[str, list[JsonValue]]]:
    found = [
        (key, turns)
        for key, turns in conversation.items()
        if _SESSION.fullmatch(key) and isinstance(turns, list)
    ]
    return sorted(found, key=lambda session: int(session[0].removeprefix("session_")))


def _locomo(value: JsonValue, source: Source, place: int | None) -> Parsed:
    """Both speakers are people: each turn has the role `user` and the speaker's name."""
    outer = _object(value)
    conversation = _object(outer.get("conversation")) or outer
    named = _first_text(outer, ("sample_id", "id"))
    at = "" if named is None and place is None else f"{named or f'conversation {place}'}, "
    label = named or _session(source, place)
    messages = []
    for key, turns in _locomo_sessions(conversation):
        time = _time(conversation, (f"{key}_date_time",), source, f"{at}{key}")
        for number, turn in enumerate(turns, start=1):
            fields = _object(turn)
            if (speaker := _first_text(fields, ("speaker",))) is None:
                raise source.error(f"{at}{key}, turn {number}: has no speaker; mend or remove it")
            caption = _first_text(fields, ("blip_caption",))
            text = _content(fields.get("text"))
            said = " ".join(part for part in (text, caption and f"[shares image: {caption}]") if part)
            if said.strip():
                messages.append(Message(
                    role="user", content=said, name=speaker, time=time, id=_first_text(fields, ("dia_id",)),
                    session_id=f"{label}/{key}", metadata={"image_caption": caption} if caption else {},
                ))  # fmt: skip
    return source.chat(*messages, title=named, part=None if place is None else label)


def _session(source: Source, place: int | None) -> str:
    """A name for a nameless conversation, which files of the same name in other folders don't share."""
    name = f"{source.title}-{sha256(source.key.encode()).hexdigest()[:8]}"
    return name if place is None else f"{name}-{place}"


# -- fields --------------------------------------------------------------------------------------------


def _object(value: JsonValue) -> Fields:
    return value if isinstance(value, dict) else {}


def _first_text(fields: Fields, names: Iterable[str]) -> str | None:
    """The first of these fields that holds something, a number written out."""
    for name in names:
        value = fields.get(name)
        if isinstance(value, (str, int)) and not isinstance(value, bool) and str(value).strip():
            return str(value)
    return None


def _time(fields: Fields, names: Iterable[str], source: Source, at: str) -> datetime | None:
    try:
        return next((moment(fields[name]) for name in names if fields.get(name) is not None), None)
    except ValueError as error:
        raise source.error(f"{at}: {error}") from error


_SHAPES: tuple[tuple[Callable[[JsonValue], bool], Callable[[JsonValue, Source, int | None], Parsed]], ...] = (
    (_is_plain, _plain),
    (_is_openai, _openai),
    (_is_locomo, _locomo),
)
