"""A picture of an evaluation: each setting's measures with their intervals, over all queries and by category."""

from __future__ import annotations

from pathlib import Path

from memsdk.errors import MissingExtraError
from memsdk.evaluation.results import Evaluation, Group, Result

SHOWN = ("recall@1", "recall@5", "recall@10", "recall@20", "ndcg@10", "mrr")


def plot(evaluation: Evaluation, path: Path) -> None:
    """Write the picture; the path's ending says the format (.png, .svg, .pdf).

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError(what="a picture (matplotlib)", extra="plot") from error
    results = evaluation.results
    categories = list(results[0].categories)
    figure = Figure(figsize=(9, 8 if categories else 4.4), layout="constrained")
    axes = figure.subplots(2 if categories else 1, 1, squeeze=False)[:, 0]
    _bars(axes[0], {name: [(result, result.overall, name) for result in results] for name in SHOWN})
    axes[0].set_title(
        f"{evaluation.name}: {results[0].overall.queries} queries, {evaluation.items} items, {evaluation.embedder}"
    )
    axes[0].legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
    if categories:
        columns = {
            f"{name} ({results[0].categories[name].queries})": [
                (result, result.categories[name], "recall@10") for result in results
            ]
            for name in categories
        }
        _bars(axes[1], columns)
        axes[1].set_title("recall@10 by category (queries)")
    figure.savefig(path, dpi=150)


def _bars(axes: object, columns: dict[str, list[tuple[Result, Group, str]]]) -> None:
    """Bars side by side, a colour a setting, the interval as a line."""
    from matplotlib.axes import Axes

    assert isinstance(axes, Axes)
    for place, entries in enumerate(columns.values()):
        width = 0.8 / len(entries)
        for number, (result, group, name) in enumerate(entries):
            value = group.measures[name]
            axes.bar(
                place + (number - (len(entries) - 1) / 2) * width,
                value.mean,
                width * 0.92,
                yerr=[[value.mean - value.low], [value.high - value.mean]],
                color=f"C{number}",
                error_kw={"elinewidth": 0.8},
                label=result.setting if place == 0 else None,
            )
    axes.set_xticks(range(len(columns)), list(columns), rotation=0 if len(columns) < 7 else 25)
    axes.set_ylim(0, 1)
    axes.grid(axis="y", alpha=0.3)
    axes.set_axisbelow(True)
