"""The settings that an evaluation compares, by the names that a person types."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from memsdk.errors import InvalidInputError
from memsdk.models import Kind
from memsdk.ranking import DEFAULT_WEIGHTS, Weights
from memsdk.reranking import DEFAULT as PLAIN
from memsdk.reranking import Ordering

Ablation = Literal["prefixes", "neighbours", "signals"]
ABLATIONS: tuple[Ablation, ...] = ("prefixes", "neighbours", "signals")


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """What decides a store's vectors; settings with the same build are asked of one store.

    Attributes:
        embedder: as `Memory.open` takes it; None for that of the evaluation.
        prefixes: whether the prefixes are turned round: off for an embedder that has some, LLM-Embedder's for others.
        neighbours: turns either side; None for the default.
    """

    embedder: str | None = None
    prefixes: bool = False
    neighbours: int | None = None


BUILT = Build()


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One setting.

    Attributes:
        reranker: as `Memory.open` takes it.
        weight: the reranker's; None for the default.
    """

    name: str
    build: Build = BUILT
    ordering: Ordering = PLAIN
    reranker: str | None = None
    weight: float | None = None


def _only(*, dense: float, lexical: float) -> Ordering:
    """One leg, and nothing else: what a peer with that leg would find in the same texts."""
    return Ordering(weights=dict.fromkeys(Kind, Weights(dense=dense, lexical=lexical)), signals={})


DEFAULT = "default"
RERANKER = "reranker="
NAMED: dict[str, Variant] = {
    variant.name: variant
    for variant in (
        Variant(name=DEFAULT),
        Variant(name="dense", ordering=_only(dense=1.0, lexical=0.0)),
        Variant(name="lexical", ordering=_only(dense=0.0, lexical=1.0)),
        Variant(name="hybrid", ordering=Ordering(weights=DEFAULT_WEIGHTS, signals={})),
        Variant(name="diverse", ordering=Ordering(diversity=0.3)),
        Variant(name="collapse", ordering=Ordering(collapse=True)),
        Variant(name="late", reranker="late"),
    )
}
"""`hybrid` is the fusion without signals."""


def variants(*, compare: Sequence[str], ablate: Sequence[str]) -> list[Variant]:
    """The default, then what is compared with it, each once.

    Raises:
        InvalidInputError: a name that is neither a setting nor a folder; an ablation that there is not.
    """
    chosen = [NAMED[DEFAULT], *(_compared(name) for name in compare), *(_ablated(name) for name in ablate)]
    return list({variant.name: variant for variant in chosen}.values())


def _compared(name: str) -> Variant:
    if name in NAMED:
        return NAMED[name]
    plain, at, share = name.rpartition("@")
    if at and plain:
        variant = _compared(plain)
        if variant.reranker is not None:
            return replace(variant, name=f"{variant.name}@{share}", weight=_weight(share))
    if name.startswith(RERANKER):
        return Variant(name=name, reranker=name.removeprefix(RERANKER))
    if Path(name).is_dir():
        return Variant(name=Path(name).name, build=Build(embedder=name))
    raise InvalidInputError(
        f"nothing to compare is called {name!r:.80}; there are {', '.join(NAMED)},"
        f" {RERANKER}NAME, and folders of embedders"
    )


def _weight(share: str) -> float:
    try:
        weight = float(share)
    except ValueError:
        weight = -1.0
    if not 0 <= weight <= 1:
        raise InvalidInputError(f"a reranker's weight is {share!r:.40}, expected a number from 0 to 1")
    return weight


def _ablated(name: str) -> Variant:
    match name:
        case "prefixes":
            return Variant(name="prefixes turned", build=Build(prefixes=True))
        case "neighbours":
            return Variant(name="no neighbours", build=Build(neighbours=0))
        case "signals":
            return Variant(name="no signals", ordering=Ordering(signals={}))
        case _:
            raise InvalidInputError(f"can't ablate {name!r:.80}; there are {', '.join(ABLATIONS)}")
