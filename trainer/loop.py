"""The training loop: AdamW, warm-up and linear decay, accumulation, clipping, checkpoints, and a log that can be plotted."""

from __future__ import annotations

import csv
import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import nn

from memsdk.errors import InvalidInputError, MissingExtraError
from memsdk.trainer.checkpoints import Standing, load_checkpoint, save_checkpoint
from memsdk.trainer.distributed import average_gradients, rank
from memsdk.trainer.sampler import Batch, HomogeneousSampler

SelfPaced = Literal["off", "lossy-faster", "lossy-slower"]
Step = Callable[[Batch, float], float]
"""Adds a batch's gradients, multiplied by the second argument, and returns its loss."""

LOG = "log.csv"
_COLUMNS = ("step", "task", "loss", "rate", "seconds")


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopSettings:
    """How it is stepped.

    Attributes:
        steps: of the optimizer.
        warm_up: the share of the steps in which the rate rises; it falls linearly in the others.
        clip: the gradients' norm is held to this.
        accumulate: batches a step.
        self_paced: scales a task's rate by its loss over that at its last mark (`lossy-faster`), or the inverse
            (`lossy-slower`), held to 0.5 to 2. The paper's words and its formula disagree.
        mark_every: steps between two marks.
        checkpoint_every: steps between two checkpoints.
    """

    steps: int
    learning_rate: float = 5e-5
    weight_decay: float = 0.01
    warm_up: float = 0.1
    clip: float = 1.0
    accumulate: int = 1
    self_paced: SelfPaced = "off"
    mark_every: int = 100
    checkpoint_every: int = 100
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what can't be trained with. Raises InvalidInputError."""
        counts = (self.steps, self.accumulate, self.mark_every, self.checkpoint_every)
        if min(counts) < 1 or self.learning_rate <= 0 or not 0 <= self.warm_up < 1 or self.clip <= 0:
            raise InvalidInputError(
                f"steps, accumulate, mark_every and checkpoint_every are 1 or more, rate and clip above 0, and warm_up is"
                f" a share below 1, not {self}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where it stands.

    Attributes:
        losses: of each group, a running mean.
        seconds_left: at the pace so far; None before there is one.
    """

    step: int
    steps: int
    group: str
    losses: Mapping[str, float]
    rate: float
    seconds_left: float | None

    def __str__(self) -> str:
        """One line for people."""
        losses = "  ".join(f"{name} {loss:.3f}" for name, loss in self.losses.items())
        left = "" if self.seconds_left is None else f"  {self.seconds_left / 60:.1f} min left"
        return f"step {self.step}/{self.steps}  rate {self.rate:.2e}{left}  {losses}"


def train(
    module: nn.Module,
    *,
    step: Step,
    sampler: HomogeneousSampler,
    settings: LoopSettings,
    folder: Path | None = None,
    named: str = "",
    progress: Callable[[Progress], None] | None = None,
) -> Mapping[str, float]:
    """Train in place; returns each group's mean loss at the end. The same input, seed and machine give the same weights.

    A training that was killed goes on from its last checkpoint in `folder` and ends in the same weights, bit for bit:
    each step's random numbers come from the seed and the step alone.

    Args:
        folder: for checkpoints and the log; None keeps neither.
        named: what is trained on, as a hash; a checkpoint of other settings or data is not gone on from.
    """
    optimizer = optimizer_of(module, learning_rate=settings.learning_rate, weight_decay=settings.weight_decay)
    device = next(module.parameters()).device
    name = f"{settings} {named}"
    standing = (
        None if folder is None else load_checkpoint(folder, module, optimizer, settings=name, device=device)
    )
    pace = Pace(
        settings.self_paced, every=settings.mark_every, losses={} if standing is None else standing.losses
    )
    first = 0 if standing is None else standing.step
    if standing is not None:
        sampler.restore(standing.position)
    log = None if folder is None or rank() != 0 else _Log(folder / LOG, after=first)
    module.train()
    began = time.monotonic()
    for number in range(first, settings.steps):
        torch.manual_seed(hash((settings.seed, number, rank())) & 0x7FFFFFFF)
        batches = [sampler.next_batch() for _ in range(settings.accumulate)]
        optimizer.zero_grad(set_to_none=True)
        losses = [step(batch, 1 / settings.accumulate) for batch in batches]
        average_gradients(module.parameters())
        nn.utils.clip_grad_norm_(module.parameters(), settings.clip)
        for batch, loss in zip(batches, losses, strict=True):
            pace.saw(batch.group, loss, step=number)
        rate = settings.learning_rate * rate_at(number, steps=settings.steps, warm_up=settings.warm_up)
        rate *= sum(pace.factor(batch.group) for batch in batches) / len(batches)
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
        done = number + 1
        spent = time.monotonic() - began
        if log is not None:
            for batch, loss in zip(batches, losses, strict=True):
                log.write(done, batch.group, loss, rate, spent)
        if (
            folder is not None
            and rank() == 0
            and (done % settings.checkpoint_every == 0 or done == settings.steps)
        ):
            now = Standing(step=done, settings=name, position=sampler.position, losses=pace.losses)
            save_checkpoint(folder, module, optimizer, now)
        if progress is not None:
            left = spent / (done - first) * (settings.steps - done)
            progress(Progress(step=done, steps=settings.steps, group=batches[-1].group, losses=pace.means, rate=rate,
                              seconds_left=left))  # fmt: skip
    return pace.means


def optimizer_of(module: nn.Module, *, learning_rate: float, weight_decay: float) -> torch.optim.AdamW:
    """AdamW (arXiv 1711.05101) over what is trainable; no decay on biases and norms, which would only shrink them."""
    trained = [one for one in module.parameters() if one.requires_grad]
    groups = [
        {"params": [one for one in trained if one.ndim > 1], "weight_decay": weight_decay},
        {"params": [one for one in trained if one.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=learning_rate)


def rate_at(step: int, *, steps: int, warm_up: float) -> float:
    """The share of the highest rate at a step, counted from 0: it rises linearly to 1 and then falls to 0."""
    rising = max(1, round(steps * warm_up))
    return min((step + 1) / rising, (steps - step) / max(1, steps - rising), 1.0)


class Pace:
    """Running mean losses by group, and what the self-paced policy makes of them (LLM-Embedder, ACL 2024)."""

    def __init__(
        self, policy: SelfPaced, *, every: int, losses: Mapping[str, tuple[float, float]] | None = None
    ) -> None:
        """Args: `losses` are of each group its running mean and its mark, from a checkpoint."""
        self._policy, self._every = policy, every
        self._losses = dict(losses or {})

    @property
    def losses(self) -> Mapping[str, tuple[float, float]]:
        """Of each group its running mean and its mark."""
        return dict(self._losses)

    @property
    def means(self) -> Mapping[str, float]:
        """Of each group its running mean."""
        return {name: mean for name, (mean, _) in sorted(self._losses.items())}

    def saw(self, group: str, loss: float, *, step: int) -> None:
        """Take in a loss; every so many steps the means become the marks."""
        if step > 0 and step % self._every == 0:
            self._losses = {name: (mean, mean) for name, (mean, _) in self._losses.items()}
        mean, mark = self._losses.get(group, (loss, loss))
        self._losses[group] = (0.9 * mean + 0.1 * loss, mark)

    def factor(self, group: str) -> float:
        """What the group's rate is multiplied by, 0.5 to 2."""
        mean, mark = self._losses.get(group, (1.0, 1.0))
        if self._policy == "off" or mean <= 0 or mark <= 0:
            return 1.0
        ratio = mean / mark if self._policy == "lossy-faster" else mark / mean
        return min(2.0, max(0.5, ratio))


class _Log:
    """One line a batch, in CSV; what a killed run wrote beyond its checkpoint is cut off."""

    def __init__(self, file: Path, *, after: int) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        kept = (
            [row for row in read_log(file) if int(row["step"]) <= after] if after and file.is_file() else []
        )
        self._file = file
        with file.open("w", newline="", encoding="utf-8") as out:
            writer = csv.DictWriter(out, _COLUMNS)
            writer.writeheader()
            writer.writerows(kept)

    def write(self, step: int, task: str, loss: float, rate: float, seconds: float) -> None:
        with self._file.open("a", newline="", encoding="utf-8") as out:
            csv.writer(out).writerow([step, task, f"{loss:.6f}", f"{rate:.4e}", f"{seconds:.2f}"])


def read_log(file: Path) -> list[dict[str, str]]:
    """The lines of a log; one that a kill cut short is left out."""
    with file.open(newline="", encoding="utf-8") as lines:
        return [row for row in csv.DictReader(lines) if all(row.get(name) for name in _COLUMNS)]


def plot_log(file: Path, picture: Path) -> None:
    """Draw each task's loss over the steps as a PNG.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure  # no pyplot: no window, no global state
    except ImportError as error:
        raise MissingExtraError(what="drawing loss curves", extra="train") from error
    curves: dict[str, list[tuple[int, float]]] = {}
    for row in read_log(file):
        curves.setdefault(row["task"], []).append((int(row["step"]), float(row["loss"])))
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    for name, curve in sorted(curves.items()):
        axes.plot([step for step, _ in curve], list(_smooth(loss for _, loss in curve)), label=name)
    axes.set_xlabel("step")
    axes.set_ylabel("loss, running mean")
    axes.legend(fontsize="small")
    figure.savefig(picture, dpi=120)


def _smooth(losses: Iterable[float]) -> Iterable[float]:
    mean = math.nan
    for loss in losses:
        mean = loss if math.isnan(mean) else 0.9 * mean + 0.1 * loss
        yield mean
