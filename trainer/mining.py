"""Which texts a row's query is compared with, beside those that were shown. Pure: what was found in, candidates out."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import zip_longest

from memsdk.errors import InvalidInputError
from memsdk.trainer.rows import Candidate

DENSE, LEXICAL, ENCODER, RANDOM = "dense", "bm25", "encoder", "random"
SOURCES = (ENCODER, DENSE, LEXICAL, RANDOM)
"""What candidates are mined from: the encoder that serves now (with its trained adapter, if it has one), the store's
own encoder, words, chance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mining:
    """How many candidates a row gets, and from where.

    Attributes:
        candidates: at most so many a row; those shown come first. LLM-Embedder trains on groups of 8.
        each: how many each source may give, best first; a source with 0 is not asked.
        relative_margin: where a right text is known, texts that score above (1 - this) of it are dropped: they may be
            right as well (NV-Retriever, arXiv 2407.15831).
        depth: how many hits of a leg are looked at.
        seed: of the random ones.
    """

    candidates: int = 8
    each: Mapping[str, int] = field(default_factory=lambda: {ENCODER: 2, DENSE: 3, LEXICAL: 3, RANDOM: 2})
    relative_margin: float = 0.05
    depth: int = 60
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what can't be meant."""
        unknown = sorted(set(self.each) - set(SOURCES))
        if unknown:
            raise InvalidInputError(
                f"no such source of candidates: {', '.join(unknown)}; there are {', '.join(SOURCES)}"
            )
        if self.candidates < 2:
            raise InvalidInputError(
                f"candidates is {self.candidates}, expected 2 or more: one has nothing to be compared with"
            )
        if not 0 <= self.relative_margin < 1:
            raise InvalidInputError(
                f"relative_margin is {self.relative_margin}, expected 0 or more and below 1"
            )


@dataclass(frozen=True, slots=True)
class Found:
    """What a source gave: a candidate, and its score there (cosine for the encoders)."""

    candidate: Candidate
    score: float | None = None


def choose(
    shown: Sequence[Candidate],
    found: Mapping[str, Sequence[Found]],
    *,
    query: str,
    row_id: str,
    mining: Mining,
) -> tuple[Candidate, ...]:
    """A row's candidates: what was shown, then what was mined from each source in turn, until there are enough.

    No text comes twice, however it is spaced or cased, and none that repeats the query. Where a right text is known,
    those that may be right as well are left out: what scores above 95 % of it by an encoder that found both.

    Args:
        shown: what the recall showed, and what is known to be right; never dropped but as a repetition.
        found: by source, best first.
        row_id: seeds the random ones, so that a row is the same in whatever order rows are made.
    """
    suspects = _suspects(shown, found, margin=mining.relative_margin)
    kept: dict[str, Candidate] = {}
    for one in sorted(
        shown, key=lambda each: not each.positive
    ):  # of two equal texts the one known to be right
        kept.setdefault(_plain(one.text), one)
    right = sum(one.positive for one in kept.values())
    room = max(mining.candidates, right)
    others = [one for one in kept.values() if not one.positive][: room - right]
    in_order = [one for one in shown if kept[_plain(one.text)] is one and (one.positive or one in others)]
    taken = {*kept, *suspects, _plain(query)}
    turns = [
        _fresh(
            _order(name, found.get(name, ()), row_id=row_id, seed=mining.seed), taken, most=mining.each[name]
        )
        for name in SOURCES
        if mining.each.get(name)
    ]
    for turn in zip_longest(*turns):
        in_order += [one for one in turn if one is not None]
    return tuple(in_order[:room])


def _order(source: str, found: Sequence[Found], *, row_id: str, seed: int) -> list[Candidate]:
    """What a source offers: best first, or shuffled."""
    order = [one.candidate for one in found]
    if source == RANDOM:
        random.Random(sha256(f"{seed} {row_id}".encode()).digest()).shuffle(order)  # noqa: S311 -- no secret
    return order


def _fresh(offered: Sequence[Candidate], taken: set[str], *, most: int) -> Iterator[Candidate]:
    """A source's share of what nobody has taken yet, which it takes."""
    for one in offered:
        if most <= 0:
            return
        if _plain(one.text) not in taken:
            taken.add(_plain(one.text))
            most -= 1
            yield one


def _suspects(shown: Sequence[Candidate], found: Mapping[str, Sequence[Found]], *, margin: float) -> set[str]:
    """The texts that score so near a right one that they may be right too.

    A right text below the depth of the search scores no more than the last that was found.
    """
    right = {_plain(one.text) for one in shown if one.positive}
    if not right:
        return set()
    near: set[str] = set()
    for source in (ENCODER, DENSE):
        scored = {
            _plain(one.candidate.text): one.score for one in found.get(source, ()) if one.score is not None
        }
        if not scored:
            continue
        last = min(scored.values())
        limit = (1 - margin) * max(scored.get(text, last) for text in right)
        near |= {text for text, score in scored.items() if score > limit and text not in right}
    return near


def _plain(text: str) -> str:
    return " ".join(text.split()).casefold()
