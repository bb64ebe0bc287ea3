"""A growing text cut into chunks, from left to right. Pure: where a chunk ends depends on what is near its end alone.

So a text that is appended in pieces gets the chunks that it would get at once, as long as its last two chunks are cut
again with each piece. `memsdk.ingest.chunking` cuts finished documents, and looks at all of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

from memsdk.sentences import sentence_ends

CountTokens = Callable[[Sequence[str]], list[int]]

ENOUGH = 0.75
"""A chunk that is this full ends with its paragraph."""

_LINE = re.compile(r"\n\s*")
_WORD = re.compile(r"\s*\S+\s*")
_PARAGRAPH_END = re.compile(r"\n[^\S\n]*\n\s*$")
_LONGEST_WORD = 40  # characters; longer ones are cut, so that the encoder sees all of them


def cut(text: str, *, count_tokens: CountTokens, target: int) -> list[str]:
    """The text in chunks of about `target` tokens; joined again they are the text, to the last space.

    A chunk ends where a sentence or a line ends, sooner where a paragraph ends when it is three quarters full. A
    sentence that is too long for a chunk is cut at words.

    Args:
        count_tokens: texts to the number of tokens of each, as the embedder counts.
        target: tokens a chunk, without the tokenizer's own such as [CLS].
    """
    if not text:
        return []
    chunks: list[str] = []
    held, total = "", 0
    for unit, size in _units(text, count_tokens=count_tokens, target=target):
        if held and total + size > target:
            chunks.append(held)
            held, total = "", 0
        held, total = held + unit, total + size
        if total >= ENOUGH * target and _PARAGRAPH_END.search(unit):
            chunks.append(held)
            held, total = "", 0
    return [*chunks, held] if held else chunks


def _units(text: str, *, count_tokens: CountTokens, target: int) -> Iterator[tuple[str, int]]:
    """Sentences and lines with their sizes, and of those that are too long the words."""
    overhead = count_tokens([""])[0]

    def sizes(texts: Sequence[str]) -> list[int]:
        return [max(0, count - overhead) for count in count_tokens(texts)]

    sentences = _pieces(
        text, [*sentence_ends(text, 0, len(text)), *(at.end() for at in _LINE.finditer(text))]
    )
    for sentence, size in zip(sentences, sizes(sentences), strict=True):
        if size <= target:
            yield sentence, size
        else:
            words = [part for word in _WORD.findall(sentence) for part in _short(word)]
            yield from zip(words, sizes(words), strict=True)


def _short(word: str) -> list[str]:
    return [word[start : start + _LONGEST_WORD] for start in range(0, len(word), _LONGEST_WORD)]


def _pieces(text: str, ends: Sequence[int]) -> list[str]:
    """The stretches between the ends; what is blank belongs to the stretch before it, and at the start to the first."""
    first = len(text) - len(text.lstrip())
    inside = sorted({end for end in ends if first < end < len(text)})
    return [text[left:right] for left, right in pairwise((0, *inside, len(text)))]
