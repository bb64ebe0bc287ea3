"""The port to the language model that judges candidates: one that gives log-probabilities, or one that only ranks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeGuard

from memsdk.ports import LogProb

Ids = tuple[int, ...]
"""Token ids."""


@dataclass(frozen=True, slots=True)
class Job:
    """A prompt, and the outputs whose probability after it is asked for. Outputs have at least one token each."""

    prompt: Ids
    outputs: tuple[Ids, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How outputs are drawn."""

    temperature: float = 1.0
    top_p: float = 0.95
    max_tokens: int = 32
    stop: str = "\n"  # an output ends before it; empty: nowhere but at max_tokens or the model's own end

    def describe(self) -> str:
        """All that decides a sample but the prompt and the seed."""
        return f"T={self.temperature} p={self.top_p} max={self.max_tokens} stop={self.stop!r}"


class Scorer(Protocol):
    """A language model that says how likely an output is after a prompt."""

    @property
    def identity(self) -> str:
        """What decides a score beside the token ids: weights, revision, dtype, tokenizer."""

    def prompt_ids(self, text: str) -> Ids:
        """A prompt's tokens: in the model's chat template where that was asked for, with its first special token."""

    def output_ids(self, text: str) -> Ids:
        """An output's tokens, by themselves: appended to a prompt's, the boundary is exact for every model."""

    def cut(self, text: str, *, most: int, from_end: bool = False) -> str:
        """The first `most` tokens of a text (or the last) as text; the text itself where it is no longer."""

    def score(self, jobs: Sequence[Job]) -> list[list[LogProb]]:
        """The log-probability of every output, given its job's prompt; no end token is counted."""

    def sample(self, prompt: Ids, *, count: int, sampling: Sampling, seed: int) -> list[str]:
        """Draw outputs; the same arguments give the same ones where the model's machine allows it."""


class Ranker(Protocol):
    """A language model that puts outputs in order, behind a server that gives no log-probabilities of prompts."""

    @property
    def identity(self) -> str:
        """What decides a ranking beside the texts."""

    def cut(self, text: str, *, most: int, from_end: bool = False) -> str:
        """The first `most` tokens of a text (or the last), about."""

    def rank(self, prompt: str, outputs: Sequence[str]) -> list[float]:
        """A value an output, higher is likelier; comparable within this call only."""

    def sample_text(self, prompt: str, *, count: int, sampling: Sampling, seed: int) -> list[str]:
        """Draw outputs."""


RewardModel = Scorer | Ranker
"""What `score_rows` takes."""


def ranks(model: RewardModel) -> TypeGuard[Ranker]:
    """Whether the model can only rank."""
    return hasattr(model, "rank")


def scores(model: RewardModel) -> TypeGuard[Scorer]:
    """Whether the model gives log-probabilities."""
    return hasattr(model, "score")
