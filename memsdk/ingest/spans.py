"""How a text falls apart: blocks, then lines or sentences, then runs of words. The spans cover all of it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from itertools import pairwise

from memsdk.sentences import sentence_ends

Span = tuple[int, int]

_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_LINE_END = re.compile("\n")
_ROW = re.compile(r"\s*\||\t| {2,}\S|\s*(?:[-*+•]|\d{1,3}[.)])\s|[\w .\[\]/-]{1,60}: |.*[;{}]\s*$")
_LOOK_BACK = 80  # characters in which a word's beginning is looked for
_LOOK_AHEAD = 32
_JOINERS = "\u200d\ufe0e\ufe0f"


def blocks(text: str, start: int, end: int) -> list[Span]:
    """Paragraphs, parted by blank lines; a fenced code block is one. Each holds the space behind it."""
    cuts: list[int] = []
    fence, blank = "", False
    for position, after in lines(text, start, end):
        line = text[position:after]
        mark = _FENCE.match(line)
        if fence:
            if (
                mark
                and mark[1][0] == fence[0]
                and len(mark[1]) >= len(fence)
                and not line[mark.end() :].strip()
            ):
                fence, blank = "", True  # what follows is a block of its own
        elif not line.strip():
            blank = True
        else:
            if blank or mark:
                cuts.append(position)
            fence, blank = (mark[1] if mark else ""), False
    return _spans(start, end, cuts)


def finer(text: str, start: int, end: int) -> list[Span]:
    """A block's lines, where it is made of lines (code, tables, lists); else its sentences."""
    return (
        lines(text, start, end)
        if _made_of_lines(text[start : min(end, start + 20_000)])
        else sentences(text, start, end)
    )


def lines(text: str, start: int, end: int) -> list[Span]:
    """The lines, each with its end."""
    return _spans(start, end, (match.end() for match in _LINE_END.finditer(text, start, end)))


def sentences(text: str, start: int, end: int) -> list[Span]:
    """The sentences, each with the space behind it."""
    return _spans(start, end, sentence_ends(text, start, end))


def parts(text: str, start: int, end: int, *, count: int) -> list[Span]:
    """About `count` (at least two) parts of like length, cut before words where near, never in a cluster."""
    count = max(2, min(count, end - start))
    return _spans(start, end, _even_cuts(text, start, end, count))


def _even_cuts(text: str, start: int, end: int, count: int) -> Iterator[int]:
    lowest = start
    for number in range(1, count):
        cut = start + (end - start) * number // count
        floor = max(lowest, cut - _LOOK_BACK)
        word = next(
            (
                place
                for place in range(cut, floor, -1)
                if text[place - 1].isspace() and not text[place].isspace()
            ),
            None,
        )
        lowest = word if word is not None else _before_cluster(text, cut, end)
        yield lowest


def _before_cluster(text: str, cut: int, end: int) -> int:
    """The cut moved behind combining marks and joined emoji, which mean nothing by themselves."""
    last = min(end, cut + _LOOK_AHEAD)
    while cut < last and (
        text[cut] in _JOINERS or text[cut - 1] == _JOINERS[0] or unicodedata.combining(text[cut])
    ):
        cut += 1
    return cut


def _made_of_lines(block: str) -> bool:
    rows = block.strip("\n").split("\n")
    return bool(_FENCE.match(rows[0])) or (
        len(rows) > 1 and 3 * sum(bool(_ROW.match(row[:500])) for row in rows) >= len(rows)
    )


def _spans(start: int, end: int, cuts: Iterable[int]) -> list[Span]:
    """The stretches between the cuts that lie inside, each cut once."""
    inside = [start]
    inside += [cut for cut in cuts if start < cut < end]
    return [(left, right) for left, right in pairwise((*inside, end)) if left < right]
