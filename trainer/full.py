"""T2: the whole encoder, all tasks at once, held near the old one, and merged with it at the share that does best on guard."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from memsdk.errors import InvalidInputError
from memsdk.trainer.batches import Drawn, ReadyRows, batch_loss, draw, prepare
from memsdk.trainer.distributed import rank, world
from memsdk.trainer.encoder import TokenIds, TrainableEncoder, by_length
from memsdk.trainer.loop import LoopSettings, Progress, train
from memsdk.trainer.losses.anchor import anchor
from memsdk.trainer.losses.cached import cached_backward
from memsdk.trainer.rows import Row
from memsdk.trainer.sampler import Batch, HomogeneousSampler
from memsdk.trainer.tasks import PRESETS, TaskTable

MERGES = (0.4, 0.6, 0.8, 1.0)
"""Shares of the trained weights that are tried; the base's share is what is missing to 1."""
TOLERANCE = 0.01
"""How much any one guard figure may lose."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FullSettings:
    """How the whole encoder is trained.

    Attributes:
        batch: queries a step on each process; all their keys are each other's negatives.
        temperature: cosines are divided by it.
        anchor: times the squared distance of the batch's vectors from the old encoder's; 0 leaves it out.
        chunk_tokens: padded tokens that go through the encoder at once.
        cached: cached gradients: the memory of one chunk instead of the batch's, for a third more time.
    """

    loop: LoopSettings
    table: TaskTable = field(default_factory=lambda: PRESETS["default"])
    batch: int = 64
    temperature: float = 0.02
    anchor: float = 0.1
    chunk_tokens: int = 8_192
    cached: bool = False


def fit_full(
    encoder: TrainableEncoder,
    rows: Sequence[Row],
    *,
    settings: FullSettings,
    groups: Sequence[str] | None = None,
    shares: Mapping[str, float] | None = None,
    folder: Path | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Mapping[str, float]:
    """Train the encoder in place on rows of any tasks; returns each group's loss at the end.

    Args:
        groups: names what each row is batched with; its task where left out. Rows of one corpus make better negatives.
        shares: how often each group's rows come in an epoch; its task's share where left out.
        folder: for checkpoints and the log.

    Raises:
        InvalidInputError: nothing can be learnt from the rows, or from too few for the processes.
    """
    ready, kept = prepare(rows, encoder=encoder, table=settings.table)
    if not kept:
        raise InvalidInputError(
            "no row has a known right candidate, or rewards that differ; there is nothing to learn"
        )
    names = [rows[number].task.value if groups is None else groups[number] for number in kept]
    by_name: dict[str, list[int]] = {}
    for place, name in enumerate(names):
        by_name.setdefault(name, []).append(place)
    usual = {name: settings.table[ready.rows[places[0]].task].share for name, places in by_name.items()}
    sampler = HomogeneousSampler(
        by_name,
        batch=settings.batch,
        seed=settings.loop.seed,
        shares={**usual, **(shares or {})},
        rank=rank(),
        world=world(),
    )
    old = copy.deepcopy(encoder).eval().requires_grad_(False) if settings.anchor else None

    def step(batch: Batch, scale: float) -> float:
        drawn = draw(ready, batch.rows, table=settings.table, seed=settings.loop.seed, epoch=batch.epoch)
        config = settings.table[ready.rows[batch.rows[0]].task]

        def loss(queries: Tensor, keys: Tensor) -> Tensor:
            return batch_loss(queries, keys, drawn, config=config, temperature=settings.temperature)

        return backward(encoder, drawn, loss=loss, old=old, settings=settings, scale=scale)

    return train(
        encoder, step=step, sampler=sampler, settings=settings.loop, folder=folder,
        named=_name(ready, settings), progress=progress,
    )  # fmt: skip


def backward(
    encoder: TrainableEncoder,
    drawn: Drawn,
    *,
    loss: Callable[[Tensor, Tensor], Tensor],
    old: TrainableEncoder | None,
    settings: FullSettings,
    scale: float,
) -> float:
    """Add a batch's gradients, chunk by chunk; returns the loss without the anchor."""
    texts: list[TokenIds] = [*drawn.queries, *drawn.keys]
    chunks = by_length(texts, batch_tokens=settings.chunk_tokens)
    order = [place for chunk in chunks for place in chunk]
    back = torch.empty(len(order), dtype=torch.int64)
    back[order] = torch.arange(len(order))
    back = back.to(encoder.device)
    given = [[texts[place] for place in chunk] for chunk in chunks]
    with torch.no_grad():
        before = None if old is None else torch.cat([old(chunk) for chunk in given])
    told: list[float] = []

    def whole(vectors: Tensor) -> Tensor:
        mine = vectors[back]
        value = loss(mine[: len(drawn.queries)], mine[len(drawn.queries) :])
        told.append(float(value.detach()))
        return value if before is None else value + settings.anchor * anchor(vectors, before)

    if settings.cached:
        cached_backward(given, encode=encoder, loss=whole, scale=scale)
    else:
        torch.autograd.backward(whole(torch.cat([encoder(chunk) for chunk in given])) * scale)
    return told[0]


def merged(base: Mapping[str, Tensor], trained: Mapping[str, Tensor], *, share: float) -> dict[str, Tensor]:
    """share * trained + (1 - share) * base, weight by weight (LM-Cocktail, arXiv 2311.13534)."""
    return {
        name: torch.lerp(base[name].float(), value.float(), share).to(value.dtype)
        if value.is_floating_point()
        else value
        for name, value in trained.items()
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Merge:
    """The chosen share, and the guard's figures at every share tried; share 0 is the base itself."""

    share: float
    figures: Mapping[float, Mapping[str, float]]


def choose_merge(
    encoder: TrainableEncoder,
    *,
    base: Mapping[str, Tensor],
    measure: Callable[[TrainableEncoder, float], Mapping[str, float]],
    before: Mapping[str, float],
    shares: Sequence[float] = MERGES,
) -> Merge:
    """Leave the encoder at the share of its weights with the best guard mean, among those that harm no figure.

    Where each share lowers some figure by more than `TOLERANCE`, the one whose worst loss is smallest is taken: whether
    that may serve is the gate's to say.

    Args:
        before: the guard's figures of the base as it is used today, with its own prefixes.
        measure: gives the same figures, 0 to 1, of an encoder that has that share.
    """
    trained = encoder.state()
    figures: dict[float, Mapping[str, float]] = {}
    for share in shares:
        encoder.load_state(merged(base, trained, share=share))
        figures[share] = measure(encoder, share)

    def worth(share: float) -> tuple[float, float]:
        found = figures[share]
        worst = min(found[name] - before[name] for name in before)
        return (min(0.0, worst + TOLERANCE), sum(found.values()) / len(found))

    best = max(shares, key=worth)
    encoder.load_state(merged(base, trained, share=best))
    return Merge(share=best, figures={0.0: before, **figures})


def _name(ready: ReadyRows, settings: FullSettings) -> str:
    """A hash of what is learnt from and how, so that a checkpoint of other data is not gone on from."""
    digest = hashlib.sha256(
        f"{settings.batch} {settings.temperature} {settings.anchor} {dict(settings.table)}".encode()
    )
    for row in ready.rows:
        digest.update(repr((row.query, row.keys, row.rewards)).encode())
    for key in ready.keys:
        digest.update(repr(key).encode())
    return digest.hexdigest()
