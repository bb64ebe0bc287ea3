"""A causal language model on this machine, through transformers: scores and samples."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, Protocol, cast

import torch
import transformers
from torch import nn

from memsdk.embedding.quiet import UNLOADABLE, quiet
from memsdk.errors import InvalidInputError, RewardModelError
from memsdk.ports import LogProb
from memsdk.trainer.rewards.packed import (
    CausalModel,
    agrees,
    prefers_reuse,
    score_packed,
    score_plain,
    score_reused,
)
from memsdk.trainer.rewards.port import Ids, Job, Sampling
from memsdk.trainer.rewards.tokens import Tokens

BATCH_TOKENS = {"cpu": 2_048, "cuda": 32_768}


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """How a local model is run.

    Attributes:
        device: `auto` takes a CUDA device where there is one.
        dtype: `auto` is bfloat16 on a GPU and float32 elsewhere. bfloat16 moves a sum by .1 to .2 nats.
        threads: torch's threads, for the whole process; None leaves them as they are.
        batch_tokens: padded tokens a batch; None is 2,048 on a CPU and 32,768 on a GPU.
    """

    device: Literal["cpu", "cuda", "auto"] = "auto"
    dtype: Literal["float32", "bfloat16", "auto"] = "auto"
    threads: int | None = None
    batch_tokens: int | None = None


class _Generator(Protocol):
    """What is used of transformers' generation and of its models; their own types do not fit each other."""

    def generate(self, **options: object) -> torch.Tensor:
        """Token ids [n, L], the prompt included."""

    def get_output_embeddings(self) -> nn.Module | None:
        """The head over the vocabulary."""


class LocalModel:
    """Implements Scorer. Prompts are tokenised apart from outputs; no end token is ever scored."""

    def __init__(
        self, folder: Path, *, name: str, chat: bool = False, machine: Machine | None = None
    ) -> None:
        """Load it.

        Args:
            folder: a transformers folder with a causal language model.
            name: what a person calls it.
            chat: put prompts into its chat template. A small model judges better without (docs/how-to/reward-models.md).
            machine: how it is run.

        Raises:
            RewardModelError: it can't be loaded.
        """
        machine = machine or Machine()
        self.name = name
        self.tokens = Tokens(folder, chat=chat)
        device, dtype = _where(machine)
        if machine.threads is not None:
            torch.set_num_threads(machine.threads)
        self._batch_tokens = machine.batch_tokens or BATCH_TOKENS[device.type]
        whole = _load(folder, dtype=dtype).to(device).eval().requires_grad_(False)
        self.model = CausalModel(
            model=whole,
            body=cast(nn.Module, whole.base_model),
            head=_head(whole, folder),
            device=device,
            dtype=dtype,
            pad_id=self.tokens.pad_id,
        )
        self._weights = _weights_hash(folder)

    @cached_property
    def identity(self) -> str:
        """Weights, dtype, tokenizer: another device gives the same to some 1e-5."""
        return f"local {self._weights} {self.model.dtype} {self.tokens.identity}"

    @cached_property
    def window(self) -> int:
        """How many tokens the model can see."""
        found = getattr(self.model.model.config, "max_position_embeddings", None)
        return found if isinstance(found, int) else 2_048

    @cached_property
    def packs(self) -> bool:
        """Whether this architecture takes a tree mask; asked of the model itself, once."""
        return agrees(self.model, score_packed, vocabulary=self._vocabulary)

    @cached_property
    def reuses(self) -> bool:
        """Whether its cache can be repeated; asked of the model itself, once."""
        return agrees(self.model, score_reused, vocabulary=self._vocabulary)

    @cached_property
    def _vocabulary(self) -> int:
        return int(getattr(self.model.head, "out_features", 0)) or 100

    def prompt_ids(self, text: str) -> Ids:
        """A prompt's tokens."""
        return self.tokens.prompt_ids(text)

    def output_ids(self, text: str) -> Ids:
        """An output's tokens, by themselves."""
        return self.tokens.output_ids(text)

    def cut(self, text: str, *, most: int, from_end: bool = False) -> str:
        """The first or last tokens of a text, as text."""
        return self.tokens.cut(text, most=most, from_end=from_end)

    def score(self, jobs: Sequence[Job]) -> list[list[LogProb]]:
        """Packed where the architecture takes it and the outputs are short, else in the next best way."""
        self._check(jobs)
        found: list[list[LogProb]] = [[] for _ in jobs]
        for scorer in (score_packed, score_reused, score_plain):
            chosen = [n for n, job in enumerate(jobs) if not found[n] and self._fits(job, scorer)]
            if chosen:
                given = scorer(self.model, [jobs[n] for n in chosen], batch_tokens=self._batch_tokens)
                for number, scores in zip(chosen, given, strict=True):
                    found[number] = scores
        return found

    def sample(self, prompt: Ids, *, count: int, sampling: Sampling, seed: int) -> list[str]:
        """Draw outputs, all in one batch; equal arguments give equal outputs on one machine."""
        ids = torch.tensor([prompt], device=self.model.device)
        devices = [self.model.device] if self.model.device.type == "cuda" else []
        options: dict[str, object] = {"stop_strings": [sampling.stop]} if sampling.stop else {}
        with torch.random.fork_rng(devices=devices), torch.inference_mode(), quiet():
            torch.manual_seed(seed)
            made = self._generator.generate(
                input_ids=ids, attention_mask=torch.ones_like(ids), do_sample=True, num_return_sequences=count,
                temperature=sampling.temperature, top_p=sampling.top_p, top_k=0, max_new_tokens=sampling.max_tokens,
                pad_token_id=self.model.pad_id, tokenizer=self.tokens.stops,
                begin_suppress_tokens=self._silent, **options,
            )  # fmt: skip
        outputs = [self.tokens.text(tuple(row[len(prompt) :])) for row in made.tolist()]
        return [_until(output, sampling.stop) for output in outputs]

    @cached_property
    def _silent(self) -> list[int]:
        """The tokens that say nothing: no output begins with one, or a prompt that ends a line has none at all."""
        return self.tokens.silent(self._vocabulary)

    @property
    def _generator(self) -> _Generator:
        return cast(_Generator, self.model.model)

    def _fits(self, job: Job, scorer: object) -> bool:
        if scorer is score_packed:
            return self.packs and not (prefers_reuse(job) and self.reuses)
        return scorer is score_plain or self.reuses

    def _check(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            if not job.prompt or not all(job.outputs):
                raise InvalidInputError("a prompt or an output has no token; drop the row, or give it a text")
            longest = len(job.prompt) + max(map(len, job.outputs), default=0)
            if longest > self.window:
                raise InvalidInputError(
                    f"a prompt and its output have {longest} tokens, and {self.name} sees {self.window};"
                    " lower max_key_tokens, max_query_tokens or max_output_tokens"
                )


def _where(machine: Machine) -> tuple[torch.device, torch.dtype]:
    has_gpu = torch.cuda.is_available()
    if machine.device == "cuda" and not has_gpu:
        raise RewardModelError(
            "device='cuda' was asked for, but torch sees no CUDA device; use device='auto'"
        )
    device = torch.device(
        "cuda" if machine.device == "cuda" or (machine.device == "auto" and has_gpu) else "cpu"
    )
    wide = machine.dtype == "float32" or (machine.dtype == "auto" and device.type == "cpu")
    return device, torch.float32 if wide else torch.bfloat16


def _load(folder: Path, *, dtype: torch.dtype) -> nn.Module:
    try:
        with quiet():
            model = transformers.AutoModelForCausalLM.from_pretrained(
                str(folder), dtype=dtype, local_files_only=True, trust_remote_code=False
            )
    except UNLOADABLE as error:
        raise RewardModelError(f"{folder} holds no causal language model that loads: {error}") from error
    return cast(nn.Module, model)


def _head(model: nn.Module, folder: Path) -> nn.Module:
    head = cast(_Generator, model).get_output_embeddings()
    if head is None:
        raise RewardModelError(
            f"the model in {folder} has no head over its vocabulary; name a causal language model"
        )
    return head


def _weights_hash(folder: Path) -> str:
    """A hash over the weight files and the configuration."""
    files = sorted(
        [*folder.glob("*.safetensors"), *folder.glob("pytorch_model*.bin"), folder / "config.json"]
    )
    total = hashlib.sha256()
    for file in files:
        with file.open("rb") as opened:
            total.update(file.name.encode() + hashlib.file_digest(opened, "sha256").digest())
    return total.hexdigest()[:32]


def _until(text: str, stop: str) -> str:
    return (text.partition(stop)[0] if stop and stop in text else text).strip()
