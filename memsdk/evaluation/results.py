"""What an evaluation found: plain frozen values, made from each query's measures, for a table, JSON or a picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

from memsdk.evaluation.measures import MEASURES, Comparison, Estimate, compare, estimate, quantiles
from memsdk.evaluation.sets import Asked


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True)


class Group(_Value):
    """The measures of some queries.

    Attributes:
        queries: how many there are.
        measures: by name (`recall@10`, `ndcg@10`, `mrr`): the mean and its 95 % interval.
    """

    queries: int
    measures: dict[str, Estimate]


class Result(_Value):
    """What one setting scored.

    Attributes:
        categories, splits: the same for the queries of each; empty where the set names none.
        embedding_ms: p50, p90, p99 of a query's time in the embedder; of the first setting only, as later ones know the
            queries' vectors already.
        store_ms: the same of all the rest, a reranker included.
        against_first: each measure compared with the first setting, query by query; empty for the first.
    """

    setting: str
    overall: Group
    categories: dict[str, Group]
    splits: dict[str, Group]
    embedding_ms: dict[str, float]
    store_ms: dict[str, float]
    against_first: dict[str, Comparison]


class Evaluation(_Value):
    """All settings on one set; the first is what the others are compared with."""

    name: str
    task: str
    items: int
    embedder: str
    filled_s: float
    results: tuple[Result, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Every query's measures under one setting, in the set's order."""

    setting: str
    measures: Sequence[Mapping[str, float]]
    embed_s: Sequence[float]
    store_s: Sequence[float]


def summarise(runs: Sequence[Run], queries: Sequence[Asked]) -> tuple[Result, ...]:
    """Means, intervals and comparisons of the runs."""
    first = runs[0]
    return tuple(
        Result(
            setting=run.setting,
            overall=_group(run.measures),
            categories=_groups(run.measures, queries, lambda query: query.category),
            splits=_groups(run.measures, queries, lambda query: query.split),
            embedding_ms=_milliseconds(run.embed_s) if run is first else {},
            store_ms=_milliseconds(run.store_s),
            against_first={} if run is first else _comparisons(run.measures, first.measures),
        )
        for run in runs
    )


def _groups(
    measures: Sequence[Mapping[str, float]], queries: Sequence[Asked], label: Callable[[Asked], str]
) -> dict[str, Group]:
    labels = sorted({label(query) for query in queries} - {""})
    return {
        name: _group([each for each, query in zip(measures, queries, strict=True) if label(query) == name])
        for name in labels
    }


def _group(measures: Sequence[Mapping[str, float]]) -> Group:
    estimates = {name: estimate([each[name] for each in measures]) for name in MEASURES}
    return Group(queries=len(measures), measures=estimates)


def _comparisons(
    ours: Sequence[Mapping[str, float]], first: Sequence[Mapping[str, float]]
) -> dict[str, Comparison]:
    return {name: compare([each[name] for each in ours], [each[name] for each in first]) for name in MEASURES}


def _milliseconds(seconds: Sequence[float]) -> dict[str, float]:
    return {name: round(value * 1e3, 3) for name, value in quantiles(seconds).items()}
