"""When a message was said, out of the many ways in which exports write it."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from pydantic import JsonValue

_MONTHS = {
    name: number
    for number, name in enumerate(
        ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"), start=1
    )
}
_SPOKEN = re.compile(
    r"(\d{1,2}):(\d{2})\s*([ap])\.?m\.?\s+on\s+(\d{1,2})\s+([A-Za-z]{3})[a-z]*\.?,?\s+(\d{4})", re.IGNORECASE
)
_MILLISECONDS = 1e11  # seconds reach this in the year 5138


def moment(value: JsonValue) -> datetime | None:
    """An aware UTC time from ISO 8601, epoch seconds or milliseconds, or "1:56 pm on 8 May, 2023".

    A time without a zone is taken as UTC; None stays None. Raises ValueError for what is no time.
    """
    if value is None or value == "":
        return None
    try:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return datetime.fromtimestamp(value / 1000 if abs(value) > _MILLISECONDS else value, UTC)
        if isinstance(value, str):
            time = _spoken(value) or datetime.fromisoformat(value.strip())
            return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        pass
    raise ValueError(f'{str(value)[:60]!r} is no time; write it like "2025-03-01T09:30:00Z"')


def _spoken(text: str) -> datetime | None:
    """LoCoMo's way, read without the machine's locale."""
    match = _SPOKEN.fullmatch(text.strip())
    if match is None:
        return None
    hour, minute, half, day, month, year = match.groups()
    hours = int(hour) % 12 + (12 if half.lower() == "p" else 0)
    return datetime(int(year), _MONTHS.get(month.lower(), 0), int(day), hours, int(minute), tzinfo=UTC)
