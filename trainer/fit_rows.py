"""From files of training rows to a trained model's folder: held-out rows, training, merge, model card."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from memsdk.errors import InvalidInputError
from memsdk.models import Task
from memsdk.trainer.distributed import process_group, rank, world
from memsdk.trainer.encoder import TrainableEncoder
from memsdk.trainer.export import model_card, save_encoder
from memsdk.trainer.full import MERGES, FullSettings, choose_merge, fit_full
from memsdk.trainer.jsonl import read_rows
from memsdk.trainer.loop import LOG, Progress, plot_log
from memsdk.trainer.metrics import ndcg_at
from memsdk.trainer.problem import right_ones
from memsdk.trainer.rows import Row
from memsdk.trainer.tasks import TaskTable

HELD_OUT = 10  # every so manieth row, by the hash of its id
EMBED_TOKENS = 8_192


@dataclass(frozen=True, slots=True, kw_only=True)
class FullFit:
    """What came of it; figures are nDCG@10 by task, share 0 the base as it was."""

    folder: Path
    rows: int
    held_out: int
    share: float
    figures: Mapping[float, Mapping[str, float]]
    losses: Mapping[str, float] = field(default_factory=dict)


def fit_files(
    files: Sequence[Path],
    into: Path,
    *,
    base: Path,
    settings: FullSettings,
    device: str = "cpu",
    epochs: float | None = None,
    work: Path,
    progress: Callable[[Progress], None] | None = None,
) -> FullFit | None:
    """Train on rows of any tasks and write the folder; started by torchrun, all processes train one model.

    A tenth of the rows is held out: the merge with the base is chosen on it. Killed and called again with the same
    arguments, it goes on from the last checkpoint in `work`.

    Args:
        epochs: instead of the settings' steps.
        work: for checkpoints, the log and the picture of the losses.

    Returns:
        None on all ranks but the first.

    Raises:
        InvalidInputError: `into` is there, or nothing can be learnt from the rows.
    """
    if into.exists():
        raise InvalidInputError(f"{into} is there already; name a folder that is not")
    rows = [row for file in files for row in read_rows(file)]
    learnt = [row for row in rows if not _held(row)]
    held = [row for row in rows if _held(row)]
    with process_group(device) as own_device:
        if epochs is not None:
            a_step = settings.batch * settings.loop.accumulate * world()
            steps = max(1, round(epochs * len(learnt) / a_step))
            settings = replace(settings, loop=replace(settings.loop, steps=steps))
        encoder = TrainableEncoder(base, device=own_device, bf16=own_device.startswith("cuda"))
        original = encoder.state()
        before = ranking_figures(encoder, held, table=None)
        losses = fit_full(encoder, learnt, settings=settings, folder=work, progress=progress)
        if rank() != 0:
            return None
        figures: Mapping[float, Mapping[str, float]] = {}
        share = 1.0
        if before:
            chosen = choose_merge(
                encoder, base=original, before=before, shares=MERGES,
                measure=lambda tried, share: ranking_figures(tried, held, table=settings.table),
            )  # fmt: skip
            share, figures = chosen.share, chosen.figures
        after = figures.get(share, {})
        named = {
            **{f"{task}, held out: nDCG@10 before": value for task, value in before.items()},
            **{f"{task}, held out: nDCG@10 after": value for task, value in after.items()},
        }
        lineage = {
            "rows": len(learnt), "steps": settings.loop.steps, "seed": settings.loop.seed, "batch": settings.batch,
            "learning rate": settings.loop.learning_rate, "anchor": settings.anchor, "temperature": settings.temperature,
            "share of the trained weights in the merge": share, "base weights (sha256)": encoder.folder.weights,
        }  # fmt: skip
        card = model_card(
            into.name, base=base.name, lineage=lineage, metrics=named,
            data={file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files},
        )  # fmt: skip
        prefixes = {task: (config.query_prefix, config.key_prefix) for task, config in settings.table.items()}
        save_encoder(encoder, into, prefixes=prefixes, card=card)
    return FullFit(
        folder=into, rows=len(learnt), held_out=len(held), share=share, figures=figures, losses=losses
    )


def draw_losses(work: Path) -> Path:
    """The loss curves of a training as a PNG beside its log. Raises MissingExtraError."""
    picture = work / "losses.png"
    plot_log(work / LOG, picture)
    return picture


def ranking_figures(
    encoder: TrainableEncoder, rows: Sequence[Row], *, table: TaskTable | None
) -> dict[str, float]:
    """nDCG@10 by task: each row's query over all candidates of the task's rows.

    Args:
        table: whose prefixes are put before the texts; None puts the folder's own.
    """
    found = {}
    for task in Task:
        asked = [(row, {one.text for one in right_ones(row)}) for row in rows if row.task == task]
        asked = [(row, right) for row, right in asked if right]
        texts = list(dict.fromkeys(one.text for row, _ in asked for one in row.candidates))
        if not asked or len(texts) < 2:
            continue
        own = encoder.folder.prefixes.get(task, ("", ""))
        prefixes = own if table is None else (table[task].query_prefix, table[task].key_prefix)
        keys = _embedded(encoder, texts, prefixes[1])
        queries = _embedded(encoder, [row.query for row, _ in asked], prefixes[0])
        ranked = (queries @ keys.T).topk(min(10, len(texts)), dim=1).indices.tolist()
        values = [
            ndcg_at([texts[place] for place in places], right, k=10)
            for places, (_, right) in zip(ranked, asked, strict=True)
        ]
        found[task.value] = sum(values) / len(values)
    return found


def _embedded(encoder: TrainableEncoder, texts: Sequence[str], prefix: str) -> torch.Tensor:
    ids = encoder.token_ids(texts, prefix=prefix, max_tokens=encoder.folder.max_tokens)
    return encoder.embed(ids, batch_tokens=EMBED_TOKENS)


def _held(row: Row) -> bool:
    return int.from_bytes(hashlib.sha256(row.id.encode()).digest()[:4], "big") % HELD_OUT == 0
