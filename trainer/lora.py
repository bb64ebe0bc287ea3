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
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from memsdk.conversing import mixed, weights
from memsdk.embedding.transformer import TransformerEmbedder
from memsdk.errors import InvalidInputError
from memsdk.models import Task
from memsdk.ports import Embedder
from memsdk.trainer.encoder import TokenIds, TrainableEncoder
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

Turns = Sequence[str]
"""A query's turns, the latest first; one where it was asked alone."""
EMBED_TOKENS = 8_192
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


def query_encoder(embedder: TransformerEmbedder, model: nn.Module, *, device: str | None) -> TrainableEncoder:
    """The model with the embedder's tokenizer and pooling; on a GPU in bfloat16 where autocast finds that safe.

    Args:
        device: None: where the model is.
    """
    where = str(next(model.parameters()).device) if device is None else device
    return TrainableEncoder(
        embedder.folder,
        device=where,
        bf16=where.startswith("cuda"),
        pooling=embedder.spec.pooling,
        model=model,
    )


def turn_ids(
    encoder: TrainableEncoder,
    queries: Sequence[Turns],
    *,
    embedder: TransformerEmbedder,
    task: Task,
    max_tokens: int,
) -> list[list[TokenIds]]:
    """The token ids of each query's turns, with its prefix, cut to `max_tokens` or what the embedder takes."""
    prefix, _ = embedder.spec.prefixes.get(task, ("", ""))
    longest = min(max_tokens, embedder.spec.max_tokens)
    flat = encoder.token_ids([turn for turns in queries for turn in turns], prefix=prefix, max_tokens=longest)
    ids = iter(flat)
    return [[next(ids) for _ in turns] for turns in queries]


def fit_lora(
    problem: Problem,
    turns: Sequence[Turns],
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
        turns: the queries themselves, in the same order, without prefix: of each its last turn, then those before it that
            recall considers, the latest first. They are embedded one by one and mixed, as recall does it.
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
    encoder = query_encoder(embedder, model, device=device)
    ids = turn_ids(encoder, turns, embedder=embedder, task=task, max_tokens=settings.max_tokens)
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


def merge_with(folder: Path, other: Embedder | Path, *, strength: float) -> None:
    """Replace the folder's weights by other + strength x (theirs - other); only what LoRA adapted differs.

    Args:
        other: the base, or the folder of another version on it.
    """
    from safetensors.torch import load_file, save_file

    file = _weights_of(folder)
    if isinstance(other, Path):
        own = load_file(_weights_of(other))
    else:
        assert isinstance(other, TransformerEmbedder)  # else there would be no such folder
        own = other.model.state_dict()
    merged = {
        name: torch.lerp(own[name].float(), value.float(), strength).contiguous()
        if value.is_floating_point()
        else value
        for name, value in load_file(file).items()
    }
    save_file(merged, file, metadata={"format": "pt"})


def _weights_of(folder: Path) -> Path:
    module = json.loads((folder / "modules.json").read_text(encoding="utf-8"))[0]
    return Path(folder / module["path"] / "model.safetensors")


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
    encoder: TrainableEncoder,
    ids: Sequence[Sequence[TokenIds]],
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
    encoder.train()
    for start in range(0, len(order), settings.batch):
        numbers = order[start : start + settings.batch]
        loss = batch_loss(
            mixed_vectors(encoder, [ids[number] for number in numbers]), problem, numbers, keys=keys, places=places,
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


def _quality(
    problem: Problem, numbers: Sequence[int], encoder: TrainableEncoder, ids: Sequence[Sequence[TokenIds]]
) -> float:
    return whole_quality(embed_queries(encoder, [ids[number] for number in numbers]), problem.part(numbers))


def embed_queries(encoder: TrainableEncoder, ids: Sequence[Sequence[TokenIds]]) -> Vectors:
    """[n, d] float32 vectors without gradients and without dropout, each the mix of its turns, in the order given."""
    flat = encoder.embed([turn for turns in ids for turn in turns], batch_tokens=EMBED_TOKENS).numpy()
    ends = np.cumsum([len(turns) for turns in ids])[:-1]
    return np.stack([mixed(turns) for turns in np.split(flat, ends)])


def mixed_vectors(encoder: TrainableEncoder, ids: Sequence[Sequence[TokenIds]]) -> Tensor:
    """[b, d] unit vectors with gradients; see `conversing.mixed`."""
    flat = encoder([turn for turns in ids for turn in turns])
    shares = torch.tensor([share for turns in ids for share in weights(len(turns) - 1)], device=flat.device)
    query = torch.tensor([number for number, turns in enumerate(ids) for _ in turns], device=flat.device)
    total = torch.zeros(len(ids), flat.shape[1], device=flat.device)
    return normalize(total.index_add(0, query, shares[:, None] * flat), dim=1)


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
