"""The times that a query names ("in May", "on 8 May 2023", "last week"), as spans to compare `occurred_at` with. English.

A small grammar of our own: general date parsers take milliseconds a query, read "may" and "second" as dates, and give a
moment where a span is meant. What is read is soft evidence, so an odd phrase is left alone rather than guessed at.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
    "december",
)  # fmt: skip
DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
NUMBERS = {"a": 1, "an": 1, "one": 1, "two": 2, "couple of": 2, "a couple of": 2, "three": 3, "few": 3, "a few": 3, "four": 4,
           "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10, "twelve": 12}  # fmt: skip
SEASONS = {"spring": 3, "summer": 6, "autumn": 9, "fall": 9, "winter": 12}
"""The first month of each, in the north."""
UNIT_DAYS = {"day": 1, "week": 7, "fortnight": 14, "month": 30, "year": 365}
MOST_CHARS = 2_000
"""Of a longer query the rest is not looked at."""

_MONTH = "|".join(
    f"{name[:3]}(?:{name[3:]})?" if name != "may" else name for name in MONTHS
)  # may: its three letters are the word
_NUMBER = "|".join(sorted(NUMBERS, key=len, reverse=True))
_HINT = re.compile(
    rf"\d|\b(?:{_MONTH}|{'|'.join(SEASONS)}|{'|'.join(DAYS)}|ago|back|earlier|last|past|previous|this|to(?:day|night)|yesterday)\b",
    re.IGNORECASE,
)
"""Something that some form needs: most queries have none, and the forms take .2 ms."""
_YEAR = r"(?:19|20)\d\d"
_DAY = r"[0-3]?\d(?:st|nd|rd|th)?"
_ISO = re.compile(rf"\b({_YEAR})-(\d\d)(?:-(\d\d))?\b")
_DAY_MONTH = re.compile(rf"\b({_DAY})(?: of)? ({_MONTH})\b,?(?: ({_YEAR}))?", re.IGNORECASE)
_MONTH_DAY = re.compile(rf"\b({_MONTH})\.? ({_DAY})\b(?!:)(?:,? ({_YEAR}))?", re.IGNORECASE)
_MONTH_YEAR = re.compile(rf"\b({_MONTH}),? (?:of )?({_YEAR})\b", re.IGNORECASE)
_IN_MONTH = re.compile(
    rf"\b(?:in|during|since|until|till|by|of|last|this|early|late|mid|around)[ -]({_MONTH})\b(?! {_YEAR})",
    re.IGNORECASE,
)
_SEASON = re.compile(
    rf"\b(?:in|during|last|this)(?: the)? ({'|'.join(SEASONS)})\b(?: of)?(?: ({_YEAR}))?", re.IGNORECASE
)
_IN_YEAR = re.compile(rf"\b(?:in|during|since|of|by|around|year) ({_YEAR})\b", re.IGNORECASE)
_AGO = re.compile(
    rf"\b({_NUMBER}|\d{{1,3}}) (day|week|fortnight|month|year)s? (?:ago|back|earlier)\b", re.IGNORECASE
)
_PAST = re.compile(
    rf"\b(?:last|past|previous)(?: ({_NUMBER}|\d{{1,3}}))? (day|week|fortnight|month|year)s?\b", re.IGNORECASE
)
_THIS = re.compile(r"\bthis (week|month|year)\b", re.IGNORECASE)
_NEAR = re.compile(r"\b(today|tonight|this morning|yesterday|last night|last weekend)\b", re.IGNORECASE)
_WEEKDAY = re.compile(rf"\b(?:on|last|this) ({'|'.join(DAYS)})\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """From `start` up to, not including, `end`. With `yearly`, the same days of other years may be meant too."""

    start: datetime
    end: datetime
    yearly: bool = False


def spans(query: str, *, now: datetime) -> tuple[Span, ...]:
    """The spans that the query names, relative ones counted back from `now`; empty for most queries.

    A month, day or season without a year is the latest that began before `now`.
    """
    text = query[:MOST_CHARS]
    if not _HINT.search(text):
        return ()
    now = now.astimezone(UTC)
    found: list[Span] = []
    taken: list[tuple[int, int]] = []
    for pattern, read in _READERS:
        for match in pattern.finditer(text):
            if any(match.start() < end and start < match.end() for start, end in taken):
                continue  # a longer form has read these words
            span = _read(read, match, now)
            if span is not None:
                found.append(span)
                taken.append(match.span())
    return tuple(found)


def nearness(moment: datetime, span: Span, *, after_days: float) -> float:
    """How well a moment fits a span, 0 to 1: 1 within it, and less the longer after it, as people tell of what was.

    Args:
        after_days: what was said so long after the span's end counts half as much.
    """
    best = _nearness(moment, span.start, span.end, after_days)
    if span.yearly and best < 0.5:
        years = moment.year - span.start.year
        for shift in {years, years - 1}:  # a span of last winter began the year before
            start, end = _in_year(span.start, shift), _in_year(span.end, shift)
            best = max(best, 0.5 * _nearness(moment, start, end, after_days))
    return best


def _nearness(moment: datetime, start: datetime, end: datetime, after_days: float) -> float:
    if moment < start:
        return 0.0
    late = (moment - end) / timedelta(days=1)
    return 1.0 if late < 0 else math.exp2(-1 - late / after_days)


def _read(
    read: Callable[[re.Match[str], datetime], Span | None], match: re.Match[str], now: datetime
) -> Span | None:
    try:
        return read(match, now)
    except (ValueError, OverflowError):  # the 31st of June, a thousand years ago
        return None


def _iso(match: re.Match[str], now: datetime) -> Span:
    year, month = int(match[1]), int(match[2])
    return _day(year, month, int(match[3])) if match[3] else _month(year, month)


def _day_month(match: re.Match[str], now: datetime) -> Span:
    return _dated(day=_ordinal(match[1]), month=_month_number(match[2]), year=match[3], now=now)


def _month_day(match: re.Match[str], now: datetime) -> Span:
    return _dated(day=_ordinal(match[2]), month=_month_number(match[1]), year=match[3], now=now)


def _month_year(match: re.Match[str], now: datetime) -> Span:
    return _month(int(match[2]), _month_number(match[1]))


def _in_month(match: re.Match[str], now: datetime) -> Span | None:
    if match[1][0].islower() and match[1].lower() in ("may", "march", "mar"):
        return None  # "by march of time": the verbs and the noun are written small
    month = _month_number(match[1])
    return _yearly(_month(now.year if month <= now.month else now.year - 1, month))


def _season(match: re.Match[str], now: datetime) -> Span:
    first = SEASONS[match[1].lower()]
    year = int(match[2]) if match[2] else now.year if first <= now.month else now.year - 1
    start = datetime(year, first, 1, tzinfo=UTC)
    end = _month(year + (first + 2 > 12), (first + 1) % 12 + 1).end
    return Span(start=start, end=end, yearly=not match[2])


def _in_year(moment: datetime, shift: int) -> datetime:
    day = 28 if (moment.month, moment.day) == (2, 29) else moment.day
    return moment.replace(year=min(9999, max(1, moment.year + shift)), day=day)


def _year(match: re.Match[str], now: datetime) -> Span:
    year = int(match[1])
    return Span(start=datetime(year, 1, 1, tzinfo=UTC), end=datetime(year + 1, 1, 1, tzinfo=UTC))


def _ago(match: re.Match[str], now: datetime) -> Span:
    unit = UNIT_DAYS[match[2].lower()]
    middle = now - timedelta(days=_count(match[1]) * unit)
    slack = timedelta(days=max(0.5, unit / 2))  # "two weeks ago" is no exact day
    return Span(start=middle - slack, end=middle + slack)


def _past(match: re.Match[str], now: datetime) -> Span:
    days = _count(match[1]) * UNIT_DAYS[match[2].lower()] if match[1] else 2 * UNIT_DAYS[match[2].lower()]
    return Span(start=now - timedelta(days=days), end=now)  # "last week": of this one and the one before


def _this(match: re.Match[str], now: datetime) -> Span:
    return Span(start=now - timedelta(days=UNIT_DAYS[match[1].lower()]), end=now + timedelta(days=1))


def _near(match: re.Match[str], now: datetime) -> Span:
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    word = match[1].lower()
    if word == "last weekend":
        saturday = today - timedelta(days=(today.weekday() - 5) % 7 or 7)
        return Span(start=saturday, end=saturday + timedelta(days=2))
    start = today - timedelta(days=1) if word in ("yesterday", "last night") else today
    return Span(start=start, end=start + timedelta(days=1))


def _weekday(match: re.Match[str], now: datetime) -> Span:
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    start = today - timedelta(days=(today.weekday() - DAYS.index(match[1].lower())) % 7 or 7)
    return Span(start=start, end=start + timedelta(days=1))


_READERS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str], datetime], Span | None]], ...] = (
    (_ISO, _iso),
    (_DAY_MONTH, _day_month),
    (_MONTH_YEAR, _month_year),
    (_MONTH_DAY, _month_day),
    (_IN_MONTH, _in_month),
    (_SEASON, _season),
    (_IN_YEAR, _year),
    (_AGO, _ago),
    (_PAST, _past),
    (_THIS, _this),
    (_NEAR, _near),
    (_WEEKDAY, _weekday),
)
"""Longer forms first: what one has read is not read again."""


def _dated(*, day: int, month: int, year: str | None, now: datetime) -> Span:
    if year:
        return _day(int(year), month, day)
    this_year = _day(now.year, month, day)
    return _yearly(this_year if this_year.start <= now else _day(now.year - 1, month, day))


def _day(year: int, month: int, day: int) -> Span:
    start = datetime(year, month, day, tzinfo=UTC)
    return Span(start=start, end=start + timedelta(days=1))


def _month(year: int, month: int) -> Span:
    end = datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC)
    return Span(start=datetime(year, month, 1, tzinfo=UTC), end=end)


def _yearly(span: Span) -> Span:
    return Span(start=span.start, end=span.end, yearly=True)


def _month_number(name: str) -> int:
    return next(n for n, month in enumerate(MONTHS, 1) if month.startswith(name.lower()[:3]))


def _ordinal(text: str) -> int:
    return int(re.sub(r"\D", "", text))


def _count(text: str) -> int:
    return NUMBERS[text.lower()] if text.lower() in NUMBERS else int(text)
