"""`space`: the spaces that a store enables."""

from __future__ import annotations

import click

from memsdk.cli.options import StoreChoice, json_option, store_options
from memsdk.cli.output import print_json
from memsdk.cli.progress import Progress


@click.group(short_help="Enable a task that needs vectors of its own.")
def space_command() -> None:
    """Enable a task that needs vectors of its own.

    \b
    Example:
      memsdk space enable convsearch
    """


@space_command.command("enable")
@click.argument("task", type=click.Choice(["convsearch"]))
@store_options
@json_option
def enable(*, store: StoreChoice, task: str, as_json: bool) -> None:
    """Index documents for TASK too, while the store serves; interrupted, the same command begins it again.

    convsearch: a recall with a history then searches documents as the embedder was trained to for conversations. Where
    the embedder has no prefixes, all tasks share one space and this is done at once.

    \b
    Example:
      memsdk space enable convsearch
    """
    with store.open() as memory, Progress(f"building {task}", unit="records") as progress:
        is_new = memory.enable(task, progress=progress.update)
        stats = memory.stats()
    if as_json:
        print_json({"task": task, "new": is_new, "fingerprint": stats.fingerprints[task]})
    else:
        click.echo(f"{task} {'serves now' if is_new else 'served already'}: {stats.fingerprints[task]}")
