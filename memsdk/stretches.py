"""What a recall of passages gives: earlier chunks of a text, each with what followed it, in the order of the text."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from memsdk.models import Hit, Record
from memsdk.recalled import Recall
from memsdk.rendering import Count, cut_words

GAP = "[...]"
"""Stands between stretches that are not next to each other in the text."""

FOLLOWING = 0.5
"""How much the score of the chunk after it counts for a chunk: both are given to the reader."""
NEARNESS = 0.5
"""How much it counts to be near the recent text: who and what it is about changes slowly. Both figures: docs/ranking.md."""
CHUNK_CHARS = 600
"""What a chunk has, about."""
FAR = 10.0
"""Nearness falls with the logarithm of the distance in chunks, from 1 at less than one to 0 at e^10 of them."""
POOL = 40


class Passage(Hit):
    """An earlier chunk, and the one that followed it: what was written after something alike helps to go on."""

    continuation: str | None = None

    @property
    def start(self) -> int:
        """The character of the stream at which the chunk begins."""
        return start_of(self)

    @property
    def end(self) -> int:
        """The character of the stream at which the chunk ends."""
        return end_of(self)


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


def pool_of(k: int) -> int:
    """How many of the best by score are looked at, to choose k of them by where they stand, too."""
    return max(POOL, 2 * k)


def in_their_text(hits: Sequence[Hit], *, end: int) -> list[Hit]:
    """The hits ordered also by what follows them and by how near they are to a character of their text, best first.

    Scores stay within 0 to 1; where they are explained, the parts still sum to them.
    """
    by_position = {hit.position: hit for hit in hits}
    least = min((hit.score for hit in hits), default=0.0)
    total = 1.0 + FOLLOWING + NEARNESS
    ordered = []
    for hit in hits:
        after = None if hit.position is None else by_position.get(hit.position + 1)
        distance = max(0, end - end_of(hit))
        added = {
            "following": FOLLOWING * (least if after is None else after.score),
            "nearness": NEARNESS * max(0.0, 1.0 - math.log1p(distance / CHUNK_CHARS) / FAR),
        }
        changed: dict[str, object] = {"score": round((hit.score + sum(added.values())) / total, 6)}
        if hit.why is not None:
            parts = {name: part / total for name, part in {**hit.why.parts, **added}.items()}
            changed["why"] = hit.why.model_copy(update={"parts": parts})
        ordered.append(hit.model_copy(update=changed))
    return sorted(ordered, key=lambda hit: (-hit.score, -(hit.position or 0)))


def start_of(chunk: Record) -> int:
    """The character of its stream at which a chunk begins."""
    start = chunk.data.get("start", 0)
    return start if isinstance(start, int) else 0


def end_of(chunk: Record) -> int:
    """The character of its stream at which a chunk ends."""
    return start_of(chunk) + len(chunk.text)


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
