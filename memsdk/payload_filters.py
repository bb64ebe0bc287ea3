"""Filters over what `memsdk.payloads` puts into an index point: those of a search, and a caller's own within them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from memsdk.filters import All, AnyOf, Exists, Filter, Match, Not, Range, as_time, rename
from memsdk.models import Kind
from memsdk.payloads import (
    AGENT,
    CREATED,
    EQUAL,
    HAS_ITS_OWN,
    KIND,
    NOBODY,
    NOT_IN_EQUAL,
    SCOPES,
    SESSION,
    TIMES,
    USER,
    VALID_FROM,
    VALID_TO,
    Hasher,
)


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
        no_agents = Not(Exists(AGENT))
        conditions.append(AnyOf((Match(AGENT, (hasher(agent_id), hasher(NOBODY))), no_agents)))
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
        case Match(field) | Exists(field) if field in SCOPES:
            return AnyOf((_of_scopes(where, hasher), _renamed(where, hasher)))  # or metadata of that name
        case Match(field, values) if field not in NOT_IN_EQUAL:
            texts = [value for value in values if isinstance(value, str)]
            equal = Match(EQUAL, tuple(hasher.pair(field, text) for text in texts))
            rest = tuple(value for value in values if not isinstance(value, str))
            return AnyOf((equal, _renamed(Match(field, rest), hasher))) if rest else equal
        case Exists(field) if field not in NOT_IN_EQUAL:
            return AnyOf((_renamed(where, hasher), Exists(hasher.field(field).has_texts)))
        case _:
            return _renamed(where, hasher)


def _renamed(where: Filter, hasher: Hasher) -> Filter:
    """The same condition on a field's values and times in a payload."""
    return rename(
        where,
        field=lambda path, is_time: hasher.field(path).times if is_time else hasher.field(path).values,
        value=lambda wanted: hasher(wanted) if isinstance(wanted, str) else wanted,
    )


def _of_every_record(where: Match | Range | Exists) -> Filter:
    """A condition on a field in `HAS_ITS_OWN`. A time is a text to those who ask for it by one: equal is what is written alike."""
    match where:
        case Match("kind", values):
            return Match(KIND, tuple(value for value in values if isinstance(value, str)))
        case Match(field, values):
            moments = [as_time(value) for value in values if _is_as_written(value)]
            return AnyOf(tuple(_of_time(Range(field=field, gte=moment, lte=moment)) for moment in moments))
        case Range(field=field) if field in TIMES and where.is_time:
            return _of_time(where)
        case Range():
            return AnyOf()
        case Exists():
            return All()


def _of_time(where: Range) -> Filter:
    """A condition on a field in `TIMES`."""
    there = replace(where, field=TIMES[where.field], is_time=False)
    if there.field != CREATED:
        return there
    return AnyOf((there, All((Not(Exists(CREATED)), replace(there, field=VALID_FROM)))))


def _of_scopes(where: Match | Exists, hasher: Hasher) -> Filter:
    """A condition on a field in `SCOPES`."""
    name = SCOPES[where.field]
    match where:
        case Match(_, values):
            return Match(name, tuple(hasher(value) for value in values if isinstance(value, str) and value))
        case Exists():
            return All((Exists(name), Not(Match(name, (hasher(NOBODY),)))))


def _is_as_written(value: object) -> bool:
    """Whether a text is a time as `filterable` writes it."""
    if not isinstance(value, str) or as_time(value) is None:
        return False
    return datetime.fromisoformat(value).astimezone(UTC).isoformat() == value
