from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memsdk.ingest.chunking import StructuralChunker
from memsdk.ports import Section

Counter = Callable[[Sequence[str]], list[int]]


def characters(texts: Sequence[str]) -> list[int]:
    """Each character is a token."""
    return [len(text) for text in texts]


def words(texts: Sequence[str]) -> list[int]:
    """Like WordPiece: two of its own, blind to white space."""
    return [len(text.split()) + 2 for text in texts]


def octets(texts: Sequence[str]) -> list[int]:
    """Like a byte-level tokenizer without merges."""
    return [len(text.encode()) for text in texts]


BITS = st.sampled_from(
    ["word", " ", "\n", "\n\n", ". ", "e.g. ", "```\n", "~~~", "| a | b |\n", "- item\n", "\t", "    x = 1;\n", "。", "字",
     "\r", "\u2028", "\x0b", "\xa0", "\u200d", "e\u0301", "\U0001f469", "#", "x" * 40, "key: value\n", "Dr. ", "?!", "…\u201d "]
)  # fmt: skip
TEXTS = st.one_of(st.lists(BITS, max_size=120).map("".join), st.text(max_size=300))


@pytest.mark.parametrize("counter", [characters, words, octets])
@given(texts=st.lists(TEXTS, max_size=4), max_tokens=st.integers(16, 60), target=st.integers(16, 60))
def test_chunks_rebuild_the_text_and_fit(
    counter: Counter, texts: list[str], max_tokens: int, target: int
) -> None:
    """A lost sentence is never found again; a chunk over the limit is cut off by the encoder without a word."""
    sections = [Section(headings=(str(place),), text=text) for place, text in enumerate(texts)]
    chunks = StructuralChunker(counter, target_tokens=target).chunk(sections, max_tokens=max_tokens)
    assert all(piece.text.strip() for piece in chunks)
    assert all(size <= max_tokens for size in counter([piece.text for piece in chunks]))
    assert [piece.headings for piece in chunks] == sorted(piece.headings for piece in chunks)
    for section in sections:
        pieces = [piece.text for piece in chunks if piece.headings == section.headings]
        assert "".join("".join(pieces).split()) == "".join(section.text.split())
        place = 0
        for piece in pieces:  # each is a stretch of the text as it stands, behind the one before
            place = section.text.index(piece, place) + len(piece)
