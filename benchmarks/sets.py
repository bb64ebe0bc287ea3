"""The sets of ../shared/data as vectors of the packaged embedder, kept on disk: what the trainer's benchmarks learn from."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from memsdk.embedding.loading import load_embedder
from memsdk.models import Side, Task
from memsdk.ports import Embedder

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]

DATA = Path(os.environ.get("MEMSDK_SHARED_DATA", Path(__file__).parents[1].parent / "shared" / "data"))
SETS = (
    "tool/metatool", "tool/bfcl", "tool/sealtools", "icl/mixed", "icl/intents", "qa/fairytaleqa", "qa/strategyqa",
    "convsearch/dstc11_sktod", "qa/squad", "qa/medquad",
)  # fmt: skip
"""Smallest first. Left out: LoCoMo for its licence, BEAM, mtrag and long_docs for the hours their long texts take here."""
PART = 512  # texts embedded between two writes to the cache
CHARS = 1_200  # of a text: beyond the model's 256 tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One question and the places of its answers in the corpus."""

    text: str
    relevant: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSet:
    """One set, embedded: keys [n, d], and queries with their vectors, by split."""

    name: str
    task: Task
    keys: Vectors
    queries: dict[str, list[Query]]
    vectors: dict[str, Vectors]


def load_set(name: str, *, cache: Path, most: dict[str, int]) -> DataSet:
    """The set with up to `most[split]` queries a split, drawn with a fixed seed."""
    corpus = _lines(DATA / name / "corpus.jsonl.gz")
    place = {str(row["id"]): number for number, row in enumerate(corpus)}
    keys = embedded([str(row["text"]) for row in corpus], side=Side.KEY, cache=cache)
    queries: dict[str, list[Query]] = {split: [] for split in most}
    for row in _lines(DATA / name / "queries.jsonl.gz"):
        meta = row["meta"]
        assert isinstance(meta, dict)
        wanted = row["relevant"]
        assert isinstance(wanted, list)
        strong = meta.get("n_strong")
        found = tuple(place[each] for each in (wanted[:strong] if strong else wanted) if each in place)
        if found and meta["split"] in queries:
            queries[meta["split"]].append(Query(text=_text(row, meta), relevant=found))
    for split, limit in most.items():
        order = np.random.default_rng(7).permutation(len(queries[split]))[:limit]
        queries[split] = [queries[split][number] for number in sorted(order)]
    vectors = {
        split: embedded([query.text for query in some], side=Side.QUERY, cache=cache)
        for split, some in queries.items()
    }
    return DataSet(name=name, task=Task(name.partition("/")[0]), keys=keys, queries=queries, vectors=vectors)


def embedded(texts: Sequence[str], *, side: Side, cache: Path) -> Vectors:
    """The packaged embedder's vectors [n, d], from the cache where they are there, part by part."""
    cache.mkdir(parents=True, exist_ok=True)
    parts = []
    for start in range(0, len(texts), PART):
        some = [text[:CHARS] for text in texts[start : start + PART]]
        digest = hashlib.sha256("\0".join(some).encode()).hexdigest()[:24]
        file = cache / f"{digest}.npy"
        if not file.exists():
            np.save(file, _embedder().embed(some, task=Task.QA, side=side))
        parts.append(np.load(file))
    return np.concatenate(parts) if parts else np.zeros((0, 384), np.float32)


def _text(row: dict[str, object], meta: dict[str, object]) -> str:
    context = meta.get("context")
    turns = [str(turn) for turn in context] if isinstance(context, list) else []
    return "\n".join([*turns[-2:], str(row["query"])])


_loaded: list[Embedder] = []


def _embedder() -> Embedder:
    if not _loaded:
        _loaded.append(load_embedder())
    return _loaded[0]


def _lines(file: Path) -> list[dict[str, object]]:
    with gzip.open(file, "rt", encoding="utf-8") as opened:
        return [json.loads(line) for line in opened]
