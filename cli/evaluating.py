"""`eval`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from memsdk.cli.options import StoreChoice, json_option, store_options
from memsdk.cli.output import note, print_json, print_table, style
from memsdk.errors import InvalidInputError

if TYPE_CHECKING:
    from memsdk.evaluation import Evaluation, Result
    from memsdk.evaluation.results import Group

TASKS = ("chat", "qa", "convsearch", "icl", "tool", "lrlm")
SHOWN = ("recall@1", "recall@5", "recall@10", "recall@20", "ndcg@10", "mrr")
STEP = 50  # queries between two progress lines


@click.command("eval", short_help="Measure recall on a set, or on the store's own feedback.")
@click.argument("source", required=False, type=click.Path(path_type=Path, exists=True), metavar="[SET]")
@click.option(
    "--task", type=click.Choice(TASKS), metavar="TASK", help=f"What SET is about: {', '.join(TASKS)}."
)
@click.option(
    "--compare", multiple=True, metavar="SETTING",
    help="Also ask with this, repeatable: dense, lexical, hybrid, diverse, collapse, late, reranker=NAME, or an"
    " embedder's folder.",
)  # fmt: skip
@click.option(
    "--ablate", multiple=True, metavar="WHAT",
    help="Also ask without this, repeatable: prefixes, neighbours, signals.",
)  # fmt: skip
@click.option("--split", metavar="NAME", help="Only the queries of this split.")
@click.option("--limit", type=int, metavar="N", help="Only so many queries, evenly over the set.")
@click.option(
    "--plot", "picture", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
    help="Write a picture (.png, .svg, .pdf); needs memsdk[plot].",
)  # fmt: skip
@store_options
@json_option
def eval_command(
    *,
    store: StoreChoice,
    source: Path | None,
    task: str | None,
    compare: tuple[str, ...],
    ablate: tuple[str, ...],
    split: str | None,
    limit: int | None,
    picture: Path | None,
    as_json: bool,
) -> None:
    """Measure recall on SET: a folder of corpus.jsonl and queries.jsonl, or a JSONL file of {"query", "relevant"}.

    Without SET the store's own recalls are asked again, and what `memsdk feedback --used` named should be found. Items go
    into a temporary store; the store itself is only read. Every figure has its 95 % bootstrap interval; a setting that
    is compared shows its difference, query by query, and * where the interval leaves 0 out.

    \b
    Example:
      memsdk eval my-questions.jsonl
      memsdk eval data/chat/locomo --compare dense --compare lexical --ablate neighbours --plot locomo.png
      memsdk eval --store agent-memory --compare hybrid --json
    """
    from memsdk.evaluation import evaluate

    progress = None if as_json or not sys.stderr.isatty() else _show_progress
    if picture is not None:
        _check_picture(picture)
    if source is not None:
        result = evaluate(
            source, task=task, compare=compare, ablate=ablate, split=split, limit=limit, embedder=store.embedder, on_query=progress,
        )  # fmt: skip
    else:
        with store.open() as memory:
            result = evaluate(
                memory, compare=compare, ablate=ablate, split=split, limit=limit, on_query=progress
            )
    if picture is not None:
        from memsdk.evaluation.plotting import plot

        plot(result, picture)
        note(f"wrote {picture}")
    if as_json:
        print_json(result)
    else:
        _print(result)


def _check_picture(picture: Path) -> None:
    """Before minutes of work, not after."""
    if picture.suffix not in (".png", ".svg", ".pdf") or not picture.absolute().parent.is_dir():
        raise InvalidInputError(
            f"{picture} can't be a picture; name a .png, .svg or .pdf in a folder that exists"
        )
    from importlib.util import find_spec

    if find_spec("matplotlib") is None:
        from memsdk.errors import MissingExtraError

        raise MissingExtraError(what="a picture (matplotlib)", extra="plot")


def _show_progress(what: str, done: int, of: int) -> None:
    if done % STEP == 0 or done == of:
        click.echo(f"\r\033[K{what}: {done:,} of {of:,}", err=True, nl=done == of)


def _print(result: Evaluation) -> None:
    first = result.results[0]
    click.echo(
        f"{result.name} ({result.task}): {first.overall.queries:,} queries, {result.items:,} items, {result.embedder};"
        f" filled in {result.filled_s:,.0f} s"
    )
    click.echo()
    _print_settings(result.results)
    for title, groups in (("category", first.categories), ("split", first.splits)):
        if len(groups) > 1:
            click.echo()
            _print_groups(title, groups, result.results)
    click.echo()
    stores = [(f"store, {result.setting}", result.store_ms) for result in result.results[1:]]
    for name, times in (("embedding", first.embedding_ms), ("store", first.store_ms), *stores):
        shown = "  ".join(f"{quantile} {value:,.1f}" for quantile, value in times.items())
        click.echo(style(f"{name}, ms a query: {shown}", dim=True))


def _print_settings(results: tuple[Result, ...]) -> None:
    rows = []
    for result in results:
        measures = result.overall.measures
        rows.append([result.setting, *(f"{measures[name].mean:.3f}" for name in SHOWN)])
        rows.append(["", *(f"{measures[name].low:.3f}-{measures[name].high:.3f}" for name in SHOWN)])
        if result.against_first:
            rows.append(["  to the default", *(_difference(result, name) for name in SHOWN)])
    print_table(["setting", *SHOWN], rows, right=SHOWN)


def _difference(result: Result, name: str) -> str:
    found = result.against_first[name]
    return f"{found.difference.mean:+.3f}{'*' if found.significant else ' '}"


def _print_groups(title: str, groups: dict[str, Group], results: tuple[Result, ...]) -> None:
    """Recall@10 / nDCG@10, a row a group, a column a setting."""
    names = [result.setting for result in results]
    rows = []
    for label, group in groups.items():
        of_all = [(result.categories if title == "category" else result.splits)[label] for result in results]
        cells = [
            f"{each.measures['recall@10'].mean:.3f} / {each.measures['ndcg@10'].mean:.3f}" for each in of_all
        ]
        rows.append([label, str(group.queries), *cells])
    click.echo(style("recall@10 / ndcg@10", dim=True))
    print_table([title, "queries", *names], rows, right=["queries", *names])
