"""The filter language: parsed once, then asked of plain mappings here or translated by an index adapter.

A filter is a mapping of field to value or to operators: `{"tag": "x", "n": {"$gte": 3}, "$or": [{...}, {...}]}`.
A field is a top-level name or a dotted path; a list matches if one of its elements does. As in MongoDB,
`$ne`, `$nin` and `$not` also match where the field is missing. Numbers compare as doubles; text that is an
ISO 8601 date or time compares with dates by time; booleans equal only booleans.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time

from memsdk.errors import FilterError

Scalar = str | int | float | bool
MAX_DEPTH = 16
MAX_VALUES = 1_000


@dataclass(frozen=True, slots=True)
class Match:
    """The field holds one of the values."""

    field: str
    values: tuple[Scalar, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """The field holds a number (or, where `is_time`, a date as seconds since 1970) within the bounds."""

    field: str
    gt: float | None = None
    gte: float | None = None
    lt: float | None = None
    lte: float | None = None
    is_time: bool = False


@dataclass(frozen=True, slots=True)
class Exists:
    """The field is there and is not null or an empty list."""

    field: str


@dataclass(frozen=True, slots=True)
class All:
    """Every condition holds; an empty one always does."""

    conditions: tuple[Filter, ...] = ()


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one condition holds; an empty one never does."""

    conditions: tuple[Filter, ...] = ()


@dataclass(frozen=True, slots=True)
class Not:
    """The condition does not hold."""

    condition: Filter


Filter = Match | Range | Exists | All | AnyOf | Not


def parse(filters: Mapping[str, object] | None) -> Filter | None:
    """The filter that a caller's mapping means; None for none.

    Raises:
        FilterError: an operator is unknown, an operand has the wrong type, or it is nested too deeply.
    """
    if filters is None or filters == {}:
        return None
    return _parse_mapping(filters, depth=0)


def matches(condition: Filter, payload: Mapping[str, object]) -> bool:
    """Whether a plain mapping satisfies the filter."""
    match condition:
        case All(conditions):
            return all(matches(part, payload) for part in conditions)
        case AnyOf(conditions):
            return any(matches(part, payload) for part in conditions)
        case Not(part):
            return not matches(part, payload)
        case Exists(field):
            return any(value is not None for value in _values_at(payload, field))
        case Match(field, wanted):
            return any(_equal(value, want) for value in _values_at(payload, field) for want in wanted)
        case Range():
            numbers = (
                _number(value, is_time=condition.is_time) for value in _values_at(payload, condition.field)
            )
            return any(_within(number, condition) for number in numbers if number is not None)


def rename(
    condition: Filter, *, field: Callable[[str, bool], str], value: Callable[[Scalar], Scalar]
) -> Filter:
    """The same filter over stored numbers and hashes, as an index needs it.

    Args:
        field: from a field, and whether its time is meant, to the stored name.
        value: from a value to the stored one.
    """
    match condition:
        case All(conditions):
            return All(tuple(rename(part, field=field, value=value) for part in conditions))
        case AnyOf(conditions):
            return AnyOf(tuple(rename(part, field=field, value=value) for part in conditions))
        case Not(part):
            return Not(rename(part, field=field, value=value))
        case Exists(name):
            return Exists(field(name, False))
        case Match(name, wanted):
            return Match(field(name, False), tuple(value(want) for want in wanted))
        case Range():
            return replace(condition, field=field(condition.field, condition.is_time), is_time=False)


def as_time(value: object) -> float | None:
    """Seconds since 1970 of a datetime, a date or an ISO 8601 text (UTC where it names no zone); else None."""
    match value:
        case datetime():
            moment = value
        case date():
            moment = datetime.combine(value, time())
        case str() if 10 <= len(value) <= 40 and value[:4].isdigit():
            try:
                moment = datetime.fromisoformat(value)
            except ValueError:
                return None
        case _:
            return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _parse_mapping(filters: Mapping[str, object], *, depth: int) -> Filter:
    if not isinstance(filters, Mapping):
        raise FilterError(f"a filter is a mapping such as {{'tag': 'x'}}, not {type(filters).__name__}")
    if depth > MAX_DEPTH:
        raise FilterError(f"the filter is nested more than {MAX_DEPTH} deep; flatten it")
    if not filters:
        raise FilterError("a filter within a filter is empty, which everything would meet; leave it out")
    parts = [part for name, operand in filters.items() for part in _parse_item(name, operand, depth=depth)]
    return parts[0] if len(parts) == 1 else All(tuple(parts))


def _parse_item(name: object, operand: object, *, depth: int) -> Iterable[Filter]:
    if not isinstance(name, str) or not name:
        raise FilterError(f"a filter's field is a non-empty text, not {name!r:.80}")
    _check_unicode(name)
    if name in ("$and", "$or"):
        if not isinstance(operand, Sequence) or isinstance(operand, str) or not operand:
            raise FilterError(f"{name} takes a non-empty list of filters, not {operand!r:.80}")
        if len(operand) > MAX_VALUES:
            raise FilterError(f"{name} takes at most {MAX_VALUES:,} filters, not {len(operand):,}")
        parts = tuple(_parse_mapping(part, depth=depth + 1) for part in operand)
        return [All(parts) if name == "$and" else AnyOf(parts)]
    if name == "$not":
        return [Not(_parse_mapping(_mapping(name, operand), depth=depth + 1))]
    if name.startswith("$"):
        raise FilterError(f"unknown operator {name!r:.80}; at the top there are $and, $or and $not")
    if not isinstance(operand, Mapping):
        return [_equals(name, operand)]
    if not operand:
        raise FilterError(
            f"the filter of {name!r} is an empty mapping; give a value or an operator such as $eq"
        )
    return [_parse_operator(name, operator, value, depth=depth) for operator, value in operand.items()]


def _parse_operator(field: str, operator: object, operand: object, *, depth: int) -> Filter:
    match operator:
        case "$eq":
            return _equals(field, operand)
        case "$ne":
            return Not(_equals(field, operand))
        case "$in" | "$nin":
            if not isinstance(operand, Sequence) or isinstance(operand, str) or len(operand) > MAX_VALUES:
                raise FilterError(f"{operator} of {field!r} takes a list of at most {MAX_VALUES:,} values")
            found = AnyOf(tuple(_equals(field, value) for value in operand))
            return found if operator == "$in" else Not(found)
        case "$gt" | "$gte" | "$lt" | "$lte":
            return _range(field, operator, operand)
        case "$exists":
            if not isinstance(operand, bool):
                raise FilterError(f"$exists of {field!r} takes true or false, not {operand!r:.80}")
            return Exists(field) if operand else Not(Exists(field))
        case "$not":
            return Not(_parse_mapping({field: _mapping("$not", operand)}, depth=depth + 1))
        case _:
            known = "$eq $ne $in $nin $gt $gte $lt $lte $exists $not"
            raise FilterError(f"unknown operator {operator!r:.80} for {field!r:.80}; there are {known}")


def _equals(field: str, value: object) -> Filter:
    match value:
        case None:
            return Not(Exists(field))
        case bool():
            return Match(field, (value,))
        case int() | float():
            number = _finite(field, value)
            return Range(field=field, gte=number, lte=number)
        case str():
            _check_unicode(value)
            return Match(field, (value,))
        case datetime() | date():
            moment = as_time(value)
            return Range(field=field, gte=moment, lte=moment, is_time=True)
        case _:
            raise FilterError(
                f"{field!r} is compared with {type(value).__name__}; text, numbers, booleans, dates and null can be"
            )


def _range(field: str, operator: str, operand: object) -> Filter:
    moment = as_time(operand)
    if moment is None and (isinstance(operand, bool) or not isinstance(operand, int | float)):
        raise FilterError(
            f"{operator} of {field!r} takes a number, a date or an ISO 8601 text, not {operand!r:.80}"
        )
    bound = _finite(field, operand) if moment is None else moment  # type: ignore[arg-type]  # a number, as checked

    def side(name: str) -> float | None:
        return bound if operator == name else None

    return Range(
        field=field,
        gt=side("$gt"),
        gte=side("$gte"),
        lt=side("$lt"),
        lte=side("$lte"),
        is_time=moment is not None,
    )


def _finite(field: str, number: float) -> float:
    try:
        as_float = float(number)
    except OverflowError:
        as_float = math.inf
    if not math.isfinite(as_float):
        raise FilterError(f"{field!r} is compared with a number that is not finite")
    return as_float


def _check_unicode(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise FilterError(
            f"the filter holds a lone surrogate at position {error.start} of {text!a:.80}; nothing stored can match it"
        ) from None


def _mapping(operator: str, operand: object) -> Mapping[str, object]:
    if not isinstance(operand, Mapping) or not operand:
        raise FilterError(f"{operator} takes a filter such as {{'$eq': 'x'}}, not {operand!r:.80}")
    return operand


def _values_at(payload: Mapping[str, object], field: str) -> Iterable[object]:
    value = _at(payload, field)
    return value if isinstance(value, list | tuple) else (value,)


def _at(payload: Mapping[str, object], path: str) -> object:
    """What lies at a name, or at a path whose names may hold dots themselves."""
    if path in payload:
        return payload[path]
    for at, character in enumerate(path):
        inner = payload.get(path[:at]) if character == "." else None
        if isinstance(inner, Mapping) and (found := _at(inner, path[at + 1 :])) is not None:
            return found
    return None


def _equal(value: object, want: Scalar) -> bool:
    return value == want and isinstance(value, bool) == isinstance(want, bool)


def _number(value: object, *, is_time: bool) -> float | None:
    if is_time:
        return as_time(value)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _within(number: float, bounds: Range) -> bool:
    return (
        (bounds.gt is None or number > bounds.gt)
        and (bounds.gte is None or number >= bounds.gte)
        and (bounds.lt is None or number < bounds.lt)
        and (bounds.lte is None or number <= bounds.lte)
    )
