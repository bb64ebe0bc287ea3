"""What a language model said before, so that it need not be asked again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol
from uuid import UUID


class LogProb(NamedTuple):
    """How likely a language model found an output after a prompt."""

    total: float  # sum over the output's tokens, natural logarithm
    tokens: int

    @property
    def mean(self) -> float:
        """A token's mean; what outputs of different lengths are compared by."""
        return self.total / max(1, self.tokens)


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Whose texts an entry was made from; `forget` finds it by these."""

    record: UUID | None = None  # the candidate in the prompt
    recall: UUID | None = None  # the recall whose query and output were asked about
    user_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreEntry:
    """A score to keep."""

    key: bytes  # hash of all that decides it
    value: LogProb
    origin: Origin


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleEntry:
    """Sampled outputs to keep."""

    key: bytes
    outputs: tuple[str, ...]
    origin: Origin


class RewardCache(Protocol):
    """Scores and samples by content: equal keys mean equal models, prompts and outputs."""

    def scores(self, keys: Sequence[bytes]) -> dict[bytes, LogProb]:
        """Those that are known."""

    def keep_scores(self, entries: Sequence[ScoreEntry]) -> None:
        """Keep them, in one transaction; a known key stays as it is."""

    def samples(self, keys: Sequence[bytes]) -> dict[bytes, tuple[str, ...]]:
        """Those that are known."""

    def keep_samples(self, entries: Sequence[SampleEntry]) -> None:
        """Keep them. Samples made from a record or recall that is gone meanwhile are left out."""
