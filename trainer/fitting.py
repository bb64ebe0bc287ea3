"""One tier fitted on one task's rows: a candidate encoder in a folder, with what is to be known of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from memsdk.embedding.adapters import ADAPTER, ResidualEmbedder
from memsdk.embedding.loading import load_embedder
from memsdk.models import Task
from memsdk.ports import Embedder
from memsdk.trainer.folders import save_residual
from memsdk.trainer.problem import Problem
from memsdk.trainer.tiers import LoraSettings, ResidualSettings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]

Tier = Literal["t0", "t1"]
Progress = Callable[[str], None]
FITTED = "fitted.json"
ENOUGH_FOR_LORA = 1_000
"""Rows from which on `--tier auto` takes T1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """A candidate and how it was fitted; `passes` is 0 where nothing did better than the store's own encoder."""

    folder: Path
    tier: Tier
    passes: int
    curve: tuple[tuple[float, float], ...]
    seconds: float
    settings: dict[str, object]


def choose_tier(wanted: str, *, rows: int, user_id: str | None, embedder: Embedder) -> Tier:
    """What `auto` means: T1 for a whole store with a thousand rows and an encoder with weights, else T0."""
    if wanted in ("t0", "t1"):
        return "t1" if wanted == "t1" else "t0"
    has_weights = hasattr(embedder, "folder")
    return "t1" if user_id is None and rows >= ENOUGH_FOR_LORA and has_weights else "t0"


def fit(
    tier: Tier,
    problem: Problem,
    turns: Sequence[Sequence[str]],
    *,
    embedder: Embedder,
    task: Task,
    into: Path,
    residual: ResidualSettings,
    lora: LoraSettings,
    budget_s: float | None,
    progress: Progress | None,
) -> Fitted:
    """Fit and write the candidate; a folder that is there already is an earlier run's, whole, and is taken as it is."""
    if not (into / FITTED).is_file():
        making = into.with_name(f"{into.name}.making")
        shutil.rmtree(making, ignore_errors=True)
        making.mkdir(parents=True)
        if tier == "t0":
            described = _fit_t0(
                problem, embedder, into=making, settings=residual, budget_s=budget_s, progress=progress
            )
        else:
            described = _fit_t1(
                problem, turns, embedder=embedder, task=task, into=making, settings=lora, budget_s=budget_s,
                progress=progress,
            )  # fmt: skip
        (making / FITTED).write_text(json.dumps({"tier": tier, **described}), encoding="utf-8")
        shutil.rmtree(into, ignore_errors=True)
        making.rename(into)
    found = json.loads((into / FITTED).read_text(encoding="utf-8"))
    curve = tuple(
        (float("nan") if loss is None else float(loss), float(quality)) for loss, quality in found["curve"]
    )
    return Fitted(
        folder=into, tier=found["tier"], passes=found["passes"], curve=curve, seconds=found["seconds"],
        settings=found["settings"],
    )  # fmt: skip


def load_fitted(fitted: Fitted, base: Embedder) -> Embedder:
    """The candidate's encoder, for queries."""
    if fitted.tier == "t0":
        from safetensors.numpy import load_file

        tensors = load_file(fitted.folder / ADAPTER)
        return ResidualEmbedder(base, down=tensors["down"], up=tensors["up"], name="candidate")
    return load_embedder(fitted.folder, prefixes=base.spec.prefixes)


def weakened(fitted: Fitted, base: Embedder, *, strength: float, serving: Path | None = None) -> Fitted:
    """The candidate on a part of the way from what serves to itself, weight by weight (LM-Cocktail, arXiv 2311.13534).

    Args:
        strength: 0 is what serves, 1 the candidate.
        serving: the folder of the version of the same tier that serves; None: the way begins at the base.
    """
    beside = "" if serving is None else f"-{serving.name}"
    into = fitted.folder.with_name(f"{fitted.folder.name}-{strength:g}{beside}")
    settings = {**fitted.settings, "strength": strength, "from": "base" if serving is None else serving.name}
    result = replace(fitted, folder=into, settings=settings)
    if into.is_dir():
        return result
    making = into.with_name(f"{into.name}.making")
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(parents=True)
    if fitted.tier == "t0":
        change = np.float32(strength) * _change(fitted.folder)
        if serving is not None:
            change += np.float32(1 - strength) * _change(serving)
        save_residual(making, down=np.eye(len(change), dtype=np.float32), up=change, base=base)
    else:
        from memsdk.trainer.lora import merge_with

        copy_tree(fitted.folder, making)
        merge_with(making, base if serving is None else serving, strength=strength)
    shutil.copyfile(fitted.folder / FITTED, making / FITTED)
    making.rename(into)
    return result


def _change(folder: Path) -> Vectors:
    """T0's map without the identity, [d, d]."""
    from safetensors.numpy import load_file

    tensors = load_file(folder / ADAPTER)
    change: Vectors = tensors["up"] @ tensors["down"]
    return change


def copy_fitted(fitted: Fitted, into: Path) -> None:
    """The candidate's files into a version's folder."""
    copy_tree(fitted.folder, into)
    (into / FITTED).unlink()


def copy_tree(source: Path, into: Path) -> None:
    """Everything in the folder into another one that is there."""
    shutil.copytree(source, into, dirs_exist_ok=True)


def _fit_t0(
    problem: Problem,
    base: Embedder,
    *,
    into: Path,
    settings: ResidualSettings,
    budget_s: float | None,
    progress: Progress | None,
) -> dict[str, object]:
    from memsdk.trainer.residual import fit_residual  # torch, where something is fitted

    found = fit_residual(problem, settings=settings, budget_s=budget_s, progress=progress)
    save_residual(into, down=found.down, up=found.up, base=base)
    return _described(found.passes, found.curve, found.seconds, asdict(settings))


def _fit_t1(
    problem: Problem,
    turns: Sequence[Sequence[str]],
    *,
    embedder: Embedder,
    task: Task,
    into: Path,
    settings: LoraSettings,
    budget_s: float | None,
    progress: Progress | None,
) -> dict[str, object]:
    from memsdk.trainer.lora import fit_lora, save_lora

    found = fit_lora(
        problem, turns, embedder=embedder, task=task, settings=settings, budget_s=budget_s, progress=progress
    )
    save_lora(into, found, base=embedder)
    return _described(found.passes, found.curve, found.seconds, asdict(settings))


def _described(
    passes: int, curve: tuple[tuple[float, float], ...], seconds: float, settings: dict[str, object]
) -> dict[str, object]:
    plain = [[None if np.isnan(loss) else loss, quality] for loss, quality in curve]
    return {"passes": passes, "curve": plain, "seconds": round(seconds, 2), "settings": settings}
