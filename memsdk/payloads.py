"""What an index point carries beside its vectors: scope, times and filter fields, texts as keyed hashes only.

Deleted payloads linger in an engine's log and segments, so no text goes there: a string is a keyed BLAKE2b hash, and
the key is in SQL. Numbers stay as they are, so that ranges work; text that is an ISO 8601 date has its time beside it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple
from uuid import UUID

from pydantic import JsonValue

from memsdk.filters import as_time
from memsdk.models import FOREVER, CollectionSpec, Kind, Point, Record

RECORD, REVISION, STAMP, PARTS = "r", "v", "q", "n"
"""RECORD is on those points only whose id is not their record's own; see `with_record`. PARTS is where there are several."""
USER, AGENT, SESSION, KIND = "u", "a", "s", "k"
VALID_FROM, VALID_TO, OCCURRED, CREATED = "f", "t", "o", "c"
"""CREATED is where it is not VALID_FROM: a value costs the engine 4 microseconds."""
TIMES = {"occurred_at": OCCURRED, "created_at": CREATED}
"""Fields of a record's own that are times, each a number in the payload."""
EQUAL = "e"
"""Hashes of field and text together, of all fields that equality is asked of: one index serves every field. Without it a
filter was asked of each point by itself: 550 ms in a scope of 60,000, .8 ms with it (1 % of them meeting it)."""
HAS_ITS_OWN = frozenset({"kind", *TIMES})
"""Fields that every record has, under a name of their own."""
SCOPES = {"session_id": SESSION, "agent_id": AGENT}
"""Fields of a record's own that searches are kept to, hashed under a name of their own where they are there."""
NOT_IN_EQUAL = frozenset({"external_id", *SCOPES, *HAS_ITS_OWN})
"""Fields that are nearly unique or have an index of their own: they would only make that one larger."""
NOBODY = ""
"""Stands for a missing user; it is hashed like any other. Older points have it for a missing agent or session, too."""
SHORT = 100  # characters up to which a hash is remembered
NESTED = "{}"
"""Stands for a list or mapping within a value: it exists, and no hash is equal to it."""


class FieldNames(NamedTuple):
    """What a payload calls the parts of a field.

    Attributes:
        values: numbers, booleans, and the hashes of texts that are not in `EQUAL`.
        times: those texts that are times, as seconds since 1970.
        has_texts: there, and 1, where some texts are in `EQUAL`: a number costs the engine a third of a text.
    """

    values: str
    times: str
    has_texts: str


class Hasher:
    """The keyed hash of one store. Short texts are remembered: the same users and field names come with every record."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._short = lru_cache(maxsize=4_096)(self._hash)
        self.field = lru_cache(maxsize=4_096)(self._field)

    def __call__(self, text: str) -> str:
        """64 bits of BLAKE2b under the store's key, as 16 hex digits."""
        return self._short(text) if len(text) <= SHORT else self._hash(text)

    def pair(self, path: str, text: str) -> str:
        """The hash of a field and its text together."""
        return self(f"{len(path)}:{path}{text}")

    def _field(self, path: str) -> FieldNames:
        name = self(path)
        return FieldNames(f"m_{name}", f"t_{name}", f"x_{name}")

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
    created = _seconds(revision.created_at)
    valid_from = created if revision.revision == 1 else _seconds(revision.updated_at)
    payload: dict[str, JsonValue] = {
        REVISION: revision.revision,
        STAMP: stamp,
        USER: hasher(revision.user_id or NOBODY),
        KIND: revision.kind.value,
        VALID_FROM: valid_from,
        VALID_TO: _seconds(end),
        OCCURRED: _seconds(revision.occurred_at),
    }
    if created != valid_from:
        payload[CREATED] = created
    if parts != 1:
        payload[PARTS] = parts
    if revision.agent_id is not None:
        payload[AGENT] = hasher(revision.agent_id)
    if revision.session_id is not None:
        payload[SESSION] = hasher(revision.session_id)
    return payload | _fields(revision, hasher, scopes=payload)


def _fields(revision: Record, hasher: Hasher, *, scopes: Collection[str]) -> dict[str, JsonValue]:
    """What filters can name, as far as a payload has no name of its own for it.

    Args:
        scopes: names in `SCOPES` among others that the payload has already.
    """
    found: dict[str, JsonValue] = {}
    equal: list[JsonValue] = []
    for path, value in _leaves(_nameable(revision)):
        if path in HAS_ITS_OWN:
            continue
        names, values, times = hasher.field(path), list[JsonValue](), list[JsonValue]()
        for item in value if isinstance(value, list) else (value,):
            if isinstance(item, str):
                if (moment := as_time(item)) is not None:
                    times.append(moment)
                if path in NOT_IN_EQUAL:
                    values.append(hasher(item))
                else:
                    equal.append(hasher.pair(path, item))
                    found[names.has_texts] = 1
            elif item is not None:
                values.append(NESTED if isinstance(item, list | dict) else item)
        if SCOPES.get(path) not in scopes:
            _put(found, names.values, values)
        _put(found, names.times, times)
    _put(found, EQUAL, equal)
    return found


def with_record(point: Point) -> Mapping[str, JsonValue]:
    """The point's payload as it is stored: it names the record where the point's id does not."""
    return point.payload if point.id == point.record else {**point.payload, RECORD: str(point.record)}


def record_of(point: UUID, payload: Mapping[str, JsonValue]) -> UUID:
    """Whose point it is, by its stored payload."""
    return UUID(str(payload[RECORD])) if payload.get(RECORD) else point


def filterable(record: Record) -> dict[str, JsonValue]:
    """The fields that filters can name: the record's metadata, and over it the record's own."""
    return {
        **_nameable(record),
        "kind": record.kind.value,
        "occurred_at": record.occurred_at.isoformat(),
        "created_at": record.created_at.isoformat(),
    }


def _nameable(record: Record) -> dict[str, JsonValue]:
    """The same without the record's own in `HAS_ITS_OWN`."""
    own: dict[str, JsonValue] = {
        "role": record.role,
        "name": record.name,
        "title": record.title,
        "session_id": record.session_id,
        "agent_id": record.agent_id,
        "external_id": record.external_id,
        "source_id": str(record.source_id) if record.source_id else None,
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


def _put(payload: dict[str, JsonValue], name: str, values: list[JsonValue]) -> None:
    """A single value without its list, which the engine takes four times as long to read; none at all where there is none."""
    if values:
        payload[name] = values if len(values) > 1 else values[0]
