"""Filters on their way to the engine: as plain lists over the wire, then as Qdrant Edge's own filters."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Union, cast

import qdrant_edge as edge

from memsdk.errors import FilterError
from memsdk.filters import All, AnyOf, Exists, Filter, Match, Not, Range, Scalar

_PLAIN_NAME = re.compile(r"[A-Za-z0-9_-]+")
_NEVER = edge.Filter(must_not=[edge.Filter()])
MARKS = {True: "\u0001true", False: "\u0001false"}
"""What booleans are stored as: Edge 0.9 takes `MatchValue(True)` for the number 1, so it can't ask for them."""

Plain = Sequence[object]
Condition = Union[  # noqa: UP007 -- the engine's own list type, spelled for mypy's invariant lists
    edge.FieldCondition,
    edge.IsEmptyCondition,
    edge.IsNullCondition,
    edge.HasIdCondition,
    edge.HasVectorCondition,
    edge.NestedCondition,
    edge.Filter,
]


def marked(value: object) -> object:
    """A payload value with its booleans marked."""
    match value:
        case str():  # as most are
            return value
        case bool():
            return MARKS[value]
        case list() | tuple():
            return [marked(item) for item in value]
        case dict():
            return {name: marked(item) for name, item in value.items()}
        case _:
            return value


def to_plain(condition: Filter | None) -> list[object] | None:
    """The filter as nested lists of plain values."""
    match condition:
        case None:
            return None
        case All(conditions):
            return ["all", [to_plain(part) for part in conditions]]
        case AnyOf(conditions):
            return ["any", [to_plain(part) for part in conditions]]
        case Not(part):
            return ["not", to_plain(part)]
        case Exists(field):
            return ["exists", field]
        case Match(field, values):
            return ["match", field, list(values)]
        case Range():
            bounds = [condition.gt, condition.gte, condition.lt, condition.lte]
            return ["range", condition.field, bounds, condition.is_time]


def to_edge(plain: Plain) -> edge.Filter:
    """The engine's filter that means the same.

    Raises:
        FilterError: a field's name can't be written as the engine's path.
    """
    condition = _condition(plain)
    return condition if isinstance(condition, edge.Filter) else edge.Filter(must=[condition])


def _condition(plain: Plain) -> Condition:
    """One condition, wrapped in a filter of its own only where it has to be."""
    match plain:
        case ["all", parts]:
            return edge.Filter(must=[_condition(part) for part in cast("list[Plain]", parts)])
        case ["any", parts]:
            options = [_condition(part) for part in cast("list[Plain]", parts)]
            return edge.Filter(should=options) if options else _NEVER
        case ["not", ["exists", str(field)]] if len(paths(field)) == 1:
            return edge.IsEmptyCondition(
                *paths(field)
            )  # which it has an index for, as it has none for the opposite
        case ["not", part]:
            return edge.Filter(must_not=[_condition(cast("Plain", part))])
        case ["exists", str(field)]:
            return _somewhere([edge.Filter(must_not=[edge.IsEmptyCondition(path)]) for path in paths(field)])
        case ["match", str(field), values]:
            return _somewhere(_matches(field, cast("list[Scalar]", values)))
        case ["range", str(field), bounds, bool(is_time)]:
            return _somewhere(_ranges(field, cast("list[float | None]", bounds), is_time=is_time))
        case _:
            raise FilterError(f"a filter is all, any, not, exists, match or range, not {plain!r:.80}")


@lru_cache(maxsize=1_024)  # the same fields in every search
def paths(field: str) -> tuple[str, ...]:
    """The engine's paths of a field: the top-level name and, where it is dotted, the nested one."""
    if '"' in field or "\\" in field or not field:
        raise FilterError(f"a field's name holds neither quotes nor backslashes, but is {field!r:.80}")
    top = field if _PLAIN_NAME.fullmatch(field) else f'"{field}"'
    if "." not in field or "" in field.split("."):
        return (top,)
    return top, ".".join(name if _PLAIN_NAME.fullmatch(name) else f'"{name}"' for name in field.split("."))


def _somewhere(options: list[Condition]) -> Condition:
    if not options:
        return _NEVER
    return options[0] if len(options) == 1 else edge.Filter(should=options)


def _matches(field: str, values: list[Scalar]) -> list[Condition]:
    texts = tuple(
        MARKS[value] if isinstance(value, bool) else value
        for value in values
        if isinstance(value, str | bool)
    )
    options = [*_any_of(field, texts)] if texts else []
    for number in values:
        if isinstance(number, int | float) and not isinstance(number, bool):
            within = edge.RangeFloat(gte=number, lte=number)
            options += [edge.FieldCondition(path, range=within) for path in paths(field)]
    return options


@lru_cache(maxsize=1_024)
def _any_of(field: str, texts: tuple[str, ...]) -> tuple[Condition, ...]:
    """Remembered, as a user's searches ask for the same user, and a match takes ten times as long to make as a range."""
    return tuple(edge.FieldCondition(path, match=edge.MatchAny(list(texts))) for path in paths(field))


def _ranges(field: str, bounds: list[float | None], *, is_time: bool) -> list[Condition]:
    gt, gte, lt, lte = bounds
    within: edge.RangeFloat | edge.RangeDateTime
    if is_time:
        within = edge.RangeDateTime(gt=_iso(gt), gte=_iso(gte), lt=_iso(lt), lte=_iso(lte))
    else:
        within = edge.RangeFloat(gt=gt, gte=gte, lt=lt, lte=lte)
    return [edge.FieldCondition(path, range=within) for path in paths(field)]


def _iso(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat()
