"""`verify`, `repair` and `reindex`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from memsdk.cli.options import StoreChoice, json_option, store_options, store_options_but_embedder
from memsdk.cli.output import note, print_json, print_pairs, print_table, style
from memsdk.cli.progress import Progress
from memsdk.errors import IndexingError

if TYPE_CHECKING:
    from memsdk import Verification

SHOWN = 20


@click.command(short_help="Compare the records with the index.")
@store_options
@json_option
@click.pass_context
def verify_command(ctx: click.Context, *, store: StoreChoice, as_json: bool) -> None:
    """Compare the records with the index and say what differs; exits with 5 if anything does.

    \b
    Example:
      memsdk verify || memsdk repair
    """
    with store.open() as memory:
        found = memory.verify()
    _print_verification(ctx, found, as_json=as_json)


@click.command(short_help="Mend what verify finds.")
@store_options
@json_option
@click.pass_context
def repair_command(ctx: click.Context, *, store: StoreChoice, as_json: bool) -> None:
    """Mend what verify finds: index what is missing, stale or pending, remove what is left over. Verifies again.

    \b
    Example:
      memsdk repair
    """
    with store.open() as memory, Progress("repairing", unit="records") as progress:
        found = memory.repair(progress=progress.update)
    _print_verification(ctx, found, as_json=as_json)


@click.command(short_help="Build all vectors anew, with another embedder if one is given.")
@click.option(
    "--embedder",
    "new_embedder",
    metavar="NAME",
    help="packaged, a folder, or a hub id; left out: the store's own.",
)
@click.option(
    "--retire", is_flag=True, help="Then drop the old vectors; without it they stay, to go back to."
)
@store_options_but_embedder
@json_option
def reindex_command(*, store: StoreChoice, new_embedder: str | None, retire: bool, as_json: bool) -> None:
    """Build all vectors anew while the old ones serve, then switch to them.

    Interrupted, the old ones go on serving and the next run continues.

    \b
    Example:
      memsdk reindex --embedder BAAI/llm-embedder
      memsdk reindex --embedder ./my-model --retire
    """
    with store.open() as memory:
        with Progress("reindexing", unit="records") as progress:
            memory.reindex(embedder=new_embedder, progress=progress.update)
        dropped = memory.retire() if retire else []
        stats = memory.stats()
    if as_json:
        print_json({"embedder": stats.embedder, "points": stats.points, "dropped": list(dropped)})
        return
    print_pairs(
        [
            ("embedder", stats.embedder),
            *((f"points of {name}", f"{points:,}") for name, points in stats.points.items()),
            *(("dropped", name) for name in dropped),
        ]
    )


def _print_verification(ctx: click.Context, found: Verification, *, as_json: bool) -> None:
    if as_json:
        print_json({**found.model_dump(mode="json"), "clean": found.clean})
    else:
        _print_findings(found)
    if not found.clean:
        ctx.exit(IndexingError.exit_code)


def _print_findings(found: Verification) -> None:
    result = style("clean", colour="green") if found.clean else style("not clean", colour="red")
    click.echo(
        f"{result}: {found.records:,} records, {found.points:,} points, {found.pending:,} pending, "
        f"{len(found.differences):,} differences"
    )
    for complaint in found.integrity:
        click.echo(f"the database file: {complaint}")
    if found.differences:
        click.echo()
        print_table(
            ["problem", "record", "collection"],
            [[item.problem, str(item.record_id), item.collection] for item in found.differences[:SHOWN]],
        )
    if len(found.differences) > SHOWN:
        note(f"and {len(found.differences) - SHOWN:,} more; --json lists all")
    if not found.clean:
        note(
            "`memsdk repair` mends the index" if not found.integrity else "restore the database from a backup"
        )
