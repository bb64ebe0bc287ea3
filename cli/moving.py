"""`export`, `import` and `backup`."""

from __future__ import annotations

from pathlib import Path

import click

from memsdk.cli.options import StoreChoice, json_option, store_options
from memsdk.cli.output import print_json, print_pairs
from memsdk.cli.progress import Progress
from memsdk.errors import InvalidInputError


@click.command(short_help="Write the store, or one user's part of it, as JSON lines.")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--user", "user_id", metavar="ID", help="Only this user's part.")
@click.option("--force", is_flag=True, help="Replace the file if it is there.")
@store_options
@json_option
def export_command(
    *, store: StoreChoice, file: Path, user_id: str | None, force: bool, as_json: bool
) -> None:
    """Write all that is needed to rebuild the store elsewhere to FILE, a JSON object a line.

    \b
    Example:
      memsdk export ana.jsonl --user ana
    """
    if file.exists() and not force:
        raise InvalidInputError(f"{file} is there already; name another file, or replace it with --force")
    with store.open() as memory, Progress("exporting", unit="records") as progress:
        lines = memory.export_jsonl(file, user_id=user_id, progress=progress.update)
    if as_json:
        print_json({"file": str(file), "lines": lines})
    else:
        click.echo(f"{lines:,} lines written to {file}")


@click.command(short_help="Read what export wrote.")
@click.argument("file", type=click.Path(path_type=Path))
@store_options
@json_option
def import_command(*, store: StoreChoice, file: Path, as_json: bool) -> None:
    """Read what `memsdk export` wrote to FILE. What the store has already is left as it is.

    \b
    Example:
      memsdk import ana.jsonl --store elsewhere
    """
    with store.open(make=True) as memory, Progress("importing", unit="lines") as progress:
        added = memory.import_jsonl(file, progress=progress.update)
    counts = {"records": added.records, "documents": added.documents, "recalls": added.recalls}
    if as_json:
        print_json(counts)
    else:
        click.echo("added")
        print_pairs([(name, f"{count:,}") for name, count in counts.items()])


@click.command(short_help="Copy the store to a new folder while others write.")
@click.argument("folder", type=click.Path(path_type=Path))
@store_options
@json_option
def backup_command(*, store: StoreChoice, folder: Path, as_json: bool) -> None:
    """Copy the store to a new FOLDER while others write. Opening the copy rebuilds its index.

    \b
    Example:
      memsdk backup /backups/agent-$(date +%F)
    """
    with store.open() as memory:
        made = memory.backup(folder)
    if as_json:
        print_json({"folder": str(made)})
    else:
        click.echo(f"the copy is in {made}; use it with --store {made}")
