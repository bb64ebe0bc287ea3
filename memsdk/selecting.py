"""What is shown out of what was found: near-twins passed over, labels taken in turn. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import chain, zip_longest
from uuid import UUID

from memsdk.models import Hit, SparseVector
from memsdk.ports import LexicalEncoder, LexicalText

AVERAGE_WORDS = 40


def spread(
    hits: Sequence[Hit],
    *,
    k: int,
    weight: float,
    encoder: LexicalEncoder,
    text: Callable[[Hit], str],
    sharpness: int = 1,
) -> list[Hit]:
    """The best k, each hit's score lowered by its likeness to a better one that is shown already.

    As maximal marginal relevance does (Carbonell and Goldstein, SIGIR 1998), with the cosine of BM25 vectors as the
    likeness and the discount in proportion: score * (1 - weight * likeness ** sharpness). The best hit stays the best.
    Scores are left as they were.

    Args:
        hits: best first.
        weight: 0 to 1.
        text: what two hits are compared by.
        sharpness: 1 counts every likeness; with 8 only near-twins matter.
    """
    texts = [LexicalText((text(hit),), average_length=AVERAGE_WORDS, b=0.75) for hit in hits]
    vectors = [_unit(vector) for vector in encoder.encode_keys([[each] for each in texts])]
    alike = [0.0] * len(hits)
    left = list(range(len(hits)))
    chosen: list[Hit] = []
    while left and len(chosen) < k:
        best = max(left, key=lambda n: (hits[n].score * (1 - weight * alike[n] ** sharpness), -n))
        left.remove(best)
        chosen.append(hits[best])
        for n in left:
            alike[n] = max(alike[n], _cosine(vectors[best], vectors[n]))
    return chosen


def joined(whole: Sequence[Hit], parts: Sequence[Sequence[Hit]], *, share: float) -> list[Hit]:
    """The hits of a request and of its parts as one list: each by its own score and, `share` of it, its best part's.

    A hit that a list did not bring has that list's last score there: it can't be more.
    """
    if not any(parts):
        return list(whole)
    found = {hit.id: hit for hits in (*parts, whole) for hit in hits}
    own = {hit.id: hit.score for hit in whole}
    rest = whole[-1].score if whole else 0.0
    best: dict[UUID, float] = {}
    for hits in parts:
        scores = {hit.id: hit.score for hit in hits}
        least = hits[-1].score if hits else 0.0
        for each in found:
            best[each] = max(best.get(each, 0.0), scores.get(each, least))
    mixed = [
        _rescored(
            hit,
            whole=(1 - share) * own.get(hit.id, rest),
            part=share * best[hit.id],
            is_own=hit.id in own,
            share=share,
        )
        for hit in found.values()
    ]
    return sorted(mixed, key=lambda hit: (-hit.score, hit.id))


def _rescored(hit: Hit, *, whole: float, part: float, is_own: bool, share: float) -> Hit:
    """The hit with its joined score; where it is explained, the parts of it sum to that."""
    changed: dict[str, object] = {"score": round(whole + part, 6)}
    if hit.why is not None:
        legs = (
            {leg: (1 - share) * value for leg, value in hit.why.parts.items()}
            if is_own
            else {"request": whole}
        )
        changed["why"] = hit.why.model_copy(update={"parts": {**legs, "part of the request": part}})
    return hit.model_copy(update=changed)


def balanced(hits: Sequence[Hit], *, k: int, label: Callable[[Hit], str]) -> list[Hit]:
    """k hits, best first, taken in turn from each label: the best of every label, then the second best, and so on."""
    by_label: dict[str, list[Hit]] = {}
    for hit in hits:
        by_label.setdefault(label(hit), []).append(hit)
    turns = chain.from_iterable(zip_longest(*by_label.values()))
    taken = [hit for hit in turns if hit is not None][:k]
    places = {hit.id: place for place, hit in enumerate(hits)}
    return sorted(taken, key=lambda hit: places[hit.id])


def _unit(vector: SparseVector) -> dict[int, float]:
    length = math.sqrt(sum(value * value for value in vector.values)) or 1.0
    return {index: value / length for index, value in zip(vector.indices, vector.values, strict=True)}


def _cosine(one: dict[int, float], other: dict[int, float]) -> float:
    if len(other) < len(one):
        one, other = other, one
    return sum(value * other.get(index, 0.0) for index, value in one.items())
