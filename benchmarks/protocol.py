"""How every tier's training is measured: which questions teach, choose and judge, what is mined for them, nDCG@10.

The dev questions judge. Documents that answer one of them, or a guard question, are in no training row.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.tasks import MEASURED_ONLY, Question, TaskSet
from memsdk.trainer.metrics import ndcg_at

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]

MINED = 24  # hard negatives a question
RELATIVE_MARGIN = (
    0.95  # one that scores above this share of the right one's score may be right too (arXiv 2407.15831)
)
GUARD = 12  # every so manieth right document is kept out of training, to choose on
MOST_GUARDS = 150


@dataclass(frozen=True, slots=True, kw_only=True)
class Taught:
    """A train question with the places of its right documents and of its hard negatives."""

    question: Question
    right: tuple[int, ...]
    hard: tuple[int, ...]


def guard(one: TaskSet, *, every: int = GUARD) -> list[Question]:
    """Some train questions whose right documents, every so manieth, are kept out of training."""
    if one.name in MEASURED_ONLY:
        return []
    held = [
        each
        for each in one.asked("train")
        if random.Random(f"{one.name} {min(each.relevant)}").randrange(every) == 0  # noqa: S311
    ]
    return random.Random(1).sample(held, min(len(held), MOST_GUARDS))  # noqa: S311


def taught(one: TaskSet, kept: Sequence[Question]) -> list[Question]:
    """The train questions that share no right document with the guard."""
    guarded = _right_ones(kept)
    return [each for each in one.asked("train") if not guarded.intersection(each.relevant)]


def mine(
    one: TaskSet, kept: Sequence[Question], asked: Sequence[Question], *, queries: Vectors, keys: Vectors
) -> list[Taught]:
    """Hard negatives by these vectors: the best documents, but for what may be right too and what answers dev or guard.

    Args:
        kept: the guard's questions.
        queries: [n, d] the vectors of `asked`.
        keys: [m, d] the documents' vectors.
    """
    unseen = _right_ones(one.asked("dev"))
    barred = unseen | _right_ones(kept)
    found = []
    for number, (each, top) in enumerate(
        zip(asked, rank(one, asked, queries, keys, k=3 * MINED), strict=True)
    ):
        limit = RELATIVE_MARGIN * float((keys[list(each.relevant)] @ queries[number]).max())
        hard = [place for place, score in top if score <= limit and place not in barred | set(each.relevant)]
        right = tuple(place for place in each.relevant if place not in unseen)
        found.append(Taught(question=each, right=right, hard=tuple(hard[:MINED])))
    return found


def rank(
    one: TaskSet, asked: Sequence[Question], queries: Vectors, keys: Vectors, *, k: int
) -> list[list[tuple[int, float]]]:
    """The k best documents of each question among those that it may find, with their scores."""
    names = {name: number for number, name in enumerate(dict.fromkeys(one.groups))}
    groups, orders = np.array([names[name] for name in one.groups]), np.array(one.orders)
    found = []
    for start in range(0, len(asked), 256):
        scores = queries[start : start + 256] @ keys.T
        for row, each in zip(scores, asked[start : start + 256], strict=True):
            if each.group is not None:
                row[groups != names[each.group]] = -np.inf
            if each.before is not None:
                row[orders >= each.before] = -np.inf
            top = np.argpartition(-row, min(k, len(row) - 1))[:k]
            best = top[np.argsort(-row[top], kind="stable")]
            found.append([(int(place), float(row[place])) for place in best if np.isfinite(row[place])])
    return found


def ndcg_10(one: TaskSet, asked: Sequence[Question], queries: Vectors, keys: Vectors) -> list[float]:
    """nDCG@10 of each question by dense search."""
    ranked = rank(one, asked, queries, keys, k=10)
    return [
        ndcg_at([place for place, _ in top], set(each.relevant), k=10)
        for each, top in zip(asked, ranked, strict=True)
    ]


def interval(
    before: Mapping[str, list[float]], after: Mapping[str, list[float]], *, seed: int
) -> dict[str, float]:
    """The change of the mean over sets with its 95 % bootstrap interval: questions are drawn anew within each set."""
    drawn = np.random.default_rng(seed)
    changes = [np.array(after[name]) - np.array(before[name]) for name in before]
    means = [
        [float(each[drawn.integers(0, len(each), len(each))].mean()) for each in changes]
        for _ in range(1_000)
    ]
    low, high = np.percentile(np.mean(means, axis=1), [2.5, 97.5])
    return {"mean": float(np.mean([each.mean() for each in changes])), "low": float(low), "high": float(high)}


def _right_ones(asked: Sequence[Question]) -> set[int]:
    return {place for each in asked for place in each.relevant}
