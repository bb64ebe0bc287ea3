"""How the query-side tiers are fitted: their settings, without torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Negatives = Literal["candidates", "all"]
"""What a query is contrasted with: every record that is some learnt query's candidate, or every stored one.

With all of them, a record that no feedback ever named is only ever pushed away (docs/training.md has the figures).
"""


Loss = Literal["graded", "kl"]
"""Graded distillation against own candidates and negatives, or KL within the own candidates alone."""
Keep = Literal["best", "last"]
"""Which weights are kept: those that did best on what was kept aside, or the last, and then nothing is kept aside."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResidualSettings:
    """How the map is fitted. The figures behind the defaults are in docs/training.md."""

    bags: int = 3  # maps, of which the mean is taken
    temperature: float = 0.02  # scores are cosines over this
    reward_temperature: float = 0.3  # of rewards in standard deviations
    learning_rate: float = 1e-3
    warm_up: float = 0.1  # of the steps
    penalty: float = 1e-3  # times the squared norm of A
    batch: int = 64  # a twelfth of the queries where they are few, so that a pass has its steps
    passes: int = 20
    most_queries: int = 2_000  # of more so many are drawn for each pass
    negatives: Negatives = "candidates"
    most_keys: int = 2_048  # of more negatives so many are drawn for each step
    loss: Loss = "graded"
    keep: Keep = "best"
    seed: int = 0


Layers = Literal["attention", "all"]
"""Which linear layers get low-rank factors: attention's projections to queries, keys and values, or every one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraSettings:
    """How the query encoder is adapted. The figures behind the defaults are in docs/training.md."""

    rank: int = 64
    alpha: int = 128
    layers: Layers = "all"
    dropout: float = 0.05
    temperature: float = 0.02
    reward_temperature: float = 0.3
    learning_rate: float = 5e-4
    warm_up: float = 0.1  # of the steps
    batch: int = 64
    passes: int = 10
    most_queries: int = 2_000  # of more so many are drawn for each pass
    max_tokens: int = 128  # of a query while it is learnt from
    negatives: Negatives = "candidates"
    most_keys: int = 20_000  # of more negatives so many are drawn for each pass
    loss: Loss = "graded"
    keep: Keep = "best"
    seed: int = 0
