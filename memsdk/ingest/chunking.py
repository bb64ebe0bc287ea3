"""Sections to chunks that fit an encoder: cut where the text pauses, a section's neighbours joined again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from memsdk.errors import InvalidInputError
from memsdk.ingest import spans
from memsdk.ports import Section

CountTokens = Callable[[Sequence[str]], list[int]]

TARGET_TOKENS = 200
MIN_TOKENS = 16
_BATCH = 2_048  # texts a call of the counter
_CHARS_PER_TOKEN = (
    16  # more than that a token, and the tokenizer has given up: `[UNK]` for a word of 10,000 letters
)


@dataclass(frozen=True, slots=True)
class _Piece:
    """A stretch of one section's text. `cuts` counts the ways in `_CUTTERS` that were tried already."""

    section: int
    start: int
    end: int
    cuts: int
    begins_block: bool
    size: int | None = None  # tokens with the space behind, without the tokenizer's own; None until counted


class StructuralChunker:
    """Cuts at headings, paragraphs, sentences (lines in code and tables), words, at last characters.

    Implements the port `Chunker`. Every character of a section is in one chunk, in order, but for blank lines
    and trailing space where it is cut. Runs in linear time and counts tokens in batches.
    """

    def __init__(self, count_tokens: CountTokens, *, target_tokens: int = TARGET_TOKENS) -> None:
        """Join neighbours up to `target_tokens`; a paragraph by itself may reach the limit given to `chunk`.

        Args:
            count_tokens: texts to the number of tokens of each, as the embedder counts.
            target_tokens: 200 leaves room for title and headings in an encoder of 256.
        """
        if target_tokens < MIN_TOKENS:
            raise InvalidInputError(f"target_tokens is {target_tokens}; it must be at least {MIN_TOKENS}")
        self._count_tokens = count_tokens
        self._target = target_tokens

    def chunk(self, sections: Sequence[Section], *, max_tokens: int) -> list[Section]:
        """Pieces of at most `max_tokens` under the headings of their sections. Blank sections give none."""
        if max_tokens < MIN_TOKENS:
            raise InvalidInputError(f"max_tokens is {max_tokens}; a chunk needs at least {MIN_TOKENS}")
        cutting = _Cutting(self._count_tokens, [section.text for section in sections], max_tokens)
        groups = cutting.packed(cutting.pieces(), target=min(self._target, max_tokens))
        return [
            Section(headings=sections[group[0].section].headings, text=text)
            for group in cutting.fitting(groups)
            if (text := cutting.text(group))
        ]


class _Cutting:
    """One call of `chunk`: the texts, the counter and the limit that every step needs."""

    def __init__(self, count_tokens: CountTokens, texts: Sequence[str], max_tokens: int) -> None:
        self._count_tokens = count_tokens
        self._texts = texts
        self._overhead = count_tokens([""])[0]  # such as [CLS] and [SEP]
        self._room = max(1, max_tokens - self._overhead)

    def pieces(self) -> list[_Piece]:
        """Cut finer and finer, all sections at once, until every piece fits or is one character."""
        pieces = self._sized([
            _Piece(section, start, end, 0, True)
            for section, text in enumerate(self._texts) if text.strip()
            for start, end in spans.blocks(text, 0, len(text))
        ])  # fmt: skip
        while any(self._is_big(piece) for piece in pieces):
            pieces = self._sized([
                part for piece in pieces for part in (self._cut(piece) if self._is_big(piece) else (piece,))
            ])  # fmt: skip
        return pieces

    def packed(self, pieces: Sequence[_Piece], *, target: int) -> list[list[_Piece]]:
        """Join neighbours of one section up to the target; a paragraph that had to be cut may begin anew."""
        room = max(1, target - self._overhead)
        groups: list[list[_Piece]] = []
        total = 0
        for piece in pieces:
            size = piece.size or 0
            starts_cut_block = piece.begins_block and piece.cuts > 0 and 2 * total >= room
            if (
                not groups
                or groups[-1][0].section != piece.section
                or total + size > room
                or starts_cut_block
            ):
                groups.append([])
                total = 0
            groups[-1].append(piece)
            total += size
        return self._without_crumbs(groups, smallest=room // 4)

    def fitting(self, groups: Sequence[list[_Piece]]) -> list[list[_Piece]]:
        """The groups, those divided whose text counts more than the sum of its pieces let expect."""
        checked: list[tuple[list[_Piece], bool]] = [(group, False) for group in groups]
        while not all(fits for _, fits in checked):
            counts = self._counts(self.text(group) for group, fits in checked if not fits)
            divided: list[tuple[list[_Piece], bool]] = []
            for group, fits in checked:
                if fits or next(counts) <= self._room or (len(group) == 1 and len(self.text(group)) <= 1):
                    divided.append((group, True))
                elif len(group) == 1:
                    divided += [([part], False) for part in self._cut(group[0])]
                else:
                    divided += [(group[: len(group) // 2], False), (group[len(group) // 2 :], False)]
            checked = divided
        return [group for group, _ in checked]

    def text(self, group: Sequence[_Piece]) -> str:
        """What a chunk of these pieces says, without blank lines before it and space behind."""
        text = self._texts[group[0].section][group[0].start : group[-1].end].rstrip()
        blank = len(text) - len(text.lstrip())
        return text[text.rfind("\n", 0, blank) + 1 :]  # the first line keeps its indentation

    def _cut(self, piece: _Piece) -> list[_Piece]:
        text, cuts = self._texts[piece.section], piece.cuts
        found = [(piece.start, piece.end)]
        while len(found) == 1 and cuts < len(_CUTTERS):
            found = _CUTTERS[cuts](text, piece.start, piece.end)
            cuts += 1
        if len(found) == 1:
            count = 2 * -(-(piece.size or 0) // self._room)  # smaller than needed, to be packed evenly
            found = spans.parts(text, piece.start, piece.end, count=count)
        return [
            _Piece(piece.section, start, end, cuts, piece.begins_block and start == piece.start)
            for start, end in found
        ]

    def _is_big(self, piece: _Piece) -> bool:
        return (piece.size or 0) > self._room and piece.end - piece.start > 1

    def _sized(self, pieces: Sequence[_Piece]) -> list[_Piece]:
        """The pieces with their sizes; what is too long to be worth counting gets an estimate, and is cut."""
        longest = self._room * _CHARS_PER_TOKEN
        countable = (piece for piece in pieces if piece.size is None and piece.end - piece.start <= longest)
        counts = self._counts(self._texts[piece.section][piece.start : piece.end] for piece in countable)

        def size(length: int) -> int:
            least = -(-length // _CHARS_PER_TOKEN)
            return least if length > longest else max(least, next(counts))

        return [
            piece if piece.size is not None else replace(piece, size=size(piece.end - piece.start))
            for piece in pieces
        ]

    def _counts(self, texts: Iterable[str]) -> Iterator[int]:
        """Tokens of each text without the tokenizer's own, counted in batches as they are needed."""
        rest = iter(texts)
        while batch := list(islice(rest, _BATCH)):
            for count in self._count_tokens(batch):
                yield max(0, count - self._overhead)

    def _without_crumbs(self, groups: list[list[_Piece]], *, smallest: int) -> list[list[_Piece]]:
        """A section's small last group joins the one before it, where the two fit."""
        joined: list[list[_Piece]] = []
        for place, group in enumerate(groups):
            section = group[0].section
            is_last = place + 1 == len(groups) or groups[place + 1][0].section != section
            if is_last and joined and joined[-1][0].section == section:
                size = _size(group)
                if size < smallest and size + _size(joined[-1]) <= self._room:
                    joined[-1] = [*joined[-1], *group]
                    continue
            joined.append(group)
        return joined


def _size(group: Sequence[_Piece]) -> int:
    return sum(piece.size or 0 for piece in group)


_CUTTERS = (spans.finer, spans.sentences)
