"""Exchanges of chat logs that somebody approved: a question, its answer, and how well that was received. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from pydantic import JsonValue

from memsdk.ports import Message

MARKS = ("score", "approved", "liked", "rating", "feedback")
"""Where a log says how an answer was received: fields of its metadata."""

_GOOD = frozenset(
    (
        "approved",
        "good",
        "like",
        "liked",
        "positive",
        "thumbs_up",
        "thumbsup",
        "up",
        "yes",
        "\N{THUMBS UP SIGN}",
    )
)
_BAD = frozenset(
    (
        "bad",
        "dislike",
        "disliked",
        "down",
        "negative",
        "no",
        "rejected",
        "thumbs_down",
        "\N{THUMBS DOWN SIGN}",
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One question and its answer, and the score of the answer from 0 to 1; None where nobody judged it."""

    input: str
    output: str
    score: float | None


def exchanges(messages: Sequence[Message]) -> Iterator[Exchange]:
    """Every user's message that the assistant answered right after it in the same session."""
    for asked, answered in pairwise(messages):
        if (
            (asked.role, answered.role) == ("user", "assistant")
            and asked.session_id == answered.session_id
            and asked.content.strip()
            and answered.content.strip()
        ):
            yield Exchange(input=asked.content, output=answered.content, score=approval(answered.metadata))


def approval(metadata: Mapping[str, JsonValue]) -> float | None:
    """How an answer was received, from 0 to 1: a score as it is, a thumb or a yes as 1 or 0; None where nothing says."""
    for mark in MARKS:
        value = metadata.get(mark)
        if isinstance(value, bool):
            return float(value)
        if isinstance(value, int | float) and 0 <= value <= 1:
            return float(value)
        if isinstance(value, str):
            word = value.strip().lower()
            if word in _GOOD or word in _BAD:
                return float(word in _GOOD)
    return None
