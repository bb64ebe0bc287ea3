"""What is particular to each task in training: prefixes, lengths, loss, temperatures, share. One table a preset."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

from memsdk.embedding.prefixes import LLM_EMBEDDER
from memsdk.errors import InvalidInputError
from memsdk.models import Task

LossName = Literal["graded", "kl", "contrastive"]
Positive = Literal["label", "teacher", "random"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskConfig:
    """How one task is trained.

    Attributes:
        query_prefix, key_prefix: put before the texts; they go into the trained model's folder.
        query_tokens, key_tokens: where texts are cut, prefix and special tokens included.
        loss: graded distillation, KL within the group, or the contrastive loss on labels alone.
        positive: which candidate always comes along: the first labelled one, the one of highest reward, or a random
            labelled one, another in each epoch.
        reward_temperature: what rewards are divided by before their softmax.
        standardise: rewards are taken in standard deviations of their row, so that one temperature suits every scale.
        group: candidates of a query in a batch, the positive included.
        least_spread: rows whose rewards differ by less are left out.
        share: how often the task's rows are seen in an epoch, 1 being once.
    """

    query_prefix: str
    key_prefix: str
    query_tokens: int = 256
    key_tokens: int = 256
    loss: LossName = "graded"
    positive: Positive = "label"
    reward_temperature: float = 0.3
    standardise: bool = True
    group: int = 8
    least_spread: float = 0.0
    share: float = 1.0

    def __post_init__(self) -> None:
        """Refuse what would train towards nothing.

        Raises:
            InvalidInputError: a number is out of its range.
        """
        if (
            self.group < 2
            or min(self.query_tokens, self.key_tokens) < 8
            or self.reward_temperature <= 0
            or self.share < 0
        ):
            raise InvalidInputError(
                f"a task needs a group of 2 or more, 8 tokens or more, a temperature above 0 and no negative share, not {self}"
            )


TaskTable = Mapping[Task, TaskConfig]


def _table(**changes: TaskConfig) -> TaskTable:
    return MappingProxyType({Task(name): config for name, config in changes.items()})


def _of(task: Task) -> TaskConfig:
    query, key = LLM_EMBEDDER[task]
    return TaskConfig(query_prefix=query, key_prefix=key)


def _released(task: Task) -> TaskConfig:
    return replace(_of(task), reward_temperature=1.0, standardise=False)


_LLM_EMBEDDER = _table(
    qa=_released(Task.QA),
    convsearch=replace(_released(Task.CONVSEARCH), loss="contrastive"),
    chat=replace(_released(Task.CHAT), loss="kl", positive="teacher", reward_temperature=0.1),
    lrlm=replace(
        _released(Task.LRLM), loss="kl", positive="teacher", reward_temperature=0.1, least_spread=0.1
    ),
    icl=replace(_released(Task.ICL), positive="random"),
    tool=replace(_released(Task.TOOL), loss="contrastive"),
)
"""The configuration of LLM-Embedder's released code (FlagEmbedding, research/llm_embedder)."""

_DEFAULT = _table(
    qa=replace(_of(Task.QA), query_tokens=64, key_tokens=192),
    convsearch=replace(_of(Task.CONVSEARCH), query_tokens=160, key_tokens=192),
    chat=replace(_of(Task.CHAT), query_tokens=64, key_tokens=192, share=4.0),
    lrlm=replace(_of(Task.LRLM), query_tokens=192, key_tokens=192),
    icl=replace(_of(Task.ICL), query_tokens=96, key_tokens=96, positive="random"),
    tool=replace(_of(Task.TOOL), query_tokens=96, key_tokens=128),
)
"""Ours: graded distillation everywhere, as it is the contrastive loss where rewards are labels; lengths of the texts seen."""

PRESETS: Mapping[str, TaskTable] = MappingProxyType({"default": _DEFAULT, "llm-embedder": _LLM_EMBEDDER})


def preset(name: str) -> TaskTable:
    """The table of that name. Raises InvalidInputError."""
    if name not in PRESETS:
        raise InvalidInputError(f"there is no training preset {name!r:.40}; there are {', '.join(PRESETS)}")
    return PRESETS[name]


def shortened(table: TaskTable, *, query_tokens: int, key_tokens: int, group: int) -> TaskTable:
    """The table for a small machine: nothing longer and no group larger than this."""
    return MappingProxyType(
        {
            task: replace(
                config,
                query_tokens=min(config.query_tokens, query_tokens),
                key_tokens=min(config.key_tokens, key_tokens),
                group=min(config.group, group),
            )
            for task, config in table.items()
        }
    )
