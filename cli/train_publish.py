"""`train publish`."""

from __future__ import annotations

from pathlib import Path

import click

from memsdk.cli.models import print_version
from memsdk.cli.options import StoreChoice, json_option, store_options
from memsdk.cli.output import note, print_json


@click.command(short_help="Put a trained query encoder's folder into the store as a version.")
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option(
    "--task", required=True, metavar="TASK", help="Whose queries it embeds: chat, qa, icl, tool or lrlm."
)
@click.option("--user", "user_id", metavar="ID", help="Only this user's queries.")
@click.option("--activate", is_flag=True, help="Let it serve at once. No gate is asked.")
@store_options
@json_option
def publish_command(
    *, store: StoreChoice, folder: Path, task: str, user_id: str | None, activate: bool, as_json: bool
) -> None:
    """Put a trained query encoder's FOLDER (sentence-transformers format) into the store as a version.

    The stored vectors stay as they are, so it must have been trained against the store's own embedder. It serves once
    it is activated.

    \b
    Example:
      memsdk train publish tuned-encoder --task qa
      memsdk models activate 20260701
    """
    from memsdk.trainer.measuring import publish_folder

    with store.open() as memory:
        version = publish_folder(memory, folder, task=task, user_id=user_id, activate=activate)
    if as_json:
        print_json(version)
        return
    print_version(version)
    if not activate:
        note(f"next: memsdk models activate {version.id}")
