"""The parts of a request that may each need a tool of their own. Pure."""

from __future__ import annotations

import re

MOST = 6
FEWEST_WORDS = 3

_CUT = re.compile(
    r"(?<=[.!?;。！？；])\s*|,?\s+(?:and then|and also|after that|afterwards|finally|then|also|and|plus)\s+|\n+",  # noqa: RUF001
    re.IGNORECASE,
)


def clauses(request: str) -> list[str]:
    """The sentences of a request, and what stands before and after an `and` or `then` in them; none where it is one part.

    Parts under 3 words ask for nothing by themselves; beyond the sixth they are left to the whole request's own search.
    """
    parts = [part.strip() for part in _CUT.split(request) if part]
    speaking = [part for part in parts if len(part.split()) >= FEWEST_WORDS]
    return speaking[:MOST] if len(speaking) > 1 else []
