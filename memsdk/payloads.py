"""What an index point carries beside its vectors: scope, times and filter fields, texts as keyed hashes only.

Deleted payloads linger in an engine's log and segments, so no text goes there: a string is a keyed BLAKE2b hash, and
the key is in SQL. Numbers stay as they are, so that ranges work; text that is an ISO 8601 date has its time beside it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache
from uuid import UUID

from pydantic import JsonValue

from memsdk.filters import All, AnyOf, Exists, Filter, Match, Not, Range, as_time, rename
from memsdk.models import FOREVER, CollectionSpec, Kind, Point, Record

RECORD, REVISION, STAMP, PARTS = "r", "v", "q", "n"
"""RECORD is on those points only whose id is not their record's own; see `with_record`."""
USER, AGENT, SESSION, KIND = "u", "a", "s", "k"
VALID_FROM, VALID_TO, OCCURRED, CREATED = "f", "t", "o", "c"
TIMES = {"occurred_at": OCCURRED, "created_at": CREATED}
"""Fields of a record's own that are times, each a number in the payload: every record has them, and a value costs the engine
4 microseconds."""
EQUAL = "e"
"""Hashes of field and text together, of all fields that equality is asked of: one index serves every field. Without it a
filter was asked of each point by itself: 550 ms in a scope of 60,000, .8 ms with it (1 % of them meeting it)."""
HAS_ITS_OWN = frozenset({"kind", *TIMES})
"""Fields that every record has, under a name of their own."""
NOT_IN_EQUAL = frozenset({"session_id", "agent_id", "external_id", *HAS_ITS_OWN})
"""Fields that are nearly unique or have an index of their own: they would only make that one larger."""
NOBODY = ""
"""Stands for a missing user, agent or session; it is hashed like any other."""
SHORT = 100  # characters up to which a hash is remembered
NESTED = "{}"
"""Stands for a list or mapping within a value: it exists, and no hash is equal to it."""


class Hasher:
    """The keyed hash of one store. Short texts are remembered: the same users and field names come with every record."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._short = lru_cache(maxsize=4_096)(self._hash)
        self.field = lru_cache(maxsize=4_096)(self._field)

    def __call__(self, text: str) -> str:
        """64 bits of BLAKE2b under the store's key, as 16 hex digits."""
        return self._short(text) if len(text) <= SHORT else self._hash(text)

    def _field(self, path: str) -> tuple[str, str]:
        """The names under which a payload keeps a field's values, and those that are times."""
        name = self(path)
        return f"m_{name}", f"t_{name}"

    def _hash(self, text: str) -> str:
        return hashlib.blake2b(text.encode(), key=self._key, digest_size=8).hexdigest()


def collection_spec(*, dims: int, sparse: tuple[str, ...]) -> CollectionSpec:
    """What every collection of memsdk looks like."""
    return CollectionSpec(
        dense={"dense": dims},
        sparse=sparse,
        keywords=(USER, AGENT, SESSION, KIND, EQUAL),
        numbers=(VALID_FROM, VALID_TO),
        tenant=USER,
    )


def payload_of(
    revision: Record, *, until: datetime | None, stamp: int, parts: int, hasher: Hasher
) -> dict[str, JsonValue]:
    """The payload of one revision's points.

    Args:
        until: when the next revision replaced it; None for the current one.
        stamp: the outbox entry that this state answers.
        parts: how many points the record has in all; with fewer of them the index has lost some.
    """
    end = min(until or FOREVER, revision.superseded_at or FOREVER, revision.expires_at or FOREVER)
    payload: dict[str, JsonValue] = {
        REVISION: revision.revision,
        STAMP: stamp,
        PARTS: parts,
        USER: hasher(revision.user_id or NOBODY),
        AGENT: hasher(revision.agent_id or NOBODY),
        SESSION: hasher(revision.session_id or NOBODY),
        KIND: revision.kind.value,
        VALID_FROM: _seconds(revision.created_at if revision.revision == 1 else revision.updated_at),
        VALID_TO: _seconds(end),
        OCCURRED: _seconds(revision.occurred_at),
        CREATED: _seconds(revision.created_at),
    }
    equal: list[JsonValue] = []
    for path, value in _leaves(filterable(revision)):
        if path in HAS_ITS_OWN:
            continue
        name, time_name = hasher.field(path)
        hashed: list[JsonValue] = []
        moments: list[JsonValue] = []
        for item in value if isinstance(value, list) else (value,):
            if item is None:
                continue
            hashed.append(_hashed(item, hasher))
            if (moment := as_time(item)) is not None:
                moments.append(moment)
            if path not in NOT_IN_EQUAL and isinstance(item, str):
                equal.append(_pair(path, item, hasher))
        _put(payload, name, hashed)
        _put(payload, time_name, moments)
    _put(payload, EQUAL, equal)
    return payload


def with_record(point: Point) -> Mapping[str, JsonValue]:
    """The point's payload as it is stored: it names the record where the point's id does not."""
    return point.payload if point.id == point.record else {**point.payload, RECORD: str(point.record)}


def record_of(point: UUID, payload: Mapping[str, JsonValue]) -> UUID:
    """Whose point it is, by its stored payload."""
    return UUID(str(payload[RECORD])) if payload.get(RECORD) else point


def filterable(record: Record) -> dict[str, JsonValue]:
    """The fields that filters can name: the record's metadata, and over it the record's own."""
    own: dict[str, JsonValue] = {
        "kind": record.kind.value,
        "role": record.role,
        "name": record.name,
        "title": record.title,
        "session_id": record.session_id,
        "agent_id": record.agent_id,
        "external_id": record.external_id,
        "source_id": str(record.source_id) if record.source_id else None,
        "occurred_at": record.occurred_at.isoformat(),
        "created_at": record.created_at.isoformat(),
        "passage": _place(record) if record.kind is Kind.PASSAGE else None,
    }
    return {**record.metadata, **{name: value for name, value in own.items() if value is not None}}


def _place(record: Record) -> dict[str, JsonValue]:
    """Which stream a passage is of, and the character at which it ends: recall keeps to what came before."""
    start = record.data.get("start")
    return {
        "stream": record.data.get("stream"),
        "end": (start if isinstance(start, int) else 0) + len(record.text),
    }


def visible(
    *,
    kinds: Sequence[Kind],
    user_id: str | None,
    agent_id: str | None,
    session_id: str | None,
    at: datetime,
    as_of: bool,
    where: Filter | None,
    hasher: Hasher,
) -> Filter:
    """The filter of one search: the user's own and the shared records, valid at that time, that meet `where`.

    Args:
        agent_id: sees that agent's records and those of none; None sees every agent's.
        session_id: given only where the search is kept to this session.
        as_of: whether `at` is a time in the past, so that what was written later is left out too.
    """
    users = (hasher(NOBODY),) if user_id is None else (hasher(user_id), hasher(NOBODY))
    conditions: list[Filter] = [
        Match(USER, users),
        Match(KIND, tuple(kind.value for kind in kinds)),
        Range(field=VALID_TO, gt=at.timestamp()),
    ]
    if as_of:
        conditions.append(Range(field=VALID_FROM, lte=at.timestamp()))
    if agent_id is not None:
        conditions.append(Match(AGENT, (hasher(agent_id), hasher(NOBODY))))
    if session_id is not None:
        conditions.append(Match(SESSION, (hasher(session_id),)))
    if where is not None:
        conditions.append(compile_filter(where, hasher))
    return All(tuple(conditions))


def compile_filter(where: Filter, hasher: Hasher) -> Filter:
    """A caller's filter over metadata, as a filter over payload fields."""
    match where:
        case All(parts):
            return All(tuple(compile_filter(part, hasher) for part in parts))
        case AnyOf(parts):
            return AnyOf(tuple(compile_filter(part, hasher) for part in parts))
        case Not(part):
            return Not(compile_filter(part, hasher))
        case Match(field) | Range(field=field) | Exists(field) if field in HAS_ITS_OWN:
            return _of_every_record(where)
        case Match(field, values) if field not in NOT_IN_EQUAL and all(isinstance(v, str) for v in values):
            return Match(EQUAL, tuple(_pair(field, str(value), hasher) for value in values))
        case _:
            return rename(
                where,
                field=lambda path, is_time: hasher.field(path)[is_time],
                value=lambda wanted: hasher(wanted) if isinstance(wanted, str) else wanted,
            )


def _of_every_record(where: Match | Range | Exists) -> Filter:
    """A condition on a field in `HAS_ITS_OWN`. A time is a text to those who ask for it by one: equal is what is written alike."""
    match where:
        case Match("kind", values):
            return Match(KIND, tuple(value for value in values if isinstance(value, str)))
        case Match(field, values):
            moments = [as_time(value) for value in values if _is_as_written(value)]
            return AnyOf(tuple(Range(field=TIMES[field], gte=moment, lte=moment) for moment in moments))
        case Range(field=field) if field in TIMES and where.is_time:
            return replace(where, field=TIMES[field], is_time=False)
        case Range():
            return AnyOf()
        case Exists():
            return All()


def _is_as_written(value: object) -> bool:
    """Whether a text is a time as `filterable` writes it."""
    if not isinstance(value, str) or as_time(value) is None:
        return False
    return datetime.fromisoformat(value).astimezone(UTC).isoformat() == value


def _pair(path: str, text: str, hasher: Hasher) -> str:
    return hasher(f"{len(path)}:{path}{text}")


def _seconds(moment: datetime) -> float:
    """Since 1970; a whole number, which the engine takes in half the time, where it is one."""
    seconds = moment.timestamp()
    return int(seconds) if seconds.is_integer() else seconds


def _leaves(value: Mapping[str, JsonValue], prefix: str = "") -> Iterator[tuple[str, JsonValue]]:
    for name, inner in value.items():
        path = prefix + name
        if isinstance(inner, dict):  # as JSON has no other mapping; asking for any is slow
            yield path, {}  # there, so that $exists finds it
            yield from _leaves(inner, path + ".")
        else:
            yield path, inner


def _hashed(value: JsonValue, hasher: Hasher) -> JsonValue:
    if isinstance(value, str):
        return hasher(value)
    return NESTED if isinstance(value, list | dict) else value


def _put(payload: dict[str, JsonValue], name: str, values: list[JsonValue]) -> None:
    """A single value without its list, which the engine takes four times as long to read; none at all where there is none."""
    if values:
        payload[name] = values if len(values) > 1 else values[0]
