"""What is indexed of a record: not always its bare text. Pure: records in, texts and weights out.

A chat turn is embedded alone, once, as a line with its speaker and date; its vector is then mixed with those of the
turns around it, which is better and cheaper than embedding a window of texts, and a new neighbour costs no embedding.
Its lexical vector is a mix of the line alone and of the window. A document chunk has its title and headings before it.
The figures behind every constant are in docs/ranking.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from memsdk.models import Kind, Record
from memsdk.ports import LexicalText
from memsdk.shelf_texts import example_line, tool_texts

COMPOSITION = "5"
"""Part of every fingerprint: change it with anything below that changes what is indexed."""

CONTEXT = {-2: 0.3, -1: 0.6, 1: 0.4, 2: 0.2}
"""Weight of each neighbour's vector in a turn's, by its distance; the turn itself has 1."""

SHORT_TURN_WORDS = 20
"""Longer turns lean on their neighbours less, in proportion."""

WINDOW = (-1, 1, -2)
"""The neighbours whose words count for a turn, in the order in which they get room."""

WINDOW_WORDS, NEIGHBOUR_WORDS = 150, 40

LINE_SHARE = 0.35
"""The line's part of a turn's lexical vector beside its window's."""

LONG_MESSAGE_WORDS = 30
"""With an assistant, messages longer than this are found by their own words, in proportion."""


class Turn(NamedTuple):
    """A memory as it is read.

    Attributes:
        line: its opening and what it says: `Ana (8 May 2023): text`.
        opening: `Ana (8 May 2023):`, with what is known of its speaker and date.
        speaker: `Ana:`; either is empty where nothing is known.
        said: its words, and the caption of an image shared with it (`metadata["image_caption"]`).
        length: of what it says, in words.
    """

    line: str
    opening: str
    speaker: str
    said: str
    length: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Composed:
    """What is indexed of one revision.

    Attributes:
        line: the text that is embedded; cut into parts where it is too long for the embedder.
        context: neighbours' lines and the weights of their vectors; empty for records without neighbours.
        words: makes the texts that are searched by word: they are not needed to begin with the vectors.
        also: further lines that the record is found by, each with a vector of its own.
    """

    line: str
    also: tuple[str, ...] = ()
    context: tuple[tuple[str, float], ...] = ()
    words: Callable[[], tuple[LexicalText, ...]]

    @property
    def lexical(self) -> tuple[LexicalText, ...]:
        """The texts that are searched by word."""
        return self.words()


def compose(
    record: Record,
    *,
    before: Sequence[Record] = (),
    after: Sequence[Record] = (),
    turn_of: Callable[[Record], Turn] | None = None,
) -> Composed:
    """What to index of this record.

    Args:
        before: the turns before it in its session, oldest first.
        after: the turns after it, oldest first.
        turn_of: reads a turn; `remembered_turns()` for many beside each other.
    """
    if record.kind is Kind.TOOL:
        return _compose_tool(record)
    if record.kind is Kind.EXAMPLE:
        return _compose_example(record)
    if record.kind is not Kind.MEMORY:
        text = chunk_text(record)
        return Composed(line=text, words=lambda: (LexicalText((text,), average_length=256, b=0.75),))
    turn_of = turn_of or read_turn
    own, words = turn_of(record), max(1, len(record.text.split()))
    share = LINE_SHARE
    if "assistant" in [turn.role for turn in (record, *before, *after)]:
        before, after = _heard(record, before), _heard(record, after)
        share = 1.0 - (1.0 - LINE_SHARE) * min(1.0, LONG_MESSAGE_WORDS / words)
    turns = {-distance: turn_of(turn) for distance, turn in enumerate(reversed(before), 1)}
    turns |= {distance: turn_of(turn) for distance, turn in enumerate(after, 1)}
    lean = min(1.0, SHORT_TURN_WORDS / words)
    return Composed(
        line=own.line,
        context=tuple([(turns[at].line, lean * weight) for at, weight in CONTEXT.items() if at in turns]),
        words=lambda: (
            LexicalText((own.opening, own.said), average_length=40, b=0.6, weight=share),
            LexicalText(_window(own, turns), average_length=80, b=0.75, weight=1.0 - share),
        ),
    )


def _heard(record: Record, turns: Sequence[Record]) -> Sequence[Record]:
    """The neighbours that tell what a turn is about: an assistant's long answers do so of a user's short turns only."""
    if record.role == "assistant" or len(record.text.split()) < SHORT_TURN_WORDS:
        return turns
    return [turn for turn in turns if turn.role != "assistant"]


def _compose_tool(record: Record) -> Composed:
    """A tool: its words, what is said of its parameters at a tenth, and its example requests as vectors of their own."""
    texts = tool_texts(record)
    weighed = [(texts.words, 0.9), (texts.parameters, 0.1)]
    return Composed(
        line=texts.line,
        also=texts.requests,
        words=lambda: tuple(
            LexicalText((text,), average_length=25, b=0.75, weight=weight)
            for text, weight in weighed
            if text.strip()
        ),
    )


def _compose_example(record: Record) -> Composed:
    """An example is looked for with inputs, so its input stands for it."""
    line = example_line(record)
    return Composed(line=line, words=lambda: (LexicalText((line,), average_length=40, b=0.75),))


def _window(own: Turn, turns: Mapping[int, Turn]) -> tuple[str, ...]:
    """The line's pieces and its neighbours' words: the end of what came before, the beginning of what came after."""
    room = WINDOW_WORDS - own.length - len(own.opening.split())
    pieces = [own.opening, own.said]
    for at in WINDOW:
        share = min(NEIGHBOUR_WORDS, room)
        if at in turns and share > 0:
            turn = turns[at]
            pieces += (
                turn.speaker,
                turn.said if turn.length <= share else _cut(turn.said, share if at > 0 else -share),
            )
            room -= min(turn.length, share)
    return tuple(pieces)


def _cut(text: str, count: int) -> str:
    """Its first words, or where the count is negative its last."""
    words = text.split()
    return " ".join(words[:count] if count > 0 else words[count:])


def read_turn(record: Record) -> Turn:
    """A memory as it is read.

    The time of writing says nothing about a bare text, so it stands alone unless `occurred_at` was given.
    """
    speaker = record.name or record.role or ""
    dated = bool(speaker) or record.occurred_at != record.created_at
    day = _day(record.occurred_at.date()) if dated else ""
    who = " ".join(part for part in (speaker, day) if part)
    said = _said(record)
    line = f"{who}: {said}" if who else said
    return Turn(line, who and f"{who}:", speaker and f"{speaker}:", said, len(said.split()))


def remembered_turns() -> Callable[[Record], Turn]:
    """`read_turn`, each read once: a turn is a neighbour of four others. Ask only of records that are kept meanwhile."""
    known: dict[int, Turn] = {}

    def turn_of(record: Record) -> Turn:
        turn = known.get(id(record))
        if turn is None:
            turn = known[id(record)] = read_turn(record)
        return turn

    return turn_of


@lru_cache(maxsize=1_024)
def _day(date: date) -> str:
    return f"({date.day} {date:%B %Y})"


def _said(record: Record) -> str:
    caption = record.metadata.get("image_caption")
    return f"{record.text} [shares image: {caption}]" if isinstance(caption, str) and caption else record.text


def chunk_text(record: Record) -> str:
    """A chunk with its title and headings before it, each said once."""
    path = [part for part in (record.title, *record.section) if part]
    once = [part for previous, part in pairwise(("", *path)) if part != previous]
    return f"{' > '.join(once)}\n{record.text}" if once else record.text
