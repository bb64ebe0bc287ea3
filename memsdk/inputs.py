"""What callers give, checked and cleaned before anything is changed. Every rejection is an InvalidInputError."""

from __future__ import annotations

import json
import math
import os
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from uuid import UUID

from pydantic import JsonValue

from memsdk.errors import InvalidInputError, ScopeError
from memsdk.filters import as_time
from memsdk.models import Kind, Scope, Task

MAX_TEXT_CHARS = 1_000_000
MAX_QUERY_CHARS = 100_000
MAX_ID_CHARS = 512
MAX_METADATA_BYTES = 65_536
MAX_METADATA_KEYS = 512
MAX_METADATA_DEPTH = 8
MAX_K = 1_000
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")


def clean_text(value: object, *, what: str = "the text", most: int = MAX_TEXT_CHARS) -> str:
    """The text, or an error where it is not text, blank, too long, or not valid Unicode."""
    if not isinstance(value, str):
        raise InvalidInputError(f"{what} is {type(value).__name__}, expected str")
    if len(value) > most:
        raise InvalidInputError(
            f"{what} has {len(value):,} characters, at most {most:,} can be taken; long texts belong in documents.ingest"
        )
    check_unicode(value, what=what)
    if not _shows_something(value):
        raise InvalidInputError(f"{what} is empty or blank; give some words")
    return value


def clean_id(value: object, *, what: str) -> str | None:
    """An id of the caller's own: text without control characters; None stays None."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise InvalidInputError(f"{what} is {type(value).__name__}, expected str or None")
    if not value.strip():
        raise InvalidInputError(f"{what} is empty or blank; leave it out, or give an id")
    if len(value) > MAX_ID_CHARS:
        raise InvalidInputError(f"{what} has {len(value):,} characters, at most {MAX_ID_CHARS} can be taken")
    check_unicode(value, what=what)
    if _CONTROL.search(value):
        raise InvalidInputError(f"{what} holds control characters: {value!r:.80}")
    return value


def clean_scope(*, user_id: object, agent_id: object, session_id: object) -> Scope:
    """The scope, each id checked."""
    return Scope(
        user_id=clean_id(user_id, what="user_id"),
        agent_id=clean_id(agent_id, what="agent_id"),
        session_id=clean_id(session_id, what="session_id"),
    )


def require_user(scope: Scope, *, required: bool, shared: bool) -> None:
    """Refuse a missing user id where the store requires one and the caller did not say `shared=True`."""
    if shared and scope.user_id is not None:
        raise ScopeError(f"shared=True and user_id={scope.user_id!r} contradict each other; give one of them")
    if required and scope.user_id is None and not shared:
        raise ScopeError("this store requires a user_id; give one, or shared=True where all users are meant")


def narrow(reach: tuple[str | None, ...] | None, user_id: str) -> tuple[str | None, ...]:
    """One user out of those within reach; ScopeError for one beyond it."""
    if reach is not None and user_id not in reach:
        raise ScopeError(f"user {user_id!r} lies outside this scoped view; ask the Memory itself")
    return (user_id,)


def clean_metadata(value: object, *, tags: object = None) -> dict[str, JsonValue]:
    """JSON metadata, with the tags in it as `tags`. Datetimes become ISO 8601 text, tuples lists."""
    if value is None:
        if tags is None:
            return {}
        value = {}
    if not isinstance(value, Mapping):
        raise InvalidInputError(
            f"metadata is {type(value).__name__}, expected a mapping of names to JSON values"
        )
    counter = [0]
    cleaned = {_key(name): _json(item, depth=1, counter=counter) for name, item in value.items()}
    if tags is not None:
        cleaned["tags"] = list(_tags(tags))
    size = len(json.dumps(cleaned, ensure_ascii=False).encode())
    if size > MAX_METADATA_BYTES:
        raise InvalidInputError(
            f"metadata has {size:,} bytes as JSON, at most {MAX_METADATA_BYTES:,} can be taken"
        )
    return cleaned


def clean_time(value: object, *, what: str) -> datetime | None:
    """An aware UTC time from a datetime, a date or an ISO 8601 text; one without a zone is taken as UTC."""
    if value is None:
        return None
    moment = as_time(value) if isinstance(value, str | date) else None
    if moment is None:
        raise InvalidInputError(f"{what} is {value!r:.60}, expected a datetime or an ISO 8601 text")
    try:
        if isinstance(value, datetime):
            return (value if value.tzinfo else value.replace(tzinfo=UTC)).astimezone(UTC)
        return datetime.fromtimestamp(moment, UTC)
    except (OverflowError, ValueError):
        raise InvalidInputError(
            f"{what} is {value!r:.60}, which in UTC is not in the years 1 to 9999"
        ) from None


def clean_expiry(*, expires_at: object, ttl: object, now: datetime) -> datetime | None:
    """When a record ends: `expires_at`, or `ttl` (a timedelta or seconds) from now; not both, not in the past."""
    if ttl is not None and expires_at is not None:
        raise InvalidInputError("give expires_at or ttl, not both")
    end = clean_time(expires_at, what="expires_at")
    if ttl is not None:
        seconds = ttl.total_seconds() if isinstance(ttl, timedelta) else ttl
        if isinstance(seconds, bool) or not isinstance(seconds, int | float):
            raise InvalidInputError(f"ttl is {ttl!r:.60}, expected a timedelta or a number of seconds")
        try:
            end = now + timedelta(seconds=seconds)
        except (OverflowError, ValueError):  # ValueError: NaN
            raise InvalidInputError(
                f"ttl is {ttl!r:.60}, which ends beyond the year 9999 or never; leave it out"
            ) from None
    if end is not None and end <= now:
        raise InvalidInputError(f"it would expire at {end.isoformat()}, which is not in the future")
    return end


def clean_k(k: object) -> int:
    """How many hits: 1 to 1,000."""
    if isinstance(k, bool) or not isinstance(k, int):
        raise InvalidInputError(f"k is {k!r:.40}, expected a whole number from 1 to {MAX_K:,}")
    if not 1 <= k <= MAX_K:
        raise InvalidInputError(f"k is {k}, expected 1 to {MAX_K:,}")
    return k


def clean_limit(limit: object, *, what: str = "limit", most: int = 10_000) -> int:
    """How many rows: 1 to `most`."""
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= most:
        raise InvalidInputError(f"{what} is {limit!r:.40}, expected a whole number from 1 to {most:,}")
    return limit


def clean_uuid(value: object, *, what: str = "id") -> UUID:
    """A record id: a UUID or its text."""
    if isinstance(value, UUID):
        return value
    try:
        return UUID(value) if isinstance(value, str) else _not_uuid(value, what)
    except ValueError:
        return _not_uuid(value, what)


def clean_ids(value: object) -> tuple[UUID, ...] | None:
    """One record id or several; None stays None."""
    if value is None:
        return None
    if isinstance(value, UUID | str):
        return (clean_uuid(value),)
    if not isinstance(value, Sequence) or not value:
        raise InvalidInputError(f"id is {value!r:.40}, expected a record's UUID or a non-empty list of them")
    return tuple(clean_uuid(item) for item in value)


def clean_paths(value: object) -> list[Path]:
    """Files or folders, one or several."""
    listed = [value] if isinstance(value, str | Path) else value
    if not isinstance(listed, Sequence) or not listed:
        raise InvalidInputError(f"sources is {value!r:.40}, expected files or folders; a text goes in text=")
    return [clean_path(item, what="a source") for item in listed]


def clean_path(value: object, *, what: str) -> Path:
    """A path, with `~` as the home that it stands for."""
    if not isinstance(value, str | Path) or not str(value).strip() or "\0" in str(value):
        raise InvalidInputError(f"{what} is {value!r:.60}, expected a path")
    try:
        os.fsencode(value)
        return Path(value).expanduser()
    except (RuntimeError, UnicodeEncodeError):  # no such home; a lone surrogate
        raise InvalidInputError(f"{what} is {str(value)!a:.60}, which names no file or home here") from None


def refuse_inside(folder: Path, path: Path) -> None:
    """Refuse to write a copy into the store that it is of: it would outlive a `forget`, or replace a file."""
    if path.resolve().is_relative_to(folder.resolve()):
        raise InvalidInputError(f"{path} lies in the store itself; name a place outside of {folder}")


def clean_user(user_id: object) -> tuple[str, ...] | None:
    """The users that a listing or an export means: one, or None for everybody."""
    user = clean_id(user_id, what="user_id")
    return None if user is None else (user,)


def clean_used(used: object) -> list[UUID]:
    """The ids of the records that an answer used."""
    if isinstance(used, str) or not isinstance(used, Iterable):
        raise InvalidInputError(f"used is {used!r:.40}, expected a list of record ids")
    return [clean_uuid(item, what="used") for item in used]


def clean_score(score: object) -> float | None:
    """How well it went, from 0 to 1; None stays None."""
    if score is None:
        return None
    if isinstance(score, bool) or not isinstance(score, int | float) or not 0 <= score <= 1:
        raise InvalidInputError(
            f"score is {score!r:.40}, expected a number from 0 (useless) to 1 (just right)"
        )
    return float(score)


def clean_share(value: object, *, what: str, default: float) -> float:
    """A share from 0 to 1; None is the default."""
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise InvalidInputError(f"{what} is {value!r:.40}, expected a number from 0 to 1")
    return float(value)


def clean_budget(max_tokens: object) -> int | None:
    """A budget in tokens; None is none."""
    return None if max_tokens is None else clean_limit(max_tokens, what="max_tokens", most=10**7)


def clean_age(older_than: object, *, now: datetime) -> datetime | None:
    """The time before which records are older than this; None stays None."""
    if older_than is None:
        return None
    if not isinstance(older_than, timedelta) or older_than < timedelta(0):
        raise InvalidInputError(f"older_than is {older_than!r:.40}, expected a timedelta of zero or more")
    try:
        return now - older_than
    except OverflowError:
        raise InvalidInputError(f"older_than of {older_than.days:,} days reaches before the year 1") from None


def clean_kinds(kinds: object, *, default: tuple[Kind, ...]) -> tuple[Kind, ...]:
    """Record kinds, by enum or by name, each once."""
    if kinds is None:
        return default
    listed = [kinds] if isinstance(kinds, str) else kinds
    if not isinstance(listed, Iterable):
        raise InvalidInputError(f"kinds is {type(kinds).__name__}, expected a list of {_names(Kind)}")
    try:
        chosen = tuple(dict.fromkeys(Kind(kind) for kind in listed))
    except ValueError as error:
        raise InvalidInputError(f"kinds: {error}; there are {_names(Kind)}") from None
    if not chosen:
        raise InvalidInputError(f"kinds is empty; leave it out, or name some of {_names(Kind)}")
    return chosen


def clean_task(task: object) -> Task:
    """A task that a store can enable, by enum or by name."""
    if task != Task.CONVSEARCH:
        raise InvalidInputError(
            f"task is {task!r:.40}; convsearch is the one to enable, the others serve in every store"
        )
    return Task.CONVSEARCH


def check_unicode(value: str, *, what: str) -> None:
    """Refuse what can't be written as UTF-8, and NUL."""
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise InvalidInputError(
            f"{what} holds a lone surrogate at position {error.start}; decode it with the right encoding first"
        ) from None
    if "\0" in value:
        raise InvalidInputError(f"{what} holds a NUL character at position {value.index(chr(0))}; remove it")


def _shows_something(value: str) -> bool:
    return value[:1].isalnum() or any(  # as nearly all do
        not character.isspace() and unicodedata.category(character) not in ("Cc", "Cf") for character in value
    )


def _key(name: object) -> str:
    if not isinstance(name, str) or not name:
        raise InvalidInputError(f"metadata has a key {name!r:.40}; keys are non-empty text")
    if name.startswith("$"):
        raise InvalidInputError(f"metadata has a key {name!r:.40}; `$` begins a filter operator")
    check_unicode(name, what="a metadata key")
    return name


def _json(value: object, *, depth: int, counter: list[int]) -> JsonValue:
    counter[0] += 1
    if counter[0] > MAX_METADATA_KEYS:
        raise InvalidInputError(
            f"metadata holds more than {MAX_METADATA_KEYS} values; put bulk data elsewhere"
        )
    if depth > MAX_METADATA_DEPTH:
        raise InvalidInputError(f"metadata is nested more than {MAX_METADATA_DEPTH} deep; flatten it")
    match value:
        case None | bool():
            return value
        case str():
            check_unicode(value, what="a metadata value")
            return str(value)
        case int() | float():
            return _number(value)
        case date():
            return _iso(value)
        case UUID():
            return str(value)
        case Mapping():
            return {_key(name): _json(item, depth=depth + 1, counter=counter) for name, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_json(item, depth=depth + 1, counter=counter) for item in value]
        case _:
            raise InvalidInputError(
                f"metadata holds a {type(value).__name__}, which JSON can't; convert it first"
            )


def _number(value: float) -> float:
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise InvalidInputError(f"metadata holds an integer of {value.bit_length()} bits, at most 64 fit")
    if not math.isfinite(value):
        raise InvalidInputError(f"metadata holds {value}, which JSON can't; use null")
    return value


def _iso(value: date) -> str:
    if not isinstance(value, datetime):
        return value.isoformat()
    return (value if value.tzinfo else value.replace(tzinfo=UTC)).astimezone(UTC).isoformat()


def _tags(tags: object) -> Iterable[str]:
    if isinstance(tags, str) or not isinstance(tags, Iterable):
        raise InvalidInputError(f"tags is {tags!r:.40}, expected a list of texts")
    return dict.fromkeys(clean_text(tag, what="a tag", most=MAX_ID_CHARS) for tag in tags)


def _not_uuid(value: object, what: str) -> UUID:
    raise InvalidInputError(f"{what} is {value!r:.60}, expected a record's UUID")


def _names(kinds: type[Kind]) -> str:
    return ", ".join(kind.value for kind in kinds)
