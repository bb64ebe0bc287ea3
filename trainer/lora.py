"""T1: LoRA on the query encoder (Hu et al., arXiv 2106.09685) against frozen stored vectors; merged into the weights on export.

PEFT keeps the low-rank factors and merges them; what is ours is what they are trained on: no document is embedded again,
and the negatives are stored vectors at the price of one matrix product.
"""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from memsdk.embedding.transformer import TransformerEmbedder, pool
from memsdk.errors import InvalidInputError
from memsdk.models import Side, Task
from memsdk.ports import Embedder
from memsdk.trainer.loop import rate_at
from memsdk.trainer.problem import Problem
from memsdk.trainer.residual import (
    STRENGTHS,
    batch_loss,
    draw_places,
    negative_places,
    split,
    whole_quality,
)
from memsdk.trainer.tiers import LoraSettings

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from peft.tuners.lora import LoraModel

    Vectors = NDArray[np.float32]

PATIENCE = 4
"""Passes without a better figure before it ends."""
TARGETS = ("query", "key", "value", "q_lin", "k_lin", "v_lin", "q_proj", "k_proj", "v_proj")
"""The names of attention's projections in BERT, DistilBERT and newer encoders; those that a model has are adapted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraResult:
    """The adapted encoder, merged, and how it was found.

    Attributes:
        model: the base encoder's class, with merged weights.
        curve: of each pass, its mean loss and nDCG on the queries kept aside; the first is the base's.
        passes: how many passes the chosen weights had; 0: the base's own.
    """

    model: nn.Module
    curve: tuple[tuple[float, float], ...]
    passes: int
    seconds: float


class Encoder:
    """A TransformerEmbedder's encoder with gradients, on the model's device: token ids in, unit vectors out."""

    def __init__(
        self, embedder: TransformerEmbedder, model: nn.Module, *, task: Task, max_tokens: int
    ) -> None:
        self.model = model
        self.device = next(model.parameters()).device
        self._embedder, self._task = embedder, task
        self._longest = min(max_tokens, embedder.spec.max_tokens)
        self._modes = embedder.spec.pooling.split("+")

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each query with its prefix, special tokens included, cut to the longest that is learnt from."""
        return [ids[: self._longest - 1] + ids[-1:] if len(ids) > self._longest else ids
                for ids in self._embedder.token_ids(texts, task=self._task, side=Side.QUERY)]  # fmt: skip

    def __call__(self, ids: Sequence[Sequence[int]]) -> Tensor:
        """Unit vectors [b, d] of these queries."""
        width = max(len(one) for one in ids)
        padded = torch.full((len(ids), width), self._embedder.pad_id)
        mask = torch.zeros(len(ids), width, dtype=torch.long)
        for row, one in enumerate(ids):
            padded[row, : len(one)] = torch.tensor(one)
            mask[row, : len(one)] = 1
        padded, mask = padded.to(self.device), mask.to(self.device)
        on_gpu = self.device.type == "cuda"
        with torch.autocast("cuda", torch.bfloat16) if on_gpu else nullcontext():
            states = self.model(input_ids=padded, attention_mask=mask).last_hidden_state
        return normalize(pool(states.float(), mask, modes=self._modes), dim=1)


def fit_lora(
    problem: Problem,
    texts: Sequence[str],
    *,
    embedder: Embedder,
    task: Task,
    settings: LoraSettings,
    device: str | None = None,
    budget_s: float | None = None,
    progress: Callable[[str], None] | None = None,
) -> LoraResult:
    """Adapt the query encoder to these queries.

    Args:
        problem: the queries' vectors by the base encoder, their candidates, and the stored vectors.
        texts: the queries themselves, in the same order, without prefix.
        device: where it is computed, on a GPU in bfloat16 where autocast finds that safe; None: where the embedder is.
        budget_s: stop after so many seconds, with the best found by then.

    Raises:
        InvalidInputError: the embedder has no weights of its own to adapt.
    """
    if not isinstance(embedder, TransformerEmbedder):
        raise InvalidInputError(
            f"{embedder.spec.name} has no weights that LoRA could adapt; train it with `--tier t0`"
        )
    began = time.monotonic()
    torch.manual_seed(settings.seed)
    model = _adapted(embedder.model, settings)
    if device is not None:
        model = model.to(device)
    encoder = Encoder(embedder, model, task=task, max_tokens=settings.max_tokens)
    ids = encoder.tokens(texts)
    learnt, aside = split(problem, seed=settings.seed, keep=settings.keep)
    judge = aside or learnt
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=settings.learning_rate, weight_decay=0.01)
    steps = settings.passes * math.ceil(min(len(learnt), settings.most_queries) / settings.batch)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: rate_at(step, steps=steps, warm_up=settings.warm_up)
    )
    best_quality, best_pass, best = _quality(problem, judge, encoder, ids), 0, _copied(trained)
    curve = [(float("nan"), best_quality)]
    generator = torch.Generator().manual_seed(settings.seed)
    for number in range(1, settings.passes + 1):
        loss = _one_pass(
            problem, learnt, encoder=encoder, ids=ids, optimizing=(optimizer, schedule), settings=settings,
            generator=generator, deadline=None if budget_s is None else began + budget_s,
        )  # fmt: skip
        tried = []
        for share in STRENGTHS[:1] if settings.keep == "last" else STRENGTHS:
            with _weakened(model, share):
                tried.append(_quality(problem, judge, encoder, ids))
                if tried[-1] > best_quality or settings.keep == "last":
                    best_quality, best_pass, best = tried[-1], number, _copied(trained)
        curve.append((loss, max(tried)))
        if progress is not None:
            progress(f"pass {number}: loss {loss:.4f}, nDCG aside {max(tried):.4f} (base {curve[0][1]:.4f})")
        is_late = budget_s is not None and time.monotonic() - began > budget_s
        if is_late or number - best_pass >= PATIENCE:
            break
    with torch.no_grad():
        for parameter, value in zip(trained, best, strict=True):
            parameter.copy_(value)
    merged = model.merge_and_unload().eval().cpu()
    return LoraResult(model=merged, curve=tuple(curve), passes=best_pass, seconds=time.monotonic() - began)


def save_lora(into: Path, result: LoraResult, *, base: Embedder) -> None:
    """The merged query encoder in the base's own sentence-transformers folder."""
    assert isinstance(base, TransformerEmbedder)  # as `fit_lora` has checked
    from safetensors.torch import save_file

    from memsdk.trainer.folders import copy_model, write_modules

    modules = copy_model(base.folder, into)
    write_modules(into, modules)
    transformer = into / modules[0]["path"]
    for old in transformer.glob("*.safetensors*"):
        old.unlink()
    state = {name: value.detach().contiguous().clone() for name, value in result.model.state_dict().items()}
    save_file(state, transformer / "model.safetensors", metadata={"format": "pt"})


def merge_with_base(folder: Path, base: Embedder, *, strength: float) -> None:
    """Replace the folder's weights by base + strength x (theirs - base); only what LoRA adapted differs."""
    from safetensors.torch import load_file, save_file

    assert isinstance(base, TransformerEmbedder)  # else there would be no such folder
    module = json.loads((folder / "modules.json").read_text(encoding="utf-8"))[0]
    file = folder / module["path"] / "model.safetensors"
    own = base.model.state_dict()
    merged = {
        name: torch.lerp(own[name].float(), value.float(), strength).contiguous()
        if value.is_floating_point()
        else value
        for name, value in load_file(file).items()
    }
    save_file(merged, file, metadata={"format": "pt"})


def _adapted(base: nn.Module, settings: LoraSettings) -> LoraModel:
    """A copy of the encoder with low-rank factors; only these learn. PeftModel would add hub and generation."""
    from peft import LoraConfig
    from peft.tuners.lora import LoraModel

    config = LoraConfig(
        r=settings.rank, lora_alpha=settings.alpha, lora_dropout=settings.dropout, bias="none",
        target_modules=_targets(base, settings),
    )  # fmt: skip
    return LoraModel(copy.deepcopy(base).float().train(), config, "default")


def _targets(base: nn.Module, settings: LoraSettings) -> list[str] | str:
    last = {name.rpartition(".")[2] for name, module in base.named_modules() if isinstance(module, nn.Linear)}
    attention = [name for name in TARGETS if name in last]
    return attention if attention and settings.layers == "attention" else "all-linear"


def _one_pass(
    problem: Problem,
    learnt: Sequence[int],
    *,
    encoder: Encoder,
    ids: Sequence[list[int]],
    optimizing: tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LambdaLR],
    settings: LoraSettings,
    generator: torch.Generator,
    deadline: float | None,
) -> float:
    """So many queries once, in random order; returns the mean loss of those that were reached before the deadline."""
    optimizer, schedule = optimizing
    drawn = torch.randperm(len(learnt), generator=generator)[: settings.most_queries]
    order = [learnt[at] for at in drawn.tolist()]
    places = draw_places(
        negative_places(problem, learnt, negatives=settings.negatives),
        most=settings.most_keys,
        generator=generator,
    )
    keys = torch.from_numpy(problem.keys[places]).to(encoder.device)
    total, done = 0.0, 0
    encoder.model.train()
    for start in range(0, len(order), settings.batch):
        numbers = order[start : start + settings.batch]
        loss = batch_loss(
            encoder([ids[number] for number in numbers]), problem, numbers, keys=keys, places=places,
            temperature=settings.temperature, reward_temperature=settings.reward_temperature, loss=settings.loss,
        )  # fmt: skip
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch
        nn.utils.clip_grad_norm_(encoder.model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        total, done = total + float(loss.detach()) * len(numbers), done + len(numbers)
        if deadline is not None and time.monotonic() > deadline:
            break
    return total / done


def _quality(problem: Problem, numbers: Sequence[int], encoder: Encoder, ids: Sequence[list[int]]) -> float:
    return whole_quality(embed_queries(encoder, [ids[number] for number in numbers]), problem.part(numbers))


def embed_queries(encoder: Encoder, ids: Sequence[list[int]], *, batch: int = 32) -> Vectors:
    """[n, d] float32 vectors without gradients and without dropout, in the order given."""
    encoder.model.eval()
    order = sorted(range(len(ids)), key=lambda number: len(ids[number]))
    vectors: dict[int, Vectors] = {}
    with torch.inference_mode():
        for start in range(0, len(order), batch):
            some = order[start : start + batch]
            vectors.update(zip(some, encoder([ids[number] for number in some]).cpu().numpy(), strict=True))
    return np.stack([vectors[number] for number in range(len(ids))])


@contextmanager
def _weakened(model: nn.Module, share: float) -> Iterator[None]:
    """Within it, the learnt change of every layer is this share of what it was."""
    ups = [parameter for name, parameter in model.named_parameters() if "lora_B" in name]
    kept = _copied(ups)
    with torch.no_grad():
        for parameter in ups:
            parameter.mul_(share)
    yield
    with torch.no_grad():
        for parameter, value in zip(ups, kept, strict=True):
            parameter.copy_(value)


def _copied(parameters: Sequence[nn.Parameter]) -> list[Tensor]:
    return [parameter.detach().clone() for parameter in parameters]
