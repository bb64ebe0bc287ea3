"""`train rows`."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import click

from memsdk.cli.options import StoreChoice, json_option, store_options
from memsdk.cli.output import note, print_json, print_table
from memsdk.cli.progress import Progress
from memsdk.errors import InvalidInputError

if TYPE_CHECKING:
    from memsdk.trainer.rows import Row


@click.command(short_help="Write recalls with feedback as training rows.")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--user", "users", multiple=True, metavar="ID", help="Only this user's recalls, repeatable.")
@click.option("--since", metavar="TIME", help="Only recalls from this time on, such as 2026-05-01T00:00:00Z.")
@click.option(
    "--candidates", type=click.IntRange(2), default=8, show_default=True, help="At most so many a row."
)
@click.option(
    "--min-score", type=click.FloatRange(0, 1), default=0.5, show_default=True,
    help="Outputs that were received worse are left out.",
)  # fmt: skip
@click.option(
    "--form", type=click.Choice(("memsdk", "llm-embedder")), default="memsdk", show_default=True,
    help="llm-embedder: query, pos, neg, answers; for other trainers.",
)  # fmt: skip
@click.option("--seed", type=int, default=0, show_default=True, help="Of the random candidates.")
@click.option("--force", is_flag=True, help="Replace the file if it is there.")
@store_options
@json_option
def rows_command(
    *,
    store: StoreChoice,
    file: Path,
    users: tuple[str, ...],
    since: str | None,
    candidates: int,
    min_score: float,
    form: str,
    seed: int,
    force: bool,
    as_json: bool,
) -> None:
    """Write recalls with feedback to FILE as training rows, a JSON object a line.

    A row holds the query with its context, the output that was wanted, and the candidates: those that were shown, and
    others that could have been. The file holds texts of the store: `forget` does not reach it, so remove it when it
    has served.

    \b
    Example:
      memsdk train rows rows.jsonl
      memsdk train rows ana.jsonl --user ana --since 2026-05-01T00:00:00Z
    """
    if file.exists() and not force:
        raise InvalidInputError(f"{file} is there already; name another file, or replace it with --force")
    from memsdk.inputs import clean_time
    from memsdk.trainer.collecting import collect
    from memsdk.trainer.jsonl import write_rows
    from memsdk.trainer.mining import Mining

    start: datetime | None = clean_time(since, what="since")
    with store.open() as memory, Progress("collecting", unit="recalls") as progress:
        rows = collect(
            memory, users=users or None, since=start, mining=Mining(candidates=candidates, seed=seed),
            min_score=min_score, progress=progress.update,
        )  # fmt: skip
    write_rows(file, rows, form=cast("Literal['memsdk', 'llm-embedder']", form))
    if as_json:
        print_json(
            {"file": str(file), "rows": len(rows), "tasks": {name: n for name, n, _, _ in _by_task(rows)}}
        )
    elif rows:
        table = [[name, f"{n:,}", f"{each:.1f}", f"{right:,}"] for name, n, each, right in _by_task(rows)]
        print_table(["task", "rows", "candidates a row", "with a right one"], table, right=("rows",))
        click.echo(f"written to {file}")
    else:
        note(
            "no recall has feedback with an output or used records;"
            " give it with `memsdk feedback RECALL --output TEXT` or --used RECORD"
        )


def _by_task(rows: list[Row]) -> list[tuple[str, int, float, int]]:
    """Name, rows, mean candidates, and rows with a known right candidate; by task."""
    found = []
    for task in dict.fromkeys(row.task for row in rows):
        own = [row for row in rows if row.task is task]
        mean = sum(len(row.candidates) for row in own) / len(own)
        right = sum(any(one.positive for one in row.candidates) for row in own)
        found.append((task.value, len(own), mean, right))
    return found
