# ruff: noqa: D103 -- helpers are told by their names
from __future__ import annotations

import re
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from memsdk.cutting import cut

TARGET = 12
WORDS = st.sampled_from(
    ["a", "ship", "sailed", "Dr.", "e.g.", "unbelievable", "3", "x" * 90, "日本語。", "It", "!"]
)
SPACE = st.sampled_from([" ", " ", " ", ". ", ".\n", "\n\n", "  ", " \n \n", "? "])
TEXTS = st.lists(st.tuples(WORDS, SPACE), min_size=1, max_size=80).map(
    lambda pairs: "".join(map("".join, pairs))
)


def count_tokens(texts: Sequence[str]) -> list[int]:
    """Words and stops, and two more, as a BERT tokenizer adds them."""
    return [2 + len(re.findall(r"\w+|[^\w\s]", text)) for text in texts]


def chunks(text: str) -> list[str]:
    return cut(text, count_tokens=count_tokens, target=TARGET)


@given(TEXTS)
def test_not_a_character_is_lost_and_no_chunk_is_blank_or_too_long(text: str) -> None:
    """A draft is read back from its chunks, and what an encoder can't take whole is never found."""
    parts = chunks(text)
    assert "".join(parts) == text
    assert all(part.strip() for part in parts)
    assert all(count_tokens([part])[0] - 2 <= TARGET for part in parts)


@given(TEXTS, st.lists(st.integers(0, 400), max_size=12))
def test_a_text_in_pieces_has_the_chunks_that_it_has_at_once(text: str, places: list[int]) -> None:
    """An agent that writes a sentence at a time would otherwise fill its store with crumbs."""
    ends = sorted({place for place in places if 0 < place < len(text)} | {len(text)})
    held: list[str] = []
    start = 0
    for end in ends:
        piece, start = text[start:end], end
        held = held[:-2] + chunks("".join(held[-2:]) + piece)
    assert held == chunks(text)
