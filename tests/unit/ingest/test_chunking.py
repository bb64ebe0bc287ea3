from __future__ import annotations

import time
from collections.abc import Sequence

import pytest

from memsdk.errors import InvalidInputError
from memsdk.ingest.chunking import StructuralChunker
from memsdk.ingest.spans import blocks, sentences
from memsdk.ports import Section


def words(texts: Sequence[str]) -> list[int]:
    """A counter like WordPiece's: two of its own, and blind to white space."""
    return [len(text.split()) + 2 for text in texts]


def chunk(text: str, *, max_tokens: int = 22, target_tokens: int = 22) -> list[str]:
    """The chunks' texts of a text of one section."""
    chunker = StructuralChunker(words, target_tokens=target_tokens)
    return [
        piece.text for piece in chunker.chunk([Section(headings=("h",), text=text)], max_tokens=max_tokens)
    ]


def test_sections_are_never_mixed() -> None:
    """A chunk under the wrong heading answers the wrong question."""
    sections = [
        Section(headings=("a",), text="one"),
        Section(headings=("b",), text="two"),
        Section(headings=("c",), text=" "),
    ]
    assert StructuralChunker(words).chunk(sections, max_tokens=99) == sections[:2]


def test_small_paragraphs_are_joined_and_whole_ones_kept() -> None:
    """Chunks of a line find nothing; paragraphs torn apart explain nothing."""
    text = "\n\n".join([("w " * 8).strip(), ("x " * 9).strip(), ("y " * 12).strip()])
    assert [part.split("\n\n") for part in chunk(text)] == [
        [("w " * 8).strip(), ("x " * 9).strip()],
        [("y " * 12).strip()],
    ]


def test_a_paragraph_beyond_the_target_stays_whole_up_to_the_limit() -> None:
    """The target is what is aimed at when joining; the encoder's limit is what must hold."""
    paragraph = ("word " * 30).strip()
    assert chunk(f"{paragraph}\n\n{paragraph}", max_tokens=40, target_tokens=20) == [paragraph, paragraph]


def test_long_paragraphs_are_cut_at_sentences() -> None:
    """Half a sentence at a chunk's end is found by nobody."""
    sentence = "Dr. Ana Q. Silva paid 3.50 euros, e.g. for tea, on Monday."
    parts = chunk(" ".join([sentence] * 7))
    assert len(parts) > 2
    assert all(part.startswith("Dr.") and part.endswith("Monday.") for part in parts)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("It is e.g. this. And that! Is it? Yes.", ["It is e.g. this. ", "And that! ", "Is it? ", "Yes."]),
        ("Mr. Smith met J. R. Doe. It was 3.5 km.", ["Mr. Smith met J. R. Doe. ", "It was 3.5 km."]),
        ("“Stop!” he said. (Really.) So it was.", ["“Stop!” he said. ", "(Really.) ", "So it was."]),
        (
            "今天天气很好。我们去公园！好吗？「好。」走",  # noqa: RUF001
            ["今天天气很好。", "我们去公园！", "好吗？", "「好。」", "走"],  # noqa: RUF001
        ),
        ("यह एक वाक्य है। यह दूसरा है।", ["यह एक वाक्य है। ", "यह दूसरा है।"]),
        ("هل هذا صحيح؟ نعم.", ["هل هذا صحيح؟ ", "نعم."]),
        ("See no. 5. He said no. So did I.", ["See no. 5. ", "He said no. ", "So did I."]),
        ("no end", ["no end"]),
    ],
)
def test_sentences_end_where_readers_think(text: str, parts: list[str]) -> None:
    """Abbreviations, initials, quotations, and scripts with stops of their own."""
    assert [text[start:end] for start, end in sentences(text, 0, len(text))] == parts


def test_a_code_block_with_blank_lines_is_one_block() -> None:
    """A fence cut in half turns prose into code for whoever reads the chunk."""
    text = "Before:\n```py\na = 1\n\nb = 2\n```\nAfter.\n\nEnd."
    assert [text[start:end].strip() for start, end in blocks(text, 0, len(text))] == [
        "Before:", "```py\na = 1\n\nb = 2\n```", "After.", "End.",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "row",
    ["| cell one. Two | cell |", "    call(a. b, c); x", "- item one. Two three", "key: value. Next one"],
)
def test_tables_code_and_lists_are_cut_at_lines_only(row: str) -> None:
    """Half a table row, or half a statement, is noise."""
    text = "\n".join([row] * 30)
    parts = chunk(text)
    assert len(parts) > 3
    assert {line for part in parts for line in part.split("\n")} == {row}


def test_text_without_any_pause_is_cut_too() -> None:
    """A tokenizer takes a word of a million letters for one unknown token: whole, it would be one record."""
    parts = chunk("a" * 100_000)
    assert "".join(parts) == "a" * 100_000
    assert max(map(len, parts)) <= 20 * 16


def test_clusters_are_not_torn() -> None:
    """A family emoji cut in two becomes other people."""
    chunker = StructuralChunker(lambda texts: [len(text) for text in texts], target_tokens=16)
    family = "\U0001f469\u200d\U0001f467"
    for part in chunker.chunk([Section(headings=(), text=family * 50 + "e\u0301" * 50)], max_tokens=16):
        assert part.text[0] not in "\u200d\u0301"
        assert part.text[-1] != "\u200d"


def test_a_counter_that_counts_joins_higher_is_still_obeyed() -> None:
    """Byte-pair tokenizers may need more tokens for a whole than for its parts; the encoder would cut the rest off."""

    def spiteful(texts: Sequence[str]) -> list[int]:
        return [len(text.split()) + 3 * text.count("\n") for text in texts]

    chunks = StructuralChunker(spiteful, target_tokens=20).chunk(
        [Section(headings=(), text="a b c\n\nd e\n\n" * 50)], max_tokens=20
    )
    assert max(spiteful([piece.text for piece in chunks])) <= 20


def test_a_limit_too_small_to_work_with_is_refused() -> None:
    """A negative room, once title and headings are taken off, must not loop for ever."""
    with pytest.raises(InvalidInputError, match="max_tokens is 3"):
        chunk("a", max_tokens=3)
    with pytest.raises(InvalidInputError, match="target_tokens is 0"):
        StructuralChunker(words, target_tokens=0)


@pytest.mark.parametrize(
    "unit",
    ["word ", "a", ".", "\n", "x = 1;\n", "```\n", "今天天气很好。", "Aa. Bb\n\n", "| a | b |\n", "e.g. "],
)
def test_time_is_linear(unit: str) -> None:
    """One odd file of megabytes must not stop an ingest for hours."""

    def once(size: int) -> float:
        start = time.process_time()
        chunk(unit * (size // len(unit)), max_tokens=200, target_tokens=200)
        return time.process_time() - start

    def seconds(size: int) -> float:
        return min(once(size) for _ in range(3))  # the others were disturbed

    assert seconds(200_000) < 12 * max(seconds(50_000), 0.05)  # 16 times as long if it were quadratic
