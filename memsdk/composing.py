"""What is indexed of a record: not always its bare text. Pure: records in, texts and weights out.

A chat turn is embedded as a line with its speaker and date; its vector is then mixed with those of the turns around it
(weights `CONTEXT`), and its lexical vector is a mix of the line alone and of the window of turns. A document chunk has
its title and section before it. The figures behind every constant are in docs/ranking.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from memsdk.models import Kind, Record

COMPOSITION = "1"
"""Part of every fingerprint: change it with anything below that changes what is indexed."""

CONTEXT = {-2: 0.3, -1: 0.6, 0: 1.0, 1: 0.4, 2: 0.2}
"""Weight of each neighbour's vector in a turn's, by its distance."""

WINDOW_BEFORE, WINDOW_AFTER = 2, 1
"""Turns either side whose words count for the lexical vector of a turn."""

TURN_WEIGHT, WINDOW_WEIGHT = 0.3, 0.7
TURN_LENGTH, WINDOW_LENGTH, CHUNK_LENGTH = 40.0, 60.0, 120.0  # BM25's average lengths, in words
MAX_NEIGHBOUR_WORDS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class LexicalText:
    """A text whose BM25 vector enters a record's, times a weight."""

    text: str
    average_length: float
    weight: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Composed:
    """What is indexed of one revision.

    Attributes:
        line: the text that is embedded; cut into parts where it is too long for the embedder.
        context: neighbours' lines and the weights of their vectors; empty for records without neighbours.
        lexical: the texts that are searched by word.
    """

    line: str
    context: tuple[tuple[str, float], ...] = ()
    lexical: tuple[LexicalText, ...] = ()


def compose(record: Record, *, before: Sequence[Record] = (), after: Sequence[Record] = ()) -> Composed:
    """What to index of this record.

    Args:
        before: the turns before it in its session, oldest first.
        after: the turns after it, oldest first.
    """
    if record.kind is not Kind.MEMORY:
        text = chunk_text(record)
        return Composed(line=text, lexical=(LexicalText(text=text, average_length=CHUNK_LENGTH, weight=1.0),))
    line = turn_line(record)
    around = [(offset, turn) for offset, turn in enumerate(reversed(before), 1) if -offset in CONTEXT]
    context = [(turn_line(turn), CONTEXT[-offset]) for offset, turn in around]
    context += [
        (turn_line(turn), CONTEXT[offset]) for offset, turn in enumerate(after, 1) if offset in CONTEXT
    ]
    window = [*before[len(before) - min(len(before), WINDOW_BEFORE) :], record, *after[:WINDOW_AFTER]]
    words = "\n".join(line if turn is record else _shorten(turn_line(turn)) for turn in window)
    return Composed(
        line=line,
        context=tuple(context),
        lexical=(
            LexicalText(text=line, average_length=TURN_LENGTH, weight=TURN_WEIGHT),
            LexicalText(text=words, average_length=WINDOW_LENGTH, weight=WINDOW_WEIGHT),
        ),
    )


def turn_line(record: Record) -> str:
    """A memory as one line: `Ana (8 May 2023): text`, with what is known of its speaker and date.

    The time of writing says nothing about a bare text, so it stands alone unless `occurred_at` was given.
    """
    speaker = record.name or record.role or ""
    dated = bool(speaker) or record.occurred_at != record.created_at
    day = f"({record.occurred_at.day} {record.occurred_at:%B %Y})" if dated else ""
    caption = record.metadata.get("image_caption")
    shared = f" [shares image: {caption}]" if isinstance(caption, str) and caption else ""
    who = " ".join(part for part in (speaker, day) if part)
    return f"{who}: {record.text}{shared}" if who else f"{record.text}{shared}"


def chunk_text(record: Record) -> str:
    """A chunk with its title and headings before it, each said once."""
    path = [part for part in (record.title, *record.section) if part]
    once = [part for previous, part in pairwise(("", *path)) if part != previous]
    return f"{' > '.join(once)}\n{record.text}" if once else record.text


def _shorten(line: str) -> str:
    words = line.split(" ")
    return line if len(words) <= MAX_NEIGHBOUR_WORDS else " ".join(words[:MAX_NEIGHBOUR_WORDS])
