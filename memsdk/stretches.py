"""What a recall of passages gives: earlier chunks of a text, each with what followed it, in the order of the text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from memsdk.models import Hit
from memsdk.recalled import Recall
from memsdk.rendering import Count, cut_words

GAP = "[...]"
"""Stands between stretches that are not next to each other in the text."""


class Passage(Hit):
    """An earlier chunk, and the one that followed it: what was written after something alike helps to go on."""

    continuation: str | None = None

    @property
    def start(self) -> int:
        """The character of the stream at which the chunk begins."""
        start = self.data.get("start", 0)
        return start if isinstance(start, int) else 0

    @property
    def end(self) -> int:
        """The character of the stream at which the chunk ends."""
        return self.start + len(self.text)


class PassageRecall(Recall):
    """A recall whose hits are passages in the order of the text, not of their scores."""

    hits: tuple[Passage, ...]

    def __iter__(self) -> Iterator[Passage]:  # type: ignore[override]  # a recall is its hits, not its fields
        """The passages, in the order of the text."""
        return iter(self.hits)

    def _whole(self, count: Count) -> str:
        return render_passages(self.hits)

    def _fitted(self, budget: int, count: Count) -> str:
        return fit_passages(self.hits, budget=budget, count=count)


def render_passages(passages: Sequence[Passage]) -> str:
    """The passages with their continuations, each chunk once; `[...]` where something lies between."""
    return f"\n\n{GAP}\n\n".join(text.strip() for text in _stretches(passages))


def fit_passages(passages: Sequence[Passage], *, budget: int, count: Count) -> str:
    """As many passages as fit, the best taken first, in the order of the text; the best one cut where none fits."""
    chosen: list[Passage] = []
    best_first = sorted(passages, key=lambda passage: -passage.score)
    for passage in best_first:
        if count(render_passages([*chosen, passage])) <= budget:
            chosen.append(passage)
    if chosen or not best_first:
        return render_passages(chosen)
    return cut_words(render_passages(best_first[:1]), budget=budget, count=count)


def _stretches(passages: Sequence[Passage]) -> list[str]:
    """The chunks that were found, joined where one begins at the character at which the one before it ends."""
    chunks: dict[int, str] = {}
    for passage in passages:
        chunks[passage.start] = passage.text
        if passage.continuation:
            chunks.setdefault(passage.end, passage.continuation)
    stretches: list[str] = []
    end = -1
    for start in sorted(chunks):
        if start == end:
            stretches[-1] += chunks[start]
        else:
            stretches.append(chunks[start])
        end = start + len(chunks[start])
    return stretches
