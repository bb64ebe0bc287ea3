"""Rows made ready to be learnt from: tokenised once, candidates drawn a batch at a time, and the batch's loss."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from memsdk.models import Task
from memsdk.trainer.distributed import gather_others
from memsdk.trainer.encoder import TokenIds, TrainableEncoder
from memsdk.trainer.losses.contrastive import contrastive
from memsdk.trainer.losses.graded import graded_distillation
from memsdk.trainer.losses.kl import kl_distillation
from memsdk.trainer.losses.masks import duplicates
from memsdk.trainer.rows import Row
from memsdk.trainer.tasks import TaskConfig, TaskTable

LABEL = 20.0
"""What a label is worth in units of the reward temperature, so that the softmax of labels alone is (0, ..., 1, ..., 0)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """One row, tokenised.

    Attributes:
        keys: numbers of its candidates' texts in the table of keys.
        rewards: of each candidate, in units of the task's reward temperature.
        positives: places of the right candidates, the best first.
        known: the numbers of all texts that are right for it, none of which may be a negative.
    """

    task: Task
    query: TokenIds
    keys: tuple[int, ...]
    rewards: tuple[float, ...]
    positives: tuple[int, ...]
    known: frozenset[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadyRows:
    """All rows of a training, and the token ids of every key text, each once."""

    rows: tuple[Ready, ...]
    keys: tuple[TokenIds, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """A batch: its queries, the keys drawn for them, and what the loss needs to know of these.

    Attributes:
        numbers: [C] the keys' numbers; equal for equal texts.
        rewards: [C].
        offsets: [B + 1] the borders of the queries' own keys.
        known: for each query the numbers of the texts that are right for it.
    """

    queries: tuple[TokenIds, ...]
    keys: tuple[TokenIds, ...]
    numbers: Tensor
    rewards: Tensor
    offsets: Tensor
    known: tuple[frozenset[int], ...]


def prepare(
    rows: Sequence[Row], *, encoder: TrainableEncoder, table: TaskTable
) -> tuple[ReadyRows, list[int]]:
    """Tokenise the rows that something can be learnt from; also gives which of `rows` these are."""
    kept = [number for number, row in enumerate(rows) if _teaches(row, table[row.task])]
    places: dict[tuple[Task, str], int] = {}
    for number in kept:
        for candidate in rows[number].candidates:
            places.setdefault((rows[number].task, candidate.text), len(places))
    keys: list[TokenIds] = [()] * len(places)
    queries: dict[int, TokenIds] = {}
    for task, config in table.items():
        texts = [text for named, text in places if named == task]
        ids = encoder.token_ids(texts, prefix=config.key_prefix, max_tokens=config.key_tokens)
        for text, one in zip(texts, ids, strict=True):
            keys[places[task, text]] = one
        asking = [number for number in kept if rows[number].task == task]
        asked = encoder.token_ids(
            [rows[number].query for number in asking],
            prefix=config.query_prefix,
            max_tokens=config.query_tokens,
        )
        queries.update(zip(asking, asked, strict=True))
    ready = tuple(
        _ready(rows[number], query=queries[number], places=places, config=table[rows[number].task])
        for number in kept
    )
    return ReadyRows(rows=ready, keys=tuple(keys)), kept


def draw(ready: ReadyRows, numbers: Sequence[int], *, table: TaskTable, seed: int, epoch: int) -> Drawn:
    """The batch of these rows: for each a right candidate and random others; the same for the same seed and epoch."""

    def seeded(number: int) -> random.Random:
        return random.Random(f"{seed} {epoch} {number}")  # noqa: S311 -- no secret

    chosen = [_chosen(ready.rows[number], table, seeded(number)) for number in numbers]
    rows = [ready.rows[number] for number in numbers]
    keys = [row.keys[place] for row, places in zip(rows, chosen, strict=True) for place in places]
    rewards = [row.rewards[place] for row, places in zip(rows, chosen, strict=True) for place in places]
    sizes = torch.tensor([0, *map(len, chosen)])
    return Drawn(
        queries=tuple(row.query for row in rows),
        keys=tuple(ready.keys[key] for key in keys),
        numbers=torch.tensor(keys),
        rewards=torch.tensor(rewards),
        offsets=sizes.cumsum(0),
        known=tuple(row.known for row in rows),
    )


def batch_loss(
    queries: Tensor, keys: Tensor, drawn: Drawn, *, config: TaskConfig, temperature: float
) -> Tensor:
    """The task's loss of a batch's vectors, over the keys of all ranks.

    Args:
        queries: [B, d] unit vectors.
        keys: [C, d] unit vectors of the drawn keys.
        temperature: cosines are divided by it.
    """
    device = queries.device
    everywhere = torch.cat([keys, gather_others(keys)])
    own = drawn.numbers.to(device)
    numbers = torch.cat([own, gather_others(own)])
    offsets = drawn.offsets.to(device)
    scores = queries @ everywhere.T / temperature
    mask = duplicates(numbers.tolist(), drawn.known, drawn.offsets.tolist()).to(device)
    if config.loss == "contrastive":
        return contrastive(scores, offsets[:-1], mask=mask)  # the positive is drawn first
    loss = kl_distillation if config.loss == "kl" else graded_distillation
    return loss(scores, drawn.rewards.to(device), offsets, mask=mask)


def _teaches(row: Row, config: TaskConfig) -> bool:
    """Whether the row has a right candidate, or rewards that differ enough; and something to contrast them with."""
    rewards = [one.reward for one in row.candidates if one.reward is not None]
    if len(rewards) > 1:
        return max(rewards) - min(rewards) > max(config.least_spread, 1e-9)
    return any(one.positive for one in row.candidates)


def _ready(row: Row, *, query: TokenIds, places: dict[tuple[Task, str], int], config: TaskConfig) -> Ready:
    rewards = _rewards(row, config)
    by_label = [place for place, one in enumerate(row.candidates) if one.positive]
    best = max(range(len(rewards)), key=lambda place: rewards[place])
    positives = [best] if config.positive == "teacher" or not by_label else by_label
    numbers = tuple(places[row.task, one.text] for one in row.candidates)
    return Ready(
        task=row.task, query=query, keys=numbers, rewards=tuple(rewards), positives=tuple(positives),
        known=frozenset(numbers[place] for place in {*by_label, *positives}),
    )  # fmt: skip


def _rewards(row: Row, config: TaskConfig) -> list[float]:
    """In units of the task's temperature; labels alone are so far apart that only the right ones weigh."""
    given = [one.reward for one in row.candidates if one.reward is not None]
    if len(given) < 2:
        return [LABEL if one.positive else 0.0 for one in row.candidates]
    least = min(given)
    mean = sum(given) / len(given)
    spread = (sum((value - mean) ** 2 for value in given) / len(given)) ** 0.5
    unit = config.reward_temperature * (spread if config.standardise else 1.0)
    return [(least if one.reward is None else one.reward) / unit for one in row.candidates]


def _chosen(row: Ready, table: TaskTable, drawn: random.Random) -> list[int]:
    config = table[row.task]
    first = drawn.choice(row.positives) if config.positive == "random" else row.positives[0]
    most = config.group - 1
    others = [place for place in range(len(row.keys)) if row.keys[place] not in row.known]
    chosen = drawn.sample(others, min(len(others), most))
    if config.loss != "contrastive":  # further right ones fill up: for icl there can be dozens
        right = [place for place in row.positives if place != first]
        chosen += drawn.sample(right, min(len(right), most - len(chosen)))
    return [first, *chosen]
