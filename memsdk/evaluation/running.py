"""An evaluation run: a temporary store filled for each build, every query asked with each setting."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import numpy as np

from memsdk.errors import InvalidInputError
from memsdk.evaluation.filling import ask, fill
from memsdk.evaluation.measures import measure
from memsdk.evaluation.results import Evaluation, Run, summarise
from memsdk.evaluation.sets import EvaluationSet, read_set
from memsdk.evaluation.stores import store_set
from memsdk.evaluation.variants import Build, Variant, variants
from memsdk.memory import IndexName, Memory
from memsdk.models import Side, Task
from memsdk.ports import Embedder, EmbedderSpec
from memsdk.secondstage import SecondStage

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]

OnQuery = Callable[[str, int, int], None]
"""Told of a setting, or "filling", how many queries are done and how many there are."""


def evaluate(
    source: str | Path | EvaluationSet | Memory,
    *,
    task: Task | str | None = None,
    compare: Sequence[str] = (),
    ablate: Sequence[str] = (),
    split: str | None = None,
    embedder: str | Path | Embedder | None = None,
    index: IndexName = "embedded-inline",
    limit: int | None = None,
    on_query: OnQuery | None = None,
) -> Evaluation:
    """Measure recall, with the defaults and with what they are compared with. Writes to a temporary store only.

    Args:
        source: a set's folder, a JSONL file of queries and relevant texts, a set, or a memory: then its own records are
            searched for what its feedback says was used.
        task: one of the six; by default what the folder's path says, else qa.
        compare: `dense`, `lexical`, `hybrid` (both without signals), `diverse`, `collapse`, a folder of an embedder, or a
            reranker: `late`, or `reranker=NAME` with what `Memory.open` takes; `late@0.5` has a weight of its own.
        ablate: `prefixes`, `neighbours`, `signals`: the default without.
        split: only the queries of this split.
        embedder: as `Memory.open` takes it.
        limit: only so many queries, evenly over the set.
        on_query: called now and then, for a progress line.

    Raises:
        InvalidInputError: the set can't be read or has no such split, or a setting is unknown.
        RerankerError: a reranker that is compared is not there, or fails.
    """
    wanted = variants(compare=compare, ablate=ablate)
    with tempfile.TemporaryDirectory(prefix="memsdk-eval-") as folder:
        data, filler = _data(source, task=task, folder=Path(folder))
        data = _chosen(data, split=split, limit=limit)
        from memsdk.wiring import embedder_of, second_stage  # the one place that names concrete classes

        setting = _Setting(
            data=data,
            filler=filler,
            folder=Path(folder),
            index=index,
            load=embedder_of,
            on_query=on_query,
            second=second_stage,
        )
        if embedder is None and isinstance(source, Memory):
            embedder = source._parts.serving.current().embedder  # noqa: SLF001 -- the store's own, loaded already
        runs: dict[str, Run] = {}
        filled = []
        for number, build in enumerate(dict.fromkeys(variant.build for variant in wanted)):
            of_build = [variant for variant in wanted if variant.build == build]
            name, seconds, found = setting.run(number, build, of_build, embedder=build.embedder or embedder)
            filled.append((name, seconds))
            runs |= {run.setting: run for run in found}
    return Evaluation(
        name=data.name,
        task=data.task.value,
        items=len(data.items),
        embedder=filled[0][0],
        filled_s=round(filled[0][1], 1),
        results=summarise([runs[variant.name] for variant in wanted], data.queries),
    )


Filler = Callable[[Memory], dict[UUID, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Setting:
    """What all builds of one evaluation share."""

    data: EvaluationSet
    filler: Filler
    folder: Path
    index: IndexName
    load: Callable[..., Embedder]
    on_query: OnQuery | None
    second: Callable[..., SecondStage]

    def run(
        self,
        number: int,
        build: Build,
        of_build: Sequence[Variant],
        *,
        embedder: str | Path | Embedder | None,
    ) -> tuple[str, float, list[Run]]:
        """The embedder's name, the seconds that filling took, and a run for each setting of this build."""
        loaded = _Remembering(self.load(embedder, turn_prefixes=build.prefixes))
        settings: dict[str, Any] = {} if build.neighbours is None else {"neighbours": build.neighbours}
        self._tell("filling", 0)
        with Memory.open(
            self.folder / f"store-{number}", embedder=loaded, index=self.index, log_recalls=False, **settings
        ) as memory:
            began = time.perf_counter()
            ids = self.filler(memory)
            seconds = time.perf_counter() - began
            stages = [self._second(variant, memory, encoder=loaded.inner) for variant in of_build]
            runs = [
                self._asked(memory, variant, ids, second=stage)
                for variant, stage in zip(of_build, stages, strict=True)
            ]
            return loaded.spec.name, seconds, runs

    def _second(self, variant: Variant, memory: Memory, *, encoder: Embedder) -> SecondStage | None:
        if variant.reranker is None:
            return None
        settings = memory._parts.settings  # noqa: SLF001 -- an evaluation opens its memories itself
        return self.second(
            variant.reranker, encoder=lambda: encoder, settings=settings, weight=variant.weight
        )

    def _asked(
        self, memory: Memory, variant: Variant, ids: dict[UUID, str], *, second: SecondStage | None
    ) -> Run:
        measures, embed_s, store_s = [], [], []
        for number, query in enumerate(self.data.queries):
            recall, found = ask(
                memory, query, task=self.data.task, ordering=variant.ordering, ids=ids, second=second
            )
            measures.append(measure(found, query.relevant))
            embed_s.append(recall.embed_s)
            store_s.append(recall.total_s - recall.embed_s)
            self._tell(variant.name, number + 1)
        return Run(setting=variant.name, measures=measures, embed_s=embed_s, store_s=store_s)

    def _tell(self, what: str, done: int) -> None:
        if self.on_query is not None:
            self.on_query(what, done, len(self.data.queries))


class _Remembering:
    """An embedder that embeds a text once, so that the second setting costs next to nothing."""

    def __init__(self, inner: Embedder) -> None:
        self.inner = inner
        self._known: dict[tuple[Task, Side, str], Vectors] = {}

    @property
    def spec(self) -> EmbedderSpec:
        return self.inner.spec

    def embed(self, texts: Sequence[str], *, task: Task, side: Side) -> Vectors:
        missing = [text for text in dict.fromkeys(texts) if (task, side, text) not in self._known]
        if missing:
            vectors = self.inner.embed(missing, task=task, side=side)
            self._known.update(((task, side, text), one) for text, one in zip(missing, vectors, strict=True))
        return np.stack([self._known[task, side, text] for text in texts])

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return self.inner.count_tokens(texts)


def _data(
    source: str | Path | EvaluationSet | Memory, *, task: Task | str | None, folder: Path
) -> tuple[EvaluationSet, Filler]:
    if isinstance(source, Memory):
        return store_set(source, folder=folder)
    data = source if isinstance(source, EvaluationSet) else read_set(source, task=task)
    return data, lambda memory: fill(memory, data)


def _chosen(data: EvaluationSet, *, split: str | None, limit: int | None) -> EvaluationSet:
    queries = [query for query in data.queries if split in (None, query.split)]
    if not queries:
        there = ", ".join(sorted({query.split for query in data.queries if query.split})) or "none"
        raise InvalidInputError(f"{data.name} has no split {split!r:.40}; there are {there}")
    if limit is not None:
        if limit < 1:
            raise InvalidInputError(f"limit is {limit}, expected 1 or more queries")
        step = max(1, len(queries) / limit)
        queries = [queries[int(place * step)] for place in range(min(limit, len(queries)))]
    return replace(data, queries=tuple(queries))
